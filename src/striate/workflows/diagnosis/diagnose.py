"""Diagnose a training from its run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.places import check_folder, near
from striate.core.reports import shown_short, write_files
from striate.core.tables import csv_text
from striate.core.targets import Task
from striate.data.findings import DataFinding
from striate.insight.diagnose import Finding, judge
from striate.insight.diagnose.records import Withdrawn
from striate.insight.diagnose.replay import doubted_labels
from striate.insight.diagnose.rules import withdrawn
from striate.models.model import Model
from striate.workflows.diagnosis.evidence import draw_evidence
from striate.workflows.diagnosis.probing import said_before
from striate.workflows.diagnosis.record import OwnPictures, own_pictures, record_of, stopped_at
from striate.workflows.runs.behind import refuse_edits
from striate.workflows.runs.config import RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.subjects.subject import LabelledRequest, Subject, open_model
from striate.workflows.tasks.registry import task_named, task_of


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DiagnoseRequest(LabelledRequest):
    """The run to diagnose."""

    run: Path
    batches: int = Field(default=8, ge=3)  # of its training split, to compute again
    output: Path | None = None  # RUN/report/diagnose by default


@shown_short
@dataclass(frozen=True, kw_only=True)
class DiagnoseReport:
    """The problems of a run, the most severe first; `findings` and `data` are empty if there are none.

    What was said while it trained is confirmed by being among the findings or among their consequences, or else withdrawn with a reason.
    """

    run: str
    findings: tuple[Finding, ...]
    data: tuple[DataFinding, ...]  # what was found in the pictures before the training
    data_is_recorded: bool  # whether the run keeps that
    withdrawn: tuple[Withdrawn, ...]  # what was said while it trained, and holds no longer
    epochs: int  # of which the metrics tell
    looks: int  # updates that the probe saw while the run trained
    batches: int  # computed again
    output: str


def diagnose(request: DiagnoseRequest, *, say: Callable[[str], None] = lambda _text: None) -> DiagnoseReport:
    """Examine the curves of a run, the samples taken while it trained, and its model on some batches of its training data.

    The model computes losses and gradients of the batches in training mode, on a copy; nothing of the run is changed but the report.

    Raises:
        UsageError: there is no such run folder.
        DataError: its configuration, its metrics or its data cannot be read.
        RefusedFileError: its model file is damaged.
    """
    run = request.run
    if not run.is_dir():
        raise UsageError(f"{run}: no such run folder", near(run, "Give the folder of a training run."))
    check_folder(request.output or run / "report")
    config = RunFolder(run).read_config()
    subject = _subject(request, config.task, say)
    if subject is None:
        return diagnose_pictures(request, config, None, OwnPictures(), say=say)
    return diagnose_pictures(request, config, subject.trained, own_pictures(subject, request, config, say), say=say)


def _subject(request: DiagnoseRequest, task: Task | None, say: Callable[[str], None]) -> Subject | None:
    """The run's model; None, which is reported, if there is none to run."""
    folder = RunFolder(request.run)
    only = "only the run's curves and the observations during training are examined"
    if not task_named(task).gives_classes:
        say(f"task {task}: {only}")
        return None
    if not folder.has_model:
        say(f"{folder.model}: is missing: {only}")
        return None
    try:
        return open_model(request.run, device=request.device, module=request.module)
    except UsageError as error:  # a module of the user's own
        say(f"{error.message}: {only}")
        return None


def diagnose_pictures(
    request: DiagnoseRequest,
    config: RunConfig,
    model: Model | None,
    own: OwnPictures,
    *,
    draw_all: bool = True,
    say: Callable[[str], None],
) -> DiagnoseReport:
    """The same with a model and pictures that are read already; `draw_all` draws what no finding points to as well."""
    run, folder = request.run, RunFolder(request.run)
    model = model if task_named(config.task).gives_classes else None
    if model is not None:
        refuse_edits(folder, model.info, say)
    record, again = record_of(folder, config, model, own, request.batches, say)
    findings = judge(record)
    if stopped := stopped_at(run, model):
        kind = model.images.kind if model is not None else "pictures"
        findings = [*(finding.of_kind(kind) for finding in stopped), *(finding for finding in findings if finding.kind != "not_finite")]
    output = request.output or run / "report" / "diagnose"
    report = DiagnoseReport(
        run=str(run),
        findings=tuple(draw_evidence(output, findings, record.samples, record.rows, draw_all=draw_all)),
        data=folder.read_data_findings(),
        data_is_recorded=folder.has_data_findings,
        withdrawn=tuple(withdrawn(said_before(run), findings)),
        epochs=len(record.rows),
        looks=len(record.samples) - len(again),
        batches=len(again),
        output=str(output),
    )
    noisy, doubted = any(finding.kind == "label_noise" for finding in findings), {}
    if noisy and own.train is not None and model is not None and task_of(model).single_class:
        rows = doubted_labels(model, own.train)
        doubted = {"doubted-labels.csv": csv_text(["path", "label", "answer", "probability"], rows)}
    write_files(output, {**doubted, "findings.json": report})
    return report
