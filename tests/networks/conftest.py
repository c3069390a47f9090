"""What the tests of several families share: weights copied from torchvision or timm in the order of registration."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.networks.network import Network


DRAWN = 1_000_003  # numbers, which tensors repeat from different places on: drawing a hundred million takes seconds


def random_state(module: nn.Module) -> dict[str, Tensor]:
    """A float64 state for `module`: He-scaled weights, and batch-norm statistics far from fresh ones, which would hide mistakes."""
    state: dict[str, Tensor] = {}
    drawn, start = torch.rand(DRAWN, dtype=torch.float64), 0
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.long)
            continue
        values = drawn.roll(-start).repeat(-(-tensor.numel() // DRAWN))[: tensor.numel()].view(tensor.shape)
        start = (start + tensor.numel()) % DRAWN
        if name.endswith("running_var"):
            state[name] = values + 0.5
        else:
            fan_in = math.prod(tensor.shape[1:]) if tensor.ndim > 1 else 10
            state[name] = values.mul_(2).sub_(1).mul_((6 / fan_in) ** 0.5)
            if tensor.ndim == 1 and name.endswith("weight"):
                state[name] += 1  # the scale of a normalization
    return state


@pytest.fixture
def random_weights() -> Callable[[nn.Module], dict[str, Tensor]]:
    return random_state


@pytest.fixture
def peer_difference() -> Callable[..., float]:
    """How far a network's logits are from a peer's that has the same random weights, copied in order of registration, in float64."""

    def difference(network: Network, make_peer: Callable[..., nn.Module], **options: Any) -> float:
        torch.manual_seed(0)
        with torch.device("meta"):  # neither is initialised twice
            peer, ours = make_peer(**options), network.build()
        state = random_state(peer)
        names = list(ours.state_dict())
        assert [tuple(v.shape) for v in ours.state_dict().values()] == [tuple(v.shape) for v in state.values()]
        peer.load_state_dict(state, assign=True)
        ours.load_state_dict(dict(zip(names, state.values(), strict=True)), assign=True)
        images = torch.randn(1, *network.input_shape, dtype=torch.float64)

        with torch.inference_mode():
            logits, expected = ours.eval()(images), peer.eval()(images)

        assert expected.shape == (1, *network.output_shape)
        assert expected.std() > 1e-3, "logits that are all alike show nothing"
        return float((logits - expected).abs().max())

    return difference


@pytest.fixture
def part_cost() -> Callable[[Network, str], tuple[int, int]]:
    """Parameters and MACs of all rows under a part of a network."""

    def cost(network: Network, part: str) -> tuple[int, int]:
        rows = [row for row in network.rows if row.path.startswith(part + ".")]
        return sum(row.cost.params for row in rows), sum(row.cost.macs for row in rows)

    return cost
