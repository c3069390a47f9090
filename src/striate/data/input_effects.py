"""Effects that make an input of a picture, so that a network learns to give the picture back: noise, a smaller size, grey for colour.

The input is uint8, as a file would hold it: noisy values are rounded and cut off at 0 and 255.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image

from striate.core.errors import UsageError

EffectName = Literal["noise", "downscale", "grey"]
KNOWN = "Known: noise:SIGMA with the deviation in grey levels, such as noise:25; downscale:FACTOR, such as downscale:2; grey."
MOST_NOISE, MOST_SCALE = 255.0, 8


@dataclass(frozen=True)
class InputEffect:
    """An effect, by its name.

    Attributes:
        name: noise adds normal noise of deviation `amount`, in grey levels, to each value; downscale makes a picture `amount` times
            smaller on each side by bicubic interpolation; grey keeps the brightness alone.
        amount: The deviation or the factor; 0 for grey.
    """

    name: EffectName
    amount: float = 0.0

    @classmethod
    def read(cls, text: str) -> InputEffect:
        """The effect that `text` names, as `noise:25`.

        Raises:
            UsageError: it names none, or its number is out of range.
        """
        name, _, number = text.partition(":")
        try:
            amount = float(number or 0)
        except ValueError:
            amount = math.nan
        fits = {"noise": 0 < amount <= MOST_NOISE, "downscale": 2 <= amount <= MOST_SCALE and amount == int(amount), "grey": not number}
        if name not in get_args(EffectName) or not fits[name]:
            limits = {
                "noise": f"above 0 and at most {MOST_NOISE:g}",
                "downscale": f"a whole number from 2 to {MOST_SCALE}",
                "grey": "left out",
            }
            more = f": the number must be {limits[name]}" if name in limits else ""
            raise UsageError(f"`input_effect={text!r}` is no effect{more}", KNOWN)
        return cls(name, amount)  # type: ignore[arg-type]  # one of them, as just checked

    def __str__(self) -> str:
        return f"{self.name}:{self.amount:g}" if self.amount else self.name

    @property
    def scale(self) -> int:
        """Pixels of the picture along each side for one of the input."""
        return int(self.amount) if self.name == "downscale" else 1

    def channels(self, of_picture: int) -> int:
        """The channels of the input of a picture that has `of_picture`."""
        return 1 if self.name == "grey" else of_picture

    def made(self, pictures: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """The inputs (N, h, w, c) uint8 of `pictures` (N, H, W, C) uint8, whose random numbers belong to their names."""
        if self.name == "noise":
            from striate.data.noise import noisy_by_name

            return noisy_by_name(pictures, self.amount, names)
        if self.name == "grey":
            return grey(pictures)
        height, width = (side // self.scale for side in pictures.shape[1:3])
        return scaled(pictures, (height, width))


def grey(pictures: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, 1): the brightness 0.299 R + 0.587 G + 0.114 B of each pixel of (N, H, W, 3), as Pillow and JPEG have it."""
    weights = np.array([19595, 38470, 7471], np.uint32)  # of 65,536
    levels: np.ndarray = ((pictures @ weights + 2**15) >> 16).astype(np.uint8)[..., None]
    return levels


def scaled(pictures: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 (N, H, W, C) at `size` (h, w), by bicubic interpolation, antialiased where they become smaller."""
    resized = np.empty((len(pictures), *size, pictures.shape[3]), np.uint8)
    for place, picture in enumerate(pictures):
        for channel in range(pictures.shape[3]):
            plane = Image.fromarray(np.ascontiguousarray(picture[..., channel]))
            resized[place, ..., channel] = np.asarray(plane.resize(size[::-1], Image.Resampling.BICUBIC))
    return resized


def unchanged(inputs: np.ndarray, form: tuple[int, ...]) -> np.ndarray:
    """Inputs (N, h, w, c) uint8 in the `form` (H, W, C) of their targets, as there are without a network.

    They are enlarged bicubically; grey is repeated over the channels, and colours are made grey, or the mean of their channels.
    """
    larger = inputs if inputs.shape[1:3] == form[:2] else scaled(inputs, (form[0], form[1]))
    if larger.shape[3] == form[2]:
        return larger
    if larger.shape[3] == 3:
        larger = grey(larger)
    repeated: np.ndarray = larger.mean(3, keepdims=True).round().astype(np.uint8).repeat(form[2], axis=3)
    return repeated
