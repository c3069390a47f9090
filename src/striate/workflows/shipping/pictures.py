"""The pictures that the answers of a file are compared on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from striate.data.records import ImageSet
from striate.models.model import Model
from striate.workflows.subjects.labelled import evenly

VALUES = 2**26  # of answers that are compared at most, 256 MiB each time


def some_of(images: ImageSet, count: int) -> ImageSet:
    """At most `count` of the pictures, evenly taken."""
    return images.take(np.array(evenly(len(images), count)))


def compared_pictures(model: Model, images: ImageSet, count: int) -> tuple[list[Path] | np.ndarray, list[str]]:
    """At most `count` pictures, fewer where each answer is large, and their names: as files where they are files, else as they are."""
    chosen = some_of(images, max(1, min(count, VALUES // math.prod(model.network.output_shape))))
    files = [Path(path) for path in chosen.paths]
    return (files if all(file.is_file() for file in files) else np.asarray(chosen.images)), list(chosen.paths)
