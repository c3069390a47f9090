"""One HTML page that summarizes a run: training, results, explanations, cost and diagnosis."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.bounded import read_json, read_text
from striate.core.calibration import scores_of
from striate.core.devices import choose_device
from striate.core.errors import DataError, UsageError
from striate.core.files import make_folder, write_atomically
from striate.core.places import check_file, near
from striate.core.refusals import checked_entry
from striate.core.reports import shown_short
from striate.core.text import Lines, command, in_lines
from striate.data.records import ImageSet
from striate.drawing.page import Section, document
from striate.insight.calibrate.abstain import coverage_curve
from striate.insight.calibrate.evidence import held_back_temperature
from striate.insight.measure.classes import most_confident_mistakes
from striate.models.meanings import softmax
from striate.models.model import MODEL_NAME, Model
from striate.networks.foreign import needs_its_module
from striate.networks.network import Network
from striate.workflows.diagnosis.diagnose import (
    NO_PICTURES,
    DiagnoseReport,
    DiagnoseRequest,
    OwnPictures,
    diagnose_pictures,
    own_pictures,
)
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate_subject
from striate.workflows.evaluation.reliability import worth
from striate.workflows.explanation.choosing import spread, taken
from striate.workflows.explanation.explain import ExplainReport, ExplainRequest, explain_chosen
from striate.workflows.info import info
from striate.workflows.profiling.profile import ProfileReport, ProfileRequest, profile
from striate.workflows.reporting import sections as draw
from striate.workflows.runs.behind import refuse_edits
from striate.workflows.runs.config import RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.hashes import CLOSED
from striate.workflows.subjects.openings import openings_of
from striate.workflows.subjects.subject import LabelledRequest, Subject, open_model
from striate.workflows.tasks.classify import judged
from striate.workflows.tasks.record import Measured
from striate.workflows.tasks.registry import SplitReport, task_of
from striate.workflows.training.continuing import config_and_network

Result = TypeVar("Result")
MOST_MACS = 10**9  # of a batch of 8 that is timed


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class ReportRequest(LabelledRequest):
    """The run to summarize, and the page's path."""

    run: Path
    split: Literal["train", "val", "test"] = "val"  # that it is measured on; each opening of test is counted
    num_explained: int = Field(default=8, ge=1, le=64)  # pictures
    measure: bool = True  # time the network on this machine too
    output: Path | None = None  # RUN/report/index.html by default


@shown_short
@dataclass(frozen=True, kw_only=True)
class RunReport:
    """The page, its sections, and those left out with the reason."""

    run: str
    output: str
    num_bytes: int
    sections: tuple[str, ...]
    left_out: dict[str, str]  # section -> reason


class Answers(NamedTuple):
    """A classifier's predictions on the val split."""

    data: str
    images: ImageSet
    train: ImageSet | None  # the training pictures, where they came with those of val
    logits: np.ndarray  # (N, K)
    probabilities: np.ndarray  # (N, K)


class Finder:
    """Runs the tools of a report, and records why one has no result."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.left_out: dict[str, str] = {}

    def ask(self, section: str, work: Callable[[], Result], words: str = "") -> Result | None:
        """The result of `work`; None if the run or its data lack what it needs."""
        if words:
            self.say(words)
        try:
            return work()
        except (UsageError, DataError) as error:
            self.leave_out(section, f"{error.message}. {error.remedy}" if error.remedy else error.message)
            return None

    def leave_out(self, section: str, reason: str) -> None:
        """Record and report why a section is not on the page."""
        self.left_out[section] = reason
        self.say(f"{section}: left out: {reason}")


_MEASURES: TypeAdapter[Any] = TypeAdapter(SplitReport)


def report(request: ReportRequest, *, say: Callable[[str], None] = lambda _text: None) -> RunReport:
    """Measure, explain, profile and diagnose a run, and write it all as one page; of the run's folder, only the page is written.

    What does not apply to the run, or needs data that is gone, is left out, and the page says so.

    Raises:
        UsageError: there is no such run folder.
        DataError: its configuration cannot be read.
        RefusedFileError: its network or its model file is damaged.
        EnvironmentFault: no such device, or the page cannot be written.
    """
    run = request.run
    choose_device(request.device)  # before anything is made
    if not run.is_dir():
        raise UsageError(f"{run}: no such run folder", near(run, "Give the folder of a training run."))
    path = request.output or run / "report" / "index.html"
    check_file(path, "output", (".html", ".htm"), makes_folder=True)
    config, network = config_and_network(run)
    finder = Finder(say)
    subject = None
    if RunFolder(run).has_model:
        subject = finder.ask("Model", lambda: _opened(request, network))
    else:
        finder.leave_out("Model", f"{MODEL_NAME} is missing: the run ended before its first epoch did, or the file was removed")
    if subject is not None:
        refuse_edits(RunFolder(run), subject.trained.info, say)
    if subject is None:
        finder.left_out |= dict.fromkeys(("Results on val", "What it looks at", "Calibration"), "there is no model to evaluate, see Model")
    with tempfile.TemporaryDirectory() as place:
        sections = list(_sections(request, config, network, subject, Path(place), finder))
    if finder.left_out:
        sections.append(Section("Left out", draw.left_out(finder.left_out)))
    title = f"{network.name} on {Path(config.data).name}"
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    content = document(title, str(run), sections, foot=f"Written {now} by Striate {info()['versions']['striate']}.")
    make_folder(path.parent)
    write_atomically(path, content)
    names = tuple(section.heading for section in sections)
    return RunReport(run=str(run), output=str(path), num_bytes=len(content), sections=names, left_out=finder.left_out)


def _sections(
    request: ReportRequest, config: RunConfig, network: Network, subject: Subject | None, place: Path, finder: Finder
) -> Iterator[Section]:
    run, model = request.run, subject.model if subject is not None else None
    files = RunFolder(run)
    rows = files.read_metrics(finder.say)
    classifies = model is not None and task_of(model).single_class
    answers = None
    if subject is not None and classifies:
        answers = finder.ask("Results on val", lambda: _answers(request, subject, finder.say), "measuring on val")
    measures = {} if subject is None else _measured(request, subject, answers, place, finder)
    kept = model.info if model is not None else {}
    first = next(iter(measures.values()), None)
    yield Section("Summary", draw.summary(config, network, rows, first, state_of(run, config, rows, kept, finder.say)))
    yield Section("Training", draw.training(config, rows))
    for split, found in measures.items():
        own = place / f"evaluate-{split}"
        folder = own if own.is_dir() else run / "report" / own.name
        yield Section(
            f"Results on {split}", draw.results(found, folder, openings=openings_of(run, found["data"]) if split == "test" else None)
        )
    if subject is not None and answers is not None:
        shown = finder.ask("What it looks at", lambda: _explained(request, subject, answers, place), "explaining")
        if shown:
            yield Section("What it looks at", draw.explanations(shown, draw.kept_picture(place / "explain" / "heat-maps.png")))
        yield Section("Calibration", _calibration(answers))
    elif model is not None and not classifies:
        words = "only for models that give one class per picture"
        finder.left_out |= {"What it looks at": words, "Calibration": words}
    for name in ("attack", "lesion"):
        if pictures := _kept_pictures(run, name):
            yield Section(draw.KEPT[name], draw.pictures(pictures))
    yield Section("Network", draw.network(network))
    cost = finder.ask("Cost", lambda: _profiled(request, network, model, place, finder), "profiling")
    if cost:
        roofline = place / "profile" / "roofline.png"
        yield Section("Cost", draw.cost(cost, draw.kept_picture(roofline) if roofline.is_file() else None))
    wrong = finder.ask("Diagnosis", lambda: _diagnosed(request, config, subject, answers, place, finder), "diagnosing")
    if wrong:
        yield Section("Diagnosis", draw.diagnosis(wrong, place / "diagnose"))
    yield Section("Environment", draw.environment(files.read_env()))
    yield Section("Repeat it", draw.repeating(run, config, read_text(files.config), network))


def _opened(request: ReportRequest, network: Network) -> Subject:
    """The kept model."""
    if request.module is None and needs_its_module(network):
        words = f"{network.name} is the user's own module, and the run holds only its weights"
        raise UsageError(words, "In Python, pass it: striate.report(run, module=...).")
    return open_model(request.run, device=request.device, module=request.module)


def _answers(request: ReportRequest, subject: Subject, say: Callable[[str], None]) -> Answers:
    model, labelled = subject.trained, subject.open_data(request, f"report {request.run}", say)
    if not labelled.is_own:
        message = (
            f"{labelled.source.name}: not the data that the run was trained on, and a report covers the pictures that the run held out"
        )
        raise UsageError(message, f"Measure the model on it: striate evaluate {request.run} DATA.")
    source, images = labelled.source, labelled.read("val", say)
    train = None if "val" in source.splits else labelled.read("train", lambda _text: None)
    logits = model.outputs(images.images)
    return Answers(source.name, images, train, logits, softmax(logits / model.calibration.temperature))


def _measured(request: ReportRequest, subject: Subject, answers: Answers | None, place: Path, finder: Finder) -> dict[str, dict[str, Any]]:
    """The measures by split: of the requested one, of val, and of test if `evaluate` has used it before."""
    run, model, splits = request.run, subject.trained, []
    if answers is not None:
        measured = Measured(images=answers.images, split="val", model=str(run), data=answers.data, output=place / "evaluate-val")
        judged(model, measured, answers.probabilities)
        splits.append("val")
    if request.split != "val" or (not splits and "Results on val" not in finder.left_out):
        fields = EvaluateRequest(
            run=run,
            data=request.data,
            split=request.split,
            device=request.device,
            output=place / f"evaluate-{request.split}",
            data_dir=request.data_dir,
        )
        section = f"Results on {request.split}"
        if finder.ask(section, lambda: evaluate_subject(subject, fields, say=finder.say), f"measuring on {request.split}"):
            splits.insert(0, request.split)
    measures = {split: _read(place / f"evaluate-{split}" / "measures.json") for split in splits}
    before = run / "report" / "evaluate-test" / "measures.json"
    if "test" not in measures and before.is_file() and before.stat().st_mtime >= (run / MODEL_NAME).stat().st_mtime:
        measures["test"] = _read(before)
    return measures


def _calibration(answers: Answers) -> str:
    logits, labels, classes = answers.logits, answers.images.labels, answers.images.classes
    temperature = held_back_temperature(logits, labels).value
    before, after = (worth(logits, labels, classes, value) for value in (1.0, temperature))
    curve = coverage_curve(scores_of(logits, "confidence", temperature), logits.argmax(1) == labels)
    return draw.calibration(before, after, curve)


def _explained(request: ReportRequest, subject: Subject, answers: Answers, place: Path) -> ExplainReport:
    """Mistakes, the most confident first; where there are none, other pictures."""
    places = most_confident_mistakes(answers.probabilities, answers.images.labels, request.num_explained)
    if not len(places):
        places = spread(len(answers.images), request.num_explained)
    fields = ExplainRequest(run=subject.trained, output=place / "explain")
    return explain_chosen(subject, fields, taken(answers.images, places), lambda: answers.images, say=lambda _text: None)


def _profiled(request: ReportRequest, network: Network, model: Model | None, place: Path, finder: Finder) -> ProfileReport:
    runs = model is not None or not needs_its_module(network)
    if not runs:
        finder.leave_out("Measured cost", "there is no module to run, see Model")
    fields = ProfileRequest(
        network=model if model is not None else network,
        measure=request.measure and runs,
        batch_size=_fitting(8, network),
        batch_sizes=tuple(sorted({1, _fitting(32, network)})),
        seconds=0.05,
        device=request.device,
        output=place / "profile",
    )
    return profile(fields)


def _fitting(batch_size: int, network: Network) -> int:
    """A batch of that many pictures, of fewer where each is much work: the page should not wait for its timings."""
    return max(1, min(batch_size, MOST_MACS * batch_size // (8 * max(1, network.macs))))


def _diagnosed(
    request: ReportRequest, config: RunConfig, subject: Subject | None, answers: Answers | None, place: Path, finder: Finder
) -> DiagnoseReport:
    """The findings; if the data is gone, those from the curves and from the samples taken while the run trained."""
    fields = DiagnoseRequest(
        run=request.run, data=request.data, batches=4, device=request.device, output=place / "diagnose", data_dir=request.data_dir
    )
    model = subject.model if subject is not None else None

    def look(pictures: OwnPictures) -> DiagnoseReport:
        return diagnose_pictures(fields, config, model, pictures, draw_all=False, say=lambda _text: None)

    if subject is None or any(name.startswith("Results") for name in finder.left_out):
        return look(NO_PICTURES)
    train = answers.train if answers is not None else None
    found = finder.ask(
        "Diagnosis of the model",
        lambda: look(OwnPictures(train, None) if train is not None else own_pictures(subject, fields, config, lambda _text: None)),
    )
    return found or look(NO_PICTURES)


def _kept_pictures(run: Path, name: str) -> list[Path]:
    """The pictures that another verb wrote for the current model."""
    newest = (run / MODEL_NAME).stat().st_mtime if (run / MODEL_NAME).is_file() else 0.0
    return sorted(path for path in (run / "report" / name).glob("*.png") if not path.exists() or path.stat().st_mtime >= newest)


def _read(path: Path) -> dict[str, Any]:
    """The measures that `evaluate` wrote.

    Raises:
        RefusedFileError: the file is damaged.
    """
    remedy = "Remove it, and measure again: striate evaluate."
    measures: dict[str, Any] = read_json(path, remedy=remedy)
    checked_entry(_MEASURES, measures, str(path), remedy)
    return measures


def state_of(
    run: Path, config: RunConfig, rows: list[dict[str, str]], kept: dict[str, Any], say: Callable[[str], None] = lambda _text: None
) -> str:
    """The end of the training, in a sentence."""
    settings = config.settings
    last = next(
        (event["event"] for event in reversed(RunFolder(run).read_events(say)) if event["event"] not in ("checkpoint", "note", CLOSED)), ""
    )
    done = f"{len(rows):,} of {settings.epochs:,} epochs" if settings.steps is None else draw.counted(settings.steps, "update")
    model = f" The model is that of epoch {kept['epoch']}." if kept.get("epoch") else ""
    if last == "diverged":
        return f"It stopped at NaN or Inf, after {done}.{model}"
    unfinished = settings.steps is None and settings.patience is None and len(rows) < settings.epochs
    if last == "interrupted" or unfinished:
        return f"It is not finished: {done}. `{command('striate', 'train', '--resume', run)}` continues it.{model}"
    early = " It stopped early, when patience ran out." if last == "stopped_early" else ""
    return f"It is finished: {done}.{early}{model}"


def summary(found: RunReport) -> Lines:
    """The report as text."""
    lines = [f"{found.run}: {', '.join(found.sections)}"]
    lines += [f"left out: {section}: {reason}" for section, reason in found.left_out.items()]
    lines.append(f"page: {found.output} ({found.num_bytes / 2**20:.1f} MiB)")
    return in_lines([*lines, ""])
