"""A trained network with all of its preprocessing inside, as one torch module that exporters can trace.

The module takes pictures of any size, as they were decoded, and does with tensor operations what `striate.data.fitting` does with Pillow:
the same part of the picture, the same antialiased bilinear weights of 22 bits, across first, then down, rounded after each. The
pixels that the network sees are equal, not close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from striate.core.images import ImageSpec
from striate.data.fitting import UNSCALED_GROWTH
from striate.models.exported import KNOWN

if TYPE_CHECKING:
    from striate.core.images import Fit
    from striate.insight.export.wanted import Input
    from striate.models.model import Model

WEIGHT = 2.0**22  # of Pillow's weights: whole numbers of this many parts
FIELDS = ("probabilities", "logits")  # of the outputs, for a classifier
PLAIN = ("numbers",)  # for a network that gives numbers


class Side(NamedTuple):
    """Along one side of a picture: the part that is seen, and its place in the network's input. All float64 scalars, in pixels."""

    start: Tensor  # of the part
    stop: Tensor
    first: Tensor  # of the places that it fills
    places: Tensor


class FittedPictures(nn.Module):
    """uint8 (N, h, w, C) of any h and w -> uint8 (N, H, W, C), as `striate.data.fitting.fit_image` fits each."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.height, self.width = spec.extent
        self.fit: Fit = spec.fit

    def forward(self, images: Tensor) -> Tensor:
        height, width = (torch.scalar_tensor(images.shape[axis], dtype=torch.float64) for axis in (1, 2))
        rows, columns = self._sides(height, width)
        down = _weights(images.shape[1], height, self.height, rows)  # (H, h)
        across = _weights(images.shape[2], width, self.width, columns)  # (W, w)
        pixels = images.permute(0, 3, 1, 2).double()  # (N, C, h, w)
        pixels = _rounded(torch.matmul(pixels, across.T))
        pixels = _rounded(torch.matmul(down, pixels))
        return pixels.permute(0, 2, 3, 1).to(torch.uint8)

    def _sides(self, height: Tensor, width: Tensor) -> tuple[Side, Side]:
        """The rows and the columns, as `striate.data.fitting.placement` places them."""
        wanted = [(height, torch.full_like(height, self.height)), (width, torch.full_like(width, self.width))]
        ratios = [places / size for size, places in wanted]
        least, most = torch.minimum(*ratios), torch.maximum(*ratios)
        if self.fit == "stretch":
            rows, columns = (Side(torch.zeros_like(size), size, torch.zeros_like(size), places) for size, places in wanted)
        elif self.fit == "cut":
            rows, columns = (_unscaled(size, places) for size, places in wanted)
        elif self.fit == "crop":
            rows, columns = (_centre(size, places, most) for size, places in wanted)
        else:
            scale = torch.where((least >= 1) & (most <= UNSCALED_GROWTH), torch.ones_like(least), least)
            rows, columns = (_whole(size, places, scale) for size, places in wanted)
        return rows, columns


def _centre(size: Tensor, places: Tensor, scale: Tensor) -> Side:
    """The centred part of a side of `size` pixels that fills all `places` when scaled."""
    start = ((size - places / scale) / 2).clamp(min=0)
    whole = torch.floor((size - places) / 2)  # where nothing is scaled, the limits are whole numbers
    unscaled = scale == 1
    stop = torch.where(unscaled, whole + places, size - start)
    return Side(torch.where(unscaled, whole, start), stop, torch.zeros_like(size), places)


def _unscaled(size: Tensor, places: Tensor) -> Side:
    """The centred part of a side of `size` pixels that fits into the `places` as it is."""
    inner = torch.minimum(size, places)
    start = torch.floor((size - inner) / 2)
    return Side(start, start + inner, torch.floor((places - inner) / 2), inner)


def _whole(size: Tensor, places: Tensor, scale: Tensor) -> Side:
    """A whole side of `size` pixels, scaled, in the middle of the `places`."""
    count = torch.minimum(torch.round(size * scale).clamp(min=1), places)
    return Side(torch.zeros_like(size), size, torch.floor((places - count) / 2), count)


def _weights(length: int, size: Tensor, places: int, side: Side) -> Tensor:
    """(places, length) float64: the weight of each pixel of a side in each place; `length` and `size` are the same number.

    A triangle as wide as the scale, at least 2 pixels, of weights that sum to 1, each a whole number of parts of `WEIGHT`; a place that the
    picture does not fill has none. Limits are float32, as Pillow takes them.
    """
    start = side.start.float()
    scale = (side.stop.float() - start).double() / side.places
    reach = scale.clamp(min=1)
    place = torch.arange(places, dtype=torch.float64)[:, None] - side.first
    centre = start.double() + (place + 0.5) * scale
    pixel = torch.arange(length, dtype=torch.float64)[None]
    low, high = torch.floor((centre - reach + 0.5).clamp(min=0)), torch.minimum(torch.floor(centre + reach + 0.5), size)
    weights = (1 - ((pixel - centre + 0.5) * (1 / reach)).abs()).clamp(min=0)
    filled = (place >= 0) & (place < side.places) & (pixel >= low) & (pixel < high)
    weights = torch.where(filled, weights, torch.zeros_like(weights))
    shares = weights / weights.sum(1, keepdim=True).clamp(min=1 / WEIGHT)
    return torch.floor(shares * WEIGHT + 0.5) / WEIGHT


def _rounded(pixels: Tensor) -> Tensor:
    return torch.floor(pixels + 0.5).clamp(0, 255)


class Program(nn.Module):
    """A model from pictures as they were decoded to its answers.

    uint8 (N, h, w, C), or float32 samples (N, ..., C) of the model's own size where it takes no pictures -> the tensors that `outputs`
    names: `probabilities` (N, K) by the temperature, `logits` (N, K), and `known` (N,) where the model answers "unknown"; of pixels (N, K,
    H, W); `numbers` (N, K) in the user's units of a regression. With the input float32 the pictures are (N, C, H, W) in [0, 1] and of the
    network's own size.
    """

    def __init__(self, model: Model, given: Input = "uint8") -> None:
        super().__init__()
        self.given = given
        self.fitted = FittedPictures(model.images) if isinstance(model.images, ImageSpec) else nn.Identity()
        self.module = model.module
        self.task, self.calibration = model.task, model.calibration
        self.threshold = self.calibration.threshold or 0.0
        self.outputs: tuple[str, ...] = PLAIN if model.task == "regression" else FIELDS[model.gives_scores :]
        if self.calibration.threshold is not None and not model.gives_scores and model.task == "classify":
            self.outputs = (*self.outputs, KNOWN)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        logits = self.module(self.fitted(images) if self.given == "uint8" else (255 * images).movedim(1, -1))
        found = {"numbers": logits, "logits": logits}
        if "probabilities" in self.outputs:
            shares = torch.sigmoid(logits) if self.task == "multilabel" else torch.softmax(logits / self.calibration.temperature, 1)
            found["probabilities"] = shares
        if KNOWN in self.outputs:
            found[KNOWN] = self._scores(logits) >= self.threshold
        return tuple(found[name] for name in self.outputs)

    def _scores(self, logits: Tensor) -> Tensor:
        """(N,), as `striate.core.calibration.scores_of`."""
        temperature = self.calibration.temperature
        if self.calibration.score == "max_logit":
            return logits.amax(1)
        if self.calibration.score == "confidence":
            return torch.softmax(logits / temperature, 1).amax(1)
        return temperature * torch.logsumexp(logits / temperature, 1)
