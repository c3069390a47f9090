"""Layers that drop at random while training and do nothing otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from striate.networks.layers.base import Layer, Probability, Shape, leaf, spatial

if TYPE_CHECKING:
    from torch import nn


@leaf
class Dropout(Layer):
    """Each element is dropped with probability `p` while training, and the others divided by 1 - p."""

    role: ClassVar[str] = "dropout"
    p: Probability = 0.5

    @classmethod
    def keep(cls, probability: float) -> Dropout:
        """The same layer by the share that is kept: `Dropout.keep(0.75)` drops a quarter."""
        return cls(1 - probability)

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.dropout import DropoutModule

        return DropoutModule(self.p)


@leaf
class SpatialDropout(Layer):
    """Each whole map is dropped with probability `p` while training, and the others divided by 1 - p (Tompson et al. 2015)."""

    role: ClassVar[str] = "dropout"
    p: Probability = 0.5

    def output_shape(self, shape: Shape) -> Shape:
        spatial(shape, "spatial dropout")
        return shape

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        return (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)[len(spatial(shape, "spatial dropout")) - 1](self.p)


@leaf
class StochasticDepth(Layer):
    """Each sample is dropped as a whole with probability `p` while training, and the others divided by 1 - p.

    At the end of a residual body, the block is then skipped for that sample (Huang et al. 2016).
    """

    role: ClassVar[str] = "drop"
    p: Probability = 0.1

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.dropout import StochasticDepthModule

        return StochasticDepthModule(self.p)
