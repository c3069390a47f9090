"""Pictures that are the same, pixel for pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOST_BYTES = 2**30  # that are compared at first; of larger sets, evenly spaced rows of each picture


class Place(NamedTuple):
    """The location of a picture: the number of its set, and its index there."""

    which: int
    place: int


def copies(sets: Sequence[np.ndarray], left_out: Sequence[np.ndarray]) -> list[list[Place]]:
    """The places of each picture that occurs more than once in any of `sets` (N, H, W, C), without those `left_out` (N,) bool."""
    step = max(1, -(-sum(images.nbytes for images in sets) // MOST_BYTES))
    seen: dict[int, list[Place]] = {}
    for which, (images, leave) in enumerate(zip(sets, left_out, strict=True)):
        for place in np.flatnonzero(~leave).tolist():
            seen.setdefault(hash(images[place, ::step].tobytes()), []).append(Place(which, place))
    return [group for same in seen.values() if len(same) > 1 for group in _equal(sets, same)]


def _equal(sets: Sequence[np.ndarray], places: Sequence[Place]) -> list[list[Place]]:
    """Those of `places` whose pictures are the same in every pixel, group by group."""
    groups: dict[bytes, list[Place]] = {}
    for place in places:
        groups.setdefault(sets[place.which][place.place].tobytes(), []).append(place)
    return [group for group in groups.values() if len(group) > 1]
