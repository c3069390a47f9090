"""One random change per picture, of random strength.

Source: Mueller and Hutter, 2021, arXiv:2103.10158v2, TrivialAugment with its wide strengths (table 5): one of 14 changes, each equally
likely, at one of 31 strengths; those with a direction go either way. As common implementations have it, strength 0 changes nothing.
Departs from the source: strengths of moves are shares of the picture's size (the source's 32 pixels are a picture of its).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from striate.data.augmentation.colours import (
    brightened,
    contrasted,
    equalized,
    posterized,
    saturated,
    sharpened,
    solarized,
    stretched,
)
from striate.data.augmentation.draws import Draw, Draws
from striate.data.augmentation.places import matrices_of, moved
from striate.data.augmentation.record import PadMode

STRENGTHS = 31
Change = Callable[[Tensor, Tensor, PadMode], Tensor]  # pictures (n, H, W, C), strengths (n,) int64 in [-30, 30], outside -> pictures


def _share(strengths: Tensor) -> Tensor:
    return strengths.double() / (STRENGTHS - 1)


def _turned(images: Tensor, strengths: Tensor, mode: PadMode) -> Tensor:
    angles = [math.radians(135 * k / (STRENGTHS - 1)) for k in range(1 - STRENGTHS, STRENGTHS)]
    table = torch.tensor([(math.cos(angle), math.sin(angle)) for angle in angles], dtype=torch.float64)
    cosines, sines = table[strengths + STRENGTHS - 1].unbind(1)
    zeros = torch.zeros_like(cosines)
    return moved(images, matrices_of(cosines, sines, zeros, zeros), torch.stack([zeros, zeros], 1), mode)


def _leaning(axis: int) -> Change:
    def lean(images: Tensor, strengths: Tensor, mode: PadMode) -> Tensor:
        slopes, zeros = 0.99 * _share(strengths), torch.zeros(len(images), dtype=torch.float64)
        leans = (slopes, zeros) if axis == 1 else (zeros, slopes)
        return moved(images, matrices_of(zeros + 1, zeros, *leans), torch.stack([zeros, zeros], 1), mode)

    return lean


def _pushed(axis: int) -> Change:
    def push(images: Tensor, strengths: Tensor, mode: PadMode) -> Tensor:
        zeros = torch.zeros(len(images), dtype=torch.float64)
        pixels = (_share(strengths) * images.shape[1 + axis]).round()
        offsets = (zeros, pixels) if axis == 1 else (pixels, zeros)
        return moved(images, matrices_of(zeros + 1, zeros, zeros, zeros), torch.stack(offsets, 1), mode)

    return push


def _enhanced(change: Callable[[Tensor, Tensor], Tensor]) -> Change:
    return lambda images, strengths, _mode: change(images, 1 + 0.99 * _share(strengths))


def _always(change: Callable[[Tensor], Tensor]) -> Change:
    return lambda images, _strengths, _mode: change(images)


def _posterized(images: Tensor, strengths: Tensor, _mode: PadMode) -> Tensor:
    """8 bits down to 2."""
    return posterized(images, 8 - (6 * strengths.abs()).div(STRENGTHS - 1, rounding_mode="floor"))


def _solarized(images: Tensor, strengths: Tensor, _mode: PadMode) -> Tensor:
    """Thresholds 256, which no value reaches, down to 0."""
    return solarized(images, 256 - (256 * strengths.abs()).div(STRENGTHS - 1, rounding_mode="floor"))


CHANGES: dict[str, Change] = {
    "identity": _always(lambda images: images),
    "stretched": _always(stretched),
    "equalized": _always(equalized),
    "turned": _turned,
    "solarized": _solarized,
    "saturated": _enhanced(saturated),
    "posterized": _posterized,
    "contrasted": _enhanced(contrasted),
    "brightened": _enhanced(brightened),
    "sharpened": _enhanced(sharpened),
    "leaning_right": _leaning(1),
    "leaning_down": _leaning(0),
    "pushed_right": _pushed(1),
    "pushed_down": _pushed(0),
}


def trivially_changed(images: Tensor, draws: Draws, mode: PadMode) -> Tensor:
    """Pictures (N, H, W, C) uint8, each with one of `CHANGES` at a random strength."""
    kinds = draws.bits(Draw.POLICY) % len(CHANGES)
    bits = draws.bits(Draw.POLICY, 1)
    strengths = (bits % STRENGTHS) * (1 - 2 * ((bits // STRENGTHS) & 1))
    for kind, change in enumerate(CHANGES.values()):
        places = (kinds == kind).nonzero().view(-1)
        if len(places):
            there = places.to(images.device)
            images = images.index_copy(0, there, change(images.index_select(0, there), strengths[places], mode))
    return images
