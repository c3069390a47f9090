"""Bringing decoded pictures to a network's size and channels; files and arrays alike go through here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image

from striate.core.errors import DataError
from striate.core.images import ImageSpec
from striate.data.packing import room_for, take_rows

UNSCALED_GROWTH = 1.25  # with "pad", pictures that are smaller by no more than this keep their pixels
CHUNK = 256  # pictures a thread takes at a time
IGNORED = 255  # in a mask: a pixel that has no class
SMALL = 128 * 128  # pixels: pictures below this are scaled faster than threads hand over to each other


def fit_image(pixels: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """uint8 (h, w, c) brought to `spec`: its channels, then its size by its fit (antialiased bilinear).

    A grey picture is repeated over 3 channels. "cut" scales nothing. "crop" takes the largest centred part that has the wanted
    proportions. With "pad", a picture that is smaller on both sides by at most a quarter of its size keeps its pixels and is padded
    with black (28 x 28 in 32 x 32, as LeNet-5 takes MNIST); on odd remainders the extra line is below or right.

    Raises:
        DataError: the picture has no pixels, has colours and `spec` has 1 channel, or another number of channels than `spec`.
    """
    height, width = pixels.shape[:2]
    if height < 1 or width < 1:
        raise DataError(f"a picture of {width} x {height} pixels is empty", "Leave it out.")
    pixels = with_channels(pixels, spec.channels)
    wanted = spec.height, spec.width
    if (height, width) == wanted:
        return pixels
    return placed(pixels, wanted, placement(height, width, spec))


def placed(pixels: np.ndarray, wanted: tuple[int, int], place: Placement) -> np.ndarray:
    """uint8 (h, w, c) as (H, W, c) of the `wanted` size: the part of it that `place` names, scaled, where it is to be, and black around."""
    box, top, left, inner = place
    across, down, right, bottom = box
    same = inner == (bottom - down, right - across)
    part = pixels[int(down) : int(bottom), int(across) : int(right)] if same else _resized(pixels, inner, box)
    if inner == wanted:
        return part
    padded = np.zeros((*wanted, pixels.shape[2]), np.uint8)
    padded[top : top + inner[0], left : left + inner[1]] = part
    return padded


class Placement(NamedTuple):
    """The part of a picture that a network sees, and its place in the input."""

    box: tuple[float, float, float, float]  # left, top, right and bottom of the part, in pixels of the picture
    top: int  # of the place that it fills
    left: int
    size: tuple[int, int]  # (h, w) of that place

    def enlarged(self, scale: int) -> Placement:
        """The same part of the same picture at `scale` times its size."""
        left, top, right, bottom = (scale * side for side in self.box)
        return Placement((left, top, right, bottom), scale * self.top, scale * self.left, (scale * self.size[0], scale * self.size[1]))


def placement(height: int, width: int, spec: ImageSpec) -> Placement:
    """The placement by `spec` of a picture of `height` x `width`; if the part is not scaled, its limits are whole numbers."""
    wanted = spec.height, spec.width
    everything = (0.0, 0.0, float(width), float(height))
    if spec.fit == "stretch":
        return Placement(everything, 0, 0, wanted)
    if spec.fit == "cut":
        inner = min(height, spec.height), min(width, spec.width)
        down, across = (height - inner[0]) // 2, (width - inner[1]) // 2
        box = (across, down, across + inner[1], down + inner[0])
        return Placement(box, (spec.height - inner[0]) // 2, (spec.width - inner[1]) // 2, inner)
    ratios = spec.height / height, spec.width / width
    if spec.fit == "crop":
        scale = max(ratios)
        if scale == 1:
            down, across = (height - spec.height) // 2, (width - spec.width) // 2
            return Placement((across, down, across + spec.width, down + spec.height), 0, 0, wanted)
        return Placement(_centred_box(height, width, spec, scale), 0, 0, wanted)
    scale = 1.0 if min(ratios) >= 1 and max(ratios) <= UNSCALED_GROWTH else min(ratios)
    inner = max(1, min(spec.height, round(height * scale))), max(1, min(spec.width, round(width * scale)))
    return Placement(everything, (spec.height - inner[0]) // 2, (spec.width - inner[1]) // 2, inner)


def fit_mask(mask: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Class indices (h, w) brought to `spec`'s size as `fit_image` brings their picture: each the nearest one, padding IGNORED."""
    box, top, left, size = placement(mask.shape[0], mask.shape[1], spec)
    rows = (np.floor(box[1] + (np.arange(size[0]) + 0.5) * (box[3] - box[1]) / size[0])).astype(np.intp)  # of the pixels' centres
    columns = (np.floor(box[0] + (np.arange(size[1]) + 0.5) * (box[2] - box[0]) / size[1])).astype(np.intp)
    fitted = np.full((spec.height, spec.width), IGNORED, mask.dtype)
    fitted[top : top + size[0], left : left + size[1]] = mask[np.ix_(rows, columns)]
    return fitted


def unfit_mask(mask: np.ndarray, spec: ImageSpec, size: tuple[int, int]) -> np.ndarray:
    """Class indices of what a network saw, brought back to the picture's own `size` (h, w): what the network did not see is IGNORED."""
    box, top, left, inner = placement(size[0], size[1], spec)
    rows = np.floor((np.arange(size[0]) + 0.5 - box[1]) * inner[0] / (box[3] - box[1])).astype(np.intp)
    columns = np.floor((np.arange(size[1]) + 0.5 - box[0]) * inner[1] / (box[2] - box[0])).astype(np.intp)
    seen_rows, seen_columns = (rows >= 0) & (rows < inner[0]), (columns >= 0) & (columns < inner[1])
    whole = np.full(size, IGNORED, mask.dtype)
    whole[np.ix_(seen_rows, seen_columns)] = mask[np.ix_(top + rows[seen_rows], left + columns[seen_columns])]
    return whole


def fit_images(images: np.ndarray, spec: ImageSpec | None, chosen: np.ndarray | None = None) -> np.ndarray:
    """Each of `images` (N, h, w, c), or of those at the places `chosen`, brought to `spec` as `fit_image` does; as it is without one."""
    images = images if chosen is None else take_rows(images, chosen)
    if spec is None or images.shape[1:] == (spec.height, spec.width, spec.channels):
        return images
    fitted = room_for((len(images), spec.height, spec.width, spec.channels))

    def fit_chunk(start: int) -> None:
        for index in range(start, min(start + CHUNK, len(images))):
            fitted[index] = fit_image(images[index], spec)

    starts = range(0, len(images), CHUNK)
    if max(images.shape[1] * images.shape[2], spec.height * spec.width) < SMALL:
        for start in starts:
            fit_chunk(start)
    else:
        with ThreadPoolExecutor() as pool:
            list(pool.map(fit_chunk, starts))
    return fitted


def with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (h, w, c) with `channels` channels: grey is repeated, and a grey picture saved in colour becomes one channel.

    Raises:
        DataError: neither of the two.
    """
    found = pixels.shape[2]
    if found == channels:
        return pixels
    if found == 1:
        return np.repeat(pixels, channels, axis=2)
    if channels == 1 and found == 3 and (pixels == pixels[..., :1]).all():
        return pixels[..., :1]
    remedy = "Convert the picture, or use a model trained on such pictures."
    raise DataError(f"has {found} channels, the model takes {channels}", remedy)


def _centred_box(height: int, width: int, spec: ImageSpec, scale: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the centred part that fills `spec` when scaled."""
    down, across = max(0.0, (height - spec.height / scale) / 2), max(0.0, (width - spec.width / scale) / 2)
    return across, down, width - across, height - down


def _resized(pixels: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """The part `box` of uint8 (h, w, c) at `size`, antialiased bilinear: across first, then down, with a rounding after each.

    Left to itself, Pillow takes the two in either order, by a rule that its versions do not share, and a fifth of the pixels differ by 1.
    """
    if pixels.shape[2] not in (1, 3):
        planes = [_resized(pixels[..., channel : channel + 1], size, box) for channel in range(pixels.shape[2])]
        return np.concatenate(planes, axis=2)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    height, width = size
    image = image.resize((width, image.height), Image.Resampling.BILINEAR, box=(box[0], 0, box[2], image.height))
    scaled = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=(0, box[1], width, box[3])))
    return scaled[..., None] if scaled.ndim == 2 else scaled
