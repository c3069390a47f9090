"""The labelled pictures for a verb: those that a run held out or learned from, found again; or other data, as it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from pydantic import ConfigDict

from striate.core.errors import DataError
from striate.data.layout import Layout
from striate.data.omissions import some
from striate.data.reading import AS_USUAL, Reading
from striate.data.recorded import BriefRecord, Found, Place, SplitRecord, Trained, differences, pictures_at
from striate.data.records import DataSource, ImageSet
from striate.data.sources import open_data
from striate.data.splits import Division
from striate.models.model import Model
from striate.workflows.runs.behind import config_behind, data_of, run_of
from striate.workflows.runs.config import RunConfig
from striate.workflows.runs.split import NOT_RECORDED, record_of
from striate.workflows.tasks.registry import task_named

ALL = "all"  # what the pictures of data without splits are called that is not the run's own
MEASURED = ("test", "val")  # the split that is measured where none is named: the first of these that there is
LOOKED_AT = ("val",)  # that other verbs look at; test is opened where it is asked for

Say = Callable[[str], None]


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class DataRequest:
    """The labelled pictures that a verb lets trained models answer."""

    data: Any = None  # the run's own data by default
    skip_unreadable: bool = False  # leave out pictures of the data that cannot be decoded, and say so
    layout: Layout = "auto"  # what the folders of the data are; as the training was told by default
    data_dir: Path | None = None
    download: bool = False
    module: Any = None  # the user's own torch module, where the run trained one: files hold its weights alone


def open_labelled(
    model: Model,
    source_of_model: Any,
    request: DataRequest,
    *,
    verb: str,
    reading: Reading = AS_USUAL,
    say: Say = lambda _text: None,
    drop: Path | None = None,
) -> Labelled:
    """The named data, or that of the run, opened for use with `model`.

    Args:
        model: The model to use on it.
        source_of_model: A run folder, a model file, or the Model itself.
        request: The data: a named set, a folder, an `.npz` file, arrays, or a source; and how it is read, if not as in the run.
        verb: The verb as typed, for errors: `evaluate RUN`.
        reading: How a table is read where that is not as in the run.
        say: Receives a line for the user.
        drop: A list of pictures to leave out; None: of the run's own data that of the training, of other data none.

    Raises:
        UsageError: no data is named, and the run does not tell.
        DataError: it cannot be opened, or has other targets than the model.
        RefusedFileError: the record of the split is damaged.
    """
    run = run_of(source_of_model) if isinstance(source_of_model, str | Path) else None
    config = config_behind(source_of_model, model, say) if run is not None else None
    record = record_of(run, model.info)
    source = open_data(
        data_of(request.data, config, verb),
        data_dir=request.data_dir or (config.data_folder if config is not None else None),
        download=request.download,
        skip_unreadable=request.skip_unreadable or (config is not None and config.skip_unreadable),
        task=model.task,
        form=model.form,
        layout=config.layout if config is not None and request.layout == "auto" else request.layout,
        drop=drop or (config.drop_list if config is not None and request.data is None else None),
        reading=reading.over(config.reading if config is not None else AS_USUAL),
        to_train=False,
        say=say,
    )
    if not task_named(source.task).single_class:
        source = source.with_classes(model.classes)
    return Labelled(source=source, model=model, record=record, run=run, config=config, named=request.data is not None)


def evenly(total: int, count: int) -> list[int]:
    """At most `count` of the places 0 to `total` - 1, evenly taken."""
    return [int(place) for place in np.unique(np.linspace(0, total - 1, min(count, total)).round())]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Opened data beside a model.

    Attributes:
        source: The data.
        model: The model.
        record: The pictures that the model was trained on; None: not recorded.
        run: The run folder that it comes from, where there is one.
        config: The configuration of that run.
        named: True if the user named the data; else it is the run's.
        copies: The pictures of a split that were trained on, cached.
    """

    source: DataSource
    model: Model
    record: SplitRecord | BriefRecord | None
    run: Path | None
    config: RunConfig | None
    named: bool
    copies: dict[str, Trained] = dataclasses.field(default_factory=dict)

    @cached_property
    def found(self) -> Found:
        """The run's pictures that still exist; only for a run that has a record."""
        if self.record is None:
            raise RuntimeError("no record")
        return self.record.find(self.source)

    @cached_property
    def is_own(self) -> bool:
        """Return whether these are the pictures that the model was trained on, changed or not; without a record, the run is trusted."""
        if not self.named:
            return True
        return self.config is not None if self.record is None else self.found.is_its

    def split_for(self, asked: str | None, order: Sequence[str]) -> str:
        """The split to read: the requested one, else the first of `order` that exists; "all" for other data without splits.

        Raises:
            DataError: the split does not exist; names those that do.
        """
        splits = self.source.splits
        if self.is_own:
            return asked or next((split for split in order if split in splits), "val")
        if splits == ("train",):
            return ALL
        wanted = asked or next((split for split in order if split in splits), splits[0] if len(splits) == 1 else order[0])
        if wanted not in splits:
            message = f"{self.source.without(wanted).message}, and the model was not trained on this data, so none of it was held out"
            raise DataError(message, f"Choose another `split`: {', '.join(splits)}.")
        return wanted

    def read(self, asked: str | None, say: Say, order: Sequence[str] = LOOKED_AT, at_most: int | None = None) -> ImageSet:
        """The pictures of a split as the model takes them, labelled by its classes; `split` of the set says which it is.

        Of recorded pictures no more than `at_most`, evenly taken, are decoded.

        Of the run's own data, val and train are the pictures that the training held out and learned from, wherever they lie now; what is
        gone, has changed or is new since is reported. Pictures that were trained on are never among those of val.

        Raises:
            DataError: there is no such split, nothing is left of it, or a picture has a class that the model does not know; names it.
        """
        split = self.split_for(asked, order)
        images = self._recorded(split, say, at_most) if self.is_own and split in ("train", "val") else self._as_it_is(split, say)
        if not len(images):
            raise DataError(f"{self.source.name}: {split} has no {self.source.kind}", "Choose another `split`, or other data.")
        return self._labelled(images)

    def _as_it_is(self, split: str, say: Say) -> ImageSet:
        """A split of the data itself."""
        own = self.source.splits[0] if split == ALL else split
        if own not in self.source.splits:
            remedy = "Choose --split val: the pictures that the training held out." if self.is_own else "Choose another split."
            raise DataError(self.source.without(own).message, remedy)
        self._refuse_unknown(self._all_of(own))
        images = dataclasses.replace(self.source.read(own, spec=self.model.images), split=split)
        if split == ALL:
            count = self._counted(len(images))
            say(f"{self.source.name}: not the data that the model was trained on, and without splits: all of its {count}")
        if words := self.trained_in_words(split, len(images)):
            say(words)
        return images

    def trained_among(self, split: str) -> Trained | None:
        """The pictures of a split that were trained on; None if the model's training did not record its pictures."""
        own = self.source.splits[0] if split == ALL else split
        if self.record is None or own not in self.source.splits or (self.is_own and split in ("train", "val")):
            return None
        if own not in self.copies:
            self.copies[own] = self.record.trained_on(self.source.identities(own))
        return self.copies[own]

    def trained_in_words(self, split: str, total: int) -> str | None:
        """The warning about pictures of a split that were trained on, or about what is not known of them."""
        found = self.trained_among(split)
        if found is None:
            if self.record is not None or self.config is None:  # its own train or val: recorded; without a run there is nothing to say
                return None
            return f"{split}: the run does not record which pictures it was trained on: whether these include some of them is unknown"
        unsure = f"the model file knows {found.num_known:,} of its {self.num_train:,} training {self.source.kind}"
        of = f"{total:,} {'' if split == ALL else split + ' '}{self.source.kind}"
        if not found.count:
            return None if found.is_exact else f"none of {of} is among the training pictures that are known: {unsure}"
        were, worth = (
            "was" if found.count == 1 else "were",
            "the accuracy is too high" if self.is_classifier else "the measures are too good",
        )
        names = f" ({some(found.names)})" if found.names else ""
        text = f"{'' if found.is_exact else 'about '}{found.count:,} of {of} {were} trained on, so {worth}{names}"
        return f"warning: {text}" if found.is_exact else f"warning: {text}; {unsure}"

    @property
    def num_train(self) -> int:
        """The number of pictures that the model was trained on; 0 if that is not recorded."""
        return self.record.num_train if self.record is not None else 0

    @property
    def is_classifier(self) -> bool:
        """True if the model is measured by its accuracy."""
        return task_named(self.source.task).single_class

    def _recorded(self, split: str, say: Say, at_most: int | None) -> ImageSet:
        """Train or val of the run's own data."""
        spec = self.model.images
        if self.record is None:
            division = self.config.division if self.config is not None else Division()
            if division.decides(self.source, split):
                say(f"{split}: {NOT_RECORDED} ({division})")
            self._refuse_unknown(self._all_of(split if split in self.source.splits else "train"))
            return division.part(self.source, split, spec)
        found, record = self.found, self.record
        if split == "val" and record.own_val and "val" in self.source.splits:
            places = [place for place in self._all_of("val") if place not in found.trained]
            self._refuse_unknown(places)
            left = len(self.source.paths("val")) - len(places)
            parts = differences(found, "val", "validation pictures")
            if new := len(set(places) - set(found.val)):
                parts.append(f"{new:,} {'is' if new == 1 else 'are'} new")
            if left:
                parts.append(f"{left:,} {'was' if left == 1 else 'were'} trained on, and {'is' if left == 1 else 'are'} left out")
            if parts:
                say(f"val: {self._counted(len(places))} of the val split; since the training {', '.join(parts)}")
            return pictures_at(self.source, places, "val", spec)
        if split == "train" and isinstance(record, BriefRecord):
            say(f"train: the {self._counted(len(found.train))} that were not held out; the training had {record.num_train:,}")
            return self._set(found.train, split, at_most)
        total = found.num_train if split == "train" else found.num_val
        what = "that were trained on" if split == "train" else "that the training held out" if not record.own_val else "that validated it"
        there = found.train if split == "train" else found.val
        parts = differences(found, split, "training pictures" if split == "train" else "held-out pictures")
        if found.new:
            words = "1 new picture belongs" if found.new == 1 else f"{found.new:,} new pictures belong"
            parts.append(f"{words} to neither train nor val")
        of = f"the {self._counted(total)}" if len(there) == total else f"{len(there):,} of the {self._counted(total)}"
        say("; ".join([f"{split}: {of} {what}", *parts]))
        return self._set(there, split, at_most)

    def _set(self, places: Sequence[Place], split: str, at_most: int | None) -> ImageSet:
        if not places:
            words = "was trained on" if split == "train" else "was held out"
            remedy = "Name the folder that holds them with `data`; other pictures are measured from a folder of their own."
            raise DataError(f"{self.source.name}: no picture that {words} is in it any more", remedy)
        self._refuse_unknown(places)
        chosen = places if at_most is None else [places[place] for place in evenly(len(places), at_most)]
        return pictures_at(self.source, chosen, split, self.model.images)

    def _refuse_unknown(self, places: Sequence[Place]) -> None:
        """Refuse pictures of classes that the model does not know, before they are decoded."""
        if not self.is_classifier:
            return
        known, names = self.model.classes, self.source.classes
        labels = {split: self.source.strata(split)[0] for split in dict(places)}
        if any(names[labels[split][place]] not in known for split, place in places):
            words = ", ".join(repr(name) for name in [name for name in names if name not in known][:5])
            raise DataError(f"{self.source.name}: class {words} is not known to the model", f"It knows {', '.join(known[:20])}.")

    def _all_of(self, split: str) -> list[Place]:
        return [(split, place) for place in range(len(self.source.paths(split)))]

    def _labelled(self, images: ImageSet) -> ImageSet:
        """The pictures with labels by the model's classes."""
        if not self.is_classifier:
            return images
        known, names = self.model.classes, self.source.classes
        places = np.array([known.index(name) if name in known else -1 for name in names], np.int64)
        return dataclasses.replace(images, labels=places[images.labels], classes=known)

    def _counted(self, count: int) -> str:
        return f"1 {self.source.kind[:-1]}" if count == 1 else f"{count:,} {self.source.kind}"
