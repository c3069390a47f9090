"""Training from pretrained weights, and training of networks without a description: their parts of `train`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.core.images import ImageSpec
from striate.core.memory import need_memory
from striate.data.arrays import as_images
from striate.data.fitting import fit_image
from striate.data.folder import decode_all, readable_pictures
from striate.data.records import DataSource, ImageSet, num_batches
from striate.data.sources import open_data
from striate.engine.settings import TrainSettings
from striate.estimators.generative.machine_pretraining import pretrain_as_machines
from striate.estimators.generative.pretraining import pretrain_first_layers
from striate.models.builtin import is_builtin
from striate.models.fitting import Fitting, begun, described, usual_rate
from striate.models.transfer import WORDS, Weights, open_weights, read_start, start_of, write_start
from striate.networks.catalog import CATALOG
from striate.networks.catalog import network as catalog_network
from striate.networks.foreign import channels_of, own_network
from striate.networks.layers import Chain, Layer
from striate.networks.layers.foreign import OwnNetwork
from striate.networks.network import Network
from striate.workflows.recipes.choices import choices_of, chosen_settings, given_statistics, network_for
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training.replaying import write_seen
from striate.workflows.training.starting import NONE

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.workflows.training.continuing import Plan
    from striate.workflows.training.request import TrainRequest

NAME_STATISTICS = (
    "Say it with `normalization`: imagenet (mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225: most weights of torchvision and timm), "
    "half (values from -1 to 1), unit (from 0 to 1), or dataset, for the mean and deviation of your own pictures."
)
GENTLE = 0.1  # of the default learning rate, for weights that are good already
FEW_UPDATES = 100  # up to which a fresh head on them gets all of the default rate
FEW_IN_SETS, SMALL_BATCH = 1_000, 16  # training pictures below which it gets small batches, and their size
OUTPUTS = ("out_features", "out_channels", "num_classes")  # fields of layers that can be a head


def is_module(network: Any) -> bool:
    """Return whether `network` is the user's own torch module."""
    from torch import nn

    return isinstance(network, nn.Module)


def module_for(module: nn.Module, image_size: int | None, source: DataSource) -> Network:
    """The user's module as a network for the data's pictures.

    Raises:
        UsageError: the pictures have no size of their own, and none is given.
        ShapeError: the module cannot take them.
    """
    size = (image_size, image_size) if image_size is not None else source.image_size if source.kind == "pictures" else source.extent
    if size is None:
        raise UsageError(
            f"image_size: required for a module of your own, as the pictures of {source.name} have several sizes", "For example 64."
        )
    return own_network(module, (channels_of(module) or source.channels, *size))


def given_module(network: Network) -> nn.Module | None:
    """The user's module in a network that is one."""
    inside = dict(network.root.children).get("model")
    return inside.given if isinstance(inside, OwnNetwork) else None


def asked_weights(request: TrainRequest, asked: Network | str | None, source: DataSource) -> Weights | None:
    """The weights that the request asks for, for the network that it asks for.

    Raises:
        UsageError: they do not record how pictures were normalized, and the request does not say it; and what `open_weights` raises.
    """
    if request.pretrained in (None, NONE):
        return None
    name = asked.name if isinstance(asked, Network) else asked
    if name is None and not is_builtin(request.pretrained):
        name = network_for(source)
    weights = open_weights(request.pretrained, name, download=request.download)
    told = weights.images is not None or weights.mean is not None or request.normalization is not None or given_statistics(request)
    if source.kind == "pictures" and not told:
        message = f"{weights.source}: does not record how its pictures were normalized, and trained weights expect the same"
        raise UsageError(message, NAME_STATISTICS)
    return weights


def network_of_weights(name: str | None, size: int | None, source: DataSource, weights: Weights) -> Network:
    """The network of that name and input, else the one that the weights come from, with the data's classes.

    Grey pictures are repeated over the channels that the weights were trained with.

    Raises:
        UsageError: the head of the weights' own network cannot be replaced.
    """
    classes, own = len(source.classes), weights.network
    if name is None and own is not None:
        network = with_outputs(own, classes)
        return network if size is None else network.with_input((network.input_shape[0], size, size))
    name = name or network_for(source)
    extent: Any = size or (own.input_shape[1:] if own is not None else None)
    return catalog_network(
        name, num_classes=classes, in_channels=weights.channels if source.channels == 1 else source.channels, input_size=extent
    )


def with_outputs(network: Network, num_outputs: int) -> Network:
    """`network` with another number of outputs.

    Raises:
        UsageError: its last layer with weights has no number of outputs of its own.
    """
    if network.output_shape[0] == num_outputs:
        return network
    if network.name in CATALOG:
        channels, *extent = network.input_shape
        if catalog_network(network.name, network.output_shape[0], channels, tuple(extent)) == network:
            return catalog_network(network.name, num_outputs, channels, tuple(extent))
    path = [row.path for row in network.rows if row.cost.params][-1]
    root = _with_outputs(network.root, path.split("."), num_outputs)
    if not isinstance(root, Chain):
        raise UsageError(f"{network.name}: its head {path} cannot be given {num_outputs} outputs", "Name a network: `network=NAME`.")
    return dataclasses.replace(network, root=root, heads=(), provenance=(*network.provenance, f"a head of {num_outputs} outputs at {path}"))


def _with_outputs(layer: Layer, path: list[str], num_outputs: int) -> Layer | None:
    """`layer` with the part at `path` changed; None if that is not possible."""
    if isinstance(layer, Chain) and path and path[0] in dict(layer.children):
        children = dict(layer.children)
        inner = _with_outputs(children[path[0]], path[1:], num_outputs)
        return Chain(**{**children, path[0]: inner}) if inner is not None else None
    for field in OUTPUTS:
        if hasattr(layer, field):
            return dataclasses.replace(layer, **{field: num_outputs})  # type: ignore[type-var]  # every leaf is a dataclass
    return None


def started_from(weights: Weights, network: Network, classes: tuple[str, ...], say: Callable[[str], None]) -> dict[str, Tensor]:
    """The weights by their names in `network`; reports their source and what is newly initialized."""
    start = start_of(weights, network, classes)
    fresh = f"newly initialized: {', '.join(start.fresh)}" if start.fresh else "nothing is newly initialized"
    say(f"weights   {weights.source}: {len(start.tensors)} of {len(start.tensors) + len(start.fresh)} tensors; {fresh}")
    return start.tensors


def normalized(
    spec: ImageSpec,
    request: TrainRequest,
    weights: Weights | None,
    say: Callable[[str], None],
    *,
    of_pictures: Callable[[ImageSpec], ImageSpec],
) -> ImageSpec:
    """The normalization of a training, the first available of: the requested one, that of the weights, that of the training pictures.

    Args:
        spec: With any.
        request: The request.
        weights: The initial weights of the training.
        say: Receives the choices made.
        of_pictures: Gives a record that of the training pictures.
    """
    given = given_statistics(request, spec.channels)
    theirs = weights.normalized(spec) if weights is not None and request.normalization is None else None
    if given:
        given["normalization"] = "dataset"
    chosen = dataclasses.replace(theirs or of_pictures(spec), **given)
    if weights is None and not given:
        return chosen
    whose = "as in the training of the weights" if theirs is not None else "of the training pictures"
    if given:
        whose = "as given" if {"mean", "std"} <= set(given) else f"{next(iter(given))} as given, the other {whose}"
    say(f"values    normalized by {normalization_in_words(chosen)}, {whose if chosen.normalization == 'dataset' else 'as requested'}")
    return chosen


def normalization_in_words(spec: ImageSpec) -> str:
    """The normalization of the pictures' values, in words."""
    if spec.normalization != "dataset":
        return spec.normalization
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (spec.mean, spec.std))
    return f"mean {mean} and std {std}"


def with_pretrained_layers(fitting: Fitting, train_set: ImageSet, request: TrainRequest, say: Callable[[str], None]) -> Fitting:
    """`fitting` with its first layers trained without labels, on the training pictures and the request's unlabelled ones.

    Raises:
        UsageError: there are pictures for it, but it is not requested.
        DataError: a picture cannot be read.
    """
    if request.pretrain is None:
        if request.unlabelled is not None:
            raise UsageError("`unlabelled`: these pictures would not be used", "Add `pretrain='autoencoder'` or `pretrain='rbm'`.")
        return fitting
    images = np.asarray(train_set.images)
    if request.unlabelled is not None and isinstance(fitting.images, ImageSpec):
        more = unlabelled_images(request, fitting.images, say)
        need_memory(images.nbytes + more.nbytes, "`unlabelled`: the pictures together", "Give fewer, or smaller ones (`image_size`).")
        images = np.concatenate([images, more])
    module = begun(fitting, train_set).to(choose_device(fitting.settings.device))
    pretrained = pretrain_as_machines if request.pretrain == "rbm" else pretrain_first_layers
    trained = pretrained(module, images, seed=fitting.settings.seed)
    state = described(module).state_dict()
    start = {name: tensor.cpu() for name, tensor in state.items() if any(name.startswith(f"{each.layer}.") for each in trained)}
    errors = ", ".join(f"{each.layer} {each.error_before:.2f} to {each.error_after:.2f}" for each in trained)
    say(f"pretrain  {len(images):,} pictures without labels; share of their variance not reconstructed: {errors}")
    return dataclasses.replace(fitting, start={**(fitting.start or {}), **start})


def unlabelled_images(request: TrainRequest, spec: ImageSpec, say: Callable[[str], None] = lambda _text: None) -> np.ndarray:
    """The pictures that `unlabelled` names, (N, H, W, C) uint8 as the network takes them; labels are ignored.

    Raises:
        UsageError: there is no such data.
        DataError: a picture cannot be read.
    """
    data = request.unlabelled
    if isinstance(data, np.ndarray):
        return np.stack([fit_image(image, spec) for image in as_images(data, "unlabelled")])
    if isinstance(data, str | PathLike) and Path(data).expanduser().is_dir():
        paths = readable_pictures([Path(data).expanduser()], skip_unreadable=request.skip_unreadable, say=say)
        return decode_all(paths, spec.channels, spec)
    return np.asarray(open_data(data, data_dir=request.data_dir, download=request.download, say=say).read("train", spec=spec).images)


def for_trained_weights(
    settings: TrainSettings, request: TrainRequest, network: Network, num_train: int, *, start: Mapping[str, Tensor] | None
) -> TrainSettings:
    """The settings for pretrained weights; a recipe or a learning rate that is asked for leaves them as they are.

    With a head that is given or fitted, the default rate is divided by ten. A fresh head has to be learned, which takes updates: fewer
    than `FEW_IN_SETS` pictures come in batches of `SMALL_BATCH`, and of U updates the rate is multiplied by `FEW_UPDATES` / U instead, at
    least by a tenth and at most by 1.

    Args:
        settings: The default ones, with what is asked for.
        request: The request.
        network: The network.
        num_train: Pictures that are trained on.
        start: The weights; None: they are fresh.
    """
    said = chosen_settings(request, choices_of(None))
    if start is None or request.pretrained in (None, NONE) or request.recipe is not None or "learning_rate" in said:
        return settings
    head = [row.path for row in network.rows if row.cost.params][-1]
    if is_builtin(request.pretrained) or any(name.startswith(f"{head}.") for name in start):
        return dataclasses.replace(settings, learning_rate=GENTLE * settings.learning_rate)
    if num_train < FEW_IN_SETS and "batch_size" not in said:
        settings = dataclasses.replace(settings, batch_size=min(SMALL_BATCH, settings.batch_size))
    updates = settings.steps or settings.epochs * num_batches(num_train, settings.batch_size)
    factor = min(1.0, max(GENTLE, FEW_UPDATES / max(updates, 1)))
    return dataclasses.replace(settings, learning_rate=factor * usual_rate(network, num_train, settings))


def pretrained_name(source: str | Path | None) -> str | None:
    """The weights' source for a configuration: absolute paths, and words as they are."""
    if source in (None, NONE):
        return None
    if str(source) in WORDS or is_builtin(source):
        return str(source)
    return str(Path(source).expanduser().resolve())


def with_written_start(plan: Plan, folder: RunFolder) -> Plan:
    """The plan with the weights that the training starts from; they are written into its folder, so that it can be repeated.

    So are the features that a head was fitted to, so that the run can be taken to more classes.
    """
    if plan.seen is not None:
        write_seen(folder.features, plan.seen)
    if plan.fitting.start is None:
        return plan
    sha256 = write_start(folder.start, plan.fitting.start)
    return dataclasses.replace(plan, config=dataclasses.replace(plan.config, start_sha256=sha256))


def with_kept_start(plan: Plan, folder: Path) -> Plan:
    """The plan with the weights that the run in `folder` started from.

    Raises:
        RefusedFileError: they are missing or damaged.
    """
    sha256 = plan.config.start_sha256
    if sha256 is None:
        return plan
    return dataclasses.replace(plan, fitting=dataclasses.replace(plan.fitting, start=read_start(RunFolder(folder).start, sha256)))


def frozen_in_words(settings: TrainSettings) -> tuple[str, ...]:
    """A line on the frozen parts, if there are any."""
    if not settings.freeze:
        return ()
    epochs = "epoch" if settings.unfreeze_every == 1 else f"{settings.unfreeze_every} epochs"
    until = f"; every {epochs} the last of them is unfrozen" if settings.unfreeze_every else ""
    return (f"frozen    {', '.join(settings.freeze)}{until}",)
