"""Self-organised features of pictures: cells compete for their input, and only the local winner learns.

Sources: Fukushima, 1975, "Cognitron: a self-organizing multilayered neural network"; 1980, "Neocognitron: a self-organizing neural network
model for a mechanism of pattern recognition unaffected by shift in position", whose equations and shared weights these are; 2003,
"Neocognitron for handwritten digit recognition", for two thresholds, one to learn with and one to recognize.
Departs from the sources: each stage is trained after the one before it is done, and not beside it; a factor 2 of the inhibition, which
the source takes back in its learning, is left out of both; inputs may be negative, by ON and OFF cells.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from striate.core.errors import ShapeError, UsageError
from striate.core.settings import check_counts, check_numbers, sizes_of
from striate.estimators.numbers import finite_answers, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of

AT_ONCE = 128  # pictures
FIRST_WEIGHTS = 1e-4  # so little that a cell which has learned anything similar wins
SATURATION = 0.5  # alpha of the C-cells


@dataclass(eq=False, repr=False)
class Cognitron(Saved, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    r"""Stages of S-cells, which learn features without labels, and C-cells, which tolerate shifts.

    In plane k, with a window on the layer u below and weights c of the window that sum to 1:

        v = sqrt(sum c u^2)      s_k = r max(0, (1 + sum a_k u) / (1 + r / (1 + r) b_k v) - 1)
        C-cells, d a window:     x_k = (1 + sum d s_k) / (1 + mean_k sum d s_k) - 1      u_k = max(0, x_k) / (0.5 + max(0, x_k))

    For each picture the cells that respond most among all planes and neighbours are candidates; the strongest of each plane learns for
    all cells of the plane:

        a_k += q c u          b_k += q v

    A cell that learned one pattern responds with (r + 1) cos - r to one at an angle to it, once q is large: selectivity r sets how alike
    they must be.

    Args:
        planes: Planes of each stage; one number is one stage.
        kernel_size: Side of the window of S-cells; odd. Smaller where the layer below is.
        pool_size: Side of the window of C-cells, and the step between them.
        selectivity: r while learning, high, so that unlike patterns go to different planes.
        recognition_selectivity: r when responding, low, so that what is somewhat alike counts too.
        learning_rate: q.
        competition_size: Side of the neighbourhood in which one cell wins; odd.
        max_iter: Passes over the pictures for each stage.
        random_state: Seed of the first weights and of the orders.

    Attributes:
        excitatory_: a of each stage: (planes, planes below, h, w). The first stage sees each channel twice: where it is above 0, and below.
        inhibitory_: b of each stage: (planes,).
        shape_: (h, w, channels) of a picture.
        n_iter_: Passes over the pictures for each stage.

    Example:
        >>> bars = np.zeros((3, 5, 5)); bars[0, 2, :] = bars[1, :, 2] = bars[2, range(5), range(5)] = 1
        >>> simple, _ = Cognitron((3,), competition_size=9, random_state=0).fit(bars).layers(bars)
        >>> sorted(int(maps.max((1, 2)).argmax()) for maps in simple)  # a plane for each bar
        [0, 1, 2]
    """

    planes: int | tuple[int, ...] = (32,)
    _: KW_ONLY
    kernel_size: int = 5
    pool_size: int = 2
    selectivity: float = 6.0
    recognition_selectivity: float = 2.0
    learning_rate: float = 16.0
    competition_size: int = 3
    max_iter: int = 1
    random_state: Any = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from pictures X (N, h, w) or (N, h, w, c), or rows (N, w) of one line each. uint8 counts from 0 to 1.

        Raises:
            UsageError: a setting is out of its range.
            ShapeError: X has more than four axes.
        """
        self._check()
        below = self._read(X, fitting=True)
        generator = random_state_of(self.random_state)
        self.excitatory_: list[np.ndarray] = []
        self.inhibitory_: list[np.ndarray] = []
        for count in sizes_of("planes", self.planes):
            window = window_of(below.shape, self.kernel_size)
            self.excitatory_.append(generator.uniform(size=(count, *window.shape)) * FIRST_WEIGHTS * window.numpy())
            self.inhibitory_.append(np.zeros(count))
            for _ in range(self.max_iter):
                for index in generator.permutation(len(below)):
                    self._reinforce(below[index : index + 1], window)
            below = torch.cat([self._stage(part, len(self.excitatory_) - 1)[1] for part in torch.split(below, AT_ONCE)])
        self.n_iter_ = int(self.max_iter)
        self._n_features_out = below[0].numel()
        return self

    def layers(self, X: Any) -> list[np.ndarray]:
        """The responses of all cells to pictures X: S-cells, then C-cells, of each stage in turn; each (N, planes, h, w)."""
        check_is_fitted(self)
        parts = []
        for below in torch.split(self._read(X, fitting=False), AT_ONCE):
            found, u = [], below
            for stage in range(len(self.excitatory_)):
                simple, u = self._stage(u, stage)
                found += [simple.numpy(), u.numpy()]
            parts.append(found)
        return [np.concatenate(layer) for layer in zip(*parts, strict=True)]

    def transform(self, X: Any) -> np.ndarray:
        """The C-cells of the last stage (N, features), each from 0 to below 1."""
        last = self.layers(X)[-1]
        return finite_answers(last.reshape(len(last), -1))

    def _check(self) -> None:
        if not sizes_of("planes", self.planes):
            raise UsageError(f"planes must be a number of at least 1 for each stage, got {self.planes!r}")
        check_counts(kernel_size=self.kernel_size, competition_size=self.competition_size, pool_size=self.pool_size, max_iter=self.max_iter)
        for name in ("kernel_size", "competition_size"):
            if getattr(self, name) % 2 == 0:
                raise UsageError(f"{name} must be odd, got {getattr(self, name)}")
        for name in ("selectivity", "recognition_selectivity", "learning_rate"):
            check_numbers(**{name: getattr(self, name)})
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be positive, got {getattr(self, name)}")

    def _read(self, X: Any, *, fitting: bool) -> Tensor:
        """ON and OFF cells (N, 2 c, h, w) of the pictures."""
        scale = 255.0 if getattr(X, "dtype", None) == np.uint8 else 1.0
        pictures = validate_data(self, X, dtype=np.float64, allow_nd=True, reset=fitting) / scale
        if pictures.ndim > 4:
            raise ShapeError(f"X must be pictures (N, h, w) or (N, h, w, c), or rows (N, w), got {pictures.shape}")
        pictures = pictures[:, None, :, None] if pictures.ndim == 2 else pictures[..., None] if pictures.ndim == 3 else pictures
        if fitting:
            self.shape_ = pictures.shape[1:]
        elif pictures.shape[1:] != self.shape_:
            raise ShapeError(f"X has pictures of shape {pictures.shape[1:]}, the Cognitron was fitted to {self.shape_}")
        maps = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        return torch.cat([maps.clamp(min=0), (-maps).clamp(min=0)], 1)

    def _simple(self, below: Tensor, stage: int, window: Tensor, r: float) -> tuple[Tensor, Tensor]:
        """The S-cells (N, planes, h, w), and v (N, 1, h, w), on the layer below."""
        height, width = window.shape[1:]
        around = F.pad(below, (width // 2, width // 2, height // 2, height // 2))
        v = F.conv2d(around.square(), window[None]).sqrt()
        b = torch.from_numpy(self.inhibitory_[stage])[None, :, None, None]
        excited = F.conv2d(around, torch.from_numpy(self.excitatory_[stage]))
        return r * ((1 + excited) / (1 + r / (1 + r) * b * v) - 1).clamp(min=0), v

    def _stage(self, below: Tensor, stage: int) -> tuple[Tensor, Tensor]:
        """S-cells and C-cells (N, planes, h, w) of a stage."""
        simple = self._simple(below, stage, window_of(below.shape, self.kernel_size), self.recognition_selectivity)[0]
        size = [min(self.pool_size, extent) for extent in simple.shape[2:]]
        seen = F.avg_pool2d(simple, size, ceil_mode=True, count_include_pad=False)  # d is even over its window
        x = ((1 + seen) / (1 + seen.mean(1, keepdim=True)) - 1).clamp(min=0)
        return simple, x / (SATURATION + x)

    def _reinforce(self, below: Tensor, window: Tensor) -> None:
        """One picture (1, C, h, w) teaches the last stage so far."""
        simple, v = self._simple(below, -1, window, self.selectivity)
        strongest = simple.amax(1, keepdim=True)
        around = F.max_pool2d(strongest, self.competition_size, 1, self.competition_size // 2)
        candidates = torch.where(simple == around, simple, 0)[0].flatten(1)  # (planes, h w): of all planes and neighbours the most
        best, places = candidates.max(1)
        height, width = window.shape[1:]
        patches = F.unfold(below, (height, width), padding=(height // 2, width // 2))[0]  # (C k k, h w)
        for plane in best.nonzero().flatten().tolist():
            patch = patches[:, places[plane]].reshape(window.shape)
            self.excitatory_[-1][plane] += self.learning_rate * (window * patch).numpy()
            self.inhibitory_[-1][plane] += self.learning_rate * v.flatten()[places[plane]].item()


def window_of(shape: torch.Size, size: int) -> Tensor:
    """The weights c (C, h, w) of a window on a layer (N, C, H, W): 0.9 to the power of the distance from its middle; they sum to 1."""
    height, width = (min(size, extent - 1 + extent % 2) for extent in shape[2:])
    rows = torch.arange(height, dtype=torch.float64)[:, None] - height // 2
    columns = torch.arange(width, dtype=torch.float64) - width // 2
    weights = (0.9 ** (rows.square() + columns.square()).sqrt()).expand(shape[1], height, width)
    return weights / weights.sum()
