"""Fully convolutional VGG-16 against published counts, a plain restatement, and the facts that it rests on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.catalog import network
from striate.networks.families.fcn import enlarge
from striate.networks.layers import Activation, Chain, Conv, Flatten, Linear, Pool

NAMES = ("fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16")


@pytest.mark.parametrize(("name", "params"), list(zip(NAMES, (136_152_917, 134_815_994, 134_489_759), strict=True)))
def test_fcn_has_its_parameters_and_sees_404_pixels(name: str, params: int) -> None:
    """404 pixels: section 4.3 of the paper."""
    net = network(name)

    assert (net.params, net.receptive_field) == (params, 404)
    assert net.output_shape == (21, 500, 500)


def test_each_layer_of_fcn8s_has_the_size_that_follows_from_100_pixels_of_padding() -> None:
    net = network("fcn8s_vgg16")
    rows = {row.path.removeprefix("crop.segment."): row for row in net.rows}
    deep = "fuse3.deep.fuse4.deep"

    assert net.macs == 181_529_034_048
    assert {
        path: (rows[path].output_shape, rows[path].cost.macs) for path in rows if "pool" in path or "score" in path or "up" in path
    } == {
        "stage1.pool": ((64, 349, 349), 0),
        "stage2.pool": ((128, 175, 175), 0),
        "stage3.pool": ((256, 88, 88), 0),
        "fuse3.deep.stage4.pool": ((512, 44, 44), 0),
        f"{deep}.stage5.pool": ((512, 22, 22), 0),
        f"{deep}.score": ((21, 16, 16), 22_020_096),
        f"{deep}.up2": ((21, 34, 34), 1_806_336),
        "fuse3.deep.up4": ((21, 70, 70), 8_156_736),
        "up8": ((21, 568, 568), 553_190_400),
    }
    assert rows["fuse3.deep.fuse4.skip"].cost.macs == 20_815_872
    assert rows["fuse3.skip"].cost.macs == 41_631_744
    assert rows[f"{deep}.hidden1.conv"].cost.params == 102_764_544


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.row("000-16")
def test_fcn_gives_scores_for_each_pixel_of_an_image_of_any_size(name: str) -> None:
    net = network(name, num_classes=4)

    for height, width in ((1, 1), (31, 33), (97, 512), (333, 224), (640, 481)):
        assert net.with_input((3, height, width)).output_shape == (4, height, width)


def plain_fcn8s(module: nn.Module, images: Tensor) -> Tensor:
    """FCN-8s as the authors' model file lists it: convolutions in order, crops at 5, 9 and 31."""
    parameters = iter(module.parameters())
    weights = {}  # in order of registration
    for i in range(1, 14):
        weights[f"conv{i}"] = (next(parameters), next(parameters))
    for name in ("fc6", "fc7", "score"):
        weights[name] = (next(parameters), next(parameters))
    up2 = next(parameters)
    weights["score_pool4"] = (next(parameters), next(parameters))
    up4 = next(parameters)
    weights["score_pool3"] = (next(parameters), next(parameters))
    up8 = next(parameters)

    x, index, pools = images, 0, []
    for repeats in (2, 2, 3, 3, 3):
        for _ in range(repeats):
            index += 1
            x = F.conv2d(x, *weights[f"conv{index}"], padding=100 if index == 1 else 1).relu()
        x = F.max_pool2d(x, 2, ceil_mode=True)
        pools.append(x)
    x = F.conv2d(F.conv2d(x, *weights["fc6"]).relu(), *weights["fc7"]).relu()
    x = F.conv_transpose2d(F.conv2d(x, *weights["score"]), up2, stride=2)
    x = x + F.conv2d(pools[3], *weights["score_pool4"])[:, :, 5 : 5 + x.shape[2], 5 : 5 + x.shape[3]]
    x = F.conv_transpose2d(x, up4, stride=2)
    x = x + F.conv2d(pools[2], *weights["score_pool3"])[:, :, 9 : 9 + x.shape[2], 9 : 9 + x.shape[3]]
    x = F.conv_transpose2d(x, up8, stride=8)
    return x[:, :, 31 : 31 + images.shape[2], 31 : 31 + images.shape[3]]


def test_fcn8s_is_the_same_function_as_a_plain_restatement() -> None:
    torch.manual_seed(0)
    module = network("fcn8s_vgg16", num_classes=3).build().eval()  # described for 500 x 500, used at another size
    for parameter in module.parameters():
        if parameter.ndim == 4 and parameter.shape[1] < 1000:
            nn.init.kaiming_normal_(parameter)
    images = torch.randn(1, 3, 20, 41)

    with torch.inference_mode():
        expected = plain_fcn8s(module, images)
        scores = module(images)

    assert scores.shape == (1, 3, 20, 41)
    assert expected.std() > 1e-3
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_enlarging_starts_as_bilinear_interpolation() -> None:
    """A constant map stays constant away from its border, and a slope stays a slope of 1 / factor."""
    module = enlarge(3, 8).build((3, 6, 7))
    constant = torch.full((1, 3, 6, 7), 2.5)
    slope = torch.arange(7.0).expand(1, 3, 6, 7)

    with torch.no_grad():
        inside, ramp = module(constant)[:, :, 8:-8, 8:-8], module(slope)[:, :, 8:-8, 8:-8]

    torch.testing.assert_close(inside, torch.full_like(inside, 2.5))
    torch.testing.assert_close(ramp.diff(dim=3), torch.full((1, 3, 40, 47), 1 / 8))


@pytest.mark.row("000-16")
def test_a_dense_head_written_as_a_convolution_gives_the_same_logits_and_a_map_on_larger_images() -> None:
    torch.manual_seed(0)
    trunk = Chain(Conv(6, 3), Activation("relu"), Pool("max", 2))
    dense = Chain(trunk=trunk, head=Chain(Flatten(), Linear(5))).build((2, 8, 12)).double()
    convolutional = Chain(trunk=trunk, head=Conv(5, (3, 5))).build((2, 8, 12)).double()
    for ours, theirs in zip(convolutional.parameters(), dense.parameters(), strict=True):
        ours.data.copy_(theirs.data.reshape(ours.shape))
    images, larger = torch.randn(3, 2, 8, 12, dtype=torch.float64), torch.randn(3, 2, 10, 18, dtype=torch.float64)

    with torch.no_grad():
        torch.testing.assert_close(convolutional(images)[:, :, 0, 0], dense(images), rtol=0, atol=1e-12)
        scores = convolutional(larger)
        assert scores.shape == (3, 5, 2, 4)
        torch.testing.assert_close(scores[:, :, 1, 3], dense(larger[:, :, 2:, 6:]), rtol=0, atol=1e-12)
