"""Receptive fields against what the built network really sees: light up one pixel at a time and look which outputs change."""

from __future__ import annotations

from math import ceil

import pytest
import torch
from torch import Tensor

from striate.networks.layers import (
    Activation,
    AdaptivePool,
    Chain,
    Conv,
    ConvTranspose,
    GlobalPool,
    Identity,
    Interpolate,
    Layer,
    LocallyConnected,
    PadChannels,
    Parallel,
    Pool,
    Shape,
    Subsample,
    View,
)
from striate.networks.layers.forms import asymmetric_conv
from striate.networks.network import Network


def what_each_place_sees(layer: Layer, shape: Shape) -> Tensor:
    """(places out, places in) bool: whether an output place changes when an input place is lit. Weights are positive, biases 0."""
    module = layer.build(shape).double().eval()
    for name, parameter in module.named_parameters():
        parameter.data = torch.zeros_like(parameter) if name.endswith("bias") else parameter.data.abs() + 0.1
    places = shape[1] * shape[2]
    lit = torch.eye(places, dtype=torch.float64).view(places, 1, *shape[1:]).expand(places, *shape)
    with torch.inference_mode():
        change = module(lit) - module(torch.zeros(1, *shape, dtype=torch.float64))  # (places, C, h, w)
    return (change.abs().sum(1) > 0).flatten(1).T


def extents(seen: Tensor, shape: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
    """The first and last row, and the first and last column, that one output place sees."""
    rows, columns = seen.view(shape[1:]).nonzero(as_tuple=True)
    return (int(rows.min()), int(rows.max())), (int(columns.min()), int(columns.max()))


def view_of(layer: Layer, shape: Shape) -> View:
    return View.of_input(2).through(layer.cost(shape).reach)


SHAPE = (1, 25, 28)
WINDOWS = {
    "one kernel": Conv(1, (3, 5)),
    "even kernel, padding same": Conv(1, 4, padding="same"),
    "stride and padding": Conv(1, 5, stride=(2, 3), padding=(2, 1)),
    "dilated": Chain(Conv(1, 3, dilation=2), Conv(1, (2, 3), dilation=(3, 1))),
    "tensorflow padding": Chain(Conv(1, 3, stride=2, padding="tf_same"), Conv(1, 4, stride=2, padding="tf_same")),
    "pools": Chain(Conv(1, 3), Pool("max", 2), Conv(1, 3), Pool("avg", 3, 2, padding=1)),
    "pool rounded up": Chain(Pool("max", 3, 2, ceil_mode=True), Conv(1, 2)),
    "adaptive": Chain(Conv(1, (3, 2), stride=(1, 2)), AdaptivePool((23, 7))),
    "sub-sampling": Chain(Conv(1, 5), Subsample(2), Conv(1, 3)),
    "unshared": LocallyConnected(1, (3, 2), stride=2),
    "option a": Chain(PadChannels(2, 2), Conv(1, 3)),
    "asymmetric": Chain(asymmetric_conv(1, 3), asymmetric_conv(1, 5)),
    "residual": Chain(
        block1=Parallel(body=Chain(Conv(1, 3, padding=1), Activation("relu"), Conv(1, 3, padding=1)), shortcut=Identity(), merge="sum"),
        block2=Parallel(body=Chain(Conv(1, 3, stride=2, padding=1), Conv(1, 3, padding=1)), shortcut=Conv(1, 1, stride=2), merge="sum"),
    ),
    "inception": Chain(
        Conv(1, 3, stride=2, padding=1),
        Parallel(Conv(1, 1), Conv(1, 3, padding=1), Conv(1, 5, padding=2), Pool("max", 3, 1, padding=1), merge="concat"),
    ),
    "wide and tall branches": Parallel(wide=Conv(1, (1, 5), padding="same"), tall=Conv(1, (7, 1), padding="same"), merge="concat"),
    "branches that look aside": Parallel(Conv(1, 2, padding="same"), Chain(Conv(1, 1, padding=1), Conv(1, 2)), merge="sum", crop=0),
    "reduction without padding": Parallel(
        Conv(1, 3, stride=2), Pool("max", 3, 2), Chain(Conv(1, 3, padding=1), Conv(1, 3, stride=2)), merge="concat"
    ),
    "cut skip": Parallel(deep=Chain(Conv(1, 3), Conv(1, 3)), skip=Conv(1, 1), merge="sum", crop=2),
    "size from another branch": Parallel(deep=Conv(1, 2), size=Conv(1, 4), merge="first", crop=1),
}


@pytest.mark.row("000-14")
@pytest.mark.row("003-15")
@pytest.mark.row("004-8")
@pytest.mark.parametrize("layer", WINDOWS.values(), ids=WINDOWS)
def test_each_place_inside_sees_exactly_the_view(layer):
    view, (_, *out) = view_of(layer, SHAPE), layer.output_shape(SHAPE)
    seen = what_each_place_sees(layer, SHAPE)
    checked = 0
    for row in range(out[0]):
        for column in range(out[1]):
            wanted = [
                (c + place * j - (r - 1) / 2, c + place * j + (r - 1) / 2)
                for c, j, r, place in zip(view.centre, view.stride, view.size, (row, column), strict=True)
            ]
            if any(low < 0 or high > n - 1 for (low, high), n in zip(wanted, SHAPE[1:], strict=True)):
                continue  # reaches over the border, where there is nothing to light
            assert list(extents(seen[row * out[1] + column], SHAPE)) == wanted
            checked += 1
    assert checked >= 4


ENLARGING = {
    "transposed 4/2": Chain(Conv(1, 3, stride=2, padding=1), ConvTranspose(1, 4, 2, 1)),
    "transposed 2/2 and a convolution": Chain(Pool("max", 2), ConvTranspose(1, 2, 2), Conv(1, 3, padding=1)),
    "transposed 3/2": ConvTranspose(1, 3, 2, 1, 1),
    "transposed 5/3": Chain(ConvTranspose(1, 5, 3, 1), Conv(1, 3, padding=1)),
    "transposed, dilated": ConvTranspose(1, 4, 2, dilation=3),
    "nearest": Chain(Conv(1, 3, stride=2, padding=1), Interpolate(2), Conv(1, 3, padding=1)),
    "bilinear": Chain(Pool("avg", 4), Interpolate(4, mode="bilinear")),
    "bilinear, three times": Interpolate(3, mode="bilinear"),
    "adaptive": Chain(AdaptivePool(12), Conv(1, 3, padding=1), AdaptivePool(24)),
    "resized": Parallel(deep=Chain(Pool("avg", 4), Conv(1, 3, padding=1)), size=Identity(), merge="resize"),
    "u-net": Parallel(
        deep=Chain(Pool("max", 2), Conv(1, 3, padding=1), ConvTranspose(1, 2, 2)), skip=Conv(1, 3, padding=1), merge="concat"
    ),
}


@pytest.mark.row("000-16")
@pytest.mark.parametrize("layer", ENLARGING.values(), ids=ENLARGING)
def test_after_enlarging_the_view_is_the_largest_and_the_mean_centre_over_one_period(layer):
    """Places side by side then see windows of different size and phase."""
    shape = (1, 24, 28)
    view, (_, *out) = view_of(layer, shape), layer.output_shape(shape)
    seen = what_each_place_sees(layer, shape)
    for axis in (0, 1):
        middle, period = out[axis] // 2 // 12 * 12, 12
        windows = []
        for place in range(middle - 6, middle - 6 + period):
            at = (place, out[1] // 2) if axis == 0 else (out[0] // 2, place)
            windows.append(extents(seen[at[0] * out[1] + at[1]], shape)[axis])
        assert max(high - low + 1 for low, high in windows) == ceil(view.size[axis])
        centres = [(low + high) / 2 - (middle - 6 + index) * view.stride[axis] for index, (low, high) in enumerate(windows)]
        assert abs(sum(centres) / period - view.centre[axis]) < 1e-9


def test_a_gate_that_sees_everything_does_not_widen_the_view():
    gated = Parallel(gate=GlobalPool("avg", keep_axes=True), body=Conv(1, 3, padding=1), merge="multiply")
    assert view_of(gated, SHAPE).size == (3, 3) and not view_of(gated, SHAPE).whole
    assert view_of(GlobalPool(), SHAPE).whole
    joined = Parallel(image=GlobalPool("avg", keep_axes=True), body=Conv(1, 3, padding=1), merge="concat")
    assert view_of(joined, SHAPE).whole, "what is joined is seen, unlike what closes and opens"


@pytest.mark.row("004-8")
def test_published_receptive_fields():
    """VGG-16: 196 at conv5_3 and 212 at pool5; AlexNet: 195 at pool5 (Araujo, Norris and Sim 2019)."""
    blocks = [c for width in (2, 2, 3, 3, 3) for c in (*(Conv(1, 3, padding=1),) * width, Pool("max", 2))]
    assert Network("vgg", (3, 224, 224), Chain(*blocks[:-1])).receptive_field == 196
    assert Network("vgg", (3, 224, 224), Chain(*blocks)).receptive_field == 212
    pool = Pool("max", 3, 2)
    same = [Conv(1, 3, padding=1)] * 3
    alexnet = Chain(Conv(1, 11, stride=4), pool, Conv(1, 5, padding=2), pool, *same, pool)
    assert Network("alexnet", (3, 227, 227), alexnet).receptive_field == 195


def test_the_receptive_field_has_one_number_for_each_axis_where_they_differ():
    network = Network("wide", (1, 20, 22), Chain(Conv(1, (3, 5)), Pool("max", (1, 2))))
    assert network.receptive_field == (3, 6)
    assert Network("none", (1, 5, 6), Chain(Activation("relu"))).receptive_field == 1
