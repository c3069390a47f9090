"""The meaning of the numbers in masks: class indices; or black and white, which are two classes; or colours, which are refused."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image

from striate.core.errors import DataError
from striate.data.fitting import IGNORED

BLACK, WHITE = 0, 255
TWO_TONES = ("background", "object")  # what black and white are called where no classes.txt says otherwise
MOST_WITHOUT_NAMES = 200  # classes that are believed without a classes.txt: greys of smoothed edges reach higher
FEW = 16  # values of masks that are painted, not smoothed


def indices_of(image: Image.Image) -> np.ndarray:
    """The numbers (H, W) uint8 of a PNG file: indices of a palette, or grey values, also where it has more channels or bits for them.

    Raises:
        DataError: colours, transparency, or numbers that do not fit into 8 bits.
    """
    if image.mode in ("P", "L", "1"):
        return np.array(image, np.uint8)  # of "1": 0 and 1
    values = np.array(image)
    if image.mode.startswith("I"):
        return _of_16_bits(values, image.mode)
    if image.mode in ("LA", "RGBA") and (values[..., -1] == 255).all():
        values = values[..., :-1]
    elif image.mode != "RGB":
        raise _no_indices({"RGBA": "colours", "LA": "transparency"}.get(image.mode, "other values"), image.mode)
    if (values == values[..., :1]).all():
        return np.ascontiguousarray(values[..., 0])
    raise _no_indices("colours", image.mode, _by_colour(values))


def _of_16_bits(values: np.ndarray, mode: str) -> np.ndarray:
    found = np.unique(values)
    if found[-1] <= 255:
        return values.astype(np.uint8)
    if np.isin(found, (0, 65535)).all():
        return (values // 257).astype(np.uint8)
    raise _no_indices("16 bits", mode)


def _no_indices(what: str, mode: str, remedy: str = "") -> DataError:
    remedy = remedy or "Save one class index per pixel: a PNG file with a palette, or 8-bit grey."
    return DataError(f"a mask must hold class indices, got a picture with {what} (mode {mode})", remedy)


def _by_colour(pixels: np.ndarray) -> str:
    colours = np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)
    if len(colours) > FEW:
        return "Save one class index per pixel: a PNG file with a palette, or 8-bit grey."
    line = "mask = (rgb[:, :, None] == colours).all(-1).argmax(-1).astype('uint8')"
    return f"Write the index of each pixel's colour, with one list for all masks, colours = {colours.tolist()}: {line}"


def are_two_tones(masks: Iterable[np.ndarray]) -> bool:
    """Return whether masks hold only black and white; stops at the first that does not."""
    seen: set[int] = set()
    for mask in masks:
        seen.update(np.unique(mask).tolist())
        if not seen <= {BLACK, WHITE}:
            return False
    return seen == {BLACK, WHITE}


def from_two_tones(mask: np.ndarray) -> np.ndarray:
    """Black as class 0, white as class 1.

    Raises:
        DataError: another value.
    """
    if other := np.setdiff1d(mask, (BLACK, WHITE)).tolist():
        message = f"holds {_in_words(other)}, but the training masks are black and white (0 and 255)"
        raise DataError(message, f"Make it black and white: {THRESHOLD}")
    indices: np.ndarray = (mask == WHITE).astype(np.uint8)
    return indices


THRESHOLD = "mask = np.where(mask < 128, 0, 255).astype('uint8')"


def refuse_colours(values: np.ndarray, name: str) -> None:
    """Refuse masks whose `values`, distinct and sorted, cannot be the indices of unnamed classes.

    Raises:
        DataError: they have large gaps, or reach to where greys are; says how to write indices instead.
    """
    indices = values[values != IGNORED]
    if not len(indices) or (2 * len(indices) > indices.max() and indices.max() < MOST_WITHOUT_NAMES):
        return
    named = f"or, if these are indices, name all {indices.max() + 1} classes in classes.txt, one per line"
    if len(values) <= FEW:
        message = f"{name}: the masks hold {_in_words(values.tolist())}, which look like greys of {len(values)} classes, not like indices"
        line = f"mask = np.searchsorted({values.tolist()}, mask).astype('uint8')"
        raise DataError(message, f"Write 0 to {len(values) - 1} instead, {named}: {line}")
    message = (
        f"{name}: the masks hold {len(values)} different values up to {values[-1]}: their edges were smoothed, or they were saved as JPEG"
    )
    raise DataError(message, f"Scale masks by the nearest neighbour and save them as PNG, {named}. Of two classes: {THRESHOLD}")


def remedy_for(values: np.ndarray, num_classes: int) -> str:
    """The remedy for a mask whose `values`, distinct and sorted, are not all indices of so many classes, or 255."""
    if len(values) > FEW:
        return f"If its edges were smoothed, make two classes black and white again: {THRESHOLD}"
    if len(values) == num_classes:
        line = f"mask = np.searchsorted({values.tolist()}, mask).astype('uint8')"
        return f"If its {_in_words(values.tolist())} are the classes of classes.txt in this order, write their indices: {line}"
    return f"Use 0 to {num_classes - 1}, and {IGNORED} for no class; or add to classes.txt. It holds {_in_words(values.tolist())}."


def _in_words(values: list[int]) -> str:
    return f"{', '.join(map(str, values[:-1]))} and {values[-1]}" if len(values) > 1 else f"only {values[0]}"
