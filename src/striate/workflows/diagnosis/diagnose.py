"""Diagnose a training from its run folder."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, RefusedFileError, UsageError
from striate.core.files import make_folder, read_plain, write_atomically, write_json
from striate.core.modes import evaluation_mode
from striate.core.places import check_folder, near
from striate.core.reports import shown_short
from striate.core.seeds import torch_seed
from striate.core.tables import csv_text
from striate.core.targets import Task
from striate.core.text import Lines, in_lines
from striate.data.archives import npz_arrays
from striate.data.findings import DataFinding
from striate.engine.failures import first_part_not_finite
from striate.engine.losses import loss_of
from striate.engine.settings import TrainSettings
from striate.insight.diagnose import Finding, Record, Sample, judge
from striate.insight.diagnose.exam import Exam
from striate.insight.diagnose.probe import Probe
from striate.insight.diagnose.records import Withdrawn
from striate.insight.diagnose.rules import withdrawn
from striate.insight.diagnose.setup import Setup, facts_of
from striate.insight.diagnose.states import STARTED
from striate.models.fitting import batches_of, usual_rate
from striate.models.model import Model
from striate.workflows.diagnosis.evidence import curves_evidence, gradient_evidence, shares_evidence
from striate.workflows.diagnosis.examining import examine
from striate.workflows.diagnosis.probing import counts_in_nats, exam_of, said_before
from striate.workflows.runs.behind import refuse_edits
from striate.workflows.runs.config import ARRAYS, RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.hashes import CLOSED
from striate.workflows.subjects.subject import LabelledRequest, Subject, open_model
from striate.workflows.tasks.registry import task_named, task_of

if TYPE_CHECKING:
    from striate.data.records import ImageSet

DATA_NOT_RECORDED = "the data: the run does not record what the check of its pictures found before the training"
SURE = 0.9  # probability of another class, from which a label is doubted
PICTURES = {  # which kinds of finding each picture shows
    "gradients.png": ("vanishing_gradient", "exploding_gradient", "uneven_updates", "learning_rate_too_high", "learning_rate_too_low"),
    "layers.png": ("dead_relu", "saturated", "constant_units", "symmetric_units", "batch_norm_drift"),
    "curves.png": ("overfitting", "underfitting", "label_noise", "val_differs", "batch_norm_unsettled"),
}


class OwnPictures(NamedTuple):
    """The pictures of a run, as its model takes them; None if they are not available or not requested."""

    train: ImageSet | None
    val: ImageSet | None


NO_PICTURES = OwnPictures(None, None)


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
    pictures = own_pictures(subject, request, config, say) if subject is not None else NO_PICTURES
    return diagnose_pictures(request, config, subject.trained if subject is not None else None, pictures, say=say)


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
    settings = config.settings
    rows, history = folder.read_metrics(say), folder.read_history(say)
    model = model if task_named(config.task).gives_classes else None
    if model is not None:
        refuse_edits(folder, model.info, say)
    pictures, exam = own.train, exam_of(run)
    if exam is None and model is not None and pictures is not None and own.val is not None:
        seen = int(rows[-1].get("step") or 0) * settings.batch_size if rows else 0
        is_told = any(found.kind == "shared_pictures" for found in folder.read_data_findings())
        exam = examine(model, pictures, own.val, seen=seen, count_shared=not is_told)
    again = replay(model, pictures, config, settings, request.batches) if model is not None and pictures is not None else []
    done = max(STARTED, history[-1].step if history else 0, int(rows[-1].get("step") or 0) if rows else 0)
    again = [dataclasses.replace(sample, step=done + sample.step, wait_share=None if history else sample.wait_share) for sample in again]
    samples = [*history, *again]
    findings = judge(
        Record(
            samples=samples,
            rows=rows,
            num_classes=config.num_classes if counts_in_nats(settings) else None,
            setup=_setup(folder, config, exam),
            exam=exam,
            is_finished=is_finished(folder),
        )
    )
    if stopped := stopped_at(run, model):
        findings = [*stopped, *(finding for finding in findings if finding.kind != "not_finite")]

    no_longer = withdrawn(said_before(run), findings)

    output = request.output or run / "report" / "diagnose"
    findings = _write(output, findings, samples, rows, draw_all)
    noisy = any(finding.kind == "label_noise" for finding in findings)
    if noisy and pictures is not None and model is not None and task_of(model).single_class:
        write_atomically(output / "doubted-labels.csv", doubted_labels(model, pictures).encode())
    report = DiagnoseReport(
        run=str(run),
        findings=tuple(findings),
        data=folder.read_data_findings(),
        data_is_recorded=folder.has_data_findings,
        withdrawn=tuple(no_longer),
        epochs=len(rows),
        looks=len(history),
        batches=len(again),
        output=str(output),
    )
    write_json(output / "findings.json", TypeAdapter(DiagnoseReport).dump_python(report, mode="json"))
    return report


def is_finished(folder: RunFolder) -> bool:
    """Return whether the training finished: its last start was not followed by an interruption."""
    events = [line["event"] for line in folder.read_events() if line["event"] not in ("checkpoint", CLOSED)]
    return not events or events[-1] != "interrupted"


def _setup(folder: RunFolder, config: RunConfig, exam: Exam | None) -> Setup | None:
    """The set-up of the training, from the run folder; None if it holds no description of the network."""
    if not folder.has_network:
        return None
    is_fresh = config.pretrained is None and config.start_sha256 is None
    network = folder.read_network()
    rate = usual_rate(network, config.num_train or config.settings.batch_size, config.settings)
    return Setup(
        config.settings,
        config.augmentation,
        facts_of(network),
        is_fresh,
        num_train=sum(exam.train_counts) if exam is not None else None,
        num_val=sum(exam.val_counts) if exam is not None else None,
        usual_rate=rate,
    )


def own_pictures(subject: Subject, request: DiagnoseRequest, config: RunConfig, say: Callable[[str], None]) -> OwnPictures:
    """The training pictures, and those of val where the run kept no verdict of its own; none where they cannot be had."""
    data = request.data if request.data is not None else config.data
    if isinstance(data, str) and data == ARRAYS:
        say("the run was trained on arrays: only its curves and the observations during training are examined")
        return NO_PICTURES
    labelled = subject.open_data(request, f"diagnose {subject.where}", say)
    if not labelled.is_own:
        message = f"{labelled.source.name}: not the data that {request.run} was trained on"
        raise DataError(message, "Name the data of the run, or leave DATA out.")
    with_val = exam_of(request.run) is None and task_of(subject.trained).single_class
    return OwnPictures(labelled.read("train", say), labelled.read("val", say) if with_val else None)


def replay(model: Model, pictures: ImageSet, config: RunConfig, settings: TrainSettings, num_batches: int) -> list[Sample]:
    """The samples of a probe while the model runs some training batches again, in training mode and without an update."""
    batches = batches_of(
        model.task,
        pictures,
        settings.batch_size,
        seed=settings.seed,
        shuffle=True,
        augmentation=config.augmentation,
        device=torch.device(model.device),
    )
    module = copy.deepcopy(model.module)  # its batch norms go on counting
    loss_fn = loss_of(settings)
    probe = Probe(every=1, updating=False, kept=True)
    with torch_seed(settings.seed), probe.watch(module.train().get_submodule("network")):
        for step, batch in enumerate(itertools.islice(batches.epoch(1), num_batches), start=1):
            loss = loss_fn(module(batch.images), batch.labels)
            module.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            probe.after_step(step, loss.detach(), learning_rate=settings.learning_rate)
    return probe.samples


def stopped_at(run: Path, model: Model | None) -> list[Finding]:
    """The finding of a run that stopped at NaN or Inf and kept the batch of it."""
    path = RunFolder(run).not_finite
    if not path.exists():
        return []
    images = _stopping_batch(path, model)
    part = ""
    if model is not None:
        with evaluation_mode(model.module):
            part = first_part_not_finite(model.module, lambda: model.module(torch.from_numpy(images).to(model.device)))
    now = (
        "the kept model gives NaN or Inf for it too"
        if part
        else "the kept model, which is from an earlier epoch, gives finite numbers for it"
    )
    return [
        Finding(
            kind="not_finite",
            severity="error",
            where=part,
            evidence=float(len(images)),
            unit="pictures in the batch",
            message=f"the training stopped at NaN or Inf, and its batch is in {path.name}; {now}",
            cause="Numbers overflowed, mostly after updates that were too large.",
            remedy="`max_grad_norm=1`, or a smaller `learning_rate`",
        )
    ]


def _stopping_batch(path: Path, model: Model | None) -> np.ndarray:
    """The pictures (N, H, W, C) of the batch at which a run stopped.

    Raises:
        RefusedFileError: the file is damaged.
    """
    remedy = "Remove the file to continue without it."
    read_plain(path, limit=2**32, remedy=remedy)
    try:
        images = npz_arrays(path).get("images")
    except DataError as error:
        raise RefusedFileError(error.message, remedy) from None
    wanted = None if model is None else (model.images.height, model.images.width, model.images.channels)
    if images is None or images.ndim != 4 or (wanted is not None and images.shape[1:] != wanted):
        raise RefusedFileError(f"{path}: images are not a batch of pictures of the model's size", remedy)
    return images


def doubted_labels(model: Model, pictures: ImageSet) -> str:
    """The training pictures whose labels the kept model confidently contradicts, the most confident first: CSV text."""
    probabilities = model.shares(np.asarray(pictures.images))  # (N, K)
    answers, sure = probabilities.argmax(1), probabilities.max(1)
    doubted = np.flatnonzero((answers != pictures.labels) & (sure >= SURE))
    order = doubted[np.argsort(-sure[doubted], kind="stable")]
    rows = [
        [
            pictures.paths[i],
            *(model.classes[k] for k in (pictures.labels[i], answers[i])),
            f"{sure[i]:.4f}",
        ]
        for i in order.tolist()
    ]
    return csv_text(["path", "label", "answer", "probability"], rows)


def _write(
    output: Path, findings: list[Finding], samples: Sequence[Sample], rows: Sequence[dict[str, str]], draw_all: bool
) -> list[Finding]:
    """Draw the evidence; returns the findings with the names of their pictures."""
    found = {finding.kind for finding in findings}
    make_folder(output)
    drawings: dict[str, Callable[[], bytes | None]] = {
        "gradients.png": lambda: gradient_evidence(samples),
        "layers.png": lambda: shares_evidence(samples),
        "curves.png": lambda: curves_evidence(rows),
    }
    drawn = {name: draw() if draw_all or found & set(PICTURES[name]) else None for name, draw in drawings.items()}
    for name, picture in drawn.items():
        if picture is not None:
            write_atomically(output / name, picture)
    pictures = {kind: name for name, kinds in PICTURES.items() if drawn[name] is not None for kind in kinds}
    return [dataclasses.replace(finding, picture=pictures.get(finding.kind)) for finding in findings]


def summary(report: DiagnoseReport) -> Lines:
    """The report as text."""
    lines = [f"{report.run}: {report.epochs} epochs, {report.looks} updates sampled during training, {report.batches} batches run again"]
    for finding in report.findings:
        place = f" at {finding.where}" if finding.where else ""
        lines += [
            "",
            f"{finding.severity}: {finding.kind.replace('_', ' ')}{place}",
            f"  seen   {finding.message}",
            f"  cause  {finding.cause}",
            f"  try    {finding.remedy}",
        ]
        if finding.consequences:
            lines.append(f"  brings {', '.join(kind.replace('_', ' ') for kind in finding.consequences)}")
        if finding.picture:
            lines.append(f"  shown  {Path(report.output) / finding.picture}")
    for found in report.data:
        lines += ["", f"{found.severity}: {found.kind.replace('_', ' ')}", f"  seen   {found.message}", f"  try    {found.remedy}"]
    if not report.findings and not report.data:
        lines.append("nothing found")
    if not report.data_is_recorded:
        lines += ["", DATA_NOT_RECORDED]
    if report.withdrawn:
        lines += ["", "reported during training, and withdrawn:"]
        lines += [f"  {one.kind.replace('_', ' ')}: {one.reason}" for one in report.withdrawn]
    return in_lines([*lines, ""])
