"""Repeat a run and compare: the same numbers, or where and by how much they differ."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import RefusedFileError
from striate.core.reports import shown_short
from striate.core.text import Lines, in_lines
from striate.data.records import num_batches
from striate.engine.checkpoints import CheckpointStore
from striate.insight.measure.repeated import compare_metrics, compare_weights
from striate.networks.foreign import with_module
from striate.networks.model_file import read_model
from striate.workflows.runs.config import RESTORE, RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.hashes import FILES, LENGTH, NOT_RECORDED
from striate.workflows.training.continuing import Plan, config_and_network, plan_of
from striate.workflows.training.running import Observer, QuietObserver, run
from striate.workflows.training.runs import new_run_folder
from striate.workflows.training.transfer import with_kept_start


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class ReproRequest:
    """The run to repeat."""

    run: Path
    data: Any = None  # the data again, where the run was trained on arrays, or where it lies elsewhere now
    network: Any = None  # the user's own module again, with the weights that it began with, where the run trained one
    data_dir: Path | None = None
    output: Path | None = None  # keep the repeated run here; None: it is thrown away


@shown_short
@dataclass(frozen=True, kw_only=True)
class ReproReport:
    """The comparison of the repeated run with the first, bit for bit."""

    run: str
    equal: bool
    epochs: int  # that both have
    first_different_epoch: int | None  # of the metrics
    different_columns: tuple[str, ...]  # in that epoch
    largest_metric_difference: float
    weights: int  # tensors of the model file
    different_weights: int
    largest_weight_difference: float
    largest_weight: str | None  # the tensor with that difference


def repro(request: ReproRequest, *, observer: Observer | None = None) -> ReproReport:
    """Repeat the training that the run folder describes, and compare metrics and model.

    Raises:
        DataError: the run has no metrics or no configuration.
        RefusedFileError: its model file or network description is missing or damaged.
        UsageError: it was trained on arrays, or is of a module of the user's own, and that is not handed in.
    """
    observer = observer or QuietObserver()
    files = RunFolder(request.run)
    config, network = config_and_network(request.run)
    before, kept = files.read_metrics(observer.say), read_model(files.model)
    say_edits(files, config, kept.info, observer.say)
    network = with_module(network, request.network)
    plan = plan_of(request.run, config, network, observer.say, data=request.data, data_dir=request.data_dir, verb=f"repro {request.run}")
    plan = with_kept_start(plan, request.run)
    with tempfile.TemporaryDirectory() as temporary:
        again = RunFolder(new_run_folder("repro", request.run.name, request.output or Path(temporary) / "run"))
        for stage in stages(plan):
            run(stage, again.path, observer, start=CheckpointStore(again.checkpoints, say=observer.say).load_latest())
        after = again.read_metrics()
        weights = compare_weights(kept.tensors, read_model(again.model).tensors)
    epoch, columns, largest = compare_metrics(before, after)
    return ReproReport(
        run=str(request.run),
        equal=epoch is None and weights[1] == 0,
        epochs=min(len(before), len(after)),
        first_different_epoch=epoch,
        different_columns=columns,
        largest_metric_difference=largest,
        weights=weights[0],
        different_weights=weights[1],
        largest_weight_difference=weights[2],
        largest_weight=weights[3],
    )


def say_edits(files: RunFolder, config: RunConfig, info: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Report files that are not those the run was trained with: the repetition uses their current content.

    Raises:
        RefusedFileError: the number of epochs or steps is not that of the last checkpoint, so that the repetition might not end.
    """
    recorded = info.get(FILES)
    for line in files.differing(recorded) if isinstance(recorded, Mapping) else [f"{files.path}: {NOT_RECORDED}"]:
        say(f"{line}; it is repeated with the current values" if isinstance(recorded, Mapping) else line)
    latest = CheckpointStore(files.checkpoints, say=say).load_latest() if files.checkpoints.is_dir() else None
    if latest is None:
        return
    trained = RunConfig.from_plain(latest.state["config"], f"{latest.folder}: the configuration")
    for name in LENGTH:
        ours, theirs = (getattr(each.settings, name) for each in (config, trained))
        if config.extended_by == trained.extended_by and ours != theirs:
            raise RefusedFileError(f"{files.config}: settings.{name} is {ours}, and the run was trained with {theirs}", RESTORE)
    if len(config.extended_by) < len(trained.extended_by) or config.extended_by[: len(trained.extended_by)] != trained.extended_by:
        was = list(trained.extended_by)
        raise RefusedFileError(f"{files.config}: extended_by is {list(config.extended_by)}, and the run was trained with {was}", RESTORE)


def stages(plan: Plan) -> Iterator[Plan]:
    """The training as it was first planned, and then with each extension, which is taken to have been made at its end."""
    settings, extensions = plan.fitting.settings, plan.config.extended_by
    an_epoch = num_batches(len(plan.train_set), settings.batch_size)
    for number in range(len(extensions) + 1):
        later = sum(extensions[number:])
        if settings.steps is None:
            shorter = dataclasses.replace(settings, epochs=settings.epochs - later)
        else:
            shorter = dataclasses.replace(settings, steps=settings.steps - later * an_epoch)
        yield dataclasses.replace(plan, fitting=dataclasses.replace(plan.fitting, settings=shorter))


def summary(report: ReproReport) -> Lines:
    """The report as text."""
    if report.equal:
        return in_lines([f"equal: {report.epochs} epochs of metrics and {report.weights} weight tensors, bit for bit", ""])
    lines = [f"different from {report.run}"]
    if report.first_different_epoch is not None:
        columns = ", ".join(report.different_columns) or "it exists in one run only"
        lines.append(f"metrics  from epoch {report.first_different_epoch}: {columns}; by up to {report.largest_metric_difference:.3g}")
    if report.different_weights:
        lines.append(
            f"weights  {report.different_weights} of {report.weights} tensors, by up to {report.largest_weight_difference:.3g} "
            f"({report.largest_weight})"
        )
    return in_lines([*lines, ""])
