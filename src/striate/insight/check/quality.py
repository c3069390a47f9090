"""Pictures that are hardly of use as they are: dark, light, blurred, blank or of an odd shape; and what a fit takes from them.

Thresholds of brightness, shape and information: CleanVision 0.3 (Cleanlab, 2023), its defaults. That of sharpness is ours: no
photo of 400 flowers is below it (the least has 24, one of a hundred less than 59).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from striate.core.images import ImageSpec
from striate.data.fitting import placement
from striate.insight.check.looks import Look

Flaw = Literal["blank", "dark", "light", "blurred", "empty", "odd_shape"]

BLANK = 3  # levels within which a picture is of one colour
DARK = 0.32  # of white: the 99th percentile of grey is below it
LIGHT = 0.95  # of white: the 5th percentile of grey is above it
INFORMATION = 0.3  # entropy of the grey levels, as a share of 8 bits
SHARPNESS = 20.0  # variance of the Laplacian
SHAPE = 0.35  # the shorter side by the longer
SMALLEST = 64  # pixels of the shorter side, below which sharpness and information are those of small drawings


def flaws_of(look: Look, height: int, width: int) -> tuple[Flaw, ...]:
    """The flaws of a picture of `height` x `width`."""
    if look.spread <= BLANK:
        return ("blank",)
    large = min(height, width) >= SMALLEST
    found: dict[Flaw, bool] = {
        "dark": look.bright < DARK * 255,
        "light": look.dark > LIGHT * 255,
        "empty": large and look.entropy < INFORMATION,
        "blurred": large and look.sharpness < SHARPNESS,
        "odd_shape": min(height, width) < SHAPE * max(height, width),
    }
    return tuple(flaw for flaw, there in found.items() if there)


class Loss(NamedTuple):
    """The loss of a picture to a fit."""

    cut: float  # share of its area
    padding: float  # share of the input that is border
    stretch: float  # the larger of both sides' scales by the smaller


def loss_of(height: int, width: int, spec: ImageSpec) -> Loss:
    """The loss by `spec` of a picture of `height` x `width`."""
    (left, top, right, bottom), _, _, (inner_height, inner_width) = placement(height, width, spec)
    seen_height, seen_width = bottom - top, right - left
    scales = inner_height / seen_height, inner_width / seen_width
    return Loss(
        cut=1 - seen_height * seen_width / (height * width),
        padding=1 - inner_height * inner_width / (spec.height * spec.width),
        stretch=max(scales) / min(scales),
    )
