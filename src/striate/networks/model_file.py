"""Model files: safetensors with the description, the classes and the preprocessing as JSON in the metadata. Numbers and names only.

A file holds one metadata entry, `striate`: format, network, classes, images (the ImageSpec or SignalSpec), info, targets (a TargetSpec,
where the outputs are not classes), and the SHA-256 of all that and of the tensors, so that a damaged or edited file is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from striate.core.bounded import is_text
from striate.core.errors import NumericError, RefusedFileError, StriateError
from striate.core.images import InputSpec
from striate.core.refusals import refusal
from striate.core.seeds import torch_seed
from striate.core.targets import TargetSpec
from striate.core.tensor_files import (
    TensorFile,
    check_seal,
    described,
    read_tensor_file,
    sealed,
    torch_tensors,
    write_tensor_file,
)
from striate.networks.foreign import is_own, with_module
from striate.networks.limits import refuse_absurd_memory
from striate.networks.network import MAX_DESCRIPTION_BYTES, Network

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
FIELDS = {"format", "network", "classes", "images", "info", "sha256"}
ENTRY = "striate"  # of the metadata
WANTED = "Give a run folder or the best.safetensors of a run."


class NotDescribedError(RefusedFileError):
    """A safetensors file of another program: weights without a description."""


class ModelFile(NamedTuple):
    """The content of a model file: `module` maps normalized images (N, C, H, W) to logits (N, K), in evaluation mode.

    `targets` gives the meaning of the outputs if they are not classes; `classes` are then the names of the outputs.
    """

    network: Network
    module: nn.Module
    classes: tuple[str, ...]
    images: InputSpec
    info: dict[str, Any]
    targets: TargetSpec | None = None


def save_model(
    path: Path,
    network: Network,
    state: dict[str, Tensor],
    *,
    classes: tuple[str, ...],
    images: InputSpec,
    info: dict[str, Any],
    targets: TargetSpec | None = None,
) -> None:
    """Write a model file at `path`, whole or not at all: it gets its name once it was read back successfully.

    Args:
        path: Ends in `.safetensors`.
        network: The description of the module that `state` comes from.
        state: Its state dict, auxiliary heads left out.
        classes: The class names in the order of the logits.
        images: The preprocessing.
        info: Further facts about the training; JSON-able.
        targets: The meaning of the outputs if they are not classes.

    Raises:
        NumericError: a tensor holds NaN or Inf; nothing is written.
        UsageError: such a file could not be opened again, as its parts do not fit; nothing is written.
        EnvironmentFault: the file cannot be written, or the disk gives back other bytes; an older one stays.
    """
    import safetensors.torch

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise NumericError(f"{path.name}: not saved, because {name} holds NaN or Inf", "Train with a smaller `learning_rate`.")
    header = description_of(network, classes=classes, images=images, info=info, targets=targets)
    data = safetensors.torch.save(tensors, {ENTRY: json.dumps(sealed(header, tensors), allow_nan=False)})
    write_tensor_file(path, data, _contents)


def description_of(
    network: Network, *, classes: tuple[str, ...], images: InputSpec, info: dict[str, Any], targets: TargetSpec | None
) -> dict[str, Any]:
    """Plain data of all that a model file holds beside its weights; `described_model` reads it."""
    description: dict[str, Any] = {
        "format": FORMAT,
        "network": network.to_data(),
        "classes": list(classes),
        "images": TypeAdapter(InputSpec).dump_python(images, mode="json"),
        "info": info,
    }
    if targets is not None:
        description["targets"] = TypeAdapter(TargetSpec).dump_python(targets, mode="json")
    return description


class Contents(NamedTuple):
    """The same with the weights by name in place of the module."""

    network: Network
    tensors: dict[str, Tensor]
    classes: tuple[str, ...]
    images: InputSpec
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
    return _contents(read_tensor_file(path, remedy=WANTED))


def _contents(file: TensorFile) -> Contents:
    """The content of a model file's bytes, checked for validity and consistency."""
    path = file.path
    if len(file.metadata.get(ENTRY, "")) > MAX_DESCRIPTION_BYTES:
        raise RefusedFileError(f"{path}: a description of more than {MAX_DESCRIPTION_BYTES:,} bytes")
    header = described(file, ENTRY)
    if header is None:
        raise NotDescribedError(f"{path}: a safetensors file without a Striate description", "Give the best.safetensors of a run.")
    check_fields(path, header, FIELDS)
    tensors = torch_tensors(file)
    check_seal(path, header, tensors)
    return described_model(path, header, tensors, sum(tensor.nbytes for tensor in tensors.values()))


def described_model(path: Path, header: dict[str, Any], tensors: dict[str, Tensor], weight_bytes: int) -> Contents:
    """The content that the description `header` of a model gives, checked for validity and consistency.

    Args:
        path: Named in errors.
        header: As of `description_of`.
        tensors: The weights by name, as they are handed on.
        weight_bytes: Their size in the file.

    Raises:
        RefusedFileError: a field is of another kind, or does not fit the others; `path` is named.
    """
    try:
        network = Network.from_data(header["network"])
        images = TypeAdapter(InputSpec).validate_python(header["images"])
        classes = _classes(header["classes"])
        targets = TypeAdapter(TargetSpec).validate_python(header["targets"]) if "targets" in header else None
        outputs = network.output_shape[0]
        refuse_absurd_memory(network, weight_bytes)
    except ValidationError as error:
        raise RefusedFileError(f"{path}: images or targets: {refusal(error)}") from None
    except StriateError as error:
        raise RefusedFileError(f"{path}: {error.message}") from None
    if outputs != len(classes):
        raise RefusedFileError(f"{path}: the network has {outputs} outputs for {len(classes)} classes")
    if targets is not None and targets.mean and len(targets.mean) != outputs:
        raise RefusedFileError(f"{path}: the network has {outputs} outputs for {len(targets.mean)} targets")
    if images.input_shape != network.input_shape:
        raise RefusedFileError(f"{path}: {images.kind} of {images.input_shape} for an input of {network.input_shape}")
    return Contents(network, tensors, classes, images, dict(header["info"]), targets)


def check_fields(path: Path, header: Any, fields: set[str]) -> None:
    """Refuse a description of another format, or of other fields.

    Raises:
        RefusedFileError: it is.
    """
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise RefusedFileError(f"{path}: written in another format than {FORMAT}", "Read it with the version of Striate that wrote it.")
    if set(header) - {"targets"} != fields or not isinstance(header["info"], dict):
        raise RefusedFileError(f"{path}: the description must have the fields {', '.join(sorted(fields))}")


def _classes(names: object) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise RefusedFileError("classes must be a list of distinct names")
    for name in names:
        if not is_text(name):
            raise RefusedFileError(f"the class {name!r} is not valid text")
    return tuple(names)


def _built(path: Path, network: Network, tensors: dict[str, Tensor]) -> nn.Module:
    """The network's module with the file's weights, in evaluation mode."""
    held = sum(tensor.numel() for tensor in tensors.values())
    if network.params > held:
        raise RefusedFileError(f"{path}: the description needs {network.params:,} parameters, the file holds {held:,} numbers")
    wanted = _wanted(network)
    missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    wrong = [name for name in wanted if name in tensors and wanted[name].shape != tensors[name].shape]
    if missing or extra or wrong:
        differences = [f"missing {name}" for name in missing] + [f"unexpected {name}" for name in extra]
        differences += [f"{name} is {tuple(tensors[name].shape)} instead of {tuple(wanted[name].shape)}" for name in wrong]
        raise RefusedFileError(f"{path}: the weights do not fit the description: {'; '.join(differences[:5])}")
    with torch_seed(0):  # weights that the file replaces must not cost the caller's random numbers
        module = network.build()
    module.load_state_dict(tensors)
    return module.eval()


def _wanted(network: Network) -> dict[str, Tensor]:
    """The weights and all else that a module keeps, by name: of the right shapes, without their memory where torch can do that."""
    import torch

    if is_own(network):
        return network.build().state_dict()
    try:
        with torch.device("meta"):
            return network.build().state_dict()
    except NotImplementedError:  # some compute with numbers of their weights while they are built
        with torch_seed(0):
            return network.build().state_dict()
