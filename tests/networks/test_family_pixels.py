"""SegNet against its paper's counts and a plain restatement; DeepLabv3 against torchvision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.segmentation import deeplabv3_resnet50

from striate.networks.catalog import network


class Scores(nn.Module):
    """The scores of a network of torchvision, which gives them in a dictionary."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.network = deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=False, **options)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(images)["out"]
        return scores


def test_deeplab_has_torchvisions_parameters_and_macs() -> None:
    net = network("deeplabv3_resnet50")
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        peer = Scores(num_classes=21).eval()
        peer(torch.empty(1, 3, 520, 520))

    assert net.params == sum(parameter.numel() for parameter in peer.parameters())
    assert net.params + 1024 * 256 * 9 + 512 + 257 * 21 == 42_004_074  # as torchvision documents, with its second head
    assert net.flops == counter.get_total_flops()


@pytest.mark.parametrize("size", [(48, 72), pytest.param((65, 50), marks=pytest.mark.slow)])
def test_deeplab_gives_torchvisions_scores_with_torchvisions_weights(size: tuple[int, int], peer_difference: Callable[..., float]) -> None:
    """But for the rounding of the average of whole maps, and what a pyramid of random weights makes of it."""
    assert peer_difference(network("deeplabv3_resnet50", num_classes=5, input_size=size), Scores, num_classes=5) < 1e-9


def test_segnet_has_the_29_million_parameters_of_the_paper_half_of_them_vggs() -> None:
    """VGG-16's convolutions have 14,714,688; each convolution has a normalization but the last."""
    net = network("segnet")
    down = [row for row in net.rows if "encode" in row.path]
    up = [row for row in net.rows if "decode" in row.path]

    assert round(net.params / 1e6, 2) == 29.45
    assert sum(row.cost.params for row in down if row.path.endswith("conv")) == 14_714_688
    assert [sum(row.path.endswith("conv") for row in rows) for rows in (down, up)] == [13, 12]
    assert network("segnet", input_size=(37, 50)).output_shape == (11, 37, 50)


def test_segnet_puts_values_back_where_the_maxima_were() -> None:
    """A plain restatement with torch's unpooling: down with a stack of places, and up again."""
    torch.manual_seed(0)
    module = network("segnet", num_classes=5, input_size=(40, 36)).build().double().eval()
    for norm in (part for part in module.modules() if isinstance(part, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data.uniform_(0.5, 1.5)
    state = module.state_dict()

    def convs(x: Tensor, path: str, count: int) -> Tensor:
        for unit in range(1, count + 1):
            x = F.conv2d(x, state[f"{path}.unit{unit}.conv.weight"], state[f"{path}.unit{unit}.conv.bias"], padding=1)
            norm = {name: state[f"{path}.unit{unit}.norm.{name}"] for name in ("running_mean", "running_var", "weight", "bias")}
            x = F.batch_norm(x, **norm).relu()
        return x

    images = torch.randn(2, 3, 40, 36, dtype=torch.float64)
    paths = [".".join(["unpool.coarser"] * level) for level in range(5)]
    x, places, sizes = images, [], []
    for path, count in zip(paths, (2, 2, 3, 3, 3), strict=True):
        x = convs(x, f"{path}.encode".lstrip("."), count)
        sizes.append(x.shape[2:])
        x, place = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        places.append(place)
    for path, count in reversed(list(zip(paths, (1, 2, 3, 3, 3), strict=True))):
        x = F.max_unpool2d(x, places.pop(), 2, output_size=list(sizes.pop()))
        x = convs(x, f"{path}.decode".lstrip("."), count)
    expected = F.conv2d(x, state["head.weight"], state["head.bias"], padding=1)

    with torch.inference_mode():
        scores = module(images)

    assert scores.shape == (2, 5, 40, 36)
    assert expected.std() > 1e-3
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-9)
