"""Torch modules of the activation functions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PLAIN: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "rrelu": nn.RReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "hard_sigmoid": nn.Hardsigmoid,
    "hard_swish": nn.Hardswish,
}


def build_activation(name: str, *, channels: int, slope: float | None) -> nn.Module:
    """The module of the activation called `name`; `channels` is the number of slopes that a parametric ReLU learns."""
    if name == "step":
        return Step()
    if name == "scaled_tanh":
        return ScaledTanh()
    if name == "softmax":
        return nn.Softmax(dim=1)
    if name == "leaky_relu":
        return nn.LeakyReLU(0.01 if slope is None else slope)
    if name == "prelu":
        return nn.PReLU(channels, 0.25 if slope is None else slope)
    return PLAIN[name]()


class Step(nn.Module):
    """1 where the input is positive, else 0. Its gradient is zero everywhere (McCulloch and Pitts, 1943)."""

    def forward(self, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)


class ScaledTanh(nn.Module):
    """A tanh(S x) with A = 1.7159 and S = 2/3, so that f(1) = 1 and f(-1) = -1 (LeCun 1998, appendix A)."""

    gain = 1.0  # of the weights before it, which it keeps the variance of

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))
