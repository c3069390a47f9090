"""What is wrong by the course of losses and accuracies over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from striate.insight.diagnose.records import Finding

ENOUGH = 8  # epochs, before curves tell anything
LAST = 3  # epochs that must show it
GAP = 0.15  # between the accuracies in training and validation
FALLEN = 0.05  # validation accuracy below its best
LEARNED = 0.9  # training accuracy of a network that has learned its pictures
UNDER = 0.5  # of the loss of a guess
WORSE = 1.2  # of the same, which who knows nothing does not exceed


class Curves(NamedTuple):
    """Columns of `metrics.csv`, one value an epoch; NaN where there is none."""

    train_loss: list[float]
    val_loss: list[float]
    train_accuracy: list[float]
    val_accuracy: list[float]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Curves:
        """The columns of `rows`, whose cells are numbers, their text, or nothing."""
        return cls(*([_number(row.get(name)) for row in rows] for name in cls._fields))

    @property
    def gained(self) -> float | None:
        """The share of the first epoch's training loss that is gone; None before the second epoch."""
        losses = self.train_loss
        return 1 - min(losses) / losses[0] if len(losses) > 1 and losses[0] > 0 else None


def _number(cell: Any) -> float:
    return math.nan if cell is None or cell == "" else float(cell)


def curve_findings(curves: Curves, num_classes: int | None, *, finished: bool) -> list[Finding]:
    """What the curves tell, after enough epochs; of a finished training, whether it learned too little too."""
    if not all(map(math.isfinite, curves.train_loss + curves.val_loss)):
        return []
    found = [*_memorised(curves), *_over(curves)] if len(curves.train_loss) >= ENOUGH else []
    return [*found, *_under(curves, num_classes)] if finished and num_classes and len(curves.train_loss) >= LAST else found


def _memorised(curves: Curves) -> list[Finding]:
    """Networks learn what pictures have in common first, and wrong labels, one by one, later; when all are learned, some of it may return.

    Source: Arpit et al., 2017, arXiv:1706.05394v2, section 4.
    """
    accuracy = _smooth(curves.val_accuracy)
    best = max(range(len(accuracy)), key=accuracy.__getitem__)
    ends, least = accuracy[best] - accuracy[-1], accuracy[best] - min(accuracy[best:])
    risen = curves.train_accuracy[-1] - curves.train_accuracy[best]
    usual = median(abs(after - before) for before, after in pairwise(curves.val_accuracy))  # of an epoch: chance, where pictures are few
    if risen < 2 * FALLEN or not (ends >= max(FALLEN, usual) or least >= 2 * max(FALLEN, usual)):
        return []
    fallen = max(ends, least)
    course = f"accuracy rises by {100 * risen:.0f} points in training, and falls by {100 * fallen:.0f} in validation"
    return [
        Finding(
            kind="label_noise",
            severity="warning",
            where="",
            evidence=round(fallen, 4),
            unit="validation accuracy lost since its best epoch",
            message=f"from epoch {best + 1} on, {course}",
            cause="What is learned last helps on no other picture: most likely wrong labels are learned by heart.",
            remedy="--patience 5, and look at the training pictures that the model contradicts",
        )
    ]


def _smooth(values: Sequence[float]) -> list[float]:
    """Each value with its neighbours: the mean of three."""
    return [sum(part) / len(part) for place in range(len(values)) if (part := values[max(0, place - 1) : place + 2])]


def _over(curves: Curves) -> list[Finding]:
    gap = min(train - val for train, val in zip(curves.train_accuracy[-LAST:], curves.val_accuracy[-LAST:], strict=True))
    worse = curves.val_loss[-1] / min(curves.val_loss)
    if curves.train_accuracy[-1] < LEARNED or not gap >= GAP:
        return []
    return [
        Finding(
            kind="overfitting",
            severity="note",
            where="",
            evidence=round(gap, 4),
            unit="accuracy in training - in validation",
            message=f"accuracy is {100 * gap:.0f} points higher in training than in validation, whose loss is {worse:.2f} times its least",
            cause="The network knows its training pictures by heart: too few of them, or too many weights.",
            remedy="--patience 5, more augmentation, such as --aa trivial, or more pictures",
        )
    ]


def _under(curves: Curves, num_classes: int) -> list[Finding]:
    guess = math.log(num_classes)
    share = min(curves.train_loss) / guess
    if share < UNDER or min(curves.val_loss) / guess < UNDER:
        return []
    cause = "The network is too small for these pictures, or was trained too briefly."
    remedy = f"--epochs {2 * len(curves.train_loss)}, or a larger --model"
    if share > WORSE:
        cause = "It is sure of wrong answers: its weights are too large, from the start or since an update that was."
        remedy = "--set settings.init=he, or a smaller --lr"
    return [
        Finding(
            kind="underfitting",
            severity="note",
            where="",
            evidence=round(share, 4),
            unit="training loss / that of a guess",
            message=f"the training loss is still {100 * share:.0f} % of what a guess has",
            cause=cause,
            remedy=remedy,
        )
    ]
