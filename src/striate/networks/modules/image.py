"""A network with its normalization inside: uint8 pictures or plain numbers in, logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from striate.core.images import InputSpec
    from striate.core.targets import TargetSpec
    from striate.networks.modules.heads import NetworkWithHeads, Side


class ImageModule(nn.Module):
    """`network` behind its normalization, as its `InputSpec` defines it, so that every export carries its preprocessing.

    Maps uint8 images (N, H, W, C), or samples (N, ..., C) in the user's units, to logits (N, K).
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.network = network
        self.normalization = spec.normalization
        shape = (1, -1, *(1,) * len(spec.extent))
        for name, values in zip(("scale", "offset"), spec.scale_and_offset, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(shape), persistent=False)

    def normalized(self, images: Tensor) -> Tensor:
        """The input of the network: (N, C, ...) in the dtype of its normalization, channels last in memory."""
        x = images.movedim(-1, 1).to(self.scale.dtype)  # (N, C, ...)
        if self.normalization == "per_image":
            return standardized(x)
        if self.normalization == "min_max":
            return stretched(x)
        return torch.addcmul(self.offset, x, self.scale)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(self.normalized(images))
        return logits


class ImageModuleOfNumbers(ImageModule):
    """The same for a network that learned numbers of mean 0 and deviation 1: gives them in the user's units, (N, K)."""

    target_mean: Tensor
    target_std: Tensor

    def __init__(self, network: nn.Module, spec: InputSpec, targets: TargetSpec) -> None:
        super().__init__(network, spec)
        self.register_buffer("target_mean", torch.tensor(targets.mean).float(), persistent=False)
        self.register_buffer("target_std", torch.tensor(targets.std).float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.addcmul(self.target_mean, super().forward(images), self.target_std)


def standardized(x: Tensor) -> Tensor:
    """Each picture of (..., C, H, W) as (x - mean) / max(deviation, 1 / sqrt(its number of values)).

    The deviation is that of all values of a picture (divided by their number). It is computed in float32 or better.
    """
    values = x if x.dtype == torch.float64 else x.float()
    count = values.shape[-3] * values.shape[-2] * values.shape[-1]
    centred = values - values.amin((-3, -2, -1), keepdim=True)  # first, so that the mean of little contrast is not rounded
    centred = centred - centred.mean((-3, -2, -1), keepdim=True)
    deviation = centred.square().mean((-3, -2, -1), keepdim=True).sqrt()
    return (centred / deviation.clamp(min=count**-0.5)).to(x.dtype)


def stretched(x: Tensor) -> Tensor:
    """Each picture of (..., C, H, W) with its least value at 0 and its largest at 1; a constant one is 0."""
    low, high = x.amin((-3, -2, -1), keepdim=True), x.amax((-3, -2, -1), keepdim=True)
    return (x - low) / torch.where(high > low, high - low, torch.ones_like(low))


class ImageModuleWithHeads(ImageModule):
    """The same for a network that trains with auxiliary heads."""

    network: NetworkWithHeads

    @property
    def has_own_tasks(self) -> bool:
        """True if a head learns something else than the network."""
        return self.network.has_own_tasks

    def forward_with_heads(self, images: Tensor, labels: Tensor, second: Tensor | None = None) -> tuple[Tensor, tuple[Side, ...]]:
        """The logits (N, K), and the scores of each head with what it learns."""
        return self.network.forward_with_heads(self.normalized(images), labels, second)
