"""Measures of a picture that need no labels, from its pixels: brightness, contrast, sharpness, border, and a small grid for comparisons.

Brightness and entropy are the measures of CleanVision (Cleanlab, 2022); sharpness is the variance of the Laplacian of Pech-Pacheco et al.,
2000, of the picture at 256 pixels at most, so that it is about what a network sees and not about the camera's resolution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

GRID = 18  # places a side: two for each of the 9 of the hash
SIDE = 256  # pixels of the longer side at which a picture is measured, about
PLAIN = 8  # grey levels within which a line of pixels is a border


class Look(NamedTuple):
    """The measures of one picture."""

    dark: int  # 5th percentile of grey, 0..255
    bright: int  # 99th percentile
    spread: int  # largest difference of two pixels in a channel
    entropy: float  # of the grey levels, as a share of 8 bits
    sharpness: float  # variance of the Laplacian, in squared grey levels
    border: tuple[float, float, float, float]  # shares of height and width that are of one colour: top, bottom, left, right
    edge: tuple[float, float, float]  # mean colour of the outermost line
    colour: tuple[float, float, float]  # mean colour
    is_grey: bool  # the same in all channels
    grid: np.ndarray  # (GRID, GRID, 3) uint8


def look_at(pixels: np.ndarray) -> Look:
    """The measures of a picture (h, w, c) uint8; of another number of channels than 1 or 3, of their mean."""
    if pixels.shape[2] not in (1, 3):
        pixels = pixels.mean(2, keepdims=True).round().astype(np.uint8)
    return look_at_image(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))


def look_at_image(image: Image.Image) -> Look:
    """The measures of a picture that is grey or RGB."""
    factor = max(image.size) // SIDE
    small = image.reduce(factor) if factor > 1 else image
    planes = np.stack([np.asarray(plane) for plane in small.convert("RGB").split()])  # (3, h, w): reductions along rows are fast
    shades = small.convert("L")
    grey, counts = np.asarray(shades), np.array(shades.histogram())
    levels, shares = np.cumsum(counts) / grey.size, counts[counts > 0] / grey.size
    edge = np.concatenate([planes[:, 0], planes[:, -1], planes[:, :, 0], planes[:, :, -1]], 1).mean(1)
    extremes = np.array(image.getextrema()).reshape(-1, 2)
    return Look(
        dark=int(np.searchsorted(levels, 0.05)),
        bright=int(np.searchsorted(levels, 0.99)),
        spread=int(np.ptp(extremes, axis=1).max()),
        entropy=float(-(shares * np.log2(shares)).sum() / 8),
        sharpness=_sharpness(grey),
        border=_border(planes),
        edge=_triple(edge),
        colour=_triple(planes.reshape(3, -1).mean(1)),
        is_grey=image.mode == "L" or bool(np.ptp(planes, axis=0).max() <= 2),
        grid=np.asarray(image.convert("RGB").resize((GRID, GRID), Image.Resampling.BOX)),
    )


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _sharpness(grey: np.ndarray) -> float:
    if min(grey.shape) < 3:
        return 0.0
    g = grey.astype(np.int16)
    laplacian = 4 * g[1:-1, 1:-1]
    for neighbours in (g[:-2, 1:-1], g[2:, 1:-1], g[1:-1, :-2], g[1:-1, 2:]):
        laplacian -= neighbours
    values = laplacian.astype(np.float32).ravel()
    return float(values @ values / values.size - values.mean(dtype=np.float64) ** 2)


def _border(planes: np.ndarray) -> tuple[float, float, float, float]:
    """The shares of the sides that are lines of one colour, equal to the outermost; all 0 if the whole picture is."""
    found = []
    for axis in (2, 1):
        low, high = planes.min(axis).astype(np.int16), planes.max(axis).astype(np.int16)  # (3, number of lines)
        for order in (slice(None), slice(None, None, -1)):
            first, last = low[:, order], high[:, order]
            plain = ((last - first[:, :1] <= PLAIN) & (last[:, :1] - first <= PLAIN)).all(0)
            found.append(0.0 if plain.all() else int(plain.argmin()) / len(plain))
    top, bottom, left, right = found
    return top, bottom, left, right
