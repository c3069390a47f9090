"""What the curves of an epoch's losses and accuracies tell, on the curves of trainings of which it is known."""

from __future__ import annotations

import pytest

from striate.insight.diagnose.rules import Record, judge

# 300 right pictures of CIFAR-10, by heart: the 120 that validate move by chance.
CLEAN = (
    (0.12, 0.18, 0.25, 0.29, 0.38, 0.42, 0.53, 0.58, 0.65, 0.75, 0.83, 0.86, 0.94, 0.95, 0.99, 0.99),
    (0.142, 0.217, 0.283, 0.325, 0.317, 0.342, 0.233, 0.317, 0.35, 0.342, 0.383, 0.317, 0.358, 0.358, 0.333, 0.333),
)
# 1,295 digits, a fifth with a wrong label: what is lost while they are learned returns when all are.
WRONG = (
    (0.56, 0.76, 0.78, 0.78, 0.78, 0.79, 0.8, 0.82, 0.82, 0.83, 0.85, 0.87, 0.88, 0.91, 0.92, 0.93, 0.94, 0.96, 0.97, 0.98, 0.98, 1.0),
    (0.65, 0.74, 0.65, 0.69, 0.7, 0.67, 0.7, 0.63, 0.69, 0.71, 0.6, 0.67, 0.64, 0.63, 0.49, 0.6, 0.6, 0.69, 0.67, 0.69, 0.66, 0.68),
)


def rows(curves: tuple[tuple[float, ...], tuple[float, ...]]) -> list[dict[str, float]]:
    return [
        {"train_loss": 1 - 0.9 * train, "val_loss": 1.0, "train_accuracy": train, "val_accuracy": val}
        for train, val in zip(*curves, strict=True)
    ]


def test_right_labels_that_are_hard_are_not_taken_for_wrong_ones():
    """At no epoch, also not while the validation falls by five points, which is less than it moves from one epoch to the next."""
    told = [judge(Record(rows=rows(CLEAN)[:epoch], num_classes=10)) for epoch in range(1, 17)]

    assert [finding.kind for finding in told[-1]] == ["overfitting"]
    assert all(finding.kind in ("overfitting", "underfitting") for found in told for finding in found)


def test_curves_alone_are_no_evidence_of_wrong_labels():
    """Those of 80 right photos look the same; the answers of the kept model tell (test_diagnose_outcomes)."""
    found = judge(Record(rows=rows(WRONG), num_classes=10))

    assert [finding.kind for finding in found] == ["overfitting"]


@pytest.mark.parametrize("loss", [2.0, 30.0])
def test_of_a_training_that_learned_little_nothing_is_said_before_its_answers_are_known(loss):
    """Augmentation, mixing and smoothing keep the training loss high, so that a loss near a guess's is no evidence."""
    curves = [{"train_loss": loss, "val_loss": loss + 0.1, "train_accuracy": 0.2, "val_accuracy": 0.2}] * 7

    assert judge(Record(rows=curves, num_classes=10)) == []
