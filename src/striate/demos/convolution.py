"""Convolution by hand: forward window by window, backward by the two rules, and its kinds.

Forward: the image and kernel of the UFLDL tutorial, whose answer is published. Backward, with delta the error at the output:
kernel gradient = correlation of the input with delta; input gradient = full correlation of delta with the kernel rotated by 180 degrees.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from striate.demos.kernel_kinds import draw_kinds, kinds
from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import DEMO_DPI, animation, demo_figure, numbers
from striate.drawing.style import COLOURS, TITLE, drawing, png_bytes

IMAGE = np.array([[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]], float)
KERNEL = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], float)


def show(setting: Setting) -> Shown:
    """Convolve by hand, back-propagate by hand, and compare the kinds of convolution."""
    answer = correlate(IMAGE, KERNEL)
    rows = kinds(setting.seed)
    return Shown(
        tables=(
            Table(
                title="Forward, by hand: 5 x 5 image, 3 x 3 kernel",
                heading=("row", *(f"column {c}" for c in range(3))),
                rows=tuple((str(row), *(int(value) for value in answer[row])) for row in range(3)),
            ),
            Table(
                title="Backward, by hand: 6 x 7 image, 3 x 3 kernel; the largest difference from autograd's gradient",
                heading=("gradient of", "stride", "rule", "difference"),
                rows=backward(setting.seed),
            ),
            Table(
                title="Kinds, on 4 x 9 x 9 with 8 maps out (a MAC: one multiplication and one addition)",
                heading=("kind", "output", "params", "MACs", "the same as", "difference"),
                rows=tuple((k.name, "x".join(map(str, k.output_shape)), k.params, k.macs, k.law, k.difference) for k in rows),
            ),
        ),
        notes=(
            "What networks call convolution is correlation: the kernel is not flipped.",
            "In the backward pass the kernel is rotated by 180 degrees, not transposed.",
            "A difference of about 1e-15 is rounding error: the two are equal.",
        ),
        pictures={
            "forward.gif": lambda: draw_forward(frames=2 if setting.short else 9),
            "backward.png": draw_backward,
            "kinds.png": lambda: draw_kinds(rows),
        },
    )


def correlate(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The sum of products at each place where the kernel fits: out = in - k + 1."""
    (height, width), (k, m) = image.shape, kernel.shape
    places = [[(image[r : r + k, c : c + m] * kernel).sum() for c in range(width - m + 1)] for r in range(height - k + 1)]
    return np.array(places)


def spread(delta: np.ndarray, stride: int, kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """delta with stride - 1 zeros between its values and k - 1 around them; at the end also those that no window reached."""
    k, m = kernel.shape
    wide = np.zeros((shape[0] + k - 1, shape[1] + m - 1))
    wide[k - 1 : k - 1 + stride * len(delta) : stride, m - 1 : m - 1 + stride * delta.shape[1] : stride] = delta
    return wide


def backward(seed: int) -> tuple[tuple[str | int | float, ...], ...]:
    """Both gradients by the rules, beside torch's; and the wrong result of transposing instead of rotating."""
    generator = np.random.default_rng(seed)
    image, kernel = generator.normal(size=(6, 7)), generator.normal(size=(3, 3))
    rows: list[tuple[str | int | float, ...]] = []
    for stride in (1, 2):
        delta = generator.normal(size=tuple((n - 3) // stride + 1 for n in image.shape))
        of_kernel, of_image = autograd(image, kernel, delta, stride)
        wide = spread(delta, stride, kernel, image.shape)
        zeros_between = wide[2 : 2 + stride * (len(delta) - 1) + 1, 2 : 2 + stride * (delta.shape[1] - 1) + 1]
        by_hand = correlate(image, zeros_between)[:3, :3]
        rows.append(("kernel", stride, "delta as the kernel over the image", float(np.abs(by_hand - of_kernel).max())))
        turned = correlate(wide, kernel[::-1, ::-1])
        rows.append(("image", stride, "kernel rotated by 180 degrees over padded delta", float(np.abs(turned - of_image).max())))
        transposed = correlate(wide, kernel.T)
        rows.append(("image", stride, "wrong: kernel transposed", float(np.abs(transposed - of_image).max())))
    return tuple(rows)


def autograd(image: np.ndarray, kernel: np.ndarray, delta: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of sum(delta * convolution) by torch, for the kernel and for the image."""
    inputs, weights = (torch.tensor(array, requires_grad=True) for array in (image, kernel))
    output = F.conv2d(inputs[None, None], weights[None, None], stride=stride)[0, 0]
    of_kernel, of_image = torch.autograd.grad(output, (weights, inputs), torch.tensor(delta))
    return of_kernel.numpy(), of_image.numpy()


def draw_forward(*, frames: int) -> bytes:
    """The window over the image, the products, and the output as it fills, as a GIF."""
    answer = correlate(IMAGE, KERNEL)
    with drawing():
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle

        figure = Figure(figsize=(12.0, 3.8), dpi=DEMO_DPI)
        places = ((0.015, 0.27), (0.325, 0.16), (0.54, 0.2), (0.79, 0.2))
        image, kernel, products, output = (figure.add_axes((left, 0.06, width, 0.74)) for left, width in places)
        figure.text(0.015, 0.91, "image (5 x 5), and the window on it", fontsize=TITLE)
        figure.text(0.325, 0.91, "kernel (3 x 3)", fontsize=TITLE)
        heading = figure.text(0.54, 0.91, "", fontsize=TITLE)
        figure.text(0.79, 0.91, "output: 5 - 3 + 1 = 3 a side", fontsize=TITLE)
        for x, sign in ((0.305, "*"), (0.5125, "="), (0.765, "→")):
            figure.text(x, 0.43, sign, fontsize=20, ha="center", va="center")
        numbers(kernel, KERNEL, largest=1, size=14)

        def frame(index: int) -> None:
            row, column = divmod(index, 3)
            part = IMAGE[row : row + 3, column : column + 3]
            for axes in (image, products, output):
                axes.clear()
            numbers(image, IMAGE, size=14)
            window = Rectangle((column - 0.5, row - 0.5), 3, 3, fill=False, edgecolor=COLOURS[0], linewidth=3, clip_on=False)
            image.add_patch(window)
            numbers(products, part * KERNEL, largest=1, size=14)
            for r, c in np.ndindex(3, 3):
                products.text(c, r + 0.36, f"{part[r, c]:g} x {KERNEL[r, c]:g}", ha="center", va="center", fontsize=8, color="#666666")
            filled = np.where(np.arange(9).reshape(3, 3) <= index, answer, 0)
            numbers(output, filled, largest=4, size=16)
            for r, c in np.ndindex(3, 3):
                if 3 * r + c > index:
                    output.texts[3 * r + c].set_text("")
            output.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=COLOURS[0], linewidth=3, clip_on=False))
            heading.set_text(f"products: their sum is {answer[row, column]:g}")

        return animation(figure, frame, frames, frame_ms=900)


def draw_backward() -> bytes:
    """The two rules on small whole numbers, as a PNG."""
    delta = np.array([[1, 0, -1], [2, 1, 0], [0, -1, 1]], float)
    kernel = np.array([[1, 2, 0], [0, 1, -1], [3, 0, 1]], float)
    wide = spread(delta, 1, kernel, IMAGE.shape)
    panels = (
        (("image x", IMAGE, "*"), ("error at the output", delta, "="), ("kernel gradient", correlate(IMAGE, delta), "")),
        (
            ("error, padded by k - 1 = 2", wide, "*"),
            ("kernel, rotated by 180°", kernel[::-1, ::-1], "="),
            ("input gradient", correlate(wide, kernel[::-1, ::-1]), ""),
        ),
    )
    with demo_figure(9.6, 6.4) as figure:
        for axes_row, row in zip(figure.subplots(2, 3), panels, strict=True):
            for axes, (title, values, sign) in zip(axes_row, row, strict=True):
                numbers(axes, values, title=title, size=11)
                axes.text(1.09, 0.5, sign, transform=axes.transAxes, fontsize=20, ha="center", va="center")
        return png_bytes(figure)
