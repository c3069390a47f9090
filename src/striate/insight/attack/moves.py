"""Pictures rotated, shifted and mirrored, and signals shifted. A convolution follows a shift; nothing in it follows a turn or a mirror."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np
import torch

from striate.core.errors import ShapeError, UsageError
from striate.data.augmentation.places import matrices_of, moved
from striate.insight.attack.corruptions import check_pictures

Direction = Literal["right", "left", "down", "up"]
Axis = Literal["horizontal", "vertical"]
Way = Literal["later", "earlier"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


def rotated(images: np.ndarray, degrees: float) -> np.ndarray:
    """Pictures (N, H, W, C) uint8 rotated about their centre, counter-clockwise; bilinear, black outside. 0 degrees changes nothing.

    Raises:
        ShapeError: `images` has another shape or type.
    """
    check_pictures(images)
    angle = torch.full((1,), math.radians(degrees), dtype=torch.float64)
    flat = torch.zeros(1, dtype=torch.float64)
    matrices = matrices_of(angle.cos(), angle.sin(), flat, flat).expand(len(images), 2, 2)
    turned: np.ndarray = moved(
        torch.from_numpy(np.array(images)), matrices, torch.zeros(len(images), 2, dtype=torch.float64), "zero"
    ).numpy()
    return turned


def shifted(images: np.ndarray, pixels: int, direction: Direction) -> np.ndarray:
    """Pictures (N, H, W, C) uint8 moved by whole pixels, 0 or more; black where they came from.

    Raises:
        ShapeError: `images` has another shape or type.
        UsageError: a negative number of pixels.
    """
    check_pictures(images)
    if pixels < 0:
        raise UsageError(f"pixels must be 0 or more, got {pixels}")
    axis, size = (2, images.shape[2]) if direction in ("right", "left") else (1, images.shape[1])
    pixels = min(pixels, size)
    padding = [(0, 0)] * 4
    padding[axis] = (pixels, 0) if direction in ("right", "down") else (0, pixels)
    start = 0 if direction in ("right", "down") else pixels
    return np.pad(images, padding).take(range(start, start + size), axis)


def moved_in_time(signals: np.ndarray, places: int, way: Way, rest: np.ndarray) -> np.ndarray:
    """Signals (N, L, C) moved by whole places, 0 or more, to later or earlier ones; `rest` (C,) where they came from.

    Raises:
        ShapeError: `signals` has another shape.
        UsageError: a negative number of places.
    """
    if signals.ndim != 3 or rest.shape != signals.shape[2:]:
        raise ShapeError(f"signals must be (N, L, C), and their values at rest (C,), got {signals.shape} and {rest.shape}")
    if places < 0:
        raise UsageError(f"places must be 0 or more, got {places}")
    length = signals.shape[1]
    kept = max(0, length - places)
    moved_signals = np.broadcast_to(rest.astype(signals.dtype), signals.shape).copy()
    if way == "later":
        moved_signals[:, length - kept :] = signals[:, :kept]
    else:
        moved_signals[:, :kept] = signals[:, length - kept :]
    return moved_signals


def flipped(images: np.ndarray, axis: Axis) -> np.ndarray:
    """Pictures (N, H, W, C) uint8 mirrored: horizontal exchanges left and right, vertical top and bottom.

    Raises:
        ShapeError: `images` has another shape or type.
    """
    check_pictures(images)
    return np.ascontiguousarray(images[:, :, ::-1] if axis == "horizontal" else images[:, ::-1])
