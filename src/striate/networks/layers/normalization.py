"""Normalization layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from striate.core.errors import ShapeError
from striate.networks.layers.base import Cost, Count, Layer, Shape, elements, leaf, spatial

if TYPE_CHECKING:
    from torch import nn

Epsilon = Annotated[float, Field(gt=0)]


@leaf
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


@leaf
class GroupNorm(Layer):
    """Each sample by the mean and variance of each group of channels, then scale and shift each channel (Wu and He 2018)."""

    role: ClassVar[str] = "norm"
    groups: Count = 32
    eps: Epsilon = 1e-5

    def output_shape(self, shape: Shape) -> Shape:
        if shape[0] % self.groups:
            raise ShapeError(f"group normalization with groups={self.groups} needs a multiple of that many channels, got {shape}")
        return shape

    def cost(self, shape: Shape) -> Cost:
        return Cost(params=2 * shape[0], activations=elements(shape))

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        self.output_shape(shape)
        return nn.GroupNorm(self.groups, shape[0], self.eps)


@leaf
class LayerNorm(Layer):
    """Each place by the mean and variance over its channels, then scale and shift each channel (Ba et al. 2016).

    Over "channels", the first axis of (C, H, W), (C, L) or (F,), as ConvNeXt does; or over "features", the last one of a sequence (T, F).
    """

    role: ClassVar[str] = "norm"
    eps: Epsilon = 1e-5
    over: Literal["channels", "features"] = "channels"

    def cost(self, shape: Shape) -> Cost:
        return Cost(params=2 * self._width(shape), activations=elements(shape))

    def _width(self, shape: Shape) -> int:
        return shape[0] if self.over == "channels" else shape[-1]

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        from striate.networks.modules.normalization import ChannelLayerNorm

        return (ChannelLayerNorm if self.over == "channels" else nn.LayerNorm)(self._width(shape), self.eps)


@leaf
class InstanceNorm(Layer):
    """Each map of each sample by its own mean and variance (Ulyanov et al. 2016); with `affine`, then scale and shift each channel."""

    role: ClassVar[str] = "norm"
    eps: Epsilon = 1e-5
    affine: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        if elements(spatial(shape, "instance normalization")) < 2:
            raise ShapeError(f"instance normalization needs maps of at least 2 places, got {shape}")
        return shape

    def cost(self, shape: Shape) -> Cost:
        return Cost(params=2 * shape[0] * self.affine, activations=elements(shape))

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.normalization import INSTANCE_NORMS

        self.output_shape(shape)
        return INSTANCE_NORMS[len(shape)](shape[0], self.eps, affine=self.affine)


@leaf
class GlobalResponseNorm(Layer):
    """x + scale x n + shift, with n the norm of a whole map divided by the mean of those of all maps (Woo et al. 2023).

    Scale and shift, one of each channel, start at 0, so that it starts as the identity.
    """

    role: ClassVar[str] = "norm"
    eps: Epsilon = 1e-6

    def output_shape(self, shape: Shape) -> Shape:
        spatial(shape, "global response normalization")
        return shape

    def cost(self, shape: Shape) -> Cost:
        return Cost(params=2 * shape[0], activations=elements(shape))

    def build(self, shape: Shape) -> nn.Module:
        from striate.networks.modules.normalization import GlobalResponseNormModule

        self.output_shape(shape)
        return GlobalResponseNormModule(shape[0], self.eps)


@leaf
class LocalResponseNorm(Layer):
    """b_i = a_i / (k + alpha sum_j a_j^2)^beta over the `size` channels j around i at the same place.

    This is the paper's formula. torch, Caffe and cuda-convnet divide alpha by `size`: with `divide_alpha`, so does this.

    Source: Krizhevsky, Sutskever and Hinton, 2012, section 3.3.
    """

    role: ClassVar[str] = "norm"
    size: Count = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    divide_alpha: bool = False

    def output_shape(self, shape: Shape) -> Shape:
        spatial(shape, "local response normalization")
        return shape

    def build(self, shape: Shape) -> nn.Module:
        from torch import nn

        self.output_shape(shape)
        return nn.LocalResponseNorm(self.size, self.alpha if self.divide_alpha else self.alpha * self.size, self.beta, self.k)
