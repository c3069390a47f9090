"""Picture effects from kernels of a few numbers: blur, sharpen, emboss, edges, watercolour, over-exposure, and chains of them.

A kernel is applied as networks apply it, by correlation, or rotated by 180 degrees, as convolution is defined. Beyond the border the
nearest pixel counts. Each channel is filtered alone; each step's result is rounded and clipped to 0 to 255.
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, ShapeError, UnknownNameError, UsageError
from striate.core.files import cannot_write, shortened, write_atomically
from striate.core.places import check_file
from striate.core.reports import shown_short
from striate.core.text import Lines, in_lines
from striate.data.decode import REMEDY as UNREADABLE
from striate.data.decode import decode_image
from striate.data.kinds import DECODED

Form = Literal["correlate", "convolve"]
MAX_SIDE = 31  # of a kernel
LARGEST = 1e6  # number of a kernel: one more than a picture can show, and far from what a float64 cannot
GREY = 128.0  # added where a kernel's numbers add up to 0, so that flat areas are grey


class Kernel(NamedTuple):
    """A kernel and what is added to its result."""

    values: tuple[tuple[float, ...], ...]
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
EFFECTS = ("sobel", "watercolour", "exposure")
EXPOSURE = 1.6


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FilterRequest:
    """The picture and the steps, in order."""

    image: Path
    steps: tuple[str, ...] = ()  # names of KERNELS and EFFECTS, exposure=FACTOR, or kernels written as [[...], ...]
    form: Form = "correlate"
    output: Path | None = None  # IMAGE-filtered.png in the working folder by default


@dataclass(frozen=True, kw_only=True)
class FilterStep:
    """One step: its kernel where it is one, and the values (0 to 255) that came out."""

    name: str
    kernel: tuple[tuple[float, ...], ...] | None
    kernel_sum: float | None
    mean: float
    deviation: float


@shown_short
@dataclass(frozen=True, kw_only=True)
class FilterReport:
    """The result of filtering a picture."""

    image: str
    output: str
    height: int
    width: int
    channels: int
    form: Form
    mean: float
    deviation: float
    steps: tuple[FilterStep, ...]


def filter_picture(request: FilterRequest) -> FilterReport:
    """Filter a picture into a PNG file.

    Raises:
        UsageError: no step, an unknown one, a kernel that is none, or a file that exists already.
        DataError: the picture cannot be read.
    """
    if not request.steps:
        raise UsageError("no step: name at least one", f"Such as {', '.join([*KERNELS, *EFFECTS])}, or '[[...], ...]'.")
    output = request.output or Path(f"{shortened(request.image.stem)}-filtered.png")
    if output.exists():
        raise UsageError(f"{output}: exists already", "Choose another `output`, or move it away.")
    check_file(output, "output", (".png",), makes_folder=True)
    named = [read_step(step) for step in request.steps]
    try:
        pixels = original = decode_image(request.image)
    except DataError as error:
        if error.remedy != UNREADABLE:
            raise
        raise DataError(error.message, f"Give one picture file: {', '.join(DECODED)}.") from None
    done = []
    for name, kernel in named:
        pixels = apply_step(pixels, name, kernel, form=request.form)
        values = kernel.values if kernel is not None else None
        total = round(math.fsum(map(math.fsum, values)), 12) if values is not None else None
        done.append(FilterStep(name=name, kernel=values, kernel_sum=total, mean=float(pixels.mean()), deviation=float(pixels.std())))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(output, error) from error
    write_atomically(output, png(pixels))
    height, width, channels = pixels.shape
    return FilterReport(
        image=str(request.image),
        output=str(output),
        height=height,
        width=width,
        channels=channels,
        form=request.form,
        mean=float(original.mean()),
        deviation=float(original.std()),
        steps=tuple(done),
    )


def read_step(text: str) -> tuple[str, Kernel | None]:
    """The name of a step, and its kernel where it is one.

    Raises:
        UnknownNameError: neither a name nor a kernel.
        UsageError: an invalid kernel, or an exposure that is not a number.
    """
    if text.lstrip().startswith("["):
        return "kernel", Kernel(read_kernel(text))
    if text in KERNELS:
        return text, KERNELS[text]
    name, equals, factor = text.partition("=")
    if name == "exposure" and equals:
        try:
            value = float(factor)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{text}: the factor must be a number of at least 0", "For example exposure=1.6.")
        return text, None
    if text not in EFFECTS:
        raise UnknownNameError("kernel", text, [*KERNELS, *EFFECTS], f"Known: {', '.join([*KERNELS, *EFFECTS])}, or '[[...], ...]'.")
    return text, None


def read_kernel(text: str) -> tuple[tuple[float, ...], ...]:
    """The numbers of such as `[[0, -1, 0], [-1, 5, -1], [0, -1, 0]]`.

    Raises:
        UsageError: no rows of numbers, rows of several lengths, or an even number of rows or columns; says which.
    """
    remedy = "For example '[[0,-1,0],[-1,5,-1],[0,-1,0]]'."
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        rows = None
    numbers = isinstance(rows, list) and all(isinstance(row, list) and all(type(value) in (int, float) for value in row) for row in rows)
    if not numbers:
        raise UsageError(f"kernel {text[:60]}: must be rows of numbers, such as -1 or 0.25", remedy)
    sides = (len(rows), len(rows[0]) if rows else 0)
    if any(len(row) != sides[1] for row in rows) or not all(abs(value) <= LARGEST for row in rows for value in row):
        raise UsageError(f"kernel {text[:60]}: its rows must be finite numbers up to {LARGEST:,.0f}, the same number in each", remedy)
    if not all(side % 2 and side <= MAX_SIDE for side in sides):
        raise UsageError(f"kernel of {sides[0]} x {sides[1]}: both must be odd, so that it has a centre, and at most {MAX_SIDE}", remedy)
    return tuple(tuple(map(float, row)) for row in rows)


def apply_step(image: np.ndarray, name: str, kernel: Kernel | None, *, form: Form = "correlate") -> np.ndarray:
    """One step on uint8 (H, W, C); gives the same shape."""
    if kernel is not None:
        return clipped(filtered(image, np.array(kernel.values), form=form) + kernel.offset)
    if name == "sobel":
        across, down = (filtered(image, np.array(KERNELS[part].values), form=form) for part in ("sobel_x", "sobel_y"))
        return clipped(np.hypot(across, down))
    if name == "watercolour":
        return watercolour(image)
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


def exposed(image: np.ndarray, factor: float) -> np.ndarray:
    """Each value times `factor`, cut at 255: over 1 bright parts go white, under 1 the picture darkens."""
    return clipped(factor * image.astype(np.float64))


def clipped(values: np.ndarray) -> np.ndarray:
    """Rounded to whole numbers from 0 to 255, halves to even ones."""
    result: np.ndarray = np.rint(values).clip(0, 255).astype(np.uint8)
    return result


def png(pixels: np.ndarray) -> bytes:
    """uint8 (H, W, C) with 1 or 3 channels as a PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def summary(report: FilterReport) -> Lines:
    """The report as text."""
    lines = [
        f"{report.image}: {report.height} x {report.width} x {report.channels}, mean {report.mean:.1f}, deviation {report.deviation:.1f}"
    ]
    for step in report.steps:
        total = f", kernel sum {step.kernel_sum:g}" if step.kernel_sum is not None else ""
        lines.append(f"  {step.name:<14} mean {step.mean:5.1f}, deviation {step.deviation:5.1f}{total}")
    return in_lines([*lines, f"written: {report.output}", ""])
