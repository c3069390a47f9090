"""Animations, and the marks that the demos' pictures share."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from striate.drawing.style import bare, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

DEMO_DPI = 100  # their files are large
FIRST_MS, LAST_MS = 1000, 3000  # for which the ends of an animation stand


@contextlib.contextmanager
def demo_figure(width: float, height: float) -> Iterator[Figure]:
    """An empty figure of that many inches, in the style of every picture."""
    from matplotlib.figure import Figure

    with drawing():
        yield Figure(figsize=(width, height), dpi=DEMO_DPI, layout="constrained")


def animation(figure: Figure, draw: Callable[[int], None], num_frames: int, *, frame_ms: int = 90) -> bytes:
    """A GIF that repeats: `draw(i)` changes the figure to frame i; the first one stands for a second, the last one for three.

    All frames share one palette, made of the first, the middle and the last, so that nothing flickers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    frames = []
    for index in range(num_frames):
        draw(index)
        canvas.draw()  # type: ignore[no-untyped-call]
        figure.set_layout_engine("none")  # what the first frame laid out stays where it is
        pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        frames.append(Image.fromarray(pixels[..., :3].copy()))
    chosen = [np.asarray(frames[index]) for index in (0, num_frames // 2, num_frames - 1)]
    palette = Image.fromarray(np.vstack(chosen)).quantize(192)
    indexed = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    file = io.BytesIO()
    durations = [FIRST_MS, *[frame_ms] * (num_frames - 2), LAST_MS]
    indexed[0].save(file, format="GIF", save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=False)
    return file.getvalue()


def numbers(axes: Axes, values: np.ndarray, *, title: str = "", form: str = "g", largest: float | None = None, size: float = 10) -> None:
    """A small matrix as cells with their numbers: blue below zero, orange above."""
    limit = largest or float(np.abs(values).max()) or 1.0
    axes.imshow(values, cmap=_diverging(), vmin=-limit, vmax=limit, interpolation="nearest")
    for row, column in np.ndindex(*values.shape):
        axes.text(column, row, f"{values[row, column]:{form}}", ha="center", va="center", fontsize=size, color="#222222")
    bare(axes, title=title)
    axes.set_xticks(np.arange(values.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(values.shape[0] + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="minor", length=0)


def _diverging() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("blue-white-orange", ["#7fa8d6", "#f6f6f6", "#f0ac72"])


def tiles(images: np.ndarray, columns: int, *, gap: int = 1, fill: float = 0.5) -> np.ndarray:
    """Images (n, h, w) side by side in rows of `columns`, with `gap` pixels of `fill` between them."""
    count, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), float(fill))
    for index, image in enumerate(images):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def rows_of_pictures(axes: Axes, images: np.ndarray, names: Sequence[str], *, title: str, gap: int = 1) -> None:
    """Images (n, h, w) in [0, 1], dark on light, as many in a row as fill a row for each name; the names stand at the left."""
    height = images.shape[1]
    bare(axes, title=title)
    sheet = tiles(1 - images, len(images) // len(names), gap=gap, fill=0.8)
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks([(height + gap) * row + (height - 1) / 2 for row in range(len(names))], names, fontsize=9)
    axes.tick_params(length=0)


def stages(num_steps: int, num_frames: int) -> Sequence[int]:
    """At most `num_frames` steps of 0..num_steps - 1, denser at the start, where most happens; the first and the last are among them."""
    share = np.linspace(0, 1, min(num_frames, num_steps)) ** 1.6
    return sorted({round(float(s) * (num_steps - 1)) for s in share})
