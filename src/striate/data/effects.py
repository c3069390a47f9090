"""Picture effects from kernels of a few numbers: blur, sharpen, emboss, edges, watercolour, halo and over-exposure.

A kernel is applied as networks apply it, by correlation, or rotated by 180 degrees, as convolution is defined. Beyond the border the
nearest pixel counts. Each channel is filtered alone; each step's result is rounded and clipped to 0 to 255.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from striate.core.errors import ShapeError, UnknownNameError, UsageError

Form = Literal["correlate", "convolve"]
Rows = tuple[tuple[float, ...], ...]
MAX_SIDE = 31  # of a kernel
LARGEST = 1e6  # number of a kernel: one more than a picture can show, and far from what a float64 cannot
GREY = 128.0  # added where a kernel's numbers add up to 0, so that flat areas are grey


class Kernel(NamedTuple):
    """A kernel and what is added to its result."""

    values: Rows
    offset: float = 0.0


# fmt: off
KERNELS: dict[str, Kernel] = {
    "identity":  Kernel(((0, 0, 0), (0, 1, 0), (0, 0, 0))),
    "blur":      Kernel(((1/16, 2/16, 1/16), (2/16, 4/16, 2/16), (1/16, 2/16, 1/16))),  # adds up to 1: flat areas stay
    "mean":      Kernel(((1/9,) * 3,) * 3),
    "sharpen":   Kernel(((0, -1, 0), (-1, 5, -1), (0, -1, 0))),                         # adds up to 1
    "emboss":    Kernel(((-1, -1, 0), (-1, 0, 1), (0, 1, 1)), GREY),                    # adds up to 0
    "edges":     Kernel(((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))),
    "laplacian": Kernel(((0, 1, 0), (1, -4, 1), (0, 1, 0)), GREY),
    "sobel_x":   Kernel(((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)), GREY),
    "sobel_y":   Kernel(((-1, -2, -1), (0, 0, 0), (1, 2, 1)), GREY),
}
# fmt: on
NAMES = (*KERNELS, "sobel", "watercolour", "halo", "exposure")
EXPOSURE = 1.6
HALO_BLURS = 8  # of 3 x 3 pixels, one after the other: a deviation of 2 pixels
ROWS = TypeAdapter(tuple[tuple[Annotated[float, Field(strict=True)], ...], ...])


def read_step(text: str) -> tuple[str, Kernel | None]:
    """The name of a step, and its kernel where it is one.

    Raises:
        UnknownNameError: neither a name nor a kernel.
        UsageError: an invalid kernel, or an exposure or a grey to emboss on that is not a number.
    """
    if text.lstrip().startswith("["):
        return "kernel", Kernel(read_kernel(text))
    name, equals, factor = text.partition("=")
    if name == "exposure" and equals:
        if not _is_number(factor, math.inf):
            raise UsageError(f"{text}: the factor must be a number of at least 0", "For example exposure=1.6.")
    elif name == "emboss" and equals:
        if not _is_number(factor, 256):
            raise UsageError(f"{text}: the grey of flat areas must be a number from 0 to 255", "For example emboss=0; 128 by default.")
        return text, KERNELS[name]._replace(offset=float(factor))
    elif text not in NAMES:
        raise UnknownNameError("kernel", text, NAMES, f"Known: {', '.join(NAMES)}, or '[[...], ...]'.")
    return text, KERNELS.get(text)


def _is_number(text: str, end: float) -> bool:
    """Return whether `text` is a number of at least 0 and below `end`."""
    try:
        return 0 <= float(text) < end
    except ValueError:
        return False


def read_kernel(text: str) -> Rows:
    """The numbers of such as `[[0, -1, 0], [-1, 5, -1], [0, -1, 0]]`.

    Raises:
        UsageError: no rows of numbers, rows of several lengths, or an even number of rows or columns; says which.
    """
    remedy = "For example '[[0,-1,0],[-1,5,-1],[0,-1,0]]'."
    try:
        rows = ROWS.validate_json(text)
    except ValidationError:
        raise UsageError(f"kernel {text[:60]}: must be rows of numbers, such as -1 or 0.25", remedy) from None
    height, width = len(rows), len(rows[0]) if rows else 0
    if any(len(row) != width for row in rows) or not all(abs(value) <= LARGEST for row in rows for value in row):
        raise UsageError(f"kernel {text[:60]}: its rows must be finite numbers up to {LARGEST:,.0f}, the same number in each", remedy)
    if not (height % 2 and width % 2 and max(height, width) <= MAX_SIDE):
        raise UsageError(f"kernel of {height} x {width}: both must be odd, so that it has a centre, and at most {MAX_SIDE}", remedy)
    return rows


def apply_step(image: np.ndarray, name: str, kernel: Kernel | None, *, form: Form = "correlate") -> np.ndarray:
    """One step on uint8 (H, W, C); gives the same shape."""
    if kernel is not None:
        return clipped(filtered(image, np.array(kernel.values), form=form) + kernel.offset)
    if name == "sobel":
        across, down = (filtered(image, np.array(KERNELS[part].values), form=form) for part in ("sobel_x", "sobel_y"))
        return clipped(np.hypot(across, down))
    if name == "watercolour":
        return watercolour(image)
    if name == "halo":
        return halo(image)
    return exposed(image, float(name.partition("=")[2] or EXPOSURE))


def filtered(image: np.ndarray, kernel: np.ndarray, *, form: Form = "correlate") -> np.ndarray:
    r"""The correlation of each channel with a kernel, or its convolution, which is the correlation with the rotated kernel:

        out[y, x] = sum over i, j of kernel[i, j] image[y + i - k_h // 2, x + j - k_w // 2]

    Args:
        image: (H, W, C). Beyond its border the nearest pixel counts.
        kernel: (k_h, k_w), both odd.
        form: correlate or convolve.

    Returns:
        (H, W, C) float64, neither rounded nor clipped.

    Raises:
        ShapeError: the image is not (H, W, C), or the kernel not two-dimensional with odd sides.
    """
    if image.ndim != 3 or kernel.ndim != 2 or not all(side % 2 for side in kernel.shape):
        raise ShapeError(f"expected an image (H, W, C) and a kernel with odd sides, got {image.shape} and {kernel.shape}")
    taps = kernel if form == "correlate" else kernel[::-1, ::-1]
    height, width = image.shape[:2]
    margins = [(side // 2, side // 2) for side in taps.shape]
    padded = np.pad(image.astype(np.float64), [*margins, (0, 0)], mode="edge")
    result = np.zeros(image.shape)
    for (i, j), weight in np.ndenumerate(taps):
        if weight:
            result += weight * padded[i : i + height, j : j + width]
    return result


def watercolour(image: np.ndarray) -> np.ndarray:
    """The median of 5 x 5 pixels of each channel, then sharpened: flat patches with firm borders. uint8 (H, W, C)."""
    from scipy.ndimage import median_filter

    flat = median_filter(image, size=(5, 5, 1), mode="nearest")
    return clipped(filtered(flat, np.array(KERNELS["sharpen"].values)))


def halo(image: np.ndarray) -> np.ndarray:
    """A glow around what is bright: its upper half of values, blurred again and again, screened with the picture. uint8 (H, W, C).

    Screening is the product of the negatives, 1 - (1 - a) (1 - b) on values of 0 to 1: as of two slides on one wall.
    """
    glow = np.maximum(2.0 * image - 255, 0)
    for _ in range(HALO_BLURS):
        glow = filtered(glow, np.array(KERNELS["blur"].values))
    return clipped(255 - (255.0 - image) * (255 - glow) / 255)


def exposed(image: np.ndarray, factor: float) -> np.ndarray:
    """Each value times `factor`, cut at 255: over 1 bright parts go white, under 1 the picture darkens."""
    return clipped(factor * image.astype(np.float64))


def clipped(values: np.ndarray) -> np.ndarray:
    """Rounded to whole numbers from 0 to 255, halves to even ones."""
    result: np.ndarray = np.rint(values).clip(0, 255).astype(np.uint8)
    return result
