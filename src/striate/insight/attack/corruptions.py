"""Common corruptions: rotated, bright, low-contrast, blurred, noisy, compressed and warped pictures, at severities 1 to 5.

Source: Hendrycks and Dietterich, 2019, arXiv:1903.12261v1, with the strengths of its published ImageNet-C.
Departs from the source: brightness is added to every channel, not to the value of HSV; blur is Gaussian and elastic warps
have one smoothness; both are given for a shorter side of 224 pixels, and shrink with it, the blur with its square root.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.core.seeds import mixed
from striate.data.augmentation.places import matrices_of, moved

# fmt: off
#                 severity    1     2     3     4     5
SEVERITIES: dict[str, tuple[float, float, float, float, float]] = {
    "brightness":          (0.10, 0.20, 0.30, 0.40, 0.50),  # added to values in [0, 1]
    "contrast":            (0.40, 0.30, 0.20, 0.10, 0.05),  # the share of each value's distance to the mean that is left
    "blur":                (1.00, 2.00, 3.00, 4.00, 6.00),  # deviation of the Gaussian, in pixels of 224
    "gaussian_noise":      (0.08, 0.12, 0.18, 0.26, 0.38),  # deviation of the Gaussian, of values in [0, 1]
    "jpeg":                (25.0, 18.0, 15.0, 10.0, 7.00),  # quality
    "elastic":             (3.00, 5.00, 8.00, 12.0, 16.0),  # root mean square of the way of a pixel, in pixels of 224
}
# fmt: on
NAMES = tuple(SEVERITIES)
ELASTIC_SMOOTH = 11.2  # deviation that smooths the warp's field, in pixels of 224


def rotated(images: np.ndarray, degrees: float) -> np.ndarray:
    """Pictures (N, H, W, C) uint8 rotated about their centre, counter-clockwise; bilinear, black outside. 0 degrees changes nothing.

    Raises:
        ShapeError: `images` has another shape or type.
    """
    _check(images)
    angle = torch.full((1,), math.radians(degrees), dtype=torch.float64)
    flat = torch.zeros(1, dtype=torch.float64)
    matrices = matrices_of(angle.cos(), angle.sin(), flat, flat).expand(len(images), 2, 2)
    turned: np.ndarray = moved(
        torch.from_numpy(np.array(images)), matrices, torch.zeros(len(images), 2, dtype=torch.float64), "zero"
    ).numpy()
    return turned


def corrupted(images: np.ndarray, name: str, severity: int, *, seed: int = 0) -> np.ndarray:
    """Pictures after a common corruption.

    Args:
        images: (N, H, W, C) uint8.
        name: One of NAMES.
        severity: 1 to 5; 0 changes nothing.
        seed: Of noise and warps; each picture has its own, by its place.

    Returns:
        (N, H, W, C) uint8.

    Raises:
        ShapeError: `images` has another shape or type.
        UnknownNameError: no such corruption.
        UsageError: no such severity.
    """
    _check(images)
    if name not in SEVERITIES:
        raise UnknownNameError("corruption", name, NAMES, f"Known: {', '.join(NAMES)}.")
    if severity not in range(6):
        raise UsageError(f"severity must be 0 to 5, got {severity}")
    if severity == 0 or not len(images):
        return images.copy()
    strength = SEVERITIES[name][severity - 1]
    if name == "jpeg":
        return np.stack([_squeezed(image, int(strength)) for image in images])
    values = images.astype(np.float64) / 255
    scale = min(images.shape[1:3]) / 224
    if name == "brightness":
        values = values + strength
    elif name == "contrast":
        middle = values.mean((1, 2), keepdims=True)
        values = middle + strength * (values - middle)
    elif name == "blur":
        deviation = strength * math.sqrt(scale)
        values = ndimage.gaussian_filter(values, (0, deviation, deviation, 0), mode="nearest")
    elif name == "gaussian_noise":
        values = values + np.stack([_random(seed, i).normal(0, strength, values.shape[1:]) for i in range(len(values))])
    else:
        values = np.stack([_warped(image, strength * scale, ELASTIC_SMOOTH * scale, _random(seed, i)) for i, image in enumerate(values)])
    rounded: np.ndarray = np.floor(values.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return rounded


def _random(seed: int, place: int) -> np.random.Generator:
    return np.random.default_rng(mixed(seed, place))


def _squeezed(image: np.ndarray, quality: int) -> np.ndarray:
    """One picture written as JPEG and read again; channels other than 1 or 3 each by itself."""
    if image.shape[2] not in (1, 3):
        return np.concatenate([_squeezed(image[..., [channel]], quality) for channel in range(image.shape[2])], axis=2)
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "JPEG", quality=quality)
    with Image.open(file) as picture:
        return np.asarray(picture, np.uint8).reshape(image.shape)


def _warped(image: np.ndarray, way: float, smooth: float, random: np.random.Generator) -> np.ndarray:
    """One picture whose pixels come from places off by a smooth field with a root mean square of `way` pixels."""
    height, width, channels = image.shape
    field = ndimage.gaussian_filter(random.uniform(-1, 1, (2, height, width)), (0, smooth, smooth), mode="reflect")
    field *= way / max(math.sqrt((field**2).sum(0).mean()), 1e-12)
    places = np.mgrid[:height, :width] + field
    return np.stack([ndimage.map_coordinates(image[..., c], places, order=1, mode="reflect") for c in range(channels)], axis=2)


def _check(images: np.ndarray) -> None:
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ShapeError(f"images must be uint8 (N, H, W, C), got {images.dtype} {images.shape}")
