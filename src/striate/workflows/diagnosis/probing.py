"""A probe beside a training: problems are reported as soon as they show, and the samples are kept in the run folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from striate.core.files import write_atomically
from striate.core.text import json_text
from striate.engine.settings import TrainSettings
from striate.insight.diagnose import KINDS, Finding, Sample
from striate.insight.diagnose.exam import Exam
from striate.insight.diagnose.probe import Probe
from striate.insight.diagnose.records import Kind
from striate.insight.diagnose.rules import withdrawn
from striate.insight.diagnose.setup import Setup, facts_of
from striate.models.fitting import EpochRow, FitEvent, FittingRun, usual_rate
from striate.workflows.runs.folder import RunFolder, read_history

if TYPE_CHECKING:
    from striate.workflows.training.continuing import Plan


SAID, EXAMINED, WITHDRAWN = "finding", "examined", "withdrawn"  # events of the journal


def watched(
    training: FittingRun,
    plan: Plan,
    rows: Sequence[EpochRow],
    folder: Path,
    say: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None],
    examined: Callable[[int], Exam | None],
) -> Iterator[FitEvent]:
    """The events of `training`. Each kind of finding is reported once; the training gives the same bits as without a probe.

    Args:
        training: The training to observe.
        plan: Its plan.
        rows: The epochs so far; the caller appends to it at each event that ends one.
        folder: The run folder.
        say: Receives a line for the user.
        keep: Takes a record for the run's journal.
        examined: Asks the kept model, which was trained on so many pictures.
    """
    settings = plan.fitting.settings
    setup = setup_of(plan)
    probe = Probe(
        num_classes=len(plan.fitting.classes) if counts_in_nats(settings) else None,
        inside=not settings.compile,
        updating=settings.optimizer != "lbfgs",  # it searches for the length of its step: the learning rate decides it not alone
    )
    path, start = RunFolder(folder).history, training.loop.step
    probe.samples += [sample for sample in read_history(path) if sample.step <= start]  # of a run that is continued
    probe.said.update(kind for kind in said_before(folder))

    def tell(**known: Any) -> None:
        for finding in probe.news([row._asdict() for row in rows], setup=setup, **known):
            keep({"step": training.loop.step, "event": SAID, **finding_data(finding)})
            say(f"{finding.severity}: {finding}")

    interrupted = False
    with contextlib.closing(training.events), probe.watch(training.module.network):  # type: ignore[type-var]  # can be closed
        try:
            for event in training.events:
                yield event
                interrupted = event.interrupted
                if event.row is not None:
                    probe.after_epoch()
                    write_history(path, probe.samples)
                elif probe.after_step(event.step, event.loss, learning_rate=settings.learning_rate) is None:
                    continue
                tell()
        finally:
            write_history(path, probe.samples)
    if interrupted:
        return
    exam = examined(training.loop.step * settings.batch_size)
    if exam is not None:
        keep({"step": training.loop.step, "event": EXAMINED, **TypeAdapter(Exam).dump_python(exam, mode="json")})
    tell(finished=True, exam=exam)
    found = probe.findings([row._asdict() for row in rows], finished=True, setup=setup, exam=exam)
    for one in withdrawn(said_before(folder), found):
        keep({"step": training.loop.step, "event": WITHDRAWN, "kind": one.kind, "reason": one.reason})
        say(f"withdrawn: {one.kind.replace('_', ' ')}: {one.reason}")


def setup_of(plan: Plan) -> Setup:
    """The facts that the diagnosis needs from the plan of a training."""
    fitting = plan.fitting
    return Setup(
        fitting.settings,
        fitting.augmentation,
        facts_of(fitting.network),
        is_fresh=fitting.start is None and plan.config.pretrained is None,
        num_train=len(plan.train_set),
        num_val=len(plan.val_set),
        usual_rate=usual_rate(fitting.network, len(plan.train_set), fitting.settings),
    )


def finding_data(finding: Finding) -> dict[str, Any]:
    """A finding as plain data."""
    data: dict[str, Any] = TypeAdapter(Finding).dump_python(finding, mode="json", exclude={"picture"})
    return data


def said_before(folder: Path) -> list[Kind]:
    """The kinds of the findings in the journal of a run."""
    return [line["kind"] for line in RunFolder(folder).read_events() if line.get("event") == SAID and line.get("kind") in KINDS]


def exam_of(folder: Path) -> Exam | None:
    """The kept model's predictions at the end of the training; None if they are not recorded, or not readable."""
    lines = [line for line in RunFolder(folder).read_events() if line.get("event") == EXAMINED]
    if not lines:
        return None
    try:
        return TypeAdapter(Exam).validate_python({name: value for name, value in lines[-1].items() if name not in ("step", "event")})
    except ValidationError:
        return None


def counts_in_nats(settings: TrainSettings) -> bool:
    """Return whether the loss of guessing among K classes is log K."""
    return settings.loss in ("cross_entropy", "nll")


def write_history(path: Path, samples: Sequence[Sample]) -> None:
    """One sample per line, as JSON."""
    adapter = TypeAdapter(Sample)
    lines = (json_text(adapter.dump_python(sample, mode="json", exclude_none=True)) for sample in samples)
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
