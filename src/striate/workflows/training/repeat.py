"""The same training several times, from several seeds or on k folds: what its accuracy is worth."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import InterruptedRun, UsageError
from striate.core.files import write_json
from striate.core.text import Lines, command, in_lines
from striate.data.folds import folds
from striate.data.sources import open_data
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import Watch
from striate.workflows.training.runs import new_run_folder, removed_if_unbegun
from striate.workflows.training.train import train

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RepeatRequest:
    """What to train, and how often: either `seeds` or `folds`."""

    training: TrainRequest
    seeds: Annotated[int, Field(ge=2)] | None = None  # from 0 on, on one division into train and val
    folds: Annotated[int, Field(ge=2)] | None = None  # each picture of the training split validates once
    output: Path | None = None  # the folder of all the runs; runs/repeat/NAME-NNN by default


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """One of the trainings."""

    run: str
    what: str  # "seed 3", "fold 2 of 5"
    accuracy: float | None  # of val; None: of numbers
    loss: float
    num_val: int


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One measure over the trainings."""

    mean: float
    deviation: float  # between trainings, with n - 1 below
    interval: tuple[float, float]  # of the mean, 95 %, Student's


@dataclass(frozen=True, kw_only=True)
class RepeatReport:
    """Mean and deviation over the trainings. Those of folds share pictures, so their interval is rather too narrow."""

    folder: str
    network: str
    data: str
    seconds: float
    accuracy: Spread | None
    loss: Spread
    repetitions: list[Repetition]


def repeat(request: RepeatRequest, *, watch: Watch | None = None) -> RepeatReport:
    """Train as often as asked, one after the other, and leave a folder of runs with `repeat.json`.

    Raises:
        UsageError: neither or both of seeds and folds, or folders of its own for the training; and what `train` raises.
        DataError: a class has fewer pictures than there are folds.
        InterruptedRun: a training was stopped.
    """
    if (request.seeds is None) == (request.folds is None):
        raise UsageError("repeat needs either --seeds or --folds", "For example --seeds 5.")
    if request.training.output is not None or request.training.resume is not None:
        raise UsageError("repeat names the folders of its runs itself, and resumes none", "Give --output to repeat as a whole.")
    trainings = list(_trainings(request))
    name = request.training.data if isinstance(request.training.data, str | Path) else "arrays"
    folder = new_run_folder("repeat", request.training.name or Path(name).name, request.output)
    reports, found = [], []
    for what, training in trainings:
        with removed_if_unbegun(folder):
            report = train(dataclasses.replace(training, output=folder / what.replace(" ", "-")), watch=watch)
        if report.interrupted:
            raise InterruptedRun(
                f"{report.run}: stopped before its end", f"Go on with it: {command('striate', 'train', '--resume', Path(report.run))}"
            )
        reports.append(report)
        one = Repetition(run=report.run, what=what, accuracy=report.val.accuracy, loss=report.val.loss, num_val=report.num_val)
        found.append(one)
    accuracies = [one.accuracy for one in found if one.accuracy is not None]
    result = RepeatReport(
        folder=str(folder),
        network=reports[0].network,
        data=str(name),
        seconds=sum(report.seconds for report in reports),
        accuracy=spread_of(accuracies) if len(accuracies) == len(found) else None,
        loss=spread_of([one.loss for one in found]),
        repetitions=found,
    )
    write_json(folder / "repeat.json", dataclasses.asdict(result))
    return result


def _trainings(request: RepeatRequest) -> Iterator[tuple[str, TrainRequest]]:
    training = request.training
    for seed in range(request.seeds or 0):  # of weights, order and augmentation; the division keeps the seed of the training
        yield f"seed {seed}", dataclasses.replace(training, set={**training.set, "settings.seed": seed})
    if request.folds is not None:
        where: dict[str, Any] = {
            "data_dir": training.data_dir,
            "download": training.download,
            "skip_unreadable": training.skip_unreadable,
            "layout": training.layout,
        }
        source = open_data(training.data, task=training.task, **where)
        for place, fold in enumerate(folds(source, request.folds, seed=training.seed or 0), start=1):
            yield f"fold {place} of {request.folds}", dataclasses.replace(training, data=fold)


def spread_of(values: list[float]) -> Spread:
    """Mean, sample deviation and Student's 95 % interval of the mean, of two values or more."""
    from scipy.stats import t

    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    half = float(t.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
    return Spread(mean=mean, deviation=deviation, interval=(mean - half, mean + half))


def summary(report: RepeatReport) -> Lines:
    """The report for a person."""
    lines = []
    for one in report.repetitions:
        accuracy = f"accuracy {one.accuracy:.4f}   " if one.accuracy is not None else ""
        lines.append(f"{one.what:<14}{accuracy}loss {one.loss:.4f}   {one.num_val:,} val pictures   {one.run}")
    for word, spread in (("accuracy", report.accuracy), ("loss", report.loss)):
        if spread is not None:
            low, high = spread.interval
            lines.append(f"{word:<14}{spread.mean:.4f} +- {spread.deviation:.4f} (95 % interval of the mean {low:.4f} to {high:.4f})")
    return in_lines([*lines, ""])
