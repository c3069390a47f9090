"""A learning curve: the accuracy of linear heads from 1/8, 1/4, 1/2 and all of the pictures, and what twice as many would bring."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from striate.models.linear_head import divisions, fit_linear_head, views_of

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
LEAST_ERRORS = 0.5  # that count for none at all, where logarithms are taken


class CurvePoint(NamedTuple):
    """The answers of heads that were fitted to a share of the other folds."""

    num_images: int  # that a head was fitted to, in the mean of the folds
    right: int
    asked: int


def learning_curve(
    features: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    folds: np.ndarray,
    strength: float,
    seed: int,
    weights: np.ndarray | None = None,
) -> list[CurvePoint]:
    """A point for each of `SHARES`: in every fold, a head of that share of each class of the other folds names all that were held out.

    Args:
        features: (N, F), or (N, V, F), as of `linear_head.out_of_fold`.
        labels: (N,) int64.
        num_classes: The number of classes.
        folds: (N,) int, as of `linear_head.head_folds`.
        strength: As of `fit_linear_head`, as is `weights`.
        seed: Decides which pictures a share holds; a smaller share is part of a larger one.
        weights: (N,), or None.
    """
    mixed = np.random.default_rng(seed)
    divided = [(mixed.permutation(fitted), held) for fitted, held in divisions(folds)]
    points = []
    for share in SHARES:
        sizes, right, asked = [], 0, 0
        for fitted, held in divided:
            some = np.concatenate([_first(fitted[labels[fitted] == label], share) for label in np.unique(labels)])
            some_weights = None if weights is None else weights[some]
            head = fit_linear_head(features[some], labels[some], num_classes, strength=strength, weights=some_weights)
            logits = views_of(features)[held, 0] @ head.weight.numpy().T + head.bias.numpy()  # (n, K)
            right += int((logits.argmax(1) == labels[held]).sum())
            asked += len(held)
            sizes.append(len(some))
        points.append(CurvePoint(round(sum(sizes) / len(sizes)), right, asked))
    return points


def extrapolated(points: list[CurvePoint]) -> tuple[int, float]:
    """Twice the pictures of the last point, and the accuracy there by the power law through the points; never less than the last.

        1 - accuracy = a n^-b, by least squares on logarithms

    Source: Hestness et al., 2017, arXiv:1712.00409, section 3: errors of classifiers fall as powers of the number of samples.
    """
    sizes = np.log([point.num_images for point in points])
    errors = np.log([max(LEAST_ERRORS, point.asked - point.right) / point.asked for point in points])
    slope = float(np.polyfit(sizes, errors, 1)[0]) if len(set(sizes.tolist())) > 1 else 0.0
    level = float(errors.mean() - slope * sizes.mean())
    double, last = 2 * points[-1].num_images, points[-1]
    return double, max(last.right / last.asked, 1 - math.exp(level + slope * math.log(double)))


def _first(places: np.ndarray, share: float) -> np.ndarray:
    """The first of `places`, at least one."""
    return places[: max(1, round(share * len(places)))]
