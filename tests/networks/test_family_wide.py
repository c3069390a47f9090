"""Wide ResNets for CIFAR against the paper's counts and a plain restatement."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.catalog import network
from striate.networks.families.wide_resnet import wrn
from striate.networks.network import Network


@pytest.mark.parametrize(
    ("name", "params", "printed"), [("wrn_16_8", 10_961_370, 11.0), ("wrn_40_4", 8_949_210, 8.9), ("wrn_28_10", 36_479_194, 36.5)]
)
def test_wide_resnets_have_the_parameters_of_the_paper(name: str, params: int, printed: float) -> None:
    """Table 5; the depth counts the layers with weights, and one projection in each stage."""
    net = network(name)
    convolutions = [row for row in net.rows if row.layer.kind == "conv"]

    assert net.params == params
    assert round(net.params / 1e6, 1) == printed
    assert len(convolutions) == int(name.split("_")[1])


def test_a_wide_resnet_is_the_same_function_as_a_plain_restatement() -> None:
    """10 layers, twice as wide; the projection stands before the body, and reads what its first normalization and ReLU give."""
    torch.manual_seed(0)
    module = Network("wrn", (3, 12, 20), wrn(7, 10, 2)).build().double().eval()
    for norm in (part for part in module.modules() if isinstance(part, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data.uniform_(0.5, 1.5)
    state = module.state_dict()

    def act(x: Tensor, path: str) -> Tensor:
        scale, shift, mean, variance = (
            state[f"{path}.{name}"][:, None, None] for name in ("weight", "bias", "running_mean", "running_var")
        )
        return (scale * (x - mean) / (variance + 1e-5).sqrt() + shift).clamp(min=0)

    images = torch.randn(2, 3, 12, 20, dtype=torch.float64)
    x = F.conv2d(images, state["stem.weight"], padding=1)
    for stage, stride in ((1, 1), (2, 2), (3, 2)):
        block = f"stage{stage}.block1"
        first = act(x, f"{block}.preact.norm")
        y = F.conv2d(first, state[f"{block}.body.unit1.conv.weight"], stride=stride, padding=1)
        y = F.conv2d(act(y, f"{block}.body.unit2.norm"), state[f"{block}.body.unit2.conv.weight"], padding=1)
        x = y + F.conv2d(first, state[f"{block}.shortcut.weight"], stride=stride)
    expected = F.linear(act(x, "norm").mean((2, 3)), state["head.linear.weight"], state["head.linear.bias"])

    with torch.inference_mode():
        torch.testing.assert_close(module(images), expected, rtol=0, atol=1e-12)
    assert expected.std() > 1e-3
