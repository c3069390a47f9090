"""Pictures that are there more than once, with the splits and labels that they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from striate.core.targets import Task
from striate.insight.check.copies import Pairs, groups_of, near_by_embedding, near_pairs
from striate.insight.check.quality import SMALLEST
from striate.workflows.checking.record import Copies
from striate.workflows.checking.surveying import Picture


class Same(NamedTuple):
    """Places of pictures that are the same, or nearly."""

    places: tuple[int, ...]
    likeness: float
    by: Literal["pixels", "hash", "network"]


def same_pictures(pictures: Sequence[Picture], features: np.ndarray | None) -> list[Same]:
    """The groups of readable `pictures` that are the same, then those that are nearly, by their grids and by `features` if given.

    Small grey pictures, such as digits and silhouettes, are too much alike for the latter: a 6 is a 9 upside down.
    """
    exact = groups_of([picture.pixels for picture in pictures])
    copies = {place for places in exact for place in places[1:]}
    first_of = np.array([place for place in range(len(pictures)) if place not in copies and _is_telling(pictures[place])], np.int64)
    found = [Same(tuple(places), 1.0, "pixels") for places in exact]
    if not len(first_of):
        return found
    pairs = near_pairs(np.stack([pictures[place].measures.grid for place in first_of]))
    found += _near(pairs, first_of, "hash")
    if features is not None:
        more = near_by_embedding(features[first_of])
        known = np.isin(more.first * len(first_of) + more.second, pairs.first * len(first_of) + pairs.second)
        found += _near(Pairs(*(each[~known] for each in more)), first_of, "network")
    return found


def _is_telling(picture: Picture) -> bool:
    return not picture.measures.is_grey or min(picture.height, picture.width) >= SMALLEST


def _near(pairs: Pairs, first_of: np.ndarray, by: Literal["hash", "network"]) -> list[Same]:
    return [Same(tuple(first_of[places].tolist()), likeness, by) for places, likeness in pairs.groups()]


def labels_of(same: Same, pictures: Sequence[Picture], task: Task) -> tuple[str, ...]:
    """The labels of a group in words, of which copies should have one; none where pictures that differ a little may have others."""
    if task in ("regression", "segment") and same.by != "pixels":
        return ()
    return tuple(pictures[place].said for place in same.places)


def described(same: Same, pictures: Sequence[Picture], task: Task) -> Copies:
    """A group as a report has it."""
    members = [pictures[place] for place in same.places]
    return Copies(
        paths=tuple(member.path for member in members),
        splits=tuple(member.split for member in members),
        labels=labels_of(same, pictures, task),
        likeness=round(same.likeness, 4),
        by=same.by,
    )
