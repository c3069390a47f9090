"""Layers of a transformer over sequences (T, F): attention, a learned token, learned places, and the choice of one step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from striate.core.errors import ShapeError
from striate.networks.layers.base import Cost, Count, Layer, Reach, Shape, elements, leaf

if TYPE_CHECKING:
    from torch import nn


def _steps(shape: Shape, layer: str) -> tuple[int, int]:
    """Steps and features of a sequence."""
    if len(shape) != 2:
        raise ShapeError(f"{layer} needs a sequence (T, F), got {shape}", "Put ToSequence('places') before it.")
    return shape[0], shape[1]


@leaf
class SelfAttention(Layer):
    """Each step reads all steps, as much of each as its query and their keys agree: queries, keys and values (T, 3 F) to (T, F).

    A linear layer before it makes the three, one behind the other, and one after it mixes what was read. Each of `heads` parts of the
    features is read by itself, with softmax(Q K' / sqrt(d)) V and d features in a part.

    Source: Vaswani et al., 2017, arXiv:1706.03762, section 3.2.
    """

    role: ClassVar[str] = "attention"
    heads: Count

    def output_shape(self, shape: Shape) -> Shape:
        steps, features = _steps(shape, "self-attention")
        if features % (3 * self.heads):
            raise ShapeError(f"self-attention with heads={self.heads} needs 3 times a multiple of it of features, got {shape}")
        return (steps, features // 3)

    def cost(self, shape: Shape) -> Cost:
        steps, features = self.output_shape(shape)
        return Cost(macs=2 * steps**2 * features, activations=steps * features, reach=Reach.of_everything((steps,)))

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.attention import SelfAttentionModule

        self.output_shape(shape)
        return SelfAttentionModule(self.heads)


@leaf
class ClassToken(Layer):
    """One learned step (1, F), whatever comes in; joined before the steps of a picture, it gathers what tells the class."""

    role: ClassVar[str] = "token"
    out_features: Count

    def output_shape(self, shape: Shape) -> Shape:
        return (1, self.out_features)

    def cost(self, shape: Shape) -> Cost:
        return Cost(params=self.out_features)

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.attention import ClassTokenModule

        return ClassTokenModule(self.out_features)


@leaf
class PositionEmbedding(Layer):
    """A learned number added to each element of a sequence, by which steps know their place. It fits one length only."""

    role: ClassVar[str] = "place"

    def output_shape(self, shape: Shape) -> Shape:
        _steps(shape, "a position embedding")
        return shape

    def cost(self, shape: Shape) -> Cost:
        return Cost(params=elements(self.output_shape(shape)), activations=elements(shape))

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.attention import PositionEmbeddingModule

        return PositionEmbeddingModule(self.output_shape(shape))


@leaf
class TakeStep(Layer):
    """One step of a sequence, counted from 0: (T, F) to (F,)."""

    role: ClassVar[str] = "step"
    index: Annotated[int, Field(ge=0)] = 0

    def output_shape(self, shape: Shape) -> Shape:
        steps, features = _steps(shape, "the choice of a step")
        if self.index >= steps:
            raise ShapeError(f"step {self.index} is not among {steps}, 0 to {steps - 1}, in {shape}")
        return (features,)

    def cost(self, shape: Shape) -> Cost:
        return Cost()

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.attention import TakeStepModule

        self.output_shape(shape)
        return TakeStepModule(self.index)
