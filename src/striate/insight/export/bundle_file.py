"""A folder that runs by itself, as a zip file: the ONNX file, its card, a short program and the packages that it needs."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.errors import RefusedFileError, UsageError
from striate.core.files import read_plain
from striate.core.images import ImageSpec
from striate.core.tensor_files import COPY_AGAIN
from striate.insight.export.onnx_file import onnx_bytes
from striate.insight.export.wanted import Wanted
from striate.models.exported import MAX_BYTES
from striate.models.runtimes import ONNX

if TYPE_CHECKING:
    from striate.models.model import Model

PARTS = Path(__file__).with_name("bundle")
ZIP = ".zip"
MODEL, SUMS = f"model{ONNX}", "SHA256SUMS"  # the hashes of the other files, as `sha256sum --check` reads them
SIGNATURE = f"{SUMS}.sig"
OWN = ("README.txt", MODEL, "predict.py", "requirements.txt")  # beside the papers that are handed in
TOP = "model/"  # the folder in the zip file
WRITTEN = (1980, 1, 1, 0, 0, 0)  # the same model gives the same bytes
IMPORTABLE = (".py", ".pyc", ".pyd", ".so")
README = """Classify pictures:

    python -m venv here
    here/bin/python -m pip install --require-hashes -r requirements.txt
    here/bin/python predict.py PICTURE ...

Check that no file was changed: sha256sum --check SHA256SUMS
"""


def bundled_onnx(model: Model, wanted: Wanted) -> dict[str, bytes]:
    """The ONNX file for a bundle.

    Raises:
        UsageError: the model takes no pictures, or as of `onnx_bytes`.
    """
    if not isinstance(model.images, ImageSpec):
        raise UsageError(f"{model.network.name}: takes {model.images.kind}, and a bundle classifies picture files", "Export it as onnx.")
    return {ONNX: onnx_bytes(model, wanted)}


def bundle_bytes(model: bytes, papers: Mapping[str, bytes], sign: Callable[[bytes], bytes] | None = None) -> bytes:
    """The zip file of an ONNX file and its papers: with `predict.py`, its packages by name, version and hash, and the hashes of all files.

    Args:
        model: The ONNX file.
        papers: The card and the bill of materials, by the names of their files.
        sign: Gives the signature of the list of hashes.
    """
    parts = {
        "README.txt": README.encode(),
        **papers,
        MODEL: model,
        "predict.py": (PARTS / "predict.py.txt").read_bytes(),
        "requirements.txt": (PARTS / "requirements.txt").read_bytes(),
    }
    sums = "".join(f"{_digest(data)}  {name}\n" for name, data in parts.items()).encode()
    parts[SUMS] = sums
    if sign is not None:
        parts[SIGNATURE] = sign(sums)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(f"{TOP}{name}", WRITTEN), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


# ---- and back


def is_bundle(path: Path) -> bool:
    """Return whether a path is that of a bundle: of a zip file, or of a folder with its hashes."""
    return path.suffix.lower() == ZIP if not path.is_dir() else (path / SUMS).is_file()


def parts_of_bundle(path: Path) -> dict[str, bytes]:
    """The files of a bundle by their names, each with the hash that stands in its list.

    Raises:
        RefusedFileError: no bundle, a file is missing or was changed, or there is one that its program might import.
    """
    parts = _unpacked(path) if path.is_dir() else _unzipped(path)
    if SUMS not in parts:
        raise RefusedFileError(f"{path}: holds no {SUMS}: no bundle, or one of an earlier version", "Export it again.")
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in parts[SUMS].decode(errors="replace").splitlines())}
    for name in (*OWN, *listed):
        if name not in listed or name not in parts:
            raise RefusedFileError(f"{path}: {name} is missing, or is not listed in {SUMS}", COPY_AGAIN)
        if _digest(parts[name]) != listed[name]:
            raise RefusedFileError(f"{path}: {name} does not match its SHA-256: damaged or edited", COPY_AGAIN)
    strange = next((name for name in parts if name not in (*listed, SUMS, SIGNATURE)), None)
    if strange is not None:
        raise RefusedFileError(f"{path}: {strange} is not listed in {SUMS}", "Do not run its program; copy the bundle again.")
    return parts


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _unzipped(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(read_plain(path, limit=MAX_BYTES))) as archive:
            members = archive.infolist()
            if sum(each.file_size for each in members) > MAX_BYTES:
                raise RefusedFileError(f"{path}: its files are larger than {MAX_BYTES:,} bytes", COPY_AGAIN)
            found = {each.filename.removeprefix(TOP): archive.read(each) for each in members}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError):
        raise RefusedFileError(f"{path}: not a whole zip file: damaged", COPY_AGAIN) from None
    if len(found) < len(members):
        raise RefusedFileError(f"{path}: a file stands in it twice", COPY_AGAIN)
    return found


def _unpacked(folder: Path) -> dict[str, bytes]:
    """The files in a folder that stand in its list, and those that the program beside them might import."""
    sums = read_plain(folder / SUMS, limit=MAX_BYTES)
    names = {line.partition("  ")[2] for line in sums.decode(errors="replace").splitlines()}
    names |= {each.name for each in folder.iterdir() if each.suffix in IMPORTABLE or any(each.glob("__init__.*"))}
    plain = sorted(name for name in names if (folder / name).is_file() and Path(name).name == name)
    modules = [name for name in names if (folder / name).is_dir()]
    return {SUMS: sums, **{name: read_plain(folder / name, limit=MAX_BYTES) for name in plain}, **dict.fromkeys(modules, b"")}
