"""Shortcuts to a label past the subject: properties of files and frames that alone predict the class.

Each property is given to a small decision tree by itself; its answers by cross-validation are compared with guessing. A network that is
trained on such data learns the property, and fails where it is absent
("clever Hans": Lapuschkin et al., 2019, doi:10.1038/s41467-019-08987-4).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

FOLDS = 5
LEAST_OF_CLASS = 10  # pictures, below which nothing can be said of a class
GAIN = 0.5  # of the way from guessing to always right, from which on a property is told
SURE = 0.9  # precision and recall for one class, from which on it is told by itself


class Shortcut(NamedTuple):
    """A property that predicts the class."""

    property: str
    accuracy: float  # balanced over classes, by cross-validation
    chance: float
    classes: tuple[int, ...]  # those that it tells from all others
    is_content: bool  # also the subject may have it, as a colour


def shortcuts(properties: Mapping[str, np.ndarray], labels: np.ndarray, contents: frozenset[str], *, seed: int = 0) -> list[Shortcut]:
    """The properties that predict the class by themselves, the best first.

    Args:
        properties: By name, (N, d) numbers.
        labels: (N,) indices.
        contents: The names of those that the subject may have by its nature: they are told only if one class is told by them for sure.
        seed: Decides the folds.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    counts = np.bincount(labels)
    kept = np.flatnonzero(counts[labels] >= LEAST_OF_CLASS)
    classes = np.unique(labels[kept])
    if len(classes) < 2:
        return []
    truth, found = labels[kept], []
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for name, values in properties.items():
        numbers = values[kept]
        if (numbers == numbers[0]).all():
            continue
        tree = DecisionTreeClassifier(max_leaf_nodes=4 * len(classes), min_samples_leaf=3, class_weight="balanced", random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            said = cross_val_predict(tree, numbers, truth, cv=folds)
        recalls = np.array([(said[truth == label] == label).mean() for label in classes])
        precisions = np.array([(truth[said == label] == label).mean() if (said == label).any() else 0.0 for label in classes])
        accuracy, chance = float(recalls.mean()), 1 / len(classes)
        sure = tuple(int(label) for label in classes[(recalls >= SURE) & (precisions >= SURE)])
        if sure or (name not in contents and accuracy >= chance + GAIN * (1 - chance)):
            found.append(Shortcut(name, accuracy, chance, sure, name in contents))
    return sorted(found, key=lambda one: -one.accuracy)
