"""The augmentation of the training pictures: one record."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from striate.core.errors import UsageError

PadMode = Literal["zero", "reflect"]
FlipMode = Literal["random", "alternating"]
Policy = Literal["trivial"]
ErasingFill = Literal["noise", "zero"]
Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of the training pictures, in the order in which they are made. 0, False and None leave one out.

    Attributes:
        crop_padding: A picture is padded by this many pixels on all sides and cut out again at a random place.
        pad_mode: The pixels outside of a picture: black, or the picture mirrored at its edge.
        flip: A picture is mirrored left to right.
        flip_mode: "random": each epoch with probability 1/2. "alternating": a random half of the pictures in the first epoch, the
            other half in the second, and so on.
        resized_crop: Least and largest share of the area that is cut out at a random place and brought to the picture's size.
        crop_ratio: Least and largest width / height of what is cut out.
        rotation: Degrees up to which a picture is rotated either way.
        shear: Degrees up to which its upright lines lean either way; likewise its level ones.
        shift: Share of the height and of the width up to which it moves, by whole pixels.
        elastic: Factor of a random field that moves each pixel, in pixels; the source takes 34 for digits of 29 x 29.
        elastic_sigma: Deviation, in pixels, of the Gaussian that smooths the field.
        brightness: b multiplies all values by a factor in [1 - b, 1 + b].
        contrast: Likewise the distance to the picture's mean grey.
        saturation: Likewise the distance to the grey of each pixel.
        hue: Share of the colour circle up to which hues turn either way.
        channel_shift: Grey levels up to which each channel grows or falls on its own.
        pca_colour: Deviation of the factors of the principal components of the training set's colours; the source takes 0.1.
        policy: "trivial": one of 14 changes with a random strength.
        erasing: Probability that a rectangle is erased.
        erasing_area: Its least and largest share of the area.
        erasing_ratio: Its least and largest height / width.
        erasing_fill: The content of the erased part: noise, or black.
        mixup: alpha: a picture becomes l picture + (1 - l) another one, as its label does, with l from Beta(alpha, alpha).
        cutmix: alpha: a rectangle of 1 - l of its area comes from another one; its label is mixed in proportion. With mixup too, each
            picture is mixed in one of the two ways.

    Raises:
        UsageError: a field is out of its range.
    """

    crop_padding: int = 0
    pad_mode: PadMode = "zero"
    flip: bool = False
    flip_mode: FlipMode = "random"
    resized_crop: Range | None = None
    crop_ratio: Range = (3 / 4, 4 / 3)
    rotation: float = 0.0
    shear: float = 0.0
    shift: float = 0.0
    elastic: float = 0.0
    elastic_sigma: float = 4.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    channel_shift: float = 0.0
    pca_colour: float = 0.0
    policy: Policy | None = None
    erasing: float = 0.0
    erasing_area: Range = (0.02, 0.4)
    erasing_ratio: Range = (0.3, 1 / 0.3)
    erasing_fill: ErasingFill = "noise"
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.name in WORDS:
                _check_word(field.name, getattr(self, field.name), WORDS[field.name])
            elif field.name in RANGES:
                object.__setattr__(self, field.name, _checked_range(field.name, getattr(self, field.name), *RANGES[field.name]))
            else:
                _check_number(field.name, getattr(self, field.name), LARGEST.get(field.name, math.inf))
        if self.crop_padding != int(self.crop_padding):
            raise UsageError(f"crop_padding must be a whole number of pixels, got {self.crop_padding}")
        if self.elastic_sigma == 0:
            raise UsageError("elastic_sigma must be above 0, got 0", "Set elastic to 0 to turn the warp off.")

    @property
    def mixes(self) -> bool:
        """True if labels become shares of classes (N, K)."""
        return bool(self.mixup or self.cutmix)


WORDS: dict[str, tuple[Any, ...]] = {
    "pad_mode": get_args(PadMode),
    "flip": (False, True),
    "flip_mode": get_args(FlipMode),
    "policy": (None, *get_args(Policy)),
    "erasing_fill": get_args(ErasingFill),
}
RANGES: dict[str, tuple[float, bool]] = {  # largest, and whether there may be none
    "resized_crop": (1.0, True),
    "crop_ratio": (math.inf, False),
    "erasing_area": (1.0, False),
    "erasing_ratio": (math.inf, False),
}
LARGEST = {
    "rotation": 180.0,
    "shear": 80.0,
    "shift": 1.0,
    "brightness": 1.0,
    "contrast": 1.0,
    "saturation": 1.0,
    "hue": 0.5,
    "channel_shift": 255.0,
    "erasing": 1.0,
}


def default_shift(channels: int, height: int, width: int) -> int:
    """Default random shift in pixels: 1 for grey pictures, an eighth of the longer side for coloured ones."""
    return 1 if channels == 1 else max(height, width) // 8


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_word(name: str, value: object, known: tuple[Any, ...]) -> None:
    if not any(value is word or (isinstance(word, str) and value == word) for word in known):
        raise UsageError(f"{name} must be {' or '.join(map(repr, known))}, got {value!r}")


def _check_number(name: str, value: Any, largest: float) -> None:
    if not _is_number(value):
        raise UsageError(f"{name} must be a number, got {value!r}")
    if value < 0:
        raise UsageError(f"{name} must not be negative, got {value}")
    if value > largest:
        raise UsageError(f"{name} must be at most {largest:g}, got {value}")


def _checked_range(name: str, value: Any, largest: float, may_be_none: bool) -> Range | None:
    if value is None and may_be_none:
        return None
    if not isinstance(value, tuple | list) or len(value) != 2 or not all(map(_is_number, value)):
        raise UsageError(
            f"{name} must be two numbers, minimum and maximum, got {value!r}", f"For example `set={{'augmentation.{name}': [0.3, 1]}}`."
        )
    low, high = float(value[0]), float(value[1])
    if not 0 < low <= high <= largest:
        limit = f" and at most {largest:g}" if math.isfinite(largest) else ""
        raise UsageError(f"{name} must be two numbers above 0{limit}, the smaller first, got {value!r}")
    return low, high
