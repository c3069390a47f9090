"""Masks as pictures: a colour for each class, laid over the picture or kept in a PNG file's palette."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from striate.core.errors import UsageError
from striate.data.fitting import IGNORED
from striate.drawing.pictures import montage

# The first class is mostly the background. The next seven are those of Okabe and Ito (2008), which color-blind people tell apart.
COLOURS = ((70, 70, 70), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
GOLDEN = 0.6180339887498949  # turns of the hue from one further class to the next: none comes close to another soon
OPACITY = 0.45


def class_colours(num_classes: int) -> np.ndarray:
    """(K, 3) uint8: the colour of each class."""
    further = [colorsys.hsv_to_rgb(GOLDEN * k % 1, 0.65, 0.95 - 0.35 * (k % 2)) for k in range(num_classes - len(COLOURS))]
    return np.array([*COLOURS, *(np.rint(255 * np.array(colour)) for colour in further)], np.uint8)[:num_classes]


def mask_png(mask: np.ndarray, num_classes: int) -> bytes:
    """The class indices (H, W) uint8 as a PNG file with a palette; 255, no class, is white."""
    image = Image.fromarray(mask).convert("P")
    palette = np.full((256, 3), 255, np.uint8)
    palette[:num_classes] = class_colours(num_classes)
    image.putpalette(palette.ravel().tolist())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def overlaid(images: np.ndarray, masks: np.ndarray, num_classes: int) -> np.ndarray:
    """Pictures with the colours of their classes over them, full along their borders; untouched where there is no class.

    Args:
        images: (n, H, W, C) uint8; C = 1 grey, 3 colour, of any other the mean is shown.
        masks: (n, H, W) uint8 class indices, 255 for no class.
        num_classes: K.

    Returns:
        (n, H, W, 3) uint8.
    """
    base = images if images.shape[3] == 3 else images.mean(3, keepdims=True).repeat(3, axis=3)  # (n, H, W, 3)
    colours = np.zeros((256, 3))
    colours[:num_classes] = class_colours(num_classes)
    opacity = np.where(borders(masks), 1.0, OPACITY) * (masks < num_classes)  # (n, H, W)
    mixed: np.ndarray = np.rint(base + opacity[..., None] * (colours[masks] - base)).astype(np.uint8)
    return mixed


def borders(masks: np.ndarray) -> np.ndarray:
    """(n, H, W) bool: the pixels beside one of an earlier class, which is mostly what lies behind; none of those without a class."""
    found = np.zeros(masks.shape, bool)
    for axis in (1, 2):
        before, after = np.moveaxis(masks, axis, 0)[:-1], np.moveaxis(masks, axis, 0)[1:]
        lines = np.moveaxis(found, axis, 0)  # a view
        lines[1:] |= after > before
        lines[:-1] |= before > after
    inside: np.ndarray = found & (masks != IGNORED)
    return inside


def overlays_picture(
    images: np.ndarray,
    masks: Sequence[np.ndarray],
    classes: Sequence[str],
    *,
    captions: Sequence[str],
    title: str,
) -> bytes:
    """A PNG: each picture, and beside it the same under its masks; below them the colours of the classes.

    Args:
        images: (n, H, W, C) uint8.
        masks: One or more arrays (n, H, W) uint8, one column each: class indices, 255 for no class.
        classes: K names.
        captions: A text for each image: n (1 + number of masks), row by row.
        title: The heading.

    Raises:
        UsageError: another number of captions.
    """
    columns = 1 + len(masks)
    if len(captions) != columns * len(images):
        raise UsageError(f"captions must have {columns * len(images)} entries, {columns} per image, got {len(captions)}")
    plain = images if images.shape[3] == 3 else images.mean(3, keepdims=True).round().astype(np.uint8).repeat(3, axis=3)
    shown = np.stack([plain, *(overlaid(images, mask, len(classes)) for mask in masks)], 1)  # (n, columns, H, W, 3)
    colours = class_colours(len(classes)).tolist()
    fitting = max(1, round(6 / columns))  # groups beside each other
    legend = {name: (red / 255, green / 255, blue / 255) for name, (red, green, blue) in zip(classes, colours, strict=True)}
    return montage(shown.reshape(-1, *shown.shape[2:]), captions, title=title, columns=columns * min(fitting, len(images)), legend=legend)
