"""The diagnosis of a training: one function of one record, used during the training and afterwards.

The thresholds stand at the top of the modules that use them: states (of a network), updates, curves, outcomes. They were set on one half
of the trainings of `benchmarks/doctor.py`, and its sheet tells how often each finding is right on the other half.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from striate.insight.diagnose.curves import Curves, curve_findings, is_stuck
from striate.insight.diagnose.exam import Exam
from striate.insight.diagnose.outcomes import held_down, outcome_findings
from striate.insight.diagnose.records import KINDS, Finding, Kind, Sample, Withdrawn
from striate.insight.diagnose.setup import Setup
from striate.insight.diagnose.states import held_up, state_findings
from striate.insight.diagnose.updates import rate_findings, waiting

BAD_STATES: tuple[Kind, ...] = ("not_finite", "symmetric_units", "dead_relu", "saturated", "vanishing_gradient", "exploding_gradient")
TOO_FAST: tuple[Kind, ...] = ("not_finite", "learning_rate_too_high")
SET_WRONG: tuple[Kind, ...] = ("input_scale", "regularisation_too_strong")

# A finding is explained by another of the kinds named after it, which then says so among its consequences.
EXPLAINED_BY: dict[Kind, tuple[Kind, ...]] = {
    "learning_rate_too_high": ("not_finite", *SET_WRONG),
    "symmetric_units": (*TOO_FAST, *SET_WRONG),
    "exploding_gradient": (*TOO_FAST, *SET_WRONG),
    "dead_relu": (*TOO_FAST, *SET_WRONG, "symmetric_units"),
    "saturated": (*TOO_FAST, *SET_WRONG, "symmetric_units", "exploding_gradient"),
    "constant_units": (*TOO_FAST, *SET_WRONG, "symmetric_units", "dead_relu", "saturated", "vanishing_gradient"),
    "vanishing_gradient": (*TOO_FAST, *SET_WRONG, "symmetric_units", "dead_relu", "saturated"),
    "batch_norm_unsettled": TOO_FAST,
    "batch_norm_drift": (*TOO_FAST, "batch_norm_unsettled"),
    "learning_rate_too_low": (*BAD_STATES, *SET_WRONG, "constant_units"),
    "uneven_updates": (*BAD_STATES, *SET_WRONG, "learning_rate_too_high", "constant_units"),
    "label_noise": (*TOO_FAST, *BAD_STATES, *SET_WRONG, "leak", "val_differs", "batch_norm_unsettled"),
    "overfitting": ("label_noise", "val_differs", "batch_norm_unsettled", "batch_norm_drift", "learning_rate_too_high", "rare_classes"),
    "underfitting": tuple(kind for kind in KINDS if kind not in ("underfitting", "overfitting", "leak", "rare_classes", "loader_bound")),
}


class Record(NamedTuple):
    """All that is known of a training when it is judged.

    Attributes:
        samples: The samples of a probe, in the order of the updates.
        rows: One mapping an epoch, as in `metrics.csv`.
        num_classes: Of a classifier; None if the loss is not cross-entropy.
        setup: Its set-up; None if that is not known; findings that need it are left out.
        exam: The kept model's predictions; None before the end, and of runs that were not examined.
        is_finished: Whether the training has ended, so that it can be said that it learned too little.
    """

    samples: Sequence[Sample] = ()
    rows: Sequence[Mapping[str, Any]] = ()
    num_classes: int | None = None
    setup: Setup | None = None
    exam: Exam | None = None
    is_finished: bool = True


def judge(record: Record) -> list[Finding]:
    """The findings on a training, the most severe first; empty if there are none."""
    curves, setup = Curves.of(record.rows), record.setup
    stuck = record.is_finished and is_stuck(curves, record.num_classes)
    found = [
        *state_findings(record.samples, setup),
        *rate_findings(record.samples, curves.gained, is_stuck=stuck, setup=setup),
        *curve_findings(curves, record.num_classes, setup, record.exam),
    ]
    if (waits := waiting(record.samples)) is not None:
        found.append(waits)
    if record.exam is not None and record.is_finished:
        found += outcome_findings(record.exam, curves, setup)
    if stuck and (held := held_up(record.samples, setup)) is not None:
        found.append(held)
    if held_down(setup) is not None and not record.is_finished:  # what it explains waits until it is known whether it does harm
        found = [finding for finding in found if "regularisation_too_strong" not in causes(finding.kind)]
    return [finding.of_kind(setup.network.kind) if setup is not None else finding for finding in _explained(found)]


def causes(kind: Kind) -> tuple[Kind, ...]:
    """The kinds that explain findings of `kind`."""
    return EXPLAINED_BY.get(kind, ())


# Why a finding that was said while a network trained may hold no longer.
NO_LONGER: dict[Kind, str] = {
    "learning_rate_too_high": "later updates were smaller, and the loss fell",
    "learning_rate_too_low": "the loss fell all the same",
    "uneven_updates": "the latest sampled updates are as even as usual",
    "overfitting": "the accuracies in training and in validation came closer together",
    "batch_norm_unsettled": "the statistics have converged since",
    "loader_bound": "most updates did not wait",
}


def withdrawn(said: Iterable[Kind], findings: Sequence[Finding]) -> list[Withdrawn]:
    """Those of the kinds `said` that are neither among `findings` nor explained by one of them, each with the reason."""
    held = {finding.kind for finding in findings} | {kind for finding in findings for kind in finding.consequences}
    usual = "the latest sampled updates no longer show it"
    return [Withdrawn(kind=kind, reason=NO_LONGER.get(kind, usual)) for kind in dict.fromkeys(said) if kind not in held]


def _explained(found: Iterable[Finding]) -> list[Finding]:
    """The findings that no other explains, one of a kind; each names those that it explains."""
    first = {finding.kind: finding for finding in reversed(list(found))}
    kept = {kind: finding for kind, finding in first.items() if not any(cause in first for cause in causes(kind))}
    for kind in sorted(first.keys() - kept.keys(), key=KINDS.index):
        for cause in [cause for cause in causes(kind) if cause in kept][:1]:
            kept[cause] = replace(kept[cause], consequences=(*kept[cause].consequences, kind))
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(kept.values(), key=lambda finding: (order[finding.severity], KINDS.index(finding.kind)))
