"""Safetensors files, read and written in one place: numbers by name, and text beside them. Nothing in a file is ever run.

A file begins with the length of its header, eight bytes that can have any values, and the header, which begins with `{`. So its kind is
told by both together: the first bytes alone may be those of a pickle or of an archive. A file is read, never mapped: what is cut under
a mapping ends the process.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from striate.core.bounded import parsed_json
from striate.core.errors import RefusedFileError, UsageError
from striate.core.files import read_plain, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

MAX_FILE_BYTES = 64 * 2**30
MAX_HEADER_BYTES = 100_000_000  # the format's own limit
PICKLED = (b"PK\x03\x04", b"PK\x05\x06", *(bytes([0x80, protocol]) for protocol in range(2, 6)))  # openings of archives and pickles
PICKLE_ENDINGS = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt")
NO_PICKLES = "Save its weights with safetensors; pickle can run code on loading, so it is never read."
COPY_AGAIN = "Copy the file again from its source."


class TensorFile(NamedTuple):
    """The bytes of a safetensors file, whose header is one; no tensor is made yet."""

    path: Path
    data: bytes
    metadata: dict[str, str]


def read_tensor_file(path: Path, *, remedy: str = "Give a .safetensors file.") -> TensorFile:
    """The safetensors file at `path`.

    Raises:
        RefusedFileError: no plain file, unreadable, too large, a pickle, or no safetensors file.
    """
    return tensor_file(path, read_plain(path, limit=MAX_FILE_BYTES, remedy=remedy), remedy=remedy)


def tensor_file(path: Path, data: bytes, *, remedy: str = COPY_AGAIN) -> TensorFile:
    """The safetensors file of bytes in memory; `path` is named in errors.

    Raises:
        RefusedFileError: as of `read_tensor_file`.
    """
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 2 <= length <= min(len(data) - 8, MAX_HEADER_BYTES) or data[8:9] != b"{":
        if data.startswith(PICKLED) or path.suffix.lower() in PICKLE_ENDINGS:
            raise RefusedFileError(f"{path}: this is a pickle or PyTorch archive, not a safetensors file", NO_PICKLES)
        raise RefusedFileError(f"{path}: not a safetensors file, or cut short ({len(data):,} bytes)", remedy)
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise RefusedFileError(f"{path}: damaged header: {error}", remedy) from None
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return TensorFile(path, data, metadata if isinstance(metadata, dict) else {})


def described(file: TensorFile, entry: str) -> Any:
    """The metadata entry `entry`, read as JSON; None if there is no such entry.

    Raises:
        RefusedFileError: it is no JSON, or of what plain data does not need.
    """
    text = file.metadata.get(entry)
    return parsed_json(text, f"{file.path}: {entry}", COPY_AGAIN, any_text=True) if isinstance(text, str) else None


def torch_tensors(file: TensorFile) -> dict[str, Tensor]:
    """The tensors, for torch.

    Raises:
        RefusedFileError: they are damaged, or hold NaN or Inf.
    """
    from safetensors.torch import load

    tensors: dict[str, Tensor] = _loaded(file, load)
    for name, tensor in tensors.items():
        if (tensor.is_floating_point() or tensor.is_complex()) and not tensor.isfinite().all():
            raise RefusedFileError(f"{file.path}: tensor {name} holds NaN or Inf")
    return tensors


def numpy_arrays(file: TensorFile) -> dict[str, np.ndarray]:
    """The tensors, for NumPy.

    Raises:
        RefusedFileError: they are damaged, or hold NaN or Inf.
    """
    from safetensors.numpy import load

    arrays: dict[str, np.ndarray] = _loaded(file, load)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise RefusedFileError(f"{file.path}: tensor {name} holds NaN or Inf")
    return arrays


def write_tensor_file(path: Path, data: bytes, opens: Callable[[TensorFile], object]) -> None:
    """Write the bytes of a safetensors file at `path`, once they were read back from the disk and `opens` accepted them.

    Args:
        path: The file; one that is there stays until the new one is known to open.
        data: The bytes from safetensors.
        opens: Reads the file as it will be read later.

    Raises:
        UsageError: it could not be opened again; nothing is written.
        EnvironmentFault: it cannot be written, or reads back otherwise.
    """

    def read_back(found: bytes) -> None:
        try:
            opens(tensor_file(path, found))
        except RefusedFileError as error:
            raise UsageError(f"not saved, because it could not be opened again: {error.message}", error.remedy) from None

    write_atomically(path, data, read_back=read_back)


def sealed(description: Mapping[str, Any], tensors: Mapping[str, Any]) -> dict[str, Any]:
    """`description` with the SHA-256 of itself and of the tensors."""
    return {**description, "sha256": digest(description, tensors)}


def check_seal(path: Path, description: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    """Refuse what was changed since `sealed`.

    Raises:
        RefusedFileError: the SHA-256 is of something else.
    """
    if description.get("sha256") != digest({name: value for name, value in description.items() if name != "sha256"}, tensors):
        raise RefusedFileError(f"{path}: the content does not match its SHA-256: damaged or edited", COPY_AGAIN)


def digest(description: Mapping[str, Any], tensors: Mapping[str, Any]) -> str:
    """SHA-256 over the description and, name by name, the type, shape and bytes of each tensor or array."""
    found = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(tensors):
        found.update(f"\n{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        found.update(_plain_bytes(tensors[name]))
    return found.hexdigest()


def _plain_bytes(tensor: Any) -> memoryview:
    """The bytes of a tensor or an array, not copied where they lie in order."""
    if isinstance(tensor, np.ndarray):
        return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data
    import torch

    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data  # type: ignore[no-any-return]


def _loaded(file: TensorFile, load: Callable[[bytes], Any]) -> Any:
    from safetensors import SafetensorError

    try:
        return load(file.data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OverflowError) as error:
        raise RefusedFileError(f"{file.path}: damaged safetensors file: {error}", COPY_AGAIN) from None
