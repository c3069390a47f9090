"""Give each verb odd and damaged pictures, and count: answered, refused by name, skipped with a word; no crash, hang or silent loss.

odd_pictures [--seeds N] [--json]

Each case is one odd picture among good ones (or alone, for verbs that take pictures) and one verb. The verbs run one after the other in a
process of their own for each 50 cases, as from the command line; each picture is tried as it is and with --skip-unreadable.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from damage import MOST_BYTES, SECONDS, Asked, outcomes
from PIL import Image
from sheet import write_sheet

GOOD = ("answered", "refused by name", "skipped, said")
VERBS: dict[str, list[str]] = {
    "predict": ["predict", "RUN", "PICTURE"],
    "predict a folder": ["predict", "RUN", "FOLDER"],
    "explain": ["explain", "RUN", "PICTURE"],
    "evaluate": ["evaluate", "RUN", "DATA"],
    "attack": ["attack", "RUN", "DATA", "--attack", "fgsm", "--images", "16"],
    "calibrate": ["calibrate", "RUN", "DATA"],
    "compare": ["compare", "RUN", "RUN", "--data", "DATA"],
    "lesion": ["ablate", "RUN", "DATA", "--lesion", "--images", "16"],
    "train": ["train", "DATA", "--model", "lenet5", "--img-size", "32", "--epochs", "1", "--device", "cpu", "--output", "NEW"],
}
VERBS["repeat"] = ["repeat", *VERBS["train"][1:], "--seeds", "2"]


def main() -> None:
    """Try, count, write the sheet; with --work, be the process of one batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2, help="draws of each picture that is made by chance")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        worked(asked.work)
        return
    with tempfile.TemporaryDirectory(prefix="odd-") as name:
        base = Path(name)
        prepare(base)
        cases = [
            {"picture": picture, "verb": verb, "skip": skip, "seed": seed}
            for picture in PICTURES
            for seed in range(asked.seeds if picture in BY_CHANCE else 1)
            for verb in VERBS
            for skip in (False, True)
        ]
        found = outcomes(base / "batch", cases, asked.jobs, program=__file__, good=GOOD, named=in_words)
    if asked.json:
        print(json.dumps(Counter(one["outcome"] for one in found)))
        return
    write_sheet("odd_pictures", "Odd and damaged pictures, put before every verb", table(found), notes(found))


def prepare(base: Path) -> None:
    """Two folders of three classes of twelve small colour pictures each, and a run of one epoch on the first."""
    values = np.random.default_rng(0)
    for folder in ("seen", "unseen"):
        for label, name in enumerate(("ash", "beech", "cedar")):
            (base / folder / name).mkdir(parents=True)
            for number in range(12):
                pixels = values.integers(0, 150, (40, 36, 3)) + 50 * label
                Image.fromarray(pixels.astype(np.uint8)).save(base / folder / name / f"{number:02}.png")
    words = [*VERBS["train"][:-2], "--output", str(base / "run")]
    subprocess.run(
        ["striate", *[str(base / "seen") if word == "DATA" else word for word in words]], check=True, capture_output=True, cwd=base
    )


# ---- pictures


def noise(*shape: int) -> np.ndarray:
    """Levels by chance, the same each time."""
    return np.random.default_rng(7).integers(0, 256, shape).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def colour(height: int = 40, width: int = 36) -> Image.Image:
    """A colour picture of noise."""
    return Image.fromarray(noise(height, width, 3))


def png(height: int, width: int, depth: int, kind: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG by hand, of filter bytes and samples."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*one) for one in chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def turned(orientation: int) -> bytes:
    """A JPEG that a camera turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(colour(), "JPEG", exif=exif)


def circular_tiff() -> bytes:
    """A TIFF whose directory names itself as the next one."""
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 8)


def cut(data: bytes) -> Callable[[random.Random], bytes]:
    """The file without its end."""
    return lambda chance: data[: chance.randrange(8, len(data) - 8)]


def flipped(data: bytes, bits: int) -> Callable[[random.Random], bytes]:
    """The file with some bits changed."""

    def flip(chance: random.Random) -> bytes:
        changed = bytearray(data)
        for _ in range(bits):
            changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return bytes(changed)

    return flip


PNG, JPEG, GIF = saved(colour(), "PNG"), saved(colour(), "JPEG"), saved(colour(), "GIF")
WEBP, TIFF, BMP = saved(colour(), "WEBP"), saved(colour(), "TIFF", compression="tiff_lzw"), saved(colour(), "BMP")
FRAMES = {"save_all": True, "append_images": [colour(), colour()]}
READABLE: dict[str, bytes] = {
    "1 x 1": saved(colour(1, 1), "PNG"),
    "1 x 3,000": saved(colour(1, 3000), "PNG"),
    "3,000 x 1": saved(colour(3000, 1), "PNG"),
    "4,000 x 3,000 JPEG": saved(Image.new("RGB", (4000, 3000), (90, 120, 40)), "JPEG"),
    "grey": saved(Image.fromarray(noise(40, 36)), "PNG"),
    "grey of 16 bits": saved(Image.fromarray(noise(40, 36).astype(np.uint16) * 257), "PNG"),
    "colour of 16 bits": png(40, 36, 16, 2, b"".join(b"\0" + noise(36 * 6).tobytes() for _ in range(40))),
    "one bit": saved(Image.fromarray(noise(40, 36) > 128), "PNG"),
    "grey with transparency": saved(Image.fromarray(noise(40, 36, 2), "LA"), "PNG"),
    "colour with transparency": saved(Image.fromarray(noise(40, 36, 4), "RGBA"), "PNG"),
    "palette": saved(colour().quantize(16), "PNG"),
    "palette with transparency": saved(colour().quantize(16), "PNG", transparency=3),
    "CMYK JPEG": saved(Image.fromarray(noise(40, 36, 4), "CMYK"), "JPEG"),
    "progressive JPEG": saved(colour(), "JPEG", progressive=True),
    "JPEG turned by 90 degrees": turned(6),
    "JPEG of an orientation that does not exist": turned(77),
    "JPEG with broken EXIF": saved(colour(), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 40),
    "PNG with a broken colour profile": saved(colour(), "PNG", icc_profile=b"\xff" * 300),
    "animated GIF": saved(colour().quantize(16), "GIF", **FRAMES),
    "animated WebP": saved(colour(), "WEBP", **FRAMES),
    "TIFF of three pages": saved(colour(), "TIFF", **FRAMES),
    "BMP": BMP,
    "PNG called .jpg": PNG,
    "bytes after the end": JPEG + b"\0" * 1000,
}
UNREADABLE: dict[str, bytes] = {
    "empty": b"",
    "a text": b"not a picture\n" * 20,
    "a page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"></svg>',
    "PDF": b"%PDF-1.4\n1 0 obj << >> endobj\ntrailer << >>\n%%EOF\n",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\nshowpage\n",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
    "float TIFF": saved(Image.fromarray(noise(40, 36).astype(np.float32)), "TIFF"),
    "grey TIFF of 32 bits": saved(Image.fromarray(noise(40, 36).astype(np.int32) * 9999), "TIFF"),
    "TIFF in a circle": circular_tiff(),
    "a bomb of 3.6 thousand million pixels": png(60_000, 60_000, 8, 2, b"\0" * 100),
    "0 x 0": png(0, 0, 8, 2, b""),
    "a profile that unpacks to 1 GB": png(40, 36, 8, 2, b"\0", (b"iCCP", b"x\0\0" + zlib.compress(bytes(2**30), 9))),
    "only the first bytes of a PNG": PNG[:8],
    "only the first bytes of a JPEG": JPEG[:20],
}
BY_CHANCE: dict[str, Callable[[random.Random], bytes]] = {
    **{f"{name} cut": cut(data) for name, data in {"PNG": PNG, "JPEG": JPEG, "GIF": GIF, "WebP": WEBP, "TIFF": TIFF, "BMP": BMP}.items()},
    **{f"{name}, 1 bit": flipped(data, 1) for name, data in {"PNG": PNG, "JPEG": JPEG, "GIF": GIF, "WebP": WEBP, "TIFF": TIFF}.items()},
    **{f"{name}, 30 bits": flipped(data, 30) for name, data in {"PNG": PNG, "JPEG": JPEG, "GIF": GIF, "WebP": WEBP, "TIFF": TIFF}.items()},
    "other bytes": lambda chance: chance.randbytes(3000),
}


def as_pipe(path: Path) -> None:
    """A pipe, which nobody writes to."""
    os.mkfifo(path)


def as_hole(path: Path) -> None:
    """A PNG's first bytes, and 70 GB of nothing."""
    path.write_bytes(PNG[:8])
    os.truncate(path, 70 * 10**9)


NO_FILE: dict[str, Callable[[Path], None]] = {
    "a pipe": as_pipe,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nothing": lambda path: path.symlink_to("nothing.png"),
    "a link in a circle": lambda path: path.symlink_to(path.name),
    "a folder called .png": lambda path: path.mkdir(),
    "70 GB": as_hole,
}
NAMES: dict[str, str] = {
    "a name with a line break": "odd\n.png",
    "a name that begins with a dash": "-odd.png",
    "a name of 250 letters": "o" * 246 + ".png",
    "a name in Latin-1": os.fsdecode(b"odd-\xe9.png"),
    "a name of emoji and right to left": "odd-\N{BOUQUET}\N{RIGHT-TO-LEFT OVERRIDE}.png",
    "capital letters": "ODD.PNG",
}
PICTURES = [*READABLE, *UNREADABLE, *BY_CHANCE, *NO_FILE, *NAMES]


def placed(picture: str, seed: int, folder: Path) -> Path:
    """Put an odd picture into a folder."""
    if picture in NAMES:
        path = folder / NAMES[picture]
        path.write_bytes(PNG)
        return path
    path = folder / ("odd.jpg" if "JPEG" in picture or ".jpg" in picture else "odd.png")
    if picture in NO_FILE:
        NO_FILE[picture](path)
    else:
        made = BY_CHANCE[picture](random.Random(f"{picture} {seed}")) if picture in BY_CHANCE else {**READABLE, **UNREADABLE}[picture]
        path.write_bytes(made)
    return path


# ---- one process: some cases


def worked(batch: Path) -> None:
    """Go through the cases of a batch, and append an outcome a line as it is known."""
    os.environ["MPLBACKEND"] = "agg"
    base, cases = batch.parent, json.loads(batch.read_text())
    asked = Asked(base, batch.with_suffix(".runs"))
    with arranged(base, batch, {"picture": "1 x 1", "verb": "evaluate", "skip": False, "seed": 0}) as (words, _):
        asked.asked(words, 10 * SECONDS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with batch.with_suffix(".out").open("a") as out:
        for case in cases:
            started = time.monotonic()
            with arranged(base, batch, case) as (words, path):
                code, answer, said = asked.asked(words, SECONDS)
            grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            outcome = judged(case, code, answer, said, path, grown)
            record = {**case, "code": code, "outcome": outcome, "seconds": time.monotonic() - started, "grown": grown, "said": said[-400:]}
            out.write(json.dumps(record) + "\n")
            out.flush()
            if outcome in ("hung", "too much memory"):
                return  # the next process goes on after it


@contextmanager
def arranged(base: Path, batch: Path, case: dict[str, Any]) -> Iterator[tuple[list[str], Path]]:
    """The words of a command line, and the path of the odd picture, in a fresh copy of the unseen data."""
    place = batch.with_suffix(".case")
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base / "unseen", place / "data", copy_function=os.link)
    shutil.copytree(base / "run", place / "run", copy_function=os.link)
    path = placed(case["picture"], case["seed"], place / "data" / "beech")
    places = {"RUN": place / "run", "PICTURE": path, "FOLDER": path.parent, "DATA": place / "data", "NEW": place / "new"}
    words = [str(places.get(word, word)) for word in VERBS[case["verb"]]]
    yield [*words, *(["--skip-unreadable"] if case["skip"] else [])], path
    shutil.rmtree(place, ignore_errors=True)


def judged(case: dict[str, Any], code: int, answer: str, said: str, path: Path, grown: int) -> str:
    """What came of it, in a word."""
    if code == -14:
        return "hung"
    if grown > MOST_BYTES:
        return "too much memory"
    if code == 70:
        return "crashed"
    named = path.stem.strip("\n")[:40] in said + answer
    if case["picture"] in READABLE or case["picture"] in NAMES:
        return "answered" if code == 0 else f"refused a good picture ({code})"
    if code == 0 and not case["skip"]:
        maybe = case["picture"] in BY_CHANCE or case["picture"] == "a folder called .png"
        return "answered" if maybe else "answered a bad picture"
    if code == 0:
        return "skipped, said" if named or "unreadable" in said else "answered" if case["picture"] in BY_CHANCE else "skipped in silence"
    return "refused by name" if named and code in (3, 7) else f"another error ({code})"


# ---- counts


def in_words(one: dict[str, Any]) -> str:
    """The case of an outcome."""
    return f"{one['picture']}: {one['verb']}{' --skip-unreadable' if one['skip'] else ''}, seed {one['seed']}"


def table(found: list[dict[str, Any]]) -> list[list[str]]:
    """A row a verb."""
    heading = ["verb", "cases", "answered", "refused by name", "skipped, said", "crash, hang, over 2 GB, other", "as wanted"]
    rows = [row_of(f"`{verb}`", [one for one in found if one["verb"] == verb]) for verb in VERBS]
    return [heading, *rows, row_of("**all**", found)]


def row_of(name: str, some: list[dict[str, Any]]) -> list[str]:
    """The counts of some outcomes."""
    counts = Counter(one["outcome"] for one in some)
    good = sum(counts[kind] for kind in GOOD)
    return [name, str(len(some)), *(str(counts[kind]) for kind in GOOD), str(len(some) - good), f"{good}/{len(some)}"]


def notes(found: list[dict[str, Any]]) -> list[str]:
    """How it was done."""
    slowest = max(found, key=lambda one: one["seconds"])
    largest = max(one["grown"] for one in found)
    return [
        f"Good but odd, to be answered: {', '.join([*READABLE, *NAMES])}.",
        f"Not readable, to be refused with the file's name (3), or left out with a word if asked: {', '.join([*UNREADABLE, *NO_FILE])}.",
        f"By chance, either of the two: {', '.join(BY_CHANCE)}.",
        f"Slowest: {slowest['seconds']:.1f} s ({slowest['verb']}, {slowest['picture']}).",
        f"Most memory beyond the first answer: {largest / 2**20:,.0f} MB.",
    ]


if __name__ == "__main__":
    main()
