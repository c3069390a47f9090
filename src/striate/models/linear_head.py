"""A linear head by logistic regression on the features of a frozen network: what few labelled pictures can teach in one pass.

The features (`models/features.py`) are brought to a common length by one factor for all of them: to divide each by its own deviation would
make as much of what ImageNet's classes hardly use. The strength of the penalty is chosen by
cross-validation over pictures, whose answers also give an estimate of the accuracy from all of them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sklearn.linear_model import LogisticRegression
    from torch import Tensor

LENGTH = 30.0  # of the mean features
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # of C, the inverse penalty on features of this length; weakest weights first
USUAL_STRENGTH = 1e-1  # where nothing can be held out
FOLDS = 5


@dataclass(frozen=True)
class LinearHead:
    """Weights of a head."""

    weight: Tensor  # (K, F)
    bias: Tensor  # (K,)


class OutOfFold(NamedTuple):
    """The answers of heads that were fitted to the other folds, at the strength whose answers are the likeliest."""

    strength: float  # C
    asked: np.ndarray  # (M,) the places of the pictures that were held out once: all but the only ones of their class
    shares: np.ndarray  # (M, K) the probabilities that they got; 0 for a class without a picture
    right: np.ndarray  # (M,) bool
    folds: int


def fit_linear_head(features: np.ndarray, labels: np.ndarray, num_classes: int, *, strength: float) -> LinearHead:
    """The dense layer that names the pictures best, with a penalty on its weights.

    Args:
        features: (N, F).
        labels: (N,) int64.
        num_classes: The outputs of the head; a class without a picture gets the least bias of all.
        strength: The inverse of the penalty.
    """
    factor = _factor(features)
    model = _fitted(factor * features, labels, strength)
    coef, intercept = factor * model.coef_, model.intercept_
    if len(model.classes_) == 2:  # of two classes one has the weights, and each half of them with its sign
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    weight, bias = np.zeros((num_classes, coef.shape[1])), np.full(num_classes, intercept.min() - 10)
    weight[model.classes_], bias[model.classes_] = coef, intercept
    return LinearHead(weight=torch.from_numpy(weight).float(), bias=torch.from_numpy(bias).float())


def out_of_fold(features: np.ndarray, labels: np.ndarray, num_classes: int, *, seed: int) -> OutOfFold | None:
    """The answers by cross-validation; None where no picture can be held out.

    The strength is chosen by the likelihood of the answers, which flatters their accuracy less than a choice by the accuracy would.

    Args:
        features: (N, F).
        labels: (N,) int64.
        num_classes: The number of classes.
        seed: Decides the folds.
    """
    divided = list(divisions(labels, seed=seed))
    if not divided:
        return None
    asked = np.concatenate([held for _, held in divided])
    found: list[tuple[float, float, np.ndarray]] = []
    for strength in STRENGTHS:
        shares = np.concatenate([_answers(features, labels, num_classes, fitted, held, strength) for fitted, held in divided])
        likely = shares[np.arange(len(asked)), labels[asked]]
        found.append((-float(np.log(np.maximum(likely, 1e-12)).sum()), strength, shares))
    _, strength, shares = min(found, key=lambda each: each[:2])
    order = np.argsort(asked)
    asked, shares = asked[order], shares[order]
    return OutOfFold(strength, asked, shares, shares.argmax(1) == labels[asked], len(divided))


def divisions(labels: np.ndarray, *, seed: int, folds: int = FOLDS) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The places that are fitted to and those that are held out, for each fold.

    The only picture of its class is never held out, and a class of fewer pictures than folds has them held out one at a time, so that
    every fold is fitted to every class.
    """
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(labels)
    single, others = np.flatnonzero(counts[labels] == 1), np.flatnonzero(counts[labels] > 1)
    if not len(others) or len(np.unique(labels)) < 2:
        return
    splitter = StratifiedKFold(min(folds, int(counts.max())), shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        divided = list(splitter.split(others, labels[others]))
    for fitted, held in divided:
        yield np.concatenate([others[fitted], single]), others[held]


def _answers(
    features: np.ndarray, labels: np.ndarray, num_classes: int, fitted: np.ndarray, held: np.ndarray, strength: float
) -> np.ndarray:
    """(n, K) the probabilities of the pictures at `held` by a head that is fitted to those at `fitted`."""
    factor = _factor(features[fitted])
    model = _fitted(factor * features[fitted], labels[fitted], strength)
    shares = np.zeros((len(held), num_classes))
    shares[:, model.classes_] = model.predict_proba(factor * features[held])
    return shares


def _factor(features: np.ndarray) -> np.ndarray:
    """() the factor that gives features the length `LENGTH`, in the mean of all pictures."""
    factor: np.ndarray = LENGTH / np.maximum(np.linalg.norm(features, axis=-1).mean(), 1e-12)
    return factor


def _fitted(features: np.ndarray, labels: np.ndarray, strength: float) -> LogisticRegression:
    """Logistic regression on features (N, F)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a head that is nearly there serves as well
        return LogisticRegression(C=strength, max_iter=200).fit(features, labels)
