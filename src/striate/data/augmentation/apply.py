"""Applying an augmentation record, in its order."""

from __future__ import annotations

import torch
from torch import Tensor

from striate.data.augmentation.colours import (
    Components,
    brightened,
    contrasted,
    hue_turned,
    pca_levels,
    saturated,
    shifted_values,
)
from striate.data.augmentation.draws import Draw, Draws
from striate.data.augmentation.mixing import erased
from striate.data.augmentation.places import (
    elastic_field,
    flipped,
    moved,
    random_moves,
    random_windows,
    resized_windows,
    shifted_crops,
)
from striate.data.augmentation.policy import trivially_changed
from striate.data.augmentation.record import Augmentation


def augmented(images: Tensor, draws: Draws, augmentation: Augmentation, components: Components | None = None) -> Tensor:
    """Pictures (N, H, W, C) uint8 with everything of the record but what mixes two pictures.

    Args:
        images: uint8 (N, H, W, C).
        draws: The random numbers of these samples.
        augmentation: The changes to apply.
        components: Of the training set's colours; only `pca_colour` needs them.
    """
    images = _moved(images, draws, augmentation)
    images = _coloured(images, draws, augmentation, components)
    if augmentation.policy == "trivial":
        images = trivially_changed(images, draws, augmentation.pad_mode)
    if augmentation.erasing:
        a = augmentation
        images = erased(images, draws, a.erasing, a.erasing_area, a.erasing_ratio, a.erasing_fill)
    return images


def shifts(draws: Draws, pad: int) -> tuple[Tensor, Tensor]:
    """The places at which pictures padded by `pad` are cut out: `top` and `left`, each (N,) in [0, 2 pad]."""
    bits, span = draws.bits(Draw.SHIFT), 2 * pad + 1
    return bits % span, (bits // span) % span


def _moved(images: Tensor, draws: Draws, augmentation: Augmentation) -> Tensor:
    size = (images.shape[1], images.shape[2])
    mode = augmentation.pad_mode
    if pad := augmentation.crop_padding:
        images = shifted_crops(images, *shifts(draws, pad), pad, mode)
    if augmentation.flip:
        alternating = augmentation.flip_mode == "alternating"
        turn = draws._replace(epoch=0).bits(Draw.FLIP) + draws.epoch if alternating else draws.bits(Draw.FLIP)
        images = flipped(images, (turn & 1).bool())
    if augmentation.resized_crop is not None:
        images = resized_windows(images, *random_windows(draws, size, augmentation.resized_crop, augmentation.crop_ratio))
    if augmentation.rotation or augmentation.shear or augmentation.shift or augmentation.elastic:
        matrices, offsets = random_moves(draws, size, rotation=augmentation.rotation, shear=augmentation.shear, shift=augmentation.shift)
        field = None
        if augmentation.elastic:
            field = elastic_field(draws, size, augmentation.elastic, augmentation.elastic_sigma, images.device)
        images = moved(images, matrices, offsets, mode, field)
    return images


def _coloured(images: Tensor, draws: Draws, augmentation: Augmentation, components: Components | None) -> Tensor:
    factors = (
        (brightened, augmentation.brightness, Draw.BRIGHTNESS),
        (contrasted, augmentation.contrast, Draw.CONTRAST),
        (saturated, augmentation.saturation, Draw.SATURATION),
    )
    for change, most, draw in factors:
        if most:
            images = change(images, draws.between(draw, 1 - most, 1 + most))
    if augmentation.hue:
        images = hue_turned(images, draws.between(Draw.HUE, -augmentation.hue, augmentation.hue))
    levels: Tensor | None = None
    if most := augmentation.channel_shift:
        levels = torch.stack([draws.between(Draw.CHANNEL, -most, most, channel) for channel in range(images.shape[3])], 1)
    if augmentation.pca_colour and components is not None:
        more = pca_levels(draws, components, augmentation.pca_colour)
        levels = more if levels is None else levels + more
    return images if levels is None else shifted_values(images, levels)
