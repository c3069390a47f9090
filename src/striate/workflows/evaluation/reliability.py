"""The reliability of a classifier's probabilities, and its diagram, before and after temperature scaling, with accuracy over coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic.dataclasses import dataclass

from striate.drawing.style import RIGHT, RULE, TRAIN, VAL, below, curve, drawing, empty, panels, plain, png_bytes
from striate.insight.calibrate.abstain import CoveragePoint
from striate.insight.calibrate.temperature import Bin, reliability
from striate.insight.measure.classes import measure
from striate.models.meanings import softmax


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The reliability of the probabilities at one temperature."""

    temperature: float
    ece: float
    log_loss: float
    bins: list[Bin]


def worth(logits: np.ndarray, labels: np.ndarray, classes: Sequence[str], temperature: float) -> Reliability:
    """The reliability of the probabilities of a split at a temperature."""
    probs = softmax(logits / temperature)
    measured = measure(probs, labels, classes)
    bins = reliability(probs.max(1), probs.argmax(1) == labels)
    return Reliability(temperature=temperature, ece=measured.ece, log_loss=measured.log_loss, bins=bins)


def reliability_picture(before: Reliability, after: Reliability, curve_points: Sequence[CoveragePoint]) -> bytes:
    """Left: accuracy over confidence, one point per bin, its area the share of the pictures. Right: accuracy over coverage. A PNG file."""
    with drawing():
        figure, grid = panels(1, 2, size=(8.4, 4.3))
        left, right = grid[0]
        plain(left, title="Reliability: one point per bin, its area the number of pictures", x="confidence", y="accuracy")
        left.plot((0, 1), (0, 1), color=RULE, linewidth=0.8, linestyle="--", label="perfectly calibrated")
        for worth, colour in ((before, TRAIN), (after, VAL)):
            filled = [one for one in worth.bins if one.num_images]
            total = sum(one.num_images for one in filled)
            x, y = [one.confidence for one in filled], [one.accuracy for one in filled]
            left.plot(x, y, color=colour, linewidth=1, label=f"temperature {worth.temperature:.3g}: ECE {worth.ece:.4f}")
            left.scatter(x, y, s=[10 + 200 * one.num_images / total for one in filled], color=colour, alpha=0.5, linewidths=0)
        left.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
        below(figure, *left.get_legend_handles_labels())
        if curve_points:
            plain(right, title="Abstention: the least confident answers left out", x="share that is answered", y="accuracy of the answers")
            curve(right, [one.coverage for one in curve_points], [one.accuracy for one in curve_points], color=RIGHT)
            right.set_xlim(-0.04, 1.04)
        else:
            empty(right, "No picture was scored:\nno abstention curve.")
        return png_bytes(figure)
