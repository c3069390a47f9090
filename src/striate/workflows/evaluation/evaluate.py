"""Measure a model on a split of a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.text import Lines
from striate.data.reading import Reading, Role
from striate.workflows.runs.folder import RunFolder
from striate.workflows.subjects.labelled import ALL, MEASURED
from striate.workflows.subjects.subject import LabelledRequest, Subject, open_model, read_split
from striate.workflows.tasks.record import Measured
from striate.workflows.tasks.registry import SplitReport, task_of, task_reported


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class EvaluateRequest(LabelledRequest):
    """The model, the data and the split."""

    split: Literal["train", "val", "test"] | None = None  # None: test where there is one, else val; all of other data without splits
    batch_size: int = 128
    drop: Path | None = None  # a list of pictures to leave out; of the run's own data, that of the training by default
    slices: tuple[str, ...] = ()  # columns of a table of pictures, for whose values the accuracy is given
    columns: dict[Role, str] = Field(default_factory=dict)  # of a table that has others than the run's, as its `root`
    root: Path | None = None
    output: Path | None = None  # folder of pictures and tables; RUN/report/evaluate-SPLIT by default, of other data evaluate-SPLIT-on-NAME


def evaluate(request: EvaluateRequest, *, say: Callable[[str], None] = lambda _text: None) -> SplitReport:
    """Measure; write confusion matrix, per-class table, every prediction and the most confident mistakes.

    Raises:
        DataError: no such split, unreadable pictures, or classes that the model does not know.
        UsageError: no data is named and the model's run does not tell; or there is no column that `slices` names.
        RefusedFileError: the model file is damaged or not a model.
    """
    return evaluate_subject(open_model(request.run, device=request.device, module=request.module), request, say=say)


def evaluate_subject(subject: Subject, request: EvaluateRequest, *, say: Callable[[str], None]) -> SplitReport:
    """The same of a subject that is open already."""
    model, run = subject.trained, subject.run
    subject.report_folder("", request.output)
    if request.slices and not task_of(model).single_class:
        raise UsageError("`slices`: gives the accuracy of classes, and the model gives none", "Leave it out.")
    reading = Reading(columns=request.columns, root=str(request.root) if request.root is not None else None)
    labelled = subject.open_data(request, f"evaluate {subject.where}", say, request.drop, reading)
    images, openings = read_split(labelled, request.split, "evaluate", say, MEASURED)
    split, data = images.split, labelled.source.name
    if request.data is None and run is not None:
        say_again(run, split, say)
    if request.split is None and split == "val":
        say(f"{data} has no test split: measured on val")
    words = ("evaluate", None if split == ALL else split, None if labelled.is_own else f"on-{data}")
    output = subject.report_folder("-".join(filter(None, words)), request.output)
    measured = Measured(
        images=images,
        split=split,
        model=subject.name,
        data=data,
        output=output,
        batch_size=request.batch_size,
        test_openings=openings,
        trained_among=labelled.trained_among(split),
        left_out=labelled.source.left_out,
        slices=request.slices,
    )
    report: SplitReport = task_of(model).evaluate(model, measured)
    return report


def say_again(run: Path, split: str, say: Callable[[str], None]) -> None:
    """Report the findings in the pictures of a split before the run trained."""
    for finding in RunFolder(run).read_data_findings():
        if finding.where == split and finding.severity != "note":
            say(f"{finding.severity}: {finding}")


def summary(report: SplitReport) -> Lines:
    """The report as text."""
    return task_reported(report).summary(report)
