"""The same training several times, from several seeds or on k folds: the spread of its accuracy."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import InterruptedRun, UsageError
from striate.core.reports import write_files
from striate.core.text import command
from striate.data.folds import folds
from striate.data.reading import Reading
from striate.data.records import DataSource
from striate.data.sources import open_data
from striate.drawing.curves import bands_picture
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate
from striate.workflows.recipes.choices import with_recipe
from striate.workflows.runs.folder import RunFolder
from striate.workflows.tasks.classify import EvaluateReport
from striate.workflows.training.ensemble import ensemble_of, refuse_no_ensemble
from striate.workflows.training.request import TrainReport, TrainRequest
from striate.workflows.training.running import Observer
from striate.workflows.training.runs import new_run_folder, removed_if_unbegun
from striate.workflows.training.signals import form_of
from striate.workflows.training.spread import RepeatReport, Repetition, share_spread, spread_of
from striate.workflows.training.train import train

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class RepeatRequest:
    """The training, and the number of repetitions: either `seeds` or `folds`."""

    training: TrainRequest
    seeds: Annotated[int, Field(ge=2)] | None = None  # from 0 on, on one division into train and val
    folds: Annotated[int, Field(ge=2)] | None = None  # each picture of the training split validates once
    output: Path | None = None  # the folder of all the runs; runs/repeat/NAME-NNN by default
    test: bool = False  # measure each kept model on the test split too
    ensemble: bool = False  # of the models of all seeds: measure it, and keep it as one model


def repeat(request: RepeatRequest, *, observer: Observer | None = None) -> RepeatReport:
    """Train the requested number of times, one after the other, and write a folder of runs with `repeat.json`.

    Raises:
        UsageError: neither or both of seeds and folds, an ensemble of folds or of what gives no probabilities, a test of what gives no
            classes, or folders of its own for the training; and what `train` raises.
        DataError: fewer pictures than folds.
        InterruptedRun: a training was stopped.
    """
    if (request.seeds is None) == (request.folds is None):
        raise UsageError("repeat needs either `seeds` or `folds`", "For example `seeds=5`.")
    if request.training.output is not None or request.training.resume is not None:
        message = "repeat names the folders of its runs itself, and cannot resume a run"
        raise UsageError(message, "Give `output` for the folder of all runs.")
    if request.ensemble:
        refuse_no_ensemble(request)
    if (request.ensemble or request.test) and not (source := _opened(request.training)).has_classes:
        asked = "ensemble" if request.ensemble else "test"
        raise UsageError(
            f"`{asked}=True`: needs one class per sample, and {source.name} is of the task {source.task}", f"Leave `{asked}` out."
        )
    trainings = list(_trainings(request))
    name = request.training.data if isinstance(request.training.data, str | Path) else "arrays"
    folder = new_run_folder("repeat", request.training.name or Path(name).name, request.output)
    reports: list[TrainReport] = []
    tests = []
    for what, training in trainings:
        with removed_if_unbegun(folder):
            report = train(dataclasses.replace(training, output=folder / what.replace(" ", "-")), observer=observer)
        if report.interrupted:
            again = command("striate", "train", "--resume", Path(report.run))
            raise InterruptedRun(f"{report.run}: stopped before its end", f"Continue it with: {again}")
        reports.append(report)
        tests.append(test_measures(report.run, training) if request.test else None)
    found = [
        Repetition(
            run=report.run,
            what=what,
            accuracy=report.val.accuracy,
            loss=report.val.loss,
            num_val=report.num_val,
            test_accuracy=test.accuracy if test else None,
        )
        for (what, _), report, test in zip(trainings, reports, tests, strict=True)
    ]
    num_val = found[0].num_val if request.seeds else sum(one.num_val for one in found)
    curves = [RunFolder(Path(one.run)).read_metrics() for one in found]
    picture = bands_picture(curves, title=f"{reports[0].network} on {name}")
    result = RepeatReport(
        folder=str(folder),
        network=reports[0].network,
        data=str(name),
        seconds=sum(report.seconds for report in reports),
        accuracy=share_spread([one.accuracy for one in found], num_val, same_images=bool(request.seeds)),
        loss=spread_of([one.loss for one in found]),
        repetitions=found,
        test_accuracy=share_spread([one.test_accuracy for one in found], tests[0].num_images) if tests[0] else None,
        picture=str(folder / "curves.png"),
        kind=reports[0].kind,
        ensemble=ensemble_of([one.run for one in found], folder, request) if request.ensemble else None,
    )
    write_files(folder, {"curves.png": picture, "repeat.json": result})
    return result


def _trainings(request: RepeatRequest) -> Iterator[tuple[str, TrainRequest]]:
    training = request.training
    for seed in range(request.seeds or 0):  # of weights, order and augmentation; the division keeps the seed of the training
        yield f"seed {seed}", dataclasses.replace(training, set={**training.set, "settings.seed": seed})
    if request.folds is not None:
        for place, fold in enumerate(folds(_opened(training), request.folds, seed=training.seed or 0), start=1):
            yield f"fold {place} of {request.folds}", dataclasses.replace(training, data=fold, drop=None)


def _opened(training: TrainRequest) -> DataSource:
    """The data of a training, of which no picture is read yet."""
    asked, _ = with_recipe(training)
    where: dict[str, Any] = {name: getattr(asked, name) for name in ("data_dir", "download", "skip_unreadable", "layout", "drop")}
    return open_data(asked.data, task=asked.task, form=form_of(asked), reading=Reading.of(asked), **where)


def test_measures(run: str, training: TrainRequest) -> EvaluateReport:
    """The measures of the kept model, which gives classes, on the test split."""
    request = EvaluateRequest(
        run=Path(run), data=training.data, split="test", data_dir=training.data_dir, skip_unreadable=training.skip_unreadable
    )
    return cast("EvaluateReport", evaluate(request))
