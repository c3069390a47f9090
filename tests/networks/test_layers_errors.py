"""What a user reads when a layer's fields or its input do not fit."""

from __future__ import annotations

import subprocess
import sys

import pytest

from striate.core.errors import EnvironmentFault, ShapeError, UsageError
from striate.networks.layers import (
    Chain,
    ChannelLinear,
    Conv,
    ConvTranspose,
    DeformableConv,
    Flatten,
    Interpolate,
    LocallyConnected,
    PadChannels,
    Pool,
)

MISFITS = (
    (Conv(4, 5), (3, 4, 9), "convolution with a 5 x 5 kernel needs at least 5 x 5 places, got 4 x 9"),
    (Conv(4, 3, dilation=3), (3, 6, 9), "convolution with a 3 x 3 kernel dilated by 3 x 3 needs at least 7 x 7 places, got 6 x 9"),
    (Conv(4, 5, padding=1), (3, 2, 9), "convolution with a 5 x 5 kernel needs at least 3 x 3 places, got 2 x 9"),
    (Conv(4, 3), (3,), "convolution needs a shape (C, L) or (C, H, W) or (C, D, H, W), got (3,)"),
    (Conv(4, (3, 3)), (3, 9), "kernel_size (3, 3) has 2 entries, but the input has 1 spatial axes"),
    (Conv(4, 3, padding=(1, 1, 1)), (3, 9, 9), "padding (1, 1, 1) has 3 entries, but the input has 2 spatial axes"),
    (Conv(4, 3, groups=2), (3, 9, 9), "groups=2 must divide 3 input and 4 output channels"),
    (Conv(2, 3, connections=((0,), (5,))), (3, 9, 9), "connections name input map 5, but there are 3 maps, 0 to 2, in (3, 9, 9)"),
    (Conv(1, 3, connections=((0,),)), (3, 9), "connections need a shape (C, H, W)"),
    (Conv(1, 2, padding="same", connections=((0,),)), (3, 9, 9), "and symmetric padding, got (3, 9, 9) and 'same'"),
    (ConvTranspose(4, 3, groups=3), (3, 4, 5), "groups=3 must divide 3 input and 4 output channels"),
    (ConvTranspose(4, 3, 2, output_padding=2), (3, 4, 5), "output_padding 2 x 2 must be smaller than stride 2 x 2 or dilation 1 x 1"),
    (ConvTranspose(4, 1, padding=2), (3, 4, 4), "transposed convolution with a 1 x 1 kernel and padding 2 x 2 leaves nothing of (3, 4, 4)"),
    (Interpolate(0.1), (3, 9, 12), "interpolation by (0.1, 0.1) leaves nothing of (3, 9, 12)"),
    (Interpolate((2.0, 2.0, 2.0)), (3, 9, 12), "scale (2.0, 2.0, 2.0) has 3 entries, but the input has 2 spatial axes"),
    (DeformableConv(4, 3), (3, 9), "deformable convolution needs a shape (C, H, W), got (3, 9)"),
    (DeformableConv(4, 2, padding="same"), (3, 9, 9), "deformable convolution needs symmetric padding, but 'same' gives"),
    (DeformableConv(4, 3, offset_groups=2), (3, 9, 9), "offset_groups=2 must divide 3 input and 4 output channels"),
    (LocallyConnected(4, 5), (3, 4, 9), "locally connected layer with a 5 x 5 window needs at least 5 x 5 places, got 4 x 9"),
    (ChannelLinear(4), (3,), "channel linear needs a shape (C, L) or (C, H, W) or (C, D, H, W), got (3,)"),
    (PadChannels(2), (3, 4, 4), "channel padding to 2 channels needs at most as many, got 3 in (3, 4, 4)"),
)


@pytest.mark.parametrize(("layer", "shape", "words"), MISFITS, ids=[str(layer) for layer, _, _ in MISFITS])
def test_a_shape_that_does_not_fit_is_refused_with_what_came_and_what_is_needed(layer, shape, words):
    for method in (layer.output_shape, layer.build):
        with pytest.raises(ShapeError) as caught:
            method(shape)
        assert words in str(caught.value)


def test_the_error_names_the_layers_path():
    chain = Chain(stem=Conv(4, 3), stage1=Chain(block1=Chain(pool=Pool("max", 2), conv=Conv(4, 5))), head=Flatten())
    for method in (chain.output_shape, chain.build, chain.cost):
        with pytest.raises(ShapeError) as caught:
            method((3, 10, 12))
        assert str(caught.value) == "stage1.block1.conv: convolution with a 5 x 5 kernel needs at least 5 x 5 places, got 4 x 5"
        assert caught.value.path == "stage1.block1.conv"


FIELDS = (
    (lambda: Conv(0, 3), "Conv: out_channels: must be at least 1, got 0"),
    (lambda: Conv(4, (3, 0)), "Conv: kernel_size.1: must be at least 1, got 0"),
    (lambda: Conv(4, 3, padding=-1), "Conv: padding: must be at least 0, got -1"),
    (lambda: Conv(4, 3, padding="full"), "Conv: padding: must be a whole number, a list, valid, same or tf_same, got 'full'"),
    (lambda: Conv(4), "Conv: kernel_size: is missing"),
    (lambda: Conv(4, 3, strides=2), "Conv: strides: is not known"),
    (lambda: Conv(3, 3, connections=((0,),)), "connections must list the inputs of each of 3 output maps, with groups=1, got 1"),
    (lambda: Conv(2, 3, connections=((0,), ())), "connections of output map 1 must be one or more distinct input maps from 0 on, got ()"),
    (
        lambda: Conv(1, 3, connections=((1, 1),)),
        "connections of output map 0 must be one or more distinct input maps from 0 on, got (1, 1)",
    ),
    (Interpolate, "interpolation needs either scale or size, got scale=None and size=None"),
    (lambda: Interpolate(2, 5), "interpolation needs either scale or size, got scale=2.0 and size=5"),
    (lambda: Interpolate(float("nan")), "Interpolate: scale: "),
)


@pytest.mark.parametrize(("make", "words"), FIELDS, ids=[words for _, words in FIELDS])
def test_a_wrong_field_is_a_usage_error_that_names_it(make, words):
    with pytest.raises(UsageError) as caught:
        make()
    assert words in caught.value.message


def test_the_remedy_lists_the_fields():
    with pytest.raises(UsageError) as caught:
        Pool("max", 2, steps=3)
    assert caught.value.remedy == "The fields are how, kernel_size, stride, padding, ceil_mode, count_padding."


def test_a_locally_connected_module_says_which_size_it_fits():
    torch = pytest.importorskip("torch")
    module = LocallyConnected(4, 3).build((3, 5, 6))
    with pytest.raises(ShapeError, match=r"this locally connected layer fits \(3, 5, 6\) only, got \(3, 6, 6\)"):
        module(torch.zeros(2, 3, 6, 6))


def test_deformable_convolution_without_torchvision_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "striate.networks.modules.deformable", raising=False)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.ops", None)
    with pytest.raises(EnvironmentFault, match="deformable convolution needs torchvision, which is not available") as caught:
        DeformableConv(4, 3).build((3, 5, 6))
    assert caught.value.remedy == "Install it with: pip install 'striate[vision]'"


def test_describing_does_not_import_torch():
    code = (
        "import sys; from striate.networks.layers import Chain, Conv, LSTM, ToSequence\n"
        "chain = Chain(Conv(4, 3), ToSequence(), LSTM(5)); chain.cost((3, 8, 9)); str(chain)\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
