"""Findings on the state of a network, from the last samples of a probe: units, gradients by depth, running statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from striate.insight.diagnose.records import Finding, Kind, LayerSample, Sample
from striate.insight.diagnose.remedies import CLIP, INIT_HE, INIT_XAVIER, first_new
from striate.insight.diagnose.setup import Setup

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
TOO_DEEP = 12  # layers with weights that follow one another with nothing that keeps signals in size
SHORTCUTS = "a network with norms and shortcuts, such as `network='resnet20_cifar'`"


def state_findings(samples: Sequence[Sample], setup: Setup | None) -> list[Finding]:
    """The findings from the first sample with NaN or Inf, and those that each of the last samples shows."""
    broken = next(((sample, layer) for sample in samples for layer in sample.layers if not layer.finite), None)
    found = [_not_finite(*broken, setup)] if broken else []
    last = [sample for sample in samples if sample.step >= STARTED][-AT_ONCE:]
    if len(last) < AT_ONCE:
        return found
    seen = [find(last, setup) for find in (_alike, _dead, _saturated, _constant, _depth, _drift)]
    return found + [finding for finding in seen if finding is not None]


def _not_finite(sample: Sample, layer: LayerSample, setup: Setup | None) -> Finding:
    return Finding(
        kind="not_finite",
        severity="error",
        where=layer.path,
        evidence=float(sample.step),
        unit="step",
        message=f"at step {sample.step} its output is the first that is NaN or Inf",
        cause="Numbers overflowed, or a function was evaluated outside its domain.",
        remedy=first_new(setup, CLIP, "a smaller `learning_rate`"),
    )


def _worst(samples: Sequence[Sample], name: str, threshold: float) -> tuple[LayerSample, float] | None:
    """The first layer, in the order of computing, whose value `name` is at `threshold` or above in each sample; and its last one."""
    by_path = [{layer.path: getattr(layer, name) for layer in sample.layers} for sample in samples]
    for layer in samples[-1].layers:
        values = [seen.get(layer.path) for seen in by_path]
        if all(value is not None and value >= threshold for value in values):
            return layer, float(getattr(layer, name))
    return None


def _share(samples: Sequence[Sample], name: str, threshold: float, kind: Kind, *, message: str, cause: str, remedy: str) -> Finding | None:
    worst = _worst(samples, name, threshold)
    if worst is None:
        return None
    layer, share = worst
    return Finding(
        kind=kind,
        where=layer.path,
        evidence=round(share, 4),
        unit="share",
        message=message.format(percent=f"{100 * share:.0f} %"),
        cause=cause,
        remedy=remedy,
    )


def _alike(samples: Sequence[Sample], setup: Setup | None) -> Finding | None:
    return _share(
        samples,
        "alike",
        ALIKE,
        "symmetric_units",
        message="{percent} of its units have the same weights as another unit",
        cause="Units that start equal get equal gradients and stay equal, so they act as a single unit.",
        remedy=first_new(setup, INIT_HE, "`seed` with another number"),
    )


def _dead(samples: Sequence[Sample], setup: Setup | None) -> Finding | None:
    cause = "A ReLU that is never positive has no gradient: an update that was too large, or a bias far below zero, pushed it there."
    return _share(
        samples,
        "dead",
        DEAD,
        "dead_relu",
        message="{percent} of its units were never activated",
        cause=too_deep(setup) or cause,
        remedy=SHORTCUTS if too_deep(setup) else f"{_third(samples)}, or a leaky_relu network",
    )


def _third(samples: Sequence[Sample]) -> str:
    rates = [sample.learning_rate for sample in samples if sample.learning_rate]
    return f"`learning_rate={rates[-1] / 3:.2g}`" if rates else "a smaller `learning_rate`"


def too_deep(setup: Setup | None) -> str:
    """The cause if a network is deep without norms and shortcuts; empty if that is not known of it."""
    if setup is None or not setup.network.is_plain or setup.network.depth is None or setup.network.depth < TOO_DEEP:
        return ""
    return (
        f"{setup.network.depth} layers with weights follow one another without norms or shortcuts: each shrinks or shifts its input a "
        "little, and with depth nothing of the pictures or of the gradient is left."
    )


def _saturated(samples: Sequence[Sample], setup: Setup | None) -> Finding | None:
    cause = "There the slope is nearly zero and little gradient comes through: the weights before it are too large."
    return _share(
        samples,
        "saturated",
        SATURATED,
        "saturated",
        message="{percent} of its outputs are saturated, at an end of their range",
        cause=cause,
        remedy=first_new(setup, INIT_XAVIER, "a smaller `learning_rate`"),
    )


def _constant(samples: Sequence[Sample], setup: Setup | None) -> Finding | None:
    return _share(
        samples,
        "constant",
        CONSTANT,
        "constant_units",
        message="{percent} of its units give the same output for every picture",
        cause=too_deep(setup) or "Their weights are zero or their inputs never change: they carry no information.",
        remedy=SHORTCUTS if too_deep(setup) else first_new(setup, INIT_HE, "a smaller `weight_decay`"),
    )


def _depth(samples: Sequence[Sample], setup: Setup | None) -> Finding | None:
    """Vanishing and exploding gradients: the signal near the input against that near the output."""
    ends = [signal_ends(sample) for sample in samples]
    pairs = [pair for pair in ends if pair is not None]
    if len(pairs) < len(samples):
        return None
    ratios = [first / max(last, 1e-30) for first, last in pairs]
    if max(ratios) > VANISHING and not (min(ratios) >= EXPLODING and min(first for first, _ in pairs) >= EXPLODING):
        return None
    where = next(layer.path for layer in samples[-1].layers if layer.signal is not None)
    if max(ratios) <= VANISHING:
        return Finding(
            kind="vanishing_gradient",
            where=where,
            evidence=ratios[-1],
            unit="signal near the input / near the output",
            message=f"the gradient that reaches it is {ratios[-1]:.1e} of the one near the output",
            cause=too_deep(setup) or "Each layer passes on less than it gets, so that the first ones hardly learn.",
            remedy=SHORTCUTS if too_deep(setup) else first_new(setup, INIT_HE, SHORTCUTS),
        )
    return Finding(
        kind="exploding_gradient",
        where=where,
        evidence=ratios[-1],
        unit="signal near the input / near the output",
        message=f"the gradient that reaches it is {ratios[-1]:.1e} times the one near the output",
        cause=too_deep(setup) or "Each layer passes on more than it gets: the weights are too large for the depth.",
        remedy=SHORTCUTS if too_deep(setup) else first_new(setup, CLIP, INIT_HE, SHORTCUTS),
    )


def held_up(samples: Sequence[Sample], setup: Setup | None) -> Finding | None:
    """Gradients that vanished or exploded for so long that the training learned next to nothing."""
    for last in range(len(samples), AT_ONCE - 1, -1):
        window = samples[last - AT_ONCE : last]
        if found := _depth(window, setup):
            return replace(found, message=f"until update {window[-1].step}, {found.message}")
    return None


def signal_ends(sample: Sample) -> tuple[float, float] | None:
    """The median signal of the first quarter of the layers with weights and of the last; None if there are too few layers."""
    signals = [layer.signal for layer in sample.layers if layer.signal is not None]
    if len(signals) < DEEP:
        return None
    quarter = max(1, len(signals) // 4)
    return median(signals[:quarter]), median(signals[-quarter:])


def _drift(samples: Sequence[Sample], _setup: Setup | None) -> Finding | None:
    worst = _worst(samples, "drift", DRIFT)
    if worst is None:
        return None
    layer, nats = worst
    return Finding(
        kind="batch_norm_drift",
        where=layer.path,
        evidence=nats,
        unit="nats from the batch's statistics to the running ones",
        message=f"its running statistics are {nats:.2g} nats from a batch's, where less than 0.02 is usual",
        cause="Evaluation uses the running statistics, and they are not those that the network trains with.",
        remedy="a larger momentum of the batch norm, a larger `batch_size`, or a smaller `learning_rate`",
    )
