"""Findings from the losses and accuracies over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from striate.insight.diagnose.exam import Exam
from striate.insight.diagnose.records import Finding
from striate.insight.diagnose.remedies import MIXUP, TRIVIAL, first_new
from striate.insight.diagnose.setup import Setup
from striate.insight.diagnose.statistics import gap_of

ENOUGH = 8  # epochs, before curves tell anything
LAST = 3  # epochs that must show it
GAP, SURELY = 0.15, 0.075  # between the accuracies in training and validation, and what of it is no chance
LEARNED = 0.9  # training accuracy of a network that has learned its pictures
UNDER = 0.5  # of the loss of a guess
SLOWEST = 1e-3  # usual momentum of a batch norm; below, its statistics hardly move, which is a fault of its own (drift)
ARRIVED = 0.95  # share of the running statistics that are the network's own, from which on they count
RUINED = 3.0  # validation loss over that of a guess, which who knows nothing does not exceed
APART = 3.0  # the same over the training loss


class Curves(NamedTuple):
    """Columns of `metrics.csv`, one value per epoch; NaN if there is none."""

    train_loss: list[float]
    val_loss: list[float]
    train_accuracy: list[float]
    val_accuracy: list[float]
    step: list[float]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> Curves:
        """The columns of `rows`, whose cells are numbers, their text, or nothing; without epoch 0, which is before the training."""
        rows = [row for row in rows if str(row.get("epoch")) != "0"]
        return cls(*([_number(row.get(name)) for row in rows] for name in cls._fields))

    @property
    def gained(self) -> float | None:
        """The share by which the first epoch's training loss has fallen; None before the second epoch."""
        losses = self.train_loss
        return 1 - min(losses) / losses[0] if len(losses) > 1 and losses[0] > 0 else None

    @property
    def late_gain(self) -> float | None:
        """The share of the training loss that the last third of the epochs took away; None if there are too few epochs."""
        losses = self.train_loss
        start = max(1, 2 * len(losses) // 3) - 1
        return 1 - losses[-1] / losses[start] if len(losses) >= LAST and losses[start] > 0 else None

    @property
    def updates(self) -> int:
        """Done by the last epoch; 0 if that is not recorded."""
        return int(self.step[-1]) if self.step and math.isfinite(self.step[-1]) else 0

    @property
    def are_finite(self) -> bool:
        """Return whether each loss is a number."""
        return all(map(math.isfinite, self.train_loss + self.val_loss))


def _number(cell: Any) -> float:
    return math.nan if cell is None or cell == "" else float(cell)


def is_stuck(curves: Curves, num_classes: int | None) -> bool:
    """Return whether both losses stay near that of guessing: the rate or the gradients may be wrong."""
    if not num_classes or len(curves.train_loss) < LAST or not curves.are_finite:
        return False
    return min(*curves.train_loss, *curves.val_loss) >= UNDER * math.log(num_classes)


def curve_findings(curves: Curves, num_classes: int | None, setup: Setup | None, exam: Exam | None) -> list[Finding]:
    """The findings from the curves."""
    if not curves.are_finite:
        return []
    found = _unsettled(curves, num_classes, setup, exam), _over(curves, setup, exam)
    return [finding for finding in found if finding is not None]


def _over(curves: Curves, setup: Setup | None, exam: Exam | None) -> Finding | None:
    """Overfitting: training pictures are classified much better than others.

    The accuracy in training is that of batches before their update, augmentation included: without them it is higher still.
    """
    seen = _gap_of_curves(curves, setup)
    if exam is not None and exam.train.accuracy >= LEARNED:
        kept = (exam.train.accuracy, exam.train.num_images, exam.val.accuracy, exam.val.num_images)
        seen = max(seen or kept, kept, key=lambda one: one[0] - one[2])
    if seen is None or seen[0] - seen[2] < GAP or gap_of(*seen) < SURELY:
        return None
    gap = seen[0] - seen[2]
    return Finding(
        kind="overfitting",
        severity="note",
        evidence=round(gap, 4),
        unit="accuracy in training - in validation",
        message=f"accuracy is {100 * seen[0]:.0f} % in training and {100 * seen[2]:.0f} % in validation, {100 * gap:.0f} points apart",
        cause="The network has memorized its training pictures: too few of them, or too many weights.",
        remedy=first_new(setup, TRIVIAL, MIXUP, "more pictures, or `pretrained` with weights that were trained on many"),
    )


def _gap_of_curves(curves: Curves, setup: Setup | None) -> tuple[float, int, float, int] | None:
    """Accuracy and pictures in training and in validation, of the one of the last epochs where they are nearest to each other."""
    if len(curves.train_loss) < ENOUGH or curves.train_accuracy[-1] < LEARNED:
        return None
    pairs = list(zip(curves.train_accuracy[-LAST:], curves.val_accuracy[-LAST:], strict=True))
    if not all(map(math.isfinite, sum(pairs, ()))):
        return None
    train, val = min(pairs, key=lambda pair: pair[0] - pair[1])
    num_train, num_val = (setup.num_train, setup.num_val) if setup is not None else (None, None)
    return train, num_train or 10_000, val, num_val or 10_000


def _unsettled(curves: Curves, num_classes: int | None, setup: Setup | None, exam: Exam | None) -> Finding | None:
    """Validations that are meaningless, because the running statistics of a batch norm are still mostly their initial values."""
    momentum = setup.network.norm_momentum if setup is not None else None
    if setup is None or momentum is None or not SLOWEST <= momentum < 1 or not num_classes or setup.is_averaged or not setup.is_fresh:
        return None
    young = [place for place, step in enumerate(curves.step) if math.isfinite(step) and 1 - (1 - momentum) ** step < ARRIVED]
    if not young:
        return None
    guess, end = math.log(num_classes), len(curves.step) - 1
    ruined = [place for place in young if curves.val_loss[place] >= max(RUINED * guess, APART * curves.train_loss[place])]
    if ruined:
        worst = max(curves.val_loss[place] for place in ruined)
        seen = f"in the first {ruined[-1] + 1} epochs the validation loss is up to {worst:.3g}, where guessing gives {guess:.2f}"
    elif young[-1] == end and _is_behind(curves, setup, exam):
        worst = exam.train.accuracy if exam is not None else math.nan
        seen = (
            f"{100 * worst:.0f} % of training pictures are correct in evaluation, and {100 * curves.train_accuracy[-1]:.0f} % in training"
        )
    else:
        return None
    last = ruined[-1] if ruined else end
    needed, done = math.ceil(math.log(1 - ARRIVED) / math.log(1 - momentum)), int(curves.step[last])
    return Finding(
        kind="batch_norm_unsettled",
        severity="warning" if last == end else "note",
        evidence=worst,
        unit="nats, the largest validation loss of such an epoch" if ruined else "accuracy on training pictures in evaluation",
        message=seen,
        cause=(
            f"Evaluation uses running statistics. With a momentum of {momentum:g} it takes about {needed} updates until they are the "
            f"network's own and not the initial ones, and epoch {last + 1} ends with update {done}."
        ),
        remedy=_more_updates(setup, len(curves.step), done, needed) if last == end else "nothing: later epochs are not affected",
    )


def _is_behind(curves: Curves, setup: Setup, exam: Exam | None) -> bool:
    """Return whether training pictures are classified worse in evaluation than during training, which augmentation makes harder."""
    if exam is None:
        return False
    return gap_of(curves.train_accuracy[-1], setup.num_train or 100, exam.train.accuracy, exam.train.num_images) > 0


def _more_updates(setup: Setup, epochs: int, done: int, needed: int) -> str:
    size = min(setup.settings.batch_size, setup.num_train or setup.settings.batch_size)
    smaller = max(4, int(size * done / (2 * needed)))
    return f"`batch_size={smaller!r}`" if smaller < size else f"`epochs={math.ceil(2 * epochs * needed / max(1, done))!r}`"
