"""Augmentations that change values: uint8 (N, H, W, C) in and out.

All in whole numbers (hues: in float32, one operation a kernel): the result is the same bits in any batch and on any device. Values
are rounded half up and held in 0 to 255; nothing wraps around.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.data.augmentation.draws import Draw, Draws, normals

UNIT = 2**12  # a factor of 1


class Components(NamedTuple):
    """The principal components of a training set's colours, with values as shares of 255."""

    variances: Tensor  # (C,) float64, largest first
    directions: Tensor  # (C, C) float64; row i belongs to variance i, its largest entry is positive


def held(values: Tensor) -> Tensor:
    """Whole numbers of any size as uint8, those outside of it at its ends."""
    return values.clamp(0, 255).to(torch.uint8)


def blended(images: Tensor, base: Tensor | int, factors: Tensor) -> Tensor:
    """base + (image - base) * factor, rounded half up.

    Args:
        images: (N, H, W, C) uint8.
        base: An int32 tensor that broadcasts to it.
        factors: (N,) float64 in [0, 64], rounded to 1/4096. A factor of 1 changes nothing.
    """
    scaled = (factors * UNIT).round().int().to(images.device)[:, None, None, None]
    return held(base + (((images.int() - base) * scaled + UNIT // 2) >> 12))


def grey_of(images: Tensor) -> Tensor:
    """(N, H, W, 1) int32: the luma of three channels (0.299, 0.587, 0.114 of ITU-R BT.601), else the mean of the channels."""
    values = images.int()
    if images.shape[3] == 3:
        return (values[..., :1] * 19595 + values[..., 1:2] * 38470 + values[..., 2:] * 7471 + 32768) >> 16
    return _rounded_mean(values, (3,))


def _rounded_mean(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The mean over `axes` (kept) of whole numbers, rounded half up, int32."""
    count = 1
    for axis in axes:
        count *= values.shape[axis]
    return (2 * values.long().sum(axes, keepdim=True) + count).div(2 * count, rounding_mode="floor").int()


def brightened(images: Tensor, factors: Tensor) -> Tensor:
    """Each value times the picture's factor (N,)."""
    return blended(images, 0, factors)


def contrasted(images: Tensor, factors: Tensor) -> Tensor:
    """The distance of each value to the picture's mean grey times the picture's factor (N,)."""
    return blended(images, _rounded_mean(grey_of(images), (1, 2)), factors)


def saturated(images: Tensor, factors: Tensor) -> Tensor:
    """The distance of each value to its pixel's grey times the picture's factor (N,). Pictures of one channel stay as they are."""
    return blended(images, grey_of(images), factors)


def hue_turned(images: Tensor, turns: Tensor) -> Tensor:
    """Hues turned by a share of the circle, (N,) float64, value and saturation kept. Only pictures of three channels have hues."""
    if images.shape[3] != 3:
        return images
    values = images.float()  # (N, H, W, 3)
    most, chroma = values.amax(3), values.amax(3) - values.amin(3)
    red, green, blue = values.unbind(3)
    divisor = chroma.clamp(min=1)
    hue = torch.where(
        most == red, (green - blue) / divisor, torch.where(most == green, (blue - red) / divisor + 2, (red - green) / divisor + 4)
    )
    hue = hue + (6 * turns).float().to(images.device)[:, None, None]  # (N, H, W), in sixths of the circle
    channels = []
    for place in (5, 3, 1):
        sector = (hue + place).remainder(6)
        channels.append(most - chroma * torch.minimum(sector, 4 - sector).clamp(0, 1))
    return held((torch.stack(channels, 3) + 0.5).floor())


def shifted_values(images: Tensor, levels: Tensor) -> Tensor:
    """Each channel plus its own whole number of grey levels (N, C) float64, rounded first."""
    return held(images.int() + levels.round().int().to(images.device)[:, None, None, :])


def components_of(images: np.ndarray) -> Components:
    """The principal components of the colours of uint8 pictures (N, H, W, C).

    The variance of a pixel's channels, as shares of 255, over all pixels of at most 1,000 evenly spaced pictures.
    """
    some = images[:: max(1, len(images) // 1_000)]
    channels = images.shape[3]
    count, total, products = 0, np.zeros(channels), np.zeros((channels, channels))
    for start in range(0, len(some), 16):
        pixels = np.asarray(some[start : start + 16]).reshape(-1, channels).astype(np.float64)  # whole numbers: their sums are exact
        count, total, products = count + len(pixels), total + pixels.sum(0), products + pixels.T @ pixels
    mean = total / max(count, 1)
    variances, vectors = np.linalg.eigh((products / max(count, 1) - np.outer(mean, mean)) / 255**2)
    variances, rows = np.maximum(variances[::-1], 0), vectors.T[::-1]
    signs = np.sign(rows[np.arange(channels), np.abs(rows).argmax(1)])
    return Components(torch.from_numpy(variances.copy()), torch.from_numpy(rows * signs[:, None]))


def pca_levels(draws: Draws, components: Components, deviation: float) -> Tensor:
    """(N, C) float64 grey levels for each channel: 255 sum_i p_i a_i l_i, with a_i from N(0, deviation^2) once a picture.

    p_i and l_i are the eigenvectors and eigenvalues of the covariance of the channels. The source does not say on which scale it takes
    the values, which the product depends on; here they are shares of 255, before any normalization.

    Source: Krizhevsky, Sutskever and Hinton, 2012, section 4.1.
    """
    variances, directions = components
    levels = torch.zeros(len(draws.indices), len(variances), dtype=torch.float64)
    for place in range(len(variances)):  # one component after the other: a sum in a fixed order
        strength = draws.of(normals(), Draw.COMPONENT, place) * (255 * deviation * float(variances[place]))
        levels = levels + strength[:, None] * directions[place]
    return levels


# ---- for the policy, as Pillow's ImageOps has them


def stretched(images: Tensor) -> Tensor:
    """Each channel stretched so that its least value is 0 and its largest 255; a constant one stays."""
    values = images.int()
    low, high = values.amin((1, 2), keepdim=True), values.amax((1, 2), keepdim=True)
    spread = (high - low).clamp(min=1)
    wide = ((values - low) * 510 + spread).div(2 * spread, rounding_mode="floor")
    return held(torch.where(high > low, wide, values))


def equalized(images: Tensor) -> Tensor:
    """Each channel with its values spread so that each is about as frequent as any other; a constant one stays.

    Value v becomes (step // 2 + number of pixels below v) // step, with step the number of pixels below the largest value, over 255.
    """
    count, height, width, channels = images.shape
    values = images.permute(0, 3, 1, 2).reshape(count * channels, height * width).long()
    histogram = torch.zeros(count * channels, 256, dtype=torch.int64, device=images.device)
    histogram.scatter_add_(1, values, torch.ones_like(values))
    largest = values.amax(1, keepdim=True)
    step = (height * width - histogram.gather(1, largest)) // 255  # (NC, 1)
    below = histogram.cumsum(1) - histogram
    table = torch.where(step > 0, ((step // 2 + below) // step.clamp(min=1)).clamp(max=255), torch.arange(256, device=images.device))
    return table.gather(1, values).to(torch.uint8).view(count, channels, height, width).permute(0, 2, 3, 1).contiguous()


def posterized(images: Tensor, bits: Tensor) -> Tensor:
    """The upper bits (N,) int64 in [0, 8] of each value."""
    masks = 256 - (1 << (8 - bits))
    return images & masks.to(images.device).to(torch.uint8)[:, None, None, None]


def solarized(images: Tensor, thresholds: Tensor) -> Tensor:
    """Values at or above the threshold (N,) int64 turned into 255 - value."""
    return torch.where(images >= thresholds.to(images.device)[:, None, None, None], 255 - images, images)


def sharpened(images: Tensor, factors: Tensor) -> Tensor:
    """The distance to the smoothed picture times the factor (N,): below 1 blurs, above 1 sharpens. The outermost pixels stay.

    The smoothing is the mean of a pixel, which counts 5, and its eight neighbours.
    """
    height, width = images.shape[1:3]
    if height < 3 or width < 3:
        return images
    values = images.int()
    total = 4 * values[:, 1:-1, 1:-1]
    for down in range(3):
        for right in range(3):
            total = total + values[:, down : down + height - 2, right : right + width - 2]
    smooth = values.clone()
    smooth[:, 1:-1, 1:-1] = (2 * total + 13).div(26, rounding_mode="floor")
    return blended(images, smooth, factors)
