"""A linear head by logistic regression on the features of a frozen network: what few labelled pictures can teach in one pass.

The features (`models/features.py`) are brought to a common length by one factor for all of them: to divide each by its own deviation would
make as much of what ImageNet's classes hardly use. The strength of the penalty is chosen by
cross-validation over pictures, whose answers also give an estimate of the accuracy from all of them.

Of fewer pictures than features, the regression is computed in the space that they span: the penalty is the same in any orthonormal basis.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from striate.core.errors import DataError
from striate.data.splits import fold_places, names_below
from striate.models.discriminant import discriminant
from striate.models.threads import threads_for

LENGTH = 30.0  # of the mean features
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)  # of C, the inverse penalty on features of this length; weakest weights first
USUAL_STRENGTH = 1e-1  # where nothing can be held out
FOLDS = 5
CLOSE = 1e-4  # the largest derivative of the mean loss at which a fit ends
STEPS = (20, 200)  # of a fit, at least and at most, between which
WORK = 2e11  # multiply-adds end it: with thousands of classes a head that is nearly there serves as well
PART = 2**25  # logits that are computed at a time
MOST_WORK = 2e12  # multiply-adds of the least steps, above which a head is computed in closed form: minutes, and gigabytes for L-BFGS


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


def fit_linear_head(
    features: np.ndarray, labels: np.ndarray, num_classes: int, *, strength: float, weights: np.ndarray | None = None
) -> LinearHead:
    """The dense layer that names the pictures best, with a penalty on its weights; of very many classes that of their discriminant.

    Args:
        features: (N, F), or (N, V, F) of several views of each picture, which all count as the picture's.
        labels: (N,) int64.
        num_classes: The outputs of the head; a class without a picture gets the least bias of all.
        strength: The inverse of the penalty, of which a discriminant has none.
        weights: (N,) of the pictures in the loss, where only their ratios count; None: all weigh alike.
    """
    factor, views = _factor(features), views_of(features)
    present, places = np.unique(labels, return_inverse=True)
    if takes_long(features, len(present)):
        return _of_discriminant(views, present, places, num_classes, weights)
    turned, basis = _turned(factor * views)
    fitted = _fitted(turned, torch.from_numpy(places), strength, None if weights is None else torch.from_numpy(weights))
    weight = torch.zeros(num_classes, features.shape[-1], dtype=torch.float64)
    bias = torch.full((num_classes,), float(fitted[:, -1].min()) - 10, dtype=torch.float64)
    weight[present], bias[present] = factor * fitted[:, :-1] @ basis.T, fitted[:, -1]
    return LinearHead(weight=weight.float(), bias=bias.float())


def takes_long(features: np.ndarray, num_classes: int) -> bool:
    """Return whether logistic regression on features (N, F) or (N, V, F) would take too long."""
    return 2 * features.size * num_classes * STEPS[0] > MOST_WORK


def _of_discriminant(
    views: np.ndarray, present: np.ndarray, places: np.ndarray, num_classes: int, weights: np.ndarray | None
) -> LinearHead:
    """The head of the discriminant of the classes that have pictures."""
    num_images, num_views, size = views.shape
    shares = torch.ones(num_images) if weights is None else torch.from_numpy(weights)
    labels = torch.from_numpy(places).repeat_interleave(num_views)
    found = discriminant(torch.from_numpy(views).flatten(0, 1).float(), labels, shares.float().repeat_interleave(num_views))
    weight, bias = torch.zeros(num_classes, size), torch.full((num_classes,), float(found[:, -1].min()) - 10)
    weight[present], bias[present] = found[:, :-1], found[:, -1]
    return LinearHead(weight=weight, bias=bias)


def head_folds(
    labels: np.ndarray, paths: Sequence[str], classes: Sequence[str], *, seed: int, groups: np.ndarray | None = None
) -> np.ndarray | None:
    """(N,) int: the folds of `data.splits.fold_places`, at most `FOLDS`; fewer of few pictures or groups, and None where there are not two.

    A picture in no fold, -1, is always fitted to. So every fold is fitted to every class, unless all pictures of one are of one fold's
    groups.
    """
    for count in range(FOLDS, 1, -1) if len(np.unique(labels)) > 1 else ():
        with contextlib.suppress(DataError):
            return fold_places(labels, names_below(paths), classes, count=count, seed=seed, groups=groups)
    return None


def out_of_fold(
    features: np.ndarray, labels: np.ndarray, num_classes: int, *, folds: np.ndarray, weights: np.ndarray | None = None
) -> OutOfFold:
    """The answers by cross-validation.

    The strength is chosen by the likelihood of the answers, which flatters their accuracy less than a choice by the accuracy would.

    Args:
        features: (N, F), or (N, V, F) of several views; held out, a picture is answered by its first.
        labels: (N,) int64.
        num_classes: The number of classes.
        folds: (N,) int, as of `head_folds`.
        weights: (N,) of the pictures in the loss and in the choice of the strength; None: all weigh alike.
    """
    asked = np.flatnonzero(folds >= 0)
    shares = np.zeros((len(STRENGTHS), len(labels), num_classes))
    turned, weighed = _turned(views_of(features))[0], None if weights is None else torch.from_numpy(weights)
    for fitted, held in divisions(folds):
        present, places = np.unique(labels[fitted], return_inverse=True)
        factor, found = _factor(features[fitted]), None
        for shown, strength in zip(shares, STRENGTHS, strict=True):  # each begins where the last one came to
            some = None if weighed is None else weighed[fitted]
            found = _fitted(factor * turned[fitted], torch.from_numpy(places), strength, some, start=found)
            logits = factor * turned[held, 0] @ found[:, :-1].T + found[:, -1]
            shown[held[:, None], present] = logits.softmax(1).numpy()
    likely = np.log(np.maximum(shares[:, asked, labels[asked]], 1e-12))  # (S, M)
    best = int((likely if weights is None else likely * weights[asked]).sum(1).argmax())
    answers = shares[best, asked]
    return OutOfFold(STRENGTHS[best], asked, answers, answers.argmax(1) == labels[asked], int(folds.max()) + 1)


def divisions(folds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The places that are fitted to and those that are held out, for each fold."""
    for fold in range(int(folds.max()) + 1):
        yield np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)


def views_of(features: np.ndarray) -> np.ndarray:
    """(N, V, F), also where there is one view of each picture, (N, F)."""
    return features if features.ndim == 3 else features[:, None]


def _factor(features: np.ndarray) -> float:
    """The factor that gives features the length `LENGTH`, in the mean of all pictures."""
    return float(LENGTH / np.maximum(np.linalg.norm(features, axis=-1).mean(), 1e-12))


def _turned(views: np.ndarray) -> tuple[Tensor, Tensor]:
    """Features (N, V, F) in an orthonormal basis (F, R) of what they span, (N, V, R), and that basis; R is the lesser of NV and F."""
    values = torch.from_numpy(views).double()
    rows = values.flatten(0, 1)
    if len(rows) >= rows.shape[1]:
        return values, torch.eye(rows.shape[1], dtype=torch.float64)
    basis, turned = torch.linalg.qr(rows.T)
    return turned.T.reshape(*values.shape[:2], -1).contiguous(), basis


def _fitted(views: Tensor, labels: Tensor, strength: float, weights: Tensor | None, start: Tensor | None = None) -> Tensor:
    """(K, R + 1) the weights W and biases b of the logistic regression on features x_nv (N, V, R) with labels y_n in [0, K).

    They minimize, with the pictures' weights w_n divided by their sum,

        sum_nv w_n / V (-log softmax(W x_nv + b)[y_n]) + |W|^2 / (2 C N)

    by scipy's L-BFGS from `start`, or from 0: the first use of torch's imports its compiler, which takes longer than the fit.
    """
    from scipy.optimize import minimize

    (num_images, num_views, size), num_classes = views.shape, int(labels.max()) + 1
    macs = 2 * views.numel() * num_classes  # of a loss and its slope
    weights = torch.ones(num_images, dtype=torch.float64) if weights is None else weights
    features, labels = views.flatten(0, 1), labels.repeat_interleave(num_views)
    shares = (weights / (num_views * weights.sum().clamp(min=1e-300))).repeat_interleave(num_views)
    begun = torch.zeros(num_classes, size + 1, dtype=torch.float64) if start is None else start

    def loss_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        values = torch.from_numpy(flat).view_as(begun)
        penalty = values[:, :-1] / (strength * num_images)
        loss, slope = (values[:, :-1] * penalty).sum() / 2, torch.nn.functional.pad(penalty, (0, 1))
        part = max(1, PART // num_classes)
        for seen, right, share in zip(*(torch.split(each, part) for each in (features, labels, shares)), strict=True):
            logs, each = (seen @ values[:, :-1].T + values[:, -1]).log_softmax(1), torch.arange(len(seen))  # (n, K)
            loss -= (share * logs[each, right]).sum()
            errors = share[:, None] * logs.exp()
            errors[each, right] -= share
            slope += torch.cat([errors.T @ seen, errors.sum(0)[:, None]], 1)
        return loss.item(), slope.numpy().ravel()

    with torch.inference_mode(), threads_for(macs // 2):
        ends = {"gtol": CLOSE, "ftol": 1e-14, "maxiter": int(min(max(WORK / macs, STEPS[0]), STEPS[1]))}
        found = minimize(loss_and_slope, begun.numpy().ravel(), jac=True, method="L-BFGS-B", options=ends)
    return torch.from_numpy(found.x).view_as(begun)
