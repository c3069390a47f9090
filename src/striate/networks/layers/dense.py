"""Layers on vectors: identity, flatten, linear."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from striate.core.errors import ShapeError
from striate.networks.layers.base import Cost, Count, Layer, Reach, Shape, elements, leaf

if TYPE_CHECKING:
    from torch import nn


@leaf
class Identity(Layer):
    """Returns its input: the plain shortcut."""

    role: ClassVar[str] = "identity"

    def cost(self, shape: Shape) -> Cost:
        return Cost()

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        return nn.Identity()


@leaf
class Flatten(Layer):
    """All elements in one vector, channel by channel: (C, H, W) to (C H W,)."""

    role: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (elements(shape),)

    def cost(self, shape: Shape) -> Cost:
        return Cost(reach=Reach.of_everything(shape[1:]))

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        return nn.Flatten()


@leaf
class Linear(Layer):
    """A fully connected layer: y = W x + b on a vector (F,), or on each step of a sequence (T, F)."""

    role: ClassVar[str] = "linear"
    out_features: Count
    bias: bool = True

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) not in (1, 2):
            raise ShapeError(f"linear needs a vector (F,) or a sequence (T, F), got {shape}", "Put Flatten() or GlobalPool() before it.")
        return (*shape[:-1], self.out_features)

    def cost(self, shape: Shape) -> Cost:
        outputs = elements(self.output_shape(shape))
        return Cost(
            params=(shape[-1] + self.bias) * self.out_features,
            macs=shape[-1] * outputs,
            activations=outputs,
            connections=(shape[-1] + self.bias) * outputs,
        )

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        self.output_shape(shape)
        return nn.Linear(shape[-1], self.out_features, self.bias)
