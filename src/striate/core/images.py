"""The input of a network and the preprocessing of pictures for it: a record that data, models and exports share."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError

Fit = Literal["crop", "pad", "stretch"]
Normalization = Literal["dataset", "per_image", "min_max"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ImageSpec:
    """Size, fit, channels and normalization of a network's input; it is stored in the model file.

    A picture is brought to `height` x `width` pixels and `channels` channels as uint8 (H, W, C); inside the model
    its values are normalized.

    `fit`: "crop" scales the shorter side and cuts the centre out; "pad" scales the longer side and pads with black; "stretch"
    scales both sides.

    `normalization`: "dataset" makes each channel (value / 255 - mean) / std with the training set's `mean` and `std`; "per_image" makes
    each picture (value - m) / max(s, 1 / sqrt(N)), with m and s the mean and the deviation of its own N values of 0 to 255 over all
    channels, as TensorFlow's per_image_standardization does; "min_max" makes its least value 0 and its largest 1. A constant picture
    becomes 0 in the latter two.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit = "crop"
    normalization: Normalization = "dataset"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.channels < 1:
            raise UsageError(f"image size must be positive, got {self.height} x {self.width} x {self.channels}")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise UsageError(f"mean and std must have {self.channels} entries, got {len(self.mean)} and {len(self.std)}")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise UsageError(f"mean must be finite and std positive, got {self.mean} and {self.std}")
