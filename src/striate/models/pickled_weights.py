"""Weights in the files of PyTorch (`.pth`, `.pt`): named tensors, read by torch's loader of tensors and plain containers, and nothing else.

These files are pickles, which can name any function to be called. The loader calls none but those that put a tensor together; a file
that names another is refused, and so is a tensor that claims more numbers than the file holds.
"""

from __future__ import annotations

import hashlib
import io
import pickle  # noqa: TID251  # for the name of an error of torch
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from striate.core.errors import RefusedFileError
from striate.core.files import read_plain
from striate.core.tensor_files import COPY_AGAIN, MAX_FILE_BYTES, PICKLED

WRAPPERS = ("state_dict", "model_state_dict", "model", "model_ema", "state_dict_ema", "net", "network", "module", "weights", "params")
PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, of torch.compile, and of what a trainer calls its network
SAVE_WEIGHTS = "Save the weights alone where it comes from: torch.save(model.state_dict(), FILE), or the same with safetensors."


def is_pickled(path: Path) -> bool:
    """Return whether a file begins as the files of PyTorch do, and not as a safetensors file."""
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError:  # reported where it is read
        return False
    return start.startswith(PICKLED) and start[8:9] != b"{"


def pickled_tensors(path: Path, *, sha256: str = "") -> dict[str, Tensor]:
    """The named tensors of a file of PyTorch, out of the wrappers and without the prefixes that trainers put around them.

    Args:
        path: The file.
        sha256: What the SHA-256 of its bytes begins with, where that is known.

    Raises:
        RefusedFileError: it holds something else than tensors and plain values, is damaged or another file, or holds NaN or Inf.
    """
    data = read_plain(path, limit=MAX_FILE_BYTES, remedy="Give a file of weights.")
    if not hashlib.sha256(data).hexdigest().startswith(sha256):
        raise RefusedFileError(f"{path}: not the weights that were published: its SHA-256 is another", "Remove the file and get it again.")
    found = {name: _plain(path, name, tensor, len(data)) for name, tensor in _unwrapped(path, tensors_only(data, str(path))).items()}
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in found)), None):
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def tensors_only(data: bytes, where: str) -> Any:
    """The content of a file of PyTorch, if that is tensors, numbers, text and containers of these.

    Raises:
        RefusedFileError: it holds or names something else, or is damaged; calls it `where`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about how long a sparse tensor takes to check, which is refused later
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)  # noqa: TID251  # tensors and plain containers alone
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({named[1]})" if named else ""
        message = f"{where}: holds more than tensors{what}, such as a whole module, and loading that could run any code"
        raise RefusedFileError(message, SAVE_WEIGHTS) from None
    except (RuntimeError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, OverflowError, UnicodeError) as error:
        if "TorchScript" in str(error):
            raise RefusedFileError(f"{where}: is a program in TorchScript, not a file of weights", SAVE_WEIGHTS) from None
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RefusedFileError(f"{where}: a damaged file of weights: {reason[:200]}", COPY_AGAIN) from None


def _unwrapped(path: Path, content: Any) -> dict[str, Tensor]:
    """The mapping of names to tensors, which may lie inside others."""
    while isinstance(content, Mapping):
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        inner = next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping) and content[name]), None)
        if inner is None or len(tensors) > 1:
            if tensors:
                return tensors
            break
        content = inner
    holds = f"the names {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else f"a {type(content).__name__}"
    raise RefusedFileError(f"{path}: holds no named tensors, but {holds}", SAVE_WEIGHTS)


def _plain(path: Path, name: str, tensor: Tensor, num_bytes: int) -> Tensor:
    """The tensor in memory of its own, if it is an ordinary one of finite numbers."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise RefusedFileError(f"{path}: tensor {name} is sparse, quantized or without numbers", SAVE_WEIGHTS)
    if tensor.numel() * tensor.element_size() > num_bytes:
        raise RefusedFileError(f"{path}: tensor {name} has the shape {tuple(tensor.shape)}, more than the file holds", COPY_AGAIN)
    plain = tensor.detach().contiguous().clone()
    if (plain.is_floating_point() or plain.is_complex()) and not plain.isfinite().all():
        raise RefusedFileError(f"{path}: tensor {name} holds NaN or Inf")
    return plain
