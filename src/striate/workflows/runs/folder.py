"""A run folder: the path of each of its files, and one reader and one writer for each."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core.bounded import read_csv, read_json, read_json_lines
from striate.core.errors import RefusedFileError
from striate.core.files import write_atomically, write_yaml
from striate.core.locks import LOCK
from striate.core.refusals import checked_entry
from striate.core.sealed import TEMPORARY
from striate.data.findings import DataFinding
from striate.models.model import MODEL_NAME
from striate.networks.network import Network
from striate.workflows.runs.config import RESTORE, RunConfig, read_config, read_plain_config
from striate.workflows.runs.hashes import CLOSED, FILES, GROWN, HASHED, content_hash

if TYPE_CHECKING:
    from striate.insight.diagnose import Sample

REMOVE = "Remove the file to continue without it."
RESTORE_GROWN = "Restore the file as the training wrote it, or remove it to do without it."
NOT_CLOSED = "no hash of it is recorded, as for a run that is in progress, was killed or is old: whether it was edited is unknown"
DESCRIPTION = (*HASHED, "env.json", "start.safetensors", "features.safetensors")  # what a training writes before it begins
FOUND = "found_in_data"  # of the event that tells of the start
WHOLE = ("epoch", "step")  # columns of metrics.csv that hold whole numbers


def found_in(data: Sequence[DataFinding] | None) -> dict[str, Any]:
    """The field of the start event with the findings in the data; None if it was not checked."""
    return {FOUND: [dataclasses.asdict(finding) for finding in data]} if data is not None else {}


class _At:
    """A file or a folder of a run, by its place in the run folder."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __get__(self, folder: RunFolder, _: type[RunFolder]) -> Path:
        return folder.path / self.place


@dataclass(frozen=True)
class RunFolder:
    """The folder of a training run at `path`; files are read on demand."""

    path: Path

    config = _At("config.yaml")  # the run's configuration
    network = _At("network.json")  # the description of the network
    classes = _At("classes.json")  # the names of the classes, in the order of the outputs
    split = _At("split.json")  # names and hashes of the pictures that were held out
    env = _At("env.json")  # the machine and the versions
    metrics = _At("metrics.csv")  # one row per epoch
    events = _At("events.jsonl")  # starts, interruptions, notes, checkpoints, and each epoch with its numbers
    history = _At("probe.jsonl")  # the samples of the probe, one per line
    model = _At(MODEL_NAME)  # the model of the best epoch
    features = _At("features.safetensors")  # of the pictures that a head was fitted to
    start = _At("start.safetensors")  # the weights that the run started from, if they were pretrained
    checkpoints = _At("checkpoints")  # of the training
    openings = _At("test-openings.jsonl")  # one line per use of the test split
    lock = _At(LOCK)  # held by the process that uses the folder
    report = _At("report")  # the folder of pages, pictures and tables
    curves = _At("report/curves.png")  # the last file that a training writes
    not_finite = _At("report/not-finite.npz")  # the batch at which the training met NaN or Inf

    @property
    def is_run(self) -> bool:
        """True if there is a file for the configuration."""
        return _stands(self.config)

    @property
    def has_network(self) -> bool:
        """True if there is a file for the network's description."""
        return _stands(self.network)

    @property
    def has_model(self) -> bool:
        """True if there is a file for the model."""
        return _stands(self.model)

    @property
    def is_unstarted(self) -> bool:
        """True if it holds only the files of a run that was stopped before its first checkpoint: its lock, at least."""
        if not self.lock.is_file():
            return False
        known = {LOCK, self.checkpoints.name, self.report.name, self.events.name, *DESCRIPTION}
        names = {path.name for path in self.path.iterdir() if not TEMPORARY.fullmatch(path.name)}
        inside = [*self._inside(self.checkpoints), *self._inside(self.report)]
        return names <= known and all(path.name == "lr_find.png" or TEMPORARY.fullmatch(path.name) for path in inside)

    @property
    def is_before_first_update(self) -> bool:
        """True if it holds only the files of a run before its first update: the checkpoint of its start at most."""
        known = {LOCK, self.checkpoints.name, self.report.name, self.events.name, self.history.name, *DESCRIPTION}
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else {""}
        checkpoints = {path.name for path in self._inside(self.checkpoints)}
        return names <= known and checkpoints <= {"latest", "ckpt-00000000"} and all(event.get("step") == 0 for event in self.read_events())

    def _inside(self, folder: Path) -> list[Path]:
        return list(folder.iterdir()) if folder.is_dir() else []

    def clear_description(self) -> None:
        """Remove the files of a run that was stopped before its first checkpoint; the caller holds the lock."""
        for name in (*DESCRIPTION, self.events.name):
            (self.path / name).unlink(missing_ok=True)

    # ---- readers

    def read_config(self) -> RunConfig:
        """The configuration; errors as of `read_config`."""
        return read_config(self.config)

    def read_network(self) -> Network:
        """The network.

        Raises:
            RefusedFileError: its description is missing or damaged, or is not for the pictures of the configuration.
        """
        return network_of(self.network)

    def read_classes(self) -> tuple[str, ...]:
        """The names of the classes.

        Raises:
            RefusedFileError: the file is missing or damaged.
        """
        names = read_json(self.classes, remedy=RESTORE)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
            raise RefusedFileError(f"{self.classes}: must be a list of distinct names", RESTORE)
        return tuple(names)

    def read_env(self) -> dict[str, Any] | None:
        """The machine and the versions; None if the run holds none.

        Raises:
            RefusedFileError: the file is damaged.
        """
        if not _stands(self.env):
            return None
        known = read_json(self.env, remedy=REMOVE)
        if not isinstance(known, dict):
            raise RefusedFileError(f"{self.env}: must hold names and values, got {type(known).__name__}", REMOVE)
        return known

    def read_metrics(self, say: Callable[[str], None] = lambda _text: None) -> list[dict[str, str]]:
        """The rows of the metrics as they are written; empty, which is reported, if the run ended before its first epoch did.

        Raises:
            RefusedFileError: the file is damaged: a cell is no number, or an epoch is missing; names row and column. Or it is not the one
                that the training wrote.
        """
        if not _stands(self.metrics):
            say(f"{self.metrics}: is missing: the run records no complete epoch")
            return []
        rows = read_metrics(self.metrics)
        self._refuse_other(self.metrics, rows)
        if self.metrics.name not in self._closing():
            say(f"{self.metrics}: {NOT_CLOSED}")
        return rows

    def read_events(self, say: Callable[[str], None] = lambda _text: None) -> list[dict[str, Any]]:
        """The events; empty, which is reported, if the run has no journal.

        Raises:
            RefusedFileError: a line is damaged, or they are not those that the training wrote.
        """
        if not _stands(self.events):
            say(f"{self.events}: is missing: how the training ended is inferred from its epochs")
            return []
        events = read_json_lines(self.events, remedy=REMOVE)
        for number, event in enumerate(events, start=1):
            if not isinstance(event.get("event"), str):
                raise RefusedFileError(f"{self.events}, line {number}: event must be a word, got {event.get('event')!r}")
        recorded = closing_of(events).get(self.events.name)
        if recorded is not None and recorded != content_hash(self.events.name, events[:-1]):
            raise RefusedFileError(f"{self.events}: is not the file that the training wrote", RESTORE_GROWN)
        return events

    def last_event(self, say: Callable[[str], None] = lambda _text: None) -> str:
        """The last event of the training itself, past notes, checkpoints and the closing of its files; empty if the run has no journal."""
        events = reversed(self.read_events(say))
        return next((line["event"] for line in events if line["event"] not in ("checkpoint", "note", CLOSED)), "")

    def read_data_findings(self) -> tuple[DataFinding, ...]:
        """The findings in the pictures before the run trained on them; empty if they are not recorded.

        Raises:
            RefusedFileError: a line of the journal is damaged.
        """
        from pydantic import TypeAdapter

        adapter, where = TypeAdapter(DataFinding), f"{self.events}: the record of findings in the data is damaged"
        return tuple(checked_entry(adapter, found, where, REMOVE) for event in self.read_events() for found in event.get(FOUND, ()))

    @property
    def has_data_findings(self) -> bool:
        """True if the check of the pictures before the training is recorded."""
        return any(FOUND in event for event in self.read_events())

    def read_history(self, say: Callable[[str], None] = lambda _text: None) -> list[Sample]:
        """The samples of the probe; empty if the run was trained without it or the file is gone, which is reported.

        Raises:
            RefusedFileError: a line is damaged, or the file is not the one that the training wrote.
        """
        samples = read_history(self.history)
        if _stands(self.history):
            self._refuse_other(self.history, read_json_lines(self.history, remedy=REMOVE))
        elif self.history.name in self._closing():
            say(f"{self.history}: is missing: what was observed while the run trained is unknown")
        return samples

    def read_openings(self) -> list[dict[str, Any]]:
        """Each opening of a test split: when, by which verb, of which data.

        Raises:
            RefusedFileError: the file is damaged.
        """
        return read_json_lines(self.openings, remedy="Remove the file to restart the count.") if _stands(self.openings) else []

    def hashes(self) -> dict[str, str]:
        """The SHA-256 of the content of each file that decides what the run is, by name; files that are not there are left out.

        Raises:
            RefusedFileError: a file cannot be read.
        """
        return {name: self._hash(name) for name in HASHED if _stands(self.path / name)}

    def differing(self, recorded: Mapping[str, str]) -> list[str]:
        """Each file whose content is not the recorded one, with the problem.

        Raises:
            RefusedFileError: a file cannot be read.
        """
        found = []
        for name in HASHED:
            if name in recorded:
                if not _stands(self.path / name):
                    found.append(f"{self.path / name}: is missing")
                elif self._hash(name) != recorded[name]:
                    found.append(f"{self.path / name}: is not the file that the run was trained with")
        return found

    def closing(self) -> dict[str, Any]:
        """The last event of a training: the hash of each file that was written while it trained."""
        contents: dict[str, Callable[[Path], Any]] = {
            self.events.name: read_json_lines,
            self.metrics.name: read_metrics,
            self.history.name: read_json_lines,
        }
        found = {}
        for name in GROWN:
            with contextlib.suppress(RefusedFileError):  # none, or too large to be read again
                found[name] = content_hash(name, contents[name](self.path / name))
        return {"event": CLOSED, FILES: found}

    def _closing(self) -> Mapping[str, Any]:
        return closing_of(self.read_events())

    def _refuse_other(self, path: Path, content: Any) -> None:
        recorded = self._closing().get(path.name)
        if recorded is not None and recorded != content_hash(path.name, content):
            raise RefusedFileError(f"{path}: is not the file that the training wrote", RESTORE_GROWN)

    def _hash(self, name: str) -> str:
        path = self.path / name
        return content_hash(name, read_plain_config(path) if path.suffix == ".yaml" else read_json(path, limit=2**28, remedy=RESTORE))

    # ---- writers

    def write_config(self, config: RunConfig) -> None:
        """Write the configuration."""
        write_yaml(self.config, config.plain())

    def write_extension(self, config: RunConfig) -> None:
        """Write the extension of the run into the configuration, and leave the rest unchanged."""
        held = read_plain_config(self.config)
        now = config.plain()
        held["extended_by"] = now["extended_by"]
        if config.asked or held.get("asked"):
            held["asked"] = now["asked"]
            held["settings"]["warmup_epochs"] = now["settings"]["warmup_epochs"]
        held["settings"] |= {name: now["settings"][name] for name in ("epochs", "steps")}
        write_yaml(self.config, held)

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write one row per epoch, with the names of the first row's fields as the header."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.metrics, text.getvalue().encode())


def closing_of(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The hashes that the last event has, by file name; empty if the training is running, was killed, or is old."""
    found = events[-1].get(FILES) if events and events[-1]["event"] == CLOSED else None
    return found if isinstance(found, Mapping) else {}


def network_of(path: Path) -> Network:
    """The network that the file describes.

    Raises:
        RefusedFileError: the file is missing or damaged; names it and the place in the description.
    """
    data = read_json(path, remedy=RESTORE)
    try:
        network = Network.from_data(data)
        network.rows  # noqa: B018  # computed once, kept: it raises where the layers do not fit each other
    except (RefusedFileError, ValueError) as error:  # every error of ours about a layer is a ValueError
        raise RefusedFileError(f"{path}: {getattr(error, 'message', error)}", RESTORE) from None
    return network


def read_metrics(path: Path) -> list[dict[str, str]]:
    """The rows of a `metrics.csv`, as they are written: number n is epoch n, or before all the weights as begun, as epoch 0.

    Raises:
        RefusedFileError: it cannot be read, or a cell is not a number; names row and column.
    """
    header, rows = read_csv(path)
    if "epoch" not in header:
        raise RefusedFileError(f"{path}: lacks the column epoch")
    for number, row in enumerate(rows, start=1):
        for name, cell in row.items():
            if not _is_number(cell, whole=name in WHOLE):
                shown = repr(cell) if len(cell) <= 60 else f"{cell[:60]!r}..."
                raise RefusedFileError(f"{path}: {name} of row {number} must be a {'whole ' * (name in WHOLE)}number, got {shown}")
        if int(row["epoch"]) != number - (rows[0]["epoch"] == "0"):
            raise RefusedFileError(f"{path}: row {number} has the epoch {row['epoch']}: rows are missing or out of order")
    return rows


def _is_number(cell: str, *, whole: bool) -> bool:
    if whole:
        return cell.isascii() and cell.isdigit() and len(cell) <= 18
    if not cell:
        return True
    try:
        return len(cell) <= 100 and "_" not in cell and math.isfinite(float(cell))
    except ValueError:
        return False


def read_history(path: Path) -> list[Sample]:
    """The samples of a probe; empty if there is no such file.

    Raises:
        RefusedFileError: the file is damaged; names the line.
    """
    if not _stands(path):
        return []
    from pydantic import TypeAdapter

    from striate.insight.diagnose import Sample

    adapter, records = TypeAdapter(Sample), read_json_lines(path, remedy=REMOVE)
    return [
        checked_entry(adapter, record, f"{path}: line {number} is not a sample", REMOVE) for number, record in enumerate(records, start=1)
    ]


def _stands(path: Path) -> bool:
    """Return whether a file of that name exists, even as a broken link."""
    return path.exists() or path.is_symlink()
