"""Random numbers that depend on (seed, epoch, sample index) alone, to the bit.

A number is drawn as one of 65,536 equally likely ones. What takes more than arithmetic, such as a sine or the quantile of a
distribution, is computed for all of them at once and looked up: such functions may differ in their last bit with the length of what
they are given and with the device, and a picture must not change with the company it is in.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.core.seeds import mixed

PLACES = 2**16  # values that a draw may have
GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15


class Draw(IntEnum):
    """Names of a sample's random numbers. Each picture of an epoch has one of each."""

    ORDER = 0
    SHIFT = 1
    FLIP = 2
    CROP_AREA = 3
    CROP_RATIO = 4
    CROP_PLACE = 5
    ROTATION = 6
    SHEAR = 7
    MOVE = 8
    ELASTIC = 9
    BRIGHTNESS = 10
    CONTRAST = 11
    SATURATION = 12
    HUE = 13
    CHANNEL = 14
    COMPONENT = 15
    POLICY = 16
    ERASING = 17
    ERASING_AREA = 18
    ERASING_RATIO = 19
    ERASING_PLACE = 20
    ERASING_NOISE = 21
    PARTNER = 22
    MIXED_SHARE = 23
    MIXED_PLACE = 24
    INPUT_NOISE = 25


def random_bits(seed: int, epoch: int, draw: int, indices: Tensor) -> Tensor:
    """(N,) int64 in [0, 2**63): one random number for each sample index.

    Source: SplitMix64 (Steele, Lea and Flood, 2014), with the state that (seed, epoch, draw) mix to; int64 wraps around as uint64 does.
    """
    return _finished((indices.to(torch.int64) + 1) * GOLDEN + mixed(seed, epoch, draw))


def _finished(state: Tensor) -> Tensor:
    state = (state ^ _shifted(state, 30)) * -4658895280553007687  # 0xBF58476D1CE4E5B9
    state = (state ^ _shifted(state, 27)) * -7723592293110705685  # 0x94D049BB133111EB
    return _shifted(state ^ _shifted(state, 31), 1)


def _shifted(values: Tensor, places: int) -> Tensor:
    """A logical right shift of int64."""
    return (values >> places) & ((1 << (64 - places)) - 1)


class Draws(NamedTuple):
    """The random numbers of some samples."""

    seed: int
    epoch: int
    indices: Tensor  # (N,) int64 on the CPU

    def bits(self, draw: Draw, turn: int = 0) -> Tensor:
        """(N,) int64 in [0, 2**63); `turn` tells several of one draw apart."""
        return random_bits(self.seed, self.epoch, draw + 1000 * turn, self.indices)

    def share(self, draw: Draw, turn: int = 0) -> Tensor:
        """(N,) float64, evenly spread over (0, 1)."""
        return ((self.bits(draw, turn) & (PLACES - 1)).double() + 0.5) / PLACES

    def between(self, draw: Draw, low: float, high: float, turn: int = 0) -> Tensor:
        """(N,) float64, evenly spread over (low, high)."""
        return self.share(draw, turn) * (high - low) + low

    def of(self, table: Tensor, draw: Draw, turn: int = 0) -> Tensor:
        """(N,) or (N, ...): an entry of a table of 65,536, each equally likely."""
        return table[self.bits(draw, turn) & (PLACES - 1)]

    def field(self, draw: Draw, count: int, device: torch.device) -> Tensor:
        """(N, count) int64 in [0, 2**63), computed on `device`."""
        start = self.bits(draw).to(device)[:, None]
        return _finished((torch.arange(count, device=device) + 1) * GOLDEN + start)

    def take(self, places: Tensor) -> Draws:
        """Those of the samples at `places`."""
        return self._replace(indices=self.indices[places])


def middles() -> np.ndarray:
    """(65536,) the middles of equal parts of (0, 1)."""
    return (np.arange(PLACES) + 0.5) / PLACES


@lru_cache(maxsize=8)
def turns(degrees: float) -> Tensor:
    """(65536, 2) float64: cosine and sine of angles evenly spread over +-`degrees`."""
    angles = np.radians(degrees) * (2 * middles() - 1)
    return torch.from_numpy(np.stack([np.cos(angles), np.sin(angles)], 1))


@lru_cache(maxsize=8)
def slopes(degrees: float) -> Tensor:
    """(65536,) float64: tangents of angles evenly spread over +-`degrees`."""
    return torch.from_numpy(np.tan(np.radians(degrees) * (2 * middles() - 1)))


@lru_cache(maxsize=8)
def ratios(low: float, high: float) -> Tensor:
    """(65536,) float64 whose logarithms are evenly spread from that of `low` to that of `high`."""
    return torch.from_numpy(low * (high / low) ** middles())


@lru_cache(maxsize=1)
def normals() -> Tensor:
    """(65536,) float64: the quantiles of the normal distribution, at most 4.3 deviations from its mean."""
    from scipy.special import ndtri

    return torch.from_numpy(ndtri(middles()))


@lru_cache(maxsize=4)
def betas(alpha: float) -> Tensor:
    """(65536,) float64: the quantiles of Beta(alpha, alpha)."""
    from scipy.special import betaincinv

    return torch.from_numpy(betaincinv(alpha, alpha, middles()))
