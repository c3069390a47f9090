"""Sizes and flaws of all pictures, and what each fit takes from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np

from striate.core.errors import DataError, ShapeError, UsageError
from striate.core.images import Fit, ImageSpec
from striate.insight.check.quality import Flaw, flaws_of, loss_of
from striate.workflows.checking.record import FitLoss
from striate.workflows.checking.surveying import Picture
from striate.workflows.training.planning import USUAL_SIDE, usual_size

if TYPE_CHECKING:
    from striate.data.records import DataSource


def sizes_in_words(pictures: Sequence[Picture]) -> dict[str, str]:
    """The smallest, the median and the largest picture by area, as height x width, and how many sizes there are."""
    if not pictures:
        return {}
    sizes = sorted(((picture.height, picture.width) for picture in pictures), key=lambda size: size[0] * size[1])
    chosen = {"smallest": sizes[0], "median": sizes[len(sizes) // 2], "largest": sizes[-1]}
    return {**{word: f"{height} x {width}" for word, (height, width) in chosen.items()}, "different": f"{len(set(sizes)):,}"}


def flaws_of_all(pictures: Sequence[Picture]) -> dict[Flaw, list[Picture]]:
    """The pictures with each flaw, of those that occur."""
    found: dict[Flaw, list[Picture]] = {flaw: [] for flaw in get_args(Flaw)}
    for picture in pictures:
        for flaw in flaws_of(picture.measures, picture.height, picture.width):
            found[flaw].append(picture)
    return {flaw: some for flaw, some in found.items() if some}


def input_of(size: tuple[int, int], fit: Fit) -> ImageSpec:
    """A colour input of `size` (H, W) pixels."""
    return ImageSpec(height=size[0], width=size[1], channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit=fit)


def size_of_input(source: DataSource, asked: int | None) -> tuple[int, int]:
    """The input (H, W) in pixels that is asked for, else the one that a training would choose; `USUAL_SIDE` where it would choose none."""
    if asked is not None:
        return asked, asked
    try:
        return usual_size(source)
    except (UsageError, DataError, ShapeError):
        return USUAL_SIDE, USUAL_SIDE


def fit_losses(pictures: Sequence[Picture], size: tuple[int, int]) -> list[FitLoss]:
    """The loss of the pictures to each fit to an input of `size` (H, W) pixels."""
    found = []
    columns: dict[Fit, int] = {"crop": 0, "pad": 1, "stretch": 2}  # of what each loses most; "cut" is for pictures of the right size
    for fit, column in columns.items():
        losses = np.array([loss_of(picture.height, picture.width, input_of(size, fit)) for picture in pictures])  # (N, 3)
        if len(losses):
            cut, padding, stretch = (float(value) for value in losses.mean(0).round(4))
            found.append(FitLoss(fit=fit, cut=cut, padding=padding, stretch=stretch, worst=float(losses[:, column].max().round(4))))
    return found
