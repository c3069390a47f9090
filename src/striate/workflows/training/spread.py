"""The spread of a measure over several training runs, and their report as text and for a paper."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, cast

from pydantic.dataclasses import dataclass

from striate.core.images import Kind, of_kind
from striate.core.intervals import share_interval, t_interval
from striate.core.reports import shown_short
from striate.core.tables import latex_table
from striate.core.text import Lines, in_lines
from striate.workflows.training.ensemble import Ensemble

if TYPE_CHECKING:
    from collections.abc import Sequence

MANY = 5  # trainings, from which their deviation is known to about a third


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One measure over the training runs."""

    mean: float
    deviation: float  # between trainings, with n - 1 below
    interval: tuple[float, float]  # of the mean, 95 %: of a loss over other trainings, of an accuracy over other pictures too


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """One of the training runs."""

    run: str
    what: str  # "seed 3", "fold 2 of 5"
    accuracy: float | None  # of val; None: of numbers
    loss: float
    num_val: int
    test_accuracy: float | None = None  # where it was asked for


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
    ensemble: Ensemble | None = None  # where it was asked for
    kind: Kind | None = None  # of samples that are no pictures


def spread_of(values: list[float]) -> Spread:
    """Mean, sample deviation and Student's 95 % interval of the mean, of two losses or more, which are not negative."""
    mean, low, high = cast("tuple[float, float, float]", t_interval(values))
    return Spread(mean=mean, deviation=statistics.stdev(values), interval=(max(0.0, low), high))


def share_spread(accuracies: Sequence[float | None], num_images: int, *, same_images: bool = True) -> Spread | None:
    """The same of accuracies, whose interval is over other pictures too (see `share_interval`), and within [0, 1]; None of numbers."""
    shares = [share for share in accuracies if share is not None]
    if len(shares) < len(accuracies):
        return None
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
    lines += _of_ensemble(report)
    lines += [few_trainings(report), *([f"curves        {report.picture}"] if report.picture else [])]
    return in_lines([*(of_kind(line, report.kind) for line in lines), ""])


def _of_ensemble(report: RepeatReport) -> list[str]:
    """The lines of the ensemble: by the mean of the probabilities, and by majority."""
    if report.ensemble is None:
        return []
    lines = []
    for one in report.ensemble.measured:
        low, high = one.accuracy_interval
        mean = f"accuracy {one.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}) by the mean of the probabilities"
        lines.append(f"{'ensemble':<14}{mean}, {one.majority_accuracy:.4f} by majority; {one.num_images:,} {one.split} pictures")
    return [*lines, f"{'':<14}{report.ensemble.model}"]


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
