"""The reliability diagram, before and after temperature scaling, with accuracy over coverage beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.drawing.style import DPI, RIGHT, TRAIN, VAL, drawing, png_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.insight.calibrate.abstain import CoveragePoint
    from striate.workflows.evaluation.calibrate import Worth


def reliability_picture(before: Worth, after: Worth, curve: Sequence[CoveragePoint]) -> bytes:
    """Left: accuracy over confidence, a point a bin, its area the share of the pictures. Right: accuracy over coverage. A PNG file."""
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.4, 4.0), dpi=DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot((0, 1), (0, 1), color="#b0b0b0", linewidth=0.8)
        for worth, colour in ((before, TRAIN), (after, VAL)):
            filled = [one for one in worth.bins if one.num_images]
            total = sum(one.num_images for one in filled)
            x, y = [one.confidence for one in filled], [one.accuracy for one in filled]
            left.plot(x, y, color=colour, linewidth=1, label=f"temperature {worth.temperature:.3g}: ECE {worth.ece:.4f}")
            left.scatter(x, y, s=[10 + 200 * one.num_images / total for one in filled], color=colour, alpha=0.5, linewidths=0)
        left.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
        left.legend(frameon=False, fontsize=8, loc="upper left")
        left.set_title("Reliability", fontsize=10)
        right.plot([one.coverage for one in curve], [one.accuracy for one in curve], color=RIGHT, linewidth=1.4)
        right.set(xlim=(0, 1.02), xlabel="share that is answered", ylabel="accuracy of the answers")
        right.set_title("Abstaining", fontsize=10)
        for axes in (left, right):
            axes.grid(color="#e6e6e6", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        return png_bytes(figure)
