"""Findings on the size of the updates and on the time they wait."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, median

from striate.insight.diagnose.records import Finding, Sample
from striate.insight.diagnose.remedies import ADAMW, INIT_HE, first_new
from striate.insight.diagnose.setup import Setup
from striate.insight.diagnose.states import AT_ONCE, STARTED

HIGH_RATIO, LOW_RATIO = 0.5, 1e-5  # change of the weights / weights, the median layer; about 1e-3 is healthy
RISKY_RATIO, STUCK = 0.1, 0.95  # the same, where the loss stays above this share of the first one
STUCK_RATIO = 1e-4  # below which a rate is too low for a training that has learned next to nothing
UNEVEN = 100.0  # factor between a layer's ratio and the median layer's
USUAL_RATIO, MOST_TIMES = 1e-3, 1e6  # what a larger rate is to bring the ratio to, and the most that it grows by
LITTLE = 0.1  # share of the first loss, that a training with a low rate has gained at most
LARGEST_USUAL = 0.1  # learning rate that is a default of an optimizer with sums of gradients
WAITING = 0.5  # share of the time


def update_ratio(sample: Sample) -> float | None:
    """|change of the weights| / |weights| of the median layer."""
    ratios = [layer.update_ratio for layer in sample.layers if layer.update_ratio is not None]
    return median(ratios) if ratios else None


def rate_findings(samples: Sequence[Sample], gained: float | None, *, is_stuck: bool, setup: Setup | None) -> list[Finding]:
    """The findings from the sizes of the updates; `gained` is the share by which the first epoch's loss has fallen."""
    ratios = [(sample, ratio) for sample in samples if (ratio := update_ratio(sample)) is not None]
    found: list[Finding] = []
    high = next((b for a, b in pairwise(ratios) if math.sqrt(a[1] * b[1]) >= HIGH_RATIO), None) or _risky(ratios)
    if high is not None:
        found.append(_too_high(*high, setup))
    started = [sample for sample, _ in ratios if sample.step >= STARTED]
    if len(started) >= AT_ONCE or (is_stuck and len(ratios) >= AT_ONCE):
        sample, ratio = max(ratios, key=lambda pair: pair[1])
        if ratio < (STUCK_RATIO if is_stuck else LOW_RATIO) and (gained is None or gained < LITTLE):
            found.append(_too_low(sample, ratio))
    if len(started) >= AT_ONCE and (uneven := _uneven(started[-AT_ONCE:], setup)) is not None:
        found.append(uneven)
    return found


def _risky(ratios: Sequence[tuple[Sample, float]]) -> tuple[Sample, float] | None:
    """The largest of the updates that are larger than usual, of a training whose loss does not fall."""
    later = [sample.loss for sample, _ in ratios if sample.step >= STARTED and sample.loss is not None][-AT_ONCE:]
    if len(later) < AT_ONCE or ratios[0][0].loss is None or mean(later) < STUCK * ratios[0][0].loss:
        return None
    largest = max(ratios[1:], key=lambda pair: pair[1])
    return largest if largest[1] >= RISKY_RATIO else None


def _too_high(sample: Sample, ratio: float, setup: Setup | None) -> Finding:
    usual = (setup.usual_rate if setup is not None else None) or LARGEST_USUAL
    return Finding(
        kind="learning_rate_too_high",
        evidence=ratio,
        unit="|change of the weights| / |weights| of an update",
        message=f"update {sample.step} changes the weights by {100 * ratio:.0f} % of their size, where about 0.1 % is healthy",
        cause="Each update undoes what earlier ones learned.",
        remedy=f"`learning_rate={min(sample.learning_rate / 10, usual):.2g}`" if sample.learning_rate else "`learning_rate` at a tenth",
    )


def _too_low(sample: Sample, ratio: float) -> Finding:
    return Finding(
        kind="learning_rate_too_low",
        evidence=ratio,
        unit="|change of the weights| / |weights| of an update",
        message=f"an update changes the weights by {100 * ratio:.1e} % of their size, where about 0.1 % is healthy",
        cause="At this pace the training ends before it has learned much.",
        remedy=f"`learning_rate={sample.learning_rate * min(MOST_TIMES, max(10, USUAL_RATIO / max(ratio, 1e-30))):.1g}`"
        if sample.learning_rate
        else "`learning_rate` a hundred times larger",
    )


def _uneven(samples: Sequence[Sample], setup: Setup | None) -> Finding | None:
    """A layer whose updates are far from the others', in each of the samples."""
    by_path = [{layer.path: layer.update_ratio for layer in sample.layers if layer.update_ratio is not None} for sample in samples]
    for path in by_path[-1]:
        if any(path not in seen or len(seen) < 3 for seen in by_path):
            continue
        factors = [seen[path] / max(median(ratio for other, ratio in seen.items() if other != path), 1e-30) for seen in by_path]
        slow, fast = max(factors) <= 1 / UNEVEN, min(factors) >= UNEVEN
        if slow or fast:
            times = f"{factors[-1]:.2g} times the others'"
            return Finding(
                kind="uneven_updates",
                where=path,
                evidence=factors[-1],
                unit="its |change| / |weights| over that of the median layer",
                message=f"its updates are {times}, in proportion to its weights",
                cause="It learns at a different pace from the rest: its learning rate or the scale of its weights is off.",
                remedy=_evened(setup),
            )
    return None


def _evened(setup: Setup | None) -> str:
    own = setup is None or setup.settings.layer_rates or setup.settings.layer_decay != 1
    return "one learning rate for all layers: no layer_rates" if own else first_new(setup, ADAMW, INIT_HE)


def waiting(samples: Sequence[Sample]) -> Finding | None:
    """The finding that the network waits for its batches."""
    shares = [sample.wait_share for sample in samples if sample.wait_share is not None]
    if len(shares) < 2 * AT_ONCE or sum(share >= WAITING for share in shares) < 0.75 * len(shares):  # others use the machine too
        return None
    share = median(shares)
    return Finding(
        kind="loader_bound",
        severity="note",
        evidence=round(share, 4),
        unit="share of the time",
        message=f"{100 * share:.0f} % of an update's time is spent waiting for the batch",
        cause="Reading and augmenting pictures takes longer than training on them.",
        remedy="smaller picture files, less augmentation, or more `workers`",
    )
