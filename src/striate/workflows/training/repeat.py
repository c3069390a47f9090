"""The same training several times, from several seeds or on k folds: the spread of its accuracy."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import InterruptedRun, UsageError
from striate.core.files import write_atomically, write_json
from striate.core.intervals import share_interval, t_interval
from striate.core.reports import shown_short
from striate.core.tables import latex_table
from striate.core.text import Lines, command, in_lines
from striate.data.folds import folds
from striate.data.sources import open_data
from striate.drawing.curves import bands_picture
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate
from striate.workflows.runs.folder import RunFolder
from striate.workflows.tasks.classify import EvaluateReport
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import Observer
from striate.workflows.training.runs import new_run_folder, removed_if_unbegun
from striate.workflows.training.train import train

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = 5  # trainings, from which their deviation is known to about a third


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RepeatRequest:
    """The training, and the number of repetitions: either `seeds` or `folds`."""

    training: TrainRequest
    seeds: Annotated[int, Field(ge=2)] | None = None  # from 0 on, on one division into train and val
    folds: Annotated[int, Field(ge=2)] | None = None  # each picture of the training split validates once
    output: Path | None = None  # the folder of all the runs; runs/repeat/NAME-NNN by default
    test: bool = False  # measure each kept model on the test split too


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """One of the training runs."""

    run: str
    what: str  # "seed 3", "fold 2 of 5"
    accuracy: float | None  # of val; None: of numbers
    loss: float
    num_val: int
    test_accuracy: float | None = None  # where it was asked for


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One measure over the training runs."""

    mean: float
    deviation: float  # between trainings, with n - 1 below
    interval: tuple[float, float]  # of the mean, 95 %: of a loss over other trainings, of an accuracy over other pictures too


@shown_short
@dataclass(frozen=True, kw_only=True)
class RepeatReport:
    """Mean and standard deviation over the runs. Those of folds share training pictures, so their interval is rather too narrow."""

    folder: str
    network: str
    data: str
    seconds: float
    accuracy: Spread | None
    loss: Spread
    repetitions: list[Repetition]
    test_accuracy: Spread | None = None
    picture: str | None = None  # the curves of all trainings


def repeat(request: RepeatRequest, *, observer: Observer | None = None) -> RepeatReport:
    """Train the requested number of times, one after the other, and write a folder of runs with `repeat.json`.

    Raises:
        UsageError: neither or both of seeds and folds, or folders of its own for the training; and what `train` raises.
        DataError: a class has fewer pictures than there are folds.
        InterruptedRun: a training was stopped.
    """
    if (request.seeds is None) == (request.folds is None):
        raise UsageError("repeat needs either `seeds` or `folds`", "For example `seeds=5`.")
    if request.training.output is not None or request.training.resume is not None:
        raise UsageError(
            "repeat names the folders of its runs itself, and cannot resume a run", "Give `output` for the folder of all runs."
        )
    trainings = list(_trainings(request))
    name = request.training.data if isinstance(request.training.data, str | Path) else "arrays"
    folder = new_run_folder("repeat", request.training.name or Path(name).name, request.output)
    reports, found, tests = [], [], []
    for what, training in trainings:
        with removed_if_unbegun(folder):
            report = train(dataclasses.replace(training, output=folder / what.replace(" ", "-")), observer=observer)
        if report.interrupted:
            raise InterruptedRun(
                f"{report.run}: stopped before its end", f"Continue it with: {command('striate', 'train', '--resume', Path(report.run))}"
            )
        reports.append(report)
        tested = test_measures(report.run, training) if request.test else None
        tests += [tested.num_images] if tested else []
        found.append(
            Repetition(
                run=report.run,
                what=what,
                accuracy=report.val.accuracy,
                loss=report.val.loss,
                num_val=report.num_val,
                test_accuracy=tested.accuracy if tested else None,
            )
        )
    accuracies = [one.accuracy for one in found if one.accuracy is not None]
    tested_accuracies = [one.test_accuracy for one in found if one.test_accuracy is not None]
    num_val = found[0].num_val if request.seeds else sum(one.num_val for one in found)
    picture = folder / "curves.png"
    curves = [RunFolder(Path(one.run)).read_metrics() for one in found]
    write_atomically(picture, bands_picture(curves, title=f"{reports[0].network} on {name}"))
    result = RepeatReport(
        folder=str(folder),
        network=reports[0].network,
        data=str(name),
        seconds=sum(report.seconds for report in reports),
        accuracy=share_spread(accuracies, num_val, same_images=bool(request.seeds)) if len(accuracies) == len(found) else None,
        loss=spread_of([one.loss for one in found]),
        repetitions=found,
        test_accuracy=share_spread(tested_accuracies, tests[0]) if tested_accuracies else None,
        picture=str(picture),
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


def test_measures(run: str, training: TrainRequest) -> EvaluateReport:
    """The measures of the kept model on the test split.

    Raises:
        UsageError: the model gives no classes.
    """
    request = EvaluateRequest(
        run=Path(run), data=training.data, split="test", data_dir=training.data_dir, skip_unreadable=training.skip_unreadable
    )
    report = evaluate(request)
    if not isinstance(report, EvaluateReport):
        raise UsageError("`test=True`: the models do not give classes", "Leave `test` out, and evaluate each run.")
    return report


def spread_of(values: list[float]) -> Spread:
    """Mean, sample deviation and Student's 95 % interval of the mean, of two losses or more, which are not negative."""
    mean, low, high = cast("tuple[float, float, float]", t_interval(values))
    return Spread(mean=mean, deviation=statistics.stdev(values), interval=(max(0.0, low), high))


def share_spread(shares: list[float], num_images: int, *, same_images: bool = True) -> Spread:
    """The same of accuracies, whose interval is over other pictures too (see `share_interval`), and within [0, 1]."""
    mean, low, high = cast("tuple[float, float, float]", share_interval(shares, num_images, same_images=same_images))
    return Spread(mean=mean, deviation=statistics.stdev(shares), interval=(low, high))


def summary(report: RepeatReport) -> Lines:
    """The report as text."""
    lines = []
    for one in report.repetitions:
        accuracy = f"accuracy {one.accuracy:.4f}   " if one.accuracy is not None else ""
        test = f"test {one.test_accuracy:.4f}   " if one.test_accuracy is not None else ""
        lines.append(f"{one.what:<14}{accuracy}{test}loss {one.loss:.4f}   {one.num_val:,} val pictures   {one.run}")
    lines += [f"{word:<14}{in_words(spread)}" for word, spread in measures_of(report).items()]
    lines += [few_trainings(report), *([f"curves        {report.picture}"] if report.picture else [])]
    return in_lines([*lines, ""])


def measures_of(report: RepeatReport) -> dict[str, Spread]:
    """The available measures over the training runs."""
    named = {"accuracy": report.accuracy, "test accuracy": report.test_accuracy, "loss": report.loss}
    return {word: spread for word, spread in named.items() if spread is not None}


def in_words(spread: Spread) -> str:
    """Mean, deviation and interval."""
    low, high = spread.interval
    return f"{spread.mean:.4f} ± {spread.deviation:.4f} (95 % interval of the mean {low:.4f} to {high:.4f})"


def few_trainings(report: RepeatReport) -> str:
    """The limits of so many training runs."""
    count = len(report.repetitions)
    words = f"the standard deviation is over {count} training runs; the interval of an accuracy is over new training runs and new pictures"
    return f"{words}; {count} training runs say little about the spread, use 5 or more" if count < MANY else words


def latex_report(report: RepeatReport) -> Lines:
    """The measures for a paper."""
    rows = [
        [word, f"{spread.mean:.4f}", f"{spread.deviation:.4f}", "{:.4f} to {:.4f}".format(*spread.interval)]
        for word, spread in measures_of(report).items()
    ]
    caption = f"{report.network} on {report.data}: {few_trainings(report)}."
    return latex_table(("Measure", "Mean", "Deviation", "95 % interval of the mean"), rows, range(1, 4), caption)
