"""ZFNet against the sizes of its paper and a plain restatement."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.networks.catalog import network


def test_each_layer_of_zfnet_has_the_size_of_figure_3() -> None:
    net = network("zfnet")
    convolved = [row.output_shape for row in net.rows if row.path.endswith("conv")]
    pooled = [row.output_shape for row in net.rows if row.path.endswith("pool")]

    assert convolved == [(96, 110, 110), (256, 26, 26), (384, 13, 13), (384, 13, 13), (256, 13, 13)]
    assert pooled == [(96, 55, 55), (256, 13, 13), (256, 6, 6)]
    dense = (256 * 36 + 1) * 4096 + 4097 * 4096 + 4097 * 1000
    assert net.params == (147 + 1) * 96 + (2400 + 1) * 256 + 9 * 384 * 384 + (9 * 256 + 2) * 384 + (9 * 384 + 1) * 256 + dense


def test_zfnet_is_the_same_function_as_a_plain_restatement() -> None:
    torch.manual_seed(0)
    module = network("zfnet", num_classes=7, input_size=(71, 95)).build().double().eval()
    state = list(module.state_dict().values())
    images = torch.randn(2, 3, 71, 95, dtype=torch.float64) * 50

    def respond(x: Tensor) -> Tensor:
        return F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)

    with torch.no_grad():
        x = F.conv2d(images, state[0], state[1], stride=2, padding=1).relu()
        x = respond(F.max_pool2d(x, 3, 2, ceil_mode=True))
        x = respond(F.max_pool2d(F.conv2d(x, state[2], state[3], stride=2).relu(), 3, 2, ceil_mode=True))
        for place in (4, 6, 8):
            x = F.conv2d(x, state[place], state[place + 1], padding=1).relu()
        x = F.max_pool2d(x, 3, 2).flatten(1)
        x = F.linear(F.linear(x, state[10], state[11]).relu(), state[12], state[13]).relu()
        expected = F.linear(x, state[14], state[15])

        assert expected.std() > 1e-3
        torch.testing.assert_close(module(images), expected, rtol=0, atol=1e-10)
