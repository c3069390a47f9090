"""The contact sheet of a data set: the first pictures of each class, a row a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from striate.drawing.style import DPI, drawing, heading, png_bytes, short_name

GAP = 0.04  # inches between pictures
SIDE = (0.45, 0.95)  # inches of the longer side of a picture, least and most


class SheetRow(NamedTuple):
    """The pictures of a class, and what is written before them."""

    label: str
    images: np.ndarray  # (n, H, W, C) uint8


def contact_sheet(rows: Sequence[SheetRow], *, title: str) -> bytes:
    """Pictures in rows, each after its label, as a PNG file; small ones are enlarged in whole squares.

    Args:
        rows: At least one; all pictures have one size, and a row may have none.
        title: The heading.
    """
    from matplotlib.figure import Figure

    height, width = rows[0].images.shape[1:3]
    scale = min(max(max(height, width) / DPI, SIDE[0]), SIDE[1]) / max(height, width)  # inches a pixel
    across, down = scale * width + GAP, scale * height + GAP
    columns = max(1, *(len(row.images) for row in rows))
    with drawing():
        figure = Figure(figsize=(columns * across, len(rows) * down), dpi=DPI)
        axes = figure.add_axes((0, 0, 1, 1))
        for place, row in enumerate(rows):
            top = -place * down
            axes.text(-0.1, top - (down - GAP) / 2, short_name(row.label), ha="right", va="center", fontsize=8, parse_math=False)
            for column, image in enumerate(row.images):
                left = column * across
                extent = (left, left + across - GAP, top - down + GAP, top)
                axes.imshow(shown(image), interpolation="nearest" if scale * DPI >= 1 else "hanning", extent=extent, aspect="auto")
        axes.text(0, 0.12, heading(title), ha="left", va="bottom", fontsize=10, parse_math=False)
        axes.set(xlim=(0, columns * across), ylim=(-len(rows) * down, 0))
        axes.axis("off")
        return png_bytes(figure)


def shown(image: np.ndarray) -> np.ndarray:
    """A picture (H, W, C) uint8 as red, green and blue; the mean of the channels where it has another number of them."""
    return image if image.shape[2] == 3 else image.mean(2, keepdims=True).round().astype(np.uint8).repeat(3, axis=2)
