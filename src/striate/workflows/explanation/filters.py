"""Filter a picture with kernels and effects, in a chain."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, UsageError
from striate.core.files import shortened
from striate.core.places import check_file
from striate.core.reports import shown_short, write_files
from striate.core.text import Lines, in_lines
from striate.data.decode import REMEDY as UNREADABLE
from striate.data.decode import decode_image
from striate.data.effects import NAMES, Form, Rows, apply_step, read_step
from striate.data.kinds import DECODED


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class FilterRequest:
    """The picture and the steps, in order."""

    image: Path
    steps: tuple[str, ...] = ()  # names of kernels and effects, exposure=FACTOR, or kernels written as [[...], ...]
    form: Form = "correlate"
    output: Path | None = None  # IMAGE-filtered.png in the working folder by default


@dataclass(frozen=True, kw_only=True)
class FilterStep:
    """One step: its kernel where it is one, and the values (0 to 255) that came out."""

    name: str
    kernel: Rows | None
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
        raise UsageError("no step: name at least one", f"Such as {', '.join(NAMES)}, or '[[...], ...]'.")
    output = request.output or Path(f"{shortened(request.image.stem)}-filtered.png")
    if output.exists():
        raise UsageError(f"{output}: exists already", "Choose another `output`, or move it away.")
    check_file(output, "output", (".png",), makes_folder=True)
    named = [read_step(step) for step in request.steps]
    pixels = original = _decoded(request.image)
    done = []
    for name, kernel in named:
        pixels = apply_step(pixels, name, kernel, form=request.form)
        values = kernel.values if kernel is not None else None
        total = round(math.fsum(map(math.fsum, values)), 12) if values is not None else None
        done.append(FilterStep(name=name, kernel=values, kernel_sum=total, mean=float(pixels.mean()), deviation=float(pixels.std())))
    write_files(output.parent, {output.name: png(pixels)})
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


def _decoded(image: Path) -> np.ndarray:
    """The picture, uint8 (H, W, C)."""
    try:
        return decode_image(image)
    except DataError as error:
        if error.remedy != UNREADABLE:
            raise
        raise DataError(error.message, f"Give one picture file: {', '.join(DECODED)}.") from None


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
