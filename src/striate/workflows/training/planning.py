"""From a request to the plan of a training: network, pictures, settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from striate.core.errors import UsageError
from striate.core.images import Fit, ImageSpec, InputSpec, Normalization
from striate.core.text import command
from striate.data.checks import look, refuse_hopeless
from striate.data.findings import DataFinding
from striate.data.named import NAMED
from striate.data.reading import Reading
from striate.data.records import DataSource, ImageSet, num_batches
from striate.data.sources import open_data
from striate.data.splits import Division
from striate.data.targets import target_spec
from striate.engine.limits import cuts_in_words, idle_in_words
from striate.engine.processes import ProcessGroup
from striate.models.fitting import Fitting, channel_statistics, is_dense
from striate.models.transfer import Weights
from striate.networks.catalog import SUFFIX, described_network
from striate.networks.catalog import network as catalog_network
from striate.networks.network import Network
from striate.workflows.recipes.choices import (
    NO_CHOICES,
    Choices,
    augmentation_for,
    chosen_augmentation,
    chosen_settings,
    given_statistics,
    network_for,
    settings_for,
    with_recipe,
)
from striate.workflows.recipes.defaults import with_default_recipe
from striate.workflows.runs.config import ARRAYS, RunConfig
from striate.workflows.tasks.registry import task_named
from striate.workflows.tasks.suited import suited_to
from striate.workflows.training.batch_size import AUTO, auto_batch_size
from striate.workflows.training.continuing import Plan, read_train_and_val
from striate.workflows.training.heads import with_fitted_head, without_updates
from striate.workflows.training.more_classes import extension_of_classes, read_extended
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import Observer
from striate.workflows.training.sharing import agreed
from striate.workflows.training.signals import form_of, network_of_signals, refuse_for_pictures, spec_of_signals
from striate.workflows.training.starting import NONE, with_chosen_weights
from striate.workflows.training.transfer import (
    asked_weights,
    for_trained_weights,
    is_module,
    module_for,
    network_of_weights,
    normalized,
    pretrained_name,
    started_from,
    with_pretrained_layers,
)

USUAL_SIDE = 128  # pixels of the input for pictures of several sizes


def resolve(request: TrainRequest, observer: Observer, group: ProcessGroup | None = None) -> Plan:
    """The plan of the training that `request` describes, its pictures read; the first process of `group` decides by its memory for all."""
    request, choices = with_recipe(request)
    fraction = Division.val_fraction if request.val_fraction is None else request.val_fraction
    division = Division(val_fraction=fraction, seed=request.seed or 0, train_images=request.train_images)
    source = open_data(
        request.data,
        task=request.task,
        form=form_of(request),
        data_dir=request.data_dir,
        download=request.download,
        skip_unreadable=request.skip_unreadable,
        layout=request.layout,
        drop=request.drop,
        reading=Reading.of(request),
        say=observer.say,
        to_train=request.extend is None,
    )
    request, choices = with_default_recipe(request, choices, source, observer.say)
    extension, weights = None, None
    if request.extend is not None:
        extension = extension_of_classes(request, request.extend, source, observer.say)
        source, weights, asked = extension.source, extension.weights, None
        request = dataclasses.replace(request, pretrained=extension.config.pretrained or NONE)  # what its weights come from
        choices = extension.choices if request.recipe is None else choices
    else:
        asked = asked_network(request, source)
        request = with_chosen_weights(request, asked, source, observer.say)
        weights = asked_weights(request, asked, source)
    if asked is None and weights is None:
        asked = choices.network_for(source)
    network, spec = planned_input(request, asked, source, weights)
    if extension is not None:
        spec = extension.images
        train_set, val_set, record, extension = read_extended(extension, division, observer.say)
    else:
        train_set, val_set, record = read_train_and_val(source, spec, division, observer.say)
    findings = looked_at(train_set, val_set, spec, source, observer, request.data)
    if extension is None or task_named(source.task).pixels_as_they_are:
        spec = normalized_input(spec, request, source, train_set, weights, observer.say)
    start = None
    if weights is not None:
        weights = weights if extension is None else extension.weights_for(network)
        start = started_from(weights, network, source.classes, observer.say)

    def fitting_with(batch_size: int | None) -> Fitting:
        sized = {} if batch_size is None else {"batch_size": batch_size}
        settings = settings_for(network, len(train_set), request, choices, source.task, **sized)
        settings = for_trained_weights(settings, request, network, len(train_set), start=start)
        return Fitting(
            network=network,
            images=spec,
            classes=source.classes,
            settings=suited_to(source.task, settings, asked=request.loss or request.set.get("settings.loss")),
            augmentation=augmentation_for(source, network, request, choices, choices.augmentation_of(network, len(train_set))),
            targets=target_spec(source.task, train_set.labels, request.input_effect),
            start=start,
        )

    fitting = fitting_with(None)
    if request.batch_size == AUTO:
        trial = fitting
        fitting = fitting_with(int(agreed(group, lambda: str(auto_batch_size(trial, train_set, observer.say)))))
    fitting = without_updates(fitting, request, choices if request.recipe is not None else NO_CHOICES)  # not what an extended run had
    replay = extension.replay if extension is not None else None
    begun = with_fitted_head(fitting, train_set, val_set, request, observer, record=record, replay=replay)
    fitting = with_pretrained_layers(begun.fitting, train_set, request, observer.say)
    if request.target is not None and isinstance(spec, ImageSpec):  # which has no place for it
        request = dataclasses.replace(request, columns={**request.columns, "label": request.target})
    config = dataclasses.replace(
        configuration(request, fitting, division, len(train_set), len(val_set)), extends=extension.recorded(fitting) if extension else None
    )
    say_choices(config, network, source, request, choices, observer.say)
    return Plan(
        fitting=fitting,
        source=source,
        train_set=train_set,
        val_set=val_set,
        record=record,
        config=config,
        found=findings,
        cross_validation=begun.cross_validation,
        learning_curve=begun.learning_curve,
        seen=begun.seen,
    )


def planned_input(
    request: TrainRequest, asked: Network | str | None, source: DataSource, weights: Weights | None
) -> tuple[Network, InputSpec]:
    """The network, and its input, whose normalization is yet to be known."""
    if request.target is not None and source.target is None:
        raise UsageError(f"target: names a column of a table, and {source.name} is none", "Leave `target` out.")
    if source.kind != "pictures":
        refuse_for_pictures(request, source.kind)
        return network_of_signals(asked, source, outputs_in_words(source)), spec_of_signals(source)
    network, fit = plan_network(request, asked, source, weights)
    channels, height, width = network.input_shape
    spec = ImageSpec(height=height, width=width, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels, fit=fit)
    spec = dataclasses.replace(
        spec, normalization=cast("Normalization | None", request.normalization) or spec.normalization, **given_statistics(request, channels)
    )
    return network, spec


def normalized_input(
    spec: InputSpec, request: TrainRequest, source: DataSource, train_set: ImageSet, weights: Weights | None, say: Callable[[str], None]
) -> InputSpec:
    """`spec` with its normalization."""
    if not isinstance(spec, ImageSpec):
        return spec_of_signals(source, train_set.images, weights)
    if task_named(source.task).pixels_as_they_are:
        return dataclasses.replace(spec, mean=(0.0,) * spec.channels, std=(1.0,) * spec.channels)
    return normalized(spec, request, weights, say, of_pictures=lambda spec: with_statistics(spec, train_set))


def looked_at(
    train_set: ImageSet, val_set: ImageSet, spec: InputSpec, source: DataSource, observer: Observer, data: Any = None
) -> tuple[DataFinding, ...]:
    """Report the findings in the pictures.

    Raises:
        DataError: nothing could be learned from them, or measured.
    """
    found = look(train_set, val_set, spec=spec, size=source.image_size)
    refuse_hopeless(found)
    for finding in found:
        observer.say(f"{finding.severity}: {finding}")
    if isinstance(data, str | Path) and any(finding.severity != "note" for finding in found):
        observer.say(f"see them: {command('striate', 'check', data)}")
    return found


def say_choices(
    config: RunConfig, network: Network, source: DataSource, request: TrainRequest, choices: Choices, say: Callable[[str], None]
) -> None:
    """Report why pictures stay as they are, which requested settings are reduced, and which have no effect."""
    asked, moved = chosen_settings(request, choices), chosen_augmentation(request, choices)
    shifted = choices.recipe is None and source.kind == "pictures" and "crop_padding" not in moved
    if shifted and task_named(source.task).single_class and is_dense(network):
        say("pictures are not shifted at random: without a convolution, the network would have to learn each place anew")
    for name, line in cuts_in_words(config.planned, config.settings).items():
        if name in asked or choices.recipe is not None:
            say(line)
    for line in idle_in_words(config.planned, num_batches(config.num_train or 1, config.planned.batch_size)):
        say(line)
    if "val" in source.splits and request.val_fraction is not None and "val_fraction" not in choices.others:
        say(f"val_fraction: nothing is held out, as {source.name} has a val split")


def asked_network(request: TrainRequest, source: DataSource) -> Network | str | None:
    """The network that the request names: a description where it has one or a file of one, a user's module for the data's pictures.

    Raises:
        UsageError: the pictures have no size of their own, and none is given for a module.
        ShapeError: the module cannot take them.
        RefusedFileError: the file of the description is damaged.
    """
    if isinstance(request.network, str | Path) and str(request.network).endswith(SUFFIX):
        return described_network(Path(request.network))
    if is_module(request.network):
        return module_for(request.network, request.image_size, source)
    network: Network | str | None = request.network
    return network


def plan_network(
    request: TrainRequest, asked: Network | str | None, source: DataSource, weights: Weights | None = None
) -> tuple[Network, Fit]:
    """The network for the data's classes, channels and size, or that of the weights, and how pictures are fitted to it."""
    own = task_named(source.task).plan_network
    if own is not None:
        return own(request, asked, source)
    classes = len(source.classes)
    size: int | tuple[int, ...] | None = request.image_size
    if isinstance(asked, Network):
        net = asked
        if net.output_shape != (classes,):
            message = f"{net.name} has outputs of shape {net.output_shape}, but {source.name} has {outputs_in_words(source)}"
            raise UsageError(message, f"Let its last layer have {classes} outputs.")
        if net.input_shape[0] != source.channels and source.channels != 1:
            raise UsageError(f"{net.name} takes {net.input_shape[0]} channels, but the pictures of {source.name} have {source.channels}")
        if request.image_size is not None and not is_module(request.network):
            net = net.with_input((net.input_shape[0], request.image_size, request.image_size))
            net.root.output_shape(net.input_shape)
    elif weights is not None:
        net = network_of_weights(asked, request.image_size, source, weights)
    else:
        name = asked or network_for(source)
        if size is None:
            size = default_size(name, source, named=asked is not None)
        net = catalog_network(name, num_classes=classes, in_channels=source.channels, input_size=size)
    if len(net.output_shape) > 1:
        ours = f"{outputs_in_words(source)} for a whole picture"
        message = f"{net.name} has outputs of shape {net.output_shape}, but {source.name} has {ours}"
        raise UsageError(message, "Name a network that ends in a vector, such as compact_cnn, or give masks.")
    same = source.image_size == net.input_shape[1:]
    return net, request.fit or ("stretch" if same else "pad" if source.image_size is not None else "crop")


def usual_size(source: DataSource) -> tuple[int, int]:
    """The input (H, W) in pixels of a training on pictures of which nothing else is asked.

    Raises:
        UsageError: there is no such training.
    """
    request = with_chosen_weights(TrainRequest(data=source.name), None, source, lambda _text: None)
    _, height, width = plan_network(request, None, source, asked_weights(request, None, source))[0].input_shape
    return height, width


def default_size(name: str, source: DataSource, *, named: bool) -> int | tuple[int, int] | None:
    """The pictures' own size where they have one and the network takes it; else what the network was published for."""
    if source.image_size is None:
        return None if named else USUAL_SIDE
    own = catalog_network(name)
    if max(source.image_size) <= 64 and own.fits((own.input_shape[0], *source.image_size)):
        return source.image_size
    return None


def with_statistics(spec: ImageSpec, train_set: ImageSet) -> ImageSpec:
    """`spec` with the mean and deviation of each channel over (at most 10,000 evenly spaced) training pictures."""
    step = max(1, len(train_set) // 10_000)
    mean, std = (tuple(round(value, 4) for value in values) for values in channel_statistics(np.asarray(train_set.images[::step])))
    return dataclasses.replace(spec, mean=mean, std=std)


def configuration(request: TrainRequest, fitting: Fitting, division: Division, num_train: int, num_val: int) -> RunConfig:
    """The complete configuration of the run."""
    data = ARRAYS
    if isinstance(request.data, str | Path):
        data = request.data if request.data in NAMED else str(Path(request.data).resolve())
    config = RunConfig(
        data=data,
        task=fitting.targets.task if fitting.targets is not None else request.task,
        data_dir=str(request.data_dir.resolve()) if request.data_dir else None,
        val_fraction=division.val_fraction,
        train_images=division.train_images,
        val_seed=division.seed,
        skip_unreadable=request.skip_unreadable,
        layout=request.layout,
        drop=str(request.drop.resolve()) if request.drop else None,
        **dataclasses.asdict(Reading.of(request)) | {"root": str(request.root.resolve()) if request.root else None},
        input_effect=request.input_effect,
        network=fitting.network.name,
        pretrained=pretrained_name(request.pretrained),
        pretrain=request.pretrain,
        start_sha256=None,
        num_classes=len(fitting.classes),
        num_train=num_train,
        num_val=num_val,
        settings=fitting.settings,
        augmentation=fitting.augmentation,
        images=fitting.images,
    )
    return config.with_planned(fitting.settings)


def outputs_in_words(source: DataSource) -> str:
    """The number of classes, labels or numbers of the data, in words."""
    one, more = task_named(source.task).outputs
    return f"{len(source.classes)} {one if len(source.classes) == 1 else more}"
