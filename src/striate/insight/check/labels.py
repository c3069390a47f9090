"""Labels that hardly fit: pictures that a classifier, fitted without them, gives another class than theirs.

The classifier is that of few photos, logistic regression on the features of a trained network (`models/linear_head.py`). A picture's
probability of a class counts if it is at least the mean that this class has among the pictures labelled so; a picture whose most probable
class of these is not its own is suspected, and those with the largest difference of the two probabilities come first.

Source: Northcutt, Jiang and Chuang, 2021, Confident Learning, arXiv:1911.00068v6, equations 1 and 2, ranked by the normalized margin.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Suspect(NamedTuple):
    """A picture whose label hardly fits."""

    place: int
    suggested: int  # the class that fits better
    margin: float  # the probability of that class minus that of the label


def suspects(probs: np.ndarray, labels: np.ndarray) -> list[Suspect]:
    """The pictures whose labels hardly fit, the most certain first.

    Args:
        probs: (N, K) out-of-fold probabilities.
        labels: (N,) indices.
    """
    counts = np.bincount(labels, minlength=probs.shape[1])
    sums = np.bincount(labels, probs[np.arange(len(labels)), labels], minlength=probs.shape[1])
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)  # (K,)
    confident = np.where(probs >= thresholds, probs, -1.0)
    suggested = confident.argmax(1)
    margins = probs[np.arange(len(labels)), suggested] - probs[np.arange(len(labels)), labels]
    doubted = np.flatnonzero((confident.max(1) >= 0) & (suggested != labels) & (margins > 0))
    order = doubted[np.argsort(-margins[doubted], kind="stable")]
    return [Suspect(int(place), int(suggested[place]), float(margins[place])) for place in order]
