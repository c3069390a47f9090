"""Activation functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from striate.core.errors import UsageError
from striate.networks.layers.base import Cost, Layer, Shape, elements, leaf

if TYPE_CHECKING:
    from torch import nn

ActivationName = Literal[
    "identity",
    "step",  # 1 where x > 0, else 0
    "sigmoid",
    "tanh",
    "scaled_tanh",  # 1.7159 tanh(2x/3), LeCun 1998
    "relu",
    "relu6",  # min(max(x, 0), 6)
    "leaky_relu",
    "prelu",
    "rrelu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "softmax",  # over the channels
    "hard_sigmoid",
    "hard_swish",
]


@leaf
class Activation(Layer):
    """An activation function by name, element by element (softmax: over the channels).

    `slope` is the slope below zero of leaky ReLU and the initial one of parametric ReLU, whose slope is learned: one for all
    channels, or one for each with `per_channel`.
    """

    role: ClassVar[str] = "act"
    name: ActivationName
    slope: float | None = None
    per_channel: bool = False

    def __post_init__(self) -> None:
        if self.slope is not None and self.name not in ("leaky_relu", "prelu"):
            raise UsageError(f"slope belongs to leaky_relu and prelu, not to {self.name}")
        if self.per_channel and self.name != "prelu":
            raise UsageError(f"per_channel belongs to prelu, not to {self.name}")

    @property
    def kind(self) -> str:
        return self.name

    def cost(self, shape: Shape) -> Cost:
        params = 0 if self.name != "prelu" else shape[0] if self.per_channel else 1
        return Cost(params=params, activations=0 if self.name == "identity" else elements(shape))

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.activation import build_activation

        return build_activation(self.name, channels=shape[0] if self.per_channel else 1, slope=self.slope)
