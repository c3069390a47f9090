"""What is wrong by what a probe saw and by the epochs: one function for each kind of finding, and what explains what.

The thresholds stand together at the top. They were set so that ten healthy trainings of different networks stay below each of them
and planted faults above.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import mean, median
from typing import Any

from striate.insight.diagnose.curves import Curves, curve_findings
from striate.insight.diagnose.records import KINDS, Evidence, Finding, Kind, LayerSample, Sample

STARTED = 20  # updates, before which a network is not what it was made to be
AT_ONCE = 3  # samples in a row that must show a state of the network before it is said
DEAD = 0.6  # share of a layer's units
SATURATED = 0.8  # share of a layer's outputs; a tanh network that learns MNIST well has up to 0.66
CONSTANT = 0.3  # share of a layer's units
ALIKE = 0.3  # share of a layer's units
VANISHING = 1e-4  # signal of the first quarter of the layers / that of the last
EXPLODING = 1e3  # the same, and the signal itself: nats for a change of an output by 1
DEEP = 4  # layers with weights, from which on the signal is looked at by depth
DRIFT = 0.1  # nats; below 0.02 is usual
HIGH_RATIO, LOW_RATIO = 0.5, 1e-5  # change of the weights / weights, the median layer; about 1e-3 is healthy
RISKY_RATIO, STUCK = 0.1, 0.95  # the same, where the loss stays above this share of the first one
STUCK_RATIO = 1e-4  # below which a rate is too low for a training that has learned next to nothing
UNEVEN = 100.0  # factor between a layer's ratio and the median layer's
LITTLE = 0.1  # share of the first loss, that a training with a low rate has gained at most
WAITING = 0.5  # share of the time

BAD_STATES: tuple[Kind, ...] = ("not_finite", "symmetric_units", "dead_relu", "saturated", "vanishing_gradient", "exploding_gradient")

# A finding is explained by another of the kinds named after it, which then says so among its consequences.
EXPLAINED_BY: dict[Kind, tuple[Kind, ...]] = {
    "learning_rate_too_high": ("not_finite",),
    "symmetric_units": ("not_finite", "learning_rate_too_high"),
    "exploding_gradient": ("not_finite", "learning_rate_too_high"),
    "dead_relu": ("not_finite", "learning_rate_too_high", "symmetric_units"),
    "saturated": ("not_finite", "learning_rate_too_high", "symmetric_units", "exploding_gradient"),
    "constant_units": ("not_finite", "learning_rate_too_high", "symmetric_units", "dead_relu", "saturated", "vanishing_gradient"),
    "vanishing_gradient": ("not_finite", "learning_rate_too_high", "symmetric_units", "dead_relu", "saturated"),
    "batch_norm_drift": ("not_finite", "learning_rate_too_high"),
    "learning_rate_too_low": (*BAD_STATES, "constant_units"),
    "uneven_updates": (*BAD_STATES, "learning_rate_too_high", "constant_units"),
    "overfitting": ("label_noise", "batch_norm_drift", "learning_rate_too_high"),
    "underfitting": tuple(kind for kind in KINDS if kind not in ("underfitting", "overfitting", "loader_bound")),
}


def judge(
    samples: Sequence[Sample], rows: Sequence[Mapping[str, Any]] = (), *, num_classes: int | None = None, finished: bool = True
) -> list[Finding]:
    """What is wrong with a training, the gravest first; empty where nothing is.

    Args:
        samples: What a probe saw, in the order of the updates.
        rows: One mapping an epoch, as in `metrics.csv`.
        num_classes: Of a classifier; None where the loss is no cross-entropy.
        finished: Whether the training has ended, so that it can be said that it learned too little.
    """
    curves = Curves.of(rows)
    told = curve_findings(curves, num_classes, finished=finished)
    is_stuck = any(finding.kind == "underfitting" for finding in told)
    found = [*_states(samples), *_rates(samples, curves, is_stuck=is_stuck), *_waiting(samples), *told]
    return _explained([*found, *_held_up(samples)] if is_stuck else found)


def causes(kind: Kind) -> tuple[Kind, ...]:
    """The kinds that explain findings of `kind`."""
    return EXPLAINED_BY.get(kind, ())


def _explained(found: Iterable[Finding]) -> list[Finding]:
    """The findings that no other explains, one of a kind; each names those that it explains."""
    first = {finding.kind: finding for finding in reversed(list(found))}
    kept = {kind: finding for kind, finding in first.items() if not any(cause in first for cause in causes(kind))}
    for kind in first.keys() - kept.keys():
        for cause in [cause for cause in causes(kind) if cause in kept][:1]:
            kept[cause] = replace(kept[cause], consequences=(*kept[cause].consequences, kind))
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(kept.values(), key=lambda finding: (order[finding.severity], KINDS.index(finding.kind)))


# ---- the network's state


def _states(samples: Sequence[Sample]) -> list[Finding]:
    broken = next(((sample, layer) for sample in samples for layer in sample.layers if not layer.finite), None)
    found = [_not_finite(*broken)] if broken else []
    last = [sample for sample in samples if sample.step >= STARTED][-AT_ONCE:]
    if len(last) < AT_ONCE:
        return found
    for find in (_alike, _dead, _saturated, _constant, _depth, _drift):
        found += find(last)
    return found


def _not_finite(sample: Sample, layer: LayerSample) -> Finding:
    return Finding(
        kind="not_finite",
        severity="error",
        where=layer.path,
        evidence=float(sample.step),
        unit="step",
        message=f"at step {sample.step} its output is the first that is NaN or Inf",
        cause="Numbers outgrew their type, or a function was asked outside of where it is defined.",
        remedy="--clip-grad 1, or a smaller --lr",
    )


def _worst(samples: Sequence[Sample], name: str, threshold: float) -> tuple[LayerSample, Evidence] | None:
    """The first layer, in the order of computing, that is at `threshold` or above in each sample, with its last share."""
    by_path = [{layer.path: getattr(layer, name) for layer in sample.layers} for sample in samples]
    for layer in samples[-1].layers:
        values = [seen.get(layer.path) for seen in by_path]
        if all(value is not None and value >= threshold for value in values):
            return layer, Evidence(float(getattr(layer, name)), "share")
    return None


def _share(samples: Sequence[Sample], name: str, threshold: float, kind: Kind, *, message: str, cause: str, remedy: str) -> list[Finding]:
    worst = _worst(samples, name, threshold)
    if worst is None:
        return []
    layer, evidence = worst
    return [
        Finding(
            kind=kind,
            severity="warning",
            where=layer.path,
            evidence=round(evidence.value, 4),
            unit=evidence.unit,
            message=message.format(percent=f"{100 * evidence.value:.0f} %"),
            cause=cause,
            remedy=remedy,
        )
    ]


def _alike(samples: Sequence[Sample]) -> list[Finding]:
    return _share(
        samples,
        "alike",
        ALIKE,
        "symmetric_units",
        message="{percent} of its units have the weights of another unit",
        cause="Units that begin equal get equal gradients and stay equal, so that many count as one.",
        remedy="--set settings.init=he",
    )


def _dead(samples: Sequence[Sample]) -> list[Finding]:
    return _share(
        samples,
        "dead",
        DEAD,
        "dead_relu",
        message="{percent} of its units were positive for no picture",
        cause="A ReLU that is never positive has no gradient: an update that was too large, or a bias far below zero, pushed it there.",
        remedy=f"{_third(samples)}, or a leaky_relu network",
    )


def _third(samples: Sequence[Sample]) -> str:
    rates = [sample.learning_rate for sample in samples if sample.learning_rate]
    return f"--lr {rates[-1] / 3:.2g}" if rates else "a smaller --lr"


def _saturated(samples: Sequence[Sample]) -> list[Finding]:
    return _share(
        samples,
        "saturated",
        SATURATED,
        "saturated",
        message="{percent} of its outputs lie at an end of their range",
        cause="There the slope is nearly zero and little gradient comes through: the weights before it are too large.",
        remedy="--set settings.init=xavier",
    )


def _constant(samples: Sequence[Sample]) -> list[Finding]:
    return _share(
        samples,
        "constant",
        CONSTANT,
        "constant_units",
        message="{percent} of its units give the same for every picture",
        cause="Their weights are zero or their inputs never change: they carry nothing.",
        remedy="--set settings.init=he",
    )


def _depth(samples: Sequence[Sample]) -> list[Finding]:
    """Vanishing and exploding gradients: the signal near the input against that near the output."""
    ends = [signal_ends(sample) for sample in samples]
    pairs = [pair for pair in ends if pair is not None]
    if len(pairs) < len(samples):
        return []
    ratios = [first / max(last, 1e-30) for first, last in pairs]
    if max(ratios) > VANISHING and not (min(ratios) >= EXPLODING and min(first for first, _ in pairs) >= EXPLODING):
        return []
    where = next(layer.path for layer in samples[-1].layers if layer.signal is not None)
    if max(ratios) <= VANISHING:
        return [
            Finding(
                kind="vanishing_gradient",
                severity="warning",
                where=where,
                evidence=ratios[-1],
                unit="signal near the input / near the output",
                message=f"the gradient that reaches it is {ratios[-1]:.1e} of the one near the output",
                cause="Each layer passes on less than it gets, so that the first ones hardly learn.",
                remedy="--set settings.init=he, or a network with batch norm or shortcuts",
            )
        ]
    return [
        Finding(
            kind="exploding_gradient",
            severity="warning",
            where=where,
            evidence=ratios[-1],
            unit="signal near the input / near the output",
            message=f"the gradient that reaches it is {ratios[-1]:.1e} times the one near the output",
            cause="Each layer passes on more than it gets: the weights are too large for the depth.",
            remedy="--clip-grad 1, or --set settings.init=he",
        )
    ]


def _held_up(samples: Sequence[Sample]) -> list[Finding]:
    """Gradients that vanished or exploded for so long that a training which has learned next to nothing lost its time."""
    for last in range(len(samples), AT_ONCE - 1, -1):
        window = samples[last - AT_ONCE : last]
        if found := _depth(window):
            return [replace(found[0], message=f"until update {window[-1].step}, {found[0].message}")]
    return []


def signal_ends(sample: Sample) -> tuple[float, float] | None:
    """The median signal of the first quarter of the layers with weights and of the last; None where there are too few layers."""
    signals = [layer.signal for layer in sample.layers if layer.signal is not None]
    if len(signals) < DEEP:
        return None
    quarter = max(1, len(signals) // 4)
    return median(signals[:quarter]), median(signals[-quarter:])


def _drift(samples: Sequence[Sample]) -> list[Finding]:
    worst = _worst(samples, "drift", DRIFT)
    if worst is None:
        return []
    layer, evidence = worst
    return [
        Finding(
            kind="batch_norm_drift",
            severity="warning",
            where=layer.path,
            evidence=evidence.value,
            unit="nats from the batch's statistics to the running ones",
            message=f"its running statistics are {evidence.value:.2g} nats from a batch's, where less than 0.02 is usual",
            cause="Evaluation uses the running statistics, and they are not those that the network trains with.",
            remedy="a larger momentum of the batch norm, a larger --batch-size, or a smaller --lr",
        )
    ]


# ---- the size of the updates


def update_ratio(sample: Sample) -> float | None:
    """|change of the weights| / |weights| of the median layer."""
    ratios = [layer.update_ratio for layer in sample.layers if layer.update_ratio is not None]
    return median(ratios) if ratios else None


def _rates(samples: Sequence[Sample], curves: Curves, *, is_stuck: bool) -> list[Finding]:
    ratios = [(sample, ratio) for sample in samples if (ratio := update_ratio(sample)) is not None]
    found: list[Finding] = []
    high = next((b for a, b in pairwise(ratios) if math.sqrt(a[1] * b[1]) >= HIGH_RATIO), None) or _risky(ratios)
    if high is not None:
        found.append(_too_high(*high))
    started = [sample for sample, _ in ratios if sample.step >= STARTED]
    if len(started) >= AT_ONCE:
        sample, ratio = max(ratios, key=lambda pair: pair[1])
        gained = curves.gained
        if ratio < (STUCK_RATIO if is_stuck else LOW_RATIO) and (gained is None or gained < LITTLE):
            found.append(_too_low(sample, ratio))
        found += _uneven(started[-AT_ONCE:])
    return found


def _risky(ratios: Sequence[tuple[Sample, float]]) -> tuple[Sample, float] | None:
    """The largest of the updates that are larger than usual, of a training whose loss does not fall."""
    later = [sample.loss for sample, _ in ratios if sample.step >= STARTED and sample.loss is not None][-AT_ONCE:]
    if len(later) < AT_ONCE or ratios[0][0].loss is None or mean(later) < STUCK * ratios[0][0].loss:
        return None
    largest = max(ratios[1:], key=lambda pair: pair[1])
    return largest if largest[1] >= RISKY_RATIO else None


def _too_high(sample: Sample, ratio: float) -> Finding:
    return Finding(
        kind="learning_rate_too_high",
        severity="warning",
        where="",
        evidence=ratio,
        unit="|change of the weights| / |weights| of an update",
        message=f"update {sample.step} changes the weights by {100 * ratio:.0f} % of their size, where about 0.1 % is healthy",
        cause="Each update throws away what the ones before it learned.",
        remedy=f"--lr {sample.learning_rate / 10:.2g}" if sample.learning_rate else "--lr at a tenth",
    )


def _too_low(sample: Sample, ratio: float) -> Finding:
    return Finding(
        kind="learning_rate_too_low",
        severity="warning",
        where="",
        evidence=ratio,
        unit="|change of the weights| / |weights| of an update",
        message=f"an update changes the weights by {100 * ratio:.1e} % of their size, where about 0.1 % is healthy",
        cause="At this pace the training ends before it has learned much.",
        remedy=f"--lr {sample.learning_rate * 100:.2g}" if sample.learning_rate else "--lr a hundred times larger",
    )


def _uneven(samples: Sequence[Sample]) -> list[Finding]:
    """A layer whose updates are far from the others', in each of the samples."""
    by_path = [{layer.path: layer.update_ratio for layer in sample.layers if layer.update_ratio is not None} for sample in samples]
    for path in by_path[-1]:
        if any(path not in seen or len(seen) < 3 for seen in by_path):
            continue
        factors = [seen[path] / max(median(ratio for other, ratio in seen.items() if other != path), 1e-30) for seen in by_path]
        slow, fast = max(factors) <= 1 / UNEVEN, min(factors) >= UNEVEN
        if slow or fast:
            times = f"{factors[-1]:.2g} times the others'"
            return [
                Finding(
                    kind="uneven_updates",
                    severity="warning",
                    where=path,
                    evidence=factors[-1],
                    unit="its |change| / |weights| over that of the median layer",
                    message=f"its updates are {times}, in proportion to its weights",
                    cause="It learns at another pace than the rest: its learning rate or the scale of its weights is off.",
                    remedy="one learning rate for all layers (no layer_rates), or --opt adamw",
                )
            ]
    return []


def _waiting(samples: Sequence[Sample]) -> list[Finding]:
    shares = [sample.wait_share for sample in samples if sample.wait_share is not None]
    if len(shares) < 2 * AT_ONCE or sum(share >= WAITING for share in shares) < 0.75 * len(shares):  # others use the machine too
        return []
    share = median(shares)
    return [
        Finding(
            kind="loader_bound",
            severity="note",
            where="",
            evidence=round(share, 4),
            unit="share of the time",
            message=f"{100 * share:.0f} % of an update's time goes by before the network has its batch",
            cause="Reading and changing pictures takes longer than training on them.",
            remedy="smaller picture files, less augmentation, or more --workers",
        )
    ]
