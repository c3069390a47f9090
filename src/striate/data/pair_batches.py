"""Batches of pictures with the pictures that a network is to make of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from striate.core.errors import UsageError
from striate.data.augmentation.apply import augmented, shifts
from striate.data.augmentation.draws import Draws
from striate.data.augmentation.places import shifted_crops
from striate.data.batches import Batch, Batches
from striate.data.masks import only_moves
from striate.data.noise import noisy
from striate.data.pairs import PairSet
from striate.data.records import ImageSet


class PairBatches(Batches):
    """The batches of a set of pairs; labels are the targets (N, C, H, W) float32 in [0, 1].

    An input and its target are shifted and mirrored together. Noise that an effect makes is drawn anew each epoch of a training.

    Raises:
        UsageError: the augmentation changes something else than places, or mirrors pixels beyond the edge of larger targets.
    """

    def _prepared(self, images: PairSet) -> ImageSet:
        """The inputs."""
        only_moves(self.augmentation, "pictures with targets")
        if images.scale > 1 and self.augmentation.crop_padding and self.augmentation.pad_mode == "reflect":
            raise UsageError("pad_mode 'reflect': an input and its larger target have no edge in common to mirror at", "Use 'zero'.")
        self.pairs = images
        return ImageSet(images.name, images.split, images.images, np.zeros(len(images), np.int64), images.classes, images.paths)

    def _batch(self, indices: Tensor, epoch: int) -> Batch:
        inputs, draws = super()._batch(indices, epoch).images, Draws(self.seed, epoch, indices)
        targets = torch.from_numpy(self.pairs.labels[indices.numpy()]).to(self.device)  # (N, H, W, C)
        if len(indices):
            targets = self._moved(targets, draws)
        effect = self.pairs.effect
        if self.shuffle and effect is not None and effect.name == "noise":
            inputs = noisy(targets, effect.amount, draws)
        return Batch(inputs, targets.movedim(-1, 1).float() / 255, indices)

    def _moved(self, targets: Tensor, draws: Draws) -> Tensor:
        """Targets moved as their inputs are: by `scale` pixels for each of theirs."""
        scale, padding = self.pairs.scale, self.augmentation.crop_padding
        unscaled = dataclasses.replace(self.augmentation, crop_padding=0)
        if padding:
            top, left = shifts(draws, padding)
            targets = shifted_crops(targets, scale * top, scale * left, scale * padding, self.augmentation.pad_mode)
        return augmented(targets, draws, unscaled)
