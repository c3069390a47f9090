"""The `config.yaml` of a run: one typed record, read by one function."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from striate.core.bounded import read_yaml
from striate.core.errors import DataError, RefusedFileError, UsageError
from striate.core.images import Form, InputSpec
from striate.core.places import near
from striate.core.refusals import checked_entry, first_fault
from striate.core.targets import Task
from striate.data.augmentation.record import Augmentation
from striate.data.layout import Layout
from striate.data.reading import Reading, Role
from striate.data.records import num_batches
from striate.data.splits import Division
from striate.engine.limits import CUT, CutName, in_effect
from striate.engine.settings import Count, TrainSettings

ARRAYS = "arrays"  # in place of data that has no name
NO_CONFIG = "Name the folder of a training run; for a model file alone, also give the data set."
RESTORE = "Restore the file as the training wrote it. Its best.safetensors, copied out of the folder, needs none of the others."
NotNegative = Annotated[int, Field(ge=0, le=10**9)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class EarlierData:
    """The data of a run that another one extends, as it was read there."""

    data: str
    data_dir: str | None = None
    skip_unreadable: bool = False
    layout: Layout = "auto"


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Replayed:
    """The pictures of an extended run that are not at hand any more, and are known by the features that it keeps."""

    num_train: NotNegative  # that the head was fitted to
    num_val: NotNegative  # that it held out
    correct: NotNegative  # of these, that the extended run names right
    correct_now: NotNegative  # and that the run does
    taken_for_new: NotNegative  # and that it takes for a new class


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class Extended:
    """The run with fewer classes that a run goes on from, and the data that is replayed beside the run's own."""

    run: str
    num_classes: Count  # that it has: the first of the run's own
    num_val: NotNegative  # pictures at hand that it held out: the first of the run's own
    correct: NotNegative  # of them, that it names right
    data: tuple[EarlierData, ...] = ()  # oldest first
    replayed: Replayed | None = None  # where pictures of it are not at hand


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RunConfig:
    """The complete configuration of a run: the data and its division, the network's name, and all settings."""

    data: str  # the name of a set, a path, or "arrays"
    task: Task | None
    data_dir: str | None  # where named data lies, if not in the cache
    val_fraction: Annotated[float, Field(gt=0, lt=1)]  # of train, held out where there is no val split
    train_images: Count | None  # of those left to train on; None: all
    val_seed: Annotated[int, Field(ge=0, lt=2**63)]  # of the division; `set` may give the training another
    skip_unreadable: bool
    layout: Layout = "auto"  # what the folders of the data are, where their names leave a doubt
    drop: str | None = None  # the list of pictures that are left out; where it is gone, they are not
    input_effect: str | None = None  # that makes the inputs of its pictures
    class_from: str | None = None  # as of `Reading`, with all that follow
    columns: dict[Role, str] = Field(default_factory=dict)
    group: str | None = None
    separator: str | None = None
    root: str | None = None
    network: str
    extends: Extended | None = None  # the run whose classes this one adds to
    extended_by: tuple[Annotated[int, Field(ge=-(10**9), le=10**9)], ...] = ()  # epochs
    pretrained: str | None = None
    pretrain: Literal["autoencoder", "rbm"] | None = None
    start_sha256: Sha256 | None  # of the weights that the training starts from, where they are not fresh
    num_classes: Count
    num_train: Count | None = None  # pictures that are trained on; None: not recorded
    num_val: Count | None = None  # pictures that are held out or validated on; None: not recorded
    settings: TrainSettings  # as they took effect
    asked: dict[CutName, int | float] = Field(default_factory=dict)  # as they were asked for, where that is more
    augmentation: Augmentation
    images: InputSpec

    @property
    def division(self) -> Division:
        """The division into pictures that the run trains on and validates on."""
        return Division(val_fraction=self.val_fraction, seed=self.val_seed, train_images=self.train_images)

    @property
    def reading(self) -> Reading:
        """The columns and rules by which the data is read."""
        return Reading.of(self)

    @property
    def planned(self) -> TrainSettings:
        """The settings as requested, which a training follows, also when it is extended."""
        asked: dict[str, Any] = {str(name): value for name, value in self.asked.items()}
        return dataclasses.replace(self.settings, **asked)

    def with_planned(self, planned: TrainSettings) -> RunConfig:
        """The same with other settings, of which both the effective and the requested values are kept."""
        if self.num_train is None:
            return dataclasses.replace(self, settings=planned, asked={})
        taken = in_effect(planned, self.num_train, num_batches(self.num_train, planned.batch_size))
        asked = {name: getattr(planned, name) for name in CUT if getattr(planned, name) != getattr(taken, name)}
        return dataclasses.replace(self, settings=taken, asked=asked)

    def plain_as_asked(self) -> dict[str, Any]:
        """The record as plain data with the requested settings."""
        return dataclasses.replace(self, settings=self.planned, asked={}).plain()

    @property
    def form(self) -> Form:
        """The form in which the data is read."""
        return self.images.form._replace(effect=self.input_effect)

    @property
    def data_folder(self) -> Path | None:
        """`data_dir` as a path."""
        return Path(self.data_dir) if self.data_dir else None

    @property
    def drop_list(self) -> Path | None:
        """`drop` as a path, if the file is there."""
        return Path(self.drop) if self.drop and Path(self.drop).is_file() else None

    @property
    def on_arrays(self) -> bool:
        """True if the run was trained on arrays, which its folder does not hold."""
        return self.data == ARRAYS

    def plain(self) -> dict[str, Any]:
        """The record as plain data, as YAML and JSON hold it."""
        data: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return data

    @classmethod
    def from_plain(cls, data: object, where: str) -> RunConfig:
        """The record that `plain` gave.

        Raises:
            RefusedFileError: a field is missing, unknown or out of range; names `where` and the field.
        """
        if not isinstance(data, Mapping):
            raise RefusedFileError(f"{where}: must hold names and values, got {type(data).__name__}", RESTORE)
        try:
            config = _ADAPTER.validate_python(data)
            taken = config.with_planned(config.planned)
        except ValidationError as error:
            raise RefusedFileError(f"{where}: {first_fault(error)}", RESTORE) from None
        if config.asked and taken != config:
            now, then = (dataclasses.asdict(each.settings) for each in (config, taken))
            lines = [
                f"settings.{name} is {now[name]!r}, but the recorded request gives {then[name]!r}"
                for name in now
                if now[name] != then[name]
            ]
            raise RefusedFileError(f"{where}: {'; '.join(lines) or 'asked: does not belong to the settings'}", RESTORE)
        return config


_ADAPTER = TypeAdapter(RunConfig)
FIELDS = tuple(field.name for field in dataclasses.fields(RunConfig))


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names; sequences as lists."""
    found: dict[str, Any] = {}
    for name, value in data.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = list(value) if isinstance(value, tuple | list) else value
    return found


def read_config(path: Path) -> RunConfig:
    """The configuration that a `config.yaml` holds.

    Raises:
        DataError: there is none, and the folder is not a run folder.
        RefusedFileError: it is missing from the folder of a run, damaged, or a field is missing, unknown or out of range; names the field.
    """
    return RunConfig.from_plain(read_plain_config(path), str(path))


def read_plain_config(path: Path) -> Any:
    """The same as unchecked plain data; errors as of `read_config`."""
    if not path.parent.exists():
        raise UsageError(f"{path.parent}: no such run folder", near(path.parent, "Give the folder of a training run."))
    if not path.exists() and not path.is_symlink():
        if (path.parent / "network.json").exists():
            raise RefusedFileError(f"{path}: is missing from the folder of a run", RESTORE)
        raise DataError(f"{path}: cannot read the run's configuration: No such file or directory", NO_CONFIG)
    return read_yaml(path, remedy=RESTORE)


def refuse_bad_fields(where: str, data: Mapping[str, Any]) -> None:
    """Refuse values that a run's configuration cannot have, where only some fields are given.

    Raises:
        RefusedFileError: names the first of them.
    """
    types = {field.name: field.type for field in dataclasses.fields(RunConfig)}
    for name, value in data.items():
        if value is None or name not in types:
            continue
        wanted = RunConfig.__pydantic_fields__[name].annotation  # type: ignore[attr-defined]
        checked_entry(TypeAdapter(wanted), value, where, RESTORE, name)
