"""Sanity checks of heat maps: randomised weights must change a map, and its pixels must matter for the prediction."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import ShapeError, UsageError
from striate.insight.explain.grids import is_line
from striate.insight.explain.inside import checked_images
from striate.insight.explain.maps import probabilities


def randomised(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """A copy of the model whose weights of two axes and more are drawn anew, around 0 with each tensor's own mean square.

    Around 0, as networks begin: with a trained tensor's mean, which is often below 0, every ReLU of a plain network would close, and maps
    of nothing but 0 would be compared.

    Source: Adebayo et al., 2018, arXiv:1810.03292v3, section 4.1; all layers at once.
    """
    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            if weight.ndim > 1 and weight.is_floating_point():
                drawn = torch.randn(weight.shape, generator=generator).to(weight)
                weight.copy_(weight.square().mean().sqrt() * drawn)
    return other


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's rank correlation (N,) of two stacks of maps (N, ...), ties at their mean rank; 0 if a map is constant."""
    if first.shape != second.shape:
        raise ShapeError(f"maps must have the same shape, got {tuple(first.shape)} and {tuple(second.shape)}")
    ranks = [torch.stack([_ranks(row) for row in maps.detach().cpu().flatten(1)]) for maps in (first, second)]  # (N, P)
    centred = [rank - rank.mean(1, keepdim=True) for rank in ranks]  # (N, P)
    norms = centred[0].norm(dim=1) * centred[1].norm(dim=1)
    return torch.where(norms > 0, (centred[0] * centred[1]).sum(1) / norms.clamp(min=1e-30), 0).float()


def _ranks(values: Tensor) -> Tensor:
    """The ranks (P,) of numbers (P,) from the least on, ties at their mean."""
    _, places, counts = torch.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()  # the rank of the last of each value
    ranks: Tensor = (last - (counts - 1) / 2)[places]
    return ranks


def randomisation_score(model: nn.Module, attribute: Callable[[nn.Module], Tensor], *, seed: int = 0) -> Tensor:
    """The similarity of the maps of the model and of its randomised copy: rank correlations (N,), near 0 if a method uses the weights.

    Args:
        model: The trained model.
        attribute: Gives the maps (N, ...) of a model.
        seed: Of the random weights.
    """
    return rank_correlation(attribute(model), attribute(randomised(model, seed=seed)))


class Curves(NamedTuple):
    """The target's probability as pixels go, and as they come, most important first; means over the curves are the scores."""

    deletion: Tensor  # (N, num_steps + 1)
    insertion: Tensor  # (N, num_steps + 1)

    @property
    def deletion_area(self) -> Tensor:
        """(N,) area under the deletion curve, in [0, 1]: the smaller the better the map."""
        return torch.trapezoid(self.deletion, dx=1 / (self.deletion.shape[1] - 1))

    @property
    def insertion_area(self) -> Tensor:
        """(N,) area under the insertion curve, in [0, 1]: the larger the better the map."""
        return torch.trapezoid(self.insertion, dx=1 / (self.insertion.shape[1] - 1))


def deletion_insertion(
    model: nn.Module, images: Tensor, target_classes: Tensor, heat: Tensor, *, num_steps: int = 16, blurred: bool = True
) -> Curves:
    """Curves of the target's probability while the pixels are deleted, and inserted, in the order of a heat map.

    Args:
        model: Maps images to logits (N, K).
        images: (N, C, H, W) float, normalized. A deleted pixel becomes 0, the mean colour; pixels are inserted into a blurred image.
        target_classes: (N,) int64.
        heat: (N, H, W); pixels of equal heat go row by row.
        num_steps: Into how many parts the pixels are divided.
        blurred: False: pixels are inserted into an image of 0.

    Cost: 2 (num_steps + 1) forward passes.

    Source: Petsiuk et al., 2018, arXiv:1806.07421v3, section 3.2.
    """
    plain = checked_images(images, target_classes)
    if heat.shape != (len(plain), *plain.shape[2:]):
        raise ShapeError(f"heat must be {(len(plain), *plain.shape[2:])}, one value per pixel, got {tuple(heat.shape)}")
    if num_steps < 1:
        raise UsageError(f"num_steps must be at least 1, got {num_steps}")
    order = heat.flatten(1).argsort(dim=1, descending=True, stable=True)
    place = torch.empty_like(order).scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))  # (N, H W)
    place = place.view(len(plain), 1, *plain.shape[2:])
    start = _blurred(plain) if blurred else torch.zeros_like(plain)
    curves: list[list[Tensor]] = [[], []]
    for count in np.linspace(0, order.shape[1], num_steps + 1).round():
        chosen = place < count
        for curve, shown in zip(curves, (torch.where(chosen, 0, plain), torch.where(chosen, plain, start)), strict=True):
            curve.append(probabilities(model, shown).gather(1, target_classes.to(shown.device)[:, None])[:, 0])
    return Curves(*(torch.stack(curve, 1) for curve in curves))


def _blurred(images: Tensor) -> Tensor:
    """The images without their details: a Gaussian of a tenth of the shorter side; beyond the border the nearest pixel counts.

    Of signals, which are a single pixel high, a tenth of their length.
    """
    deviation = max(1.0, min(images.shape[3:] if is_line(images.shape[2:]) else images.shape[2:]) / 10)
    reach = int(3 * deviation)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device) / deviation) ** 2)
    taps = (taps / taps.sum()).expand(images.shape[1], 1, 1, -1)  # (C, 1, 1, k)
    across = F.conv2d(F.pad(images, (reach, reach, 0, 0), mode="replicate"), taps, groups=images.shape[1])
    return F.conv2d(F.pad(across, (0, 0, reach, reach), mode="replicate"), taps.transpose(2, 3), groups=images.shape[1])


def heat_of(attribution: Tensor) -> Tensor:
    """One value per pixel, (N, H, W), of an attribution (N, C, H, W): the largest absolute value over the channels."""
    return attribution.abs().amax(1)


def on_images(heat: Tensor, extent: tuple[int, int]) -> Tensor:
    """Heat maps (N, h, w) at the size (H, W) of the images, by linear interpolation."""
    return F.interpolate(heat[:, None], size=extent, mode="bilinear", align_corners=False)[:, 0]
