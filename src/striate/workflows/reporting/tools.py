"""The tools that a page about a run asks; where one has no result, the page says why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from pydantic import TypeAdapter

from striate.core.bounded import read_json
from striate.core.calibration import scores_of
from striate.core.errors import DataError, UsageError
from striate.core.refusals import checked_entry
from striate.core.text import command, counted
from striate.data.records import ImageSet
from striate.insight.calibrate.abstain import CoveragePoint, coverage_curve
from striate.insight.calibrate.evidence import held_back_temperature
from striate.insight.measure.classes import most_confident_mistakes
from striate.models.meanings import softmax
from striate.models.model import MODEL_NAME, Model
from striate.networks.foreign import needs_its_module
from striate.networks.network import Network
from striate.workflows.diagnosis.diagnose import DiagnoseReport, DiagnoseRequest, diagnose_pictures
from striate.workflows.diagnosis.record import OwnPictures, own_pictures
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate_subject
from striate.workflows.evaluation.reliability import Reliability, worth
from striate.workflows.explanation.choosing import spread, taken
from striate.workflows.explanation.explain import ExplainReport, ExplainRequest, explain_chosen
from striate.workflows.profiling.profile import ProfileReport, ProfileRequest, profile
from striate.workflows.runs.behind import refuse_edits
from striate.workflows.runs.config import RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.subjects.subject import Subject, open_model
from striate.workflows.tasks.classify import judged
from striate.workflows.tasks.record import MEASURES, Measured
from striate.workflows.tasks.registry import SplitReport, task_of

if TYPE_CHECKING:
    from striate.workflows.reporting.report import ReportRequest

Result = TypeVar("Result")
MOST_MACS = 10**9  # of a batch of 8 that is timed
OF_CLASSES = ("What it looks at", "Calibration")  # sections on one class per picture
_MEASURES: TypeAdapter[Any] = TypeAdapter(SplitReport)


@dataclass(kw_only=True)
class Bench:
    """The run that the tools look at, a folder for what they write, and the sections that the page leaves out, with the reason."""

    request: ReportRequest
    config: RunConfig
    network: Network
    place: Path
    say: Callable[[str], None]
    subject: Subject | None = None  # with the kept model
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> Model | None:
        """The kept model."""
        return self.subject.model if self.subject is not None else None

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


class Answers(NamedTuple):
    """A classifier's predictions on the val split."""

    data: str
    images: ImageSet
    train: ImageSet | None  # the training pictures, where they came with those of val
    logits: np.ndarray  # (N, K)
    probabilities: np.ndarray  # (N, K)


def opened(bench: Bench) -> Subject | None:
    """The kept model."""
    request, network, subject = bench.request, bench.network, None

    def kept() -> Subject:
        if request.module is None and needs_its_module(network):
            words = f"{network.name} is the user's own module, and the run holds only its weights"
            raise UsageError(words, "In Python, pass it: striate.report(run, module=...).")
        return open_model(request.run, device=request.device, module=request.module)

    if RunFolder(request.run).has_model:
        subject = bench.ask("Model", kept)
    else:
        bench.leave_out("Model", f"{MODEL_NAME} is missing: the run ended before its first epoch did, or the file was removed")
    if subject is None:
        bench.left_out |= dict.fromkeys(("Results on val", *OF_CLASSES), "there is no model to evaluate, see Model")
    else:
        refuse_edits(RunFolder(request.run), subject.trained.info, bench.say)
    return subject


def answers_on_val(bench: Bench) -> Answers | None:
    """The predictions of the model for the val split, if it is there and gives one class per picture."""
    request, subject = bench.request, bench.subject
    if subject is None:
        return None
    model = subject.trained
    if not task_of(model).single_class:
        bench.left_out |= dict.fromkeys(OF_CLASSES, "only for models that give one class per picture")
        return None

    def answers() -> Answers:
        labelled = subject.open_data(request, f"report {request.run}", bench.say)
        name = labelled.source.name
        if not labelled.is_own:
            message = f"{name}: not the data that the run was trained on, and a report covers the pictures that the run held out"
            raise UsageError(message, f"Measure the model on it: striate evaluate {request.run} DATA.")
        images = labelled.read("val", bench.say)
        train = None if "val" in labelled.source.splits else labelled.read("train", lambda _text: None)
        logits = model.outputs(images.images)
        return Answers(name, images, train, logits, softmax(logits / model.calibration.temperature))

    return bench.ask("Results on val", answers, "measuring on val")


def measured(bench: Bench, answers: Answers | None) -> dict[str, dict[str, Any]]:
    """The measures by split: of the requested one, of val, and of test if `evaluate` has used it before."""
    request, subject = bench.request, bench.subject
    if subject is None:
        return {}
    run, splits = request.run, []
    if answers is not None:
        of_val = Measured(images=answers.images, split="val", model=str(run), data=answers.data, output=bench.place / "evaluate-val")
        judged(subject.trained, of_val, answers.probabilities)
        splits.append("val")
    if request.split != "val" or (not splits and "Results on val" not in bench.left_out):
        output = bench.place / f"evaluate-{request.split}"
        how = {"run": run, "data": request.data, "data_dir": request.data_dir, "device": request.device}
        asked = EvaluateRequest(**how, split=request.split, output=output)
        words = f"measuring on {request.split}"
        if bench.ask(f"Results on {request.split}", lambda: evaluate_subject(subject, asked, say=bench.say), words):
            splits.insert(0, request.split)
    measures = {split: _read(bench.place / f"evaluate-{split}" / MEASURES) for split in splits}
    before = run / "report" / "evaluate-test" / MEASURES
    if "test" not in measures and before.is_file() and before.stat().st_mtime >= (run / MODEL_NAME).stat().st_mtime:
        measures["test"] = _read(before)
    return measures


def calibrated(answers: Answers) -> tuple[Reliability, Reliability, list[CoveragePoint]]:
    """The reliability of the probabilities before and after a temperature, and the accuracy by coverage."""
    logits, labels, classes = answers.logits, answers.images.labels, answers.images.classes
    temperature = held_back_temperature(logits, labels).value
    before, after = (worth(logits, labels, classes, value) for value in (1.0, temperature))
    return before, after, coverage_curve(scores_of(logits, "confidence", temperature), logits.argmax(1) == labels)


def explained(bench: Bench, answers: Answers) -> ExplainReport:
    """Mistakes, the most confident first; where there are none, other pictures."""
    if bench.subject is None:
        raise RuntimeError("answers without a model")
    count = bench.request.num_explained
    places = most_confident_mistakes(answers.probabilities, answers.images.labels, count)
    if not len(places):
        places = spread(len(answers.images), count)
    asked = ExplainRequest(run=bench.subject.trained, output=bench.place / "explain")
    return explain_chosen(bench.subject, asked, taken(answers.images, places), lambda: answers.images, say=lambda _text: None)


def profiled(bench: Bench) -> ProfileReport:
    """The cost of the network, timed if that is asked for and it can run."""
    network = bench.network
    runs = bench.model is not None or not needs_its_module(network)
    if not runs:
        bench.leave_out("Measured cost", "there is no module to run, see Model")
    asked = ProfileRequest(
        network=bench.model or network,
        measure=bench.request.measure and runs,
        batch_size=_fitting(8, network),
        batch_sizes=tuple(sorted({1, _fitting(32, network)})),
        seconds=0.05,
        device=bench.request.device,
        output=bench.place / "profile",
    )
    return profile(asked)


def _fitting(batch_size: int, network: Network) -> int:
    """A batch of that many pictures, of fewer where each is much work: the page should not wait for its timings."""
    return max(1, min(batch_size, MOST_MACS * batch_size // (8 * max(1, network.macs))))


def diagnosed(bench: Bench, answers: Answers | None) -> DiagnoseReport:
    """The findings; if the data is gone, those from the curves and from the samples taken while the run trained."""
    request, subject = bench.request, bench.subject
    how = {"run": request.run, "data": request.data, "data_dir": request.data_dir, "device": request.device}
    asked = DiagnoseRequest(**how, batches=4, output=bench.place / "diagnose")

    def look(pictures: OwnPictures) -> DiagnoseReport:
        return diagnose_pictures(asked, bench.config, bench.model, pictures, draw_all=False, say=lambda _text: None)

    if subject is None or any(name.startswith("Results") for name in bench.left_out):
        return look(OwnPictures())
    train = answers.train if answers is not None else None

    def look_again() -> DiagnoseReport:
        return look(OwnPictures(train) if train is not None else own_pictures(subject, asked, bench.config, lambda _text: None))

    return bench.ask("Diagnosis of the model", look_again) or look(OwnPictures())


def kept_pictures(run: Path, name: str) -> list[Path]:
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


def state_of(bench: Bench, rows: Sequence[object]) -> str:
    """The end of the training, in a sentence."""
    run, settings, epoch = bench.request.run, bench.config.settings, bench.model.info.get("epoch") if bench.model is not None else None
    last = RunFolder(run).last_event(bench.say)
    done = f"{len(rows):,} of {settings.epochs:,} epochs" if settings.steps is None else counted(settings.steps, "update")
    model = f" The model is that of epoch {epoch}." if epoch else ""
    if last == "diverged":
        return f"It stopped at NaN or Inf, after {done}.{model}"
    unfinished = settings.steps is None and settings.patience is None and len(rows) < settings.epochs
    if last == "interrupted" or unfinished:
        return f"It is not finished: {done}. `{command('striate', 'train', '--resume', run)}` continues it.{model}"
    early = " It stopped early, when patience ran out." if last == "stopped_early" else ""
    return f"It is finished: {done}.{early}{model}"
