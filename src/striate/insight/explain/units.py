"""Units: the picture that maximizes each, the pictures that activate it most, and its response to each class."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.insight.explain.grids import as_map
from striate.insight.explain.inside import logits_of, maps_of, open_network, recording

CALM = 2.0  # how much the square of a picture's values, before the sigmoid, counts: it keeps colours from their ends
JITTER = 4  # pixels at most; an eighth of a small picture


def favourite_pictures(
    model: nn.Module,
    units: list[int],
    normalized: Callable[[Tensor], Tensor],
    shape: tuple[int, int, int],
    *,
    layer: nn.Module | None = None,
    num_steps: int = 128,
    learning_rate: float = 0.05,
    seed: int = 0,
) -> Tensor:
    """Pictures that maximize units, by gradient ascent from grey noise.

    A picture is the sigmoid of a sum of waves whose strengths are learned, weak where the wave is fine, so that it looks like one; it is
    shifted by a few pixels at random at each step, so that it does not hang on single pixels.

    Args:
        model: Maps images (N, C, H, W) to logits (N, K).
        units: Which: classes, or with `layer` channels of its output, whose mean over the places counts.
        normalized: Makes the model's input of pictures (N, C, H, W) in [0, 1].
        shape: (C, H, W) of the pictures.
        layer: A part of the model; the logits when left out.
        num_steps: Each costs a forward and a backward pass.
        learning_rate: Of Adam.
        seed: Of the noise and the shifts.

    Returns:
        (len(units), C, H, W) in [0, 1].

    Raises:
        UsageError: there is no such unit, or the layer does not run.

    Source: Erhan et al., 2009, technical report 1341, University of Montreal; Olah et al., 2017, doi:10.23915/distill.00007.
    """
    generator = torch.Generator().manual_seed(seed)
    channels, height, width = shape
    parameters = next(model.parameters(), torch.zeros(()))
    across, down = torch.fft.rfftfreq(width), torch.fft.fftfreq(height)[:, None]
    waves = torch.hypot(across, down)  # (H, W // 2 + 1), cycles a pixel
    scale = ((height * width) ** 0.5 / waves.clamp(min=1 / max(height, width))).to(parameters.device)
    start = 0.01 * torch.randn(len(units), channels, *waves.shape, 2, generator=generator)
    strengths = start.to(parameters.device).requires_grad_()
    reach = torch.tensor([min(JITTER, height // 8), min(JITTER, width // 8)])
    chosen = torch.tensor(units, device=parameters.device)

    def painted() -> Tensor:
        picture: Tensor = torch.fft.irfft2(torch.view_as_complex(strengths) * scale, s=(height, width), norm="ortho")
        return picture / 4  # (U, C, H, W)

    with open_network(model):
        optimizer = torch.optim.Adam([strengths], lr=learning_rate)
        for _ in range(num_steps):
            shift = (torch.rand(2, generator=generator) * 2 - 1).mul(reach).round().int().tolist()
            picture = painted()
            excited = _responses(model, normalized(torch.sigmoid(picture).roll(shift, (2, 3))), layer)  # (U, units)
            if not (min(units) >= 0 and max(units) < excited.shape[1]):
                raise UsageError(f"units must be in 0 to {excited.shape[1] - 1}, got {min(units)} to {max(units)}")
            loss = CALM * picture.square().mean((1, 2, 3)).sum() - excited.gather(1, chosen[:, None]).sum()
            (strengths.grad,) = torch.autograd.grad(loss, strengths)
            optimizer.step()
        return torch.sigmoid(painted()).detach()


def _responses(model: nn.Module, images: Tensor, layer: nn.Module | None) -> Tensor:
    """The logits (N, K), or the channels' means over the places (N, C) of a layer."""
    if layer is None:
        return logits_of(model, images)
    with recording(layer, copied=True) as seen:
        model(images)
    if not seen:
        raise UsageError(f"the layer {type(layer).__name__} does not run when the model does", "Choose another.")
    maps = as_map(seen[-1], images.shape[2:])
    return maps.flatten(2).mean(2) if maps.ndim > 2 else maps


class Exciting(NamedTuple):
    """The pictures that activate each channel most, strongest first."""

    images: Tensor  # (C, top) int64, places in the batch
    values: Tensor  # (C, top), the largest value of the channel's map
    places: Tensor  # (C, top, 2) int64, row and column of it in the map
    usual: Tensor  # (C,), the median of the largest values over all images


def most_exciting(model: nn.Module, layer: nn.Module, images: Tensor, *, top: int = 8, batch_size: int = 128) -> Exciting:
    """For each channel of a layer the images (N, C, H, W) with its largest values, and where in the map these are.

    Raises:
        ShapeError: the layer gives no feature map (N, C, h, w).

    Source: Zeiler and Fergus, 2014, arXiv:1311.2901v3, section 4.
    """
    values, places = [], []
    for part in torch.split(images, batch_size):
        maps = maps_of(model, layer, part)
        most, where = maps.flatten(2).max(2)  # (n, C)
        values.append(most)
        places.append(torch.stack([where // maps.shape[3], where % maps.shape[3]], 2))  # (n, C, 2)
    count = min(top, len(images))
    largest = torch.cat(values)  # (N, C)
    best = largest.T.topk(count, dim=1)  # (C, top)
    where = torch.cat(places).transpose(0, 1)  # (C, N, 2)
    return Exciting(best.indices, best.values, where.gather(1, best.indices[..., None].expand(-1, -1, 2)), largest.median(0).values)


def responses_by_class(
    model: nn.Module, layer: nn.Module, images: Tensor, labels: Tensor, num_classes: int, *, batch_size: int = 128
) -> Tensor:
    """The mean output of each channel of a layer for the images of each class, (K, C); not-a-number for a class without images."""
    with open_network(model), torch.no_grad():
        found = torch.cat([_responses(model, part.clone(), layer) for part in torch.split(images, batch_size)])  # (N, C)
    sums = torch.zeros(num_classes, found.shape[1], dtype=found.dtype, device=found.device).index_add_(0, labels.to(found.device), found)
    return sums / torch.bincount(labels.to(found.device), minlength=num_classes)[:, None].to(found.dtype)
