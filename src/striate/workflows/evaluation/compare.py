"""Comparison of networks or runs; runs with a paired test on the same pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.images import Kind
from striate.core.intervals import wilson_interval
from striate.core.places import check_file
from striate.core.reports import shown_short
from striate.insight.measure.classes import Interval
from striate.insight.measure.paired import Difference, PairedTest, differences, paired_test
from striate.insight.profile.latency import Latency
from striate.networks.foreign import needs_its_module
from striate.workflows.evaluation.answering import answers_of
from striate.workflows.evaluation.comparison import write_differences
from striate.workflows.profiling.totals import Totals, totals
from striate.workflows.subjects.labelled import DataRequest
from striate.workflows.subjects.subject import Subject, is_untrained, open_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np


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


@shown_short
@dataclass(frozen=True, kw_only=True)
class CompareReport:
    """Networks side by side, and, for trained ones, where they differ."""

    subjects: list[Compared]
    data: str | None = None
    split: str | None = None
    num_images: int | None = None
    pairs: list[PairedTest] = Field(default_factory=list)  # the first with each other one
    differences: list[Difference] = Field(default_factory=list)
    output: str | None = None
    kind: Kind | None = None  # of samples that are no pictures


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
    _say_untrained(found, say)
    is_trained = all(one.model is not None for one in found)
    if request.data is not None and not is_trained:
        raise UsageError("data applies only to trained models", "Compare runs, or leave the data out.")
    if not is_trained:
        return CompareReport(subjects=[_compared(one, request) for one in found])
    data, images, given = answers_of(found, request, say)
    right = given == images.labels  # (n, N)
    report = CompareReport(
        subjects=[_compared(one, request, hits) for one, hits in zip(found, right, strict=True)],
        data=data,
        split=images.split,
        num_images=len(images),
        pairs=[paired_test(found[0].name, one.name, right[0], hits) for one, hits in zip(found[1:], right[1:], strict=True)],
        differences=differences(images.paths, images.labels, given, found[0].trained.classes),
        output=str(request.output) if request.output is not None else None,
        kind=None if images.kind == "pictures" else images.kind,
    )
    if request.output is not None:
        write_differences(request.output, report)
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


def _say_untrained(found: Sequence[Subject], say: Callable[[str], None]) -> None:
    absent = next((one for one in found if needs_its_module(one.network)), None)
    raw = next((one for one in found if one.model is None), None)
    if absent is not None:
        say(f"{absent.name} is the user's own module and was not passed: only counts are compared")
    elif raw is not None and any(one.model is not None for one in found):
        say(f"{raw.name} is not trained: only counts are compared")


def _compared(one: Subject, request: CompareRequest, right: np.ndarray | None = None) -> Compared:
    """One of them, timed where that is asked for; `right` (N,) bool is whether it answers each picture correctly."""
    latency = None
    if request.measure and not needs_its_module(one.network):
        from striate.insight.profile.measured import time_alone  # here, as it loads torch

        latency = time_alone(one.module(), one.network.input_shape)
    return Compared(
        name=one.name,
        network=one.network.name,
        input_shape=one.network.input_shape,
        totals=totals(one.network),
        described=not all(row.view.whole for row in one.network.rows),
        latency=latency,
        num_correct=int(right.sum()) if right is not None else None,
        accuracy=float(right.mean()) if right is not None else None,
        accuracy_interval=wilson_interval(int(right.sum()), len(right)) if right is not None else None,
    )
