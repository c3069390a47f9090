"""Running a training: the files that each event writes to the run folder, and when a checkpoint is due."""

from __future__ import annotations

import contextlib
import io
import math
import time
from collections.abc import Generator, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from striate.core.files import write_atomically
from striate.core.journal import Journal
from striate.data.records import ImageSet
from striate.engine.checkpoints import Checkpoint, CheckpointStore
from striate.engine.epochs import score_of
from striate.engine.failures import TrainingDivergedError
from striate.engine.fit import Training
from striate.engine.processes import ProcessGroup
from striate.engine.settings import MonitorName
from striate.insight.diagnose.exam import Exam
from striate.insight.diagnose.examining import examine
from striate.models.fitting import EpochRow, FitEvent, Fitting, FittingRun, fit_images
from striate.models.loading import load
from striate.models.model import MODEL_NAME
from striate.networks.model_file import save_model
from striate.workflows.diagnosis.probing import watched
from striate.workflows.runs.folder import RunFolder, found_in
from striate.workflows.runs.hashes import FILES, file_hash
from striate.workflows.runs.split import INFO
from striate.workflows.tasks.registry import task_named
from striate.workflows.training.continuing import Plan, conditions, fingerprint
from striate.workflows.training.logs import Logs
from striate.workflows.training.transfer import given_module

SECONDS_BETWEEN = 30.0  # checkpoints, at least
MEANS = ("train_loss", "train_accuracy", "learning_rate")  # over updates: NaN where there were none
SHARE_OF_TIME = 0.01  # of the training that saving checkpoints may take


class Observer(Protocol):
    """Receives the messages and the progress of a training."""

    def say(self, text: str) -> None:
        """Receive a line for the user."""

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        """Called after update `step` of `num_steps` of `epoch`; before the first one, with epoch 0, after the features of pictures."""

    def epoch(self, row: EpochRow) -> None:
        """Called after an epoch."""


class QuietObserver:
    """An observer that ignores everything."""

    def say(self, text: str) -> None:
        """Nothing."""

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        """Nothing."""

    def epoch(self, row: EpochRow) -> None:
        """Nothing."""


class Outcome(NamedTuple):
    """The outcome of a training."""

    rows: list[EpochRow]  # of whole epochs; where there is none, of the part that was trained
    best: EpochRow  # of the kept model
    step: int
    interrupted: bool
    stopped_early: bool  # by `patience`


def run(  # noqa: PLR0913  # all but the group come from one request
    plan: Plan,
    folder: Path,
    observer: Observer,
    *,
    training: FittingRun | None = None,
    start: Checkpoint | None = None,
    every: int | None = None,
    diagnose: bool = True,
    logs: Logs | None = None,
    group: ProcessGroup | None = None,
) -> Outcome:
    """Train, from the beginning or from `start`, and write the results of each event into `folder`.

    Args:
        plan: The plan of the training.
        folder: The run folder; the caller holds its lock.
        observer: Is told of updates, epochs and messages.
        training: The training of `plan`, where the caller has it ready.
        start: The checkpoint to continue from.
        every: Updates between two checkpoints; None lets the time decide (`Saver`).
        diagnose: Say what goes wrong, by a probe beside the training.
        logs: Logs in other tools' forms, which get the rows too.
        group: The processes that train together, of which this is the first; the others are `followed`.

    Raises:
        TrainingDivergedError: the loss or a weight is NaN or Inf; the batch is kept in `folder`.
    """
    fitting, train_set, files = plan.fitting, plan.train_set, RunFolder(folder)
    training = training or fit_images(fitting, train_set, plan.val_set)
    rows, best = put_back(training, start)
    if rows:
        write_rows(rows, fitting, folder, logs)
    hashes = files.hashes()
    constant: dict[str, Any] = {
        "config": plan.config.plain(),
        "data": fingerprint(train_set, plan.val_set),
        "conditions": conditions(group.size if group else 1),
        FILES: {**hashes, **hash_of_kept_model(start)},
    }
    journal = Journal(files.events, keep_bytes=start.state.get("journal_bytes") if start else None)
    saver = Saver(CheckpointStore(files.checkpoints, say=observer.say), training, rows, constant, every, journal)
    journal.append({"step": training.loop.step, "event": "continued" if start else "started", "at": now_in_words(), **found_in(plan.found)})
    if start is None:
        saver.after(0, at_once=True)  # a run that is killed in its first minute can be continued too
    interrupted, unfinished = False, None
    beside = watched(training, plan, rows, folder, observer.say, journal.append, partial(examined, plan, folder)) if diagnose else None
    events = cast("Generator[FitEvent]", beside or training.events)
    with (
        journal,
        closed(journal, files, training),
        contextlib.closing(events),
    ):  # what the events do at their end is done here, and said if it fails
        try:
            for event in events:
                for note in event.notes:
                    observer.say(note)
                if event.row is not None:
                    if event.step_in_epoch == event.steps_in_epoch:
                        rows.append(event.row)
                        write_rows(rows, fitting, folder, logs)
                    else:
                        unfinished = event.row
                    if event.is_best:
                        best = event.row
                        extra = {"data": train_set.name, "epoch": best.epoch, "val_accuracy": best.val_accuracy, "val_loss": best.val_loss}
                        extra |= {"loss": fitting.settings.loss, FILES: hashes, INFO: plan.record.brief().to_data()}
                        save_model(
                            files.model,
                            fitting.network,
                            training.state(),
                            classes=fitting.classes,
                            images=fitting.images,
                            info=extra,
                            targets=fitting.targets,
                        )
                        constant[FILES][MODEL_NAME] = file_hash(files.model)
                    samples = "images" if train_set.kind == "pictures" else train_set.kind
                    observer.epoch(event.row._replace(samples=samples))
                else:
                    observer.step(event.epoch, event.step_in_epoch, event.steps_in_epoch)
                interrupted = event.interrupted
                for record in records_of(event, fitting):
                    journal.append(record)
                saver.after(event.step, at_once=interrupted or training.loop.done)
            end_of(training.loop, rows, fitting, journal, observer)
        except TrainingDivergedError as error:
            journal.append({"step": error.step, "event": "diverged", "text": error.message})
            raise with_its_batch(error, train_set, folder) from None
    if best is None:
        best = unfinished
    if best is None:
        raise RuntimeError("a training ended without a row")  # fit yields one before it ends
    return Outcome(rows or [best], best, training.loop.step, interrupted, training.loop.stopped_early)


def put_back(training: FittingRun, start: Checkpoint | None) -> tuple[list[EpochRow], EpochRow | None]:
    """The rows so far and the best of them, of a training that is set to its checkpoint; none without one."""
    if start is None:
        return [], None
    training.loop.load_state(start.state["training"], start.tensors)
    rows = [row_of(row) for row in start.state["rows"]]
    return rows, next((row for row in rows if row.epoch == training.loop.best_epoch), None)


def row_of(kept: Mapping[str, Any]) -> EpochRow:
    """The row that a checkpoint holds, in which means over no updates are null."""
    values: dict[str, Any] = {name: math.nan if name in MEANS and value is None else value for name, value in kept.items()}
    return EpochRow(**values)


@contextlib.contextmanager
def closed(journal: Journal, files: RunFolder, training: FittingRun) -> Iterator[None]:
    """Context in which files of the run are written; at the end of the training, also by divergence, their hashes are its last event."""
    try:
        yield
    except TrainingDivergedError:
        journal.append({"step": training.loop.step, **files.closing()})
        raise
    journal.append({"step": training.loop.step, **files.closing()})


def now_in_words() -> str:
    """The time to the second, with its zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def end_of(loop: Training, rows: list[EpochRow], fitting: Fitting, journal: Journal, observer: Observer) -> None:
    """Report and record early stopping, if patience ended the training."""
    if not loop.stopped_early:
        return
    settings, best = fitting.settings, next(row for row in rows if row.epoch == loop.best_epoch)
    value = abs(score_of(best, settings.monitor)[0])  # of a loss, which is to be small, the score is negative
    epochs = f"{settings.patience} epoch{'s' if settings.patience != 1 else ''}"
    planned = f" of {settings.epochs}" if settings.steps is None else ""
    text = (
        f"stopped   early, after epoch {rows[-1].epoch}{planned}: no better {monitored_name(best, settings.monitor)} in {epochs}; "
        f"kept: epoch {best.epoch}, {value:.4f}{', of equal epochs that with the lowest loss' if best.epoch > loop.gained_epoch else ''}"
    )
    journal.append({"step": loop.step, "event": "stopped_early", "text": text})
    observer.say(text)


def monitored_name(row: EpochRow, monitor: MonitorName) -> str:
    """The monitored measure in words."""
    if monitor == "accuracy" and row.val_mean_iu is not None:
        return "val mean IU"
    if monitor == "accuracy" and row.val_robust_accuracy is not None:
        return "robust val accuracy"
    return f"val {monitor.replace('_', ' ').replace('f1', 'F1')}"


def hash_of_kept_model(start: Checkpoint | None) -> dict[str, str]:
    """The hash of the model that had been kept at the checkpoint, by its name."""
    recorded = start.state.get(FILES, {}) if start is not None else {}
    return {name: value for name, value in recorded.items() if name == MODEL_NAME}


def examined(plan: Plan, folder: Path, seen: int) -> Exam | None:
    """The kept model's predictions after so many pictures; None if a picture has no single class."""
    if not task_named(plan.fitting.task).single_class:
        return None
    model = load(folder, module=given_module(plan.fitting.network))
    return examine(model, plan.train_set, plan.val_set, seen=seen, known=RunFolder(folder).read_data_findings())


def followed(plan: Plan, group: ProcessGroup, *, start: Checkpoint | None = None, workers: int = 0) -> Outcome:
    """Train as one process of `group` that is not the first: the same updates, and nothing is written.

    Raises:
        TrainingDivergedError: the loss or a weight is NaN or Inf.
    """
    training = fit_images(plan.fitting, plan.train_set, plan.val_set, workers=workers, group=group)
    rows, best = put_back(training, start)
    interrupted = False
    for event in training.events:
        if event.row is not None:
            rows.append(event.row)
            best = event.row if event.is_best or best is None else best
        interrupted = event.interrupted
    if best is None:
        raise RuntimeError("a training ended without a row")  # fit yields one before it ends
    return Outcome(rows, best, training.loop.step, interrupted, training.loop.stopped_early)


def records_of(event: FitEvent, fitting: Fitting) -> list[dict[str, Any]]:
    """The journal's record of an event: notes, ends of epochs with their rows, and an interruption."""
    records: list[dict[str, Any]] = [{"step": event.step, "event": "note", "text": note} for note in event.notes]
    if event.row is not None:
        numbers = metrics_of([event.row], fitting)[0]
        records.append({"step": event.step, "event": "epoch", "epoch": event.epoch, "best": event.is_best, **numbers})
    if event.interrupted:
        records.append({"step": event.step, "event": "interrupted"})
    return records


def write_rows(rows: list[EpochRow], fitting: Fitting, folder: Path, logs: Logs | None) -> None:
    """`metrics.csv`, and then the logs derived from it."""
    metrics = metrics_of(rows, fitting)
    RunFolder(folder).write_metrics(metrics)
    if logs is not None:
        logs.write(metrics)


def metrics_of(rows: list[EpochRow], fitting: Fitting) -> list[dict[str, Any]]:
    """The rows of `metrics.csv`, in which NaN is an empty cell; numbers have no accuracies, only masks have a mean IU, and so on."""
    left_out: tuple[str, ...] = () if task_named(fitting.task).has_accuracy else ("train_accuracy", "val_accuracy")
    left_out += ("samples",)
    left_out += tuple(
        name
        for name in ("val_mean_iu", "val_robust_accuracy", "val_macro_f1", "val_balanced_accuracy", "val_auxiliary_accuracy")
        if all(getattr(row, name) is None for row in rows)
    )
    return [{name: _in_cell(value) for name, value in row._asdict().items() if name not in left_out} for row in rows]


def _in_cell(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


class Saver:
    """Saves a checkpoint when one is due: every so many updates; else when 30 s have passed and saving takes less than 1 % of the time."""

    def __init__(
        self,
        store: CheckpointStore,
        training: FittingRun,
        rows: list[EpochRow],
        constant: dict[str, Any],
        every: int | None,
        journal: Journal,
    ) -> None:
        self.store, self.training, self.rows, self.constant, self.every, self.journal = store, training, rows, constant, every, journal
        self.saved_at, self.wait = time.monotonic(), SECONDS_BETWEEN

    def after(self, step: int, *, at_once: bool) -> None:
        """Save the training after update `step`, if that is due or required now."""
        due = step % self.every == 0 if self.every else time.monotonic() - self.saved_at >= self.wait
        if not (due or at_once):
            return
        started = time.monotonic()
        loop = self.training.loop
        self.journal.append({"step": step, "event": "checkpoint"})  # if it comes to nothing, this line is cut off with the rest
        state = {
            "training": loop.state(),
            "done": loop.done,
            "steps_per_epoch": len(loop.train_batches),
            "rows": [row._asdict() for row in self.rows],
            "journal_bytes": self.journal.sync(),
            **self.constant,
        }
        self.store.save(step, loop.tensors(), state)
        self.saved_at = time.monotonic()
        self.wait = max(SECONDS_BETWEEN, (self.saved_at - started) / SHARE_OF_TIME)


def with_its_batch(error: TrainingDivergedError, train_set: ImageSet, folder: Path) -> TrainingDivergedError:
    """The same error, which also names the pictures of the batch and the file that holds it."""
    batch = error.batch
    indices = getattr(batch, "indices", None)
    if batch is None or indices is None:
        return error
    path = RunFolder(folder).not_finite
    path.parent.mkdir(exist_ok=True)
    stream = io.BytesIO()
    np.savez_compressed(stream, images=batch.images.cpu().numpy(), labels=batch.labels.cpu().numpy(), indices=indices.cpu().numpy())
    write_atomically(path, stream.getvalue())
    names = [train_set.paths[place] for place in indices.tolist()]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    message = f"{error.message}; its batch ({shown}) is kept in {path}"
    return TrainingDivergedError(message, error.remedy, step=error.step, part=error.part, batch=batch)
