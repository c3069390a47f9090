"""File formats by their first bytes: the content decides, not the ending of the name."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from PIL import features

from striate.core.errors import DataError
from striate.data.pieces import PictureFile

HEAD = 32  # bytes that are looked at
PLUGINS = MappingProxyType({"HEIC": ("pillow_heif", "heic")})  # of Pillow, for formats that it does not read itself; and their extras
HAS = frozenset(kind for kind, (module, _) in PLUGINS.items() if find_spec(module) is not None)
EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    *((".avif",) if features.check("avif") else ()), *((".heic", ".heif", ".hif") if "HEIC" in HAS else ()),
)  # fmt: skip

OF_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
RAW = "a camera's raw format"
# Pictures that are not decoded here, by the endings of their names.
FOREIGN_ENDINGS = MappingProxyType(
    dict.fromkeys((".heic", ".heif", ".hif"), "HEIC")
    | dict.fromkeys((".avif", ".avifs"), "AVIF")
    | dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpf", ".jpx", ".jpc"), "JPEG 2000")
    | {".jxl": "JPEG XL", ".psd": "Photoshop", ".svg": "SVG", ".tga": "TGA", ".exr": "OpenEXR", ".xcf": "GIMP", ".ico": "icon"}
    | dict.fromkeys(
        (".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2",
         ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
        RAW,
    )
)  # fmt: skip
SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "Photoshop"),
    (b"FUJIFILMCCD-RAW", RAW),
    (b"IIRO", RAW),
    (b"IIRS", RAW),
    (b"IIU\0", RAW),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
)
BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # sizes that the second header of a BMP file may have
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
DECODED = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", *(("AVIF",) if features.check("avif") else ()), *sorted(HAS))


def format_of(head: bytes) -> str | None:
    """The picture format that the first bytes of a file indicate, whether it can be decoded or not."""
    for signature, name in SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADERS:
        return "BMP"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace() and (head[3:4].isdigit() or head[3:4] == b"#"):
        return "PPM"
    return _of_boxes(head)


def _of_boxes(head: bytes) -> str | None:
    """The format of a file of boxes, as HEIC and AVIF are, which begins with the brands that it keeps to."""
    if head[4:8] != b"ftyp":
        return None
    brands = [head[place : place + 4] for place in (8, *range(16, HEAD, 4))]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    return RAW if brands[0] == b"crx " else "HEIC" if brands[0] in HEIF_BRANDS else None


def is_picture_by_name(name: str) -> bool:
    """Return whether a name has the ending of a format that can be decoded."""
    return name.lower().endswith(EXTENSIONS)


def picture_format(path: Path) -> str | None:
    """The format of a picture file: one of `DECODED`, or one that cannot be decoded; None: not a picture, or not a regular file."""
    if not os.path.isfile(path):  # noqa: PTH113  # False if the folder may not be entered
        return None
    ending = path.suffix.lower()
    by_name = FOREIGN_ENDINGS.get(ending)
    if by_name == RAW:  # most are TIFF files, of which only the thumbnail would be seen
        return RAW
    try:
        with path.open("rb") as file:
            return format_of(file.read(HEAD)) or by_name
    except OSError:
        return by_name


def not_decoded(path: PictureFile, kind: str) -> DataError:
    """The error for a picture of a format that cannot be decoded."""
    remedy = "Convert them to JPEG or PNG with a program that opens them, or leave them out with `skip_unreadable=True`."
    if kind in PLUGINS:
        remedy = f"Install what reads them: pip install 'striate[{PLUGINS[kind][1]}]'. Or {remedy[0].lower()}{remedy[1:]}"
    return DataError(f"{path}: {kind} pictures are not supported", remedy)
