"""Receptive fields: the pixels that a stack of layers depends on, and how strongly.

The size follows r += (k - 1) j, j *= stride. That a network looks mostly at the middle of what it can see is from Luo et al., 2016,
arXiv:1701.04128: with random weights the gradient is a bell whose width grows as the root of the depth.
"""

from __future__ import annotations

import numpy as np
import torch

from striate.core.seeds import torch_seed
from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure
from striate.drawing.style import bare, png_bytes
from striate.networks.catalog import network
from striate.networks.layers import Activation, Chain, Conv, Layer, Pool
from striate.networks.network import Network

SIDE, CHANNELS = 41, 8
NAMES = ("lenet5", "alexnet", "vgg16", "resnet18", "resnet50", "googlenet", "densenet121")


def conv(kernel_size: int, *, stride: int = 1, dilation: int = 1) -> Conv:
    """One layer of a stack."""
    return Conv(CHANNELS, kernel_size, stride=stride, padding=dilation * (kernel_size // 2), dilation=dilation)


STACKS: dict[str, tuple[Layer, ...]] = {
    "one 5x5": (conv(5),),
    "two 3x3": (conv(3), conv(3)),
    "one 7x7": (conv(7),),
    "three 3x3": (conv(3), conv(3), conv(3)),
    "ten 3x3": tuple(conv(3) for _ in range(10)),
    "3x3 dilated by 1, 2, 4, 8": tuple(conv(3, dilation=d) for d in (1, 2, 4, 8)),
    "3x3, max 2x2, twice, 3x3": (conv(3), Pool("max", 2), conv(3), Pool("max", 2), conv(3)),
    "3x3 stride 2, three times": tuple(conv(3, stride=2) for _ in range(3)),
}


def show(setting: Setting) -> Shown:
    """By the formula, and measured by the gradient of the middle output for the input."""
    seen = {name: sight(layers, setting) for name, layers in STACKS.items()}
    rows = []
    for name, layers in STACKS.items():
        described = stack(layers)
        sides = [layer.kernel_size for layer in layers if isinstance(layer, Conv) and isinstance(layer.kernel_size, int)]
        weights = sum(side**2 for side in sides)
        rows.append((name, str(described.receptive_field), extent(seen[name]), width(seen[name]), f"{weights} C^2"))
    known = []
    for name in NAMES[:3] if setting.short else NAMES:
        net = network(name)
        known.append((name, f"{net.input_shape[-2]} x {net.input_shape[-1]}", str(net.receptive_field)))
    return Shown(
        tables=(
            Table(
                title="Stacks of convolutions with ReLU, pixels along one side",
                heading=("stack", "by the formula", "measured", "2/3 of the gradient", "weights, C channels"),
                rows=tuple(rows),
            ),
            Table(title="Networks of the catalogue", heading=("network", "input", "receptive field"), rows=tuple(known)),
        ),
        notes=(
            "Two 3x3 see what a 5x5 sees with 28 % fewer weights, three what a 7x7 sees with 45 % fewer.",
            "Deep stacks can see far, but depend mostly on the middle.",
        ),
        pictures={"receptive-field.png": lambda: draw(seen)},
    )


def stack(layers: tuple[Layer, ...]) -> Network:
    """The layers on one map, with a ReLU after each convolution."""
    parts = [part for layer in layers for part in ((layer, Activation("relu")) if isinstance(layer, Conv) else (layer,))]
    return Network(name="stack", input_shape=(1, SIDE, SIDE), root=Chain(*parts))


def sight(layers: tuple[Layer, ...], setting: Setting) -> np.ndarray:
    """The size of the gradient of the middle output for each pixel (SIDE, SIDE), a mean over random weights and images."""
    total = np.zeros((SIDE, SIDE))
    for draw_number in range(4 if setting.short else 30):
        with torch_seed(setting.seed + draw_number):
            module = stack(layers).build()
            images = torch.randn(8, 1, SIDE, SIDE, requires_grad=True)
        output = module(images)
        middle = output[:, :, output.shape[2] // 2, output.shape[3] // 2].sum(1)
        total += sum(torch.autograd.grad(one, images, retain_graph=True)[0].abs().sum((0, 1)).numpy() for one in middle)
    shares: np.ndarray = total / total.max()
    return shares


def extent(seen: np.ndarray) -> int:
    """Pixels from the first to the last that has a gradient."""
    rows = np.flatnonzero(seen.any(1))
    return int(rows[-1] - rows[0] + 1)


def width(seen: np.ndarray) -> int:
    """The side of the smallest square about the middle that holds two thirds of the gradient."""
    rows = np.flatnonzero(seen.any(1))
    middle = int(rows[0] + rows[-1]) // 2
    columns = np.flatnonzero(seen.any(0))
    centre = int(columns[0] + columns[-1]) // 2
    for reach in range(SIDE):
        part = seen[max(0, middle - reach) : middle + reach + 1, max(0, centre - reach) : centre + reach + 1]
        if part.sum() >= 2 / 3 * seen.sum():
            return 2 * reach + 1
    return SIDE


def draw(seen: dict[str, np.ndarray]) -> bytes:
    """The gradient of each stack, with the square that the formula gives, as a PNG."""
    with demo_figure(11, 6) as figure:
        from matplotlib.patches import Rectangle

        told = "How strongly the middle output depends on each pixel (41 x 41), darker where more; the square is its receptive field"
        figure.suptitle(told, x=0.01, ha="left")
        for axes, (name, gradient) in zip(figure.subplots(2, 4).flat, seen.items(), strict=True):
            size = stack(STACKS[name]).receptive_field
            bare(axes, title=f"{name}: {size} x {size}")
            axes.imshow(gradient**0.5, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
            rows, columns = np.flatnonzero(gradient.any(1)), np.flatnonzero(gradient.any(0))
            corner = columns[0] - 0.5, rows[0] - 0.5
            sides = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
            axes.add_patch(Rectangle(corner, *sides, fill=False, edgecolor="#d9731a", linewidth=1.4))
        return png_bytes(figure)
