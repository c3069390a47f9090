"""Corruptions: pictures in other light, blurred, noisy, compressed, warped, covered and among clutter, at severities 1 to 5.

Source: Hendrycks and Dietterich, 2019, arXiv:1903.12261v1, with the strengths of its published ImageNet-C.
Departs from the source: brightness is added to every channel, not to the value of HSV; blur is Gaussian and elastic warps
have one smoothness; both are given for a shorter side of 224 pixels, and shrink with it, the blur with its square root.
Uneven light, occlusion and clutter are not in the source; they are fractions of the picture, the same at every size.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image
from scipy import ndimage

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.core.seeds import mixed

# fmt: off
#                 severity    1     2     3     4     5
SEVERITIES: dict[str, tuple[float, float, float, float, float]] = {
    "brightness":          (0.10, 0.20, 0.30, 0.40, 0.50),  # added to values in [0, 1]
    "contrast":            (0.40, 0.30, 0.20, 0.10, 0.05),  # the share of each value's distance to the mean that is left
    "blur":                (1.00, 2.00, 3.00, 4.00, 6.00),  # deviation of the Gaussian, in pixels of 224
    "gaussian_noise":      (0.08, 0.12, 0.18, 0.26, 0.38),  # deviation of the Gaussian, of values in [0, 1]
    "jpeg":                (25.0, 18.0, 15.0, 10.0, 7.00),  # quality
    "elastic":             (3.00, 5.00, 8.00, 12.0, 16.0),  # root mean square of the way of a pixel, in pixels of 224
    "uneven_light":        (0.30, 0.50, 0.70, 0.85, 0.95),  # the share of light that the darkest corner or side loses
    "occlusion":           (0.20, 0.30, 0.40, 0.50, 0.60),  # sides of a grey rectangle, as shares of the picture's
    "clutter":             (0.10, 0.15, 0.20, 0.25, 0.30),  # width of a frame of another picture, as a share of the sides
}
# fmt: on
NAMES = tuple(SEVERITIES)
Randoms = list[np.random.Generator]  # one a picture
ELASTIC_SMOOTH = 11.2  # deviation that smooths the warp's field, in pixels of 224


def corrupted(images: np.ndarray, name: str, severity: int, *, seed: int = 0) -> np.ndarray:
    """Pictures after a common corruption.

    Args:
        images: (N, H, W, C) uint8.
        name: One of NAMES.
        severity: 1 to 5; 0 changes nothing.
        seed: Of noise, warps, places and neighbours; each picture has its own, by its place.

    Returns:
        (N, H, W, C) uint8.

    Raises:
        ShapeError: `images` has another shape or type.
        UnknownNameError: no such corruption.
        UsageError: no such severity.
    """
    check_pictures(images)
    if name not in SEVERITIES:
        raise UnknownNameError("corruption", name, NAMES, f"Known: {', '.join(NAMES)}.")
    if severity not in range(6):
        raise UsageError(f"severity must be 0 to 5, got {severity}")
    if severity == 0 or not len(images):
        return images.copy()
    strength, randoms = SEVERITIES[name][severity - 1], [np.random.default_rng(mixed(seed, place)) for place in range(len(images))]
    if name == "jpeg":
        return np.stack([_squeezed(image, int(strength)) for image in images])
    values = CHANGES[name](images.astype(np.float64) / 255, strength, randoms)
    rounded: np.ndarray = np.floor(values.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return rounded


def _faded(values: np.ndarray, strength: float, _randoms: Randoms) -> np.ndarray:
    """Pictures with less contrast, about the mean of each channel."""
    middle = values.mean((1, 2), keepdims=True)
    faded: np.ndarray = middle + strength * (values - middle)
    return faded


def _blurred(values: np.ndarray, strength: float, _randoms: Randoms) -> np.ndarray:
    deviation = strength * math.sqrt(_scale(values))
    blurred: np.ndarray = ndimage.gaussian_filter(values, (0, deviation, deviation, 0), mode="nearest")
    return blurred


def _noisy(values: np.ndarray, strength: float, randoms: Randoms) -> np.ndarray:
    return values + np.stack([random.normal(0, strength, values.shape[1:]) for random in randoms])


def _elastic(values: np.ndarray, strength: float, randoms: Randoms) -> np.ndarray:
    scale = _scale(values)
    return np.stack(
        [_warped(image, strength * scale, ELASTIC_SMOOTH * scale, random) for image, random in zip(values, randoms, strict=True)]
    )


def _shaded(values: np.ndarray, strength: float, randoms: Randoms) -> np.ndarray:
    """Pictures whose light falls off linearly, from all of it on one side to `strength` less on the other, in a random direction."""
    down, across = (np.linspace(-1, 1, side) for side in values.shape[1:3])
    lit = []
    for image, random in zip(values, randoms, strict=True):
        angle = random.uniform(0, 2 * math.pi)
        way = math.sin(angle) * down[:, None] + math.cos(angle) * across  # (H, W)
        lit.append(image * (1 - strength * (way / abs(way).max() + 1) / 2)[..., None])
    return np.stack(lit)


def _covered(values: np.ndarray, strength: float, randoms: Randoms) -> np.ndarray:
    """Pictures with a grey rectangle, of their own proportions, at a random place."""
    covered, sides = values.copy(), values.shape[1:3]
    for image, random in zip(covered, randoms, strict=True):
        lengths = [max(1, round(strength * side)) for side in sides]
        top, left = (int(random.uniform() * (side - length + 1)) for side, length in zip(sides, lengths, strict=True))
        image[top : top + lengths[0], left : left + lengths[1]] = 0.5
    return covered


def _framed(values: np.ndarray, strength: float, randoms: Randoms) -> np.ndarray:
    """Pictures with pieces of another one along their edges; it is moved by half its size, so that its middle comes into the corners."""
    count, height, width = values.shape[:3]
    others = [(place + int(random.integers(1, max(count, 2)))) % count for place, random in enumerate(randoms)]
    framed = np.roll(values[others], (height // 2, width // 2), (1, 2))
    down, across = max(1, round(strength * height)), max(1, round(strength * width))
    inner = (slice(None), slice(down, max(down, height - down)), slice(across, max(across, width - across)))
    framed[inner] = values[inner]
    return framed


def _scale(values: np.ndarray) -> float:
    """The size of pictures (N, H, W, C) against that for which strengths are given."""
    return float(min(values.shape[1:3])) / 224


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


def check_pictures(images: np.ndarray) -> None:
    """Refuse what is not uint8 (N, H, W, C)."""
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ShapeError(f"images must be uint8 (N, H, W, C), got {images.dtype} {images.shape}")


CHANGES: dict[str, Callable[[np.ndarray, float, Randoms], np.ndarray]] = {  # of values (N, H, W, C) in [0, 1], by a strength
    "brightness": lambda values, strength, _randoms: values + strength,
    "contrast": _faded,
    "blur": _blurred,
    "gaussian_noise": _noisy,
    "elastic": _elastic,
    "uneven_light": _shaded,
    "occlusion": _covered,
    "clutter": _framed,
}
