"""Run the kept model on training and validation pictures without augmentation, for a diagnosis that does not depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from striate.core.images import SignalSpec
from striate.insight.diagnose.exam import Exam, answers_of, shared_pictures, shift_between
from striate.models.model import Model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.core.images import InputSpec
    from striate.data.findings import DataFinding
    from striate.data.records import ImageSet

LEAST, MOST = 100, 2_000  # training pictures that are answered
SHARE = 0.06  # of the pictures that were trained on, which cost three times as much each: 2 % of the time


def examine(model: Model, train_set: ImageSet, val_set: ImageSet, *, seen: int, known: Sequence[DataFinding] = ()) -> Exam | None:
    """The predictions of `model`; None if a picture has no single class.

    Args:
        model: That the training kept.
        train_set: Its training pictures, as the model takes them.
        val_set: Its validation pictures.
        seen: Pictures that it was trained on, each epoch's counted, which decide how many are answered now.
        known: The findings in the data that the user was told: validation pictures that are also training pictures are not counted again.
    """
    if any(images.labels.ndim != 1 or images.labels.dtype.kind not in "iu" or not len(images) for images in (train_set, val_set)):
        return None
    most = min(MOST, max(LEAST, int(SHARE * seen)))
    train, val = spread_over(train_set, most), spread_over(val_set, most)
    mean, std = input_statistics(model.images, train.images)
    return Exam(
        train=answers_of(model.shares(np.asarray(train.images)), train.labels),
        val=answers_of(model.shares(np.asarray(val.images)), val.labels),
        train_counts=tuple(np.bincount(train_set.labels, minlength=len(model.classes)).tolist()),
        val_counts=tuple(np.bincount(val_set.labels, minlength=len(model.classes)).tolist()),
        shared=shared_pictures(train_set.images, val.images) if all(one.kind != "shared_pictures" for one in known) else None,
        shift=shift_between(train.images, val.images),
        input_mean=mean,
        input_std=std,
    )


def spread_over(images: ImageSet, most: int) -> ImageSet:
    """At most so many pictures, evenly spaced."""
    return images if len(images) <= most else images.take(np.linspace(0, len(images) - 1, most).astype(np.int64))


def input_statistics(spec: InputSpec, images: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the network's input, of the channel that is furthest from 0 and 1."""
    if spec.normalization != "dataset":
        return 0.0, 1.0
    scale, offset = map(np.array, spec.scale_and_offset)
    values = np.asarray(images).reshape(-1, spec.channels).astype(np.float64)
    means, stds = values.mean(0) * scale + offset, values.std(0) * scale
    if isinstance(spec, SignalSpec):  # a constant column tells nothing
        stds = np.where(stds > 0, stds, 1.0)
    worst = int(np.argmax(np.abs(means) + np.abs(np.log(np.maximum(stds, 1e-6)))))
    return float(means[worst]), float(stds[worst])
