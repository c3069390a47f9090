"""Measures of numbers, and of sets of labels, against the true ones.

A measure that would divide by zero (the recall of a label that no picture has, R2 of a number that is the same everywhere) is None, and
means over outputs leave it out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import DataError, NumericError, ShapeError
from striate.core.intervals import wilson_interval
from striate.insight.measure.classes import Interval


@dataclass(frozen=True, kw_only=True)
class NumberMeasures:
    """One number that a network estimates, in the user's units."""

    r2: float | None  # 1 - sum (y - p)^2 / sum (y - mean y)^2
    mae: float  # mean absolute error
    rmse: float  # root of the mean squared error
    bias: float  # mean of prediction - truth


@dataclass(frozen=True, kw_only=True)
class RegressionMeasures:
    """Estimated numbers on one split: means over the outputs, and each."""

    num_images: int
    r2: float | None
    mae: float
    rmse: float
    outputs: dict[str, NumberMeasures]


@dataclass(frozen=True, kw_only=True)
class LabelMeasures:
    """One label, where a picture has it when its probability is above 1/2."""

    average_precision: float | None  # of the ranking by probability; None: no picture has it
    precision: float | None  # None: never predicted
    recall: float | None  # None: no picture has it
    f1: float | None  # None: neither
    support: int  # pictures that have it
    predicted: int  # pictures given it


@dataclass(frozen=True, kw_only=True)
class MultilabelMeasures:
    """Sets of labels on one split; shares lie in [0, 1]."""

    num_images: int
    mean_average_precision: float | None  # over the labels that some picture has
    macro_f1: float | None  # mean over the labels that some picture has or was given
    micro_f1: float | None  # over all answers together; None: no label anywhere
    subset_accuracy: float  # pictures with exactly their labels
    subset_accuracy_interval: Interval  # 95 %, Wilson
    label_accuracy: float  # right answers, of pictures times labels
    log_loss: float  # mean binary cross-entropy over pictures and labels, nats
    labels: dict[str, LabelMeasures]


def measure_numbers(predicted: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> RegressionMeasures:
    """The measures of estimated numbers.

    Args:
        predicted: (N, K) float.
        truth: (N, K) float.
        names: K, what the numbers are called.

    Raises:
        ShapeError: the three do not fit each other.
        DataError: no images.
        NumericError: a prediction is not finite.
    """
    _check(predicted, truth, names)
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    outputs = {}
    for k, name in enumerate(names):
        p, y = predicted[:, k], truth[:, k]
        r2 = float(r2_score(y, p)) if y.min() < y.max() else None
        mae, rmse = float(mean_absolute_error(y, p)), float(root_mean_squared_error(y, p))
        outputs[name] = NumberMeasures(r2=r2, mae=mae, rmse=rmse, bias=float((p - y).mean()))
    parts = outputs.values()
    return RegressionMeasures(
        num_images=len(truth),
        r2=_mean([part.r2 for part in parts]),
        mae=sum(part.mae for part in parts) / len(parts),
        rmse=sum(part.rmse for part in parts) / len(parts),
        outputs=outputs,
    )


def measure_labels(probs: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> MultilabelMeasures:
    """The measures of sets of labels.

    Args:
        probs: (N, K) float in [0, 1], the probability of each label.
        truth: (N, K) of 0 and 1.
        names: K, what the labels are called.

    Raises:
        ShapeError: the three do not fit each other.
        DataError: no images.
        NumericError: a probability is not finite.
    """
    _check(probs, truth, names)
    from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

    wanted, given = truth.astype(bool), probs > 0.5
    labels = {}
    for k, name in enumerate(names):
        rates = precision_recall_fscore_support(wanted[:, k], given[:, k], average="binary", zero_division=np.nan)
        precision, recall, f1, _ = rates
        support, predicted = int(wanted[:, k].sum()), int(given[:, k].sum())
        labels[name] = LabelMeasures(
            average_precision=float(average_precision_score(wanted[:, k], probs[:, k])) if support else None,
            precision=float(precision) if predicted else None,
            recall=float(recall) if support else None,
            f1=float(f1) if support or predicted else None,
            support=support,
            predicted=predicted,
        )
    exact = int((wanted == given).all(1).sum())
    floored = np.clip(probs, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    return MultilabelMeasures(
        num_images=len(truth),
        mean_average_precision=_mean([label.average_precision for label in labels.values()]),
        macro_f1=_mean([label.f1 for label in labels.values()]),
        micro_f1=float(f1_score(wanted.reshape(-1), given.reshape(-1))) if wanted.any() or given.any() else None,
        subset_accuracy=exact / len(truth),
        subset_accuracy_interval=wilson_interval(exact, len(truth)),
        label_accuracy=float((wanted == given).mean()),
        log_loss=float(-np.log(np.where(wanted, floored, 1 - floored)).mean()),
        labels=labels,
    )


def _check(predicted: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> None:
    if predicted.ndim != 2 or predicted.shape != truth.shape or predicted.shape[1] != len(names):
        raise ShapeError(f"predictions and truth must have shape (N, {len(names)}), got {predicted.shape} and {truth.shape}")
    if len(truth) == 0:
        raise DataError("no images to measure on", "Give a split that holds at least one picture.")
    if not np.isfinite(predicted).all():
        place = int(np.flatnonzero(~np.isfinite(predicted).all(1))[0])
        raise NumericError(f"predictions: row {place} is not finite", "Train again with a lower learning rate.")


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
