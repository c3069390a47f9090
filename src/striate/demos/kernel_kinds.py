"""The kinds of convolution side by side: their cost, the plain operation that each equals, and their receptive field."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.seeds import torch_seed
from striate.drawing.animation import demo_figure, tiles
from striate.drawing.style import bare, png_bytes
from striate.networks.layers import Chain, Conv, ConvTranspose, DeformableConv, Layer, LocallyConnected
from striate.networks.network import Network

SHAPE = (4, 9, 9)
OUT = 8


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of convolution, and the difference of its outputs from those of the operation that it should equal."""

    name: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    law: str
    difference: float
    seen: np.ndarray = field(repr=False)  # (C, H, W): the size of the middle output's gradient at each input


Law = Callable[[nn.Module, Tensor], Tensor]


def kinds(seed: int) -> list[Kind]:
    """Each kind without biases, in float64, on two random inputs."""
    channels, same = SHAPE[0], "a convolution, with one kernel"
    depthwise, by_row, by_column = _conv(channels, 3, 1, groups=channels), _conv(1, (1, 3), (0, 1)), _conv(1, (3, 1), (1, 0))
    transposed = ConvTranspose(OUT, 4, stride=2, padding=1, bias=False)
    described: list[tuple[str, Layer, str, Law]] = [
        ("standard 3x3", _conv(OUT, 3, 1), "its sum, tap by tap", _tap_by_tap),
        ("1x1", _conv(OUT, 1, 0), "a linear layer at each pixel", _linear_at_pixels),
        ("dilated 3x3, by 2", _conv(OUT, 3, 2, dilation=2), "a 5x5 kernel with zeros between", _zero_stuffed),
        ("grouped 3x3, 2 groups", _conv(OUT, 3, 1, groups=2), "two convolutions side by side", _side_by_side),
        ("depthwise 3x3", depthwise, "one kernel a channel", _channel_by_channel),
        ("depthwise separable", Chain(first=depthwise, second=_conv(OUT, 1, 0)), "a 3x3, one pattern a channel", _composed),
        ("1x3, then 3x1", Chain(first=by_row, second=by_column), "a 3x3 that is an outer product", _outer),
        ("transposed 4x4, by 2", transposed, "a convolution's input gradient", _gradient_of_convolution),
        ("locally connected 3x3", LocallyConnected(OUT, 3, padding=1, bias=False), same, _with_one_kernel),
    ]
    if importlib.util.find_spec("torchvision") is not None:
        described.append(("deformable 3x3", DeformableConv(OUT, 3, padding=1, bias=False), "with no offsets, a convolution", _plain))
    found = []
    for place, (name, layer, law, other) in enumerate(described):
        with torch_seed(seed + place):
            module = layer.build(SHAPE).double()
            images = torch.randn(2, *SHAPE, dtype=torch.float64)
            wanted = other(module, images)  # first: some laws set the weights that they speak of
            difference = float((module(images) - wanted).abs().max().detach())
        found.append(_kind(name, layer, law, difference, module))
    return found


def _conv(
    out_channels: int, kernel_size: int | tuple[int, int], padding: int | tuple[int, int], *, dilation: int = 1, groups: int = 1
) -> Conv:
    return Conv(out_channels, kernel_size, padding=padding, dilation=dilation, groups=groups, bias=False)


def _kind(name: str, layer: Layer, law: str, difference: float, module: nn.Module) -> Kind:
    network = Network(name="kind", input_shape=SHAPE, root=Chain(layer))
    image = torch.zeros(1, *SHAPE, dtype=torch.float64, requires_grad=True)
    _, _, height, width = module(image).shape
    seen = torch.autograd.grad(module(image)[0, 0, height // 2, width // 2], image)[0][0].abs()
    return Kind(
        name=name,
        output_shape=network.output_shape,
        params=network.params,
        macs=network.macs,
        law=law,
        difference=difference,
        seen=seen.numpy(),
    )


def _weights(module: nn.Module) -> Tensor:
    return cast("Tensor", module.weight).detach()


def _tap_by_tap(module: nn.Module, x: Tensor) -> Tensor:
    padded, weights = F.pad(x, (1, 1, 1, 1)), _weights(module)
    taps = [torch.einsum("nchw,oc->nohw", padded[..., r : r + 9, c : c + 9], weights[:, :, r, c]) for r in range(3) for c in range(3)]
    return torch.stack(taps).sum(0)


def _linear_at_pixels(module: nn.Module, x: Tensor) -> Tensor:
    return F.linear(x.movedim(1, -1), _weights(module)[:, :, 0, 0]).movedim(-1, 1)


def _zero_stuffed(module: nn.Module, x: Tensor) -> Tensor:
    stuffed = torch.zeros(OUT, SHAPE[0], 5, 5, dtype=x.dtype)
    stuffed[:, :, ::2, ::2] = _weights(module)
    return F.conv2d(x, stuffed, padding=2)


def _side_by_side(module: nn.Module, x: Tensor) -> Tensor:
    halves = zip(x.chunk(2, 1), _weights(module).chunk(2), strict=True)
    return torch.cat([F.conv2d(some, kernel, padding=1) for some, kernel in halves], 1)


def _channel_by_channel(module: nn.Module, x: Tensor) -> Tensor:
    maps = [F.conv2d(x[:, c : c + 1], _weights(module)[c : c + 1], padding=1) for c in range(SHAPE[0])]
    return torch.cat(maps, 1)


def _composed(module: nn.Module, x: Tensor) -> Tensor:
    each, mix = (_weights(cast("nn.Module", part)) for part in (module.first, module.second))
    return F.conv2d(x, mix * each[:, 0][None], padding=1)  # (out, C, 1, 1) * (1, C, 3, 3)


def _outer(module: nn.Module, x: Tensor) -> Tensor:
    across, down = (_weights(cast("nn.Module", part)) for part in (module.first, module.second))
    return F.conv2d(x, down * across, padding=1)  # (1, 1, 3, 1) * (1, C, 1, 3)


def _gradient_of_convolution(module: nn.Module, x: Tensor) -> Tensor:
    image = torch.zeros(len(x), OUT, 18, 18, dtype=x.dtype, requires_grad=True)
    output = F.conv2d(image, _weights(module), stride=2, padding=1)  # the kernel of (4 in, 8 out), read from 8 to 4
    return torch.autograd.grad(output, image, x)[0]


def _with_one_kernel(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        cast("Tensor", module.weight).copy_(_weights(module)[:1].expand_as(_weights(module)))
    return F.conv2d(x, _weights(module)[0], padding=1)


def _plain(module: nn.Module, x: Tensor) -> Tensor:
    return F.conv2d(x, _weights(module), padding=1)


def draw_kinds(rows: list[Kind]) -> bytes:
    """The inputs seen by the middle of the first output map, by its gradient: the four input maps of each kind, as a PNG."""
    with demo_figure(11, 5.4) as figure:
        told = "Which inputs one output sees: the four 9 x 9 input maps of each kind, darker where the weight is larger"
        figure.suptitle(told, x=0.01, ha="left")
        panels = figure.subplots(2, -(-len(rows) // 2)).flat
        for axes, kind in zip(panels, rows, strict=False):
            seen = kind.seen / kind.seen.max()
            sheet = tiles(np.where(seen > 0, 0.25 + 0.75 * seen, 0.0), 2, gap=1, fill=np.nan)
            bare(axes, title=kind.name)
            axes.set_facecolor("#bbbbbb")
            axes.imshow(sheet, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        for axes in list(panels):
            axes.set_visible(False)
        return png_bytes(figure)
