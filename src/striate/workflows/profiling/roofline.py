"""The roofline plot: what each layer reaches, against what the machine allows at its intensity.

Source: Williams et al., 2009, Communications of the ACM 52(4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from striate.drawing.style import DPI, RIGHT, VAL, drawing, png_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.insight.profile.machine import Machine


def roofline_picture(layers: Sequence[dict[str, Any]], machine: Machine, *, title: str) -> bytes:
    """A point for each measured layer with FLOPs, its area its share of their time; both axes logarithmic. A PNG file."""
    shown = [layer for layer in layers if layer.get("share_of_peak")]
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 4.2), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        ridge = machine.flops_per_second / machine.bytes_per_second
        intensities = [layer["intensity"] for layer in shown]
        across = np.geomspace(min([0.1, ridge, *intensities]), max([10 * ridge, *intensities]), 200)
        axes.loglog(
            across,
            [machine.attainable(x) / 1e9 for x in across],
            color=RIGHT,
            linewidth=1.4,
            label="measured peak: a matrix product, a copy",
        )
        if shown:
            total = sum(layer["forward_ms"] for layer in shown)
            reached = [layer["share_of_peak"] * machine.flops_per_second / 1e9 for layer in shown]
            areas = [8 + 400 * layer["forward_ms"] / total for layer in shown]
            axes.scatter(intensities, reached, s=areas, color=VAL, alpha=0.5, linewidths=0, label="layer; area: its share of the time")
        axes.set_title(f"{title}: roofline, forward", fontsize=11, parse_math=False)
        axes.set_xlabel("intensity (FLOPs a byte)")
        axes.set_ylabel("GFLOP/s")
        axes.grid(color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9, loc="lower right", markerscale=0.6)
        return png_bytes(figure)
