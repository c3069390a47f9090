"""The kernels of a convolution: as pictures, their norms, and the direction of the edges that each responds to."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.core.errors import ShapeError

NUM_ANGLES = 36  # over half a turn
NUM_WAVES = 16  # frequencies from one period a kernel to the finest


def convolutions(model: nn.Module) -> dict[str, nn.Conv2d]:
    """The model's two-dimensional convolutions by their paths, in its order."""
    return {name: part for name, part in model.named_modules() if isinstance(part, nn.Conv2d)}


def kernel_pictures(weight: Tensor) -> Tensor:
    """Kernels (K, C, k_h, k_w) as pictures in [0, 1], 0.5 for a weight of 0; each is scaled by its own largest weight.

    Returns:
        (K, C, k_h, k_w) where C is 1 or 3, else (K, 1, k_h, k_w), the mean over the channels.
    """
    kernels = weight.detach() if weight.shape[1] in (1, 3) else weight.detach().mean(1, keepdim=True)
    largest = kernels.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-30)
    return 0.5 + 0.5 * kernels / largest


def kernel_norms(weight: Tensor) -> Tensor:
    """The Euclidean norm (K, C) of the kernel from each input channel to each output channel."""
    norms: Tensor = weight.detach().flatten(2).norm(dim=2)
    return norms


class Selectivity(NamedTuple):
    """Responses of kernels to gratings."""

    angle: Tensor  # (K,) degrees in [0, 180): direction of the preferred edge or bar, 0 horizontal, 90 vertical
    strength: Tensor  # (K,) in [0, 1]: 0 answers to all directions alike, 1 to one only
    tuning: Tensor  # (K, NUM_ANGLES) the strongest answer in each direction, from 0 degrees on


def edge_selectivity(weight: Tensor) -> Selectivity:
    r"""The directions to which kernels respond, as Hubel and Wiesel found it with light bars in the cat's visual cortex.

    A kernel's answer to a grey grating of a direction t, at its best phase, is the size of its Fourier transform there; R(t) is the
    largest over frequencies. With the sum over directions,

        strength = |sum R(t) exp(2 i t)| / sum R(t)     angle = half the argument of that sum

    Args:
        weight: (K, C, k_h, k_w) of a first layer; the channels are summed, as a grey picture has the same value in each.

    Raises:
        ShapeError: not four axes, or kernels of one pixel, which have no direction.

    Source: Hubel and Wiesel, 1962, J. Physiol. 160; strength: Swindale, 1998, Biol. Cybern. 78, 1 - circular variance.
    """
    if weight.ndim != 4 or min(weight.shape[2:]) < 2:
        raise ShapeError(f"kernels must be (K, C, k_h, k_w) of 2 x 2 pixels or more, got {tuple(weight.shape)}")
    grey = weight.detach().double().sum(1)  # (K, k_h, k_w)
    height, width = grey.shape[1:]
    angles = torch.arange(NUM_ANGLES, dtype=torch.float64, device=weight.device) * math.pi / NUM_ANGLES
    waves = torch.linspace(math.pi / max(height, width), math.pi, NUM_WAVES, dtype=torch.float64, device=weight.device)  # radians a pixel
    down = torch.arange(height, dtype=torch.float64, device=weight.device)
    across = torch.arange(width, dtype=torch.float64, device=weight.device)
    # A grating whose bars run in direction t varies at right angles to them; rows count downwards.
    phase = angles.cos()[:, None, None] * down[:, None] + angles.sin()[:, None, None] * across  # (A, k_h, k_w)
    gratings = torch.exp(1j * waves[:, None, None, None] * phase)  # (W, A, k_h, k_w)
    tuning = torch.einsum("khw,fahw->kfa", grey.to(gratings.dtype), gratings).abs().amax(1)  # (K, A)
    total = (tuning * torch.exp(2j * angles)).sum(1)  # (K,)
    strength = total.abs() / tuning.sum(1).clamp(min=1e-30)
    return Selectivity((total.angle() / 2).rad2deg() % 180, strength, tuning)
