"""Fitting a described network to sets of pictures: what the train workflow and the scikit-learn classifier share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from striate.core.devices import choose_device
from striate.core.errors import UnknownNameError, UsageError
from striate.core.images import InputSpec
from striate.core.memory import need_parameters
from striate.core.seeds import mixed, torch_seed
from striate.core.targets import TargetSpec, Task, task_of_outputs
from striate.data.augmentation.record import default_shift
from striate.data.batches import Augmentation, Batches
from striate.data.mask_batches import MaskBatches
from striate.data.masks import MaskedSet
from striate.data.pair_batches import PairBatches
from striate.data.pairs import PairSet
from striate.data.records import ImageSet
from striate.data.targets import standardized
from striate.engine.epochs import EpochRow, FitEvent
from striate.engine.fit import Training, fit
from striate.engine.initialisation import initialise
from striate.engine.losses import refuse_weights
from striate.engine.processes import ProcessGroup
from striate.engine.settings import ROTATION, TrainSettings
from striate.models.threads import on_one_thread
from striate.networks.edits.tree import parts
from striate.networks.layers import (
    Activation,
    AdaptivePool,
    BatchNorm,
    Chain,
    ChannelChunk,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    GroupNorm,
    Identity,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MatchChannels,
    PadChannels,
    Parallel,
    Pool,
    Scale,
    ShuffleChannels,
    Subsample,
)
from striate.networks.layers.foreign import Foreign, ForeignPart
from striate.networks.modules.image import ImageModule, ImageModuleWithHeads
from striate.networks.network import Network

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["EpochRow", "FitEvent", "Fitting", "FittingRun", "fit_images"]

COPIES_OF_WEIGHTS = 4  # weights, gradients, and two numbers of the optimizer for each
VAL_BATCH_SIZE = 256
SMALL_PICTURE = 64  # pixels a side up to which a picture counts as small, as those of CIFAR are
PART_SIZE = 512  # pictures of a full batch that are computed at a time
OWN_RATES = {"gd": 0.1, "lbfgs": 1.0}  # peak learning rates of those that are unlike Adam
RATES_TO_ADAM = {"adagrad": 5.0, "lion": 0.1}  # factors of Adam's peak rate, of those that are like it
GROW_AS_SQUARES = ("mse", "squared_hinge")  # losses whose gradient grows with the error
MEAN_LOSSES = ("cross_entropy", "focal", "binary_cross_entropy", "mse", "l1", "huber")  # over samples
SEPARATE = (  # layers that compute each sample by itself, but for batch norms, and draw nothing that is not theirs
    *(Activation, AdaptivePool, BatchNorm, Chain, ChannelChunk, Conv, Dropout, Flatten, GlobalPool, GroupNorm, Identity, LayerNorm, Linear),
    *(LocalResponseNorm, MatchChannels, PadChannels, Parallel, Pool, Scale, ShuffleChannels, Subsample),
)
INIT_IMAGES = 64  # that an initialisation may look at
ONE_CORE_BYTES = 4 * 2**20  # activations of a step up to which a second thread gains less than it may cost


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """Everything that decides a training but the pictures."""

    network: Network
    images: InputSpec
    classes: tuple[str, ...]
    settings: TrainSettings
    augmentation: Augmentation
    targets: TargetSpec | None = None  # what the outputs mean where they are no classes
    start: Mapping[str, Tensor] | None = None  # weights to begin with, by their names in the network; the others are fresh

    @property
    def task(self) -> Task:
        """The task that the network is trained for."""
        return task_of_outputs(self.network.output_shape, self.targets)


def network_for(image_size: tuple[int, int] | None) -> str:
    """The catalogue's choice for pictures of this size (H, W), None if they differ: `compact_cnn` for small ones, else `resnet18`."""
    return "compact_cnn" if image_size is not None and max(image_size) <= SMALL_PICTURE else "resnet18"


def default_settings(network: Network, num_train: int, **chosen: Any) -> TrainSettings:
    """The `chosen` settings, completed by what suits the network and the number of pictures.

    With normalization layers: SGD with Nesterov momentum 0.9 and a peak rate of 0.1 a batch of 128, in proportion to the batch, which
    holds no more than there are; 0.02 where hidden dense layers have no normalization, as VGG's have none, whose ReLUs die at 0.1.
    Without: AdamW with a peak rate of 0.005, or of 0.001 from 200,000 parameters on. Both warm up for an epoch and follow a cosine to 0.
    Gradient descent and L-BFGS have the whole set as their batch. The gradients of losses that grow as squares are clipped for SGD, at a
    norm of 1: at these rates they would leave the finite numbers behind normalization layers, where those of the others stay small.
    """
    if chosen.get("optimizer") in ("gd", "lbfgs"):  # the gradient of the whole set, computed in parts
        chosen.setdefault("batch_size", num_train)
        chosen.setdefault("accumulate", -(-chosen["batch_size"] // PART_SIZE))
    batch_size = chosen.setdefault("batch_size", 128 if num_train >= 5_000 else 32)
    chosen.setdefault("epochs", 10 if num_train >= 20_000 else 20 if num_train >= 5_000 else 30)
    normalized = any(row.layer.role == "norm" for row in network.rows)
    bold = normalized and sum(row.layer.role == "linear" for row in network.rows) <= 1
    optimizer = chosen.setdefault("optimizer", "sgd" if normalized else "adamw")
    if optimizer == "sgd":
        chosen.setdefault("learning_rate", (0.1 if bold else 0.02) * min(batch_size, num_train) / 128)
        chosen.setdefault("weight_decay", 5e-4)
        if chosen.get("loss") in GROW_AS_SQUARES:
            chosen.setdefault("max_grad_norm", 1.0)
    else:
        of_adam = 5e-3 if network.params < 200_000 else 1e-3
        chosen.setdefault("learning_rate", OWN_RATES[optimizer] if optimizer in OWN_RATES else of_adam * RATES_TO_ADAM.get(optimizer, 1.0))
        chosen.setdefault("weight_decay", 1e-2 if optimizer in ("adamw", "muon") else 0.0)
    return TrainSettings(**chosen)


def usual_rate(network: Network, num_train: int, settings: TrainSettings) -> float:
    """The default peak learning rate for the optimizer, the batch and the loss of these settings."""
    said = {name: getattr(settings, name) for name in ("optimizer", "batch_size", "loss")}
    return default_settings(network, num_train, **said).learning_rate


def is_dense(network: Network) -> bool:
    """True of a network in which no convolution shares its weights between places; what another library's parts do is not known."""
    layers = [row.layer for row in network.rows]
    return not any(layer.role == "conv" or isinstance(layer, Foreign | ForeignPart) for layer in layers)


def shift_for(network: Network, channels: int) -> int:
    """The default random shift, in pixels, of pictures with `channels`; 0 for a dense network, which learns each place anew."""
    return 0 if is_dense(network) else default_shift(channels, *network.input_shape[1:])


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel of uint8 images (N, H, W, C), as shares of 255; a deviation is at least 1/255."""
    counts = np.zeros((images.shape[3], 256), np.int64)  # (C, 256) pixels of each value
    for start in range(0, len(images), PART_SIZE):
        part = images[start : start + PART_SIZE]
        counts += [np.bincount(part[..., channel].ravel(), minlength=256) for channel in range(len(counts))]
    values, shares = np.arange(256) / 255, counts / counts.sum(1, keepdims=True)
    mean = shares @ values  # (C,)
    std = np.maximum(np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1)), 1 / 255)
    return tuple(mean.tolist()), tuple(std.tolist())


class FittingRun(NamedTuple):
    """A training in progress: consume `events`; `module` holds the weights as they are now."""

    module: ImageModule
    loop: Training
    events: Iterator[FitEvent]  # of `loop`

    def state(self) -> dict[str, Tensor]:
        """The weights that are validated and kept, of the described network, auxiliary heads left out; copies."""
        with self.loop.kept_weights():
            return {name: tensor.detach().clone() for name, tensor in described(self.module).state_dict().items()}


def described(module: ImageModule) -> nn.Module:
    """The described network inside, auxiliary heads left out."""
    return module.network.network if isinstance(module, ImageModuleWithHeads) else module.network


def fit_images(
    fitting: Fitting, train_set: ImageSet, val_set: ImageSet | None, *, workers: int = 0, group: ProcessGroup | None = None
) -> FittingRun:
    """Build the network with weights from the seed, and get ready to train it.

    `workers` threads prepare batches ahead. Each process of a `group` gets its part of each batch.

    Raises:
        UsageError: the pictures have weights, which the loss cannot take.
    """
    settings = fitting.settings
    if train_set.facts.weights is not None:
        refuse_weights(settings)
    train_set, val_set = with_second_labels(fitting, train_set, val_set)
    device = choose_device(settings.device)
    module = begun(fitting, train_set).to(device)
    train_batches = batches_of(
        as_learned(train_set, fitting.targets),
        settings.batch_size,
        seed=settings.seed,
        shuffle=True,
        augmentation=fitting.augmentation,
        device=device,
        workers=workers,
    )
    val_batches = batches_of(as_learned(val_set, fitting.targets), VAL_BATCH_SIZE, device=device) if val_set is not None else None
    if group is not None:
        for batches in filter(None, (train_batches, val_batches)):
            batches.divide(group.rank, group.size)
    tiny = fitting.network.training_memory_bytes * settings.batch_size <= ONE_CORE_BYTES
    loop = fit(
        module,
        train_batches,
        settings,
        val_batches=val_batches,
        class_counts=class_counts(train_set),
        group=group,
        counts_start=val_set is not None and begins_whole(fitting, module),
        divides=not tiny and takes_samples_apart(fitting),
    )
    events: Iterator[FitEvent] = iter(loop)
    if device.type == "cpu" and tiny:
        events = on_one_thread(events)
    return FittingRun(module, loop, events)


def takes_samples_apart(fitting: Fitting) -> bool:
    """Return whether the parts of a batch can be computed apart: each sample by itself, and a loss that is their mean."""
    network, settings = fitting.network, fitting.settings
    mean = settings.loss in MEAN_LOSSES and settings.class_weights is None and settings.auxiliary is None
    flat = len(network.output_shape) == 1 and not network.heads
    layers = (part.layer for part in parts(network))
    return mean and flat and all(isinstance(layer, SEPARATE) and layer != Activation("rrelu") for layer in layers)


def begins_whole(fitting: Fitting, module: ImageModule) -> bool:
    """Return whether all weights that the training begins with are given, those of the head among them: their answers mean something."""
    names = {name for name in described(module).state_dict() if not name.endswith("num_batches_tracked")}
    return fitting.start is not None and names <= set(fitting.start)


def begun(fitting: Fitting, train_set: ImageSet) -> ImageModule:
    """The network as its training begins, on the CPU: weights from the seed, and those that are given.

    Raises:
        EnvironmentFault: there is too little memory to train so many parameters.
    """
    settings, described_network = fitting.settings, with_second_task(fitting, train_set)
    if choose_device(settings.device).type == "cpu":
        count = fitting.network.params
        need_parameters(
            count, COPIES_OF_WEIGHTS * 4 * count, fitting.network.name, "Train a smaller network, or on a machine with more memory."
        )
    with torch_seed(mixed(settings.seed)):
        network = described_network.build(heads=True)
        wrapper = ImageModuleWithHeads if hasattr(network, "forward_with_heads") else ImageModule
        module = wrapper(network, fitting.images)
        if settings.init != "default":
            places = np.linspace(0, len(train_set) - 1, min(len(train_set), INIT_IMAGES)).astype(np.int64)
            sample = module.normalized(torch.from_numpy(train_set.take(places).images))  # what lsuv looks at
            initialise(network, settings.init, scale=settings.init_scale, images=sample)
        if fitting.start is not None:
            described(module).load_state_dict({**described(module).state_dict(), **fitting.start})
    return module


def with_second_labels(fitting: Fitting, train_set: ImageSet, val_set: ImageSet | None) -> tuple[ImageSet, ImageSet | None]:
    """The pictures with the cells of the column as second labels, where the settings name one for a second task.

    Raises:
        UnknownNameError: there is no such column.
        UsageError: the column tells the labels of the first task; or pictures are mixed, so that they have no single label.
        DataError: a cell is empty, or holds in validation what no training picture has; names the picture.
    """
    column = fitting.settings.auxiliary
    if not isinstance(column, str) or column == ROTATION:
        return train_set, val_set
    if column not in train_set.facts.columns:
        hint = f"It is rotation,{' a column of the table,' if train_set.facts.columns else ''} or a coarser class of each class."
        raise UnknownNameError("second task or column in auxiliary", column, (ROTATION, *train_set.facts.columns), hint)
    if fitting.augmentation.mixes:
        raise UsageError(f"auxiliary: mixed pictures have no single label in the column {column!r}", "Leave out mixup and cutmix.")
    cells = train_set.facts.columns[column]
    targets = train_set.labels.reshape(len(cells), -1).T if train_set.labels.ndim <= 2 else ()
    if any(_told_by_each_other(cells, target) for target in targets):
        message = f"auxiliary: the column {column!r} tells the same as the labels, so it is no second task"
        raise UsageError(message, "Name another column, or `auxiliary='rotation'`.")
    kinds = sorted({str(cell) for cell in cells.tolist()} - {""})
    return tuple(  # type: ignore[return-value]  # two
        each and dataclasses.replace(each, facts=each.facts.with_second(column, kinds, each.paths)) for each in (train_set, val_set)
    )


def _told_by_each_other(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two columns (N,) put the same samples together."""
    codes = [np.unique(column, return_inverse=True)[1] for column in (first, second)]
    pairs = len(np.unique(np.stack(codes), axis=1).T)
    return all(pairs == code.max() + 1 for code in codes)


def with_second_task(fitting: Fitting, train_set: ImageSet) -> Network:
    """The network with the auxiliary head of its settings, where they name a task for it; `train_set` has the labels of a column.

    Raises:
        UsageError: the data has no classes to put into groups, or a class is without a group; and as of `Network.auxiliary`.
    """
    task, weight = fitting.settings.auxiliary, fitting.settings.auxiliary_weight
    if task is None:
        return fitting.network
    if task == ROTATION:
        return fitting.network.auxiliary("rotation", weight=weight)
    if isinstance(task, str):
        second = train_set.facts.second
        return fitting.network.auxiliary(0 if second is None else int(second.max()) + 1, weight=weight)
    if fitting.task != "classify":
        raise UsageError("auxiliary: groups are of classes, one for each sample", "Use `auxiliary='rotation'`.")
    if differing := sorted(set(task) ^ set(fitting.classes)):
        message = f"auxiliary: needs a group for each class and for nothing else, which is not so for {', '.join(map(repr, differing[:5]))}"
        raise UsageError(message, f"The classes are {', '.join(fitting.classes[:20])}.")
    names = sorted(set(task.values()))
    return fitting.network.auxiliary(tuple(names.index(task[name]) for name in fitting.classes), weight=weight)


def class_counts(images: ImageSet) -> Tensor | None:
    """(K,) how many pictures, or pixels of masks, each class has; None where a picture has no single class."""
    counts = images.class_counts()
    return torch.from_numpy(counts) if counts is not None else None


def batches_of(images: ImageSet, batch_size: int, **options: Any) -> Batches:
    """The batches of pictures, with their masks or their targets where they have some."""
    if isinstance(images, PairSet):
        return PairBatches(images, batch_size, **options)
    return MaskBatches(images, batch_size, **options) if isinstance(images, MaskedSet) else Batches(images, batch_size, **options)


def as_learned(images: ImageSet, targets: TargetSpec | None) -> ImageSet:
    """The same pictures, with their numbers brought to mean 0 and deviation 1."""
    return dataclasses.replace(images, labels=standardized(images.labels, targets))
