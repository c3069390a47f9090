"""Estimated numbers against the true ones, as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from striate.core.errors import ShapeError
from striate.drawing.style import DPI, VAL, drawing, png_bytes, short_name

MAX_PANELS = 12
COLUMNS = 4
SIDE = 2.4  # inches of a panel


def scatter_picture(predicted: np.ndarray, truth: np.ndarray, names: Sequence[str], *, title: str) -> bytes:
    """One panel a number, at most 12: each picture a point, the true number across, the estimate up, and the line where they agree.

    Args:
        predicted: (N, K) float.
        truth: (N, K) float.
        names: K, what the numbers are called.
        title: The heading.

    Returns:
        A PNG file.

    Raises:
        ShapeError: the three do not fit each other.
    """
    if predicted.ndim != 2 or predicted.shape != truth.shape or predicted.shape[1] != len(names):
        raise ShapeError(f"predictions and truth must have shape (N, {len(names)}), got {predicted.shape} and {truth.shape}")
    count = min(len(names), MAX_PANELS)
    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    with drawing():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(max(4.2, columns * SIDE + 0.6), rows * SIDE + 0.7), dpi=DPI, layout="constrained")
        figure.suptitle(title, fontsize=10, parse_math=False)
        grid = figure.subplots(rows, columns, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= count:
                axes.set_axis_off()
                continue
            x, y = truth[:, place], predicted[:, place]
            low, high = min(x.min(), y.min()), max(x.max(), y.max())
            room = 0.05 * (high - low) or 1.0
            limits = (low - room, high + room)
            axes.plot(limits, limits, color="#b0b0b0", linewidth=0.8, zorder=1)
            axes.scatter(x, y, s=9, alpha=0.5, linewidths=0, color=VAL, zorder=2)
            axes.set(xlim=limits, ylim=limits, aspect="equal")
            axes.tick_params(labelsize=7)
            axes.set_title(short_name(names[place], 28), fontsize=8, parse_math=False)
        figure.supxlabel("true", fontsize=8)
        figure.supylabel("estimated", fontsize=8)
        return png_bytes(figure)
