"""Safetensors files: every one is told from pickles and archives, whatever its first bytes, and none is saved that does not open."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from striate.core import files
from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.core.tensor_files import described, numpy_arrays, read_tensor_file, tensor_file, torch_tensors, write_tensor_file

WEIGHTS = {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}
OPENINGS = [640, 896, 1152, 1408, 19280]  # b"\x80\x02" to b"\x80\x05", and b"PK"


def with_header_of(length: int) -> bytes:
    """A safetensors file whose header has `length` bytes, filled up with white space as the format allows."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}).encode()
    return struct.pack("<Q", length) + header.ljust(length) + WEIGHTS["w"].tobytes()


@pytest.mark.parametrize("length", [*OPENINGS, *(2**16 + n for n in OPENINGS), 3 * 2**16 + 0x4B50])
def test_a_header_whose_length_reads_like_a_pickle_or_an_archive_is_read(length):
    file = tensor_file(Path("w.safetensors"), with_header_of(length))

    np.testing.assert_array_equal(numpy_arrays(file)["w"], WEIGHTS["w"])
    np.testing.assert_array_equal(torch_tensors(file)["w"].numpy(), WEIGHTS["w"])


def test_every_length_of_a_header_up_to_twenty_thousand_bytes_is_read():
    for length in range(80, 20_000, 7):
        assert tensor_file(Path("w.safetensors"), with_header_of(length)).metadata == {}


def pickles() -> dict[str, bytes]:
    """What the common writers of pickles make of the same numbers."""
    archive, arrays, torch_file, old_torch = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("data.pkl", pickle.dumps(WEIGHTS))
    np.savez(arrays, **WEIGHTS)
    tensors = {name: torch.from_numpy(value) for name, value in WEIGHTS.items()}
    torch.save(tensors, torch_file)
    torch.save(tensors, old_torch, _use_new_zipfile_serialization=False)
    made = {f"protocol{protocol}": pickle.dumps(WEIGHTS, protocol) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)}
    return {**made, **{name: file.getvalue() for name, file in locals().items() if isinstance(file, io.BytesIO)}}


@pytest.mark.parametrize("name", pickles())
def test_a_pickle_is_refused_as_one(name):
    with pytest.raises(RefusedFileError, match="a pickle or PyTorch archive") as refusal:
        tensor_file(Path("w.safetensors"), pickles()[name])
    assert "never read" in refusal.value.remedy


def test_an_ending_says_nothing_against_the_content():
    assert numpy_arrays(tensor_file(Path("w.pt"), safetensors.numpy.save(WEIGHTS)))["w"].shape == (2, 3)


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', "[" * 100_000, "{", '{"a": ' + "9" * 5000 + "}"]
)
def test_a_description_that_is_no_plain_json_is_refused(text):
    file = tensor_file(Path("w.safetensors"), safetensors.numpy.save(WEIGHTS, {"about": text}))

    with pytest.raises(RefusedFileError, match=r"w\.safetensors: about: "):
        described(file, "about")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "w.safetensors")

    with pytest.raises(RefusedFileError, match="not a plain file"):
        read_tensor_file(tmp_path / "w.safetensors")


def test_a_file_that_does_not_open_gets_no_name_and_the_old_one_stays(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def refuse(_):
        raise RefusedFileError("w.safetensors: no", "Do it otherwise.")

    with pytest.raises(UsageError, match=r"not saved, because it could not be opened again: w\.safetensors: no\nDo it otherwise"):
        write_tensor_file(path, safetensors.numpy.save(WEIGHTS), refuse)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"w.safetensors": b"old"}


def test_a_disk_that_gives_back_other_bytes_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def spoiled(descriptor):
        os.truncate(descriptor, 20)

    monkeypatch.setattr(files.os, "fsync", spoiled)
    with pytest.raises(EnvironmentFault, match="the bytes read back from the disk differ from those written"):
        write_tensor_file(path, safetensors.numpy.save(WEIGHTS), numpy_arrays)
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"w.safetensors": b"old"}


def test_tensors_that_are_not_finite_are_refused_by_name():
    data = safetensors.torch.save({"w": torch.tensor([1.0, float("inf")])})

    for read in (torch_tensors, numpy_arrays):
        with pytest.raises(RefusedFileError, match=r"w\.safetensors: tensor w holds NaN or Inf"):
            read(tensor_file(Path("w.safetensors"), data))
