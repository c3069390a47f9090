"""The demo: a small network learns scanned digits in seconds, and is tested on held-out ones."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.files import write_atomically
from striate.core.reports import shown_short
from striate.core.text import Lines, command, in_lines
from striate.data.sources import open_data
from striate.drawing.pictures import predictions_picture
from striate.models.loading import load
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate
from striate.workflows.tasks.classify import EvaluateReport
from striate.workflows.training.request import TrainReport, TrainRequest
from striate.workflows.training.running import Observer, QuietObserver
from striate.workflows.training.runs import new_run_folder
from striate.workflows.training.train import train

NUM_SHOWN = 24  # pictures in answers.png
EPOCHS, SHORT_EPOCHS = 15, 3


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TrainDemoRequest:
    """The folder of the demo's run; `runs/demo/digits-NNN` by default."""

    output: Path | None = None
    epochs: int = EPOCHS
    seed: int = 0


@shown_short
@dataclass(frozen=True, kw_only=True)
class TrainDemoReport:
    """The training, the measures on the test split, and the picture of some predictions."""

    train: TrainReport
    test: EvaluateReport
    picture: str


def demo(request: TrainDemoRequest, *, observer: Observer | None = None) -> TrainDemoReport:
    """Train on the embedded digits, measure on their test split, and draw some predictions.

    Raises:
        EnvironmentFault: the run folder cannot be written.
    """
    observer = observer or QuietObserver()
    folder = new_run_folder("demo", "digits", request.output)
    training = TrainRequest(data="digits", network="compact_cnn", epochs=request.epochs, seed=request.seed, output=folder)
    trained = train(training, observer=observer)
    tested = cast("EvaluateReport", evaluate(EvaluateRequest(run=folder, split="test"), say=observer.say))  # digits are classes

    model = load(folder)
    shown = open_data("digits").read("test", spec=model.images)
    images = shown.images[:: len(shown) // NUM_SHOWN][:NUM_SHOWN]
    answers = [[(item.class_name, item.top[0].sureness)] for item in model.classify(images)]
    names = [f"a {shown.classes[label]}" for label in shown.labels[:: len(shown) // NUM_SHOWN][:NUM_SHOWN]]
    picture = folder / "report" / "answers.png"
    write_atomically(picture, predictions_picture(images, answers, names, title="Held-out digits, and the network's predictions"))
    return TrainDemoReport(train=trained, test=tested, picture=str(picture))


def summary(report: TrainDemoReport) -> Lines:
    """The report as text."""
    run, test = report.train.run, report.test
    wrong = round((1 - test.accuracy) * test.num_images)
    learned = f"{report.train.network} ({report.train.params:,} parameters) learned {report.train.num_train:,} digits"
    return in_lines(
        (
            "",
            f"{learned} in {report.train.seconds:.1f} s.",
            f"Of {test.num_images} held-out digits it classifies {test.num_images - wrong} correctly: accuracy {test.accuracy:.4f}.",
            "",
            f"predictions     {report.picture}",
            f"mistakes        {test.output}/mistakes.png",
            f"curves          {run}/report/curves.png",
            "",
            "Next steps",
            f"  striate show {report.train.network}              read the network as a table",
            "  striate train FOLDER                  train on your own pictures, one subfolder per class",
            f"  {command('striate', 'predict', Path(run))} FILES   use the model",
            "",
        )
    )
