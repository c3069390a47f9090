"""A trained model that gives a class to each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.images import ImageSpec
from striate.core.memory import ALWAYS_THERE, need_memory
from striate.core.settings import check_counts
from striate.models.answers import Answers
from striate.models.inputs import as_seen, finite_outputs, given_pictures, read_pictures
from striate.networks.foreign import is_own

PIXELS_AT_ONCE = 16  # pictures, of which each gives a mask
SMALLER_PICTURES = "Use a machine with more memory, or a model that was trained on smaller pictures."

if TYPE_CHECKING:
    from striate.models.model import Model


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """The answer for one picture.

    Attributes:
        path: Its file, or its place in an array.
        shares: Of the pixels that the network sees, the share that got each class.
        mask: (H, W) uint8 of the picture's own size: class indices; 255 where the network does not see the picture ("crop"). Of a signal
            (L,).
        mask_file: The file of the mask.
    """

    path: str
    shares: dict[str, float]
    mask: np.ndarray = field(repr=False)
    mask_file: str | None = None

    @property
    def largest(self) -> list[tuple[str, float]]:
        """The classes present, with their shares, largest first."""
        return sorted(((name, share) for name, share in self.shares.items() if share > 0), key=lambda item: -item[1])

    @property
    def words(self) -> str:
        """The answer in a line: the classes present with their shares."""
        return ", ".join(f"{name} {share:.1%}" for name, share in self.largest)


class Segmentations(Answers[Segmentation]):
    """The answers for several pictures, in their order."""

    def __init__(self, items: Sequence[Segmentation], classes: Sequence[str]) -> None:
        super().__init__(items)
        self.classes = tuple(classes)

    def with_files(self, files: Sequence[Path]) -> Segmentations:
        """The same, saying where each mask was written."""
        return Segmentations([replace(item, mask_file=str(file)) for item, file in zip(self.items, files, strict=True)], self.classes)

    def to_data(self) -> list[dict[str, Any]]:
        """Plain records: path, height, width, mask (the file), classes (share of the pixels of each).

        Of signals path, steps (the class at each), classes.
        """
        records: list[dict[str, Any]] = []
        for item in self.items:
            if item.mask.ndim != 2:
                names = np.array(self.classes, object)[item.mask].tolist()
                records.append({"path": item.path, "steps": names, "classes": item.shares})
                continue
            height, width = item.mask.shape
            records.append({"path": item.path, "height": height, "width": width, "mask": item.mask_file, "classes": item.shares})
        return records

    def to_rows(self) -> list[list[object]]:
        """The records as a table with a header, one column per class."""
        if any(item.mask.ndim != 2 for item in self.items):
            of_steps: list[list[object]] = [[item.path, *(f"{share:.6f}" for share in item.shares.values())] for item in self.items]
            return [["path", *self.classes], *of_steps]
        header: list[object] = ["path", "height", "width", "mask", *self.classes]
        return [
            header,
            *(
                [item.path, *item.mask.shape, item.mask_file or "", *(f"{share:.6f}" for share in item.shares.values())]
                for item in self.items
            ),
        ]


def segment(model: Model, images: np.ndarray, *, batch_size: int = PIXELS_AT_ONCE, names: Sequence[str] | None = None) -> np.ndarray:
    """The class of each pixel (N, H, W) uint8 of uint8 images (N, H, W, C) of the model's own size.

    In float32. On the CPU one picture at a time, which gives it the same answer alone and in any company.

    Raises:
        ShapeError: `images` has another shape or type.
        NumericError: an output is NaN or Inf; says which of the pictures, by `names` where given.
    """
    check_counts(batch_size=batch_size)
    images = as_seen(images, model.images)
    size = 1 if model.device.partition(":")[0] == "cpu" else batch_size
    if size == 1 and not is_own(model.network) and model.network.inference_memory_bytes > ALWAYS_THERE:
        need_memory(model.network.inference_memory_bytes, f"{model.network.name}: a picture", SMALLER_PICTURES)
    answers = np.empty(images.shape[:-1], np.uint8)
    for start in range(0, len(images), size):
        logits = finite_outputs(model.run(images[start : start + size]), names and names[start : start + size])  # (n, K, H, W)
        answers[start : start + size] = logits.argmax(1)
    return answers


def segment_pictures(model: Model, pictures: Any, *, batch_size: int = PIXELS_AT_ONCE) -> Segmentations:
    """The masks of pictures, as `Model.predict` takes them, each in its picture's own size.

    Raises:
        DataError: a file cannot be read as a picture, or has another number of channels; names it.
    """
    from striate.data.decode import picture_header
    from striate.data.fitting import unfit_mask

    check_counts(batch_size=batch_size)
    given, items = given_pictures(pictures, model.images), []
    for start in range(0, len(given.names), batch_size):
        names, some = given.names[start : start + batch_size], given.items[start : start + batch_size]
        answers = segment(model, read_pictures(some, model.images), batch_size=batch_size, names=names)
        for name, answer, picture in zip(names, answers, some, strict=True):
            if isinstance(picture, np.ndarray) and isinstance(model.images, ImageSpec):
                size = (picture.shape[0], picture.shape[1])
            elif isinstance(picture, Path):
                header = picture_header(picture)
                size = (header.height, header.width)
            mask = unfit_mask(answer, model.images, size) if isinstance(model.images, ImageSpec) else answer
            items.append(segmentation(name, mask, model.classes))
    return Segmentations(items, model.classes)


def segmentation(name: str, mask: np.ndarray, classes: Sequence[str]) -> Segmentation:
    """The answer that is a mask, (H, W) or (L,) uint8 of class indices, 255 for no class."""
    counts = np.bincount(mask[mask != 255], minlength=len(classes))
    return Segmentation(path=name, shares=dict(zip(classes, (counts / max(1, counts.sum())).tolist(), strict=True)), mask=mask)
