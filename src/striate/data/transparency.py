"""The colour of transparent pixels: white, or black if all that is drawn is white, so that white strokes are not lost."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

FAINT = 8  # grey levels, below which nothing is to be seen
VARIED = 32  # levels of opacity, from which on something is drawn in it

Ground = Literal["white", "black"]


def ground_of(rgba: Image.Image) -> Ground:
    """Black if a picture over white would be blank although its transparency is not; else white."""
    return "black" if _is_drawn(rgba) and _is_faint(_over(rgba, "white")) else "white"


def flattened(rgba: Image.Image) -> Image.Image:
    """A picture (RGBA) over its ground, opaque."""
    over_white = _over(rgba, "white")
    return _over(rgba, "black") if _is_drawn(rgba) and _is_faint(over_white) else over_white


def fill(pixels: np.ndarray, transparent: np.ndarray) -> None:
    """Give the pixels `transparent` (h, w) bool of uint8 `pixels` (h, w[, 3]) the colour of the background, by the same rule."""
    pixels[transparent] = 255
    if 0 < transparent.sum() < transparent.size and int(np.ptp(pixels)) < FAINT:
        pixels[transparent] = 0


def _over(rgba: Image.Image, ground: Ground) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", rgba.size, ground), rgba)


def _is_drawn(rgba: Image.Image) -> bool:
    return _spread(rgba.getchannel("A")) >= VARIED


def _is_faint(flat: Image.Image) -> bool:
    return all(_spread(flat.getchannel(channel)) < FAINT for channel in "RGB")


def _spread(channel: Image.Image) -> int:
    low, high = channel.getextrema()
    return int(high) - int(low)  # type: ignore[arg-type]  # of one channel, they are numbers
