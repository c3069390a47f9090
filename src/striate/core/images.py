"""The input of a network and the preprocessing for it: a record that data, models and exports share."""

from __future__ import annotations

import math
import re
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import ConfigDict, Discriminator, Tag
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError

Fit = Literal["crop", "pad", "stretch", "cut"]
Normalization = Literal["dataset", "per_image", "min_max"]
StatisticsName = Literal["imagenet", "half", "unit"]
STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {  # usual means and deviations, as shares of a pixel's range
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5,), (0.5,)),  # values from -1 to 1
    "unit": ((0.0,), (1.0,)),  # values from 0 to 1
}
Kind = Literal["pictures", "signals", "volumes", "rows"]  # of the samples that a network takes
PICTURES = re.compile(r"(?<![\w./\\'-])pictures?(?![\w/\\'-]|\.\w)")
KINDS: dict[int, Kind] = {0: "rows", 1: "signals", 2: "pictures", 3: "volumes"}  # by the number of axes beside the channels


def of_kind(text: str, kind: Kind | None) -> str:
    """`text` with its "picture" and "pictures" as samples of a kind are called; what looks like a part of a path stays."""
    if kind in (None, "pictures"):
        return text
    return PICTURES.sub(lambda found: kind if found[0].endswith("s") else kind[:-1], text)


class Form(NamedTuple):
    """The form in which data is read: what a network, or a request, says of its samples; None and () are left to the data."""

    kind: Kind | None = None
    target: str | None = None  # the column of a table to learn
    columns: tuple[str, ...] = ()  # those to learn from
    effect: str | None = None  # that makes inputs of pictures, which are the targets


AS_IT_COMES = Form()


class _Input:
    """Properties that inputs of every kind share."""

    channels: int
    extent: tuple[int, ...]

    @property
    def kind(self) -> Kind:
        """The kind of the samples, as a plural noun."""
        return KINDS[len(self.extent)]

    @property
    def array_shape(self) -> tuple[int, ...]:
        """The shape of one sample in an array, channels last: (H, W, C), (L, C), (D, H, W, C) or (F,)."""
        return (*self.extent, self.channels)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample in the network, channels first: (C, H, W), (C, L), (C, D, H, W) or (F,)."""
        return (self.channels, *self.extent)

    @property
    def form(self) -> Form:
        """The form of data for this input."""
        return Form(self.kind)

    @property
    def words(self) -> str:
        """The input in words, such as `3 x 32 x 32`."""
        return " x ".join(map(str, self.input_shape))


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ImageSpec(_Input):
    """Size, fit, channels and normalization of a network's input; it is stored in the model file.

    A picture is brought to `height` x `width` pixels and `channels` channels as uint8 (H, W, C); inside the model
    its values are normalized.

    `fit`: "crop" scales the shorter side and cuts the centre out; "pad" scales the longer side and pads with black; "stretch"
    scales both sides; "cut" scales nothing: it cuts the centre out, and pads with black where the picture is smaller.

    `normalization`: "dataset" makes each channel (value / 255 - mean) / std with the training set's `mean` and `std`; "per_image" makes
    each picture (value - m) / max(s, 1 / sqrt(N)), with m and s the mean and the deviation of its own N values of 0 to 255 over all
    channels, as TensorFlow's per_image_standardization does; "min_max" makes its least value 0 and its largest 1. A constant picture
    becomes 0 in the latter two.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fit: Fit = "crop"
    normalization: Normalization = "dataset"

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or self.channels < 1:
            raise UsageError(f"image size must be positive, got {self.height} x {self.width} x {self.channels}")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise UsageError(f"mean and std must have {self.channels} entries, got {len(self.mean)} and {len(self.std)}")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise UsageError(f"mean must be finite and std positive, got {self.mean} and {self.std}")

    @property
    def extent(self) -> tuple[int, int]:  # type: ignore[override]  # read only
        """(H, W)."""
        return (self.height, self.width)

    @property
    def scale_and_offset(self) -> tuple[list[float], list[float]]:
        """The a and b of each channel that make a value of 0 to 255 the normalized a value + b."""
        pairs = [(1 / (255 * std), -mean / std) for mean, std in zip(self.mean, self.std, strict=True)]
        return [scale for scale, _ in pairs], [offset for _, offset in pairs]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class SignalSpec(_Input):
    """The input of a network that takes no pictures, but signals, volumes or the rows of a table; it is stored in the model file.

    A sample is float32 (L, C), (D, H, W, C) or (F,), in the user's units; inside the model each channel, or each column, becomes
    (value - mean) / std with the training set's `mean` and `std`.
    """

    normalization: ClassVar[Normalization] = "dataset"
    extent: tuple[int, ...]  # (L,), (D, H, W) or ()
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    columns: tuple[str, ...] = ()  # the names of a table's, where it has some
    target: str | None = None  # the column that is learned

    def __post_init__(self) -> None:
        if self.columns and (self.extent or len(self.columns) != self.channels):
            raise UsageError(f"columns must name each of {self.channels} columns of a table, got {len(self.columns)} names")
        if len(self.extent) not in (0, 1, 3) or min((self.channels, *self.extent)) < 1:
            raise UsageError(f"extent must be (), (L,) or (D, H, W), of at least 1, got {self.extent} of {self.channels} channels")
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise UsageError(f"mean and std must have {self.channels} entries, got {len(self.mean)} and {len(self.std)}")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)) or min(self.std) <= 0:
            raise UsageError("mean must be finite and std positive")

    @property
    def form(self) -> Form:
        """The form of data for this input."""
        return Form(self.kind, self.target, self.columns)

    @property
    def scale_and_offset(self) -> tuple[list[float], list[float]]:
        """The a and b of each channel that make a value the normalized a value + b."""
        return [1 / std for std in self.std], [-mean / std for mean, std in zip(self.mean, self.std, strict=True)]


def _which(data: object) -> str:
    """The name of the record that `data` is, or is to be read as."""
    return "SignalSpec" if isinstance(data, SignalSpec) or (isinstance(data, dict) and "extent" in data) else "ImageSpec"


InputSpec = Annotated[Annotated[ImageSpec, Tag("ImageSpec")] | Annotated[SignalSpec, Tag("SignalSpec")], Discriminator(_which)]
