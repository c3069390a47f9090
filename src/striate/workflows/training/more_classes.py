"""Taking a run to more classes: its pictures are replayed beside the new ones, and what it forgets is measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.core.images import ImageSpec
from striate.core.places import near
from striate.core.text import command
from striate.data.identities import Identities
from striate.data.joined import joined
from striate.data.omissions import some
from striate.data.recorded import Place, SplitRecord, differences, pictures_at
from striate.data.records import DataSource, ImageSet, alike_in_words
from striate.data.splits import Division, few_places, held_out_places, names_below
from striate.models.builtin import is_builtin
from striate.models.loading import load
from striate.models.model import Model
from striate.models.transfer import Weights, open_weights, with_more_classes
from striate.networks.network import Network
from striate.workflows.recipes.choices import Choices
from striate.workflows.runs.behind import config_behind, opened_earlier
from striate.workflows.runs.config import ARRAYS, EarlierData, Extended, RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.split import read_record
from striate.workflows.training.replaying import SeenSets, read_seen, replayed

if TYPE_CHECKING:
    from striate.models.fitting import Fitting
    from striate.workflows.training.request import TrainRequest

OF_THE_RUN = ("network", "pretrained", "pretrain", "unlabelled", "image_size", "fit", "normalization", "target")  # fields that stay


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A run that is taken to more classes, and its pictures together with the new ones."""

    run: Path
    config: RunConfig
    model: Model
    weights: Weights
    record: SplitRecord
    earlier: tuple[EarlierData, ...]
    source: DataSource  # all pictures, by the classes of the run, and then the new ones
    seen: SeenSets | None = None  # all pictures of the run, by the features that it keeps
    replay: SeenSets | None = None  # those that are not at hand, where there are such
    extended: Extended | None = None  # what is to be recorded, once the pictures are read

    @property
    def images(self) -> ImageSpec:
        """The pictures as the run's network takes them."""
        return self.weights.images  # type: ignore[return-value]  # of a run of pictures

    @property
    def choices(self) -> Choices:
        """The decisions of the run's configuration for its extension: parts that are frozen, the loss, the augmentation."""
        settings = {name: getattr(self.config.settings, name) for name in ("freeze", "unfreeze_every", "loss")}
        return Choices(settings=settings, augmentation=dataclasses.asdict(self.config.augmentation))

    def weights_for(self, network: Network) -> Weights:
        """The run's weights for the network of all classes; without a head where one is fitted to the pictures of all classes."""
        return self.weights if is_builtin(self.config.pretrained) else with_more_classes(self.weights, network, self.source.classes)

    def recorded(self, fitting: Fitting) -> Extended | None:
        """The record of it in a configuration, with the answers for held-out pictures that are not at hand."""
        if self.extended is None or self.replay is None or fitting.start is None:
            return self.extended
        head = [row for row in fitting.network.rows if row.cost.params][-1].path
        return dataclasses.replace(self.extended, replayed=replayed(self.replay, self.weights.tensors, fitting.start, head))


def extension_of_classes(request: TrainRequest, run: Path, new: DataSource, say: Callable[[str], None]) -> Extension:
    """The run at `run` with the pictures of `new`, which holds classes that it does not know.

    Raises:
        UsageError: there is no such run, it is not done, it is no classifier of pictures, or it knows all classes of `new`; or the request
            asks for what the run has decided.
        DataError: the pictures have other channels.
        RefusedFileError: a file of the run is damaged.
    """
    _refuse_settings(request)
    folder = RunFolder(run)
    if not folder.is_run:
        raise UsageError(f"`extend` {run}: no such run folder", near(run, "Give the folder of a finished training run."))
    if not (folder.has_model and folder.curves.exists()):
        remedy = f"Continue it first: {command('striate', 'train', '--resume', run)}."
        raise UsageError(f"`extend` {run}: the run has not come to its end", remedy)
    model = load(run)
    config = config_behind(run, model, say)
    record = read_record(run)
    if config is None or record is None:
        raise UsageError(f"`extend` {run}: does not record its pictures, as runs of older versions", "Train it again.")
    if model.task != "classify" or not isinstance(model.images, ImageSpec):
        what = model.task if model.images.kind == "pictures" else f"{model.task} of {model.images.kind}"
        raise UsageError(f"`extend` {run}: has the task {what}; only classifiers of pictures are extended", "Train a new run.")
    if new.task != "classify" or new.kind != "pictures":
        raise UsageError(
            f"`extend`: {new.name} is for {new.task} of {new.kind}, and {run} classifies pictures", "Give classes of pictures."
        )
    if "train" not in new.splits:
        raise DataError(f"{new.name}: has no pictures to train on", "Put them into a folder for each class.")
    if new.channels not in (1, model.images.channels):
        message = f"{new.name}: has pictures of {new.channels} channels, and {run} takes {model.images.channels}"
        raise DataError(message, "Convert the pictures, or train a new run on all of them.")
    added = tuple(name for name in new.classes if name not in record.classes)
    if not added:
        remedy = f"To train on more pictures of the same classes, start from its weights: --pretrained {run}."
        raise UsageError(f"`extend` {run}: knows all classes of {new.name}: {', '.join(record.classes[:20])}", remedy)
    earlier = _earlier_data(config, request)
    source = joined([*opened_earlier(earlier, say), new], (*record.classes, *added))
    say(f"extends   {run}: {len(record.classes)} classes, new: {', '.join(added)}")
    for line in alike_in_words(new.name, source.classes):
        say(line)
    weights = open_weights(run, None)
    seen = read_seen(run, config)
    return Extension(run=run, config=config, model=model, weights=weights, record=record, earlier=earlier, source=source, seen=seen)


def _refuse_settings(request: TrainRequest) -> None:
    """Refuse what the extended run has decided."""
    asked = [field for field in OF_THE_RUN if getattr(request, field) is not None]
    asked += [f"set {name}" for name in request.set if name.startswith("images.")]
    if asked:
        raise UsageError(f"`{asked[0]}`: is decided by the run that `extend` names", "Leave it out, or start a new run.")


def _earlier_data(config: RunConfig, request: TrainRequest) -> tuple[EarlierData, ...]:
    """The data that the extended run was trained on, but for what the request names itself; oldest first."""
    own = EarlierData(data=config.data, data_dir=config.data_dir, skip_unreadable=config.skip_unreadable, layout=config.layout)
    held = [*(config.extends.data if config.extends is not None else ()), own]
    now = request.data if isinstance(request.data, str | Path) else ARRAYS
    return tuple(each for each in held if each.data not in (ARRAYS, str(now), str(Path(now).resolve())))


def read_extended(
    extension: Extension, division: Division, say: Callable[[str], None]
) -> tuple[ImageSet, ImageSet, SplitRecord, Extension]:
    """The pictures to train and to validate on: those of the run in its order, and then the new ones; and the record of them.

    The last is the extension, with what is to be recorded of it, and with those pictures that are not at hand, where the run keeps their
    features.

    What the run held out stays held out. Of the new pictures a part is held out, where they have no val split of their own.

    Raises:
        DataError: a class of the run has no picture left to replay.
    """
    source, record, run = extension.source, extension.record, extension.run
    found = record.find(source)
    for role, words in (("train", "training pictures"), ("val", "held-out pictures")):
        if lost := differences(found, role, f"{words} of {run}"):
            say("; ".join(lost))
    labels = {split: source.strata(split)[0] for split in source.splits}
    identities = {split: source.identities(split) for split in labels}
    extension = _with_replay(extension, {identities[split].digests[place] for split, place in (*found.train, *found.val)}, say)
    _refuse_forgotten(extension, {int(labels[split][place]) for split, place in found.train})
    known = {*found.train, *found.val, *found.trained}
    new = {split: [(split, place) for place in range(len(labels[split])) if (split, place) not in known] for split in ("train", "val")
           if split in labels}  # fmt: skip
    new_train, new_val, aside = _divided(source, new["train"], new.get("val", []), division)
    train, val = [*found.train, *new_train], [*found.val, *new_val]
    own = "their val split" if new.get("val") else f"stratified, seed {division.seed}"
    say(
        f"pictures  of {run}: {len(found.train):,} trained on, {len(found.val):,} held out; "
        f"new: {len(new_train):,} to train on, {len(new_val):,} held out ({own})"
    )
    if not val:
        raise DataError(f"{source.name}: no picture is held out to measure the run on", "Give more pictures of the new classes.")
    train_set, val_set = (pictures_at(source, places, role, extension.images) for role, places in (("train", train), ("val", val)))
    measured = {*val_set.labels.tolist(), *(extension.replay.val.labels.tolist() if extension.replay is not None else ())}
    if lacking := sorted({*range(len(source.classes))} - measured):
        say(f"val has no picture of class {some([repr(source.classes[k]) for k in lacking])}: it does not measure how well that is learned")
    roles = {"train": train, "val": val, "unused": aside}
    kept = SplitRecord(
        classes=source.classes,
        own_val=False,
        labels={role: tuple(int(labels[split][place]) for split, place in places) for role, places in roles.items()},
        **{role: _identities(identities, places) for role, places in roles.items()},
    )
    old = val_set.take(range(len(found.val)))
    right = int((extension.model.outputs(old.images).argmax(1) == old.labels).sum()) if len(old) else 0
    known_classes = len(record.classes)
    extended = Extended(run=str(run.resolve()), num_classes=known_classes, num_val=len(old), correct=right, data=extension.earlier)
    return train_set, val_set, kept, dataclasses.replace(extension, extended=extended)


def _with_replay(extension: Extension, at_hand: set[bytes], say: Callable[[str], None]) -> Extension:
    """The extension with those pictures, known by their features, that are not at hand."""
    if extension.seen is None:
        return extension
    gone = SeenSets(*(some.without(at_hand) for some in extension.seen))
    if not len(gone.train.labels) + len(gone.val.labels):
        return extension
    say(
        f"replayed  from the features that {extension.run} keeps: {len(gone.train.labels):,} pictures to train on, "
        f"{len(gone.val.labels):,} held out"
    )
    return dataclasses.replace(extension, replay=gone)


def _refuse_forgotten(extension: Extension, present: set[int]) -> None:
    """Refuse a class of the run of which there is no picture to replay: it would be forgotten."""
    replayed_labels = extension.replay.train.labels.tolist() if extension.replay is not None else ()
    lacking = [name for place, name in enumerate(extension.record.classes) if place not in {*present, *replayed_labels}]
    if lacking:
        message = (
            f"`extend` {extension.run}: no picture that it was trained on is at hand of class {some([repr(name) for name in lacking])}"
        )
        raise DataError(message, "Restore them where they were, or put them beside the new ones: they are found by their content.")


def _divided(
    source: DataSource, train: Sequence[Place], val: Sequence[Place], division: Division
) -> tuple[list[Place], list[Place], list[Place]]:
    """The new pictures to train on, to validate on, and to leave aside."""
    places = np.array([place for _, place in train], np.int64)
    labels, paths = source.strata("train")[0][places], source.paths("train")
    names = names_below([paths[place] for place in places.tolist()])
    held_out = np.zeros(len(places), bool)
    if not val and len(places) and np.bincount(labels).max() > 1:
        held_out = held_out_places(labels, names, source.classes, fraction=division.val_fraction, seed=division.seed)
    kept = np.flatnonzero(~held_out)
    if division.train_images is not None:
        some_names = [names[place] for place in kept.tolist()]
        few = few_places(labels[kept], some_names, source.classes, count=division.train_images, seed=division.seed, name=source.name)
        kept = kept[few]
    chosen, out = set(kept.tolist()), set(np.flatnonzero(held_out).tolist())
    aside = [each for place, each in enumerate(train) if place not in chosen | out]
    return [train[place] for place in sorted(chosen)], [*(train[place] for place in sorted(out)), *val], aside


def _identities(of_splits: dict[str, Identities], places: Sequence[Place]) -> Identities:
    found = [of_splits[split].take([place]) for split, place in places]
    return Identities(tuple(each.names[0] for each in found), tuple(each.digests[0] for each in found))
