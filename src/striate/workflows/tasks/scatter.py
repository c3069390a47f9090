"""Estimated numbers against the true ones, as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from striate.core.errors import ShapeError
from striate.drawing.style import LABEL, RULE, VAL, drawing, fitted, panels, plain, png_bytes

MAX_PANELS = 12
COLUMNS = 4
SIDE = 2.4  # inches of a panel


def scatter_picture(predicted: np.ndarray, truth: np.ndarray, names: Sequence[str], *, title: str) -> bytes:
    """One panel per number, at most 12: each picture a point, the true number across, the estimate up, and the line where they agree.

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
        some = f"\nthe first {count} of {len(names)} numbers" if count < len(names) else ""
        size = (max(4.2, columns * SIDE + 0.6), rows * SIDE + 0.7)
        figure, grid = panels(rows, columns, size=size, title=f"{title}{some}")
        for place, axes in enumerate(grid.flat):
            if place >= count:
                axes.set_axis_off()
                continue
            plain(axes, title=fitted(names[place], SIDE - 0.6, LABEL))
            axes.title.set_fontsize(LABEL)
            x, y = truth[:, place], predicted[:, place]
            low, high = min(x.min(), y.min()), max(x.max(), y.max())
            room = 0.05 * (high - low) or 1.0
            limits = (low - room, high + room)
            axes.plot(limits, limits, color=RULE, linewidth=0.8, zorder=1)
            axes.scatter(x, y, s=9, alpha=0.5, linewidths=0, color=VAL, zorder=2)
            axes.set(xlim=limits, ylim=limits, aspect="equal")
            axes.tick_params(labelsize=7)
            axes.locator_params(nbins=4)
        figure.supxlabel("true", fontsize=LABEL)
        figure.supylabel("estimated", fontsize=LABEL)
        return png_bytes(figure)
