"""Reading a run folder back: the training that it holds, to continue or repeat it, and checks of what may not have changed."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from striate.core.errors import RefusedFileError, UsageError
from striate.core.images import InputSpec
from striate.core.text import in_lines
from striate.data.findings import DataFinding
from striate.data.omissions import some
from striate.data.recorded import SplitRecord, differences, pictures_at
from striate.data.records import DataSource, ImageSet
from striate.data.sources import open_data
from striate.data.splits import Division
from striate.data.targets import target_spec
from striate.engine.settings import TrainSettings
from striate.models.fitting import Fitting
from striate.networks.network import Network
from striate.workflows.info import info
from striate.workflows.recipes.choices import LEFT_TO_US
from striate.workflows.recipes.options import OPTIONS
from striate.workflows.runs.behind import data_of, with_earlier
from striate.workflows.runs.config import RESTORE, RunConfig, flat
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.split import NOT_RECORDED, read_record
from striate.workflows.tasks.registry import task_named
from striate.workflows.training.replaying import SeenSets
from striate.workflows.training.request import CrossValidation, LearningPoint, TrainRequest
from striate.workflows.training.transfer import pretrained_name

HASHED_BYTES = 2**28  # of the pictures that the fingerprint looks at


def refuse_changes(run: Path, kept: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue where the configuration differs from that of the checkpoint.

    Raises:
        UsageError: it does; lists each field with both values.
    """
    before, after = flat(kept), flat(now)
    differing = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    if differing:
        lines = [f"  {name}: {before.get(name)!r} in the checkpoint, now {after.get(name)!r}" for name in differing]
        raise UsageError(
            in_lines([f"{run}: cannot be continued with different settings:", *lines]),
            "Continue with the settings it has, or start a new run.",
        )


def asked_of(request: TrainRequest, config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with the changes that `request` makes: the same if it makes none."""
    wanted = {
        **config,
        "settings": dict(config["settings"]),
        "augmentation": dict(config["augmentation"]),
        "images": dict(config["images"]),
    }
    plain = TrainRequest()
    for option in OPTIONS:
        field, value = option.field, getattr(request, option.field)
        if not option.decides or value == getattr(plain, field) or field == "epochs":  # which may extend it
            continue
        if (field, value) in LEFT_TO_US:  # the run has what was found
            continue
        if field == "image_size":
            wanted["images"] |= {"height": value, "width": value}
        elif option.group:
            wanted[option.group][field] = value
        elif field == "network":
            wanted["network"] = value.name if isinstance(value, Network) else value
        elif field == "pretrained":
            wanted["pretrained"] = pretrained_name(value)
        elif field == "extend":
            wanted["extends"] = {**(config["extends"] or {}), "run": str(Path(value).resolve())}
        elif field in wanted:
            wanted[field] = str(value.resolve()) if field == "drop" else value
    for name, value in request.set.items():
        head, _, key = name.partition(".")
        wanted.setdefault(head, {})[key] = value
    return wanted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A training that is ready to run."""

    fitting: Fitting
    source: DataSource
    train_set: ImageSet
    val_set: ImageSet
    record: SplitRecord  # of which pictures these are
    config: RunConfig  # everything it is made with, merged
    found: tuple[DataFinding, ...] | None = None  # what its data look like, where that was looked at
    cross_validation: CrossValidation | None = None  # of the head that it begins with, where that was fitted
    learning_curve: tuple[LearningPoint, ...] = ()  # of such heads
    seen: SeenSets | None = None  # of a head alone, what it was fitted to

    def with_settings(self, settings: TrainSettings) -> Plan:
        """The same training with other settings."""
        fitting = dataclasses.replace(self.fitting, settings=settings)
        return dataclasses.replace(self, fitting=fitting, config=self.config.with_planned(settings))


def plan_of(
    run: Path,
    config: RunConfig,
    network: Network,
    say: Callable[[str], None],
    *,
    data: Any = None,
    data_dir: Path | None = None,
    verb: str = "train --resume RUN",
) -> Plan:
    """The training that a configuration describes.

    Args:
        run: The run folder that it lies in.
        config: The configuration.
        network: The network.
        say: Receives a line for the user.
        data: The data, where it was arrays; else what the configuration names is opened again.
        data_dir: The folder of named data sets, if not that of the configuration.
        verb: The verb, for errors.

    Raises:
        DataError: the data is missing.
        UsageError: the data was arrays, and `data` is not given.
    """
    if data is None and config.on_arrays:
        raise UsageError(f"{run}: was trained on arrays, which it does not store", "Pass them again as the data.")
    wanted = data_of(data, config, verb)
    wanted = with_earlier(wanted, config, say) if wanted is data else wanted
    record = read_record(run)
    how: dict[str, Any] = {
        "skip_unreadable": config.skip_unreadable,
        "layout": config.layout,
        "reading": config.reading,
        "drop": config.drop_list,
        "to_train": record is None,
        "say": say,
    }
    source = open_data(wanted, task=config.task, form=config.form, data_dir=data_dir or config.data_folder, **how)
    source = source if record is None else source.with_classes(record.classes)
    if record is None:
        say(NOT_RECORDED)
        train_set, val_set, record = read_train_and_val(source, config.images, config.division, say)
    else:
        since = "the checkpoint" if verb.startswith("train") else "the run"
        changed = f"{run}: the pictures or labels of {source.name} have changed since {since}"
        train_set, val_set = recorded_sets(source, record, config.images, changed, say)
    targets = target_spec(source.task, train_set.labels, config.input_effect)
    how = {"images": config.images, "settings": config.planned, "augmentation": config.augmentation}
    fitting = Fitting(network=network, classes=source.classes, targets=targets, **how)
    return Plan(fitting=fitting, source=source, train_set=train_set, val_set=val_set, record=record, config=config)


def recorded_sets(
    source: DataSource, record: SplitRecord, spec: InputSpec, changed: str, say: Callable[[str], None]
) -> tuple[ImageSet, ImageSet]:
    """The pictures that a run trained on and validated on, in its order, wherever they lie in the data now; others are reported.

    Raises:
        UsageError: one of them is gone or `changed`, so that the run cannot come out the same; names it.
    """
    found = record.find(source)
    for role, words in (("train", "training pictures"), ("val", "validation pictures")):
        if lost := differences(found, role, words):
            remedy = "Restore them, give the folder that holds them with `data`, or start a new run."
            raise UsageError(f"{changed}: {' and '.join(lost)}", remedy)
    if found.new:
        say(f"{source.name}: {found.new:,} new picture{'s' if found.new > 1 else ''} since the run was started, not used")
    train_set, val_set = (pictures_at(source, getattr(found, role), role, spec) for role in ("train", "val"))
    for images in (train_set, val_set):
        if images.labels.ndim == 1 and (strange := np.flatnonzero(images.labels < 0)).size:
            message = f"{changed}: {images.paths[strange[0]]} lies in a class that the run does not have"
            raise UsageError(message, "Give the class its name again, or start a new run.")
    return train_set, val_set


def read_train_and_val(
    source: DataSource, spec: InputSpec, division: Division, say: Callable[[str], None]
) -> tuple[ImageSet, ImageSet, SplitRecord]:
    """The decoded training and validation splits, and the record of them; differences from the data's own splits are reported."""
    places = division.divide(source)
    total, seed = source.num_images("train"), division.seed
    train_set = source.read("train", spec=spec, places=places.train if len(places.train) < total else None)
    held_out = None if places.val is None else source.read("train", spec=spec, places=places.val)
    val_set = source.read("val", spec=spec) if held_out is None else dataclasses.replace(held_out, split="val")
    if "val" not in source.splits:
        say(f"no val split: {len(val_set):,} of the {total:,} training {source.kind} are held out, stratified, seed {seed}")
        total -= len(val_set)
        if single := _single(source):
            words = (
                f"has 1 {source.kind[:-1]}, which is trained on: val does not measure how well it is"
                if len(single) == 1
                else (f"have 1 {source.kind[:-1]} each, which is trained on: val does not measure how well they are")
            )
            say(f"class {some([repr(name) for name in single])} {words} learned")
    elif absent := _absent(source):
        say(f"val has no {source.kind[:-1]} of class {some([repr(name) for name in absent])}: it does not measure how well that is learned")
    if division.train_images is not None:
        say(f"train: {len(train_set):,} of the {total:,} training {source.kind}, the same share of each class, seed {seed}")
    return train_set, val_set, SplitRecord.of(source, places, source.classes)


def _absent(source: DataSource) -> list[str]:
    """The classes of the training split of which the val split has no picture."""
    if not task_named(source.task).single_class:
        return []
    train, val = source.class_counts("train"), source.class_counts("val")
    return [name for name, count in train.items() if count and not val[name]]


def _single(source: DataSource) -> list[str]:
    """The classes that have one training picture."""
    labels, classes = source.strata("train")
    return [name for name, count in zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True) if count == 1]


def config_and_network(run: Path) -> tuple[RunConfig, Network]:
    """The configuration of a run folder, and its network.

    Raises:
        DataError: there is no configuration.
        RefusedFileError: one of them is missing or damaged, or they are not for the same pictures and outputs.
    """
    folder = RunFolder(run)
    config, network = folder.read_config(), folder.read_network()
    images = config.images
    if images.input_shape != network.input_shape:
        message = f"{folder.network}: takes {network.input_shape}, but {images.kind} of {folder.config} are {images.words}"
        raise RefusedFileError(message, RESTORE)
    return config, network


def warn_of_other_conditions(kept: Mapping[str, Any], processes: int, say: Callable[[str], None]) -> None:
    """Report differences in the software, the threads or the number of processes: the run continues, but its bits may differ."""
    before_all = {"processes": processes, **flat(kept)}  # of old checkpoints it is not known
    for name, now in flat(conditions(processes)).items():
        before = before_all.get(name)
        if before != now and name == "processes":
            made_by, there = f"{before} process{'es' if before != 1 else ''}", f"{'are' if now != 1 else 'is'} {now}"
            say(
                f"not exact: the checkpoint was made by {made_by}, and now there {there}; order, batches, augmentation and learning "
                "rates stay the same, and each picture is still seen once an epoch, "
                "but dropout and batch norms (without sync_norm) go by each process's part of a batch, so that the numbers differ"
            )
        elif before != now:
            say(f"not exact: the checkpoint was made with {name} {before}, and this is {now}; the numbers may differ in their last digits")


def conditions(processes: int) -> dict[str, Any]:
    """The environment that a continued training must share to be bit-identical."""
    import torch

    known = info()
    kept = {name: known["versions"][name] for name in ("striate", "torch")}
    most = os.environ.get("OMP_THREAD_LIMIT", "")  # which torch is not told of
    threads = min(torch.get_num_threads(), int(most)) if most.isdigit() and int(most) else torch.get_num_threads()
    return {"versions": kept, "threads": threads, "processes": processes, "kernels": known["kernels"]}


def fingerprint(*sets: ImageSet) -> str:
    """A SHA-256 over names, labels, weights and pixels of the sets; of large ones, over evenly spaced pictures."""
    digest = hashlib.sha256()
    for images in sets:
        step = max(1, images.images.nbytes // HASHED_BYTES)
        digest.update(repr((images.split, images.images.shape, images.classes)).encode())
        digest.update(np.ascontiguousarray(images.labels).tobytes())
        if images.facts.weights is not None:
            digest.update(images.facts.weights.tobytes())
        for picture in images.images[::step]:
            digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()
