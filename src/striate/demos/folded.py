"""A convolution folded into a product of matrices: the kernel as a sparse matrix (Toeplitz), or the image as a table of windows (im2col).

Source: Chellapilla, Puri and Simard, 2006, "High performance convolutional neural networks for document processing" (the windows).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from striate.demos.convolution import IMAGE, KERNEL, correlate
from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure, numbers
from striate.drawing.style import png_bytes


def show(setting: Setting) -> Shown:
    """The same convolution three ways, on the image of the convolution demo and on random ones."""
    generator = np.random.default_rng(setting.seed)
    image, kernel = generator.normal(size=(9, 12)), generator.normal(size=(3, 4))
    by_hand = correlate(image, kernel)
    folded = {"kernel as a matrix": folded_kernel(kernel, image.shape), "image as windows": windows(image, kernel.shape)}
    products = (folded["kernel as a matrix"] @ image.ravel(), folded["image as windows"] @ kernel.ravel())
    return Shown(
        tables=(
            Table(
                title="A 9 x 12 image and a 3 x 4 kernel as a product of a matrix and a vector",
                heading=("form", "rows", "columns", "share of zeros", "largest difference from the loop"),
                rows=tuple(
                    (name, *matrix.shape, float((matrix == 0).mean()), float(np.abs(product - by_hand.ravel()).max()))
                    for (name, matrix), product in zip(folded.items(), products, strict=True)
                ),
            ),
        ),
        notes=(
            "The matrix of the kernel is a dense layer's whose weights are shared and mostly zero: that is what convolution saves.",
            "Its transpose carries the error back to the image (a transposed convolution). Libraries multiply the table of windows.",
        ),
        pictures={"folded.png": draw},
    )


def folded_kernel(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix (outputs, pixels) that correlates an image of `shape`, read row by row, with `kernel`: blocks of diagonals."""
    height, width = (size - k + 1 for size, k in zip(shape, kernel.shape, strict=True))
    matrix = np.zeros((height, width, *shape))
    for row, column in np.ndindex(height, width):
        matrix[row, column, row : row + kernel.shape[0], column : column + kernel.shape[1]] = kernel
    return matrix.reshape(height * width, -1)


def windows(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The table (outputs, numbers of a window) of the image's windows, each read row by row."""
    return np.lib.stride_tricks.sliding_window_view(image, size).reshape(-1, int(np.prod(size)))


def draw() -> bytes:
    """Both products on the small whole numbers of the convolution demo, as a PNG."""
    answer = correlate(IMAGE, KERNEL)
    with demo_figure(12.5, 8.2) as figure:
        grid = figure.add_gridspec(2, 1)
        first: Any = grid[0].subgridspec(1, 3, width_ratios=(25, 2.2, 2.2)).subplots()
        numbers(first[0], folded_kernel(KERNEL, IMAGE.shape), title="the kernel as a matrix, 9 x 25: a row for each output", size=7)
        numbers(first[1], IMAGE.reshape(-1, 1), title="image", size=7)
        second: Any = grid[1].subgridspec(1, 5, width_ratios=(6, 9, 2, 2, 6)).subplots()
        numbers(second[0], IMAGE, title="image, 5 x 5", size=9)
        numbers(second[1], windows(IMAGE, KERNEL.shape), title="its windows, 9 x 9", size=8)
        numbers(second[2], KERNEL.reshape(-1, 1), title="kernel", size=8)
        for axes in (first[2], second[3]):
            numbers(axes, answer.reshape(-1, 1), title="output", size=8)
        numbers(second[4], answer, title="output, 3 x 3", size=9)
        return png_bytes(figure)
