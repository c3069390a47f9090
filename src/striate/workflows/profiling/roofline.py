"""The roofline plot: what each layer reaches, against what the machine allows at its intensity.

Source: Williams et al., 2009, Communications of the ACM 52(4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from striate.drawing.style import FAINT, LABEL, RIGHT, VAL, below, drawing, panels, plain, png_bytes, powers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.insight.profile.machine import Machine


def roofline_picture(layers: Sequence[dict[str, Any]], machine: Machine, *, title: str) -> bytes:
    """A point for each measured layer with FLOPs, its area its share of their time; both axes logarithmic. A PNG file."""
    shown = [layer for layer in layers if layer.get("share_of_peak")]
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(6.4, 4.5), title=f"{title}: roofline, forward")
        plain(axes, x="intensity (FLOPs a byte)", y="speed (GFLOP/s)")
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
        else:
            axes.text(0.5, 0.25, "no layer with FLOPs was measured", transform=axes.transAxes, ha="center", color=FAINT, fontsize=LABEL)
        powers(axes, "x")
        powers(axes, "y")
        legend = below(figure, *axes.get_legend_handles_labels())
        for mark in legend.legend_handles[1:] if legend else []:
            mark.set_sizes([30])  # type: ignore[union-attr]  # of a scatter
        return png_bytes(figure)
