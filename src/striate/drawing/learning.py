"""The picture of a learning curve: accuracy over the number of pictures, with what more of them would bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from striate.drawing.style import RULE, VAL, beside, drawing, panels, plain, png_bytes


class LearningRow(NamedTuple):
    """A point of it."""

    num_images: int
    accuracy: float
    interval: tuple[float, float] | None  # None: extrapolated


def learning_picture(rows: Sequence[LearningRow], *, title: str) -> bytes:
    """The accuracies with their intervals on an axis of powers, the extrapolated one hollow at the end of a dashed line: a PNG file."""
    measured = [row for row in rows if row.interval is not None]
    with drawing():
        figure, ((axes,),) = panels(1, 1, size=(7.2, 3.6), title=title)
        sizes, shares = [row.num_images for row in measured], [100 * row.accuracy for row in measured]
        below = [100 * (row.accuracy - row.interval[0]) for row in measured if row.interval]
        above = [100 * (row.interval[1] - row.accuracy) for row in measured if row.interval]
        axes.errorbar(sizes, shares, (below, above), color=VAL, marker="o", capsize=3, label="measured, 95 % interval")
        for row in rows:
            if row.interval is None:
                axes.plot([sizes[-1], row.num_images], [shares[-1], 100 * row.accuracy], color=RULE, linestyle="--")
                axes.plot([row.num_images], [100 * row.accuracy], "o", color=VAL, markerfacecolor="white", label="extrapolated")
        axes.set_xscale("log", base=2)
        places = [row.num_images for row in rows]
        axes.set_xticks(places, [f"{place:,}" for place in places])
        axes.minorticks_off()
        plain(axes, x="pictures that are learned from", y="accuracy (%)")
        beside(axes)
        return png_bytes(figure)
