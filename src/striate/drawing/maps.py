"""Pictures with the probability of a class at each place over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from striate.drawing.sheet import shown
from striate.drawing.style import bare, drawing, panels, png_bytes, short_name


class Mapped(NamedTuple):
    """A picture and the maps that are laid over it."""

    name: str
    picture: np.ndarray  # (H, W, C) uint8
    maps: Sequence[tuple[str, np.ndarray]]  # captions, and probabilities (h, w), each of a window of `window` pixels
    window: tuple[int, ...]  # (height, width)


def maps_picture(rows: Sequence[Mapped], *, title: str) -> bytes:
    """A row a picture: as it is, then under each map, blue where the probability is 0 and red where it is 1."""
    columns = 1 + max(len(row.maps) for row in rows)
    tallest = max(row.picture.shape[0] / row.picture.shape[1] for row in rows)
    with drawing():
        height = len(rows) * (1.9 * min(tallest, 2) + 0.35) + 0.8
        figure, grid = panels(len(rows), columns, size=(1.9 * columns + 0.8, height), title=title)
        for row, (first, *others) in zip(rows, grid, strict=True):
            bare(first, title=short_name(row.name))
            first.imshow(shown(row.picture))
            for axes in others[len(row.maps) :]:
                axes.set_axis_off()
            for axes, (caption, heat) in zip(others, row.maps, strict=False):
                bare(axes, title=caption)
                axes.imshow(shown(row.picture))
                colours = axes.imshow(heat, cmap="turbo", vmin=0, vmax=1, alpha=0.55, extent=extent_of(heat, row), interpolation="nearest")
                axes.set(xlim=(-0.5, row.picture.shape[1] - 0.5), ylim=(row.picture.shape[0] - 0.5, -0.5))
        figure.colorbar(colours, ax=grid, shrink=0.8, label="probability at the place")
        return png_bytes(figure)


def extent_of(heat: np.ndarray, row: Mapped) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a map over its picture: each value stands at the middle of its window."""
    ends = []
    for size, window, count in zip(row.picture.shape[:2], row.window, heat.shape, strict=True):
        step = (size - window) / (count - 1) if count > 1 else window
        ends.append((window / 2 - step / 2 - 0.5, size - window / 2 + step / 2 - 0.5) if count > 1 else (-0.5, size - 0.5))
    (top, bottom), (left, right) = ends
    return left, right, bottom, top
