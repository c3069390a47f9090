"""Pooling by hand: forward, backward by the origin of each value, and the effect of shifting the image.

Backward, the sum of the errors is kept: the mean spreads an error over its window, the maximum sends it to where it was found (the first
of equal values, row by row); where windows overlap, what arrives is added.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure, numbers
from striate.drawing.style import png_bytes

IMAGE = np.array([[1, 5, 2, 0], [3, 4, 8, 1], [7, 7, 0, 2], [6, 0, 3, 3]], float)  # two windows hold equal maxima
DELTA = np.array([[1, 2], [3, 4]], float)


def show(setting: Setting) -> Shown:
    """Max and mean pooling, forward and back, with and without overlap."""
    generator = np.random.default_rng(setting.seed)
    rows = []
    for how in ("max", "mean"):
        for window, stride in ((2, 2), (3, 1)):
            image = generator.normal(size=(6, 9))
            delta = generator.normal(size=pooled(image, how, window, stride).shape)
            by_torch = autograd(image, delta, how, window, stride)
            back = sent_back(image, delta, how, window, stride)
            kept = float(back.sum() - delta.sum())
            rows.append((f"{how} {window} x {window}, stride {stride}", float(np.abs(back - by_torch).max()), kept))
    large = np.arange(400, dtype=float).reshape(20, 20)
    return Shown(
        tables=(
            Table(
                title="Backward by hand, on 6 x 9 numbers",
                heading=("pooling", "largest difference from autograd", "sum in less sum out"),
                rows=tuple(rows),
            ),
            Table(
                title="A map of 20 x 20 in windows of 10 x 10 becomes 2 x 2",
                heading=("pooling", "top left", "top right", "bottom left", "bottom right"),
                rows=tuple((how, *(float(value) for value in pooled(large, how, 10, 10).ravel())) for how in ("max", "mean")),
            ),
            shifts(),
        ),
        notes=("Pooling has no parameters, keeps salient values, and tolerates small shifts.",),
        pictures={"pooling.png": draw},
    )


def windows(image: np.ndarray, window: int, stride: int) -> list[tuple[int, int, slice, slice]]:
    """Each window's row and column in the output, and the part of the image that it covers."""
    height, width = ((size - window) // stride + 1 for size in image.shape)
    places = [(r, c) for r in range(height) for c in range(width)]
    return [(r, c, slice(r * stride, r * stride + window), slice(c * stride, c * stride + window)) for r, c in places]


def pooled(image: np.ndarray, how: str, window: int, stride: int) -> np.ndarray:
    """The maximum or mean of each window."""
    output = np.zeros([(size - window) // stride + 1 for size in image.shape])
    for row, column, across, along in windows(image, window, stride):
        part = image[across, along]
        output[row, column] = part.max() if how == "max" else part.mean()
    return output


def sent_back(image: np.ndarray, delta: np.ndarray, how: str, window: int, stride: int) -> np.ndarray:
    """The error at each place of the image."""
    error = np.zeros_like(image)
    for row, column, across, along in windows(image, window, stride):
        if how == "mean":
            error[across, along] += delta[row, column] / window**2
        else:
            place = np.unravel_index(image[across, along].argmax(), (window, window))
            error[across, along][place] += delta[row, column]
    return error


def autograd(image: np.ndarray, delta: np.ndarray, how: str, window: int, stride: int) -> np.ndarray:
    """The same by torch."""
    inputs = torch.tensor(image[None, None], requires_grad=True)
    output = F.max_pool2d(inputs, window, stride) if how == "max" else F.avg_pool2d(inputs, window, stride)
    gradient: np.ndarray = torch.autograd.grad(output, inputs, torch.tensor(delta[None, None]))[0].numpy()[0, 0]
    return gradient


def shifts() -> Table:
    """The change of the scanned digits when each is shifted by one pixel, before and after pooling."""
    from sklearn.datasets import load_digits

    images = load_digits().images[:200]
    shifted = np.roll(images, 1, axis=2)
    rows: list[tuple[str, float]] = [("pixels", changed(images, shifted))]
    for how in ("max", "mean"):
        before, after = (np.stack([pooled(image, how, 2, 2) for image in some]) for some in (images, shifted))
        rows.append((f"{how} 2 x 2", changed(before, after)))
    return Table(title="200 digits shifted by one pixel: |change| / |digit|", heading=("what", "change"), rows=tuple(rows))


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """The mean of |after - before| / |before| over images."""
    axes = (1, 2)
    return float((np.linalg.norm(after - before, axis=axes) / np.linalg.norm(before, axis=axes)).mean())


def draw() -> bytes:
    """Forward and backward of both on small whole numbers, as a PNG."""
    with demo_figure(11, 6) as figure:
        from matplotlib.patches import Rectangle

        for row, how in zip(figure.subplots(2, 4), ("max", "mean"), strict=True):
            titles = ("image", f"{how} of each window", "error that comes back", "error at the image: same sum")
            values = (IMAGE, pooled(IMAGE, how, 2, 2), DELTA, sent_back(IMAGE, DELTA, how, 2, 2))
            for axes, title, matrix in zip(row, titles, values, strict=True):
                numbers(axes, matrix, title=title, size=13)
            for axes in (row[0], row[3]):
                for corner in ((-0.5, -0.5), (1.5, -0.5), (-0.5, 1.5), (1.5, 1.5)):
                    axes.add_patch(Rectangle(corner, 2, 2, fill=False, edgecolor="#222222", linewidth=2, clip_on=False, zorder=5))
        return png_bytes(figure)
