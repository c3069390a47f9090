"""The ResNets of Keras' CIFAR-10 example against their counts and a plain restatement of the example's recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.catalog import network
from striate.networks.families.resnet_keras import resnet_keras, resnetv2_keras
from striate.networks.layers import Chain, Conv
from striate.networks.network import Network


@pytest.mark.parametrize(
    ("depth", "params", "macs"),
    [
        (20, 273_066, 40_813_184),
        (32, 467_946, 69_124_736),
        (44, 662_826, 97_436_288),
        (56, 857_706, 125_747_840),
        (110, 1_734_666, 253_149_824),
    ],
)
@pytest.mark.row("002-13")
def test_version_1_has_the_examples_trainable_parameters(depth: int, params: int, macs: int) -> None:
    net = network(f"resnet{depth}_keras")

    assert (net.params, net.macs) == (params, macs)
    assert weighted_layers(net) == depth


@pytest.mark.parametrize(
    ("depth", "params", "macs"),
    [
        (20, 570_602, 66_243_072),
        (29, 843_786, 97_962_496),
        (56, 1_663_338, 193_120_768),
        (110, 3_302_442, 383_437_312),
        (164, 4_941_546, 573_753_856),
        (1001, 30_347_658, 3_523_660_288),
    ],
)
@pytest.mark.row("002-14")
def test_version_2_has_the_examples_trainable_parameters(depth: int, params: int, macs: int) -> None:
    net = network(f"resnet{depth}v2_keras")

    assert (net.params, net.macs) == (params, macs)
    assert weighted_layers(net) == depth


def weighted_layers(net: Network) -> int:
    return sum(row.layer.kind in ("conv", "linear") and ".shortcut" not in row.path for row in net.rows)


@pytest.mark.parametrize(("name", "trainable", "total"), [("resnet20_keras", 273_066, 274_442), ("resnet20v2_keras", 570_602, 574_090)])
def test_with_the_running_statistics_the_parameters_are_those_that_keras_prints(name: str, trainable: int, total: int) -> None:
    """Keras counts the mean and the variance of each normalization among the parameters, as not trainable."""
    module = network(name).build()
    statistics = sum(buffer.numel() for path, buffer in module.named_buffers() if "running" in path)

    assert sum(parameter.numel() for parameter in module.parameters()) == trainable
    assert trainable + statistics == total


@pytest.mark.row("002-13")
def test_version_1_halves_the_size_in_the_first_convolution_of_stages_2_and_3_and_projects_without_normalization() -> None:
    root = network("resnet32_keras").root
    strides = {f"{i}{j}{k}": root[f"stage{i}.block{j}.body.unit{k}.conv"].stride for i in (1, 2, 3) for j in range(1, 6) for k in (1, 2)}

    assert [place for place, stride in strides.items() if stride != 1] == ["211", "311"]
    for i, width in ((2, 32), (3, 64)):
        assert root[f"stage{i}.block1.shortcut"] == Conv(width, 1, stride=2, padding="tf_same")


@pytest.mark.row("002-14")
def test_version_2_widens_from_16_to_256_and_starts_without_normalization() -> None:
    net = network("resnet29v2_keras")
    units = {row.path for row in net.rows}

    assert list(net.shapes_at(["stem", "stage1", "stage2", "stage3"]).values()) == [(16, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8)]
    assert {f"stage{i}.block1.body.unit1.norm" for i in (1, 2, 3)} - units == {"stage1.block1.body.unit1.norm"}
    assert {path for path in units if path.endswith("shortcut")} == {f"stage{i}.block{j}.shortcut" for i in (1, 2, 3) for j in (1, 2, 3)}


def randomized(module: nn.Module) -> nn.Module:
    """`module` in float64 for evaluation, with statistics and scales far from fresh ones."""
    for norm in (child for child in module.modules() if isinstance(child, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data.uniform_(0.5, 1.5)
    return module.double().eval()


class Recipe:
    """The example's layers, taking their weights one after the other."""

    def __init__(self, module: nn.Module) -> None:
        self.values: Iterator[Tensor] = iter([t for name, t in module.state_dict().items() if not name.endswith("tracked")])

    def conv(self, x: Tensor, stride: int = 1) -> Tensor:
        """Padded as TensorFlow does: what is needed for ceil(n / stride) places, the odd one behind."""
        weight, bias = next(self.values), next(self.values)
        kernel, pads = weight.shape[-1], []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), weight, bias, stride)

    def norm(self, x: Tensor) -> Tensor:
        scale, shift, mean, variance = (next(self.values)[:, None, None] for _ in range(4))
        return scale * (x - mean) / (variance + 1e-3).sqrt() + shift

    def head(self, x: Tensor) -> Tensor:
        """Average pooling over what is left of the image, and the dense layer."""
        return x.mean((2, 3)) @ next(self.values).T + next(self.values)


def version_1(recipe: Recipe, x: Tensor, repeats: int) -> Tensor:
    x = recipe.norm(recipe.conv(x)).relu()
    for stack in range(3):
        for block in range(repeats):
            stride = 2 if stack > 0 and block == 0 else 1
            y = recipe.norm(recipe.conv(x, stride)).relu()
            y = recipe.norm(recipe.conv(y))
            if stride == 2:
                x = recipe.conv(x, stride)
            x = (x + y).relu()
    return recipe.head(x)


def version_2(recipe: Recipe, x: Tensor, repeats: int) -> Tensor:
    x = recipe.norm(recipe.conv(x)).relu()
    for stack in range(3):
        for block in range(repeats):
            stride = 2 if stack > 0 and block == 0 else 1
            y = x if stack == block == 0 else recipe.norm(x).relu()
            y = recipe.conv(y, stride)
            y = recipe.conv(recipe.norm(y).relu())
            y = recipe.conv(recipe.norm(y).relu())
            if block == 0:
                x = recipe.conv(x, stride)
            x = x + y
    return recipe.head(recipe.norm(x).relu())


@pytest.mark.parametrize("size", [(20, 28), (21, 30)])
@pytest.mark.parametrize(
    ("describe", "recipe", "depth", "repeats"),
    [
        pytest.param(resnet_keras, version_1, 14, 2, marks=pytest.mark.row("002-13")),
        pytest.param(resnetv2_keras, version_2, 20, 2, marks=pytest.mark.row("002-14")),
    ],
)
def test_the_networks_compute_what_the_example_says(
    describe: Callable[[int, int], Chain],
    recipe: Callable[[Recipe, Tensor, int], Tensor],
    depth: int,
    repeats: int,
    size: tuple[int, int],
) -> None:
    """Even sizes pad only behind, odd ones on both sides."""
    torch.manual_seed(0)
    module = randomized(Network("net", (3, *size), describe(7, depth)).build())
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    weights = Recipe(module)

    expected = recipe(weights, images, repeats)

    torch.testing.assert_close(module(images), expected, rtol=1e-9, atol=1e-9)
    assert next(weights.values, None) is None
