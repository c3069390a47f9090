"""Labels of estimators: the classes, and the outputs that encode them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets

from striate.core.errors import UsageError


def classes_of(y: Any) -> np.ndarray:
    """The classes that labels y (N,) hold, sorted.

    Raises:
        UsageError: there is only one.
    """
    check_classification_targets(y)
    classes = np.unique(y)
    if len(classes) < 2:
        raise UsageError(f"y must hold at least two classes, got one class: {classes.tolist()[0]!r}")
    return classes


def outputs_of(y: Any, classes: np.ndarray) -> np.ndarray:
    """The encoding of each label: 0 or 1, (N, K); for two classes one output (N, 1), 1 for the second.

    Raises:
        UsageError: y holds a label that is not one of the classes.
    """
    labels = np.asarray(y)
    unknown = np.setdiff1d(labels, classes)
    if len(unknown):
        raise UsageError(f"y holds the class {unknown.tolist()[0]!r}, which is not one of {classes.tolist()}")
    ones: np.ndarray = (labels[:, None] == classes).astype(float)
    return ones[:, 1:] if len(classes) == 2 else ones
