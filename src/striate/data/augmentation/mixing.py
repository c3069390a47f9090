"""Augmentations that put something else into a picture: noise, or another picture."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.data.augmentation.draws import Draw, Draws, betas, ratios
from striate.data.augmentation.record import ErasingFill, Range

ATTEMPTS = 10
UNIT = 2**12  # a share of 1


def boxes_of(top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: tuple[int, int], device: torch.device) -> Tensor:
    """(N, H, W) bool: the inside of a rectangle in each picture, given by (N,) int64."""
    top, left, height, width = (values.to(device)[:, None] for values in (top, left, height, width))
    rows, columns = torch.arange(size[0], device=device), torch.arange(size[1], device=device)
    down = (rows >= top) & (rows < top + height)  # (N, H)
    right = (columns >= left) & (columns < left + width)  # (N, W)
    return down[:, :, None] & right[:, None, :]


def erased(images: Tensor, draws: Draws, probability: float, area: Range, ratio: Range, fill: ErasingFill) -> Tensor:
    """Pictures (N, H, W, C) uint8, in each of which with `probability` a rectangle is noise (each value by itself) or black.

    Area and height / width are drawn until the rectangle fits, at most ten times; a picture for which none fits stays as it is.

    Source: Zhong, Zheng, Kang, Li and Yang, 2017, arXiv:1708.04896v2, algorithm 1; here r and 1 / r are equally likely.
    """
    places = (draws.share(Draw.ERASING) < probability).nonzero().view(-1)
    if not len(places):
        return images
    count, (height, width, channels) = len(places), images.shape[1:]
    draws = draws.take(places)
    tall, wide = [], []
    for attempt in range(ATTEMPTS):
        pixels = draws.between(Draw.ERASING_AREA, *area, attempt) * (height * width)
        height_by_width = draws.of(ratios(*ratio), Draw.ERASING_RATIO, attempt)
        tall.append((pixels * height_by_width).sqrt().round().long())
        wide.append((pixels / height_by_width).sqrt().round().long())
    heights, widths = torch.stack(tall, 1), torch.stack(wide, 1)  # (n, 10)
    fits = (heights <= height) & (widths <= width)
    first = fits.int().argmax(1, keepdim=True)
    any_fits = fits.any(1)
    box_height = torch.where(any_fits, heights.gather(1, first)[:, 0], 0)
    box_width = torch.where(any_fits, widths.gather(1, first)[:, 0], 0)
    top = draws.bits(Draw.ERASING_PLACE, 0) % (height - box_height + 1)
    left = draws.bits(Draw.ERASING_PLACE, 1) % (width - box_width + 1)
    inside = boxes_of(top, left, box_height, box_width, (height, width), images.device)[..., None]  # (n, H, W, 1)
    places = places.to(images.device)
    chosen = images.index_select(0, places)
    if fill == "noise":
        noise = draws.field(Draw.ERASING_NOISE, height * width * channels, images.device) & 255
        chosen = torch.where(inside, noise.to(torch.uint8).view(count, height, width, channels), chosen)
    else:
        chosen = chosen * ~inside
    return images.index_copy(0, places, chosen)


def partners(draws: Draws, num_images: int) -> Tensor:
    """(N,) int64 in [0, num_images): the picture that each is mixed with, which may be itself."""
    return draws.bits(Draw.PARTNER) % num_images


def mixed_pictures(images: Tensor, others: Tensor, draws: Draws, mixup: float, cutmix: float) -> tuple[Tensor, Tensor]:
    """Pictures mixed with their partners, and the share (N,) float32 of each that is left, in whole 1/4096 or whole pixels.

    Where both ways are on, each picture is mixed in one of them, with probability 1/2.

    Source: Zhang, Cisse, Dauphin and Lopez-Paz, 2017, arXiv:1710.09412v2; Yun et al., 2019, arXiv:1905.04899v2, equation 2. They mix a
    batch with itself in another order; here the partner comes from the whole training set, so that it does not depend on the batch.
    """
    blends = torch.full((len(images),), bool(mixup))
    if mixup and cutmix:
        blends = (draws.bits(Draw.MIXED_SHARE, 1) & 1).bool()
    shares = torch.ones(len(images), dtype=torch.float32)
    result = images
    if mixup:
        parts = (draws.of(betas(float(mixup)), Draw.MIXED_SHARE) * UNIT).round().int()
        parts = torch.where(blends, parts, UNIT)
        weight = parts.to(images.device)[:, None, None, None]
        result = ((images.int() * weight + others.int() * (UNIT - weight) + UNIT // 2) >> 12).to(torch.uint8)
        shares = parts.float() / UNIT
    if cutmix:
        size = (images.shape[1], images.shape[2])
        cut = (1 - draws.of(betas(float(cutmix)), Draw.MIXED_SHARE)).sqrt()
        tall, wide = (torch.where(blends, 0, (cut * side).long()) for side in size)
        top, left = (
            draws.bits(Draw.MIXED_PLACE, way) % side - length // 2
            for way, (side, length) in enumerate(zip(size, (tall, wide), strict=True))
        )
        bottom, right = (top + tall).clamp(max=size[0]), (left + wide).clamp(max=size[1])
        top, left = top.clamp(min=0), left.clamp(min=0)
        inside = boxes_of(top, left, bottom - top, right - left, size, images.device)[..., None]
        result = torch.where(inside, others, result)
        area = (bottom - top) * (right - left)
        shares = torch.where(blends, shares, 1 - area.float() / (size[0] * size[1]))
    return result, shares


def mixed_labels(labels: Tensor, others: Tensor, shares: Tensor, num_classes: int) -> Tensor:
    """Class shares (N, K) float32, or mixed targets where the labels are float: share * label + (1 - share) * other."""
    if not labels.is_floating_point():
        labels, others = (torch.nn.functional.one_hot(ids, num_classes).float() for ids in (labels, others))
    weight = shares.to(labels).view(-1, *[1] * (labels.ndim - 1))
    return labels * weight + others * (1 - weight)
