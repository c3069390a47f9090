"""Damaged pictures and files: how each ends; nothing may end but in a result or in an error of ours.

fuzz [--pictures N] [--readers N] [--seed S] [--json]

Each input is a function of the seed and its number, so that `--only NUMBER` makes one again. They are read in processes of their own,
so that a crash is counted and the rest goes on. In full: `fuzz --pictures 1300000 --readers 1900000`.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy: a fork must not lose threads

import numpy as np
from PIL import Image
from sheet import write_sheet

from striate.core import bounded
from striate.core.errors import StriateError
from striate.core.images import ImageSpec
from striate.data.archives import members, npz_arrays
from striate.data.decode import decode_image
from striate.data.pickled import arrays_of_pickle
from striate.data.published import read_idx, read_svhn
from striate.networks.catalog import network
from striate.networks.network import Network

CHUNK = 5_000  # inputs a process
SLOW_S, HANGS_S = 2.0, 60  # of one input
MEMORY = 512 * 2**20  # that a process may take beyond what it began with
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 30_000, 50_000_000)
SPEC = ImageSpec(height=9, width=11, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)


class Kind(NamedTuple):
    """Files of one kind, whole ones, and what reads them."""

    files: list[bytes]
    read: Callable[[bytes, Path], Any]  # the content, and a path at which it lies


class Outcome(NamedTuple):
    """How the inputs of one kind ended."""

    results: int
    refusals: int
    others: list[str]  # exceptions that are none of ours, crashes, and what was too slow
    slowest_s: float
    most_bytes: int


def main() -> None:
    """Pictures first, readers second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200_000)
    parser.add_argument("--readers", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="make this input of each kind again, and let its error come out")
    parser.add_argument("--json", action="store_true", help="print the counts only, and write no sheet")
    asked = parser.parse_args()
    groups = [(pictures(), asked.pictures), (readers(), asked.readers)]
    if asked.only is not None:
        for kinds, _ in groups:
            for name, kind in kinds.items():
                print(name, _again(kind, name, asked.seed, asked.only))
        return
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        outcomes = {
            name: fuzzed(name, kind, count // len(kinds), asked.seed, Path(folder))
            for kinds, count in groups
            for name, kind in kinds.items()
        }
    if asked.json:
        print(json.dumps({name: outcome._asdict() for name, outcome in outcomes.items()}))
    else:
        report(outcomes)
    sys.exit(1 if any(outcome.others for outcome in outcomes.values()) else 0)


def report(outcomes: dict[str, Outcome]) -> None:
    """The sheet."""
    table = [["files", "inputs", "read", "refused", "ended otherwise", "slowest (s)", "most memory (MiB)"]]
    for name, found in outcomes.items():
        counts = found.results, found.refusals, len(found.others)
        table.append(
            [name, f"{sum(counts):,}", *(f"{count:,}" for count in counts), f"{found.slowest_s:.2f}", f"{found.most_bytes / 2**20:.0f}"]
        )
    everything = [sum(values) for values in zip(*((f.results, f.refusals, len(f.others)) for f in outcomes.values()), strict=True)]
    table.append(["all", f"{sum(everything):,}", *(f"{count:,}" for count in everything), "", ""])
    how = "bits, bytes, whole numbers, cuts, repetitions, parts of another file"
    ended = f"an exception that is no StriateError, the end of the process, or more than {SLOW_S:g} s"
    allowed = f"beyond what it began with; at most {MEMORY / 2**20:.0f} MiB are allowed"
    notes = [
        f"Each input is a whole file with one to four changes: {how}; half of the PNG files have their checksums mended afterwards.",
        f"Ended otherwise: {ended}. Memory: of a process that reads {CHUNK:,} inputs, {allowed}.",
        *(f"{name}: {other}" for name, found in outcomes.items() for other in found.others[:5]),
    ]
    write_sheet("fuzz", "Damaged pictures and files", table, notes)


# ---- running


def fuzzed(name: str, kind: Kind, count: int, seed: int, folder: Path) -> Outcome:
    """`count` inputs of one kind, each chunk in a process of its own; one that is ended by an input goes on after it."""
    total, start = Outcome(0, 0, [], 0.0, 0), 0
    while start < count:
        at = mmap.mmap(-1, 8)
        end, part = min(count, start + CHUNK), _in_a_process(name, kind, start, min(count, start + CHUNK), seed, folder, at)
        if part is None:  # ended by an input, whose number stands in the map
            end = struct.unpack("q", at[:])[0] + 1
            part = Outcome(0, end - 1 - start, [f"input {end - 1} ended the process"], 0.0, 0)
        total = Outcome(
            total.results + part.results,
            total.refusals + part.refusals,
            total.others + part.others,
            max(total.slowest_s, part.slowest_s),
            max(total.most_bytes, part.most_bytes),
        )
        start = end
    print(f"{name}: {total.results:,} read, {total.refusals:,} refused, {total.others[:3] or 'nothing else'}", file=sys.stderr)
    return total


def _in_a_process(name: str, kind: Kind, start: int, end: int, seed: int, folder: Path, at: mmap.mmap) -> Outcome | None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            with os.fdopen(writing, "w") as pipe:
                json.dump(_chunk(name, kind, range(start, end), seed, folder / name, at), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return Outcome(*json.loads(text)) if text else None


def _chunk(name: str, kind: Kind, numbers: range, seed: int, path: Path, at: mmap.mmap) -> Outcome:
    """The inputs `numbers`, one after the other, in this process."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff says what it finds
    results = refusals = 0
    others: list[str] = []
    slowest, before = 0.0, _peak()
    for number in numbers:
        at[:] = struct.pack("q", number)
        data = changed(kind.files, random.Random(f"{name} {seed} {number}"))
        signal.alarm(HANGS_S)  # which ends the process
        began = time.process_time()
        try:
            kind.read(data, path)
            results += 1
        except StriateError:
            refusals += 1
        except Exception as error:  # noqa: BLE001  # the very thing that is looked for
            others.append(f"input {number}: {type(error).__name__}: {error}"[:200])
        seconds = time.process_time() - began
        if seconds > SLOW_S:
            others.append(f"input {number} took {seconds:.1f} s")
        slowest = max(slowest, seconds)
    signal.alarm(0)
    taken = _peak() - before
    if taken > MEMORY:
        others.append(f"inputs {numbers.start} to {numbers.stop} took {taken / 2**20:,.0f} MiB")
    return Outcome(results, refusals, others, slowest, taken)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _again(kind: Kind, name: str, seed: int, number: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return type(kind.read(changed(kind.files, random.Random(f"{name} {seed} {number}")), Path(folder) / "x")).__name__
        except StriateError as error:
            return f"{error.kind}: {error.message}"


# ---- changes


def changed(files: list[bytes], rng: random.Random) -> bytes:
    """One of `files` with one to four changes."""
    data = bytearray(rng.choice(files))
    was_png = data[:4] == b"\x89PNG"
    for _ in range(rng.choice((1, 1, 2, 4))):
        _change(data, files, rng)
    return mended(bytes(data)) if was_png and rng.random() < 0.5 else bytes(data)


def _change(data: bytearray, files: list[bytes], rng: random.Random) -> None:
    place = rng.randrange(min(len(data), rng.choice((40, 200, 10**9)))) if data else 0  # headers more often than the rest
    size = min(len(data) - place, 1 << rng.randrange(8))
    what = rng.randrange(8)
    if what <= 1 and data:
        data[place] ^= 1 << rng.randrange(8)
    elif what == 2 and data:
        data[place] = rng.randrange(256)
    elif what == 3:
        number = rng.choice(INTERESTING)
        form = rng.choice([form for form in ("<H", ">H", "<I", ">I", "B") if number < 256 ** struct.calcsize(form)])
        data[place : place + struct.calcsize(form)] = struct.pack(form, number)
    elif what == 4:
        del data[place : place + size]
    elif what == 5:
        data[place:place] = data[place : place + size] * rng.randint(1, 3)
    elif what == 6:
        other = rng.choice(files)
        begin = rng.randrange(len(other)) if other else 0
        data[place : place + size] = other[begin : begin + size]
    elif rng.random() < 0.3:
        del data[place:]


def mended(data: bytes) -> bytes:
    """A PNG file whose chunks have the right checksums, as far as they can be followed."""
    place, parts = 8, [data[:8]]
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        parts.append(data[place:end] + struct.pack(">I", zlib.crc32(data[place + 4 : end])))
        place = end + 4
    return b"".join(parts) + data[place:]


# ---- whole files


def pictures() -> dict[str, Kind]:
    """Small pictures of every format, in the modes that it has."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (7, 9, 4), np.uint8)).resize((19, 13))
    grey16 = Image.fromarray(rng.integers(0, 65536, (13, 19), np.uint16))
    modes = {mode: colour.convert(mode) for mode in ("RGB", "RGBA", "L", "LA", "1", "CMYK", "YCbCr", "LAB") if mode != "LAB"}
    modes |= {"P": modes["RGB"].quantize(16), "I;16": grey16}
    exif = Image.Exif()
    exif[0x0112] = 6

    def saved(mode: str, form: str, **options: Any) -> bytes:
        file = io.BytesIO()
        modes[mode].save(file, form, **options)
        return file.getvalue()

    more = {"save_all": True, "append_images": [modes["RGB"].rotate(90)]}
    files = {
        "JPEG": [*(saved(mode, "JPEG") for mode in ("RGB", "L", "CMYK")), saved("RGB", "JPEG", progressive=True, exif=exif)],
        "PNG": [*(saved(mode, "PNG") for mode in ("RGB", "RGBA", "L", "LA", "1", "P", "I;16")), saved("RGB", "PNG", exif=exif, **more),
                saved("P", "PNG", transparency=bytes(range(16))), saved("L", "PNG", transparency=7), _png16(6), _png16(4), _png16(2)],
        "WEBP": [saved("RGB", "WEBP"), saved("RGBA", "WEBP", lossless=True), saved("RGBA", "WEBP", exif=exif, **more)],
        "BMP": [saved(mode, "BMP") for mode in ("RGB", "RGBA", "L", "P", "1")],
        "GIF": [saved("P", "GIF"), saved("P", "GIF", transparency=3), saved("RGB", "GIF", **more)],
        "TIFF": [*(saved(mode, "TIFF") for mode in ("RGB", "RGBA", "L", "LA", "1", "P", "CMYK", "YCbCr", "I;16")),
                 *(saved("RGB", "TIFF", compression=way) for way in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
                 saved("1", "TIFF", compression="group4"), saved("I;16", "TIFF", compression="tiff_lzw"), saved("RGB", "TIFF", **more)],
        "PPM": [saved("RGB", "PPM"), saved("L", "PPM"), saved("1", "PPM"), b"P2 3 2 1023\n0 1 2 3 4 1023\n", b"P3 1 2 255\n1 2 3 4 5 6\n",
                b"P5 3 2 1023\n" + bytes(12), b"P1 3 2\n1 0 1 0 1 0\n", b"Pf 1 1 -1.0\n\0\0\0\0", b"PyP 2 2 255\n\0\1\2\3"],
        "MPO": [saved("RGB", "MPO", **more)],
        "AVIF": [saved("RGB", "AVIF"), saved("RGBA", "AVIF", exif=exif)],
    }  # fmt: skip
    return {name: Kind(content, lambda data, _: decode_image(data, SPEC if len(data) % 2 else None)) for name, content in files.items()}


def _png16(colour: int) -> bytes:
    """A PNG file of 16 bits by hand: colours with alpha (6), grey with alpha (4), or colours with a transparent one (2)."""
    samples = {2: 3, 4: 2, 6: 4}[colour]
    rows = b"".join(b"\0" + bytes(range(k, k + 2 * samples * 5)) for k in range(4))
    head = struct.pack(">IIBBBBB", 5, 4, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), *([(b"tRNS", bytes(range(6)))] if colour == 2 else []), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return mended(b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + name + data + bytes(4) for name, data in chunks))


def readers() -> dict[str, Kind]:
    """Data sets as they are published, descriptions and tables, each with what reads it."""
    from scipy.io import savemat

    from striate.workflows.recipes.files import safe_yaml

    digits = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
    idx = struct.pack(">IIII", 0x803, *digits.shape) + digits.tobytes()
    arrays, matlab, packed, tar = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(arrays, x_train=digits, y_train=np.arange(6) % 2)
    np.savez_compressed(packed, x_train=digits / 255, y_train=np.array(list("ababab")))
    house = {"X": np.zeros((32, 32, 3, 1), np.uint8), "y": np.ones((1, 1), np.uint8)}
    savemat(matlab, house)
    savemat(tar, house, do_compression=True)
    text = network("lenet5").to_json().encode()
    config = b"network: lenet5\nsettings: {epochs: 3, learning_rate: 0.1, freeze: [stem, head]}\nlist: [1, 2.5, null, true]\n"
    table = b'epoch,loss,accuracy\n1,0.5,0.9\n2,0.4,0.95\n"3","0,3","a ""b"""\n'

    def at(read: Callable[[Path], Any]) -> Callable[[bytes, Path], Any]:
        def written(data: bytes, path: Path) -> Any:
            path.write_bytes(data)
            return read(path)

        return written

    return {
        "idx": Kind([idx, gzip.compress(idx, mtime=0)], at(lambda path: read_idx(path, rank=3, most=10_000))),
        "npz": Kind([arrays.getvalue(), packed.getvalue()], at(npz_arrays)),
        "mat": Kind([matlab.getvalue(), tar.getvalue()], at(lambda path: read_svhn(path, most=10))),
        "CIFAR batch": Kind([_batch()], lambda data, _: arrays_of_pickle(data)),
        "tar.gz": Kind([_archive()], at(lambda path: members(path, ["test_batch"], 100_000, ""))),
        "network": Kind([text], lambda data, _: Network.from_json(data.decode("utf-8", "replace"))),
        "YAML": Kind([config], at(safe_yaml)),
        "CSV": Kind([table], at(bounded.read_csv)),
        "JSON": Kind([text[:3000], b'{"a": [1, 2.5, null, "text"], "b": {"c": true}}'], at(bounded.read_json)),
        "JSON lines": Kind([b'{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n'], at(bounded.read_json_lines)),
    }


def _batch() -> bytes:
    """A batch as CIFAR's are: Python 2's pickle of a dict with an array of bytes."""
    state = (
        b"(K\x01(K\x02K\x03tcnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06abcdeftb"
    )
    return (
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + state
        + b"U\x06labels](K\x01K\x02eu."
    )


def _archive() -> bytes:
    import tarfile

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name in ("folder/test_batch", "folder/readme"):
            entry = tarfile.TarInfo(name)
            entry.size = 700
            tar.addfile(entry, io.BytesIO(bytes(700)))
    return file.getvalue()


if __name__ == "__main__":
    main()
