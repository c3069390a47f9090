"""Noise that an input effect adds to pictures, the same bits on every device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from striate.data.augmentation.draws import PLACES, Draw, Draws, normals


def noisy(pictures: Tensor, sigma: float, draws: Draws) -> Tensor:
    """uint8 (N, H, W, C) plus normal noise of deviation `sigma`, rounded and cut off at 0 and 255; the same bits on every device."""
    count = pictures[0].numel() if len(pictures) else 0
    places = draws.field(Draw.INPUT_NOISE, count, pictures.device) & (PLACES - 1)  # (N, H W C)
    levels = (sigma * normals()).to(torch.float32).to(pictures.device)[places].view(pictures.shape)
    return (pictures + levels).round().clamp(0, 255).to(torch.uint8)


def noisy_by_name(pictures: np.ndarray, sigma: float, names: Sequence[str]) -> np.ndarray:
    """The same of an array, its random numbers those of the pictures' `names`."""
    return noisy(torch.from_numpy(np.ascontiguousarray(pictures)), sigma, constant_draws(names)).numpy()


def constant_draws(names: Sequence[str]) -> Draws:
    """Random numbers that belong to the names of pictures: their inputs come out the same wherever and whenever they are measured."""
    keys = [int.from_bytes(hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=7).digest()) for name in names]
    return Draws(0, 0, torch.tensor(keys, dtype=torch.int64))
