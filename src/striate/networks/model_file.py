"""Model files: safetensors with the description, the classes and the preprocessing as JSON in the metadata. Numbers and names only.

A file holds one metadata entry, `striate`: format, network, classes, images (the ImageSpec), info, targets (a TargetSpec, where the
outputs are not classes), and the SHA-256 of all that and of the tensors, so that a damaged or edited file is refused.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from striate.core.errors import NumericError, RefusedFileError, StriateError
from striate.core.files import write_atomically
from striate.core.images import ImageSpec
from striate.core.seeds import torch_seed
from striate.core.targets import TargetSpec
from striate.networks.foreign import with_module
from striate.networks.network import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
FIELDS = {"format", "network", "classes", "images", "info", "sha256"}
MAX_HEADER_BYTES = 100_000_000  # the safetensors format's own limit


class NotDescribedError(RefusedFileError):
    """A safetensors file of another program: weights without a description."""


class ModelFile(NamedTuple):
    """What a model file says: `module` maps normalized images (N, C, H, W) to logits (N, K), in evaluation mode.

    `targets` says what the outputs mean where they are no classes; `classes` are then the names of the outputs.
    """

    network: Network
    module: nn.Module
    classes: tuple[str, ...]
    images: ImageSpec
    info: dict[str, Any]
    targets: TargetSpec | None = None


def save_model(
    path: Path,
    network: Network,
    state: dict[str, Tensor],
    *,
    classes: tuple[str, ...],
    images: ImageSpec,
    info: dict[str, Any],
    targets: TargetSpec | None = None,
) -> None:
    """Write a model file at `path`, whole or not at all.

    Args:
        path: Ends in `.safetensors`.
        network: The description of the module that `state` comes from.
        state: Its state dict, auxiliary heads left out.
        classes: The class names in the order of the logits.
        images: The preprocessing.
        info: What else to keep about the training; JSON-able.
        targets: What the outputs mean where they are no classes.

    Raises:
        NumericError: a tensor holds NaN or Inf; nothing is written.
        EnvironmentFault: the file cannot be written; an older one stays.
    """
    import safetensors.torch

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise NumericError(f"{path.name}: not saved, because {name} holds NaN or Inf", "Train with a smaller --lr.")
    header: dict[str, Any] = {
        "format": FORMAT,
        "network": network.to_data(),
        "classes": list(classes),
        "images": TypeAdapter(ImageSpec).dump_python(images, mode="json"),
        "info": info,
    }
    if targets is not None:
        header["targets"] = TypeAdapter(TargetSpec).dump_python(targets, mode="json")
    header["sha256"] = _digest(header, tensors)
    write_atomically(path, safetensors.torch.save(tensors, {"striate": json.dumps(header, allow_nan=False)}))


class Contents(NamedTuple):
    """The same with the weights by name in place of the module."""

    network: Network
    tensors: dict[str, Tensor]
    classes: tuple[str, ...]
    images: ImageSpec
    info: dict[str, Any]
    targets: TargetSpec | None


def load_model(path: Path, *, module: nn.Module | None = None) -> ModelFile:
    """Read a model file; of a network that was the user's own module, with that `module`.

    Raises:
        RefusedFileError: as of `read_model`, or the weights do not fit the description.
        UsageError: the network was the user's own module, which is not handed in; or a module is that is not wanted.
    """
    contents = read_model(path)
    network = with_module(contents.network, module)
    built = _built(path, network, contents.tensors)
    return ModelFile(network, built, contents.classes, contents.images, contents.info, contents.targets)


def read_model(path: Path) -> Contents:
    """Read a model file without building its network.

    Raises:
        RefusedFileError: not a Striate model file, damaged or edited. Nothing that the file names is imported or called, and nothing
            large is allocated before the sizes agree.
    """
    import safetensors.torch
    from safetensors import SafetensorError

    data = _read(path)
    header = _header(path, data)
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise RefusedFileError(f"{path}: damaged safetensors file: {error}", "Copy the file again from where it was trained.") from None
    if header["sha256"] != _digest({k: v for k, v in header.items() if k != "sha256"}, tensors):
        raise RefusedFileError(f"{path}: the content does not match its SHA-256: damaged or edited", "Copy the file again from its source.")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise RefusedFileError(f"{path}: tensor {name} holds NaN or Inf")
    try:
        network = Network.from_data(header["network"])
        images = TypeAdapter(ImageSpec).validate_python(header["images"])
        classes = _classes(header["classes"])
        targets = TypeAdapter(TargetSpec).validate_python(header["targets"]) if "targets" in header else None
        outputs = network.output_shape[0]
    except ValidationError as error:
        first = error.errors()[0]
        raise RefusedFileError(f"{path}: images or targets: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except StriateError as error:
        raise RefusedFileError(f"{path}: {error.message}") from None
    if outputs != len(classes):
        raise RefusedFileError(f"{path}: the network has {outputs} outputs for {len(classes)} classes")
    if targets is not None and targets.mean and len(targets.mean) != outputs:
        raise RefusedFileError(f"{path}: the network has {outputs} outputs for {len(targets.mean)} targets")
    if (images.channels, images.height, images.width) != network.input_shape:
        raise RefusedFileError(f"{path}: images of {images.channels, images.height, images.width} for an input of {network.input_shape}")
    return Contents(network, tensors, classes, images, dict(header["info"]), targets)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RefusedFileError(f"{path}: cannot read: {error.strerror}", "Give a run folder or a .safetensors file.") from None
    if data[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05") or path.suffix in (".pt", ".pth", ".pkl", ".ckpt"):
        remedy = "Save its weights with safetensors; pickle can run code on loading, so it is never read."
        raise RefusedFileError(f"{path}: this is a pickle or PyTorch archive, not a Striate model file", remedy)
    return data


def _header(path: Path, data: bytes) -> dict[str, Any]:
    """The checked `striate` metadata entry of safetensors bytes."""
    remedy = "Copy the file again from where it was trained."
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if not 2 <= length <= min(len(data) - 8, MAX_HEADER_BYTES):
        raise RefusedFileError(f"{path}: not a safetensors file, or cut short ({len(data):,} bytes)", remedy)
    try:
        outer = json.loads(data[8 : 8 + length], object_pairs_hook=_no_duplicates)
        header = json.loads(outer["__metadata__"]["striate"], object_pairs_hook=_no_duplicates)
    except (KeyError, TypeError):
        message = f"{path}: a safetensors file without a Striate description"
        raise NotDescribedError(message, "Give the best.safetensors of a run.") from None
    except (ValueError, RecursionError) as error:
        raise RefusedFileError(f"{path}: damaged header: {error}", remedy) from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise RefusedFileError(f"{path}: written in another format than {FORMAT}", "Read it with the version of Striate that wrote it.")
    if set(header) - {"targets"} != FIELDS or not isinstance(header["info"], dict):
        raise RefusedFileError(f"{path}: the description must have the fields {', '.join(sorted(FIELDS))}")
    return header


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _classes(names: object) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise RefusedFileError("classes must be a list of distinct names")
    return tuple(names)


def _digest(header: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 over the header and, name by name, each tensor's type, shape and bytes."""
    import torch

    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _built(path: Path, network: Network, tensors: dict[str, Tensor]) -> nn.Module:
    """The network's module with the file's weights, in evaluation mode."""
    held = sum(tensor.numel() for tensor in tensors.values())
    if network.params > held:
        raise RefusedFileError(f"{path}: the description needs {network.params:,} parameters, the file holds {held:,} numbers")
    with torch_seed(0):  # weights that the file replaces must not cost the caller's random numbers
        module = network.build()
    wanted = module.state_dict()
    missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    wrong = [name for name in wanted if name in tensors and wanted[name].shape != tensors[name].shape]
    if missing or extra or wrong:
        differences = [f"missing {name}" for name in missing] + [f"unexpected {name}" for name in extra]
        differences += [f"{name} is {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}" for name in wrong]
        raise RefusedFileError(f"{path}: the weights do not fit the description: {'; '.join(differences[:5])}")
    module.load_state_dict(tensors)
    return module.eval()
