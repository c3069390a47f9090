"""Normalization layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from striate.networks.layers.base import LEAF, Cost, Layer, Shape, elements

if TYPE_CHECKING:
    from torch import nn

Epsilon = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, config=LEAF)
class BatchNorm(Layer):
    """Batch normalization: each channel by its mean and variance over the batch, then scale and shift (Ioffe and Szegedy 2015).

    `momentum` is the share of the new batch in the running statistics, torch's convention; Keras writes 1 - momentum.
    """

    role: ClassVar[str] = "norm"
    eps: Epsilon = 1e-5
    momentum: Annotated[float, Field(ge=0, le=1)] = 0.1
    scale: bool = True

    def cost(self, shape: Shape) -> Cost:
        return Cost(params=(1 + self.scale) * shape[0], activations=elements(shape))

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.normalization import build_batch_norm

        return build_batch_norm(shape, eps=self.eps, momentum=self.momentum, scale=self.scale)
