"""The run that a model comes from: its folder, and its configuration, checked against the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core.errors import DataError, RefusedFileError, StriateError, UnknownNameError, UsageError
from striate.data.joined import joined
from striate.data.named import NAMED
from striate.data.records import DataSource
from striate.data.sources import open_data
from striate.models.model import Model
from striate.workflows.runs.config import ARRAYS, RESTORE, EarlierData, RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.hashes import FILES, NOT_RECORDED

if TYPE_CHECKING:
    from os import PathLike


def run_of(source: str | PathLike[str]) -> Path | None:
    """The run folder that a model comes from: `source` itself, or the folder of a model file that lies in one."""
    path = Path(source)
    if path.is_dir():
        return path
    return path.parent if path.is_file() and RunFolder(path.parent).is_run else None  # a file alone needs no run


def config_behind(source: Any, model: Model | None, say: Callable[[str], None] = lambda _text: None) -> RunConfig | None:
    """The configuration of the run that `source` is or lies in; None of a Model, and of a model file outside of a run.

    Args:
        source: A run folder, a model file, or a Model.
        model: The model loaded from it, if it could be.
        say: Receives a line for the user.

    Raises:
        RefusedFileError: the configuration is missing or damaged, or a file of the run is not the one that the model was trained with.
    """
    run = None if isinstance(source, Model) else run_of(source)
    if run is None or not (RunFolder(run).is_run or RunFolder(run).has_network):
        return None
    folder = RunFolder(run)
    config = folder.read_config()
    if model is not None:
        refuse_edits(folder, model.info, say)
    return config


def refuse_edits(folder: RunFolder, info: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Refuse a run whose files are not those that its model was trained with; an old model, which does not record them, is reported.

    Args:
        folder: The run.
        info: Of the model.
        say: Receives a line for the user.

    Raises:
        RefusedFileError: names each file.
    """
    recorded = info.get(FILES)
    if not isinstance(recorded, Mapping):
        say(f"{folder.path}: {NOT_RECORDED}")
    elif differing := folder.differing(recorded):
        raise RefusedFileError("; ".join(differing), RESTORE)


def say_edits(source: Any, model: Model, say: Callable[[str], None]) -> None:
    """Say where a model lies in a run folder whose files are not those that it was trained with: its answers need none of them.

    Args:
        source: A run folder, a model file, or a Model.
        model: The model loaded from it.
        say: Receives a line for the user.
    """
    run, recorded = None if isinstance(source, Model) else run_of(source), model.info.get(FILES)
    if run is None or not isinstance(recorded, Mapping):
        return
    folder = RunFolder(run)
    for path in (folder.config, folder.network, folder.classes):  # not the split, which may be large
        try:
            differing = folder.differing({path.name: recorded[path.name]}) if path.name in recorded and path.exists() else []
        except StriateError as error:
            differing = [error.message]
        for words in differing:
            say(f"{words}; the answers are those of {folder.model.name}, which may be another run's")


def data_of(data: Any, config: RunConfig | None, verb: str) -> Any:
    """`data`, or what the configuration of the run names, with that of the runs that it extends.

    Args:
        data: The data that the user gave.
        config: Of the run, where there is one.
        verb: The verb as typed, for errors: `evaluate RUN`.

    Raises:
        UsageError: neither; a run that was trained on arrays names none.
        DataError: it is not there any more.
    """
    if data is not None and not (isinstance(data, str) and data == ARRAYS):
        return data
    known = config is not None or data is not None
    words = "the run was trained on arrays, which it does not store" if known else "the model does not record its data"
    if config is None or config.on_arrays:
        raise UsageError(words, f"Also give the data set: striate {verb} --data DATA.")
    if config.data not in NAMED and not Path(config.data).exists():
        raise DataError(
            f"{config.data}: is not there, which config.yaml names as the data of the run",
            f"Give its current location: striate {verb} --data DATA.",
        )
    return with_earlier(config.data, config)


def with_earlier(newest: Any, config: RunConfig, say: Callable[[str], None] = lambda _text: None) -> Any:
    """The data of a run with the data of the runs that it extends, as one; of other runs `newest` as it is.

    Args:
        newest: The run's own data, or the place of all of it now.
        config: Of the run.
        say: Receives a line for each earlier data set that is not there any more; its pictures may lie in `newest`.

    Raises:
        DataError: `newest` is not there, or cannot be read.
    """
    if config.extends is None:
        return newest
    own = EarlierData(data=config.data, data_dir=config.data_dir, skip_unreadable=config.skip_unreadable, layout=config.layout)
    earlier = opened_earlier([each for each in config.extends.data if each.data != newest], say)
    source = open_data(newest, task="classify", **_how(own))
    return joined([*earlier, source], tuple(dict.fromkeys(name for each in (*earlier, source) for name in each.classes)))


def opened_earlier(data: Sequence[EarlierData], say: Callable[[str], None]) -> list[DataSource]:
    """The data sets of earlier runs; those that are not there any more are reported."""
    found = []
    for each in data:
        try:
            found.append(open_data(each.data, **_how(each)))
        except (DataError, UnknownNameError) as error:
            say(f"not at hand: {error.message}")
    return found


def _how(data: EarlierData) -> dict[str, Any]:
    """The arguments of `open_data` for it."""
    data_dir = Path(data.data_dir) if data.data_dir else None
    return {"data_dir": data_dir, "skip_unreadable": data.skip_unreadable, "layout": data.layout, "to_train": False}
