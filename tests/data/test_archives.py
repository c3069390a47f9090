"""Packed files are read up to a size that is known before: bombs are refused with little memory, and what is damaged is named."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.core import memory
from striate.core.errors import DataError, EnvironmentFault, RefusedFileError
from striate.data import archives
from striate.data.archives import members, npz_arrays, unpacked
from striate.data.published import read_idx


def npz_bomb(path: Path, megabytes: int, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """An archive of zeros, x_train, of so many MiB."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (megabytes * 2**20,)})
    with zipfile.ZipFile(path, "w", method) as archive, archive.open("x_train.npy", "w", force_zip64=True) as file:
        file.write(head.getvalue())
        for _ in range(megabytes):
            file.write(bytes(2**20))
    return path


def peak_of(code: str, path: Path) -> tuple[str, float]:
    """What a process of its own prints, and how many MiB it took beyond its imports."""
    high = "next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))"
    lines = f"""
import sys
from pathlib import Path
import numpy as np
from striate.core.errors import StriateError
from striate.data.published import read_idx
path, before = Path(sys.argv[1]), {high}
try:
    {code}
except StriateError as error:
    print(error.exit_code, error.message)
print(({high} - before) / 1024)
"""
    done = subprocess.run([sys.executable, "-c", lines, path], capture_output=True, text=True, check=True)
    *said, grown = done.stdout.splitlines()
    return "\n".join(said), float(grown)


linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


@linux
def test_a_gzipped_bomb_is_read_no_further_than_what_was_published(tmp_path: Path):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(struct.pack(">IIII", 0x803, 6000, 280, 280) + bytes(200 * 2**20), 1))
    said, grown = peak_of("read_idx(path, rank=3, most=47_040_000)", path)
    assert said == f"3 {path}: larger than the published file of 47,040,016 bytes"
    assert grown < 120


def test_arrays_that_unpack_from_next_to_nothing_are_refused_from_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """2 MiB of zeros from 2 KiB; as many bytes that are like pictures pass."""
    path = npz_bomb(tmp_path / "bomb.npz", 2)
    np.savez_compressed(tmp_path / "x.npz", x_train=np.random.default_rng(0).integers(0, 9, 2**20, np.uint8))
    assert npz_arrays(path)["x_train"].nbytes == 2 * 2**20  # below 1 GiB whatever it is packed to
    monkeypatch.setattr(archives, "SMALL", 2**19)
    with pytest.raises(
        DataError, match=r"bomb\.npz: x_train\.npy unpacks from [\d,]+ bytes to 2,097,\d+, an implausible ratio for pictures"
    ):
        npz_arrays(path)
    assert npz_arrays(tmp_path / "x.npz")["x_train"].nbytes == 2**20


def test_arrays_that_do_not_fit_into_memory_are_refused_from_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = npz_bomb(tmp_path / "data.npz", 8)
    assert npz_arrays(path)["x_train"].nbytes == 8 * 2**20
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 7 * 2**20)
    with pytest.raises(EnvironmentFault, match=r"data\.npz: its arrays: 8 MiB are needed, and 7 MiB are free") as caught:
        npz_arrays(path)
    assert caught.value.exit_code == 4 and "fewer pictures" in caught.value.remedy


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_arrays_packed_by_methods_that_cannot_be_bounded_are_refused(method: int, tmp_path: Path):
    with pytest.raises(DataError, match=r"x_train\.npy uses another compression method than NumPy's"):
        npz_arrays(npz_bomb(tmp_path / "data.npz", 1, method))


def packed(path: Path, change: Callable[[tarfile.TarInfo], None], content: bytes = b"batch") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        entry = tarfile.TarInfo("folder/test_batch")
        entry.size = len(content)
        change(entry)
        tar.addfile(entry, io.BytesIO(content))
    return path


def test_an_archive_is_read_no_further_than_its_limit(tmp_path: Path):
    path = packed(tmp_path / "a.tar.gz", lambda entry: None, bytes(300_000))
    assert members(path, ["test_batch"], 400_000, "Fetch it.") == {"test_batch": bytes(300_000)}
    with pytest.raises(DataError, match="larger than the published file of 200,000 bytes"):
        members(path, ["test_batch"], 200_000, "Fetch it.")


def test_a_member_with_holes_is_not_filled_up(tmp_path: Path):
    """GNU's sparse files: some bytes that stand for gigabytes."""

    def sparse(entry: tarfile.TarInfo) -> None:
        entry.type = tarfile.GNUTYPE_SPARSE

    with pytest.raises(DataError, match=r"a\.tar\.gz: (holds no test_batch|cannot be read)"):
        members(packed(tmp_path / "a.tar.gz", sparse), ["test_batch"], 10**6, "Fetch it.")


@pytest.mark.parametrize(
    "shape", [(2**31, 2**31, 4), (2**32 - 1,) * 3, (0, 0, 0), (2**16, 2**16, 2**16)], ids=["wraps to 0", "largest", "none", "2^48"]
)
def test_a_shape_that_overflows_does_not_fit_its_bytes(shape: tuple[int, int, int], tmp_path: Path):
    """2^31 x 2^31 x 4 is 0 where whole numbers have 64 bits, which is as much as the file holds."""
    path = tmp_path / "x"
    path.write_bytes(struct.pack(">IIII", 0x803, *shape))
    if 0 in shape:
        assert read_idx(path, rank=3, most=100).shape == shape
        return
    with pytest.raises(DataError, match="does not fit its shape"):
        read_idx(path, rank=3, most=100)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.parametrize("read", [npz_arrays, lambda path: unpacked(path, 100, ""), lambda path: members(path, ["x"], 100, "")])
def test_a_pipe_is_refused_and_not_waited_for(read: Callable[[Path], Any], tmp_path: Path):
    path = tmp_path / "x.npz"
    os.mkfifo(path)
    with pytest.raises(RefusedFileError, match="not a plain file"):
        read(path)
