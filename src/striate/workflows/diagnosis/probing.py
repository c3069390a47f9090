"""A probe beside a training: what is wrong is said as soon as it shows, and what was seen stays in the run folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from striate.core.files import write_atomically
from striate.core.text import json_text
from striate.engine.settings import TrainSettings
from striate.estimators.fitting import EpochRow, FitEvent, Fitting, FittingRun
from striate.insight.diagnose import Finding, Sample
from striate.insight.diagnose.probe import Probe
from striate.workflows.runs.folder import RunFolder, read_history


def watched(
    training: FittingRun, fitting: Fitting, rows: Sequence[EpochRow], folder: Path, say: Callable[[str], None]
) -> Iterator[FitEvent]:
    """The events of `training`. Each kind of finding is said once; the training gives the same bits as without.

    Args:
        training: What is watched.
        fitting: What it was made of.
        rows: The epochs so far; the caller appends to it at each event that ends one.
        folder: The run folder.
        say: Takes a line for the person.
    """
    settings = fitting.settings
    probe = Probe(
        num_classes=len(fitting.classes) if counts_in_nats(settings) else None,
        inside=not settings.compile,
        updating=settings.optimizer != "lbfgs",  # it searches for the length of its step: the learning rate decides it not alone
    )
    path = RunFolder(folder).history
    probe.samples += [sample for sample in read_history(path) if sample.step <= training.loop.step]  # of a run that is continued

    def tell(found: Sequence[Finding]) -> None:
        for finding in found:
            say(f"{finding.severity}: {finding}")

    with contextlib.closing(training.events), probe.watch(training.module.network):  # type: ignore[type-var]  # can be closed
        try:
            for event in training.events:
                yield event
                if event.row is not None:
                    probe.after_epoch()
                    write_history(path, probe.samples)
                elif probe.after_step(event.step, event.loss, learning_rate=settings.learning_rate) is None:
                    continue
                tell(probe.news([row._asdict() for row in rows]))
        finally:
            write_history(path, probe.samples)
    tell(probe.news([row._asdict() for row in rows], finished=True))


def counts_in_nats(settings: TrainSettings) -> bool:
    """Whether the loss of a guess among K classes is log K."""
    return settings.loss in ("cross_entropy", "nll")


def write_history(path: Path, samples: Sequence[Sample]) -> None:
    """One sample a line, as JSON."""
    adapter = TypeAdapter(Sample)
    lines = (json_text(adapter.dump_python(sample, mode="json", exclude_none=True)) for sample in samples)
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
