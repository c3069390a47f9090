"""A trained model that makes a picture of a picture: denoised, enlarged, coloured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.errors import DataError, ShapeError
from striate.core.images import ImageSpec
from striate.core.memory import ALWAYS_THERE, need_memory
from striate.core.settings import check_counts
from striate.models.answers import Answers
from striate.models.inputs import finite_outputs, given_pictures
from striate.networks.foreign import is_own

if TYPE_CHECKING:
    from striate.models.model import Model
    from striate.networks.network import Network

MULTIPLES = (1, 2, 4, 8, 16, 32)  # of which the sides of a picture may have to be
AT_ONCE = 256  # pictures of which outputs are held


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """The answer for one picture.

    Attributes:
        path: Its file, or its place in an array.
        before: (h, w, c) uint8, the picture as the network was given it.
        picture: (H, W, C) uint8, what the network makes of it: as large, or larger by the model's factor.
        file: The file that holds it.
    """

    path: str
    before: np.ndarray = field(repr=False)
    picture: np.ndarray = field(repr=False)
    file: str | None = None

    @property
    def words(self) -> str:
        """The answer in a line: the sizes."""
        before, after = (" x ".join(map(str, picture.shape)) for picture in (self.before, self.picture))
        return f"{before} to {after}"


class Restorations(Answers[Restoration]):
    """The answers for several pictures, in their order."""

    def with_files(self, files: Sequence[Path]) -> Restorations:
        """The same, saying where each picture was written."""
        return Restorations([replace(item, file=str(file)) for item, file in zip(self.items, files, strict=True)])

    def to_data(self) -> list[dict[str, Any]]:
        """Plain records: path, height, width and channels of the result, and its file."""
        return [dict(zip(("path", "height", "width", "channels", "file"), row, strict=True)) for row in self._records()]

    def to_rows(self) -> list[list[object]]:
        """The records as a table with a header."""
        return [["path", "height", "width", "channels", "file"], *([*row[:-1], row[-1] or ""] for row in self._records())]

    def _records(self) -> list[list[object]]:
        return [[item.path, *item.picture.shape, item.file] for item in self.items]


def restore(model: Model, images: np.ndarray, *, names: Sequence[str] | None = None) -> np.ndarray:
    """The pictures (N, H, W, C) uint8 that a model makes of uint8 images (N, h, w, c) of its own size; raises as `Model.outputs`."""
    parts = [model.outputs(images[start : start + AT_ONCE], names=names and names[start : start + AT_ONCE]) for start in _starts(images)]
    channels, height, width = model.network.output_shape
    return np.concatenate([as_pictures(part) for part in parts]) if parts else np.zeros((0, height, width, channels), np.uint8)


def _starts(images: np.ndarray) -> range:
    return range(0, len(images), AT_ONCE)


def as_pictures(outputs: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) of outputs (N, C, H, W) in units of a pixel's range, rounded, and cut off at 0 and 255."""
    pictures: np.ndarray = np.rint(255 * np.moveaxis(outputs, 1, -1).clip(0, 1)).astype(np.uint8)
    return pictures


def scale_of_network(network: Network) -> int:
    """The pixels on each side that a network gives for one of its input; 0 where the sides differ or it is no whole number."""
    (_, *inner), (_, *outer) = network.input_shape, network.output_shape
    scale = outer[0] // inner[0] if len(outer) == len(inner) else 0
    return scale if tuple(outer) == tuple(scale * side for side in inner) else 0


def fitting_size(network: Network, size: tuple[int, int]) -> tuple[int, int] | None:
    """`size` (h, w), its sides made larger until the network takes it and gives as many pixels for each as at its own size; None: never."""
    channels, scale = network.input_shape[0], scale_of_network(network)
    for multiple in MULTIPLES:
        height, width = (-(-side // multiple) * multiple for side in size)
        if network.fits((channels, height, width)) and scale_of_network(network.with_input((channels, height, width))) == scale:
            return height, width
    return None


def restore_picture(model: Model, pixels: np.ndarray) -> np.ndarray:
    """The picture (H, W, C) uint8 that a model makes of one (h, w, c) uint8 of any size, which it sees whole.

    Where the network takes only some sizes, the edge pixels are repeated right and below, and what comes of them is cut off.

    Raises:
        ShapeError: the network takes no picture of about that size.
        EnvironmentFault: it does not fit into the memory.
        NumericError: an output is NaN or Inf.
    """
    import torch

    from striate.core.modes import evaluation_mode

    height, width = pixels.shape[:2]
    size = fitting_size(model.network, (height, width))
    if size is None:
        raise ShapeError(f"{model.network.name} takes no picture of {width} x {height}", f"Give pictures of {model.images.words}.")
    larger, scale = model.network.with_input((model.network.input_shape[0], *size)), scale_of_network(model.network)
    if not is_own(model.network) and larger.inference_memory_bytes > ALWAYS_THERE:
        need_memory(larger.inference_memory_bytes, f"{model.network.name} on a picture of {width} x {height}", "Cut it into parts.")
    padded = np.pad(pixels, ((0, size[0] - height), (0, size[1] - width), (0, 0)), mode="edge")
    with torch.inference_mode(), evaluation_mode(model.module):
        outputs = model.module(torch.from_numpy(padded[None]).to(model.device)).double().cpu().numpy()  # (1, C, H, W)
    return np.asarray(as_pictures(finite_outputs(outputs))[0, : scale * height, : scale * width])


def restore_pictures(model: Model, pictures: Any, *, batch_size: int = AT_ONCE) -> Restorations:
    """The pictures that a model makes of pictures, as `Model.predict` takes them, each in its own size, or larger by the model's factor.

    Raises:
        DataError: a file cannot be read as a picture, or has another number of channels; names it.
        ShapeError, EnvironmentFault, NumericError: as `restore_picture`.
    """
    from striate.data.decode import decode_image
    from striate.data.fitting import with_channels

    check_counts(batch_size=batch_size)
    given, spec, items = given_pictures(pictures, model.images), model.images, []
    if not isinstance(spec, ImageSpec):
        raise RuntimeError("a picture of what is none")
    for name, item in zip(given.names, given.items, strict=True):
        try:
            pixels = with_channels(decode_image(item) if isinstance(item, Path) else np.asarray(item), spec.channels)
        except DataError as error:
            raise DataError(f"{name}: {error.message.removeprefix(f'{name}: ')}", error.remedy) from None
        items.append(restoration(model, name, pixels))
    return Restorations(items)


def restoration(model: Model, name: str, pixels: np.ndarray) -> Restoration:
    """The answer to one picture (h, w, c) uint8; raises as `restore_picture`."""
    own = pixels.shape[:2] == model.images.extent
    picture = restore(model, pixels[None], names=[name])[0] if own else restore_picture(model, pixels)
    return Restoration(path=name, before=pixels, picture=picture)
