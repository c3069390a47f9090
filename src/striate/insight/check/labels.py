"""Labels that hardly fit: pictures that a classifier, fitted without them, gives another class than theirs.

The classifier is logistic regression on the features of a trained network. A picture's probability of a class counts if it is at least
the mean that this class has among the pictures labelled so; a picture whose most probable class of these is not its own is suspected,
and those with the largest difference of the two probabilities come first.

Source: Northcutt, Jiang and Chuang, 2021, Confident Learning, arXiv:1911.00068v6, equations 1 and 2, ranked by the normalized margin.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

FOLDS = 5
STRENGTHS = (1e-4, 1e-3, 1e-2)  # of C, the inverse penalty on standardized features


class Suspect(NamedTuple):
    """A picture whose label hardly fits."""

    place: int
    suggested: int  # the class that fits better
    margin: float  # the probability of that class minus that of the label


def out_of_fold(features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None, *, seed: int = 0) -> np.ndarray:
    """(N, K) the probabilities of classes for each picture by a classifier that was fitted without it and its group.

    Args:
        features: (N, F).
        labels: (N,) indices; each class has pictures of two groups at least.
        groups: (N,) numbers, the same for copies and for what else belongs together; None: all differ.
        seed: Decides the folds.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedGroupKFold

    groups = np.arange(len(labels)) if groups is None else groups
    scaled = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    scaled = scaled.astype(np.float32)
    smallest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a head that is nearly there serves as well
        warnings.simplefilter("ignore", UserWarning)  # of the folds: a class has few pictures
        parts = list(StratifiedGroupKFold(min(FOLDS, smallest), shuffle=True, random_state=seed).split(scaled, labels, groups))
        found = []
        for strength in STRENGTHS:
            probs = np.zeros((len(labels), int(labels.max()) + 1))
            for fitted, held in parts:
                model = LogisticRegression(C=strength, max_iter=100).fit(scaled[fitted], labels[fitted])
                probs[held[:, None], model.classes_] = model.predict_proba(scaled[held])
            found.append((log_loss(labels, probs[:, np.unique(labels)], labels=np.unique(labels)), probs))
    best: np.ndarray = min(found, key=lambda one: one[0])[1]
    return best


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
