"""A data set in k folds, for cross-validation."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np

from striate.core.errors import UsageError
from striate.data.packing import take_rows
from striate.data.records import DataSource, Part
from striate.data.splits import fold_places, names_below

if TYPE_CHECKING:
    from striate.core.images import InputSpec


def folds(source: DataSource, count: int, *, seed: int = 0) -> list[DataSource]:
    """`count` data sets of the training split of `source`: each fold validates once, while the others train. Groups stay together.

    A class of one picture is in the training pictures of each. Neither a val split that it has, nor its test split, is used.

    Raises:
        UsageError: fewer than two folds, or labels that are not one class per picture.
        DataError: fewer pictures than folds, or fewer groups.
    """
    if not source.has_classes:
        raise UsageError(f"{source.name}: folds need one class per picture, got targets for {source.task}", "Use `seeds` instead.")
    part = source.parts["train"]()
    places = fold_places(part.labels, names_below(part.paths), source.classes, count=count, seed=seed, groups=part.facts.groups)
    decoded = functools.lru_cache(maxsize=1)(part.images)
    all_of_them = source.identities("train")

    def only(chosen: np.ndarray) -> Part:
        def images(spec: InputSpec | None, some: np.ndarray | None = None) -> np.ndarray:
            return take_rows(decoded(spec), chosen if some is None else chosen[some])

        paths = tuple(part.paths[place] for place in chosen)
        names, facts = all_of_them.take(chosen).names, part.facts.take(chosen)
        return Part(part.labels[chosen], paths, images, names, lambda: all_of_them.take(chosen).digests, facts=facts)

    return [
        dataclasses.replace(
            source,
            name=f"{source.name}-fold{fold + 1}",
            parts={
                "train": functools.partial(only, np.flatnonzero(places != fold)),
                "val": functools.partial(only, np.flatnonzero(places == fold)),
            },
        )
        for fold in range(count)
    ]
