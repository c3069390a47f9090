"""Comparison of networks or runs; runs with a paired test on the same pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, UsageError
from striate.core.files import make_folder, write_atomically
from striate.core.intervals import wilson_interval
from striate.core.places import check_file
from striate.core.reports import shown_short
from striate.core.tables import csv_text
from striate.core.text import Lines, in_lines
from striate.insight.measure.classes import Interval
from striate.insight.profile.layers import batches
from striate.insight.profile.whole import Latency, time_inference
from striate.networks.foreign import needs_its_module
from striate.workflows.profiling.profile import Totals, totals
from striate.workflows.profiling.words import memory_text, sees
from striate.workflows.runs.behind import config_behind, data_of
from striate.workflows.runs.config import RunConfig
from striate.workflows.subjects.openings import count_opening, say_opening
from striate.workflows.subjects.subject import DataRequest, Subject, is_untrained, open_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from striate.data.records import ImageSet
    from striate.models.model import Model

SHOWN = 20  # differing pictures that the summary names
DIVISION = ("val_fraction", "val_seed", "data")  # what decides which pictures a run held out


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class CompareRequest(DataRequest):
    """The networks or runs to compare: two or more, as `profile` takes them; if all are trained, also on pictures."""

    subjects: tuple[Any, ...]
    split: Literal["train", "val", "test"] | None = None  # None: val; all of other data without splits
    num_classes: int | None = None  # of those that are not trained, which then have the same outputs,
    in_channels: int | None = None  # the same channels
    input_size: int | tuple[int, int] | None = None  # and the same pictures
    measure: bool = False  # time them too, one picture at a time
    batch_size: int = 128
    output: Path | None = None  # CSV file of the pictures on which they differ


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One of those compared."""

    name: str
    network: str
    input_shape: tuple[int, ...]
    totals: Totals
    described: bool  # False: a module without a description, which does not tell what it sees
    latency: Latency | None
    num_correct: int | None
    accuracy: float | None
    accuracy_interval: Interval | None  # Wilson, 95 %


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two models on the same pictures, by McNemar's exact test."""

    first: str
    second: str
    both_right: int
    first_only: int  # right by the first alone
    second_only: int
    both_wrong: int
    accuracy_difference: float  # second - first
    p_value: float  # two-sided


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A picture on which the models differ."""

    path: str
    label: str
    answers: tuple[str, ...]


@shown_short
@dataclass(frozen=True, kw_only=True)
class CompareReport:
    """Networks side by side, and, for trained ones, where they differ."""

    subjects: list[Compared]
    data: str | None
    split: str | None
    num_images: int | None
    pairs: list[PairedTest]  # the first with each other one
    differences: list[Difference]
    output: str | None


def mcnemar(first_only: int, second_only: int) -> float:
    """The two-sided p-value that two models are equally accurate, from the pictures that only one of them classifies correctly.

    With n such pictures, k of them the rarer kind:        p = min(1, 2 sum_{i <= k} C(n, i) / 2^n)

    Source: McNemar, 1947, Psychometrika 12(2); the exact binomial form, which needs no large numbers.
    """
    from scipy.stats import binomtest

    count = first_only + second_only
    return float(binomtest(first_only, count).pvalue) if count else 1.0


def compare(request: CompareRequest, *, say: Callable[[str], None] = lambda _text: None) -> CompareReport:
    """Count each network; if all are trained, run all on the same pictures.

    Raises:
        UsageError: fewer than two; a trained and an untrained one with data; runs that held out other pictures; or what
            `striate.workflows.subjects.subject.open_subject` raises.
        DataError: no such split, unreadable pictures, or models of other classes.
    """
    if len(request.subjects) < 2:
        raise UsageError(f"compare needs two networks or runs, got {len(request.subjects)}", "striate compare resnet18 vgg16")
    check_file(request.output, "output", (".csv",), makes_folder=True)
    found = _found(request)
    models = [one.model for one in found if one.model is not None]
    absent = next((one for one in found if needs_its_module(one.network)), None)
    if absent is not None:
        say(f"{absent.name} is the user's own module and was not passed: only counts are compared")
    elif models and len(models) < len(found):
        raw = next(one.name for one in found if one.model is None)
        say(f"{raw} is not trained: only counts are compared")
    if request.data is not None and len(models) < len(found):
        raise UsageError("data applies only to trained models", "Compare runs, or leave the data out.")
    images, answers, name = None, np.zeros((0, 0), np.int64), None
    if len(models) == len(found):
        images, answers, name = _answers(request, found, models, say)
    output = request.output
    report = CompareReport(
        subjects=[_compared(one, request, None if images is None else answers[i] == images.labels) for i, one in enumerate(found)],
        data=name,
        split=images.split if images is not None else None,
        num_images=len(images) if images is not None else None,
        pairs=[_pair(found, answers == images.labels, i) for i in range(1, len(found))] if images is not None else [],
        differences=_differences(images, answers, models[0].classes) if images is not None else [],
        output=str(output) if output is not None and images is not None else None,
    )
    if report.output is not None and output is not None:
        _write(output, report)
    return report


def _found(request: CompareRequest) -> list[Subject]:
    """Those to compare, under names that differ."""
    numbers = (request.num_classes, request.in_channels, request.input_size)
    found = [open_subject(source, *(numbers if is_untrained(source) else ()), module=request.module) for source in request.subjects]
    names = [one.name for one in found]
    return [
        dataclasses.replace(one, name=f"{one.name} ({names[: place + 1].count(one.name)})") if names.count(one.name) > 1 else one
        for place, one in enumerate(found)
    ]


def _answers(
    request: CompareRequest, found: Sequence[Subject], models: Sequence[Model], say: Callable[[str], None]
) -> tuple[ImageSet, np.ndarray, str]:
    """The pictures, and for each model the class (n, N) that it gives them, by the first one's order of classes."""
    for one, model in zip(found, models, strict=True):
        one.classifier(f"{one.name}: does not give one class per picture", "Compare classifiers, or measure each with striate evaluate.")
        if set(model.classes) != set(models[0].classes):
            other = sorted(set(model.classes) ^ set(models[0].classes))[:5]
            raise DataError(
                f"{one.name}: has different classes from {found[0].name}: {', '.join(map(repr, other))}", "Compare models of the same task."
            )
    runs = [one.run for one in found]
    configs = [config_behind(source, model, lambda _text: None) for source, model in zip(request.subjects, models, strict=True)]
    if request.data is None:  # of the first that tells
        data = data_of(None, next((config for config in configs if config is not None), None), "compare A B")
        request = dataclasses.replace(request, data=data)
    sets: list[ImageSet] = []
    answers, name = [], ""
    for one, model in zip(found, models, strict=True):
        silent = len(sets) > 0
        tell = say if not silent else _silent
        labelled = one.open_data(request, "compare A B", tell)
        if labelled.record is None and not silent and request.split != "test" and "val" not in labelled.source.splits:
            _check_division(runs, configs)
        images = labelled.read(request.split, tell)
        if silent and (words := labelled.trained_in_words(images.split, len(images))):
            say(f"{one.name}: {words}")
        if silent and set(images.paths) != set(sets[0].paths):
            _check_division(runs, configs)
            message = f"{one.name}: held out different pictures of {labelled.source.name} from {found[0].name}"
            raise UsageError(message, "Train them with the same `val_fraction` and split, or compare on `split='test'`.")
        places = np.array([models[0].classes.index(name) for name in model.classes])
        answers.append(places[model.outputs(images.images, batch_size=request.batch_size).argmax(1)])
        sets.append(images)
        name, request = labelled.source.name, dataclasses.replace(request, data=labelled.source)
    first = sets[0]
    if first.split == "test":
        own = {run: images for run, its, images in zip(runs, configs, sets, strict=True) if run is not None and its is not None}
        for run, images in own.items():
            say_opening(count_opening(run, "compare", images), say)
    for place, one_set in enumerate(sets):
        by_path = dict(zip(one_set.paths, answers[place].tolist(), strict=True))
        answers[place] = np.array([by_path[path] for path in first.paths])
    return first, np.stack(answers), name


def _silent(_text: str) -> None:
    """Ignore a line that the first model has reported."""


def _check_division(runs: Sequence[Path | None], configs: Sequence[RunConfig | None]) -> None:
    """Refuse a val split that one run held out and another trained on."""
    told = [(run, config) for run, config in zip(runs, configs, strict=True) if config is not None]
    for run, config in told:
        first, of_first = told[0]
        for field in DIVISION:
            ours, theirs = getattr(config, field), getattr(of_first, field)
            if ours != theirs:
                message = f"{run}: {field} is {ours!r}, of {first} {theirs!r}: they held out different pictures"
                raise UsageError(message, "Train them with the same `val_fraction` and split, or compare on `split='test'`.")


def _compared(one: Subject, request: CompareRequest, right: np.ndarray | None) -> Compared:
    latency = None
    if request.measure and not needs_its_module(one.network):
        module = one.module()
        latency = time_inference(module, next(batches(module, one.network.input_shape, (1,))))
    correct = int(right.sum()) if right is not None else None
    return Compared(
        name=one.name,
        network=one.network.name,
        input_shape=one.network.input_shape,
        totals=totals(one.network),
        described=not all(row.view.whole for row in one.network.rows),
        latency=latency,
        num_correct=correct,
        accuracy=float(right.mean()) if right is not None else None,
        accuracy_interval=wilson_interval(correct, len(right)) if right is not None and correct is not None else None,
    )


def _pair(found: Sequence[Subject], right: np.ndarray, place: int) -> PairedTest:
    """The first with the one at `place`; `right` is (n, N) bool."""
    a, b = right[0], right[place]
    first_only, second_only = int((a & ~b).sum()), int((b & ~a).sum())
    return PairedTest(
        first=found[0].name,
        second=found[place].name,
        both_right=int((a & b).sum()),
        first_only=first_only,
        second_only=second_only,
        both_wrong=int((~a & ~b).sum()),
        accuracy_difference=(second_only - first_only) / len(a),
        p_value=mcnemar(first_only, second_only),
    )


def _differences(images: ImageSet, answers: np.ndarray, classes: Sequence[str]) -> list[Difference]:
    places = np.flatnonzero((answers != answers[0]).any(0))
    return [
        Difference(path=images.paths[i], label=classes[images.labels[i]], answers=tuple(classes[k] for k in answers[:, i])) for i in places
    ]


def _write(path: Path, report: CompareReport) -> None:
    header = ["path", "label", *(one.name for one in report.subjects)]
    rows = [[one.path, one.label, *one.answers] for one in report.differences]
    make_folder(path.parent)
    write_atomically(path, csv_text(header, rows).encode())


def table(report: CompareReport) -> tuple[list[str], list[list[str]], set[int]]:
    """The comparison as a table: heading, rows, and the right-aligned columns."""
    heading = ["network", "input", "params", "MACs", "FLOPs", "field", "training"]
    timed = any(one.latency for one in report.subjects)
    heading += ["p50 ms", "p99 ms"] if timed else []
    heading += ["accuracy", "95 % interval"] if report.num_images else []
    rows = []
    for one in report.subjects:
        row = [one.name, "x".join(map(str, one.input_shape)), f"{one.totals.params:,}", f"{one.totals.macs:,}", f"{one.totals.flops:,}"]
        row += [sees(one.totals, described=True) if one.described else "-", memory_text(one.totals.training_memory_bytes)]
        if timed:
            row += [f"{one.latency.latency_ms_p50:.2f}", f"{one.latency.latency_ms_p99:.2f}"] if one.latency else ["-", "-"]
        if one.accuracy is not None and one.accuracy_interval is not None:
            row += [f"{one.accuracy:.4f}", f"{one.accuracy_interval[0]:.4f} to {one.accuracy_interval[1]:.4f}"]
        rows.append(row)
    return heading, rows, set(range(2, len(heading)))


def summary(report: CompareReport) -> Lines:
    """The lines below the table."""
    lines = [f"{report.num_images:,} pictures, {report.split} split of {report.data}"] if report.num_images else []
    for pair in report.pairs:
        counts = f"correct only in one: {pair.first} {pair.first_only:,}, {pair.second} {pair.second_only:,}"
        lines.append(f"{counts}; difference {pair.accuracy_difference:+.4f}, McNemar's exact p = {pair.p_value:.3g}")
    if report.num_images:
        lines.append(f"the models differ on {len(report.differences):,} pictures" + (f": {report.output}" if report.output else ""))
    lines += [f"  {one.path}: {one.label}; answered {', '.join(one.answers)}" for one in report.differences[:SHOWN]]
    if len(report.differences) > SHOWN:
        lines.append(f"  and {len(report.differences) - SHOWN:,} more: `output='FILE.csv'` lists all")
    return in_lines([*lines, ""] if lines else [])
