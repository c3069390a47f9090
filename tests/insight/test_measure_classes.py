"""Measures against scikit-learn, scipy, slow plain versions and numbers worked out by hand."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.stats import binomtest
from sklearn import metrics as peer

from striate.core.errors import DataError, NumericError, ShapeError, UsageError
from striate.insight.measure.classes import (
    Measures,
    expected_calibration_error,
    label_ranks,
    measure,
    most_confident_mistakes,
    wilson_interval,
)


@st.composite
def results(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Probabilities with many ties and zeros, labels in which classes may be missing, and names."""
    num_classes, num_images = draw(st.integers(2, 9)), draw(st.integers(1, 25))
    weights = np.array(draw(st.lists(st.integers(0, 4), min_size=num_images * num_classes, max_size=num_images * num_classes)), dtype=float)
    weights = weights.reshape(num_images, num_classes)
    weights[weights.sum(1) == 0] = 1
    labels = np.array(draw(st.lists(st.integers(0, num_classes - 1), min_size=num_images, max_size=num_images)))
    return weights / weights.sum(1, keepdims=True), labels, tuple(f"class {k}" for k in range(num_classes))


@settings(max_examples=150, deadline=None)
@given(results())
def test_measures_equal_scikit_learns(result: tuple[np.ndarray, np.ndarray, tuple[str, ...]]) -> None:
    """To 1e-12, with tied answers, classes without images and classes never predicted."""
    probs, labels, classes = result
    everyone = list(range(len(classes)))
    answers = probs.argmax(1)

    measures = measure(probs, labels, classes)

    confusion = peer.confusion_matrix(labels, answers, labels=everyone)
    precision, recall, f1, support = peer.precision_recall_fscore_support(labels, answers, labels=everyone, zero_division=np.nan)
    for ours, *theirs in zip(measures.classes.values(), precision, recall, f1, support, confusion.sum(0), strict=True):
        values = [np.nan if value is None else value for value in (ours.precision, ours.recall, ours.f1)]
        np.testing.assert_allclose([*values, ours.support, ours.predicted], theirs, atol=1e-12)
    assert measures.confusion_matrix == confusion.tolist()
    assert measures.num_images == len(labels)
    present = recall[support > 0]
    pairs = [
        (measures.accuracy, peer.accuracy_score(labels, answers)),
        (measures.balanced_accuracy, present.mean()),
        (measures.macro_f1, peer.f1_score(labels, answers, average="macro", zero_division=0)),
        (measures.log_loss, peer.log_loss(labels, probs, labels=everyone)),
    ]
    for value, expected in pairs:
        assert value == pytest.approx(expected, rel=1e-12, abs=1e-12)
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        low, high = getattr(measures, f"{name}_interval")
        assert 0 <= low <= getattr(measures, name) + 1e-12 and getattr(measures, name) - 1e-12 <= high <= 1


def test_balanced_accuracy_equals_scikit_learns() -> None:
    """On labels that hold every class, where the peer has no warning to give."""
    rng = np.random.default_rng(3)
    probs, labels = rng.dirichlet(np.ones(4), size=57), np.arange(57) % 4

    measures = measure(probs, labels, "abcd")

    assert measures.balanced_accuracy == pytest.approx(peer.balanced_accuracy_score(labels, probs.argmax(1)), abs=1e-12)


def test_thousands_of_classes_have_measures_and_no_matrix() -> None:
    """One picture a class, every other named right: what is kept grows with the classes, not with their square."""
    count = 1_001
    answers = np.arange(count) // 2 * 2
    probs = np.zeros((count, count), np.float32)
    probs[np.arange(count), answers] = 1

    measures = measure(probs, np.arange(count), [f"class {k}" for k in range(count)])

    assert measures.confusion_matrix is None
    assert measures.accuracy == pytest.approx(501 / 1_001)
    assert [measures.classes[f"class {k}"].recall for k in range(4)] == [1, 0, 1, 0]
    assert [measures.classes[f"class {k}"].precision for k in range(4)] == [0.5, None, 0.5, None]


def test_top5_accuracy_equals_scikit_learns_without_ties() -> None:
    """Six classes and more; with five or fewer it would say nothing, and is None."""
    rng = np.random.default_rng(5)
    probs, labels = rng.dirichlet(np.ones(8), size=200), rng.integers(0, 8, 200)

    top5 = measure(probs, labels, "abcdefgh").top5_accuracy

    assert top5 == pytest.approx(peer.top_k_accuracy_score(labels, probs, k=5, labels=range(8)), abs=1e-12)
    assert top5 is not None and 0.3 < top5 < 0.9
    assert measure(rng.dirichlet(np.ones(5), size=3), np.array([0, 1, 4]), "abcde").top5_accuracy is None


def test_ties_go_to_the_class_that_comes_first() -> None:
    """Rank by the place in a stable sort, the same rule as argmax has."""
    probs = np.array([[0.2, 0.2, 0.2, 0.4], [0.25, 0.25, 0.25, 0.25], [0.0, 0.5, 0.5, 0.0]])
    labels = np.array([2, 0, 2])

    ranks = label_ranks(probs, labels)

    assert ranks.tolist() == [3, 0, 1]
    assert measure(probs, labels, "abcd").accuracy == pytest.approx(1 / 3)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=40))
def test_ece_equals_a_slow_version(cases: list[tuple[int, bool]]) -> None:
    """Bin by bin in exact fractions; sixtieths fall on the edges of the 15 bins often."""
    expected = Fraction(0)
    for b in range(15):
        inside = [
            (Fraction(n, 60), ok) for n, ok in cases if Fraction(b, 15) < Fraction(n, 60) <= Fraction(b + 1, 15) or (b == 0 and n == 0)
        ]
        if inside:
            accuracy = Fraction(sum(ok for _, ok in inside), len(inside))
            confidence = sum((share for share, _ in inside), Fraction(0)) / len(inside)
            expected += Fraction(len(inside), len(cases)) * abs(accuracy - confidence)

    ece = expected_calibration_error(np.array([n / 60 for n, _ in cases]), np.array([ok for _, ok in cases]))

    assert ece == pytest.approx(float(expected), abs=1e-12)


def test_ece_of_a_boaster_is_the_excess() -> None:
    """Always 0.9 sure and right in 3 of 5: 0.3."""
    probs = np.array([[0.9, 0.1]] * 5)

    assert measure(probs, np.array([0, 0, 0, 1, 1]), ("a", "b")).ece == pytest.approx(0.3, abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 50), (50, 50), (7, 9), (355, 360), (1, 10_000)])
def test_wilson_interval_equals_scipys(successes: int, trials: int) -> None:
    theirs = binomtest(successes, trials).proportion_ci(0.95, method="wilson")

    assert wilson_interval(successes, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_one_right_image_says_little() -> None:
    """N = 1: every rate is 1 or unknown, and Wilson's interval at 1 of 1 is [1 / (1 + z^2), 1]."""
    measures = measure(np.array([[0.25, 0.75]]), np.array([1]), ("no", "yes"))

    assert measures.accuracy == measures.balanced_accuracy == measures.macro_f1 == 1
    assert measures.accuracy_interval == pytest.approx((1 / (1 + 1.959963984540054**2), 1), abs=1e-12)
    assert measures.balanced_accuracy_interval == pytest.approx(measures.accuracy_interval, abs=1e-12)
    assert measures.log_loss == pytest.approx(np.log(4 / 3))
    absent = measures.classes["no"]
    assert (absent.precision, absent.recall, absent.f1, absent.support, absent.predicted) == (None, None, None, 0, 0)
    assert (absent.precision_interval, absent.recall_interval, absent.f1_interval) == (None, None, None)


def test_a_faultless_result_keeps_an_interval_below_one() -> None:
    """Where resampling would find no spread at all."""
    labels = np.arange(30) % 3

    measures = measure(np.eye(3)[labels], labels, "abc")

    for low, high in (measures.accuracy_interval, measures.balanced_accuracy_interval, measures.macro_f1_interval):
        assert high == 1 and 0.7 < low < 0.95


def test_intervals_of_means_add_distances_in_squares() -> None:
    """Two classes by hand, from scipy's intervals: recalls 8 of 10 and 5 of 6, Jaccard 8 of 11 and 5 of 8; F1 shares its errors."""

    def limits(successes: int, trials: int) -> np.ndarray:
        interval = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
        return np.array([interval.low, interval.high])

    labels, answers = np.divmod(np.repeat(np.arange(4), [8, 2, 1, 5]), 2)

    measures = measure(np.eye(2)[answers], labels, "ab")

    recalls = [(8 / 10, limits(8, 10)), (5 / 6, limits(5, 6))]
    f1s = [(2 * j / (1 + j), 2 * ends / (1 + ends)) for j, ends in ((8 / 11, limits(8, 11)), (5 / 8, limits(5, 8)))]
    for parts, times, value, interval in (
        (recalls, 1, measures.balanced_accuracy, measures.balanced_accuracy_interval),
        (f1s, 2, measures.macro_f1, measures.macro_f1_interval),
    ):
        mean = (parts[0][0] + parts[1][0]) / 2
        low, high = np.hypot(parts[0][1] - parts[0][0], parts[1][1] - parts[1][0]) / 2 * np.sqrt(times)
        assert value == pytest.approx(mean, abs=1e-12)
        assert interval == pytest.approx((mean - low, min(1, mean + high)), abs=1e-12)


def test_intervals_of_means_hold_the_true_value() -> None:
    """Drawn from a known law, the 95 % intervals hold its balanced accuracy and macro F1 nearly so often."""
    rng = np.random.default_rng(11)
    law = np.diag([0.35, 0.25, 0.15, 0.05]) + 0.05 / 3 * (1 - np.eye(4))  # joint probability of (true, answer)
    law /= law.sum()
    true_balanced = (law.diagonal() / law.sum(1)).mean()
    true_f1 = (2 * law.diagonal() / (law.sum(0) + law.sum(1))).mean()
    held = np.zeros(2)
    for table in rng.multinomial(200, law.ravel(), size=400):
        labels, answers = np.divmod(np.repeat(np.arange(16), table), 4)
        measures = measure(np.eye(4)[answers], labels, "abcd")
        for place, (value, (low, high)) in enumerate(
            [(true_balanced, measures.balanced_accuracy_interval), (true_f1, measures.macro_f1_interval)]
        ):
            held[place] += low <= value <= high

    assert (held / 400 > 0.91).all() and (held / 400 < 0.995).all(), held / 400


def test_certain_and_wrong_costs_a_finite_loss() -> None:
    """A probability of 0 for the truth counts as 2^-52."""
    assert measure(np.array([[1.0, 0.0]]), np.array([1]), ("a", "b")).log_loss == pytest.approx(52 * np.log(2))


def test_measures_round_trip_through_json() -> None:
    probs = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]], dtype=np.float32)
    measures = measure(probs, np.array([0, 2], dtype=np.uint8), ("a", "b", "ü=1"))
    adapter = TypeAdapter(Measures)

    text = adapter.dump_json(measures)

    assert adapter.validate_json(text) == measures
    promised = {
        "num_images",
        "accuracy",
        "accuracy_interval",
        "top5_accuracy",
        "balanced_accuracy",
        "macro_f1",
        "log_loss",
        "ece",
        "classes",
    }
    assert set(json.loads(text)) > promised


def test_the_most_confident_mistakes_come_first() -> None:
    probs = np.array([[0.6, 0.4], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.99, 0.01]])
    labels = np.array([1, 1, 1, 0, 0])

    assert most_confident_mistakes(probs, labels).tolist() == [1, 2, 3, 0]
    assert most_confident_mistakes(probs, labels, limit=2).tolist() == [1, 2]
    assert most_confident_mistakes(probs, probs.argmax(1)).tolist() == []


@pytest.mark.parametrize(
    ("probs", "labels", "classes", "error", "words"),
    [
        (np.ones((2, 3)) / 3, [0, 1], "ab", ShapeError, r"probs must have shape \(N, 2\), one column per class, got \(2, 3\)"),
        (np.ones(3) / 3, [0, 1, 0], "abc", ShapeError, r"probs must have shape \(N, 3\)"),
        (np.ones((2, 2)) / 2, [0, 1, 1], "ab", ShapeError, r"labels must be integers of shape \(2,\).* got int64 \(3,\)"),
        (np.ones((2, 2)) / 2, [0.0, 1.0], "ab", ShapeError, "labels must be integers.* got float64"),
        (np.ones((2, 2)) / 2, [0, 1], "aa", UsageError, "classes must be distinct names, got 'a' more than once"),
        (np.ones((0, 2)), np.zeros(0, int), "ab", DataError, "no images to measure on"),
        (np.ones((2, 2)) / 2, [0, 2], "ab", DataError, r"labels must lie in \[0, 2\), got 2\n.*by name"),
        (np.ones((2, 2)) / 2, [-1, 1], "ab", DataError, r"labels must lie in \[0, 2\), got -1"),
        (np.array([[0.5, 0.5], [np.nan, 1]]), [0, 1], "ab", NumericError, "row 1 is not a distribution: it sums to nan"),
        (np.array([[np.inf, 0.5]]), [0], "ab", NumericError, "row 0 is not a distribution: it sums to inf"),
        (np.array([[2.0, 3.0]]), [0], "ab", NumericError, "row 0 .* sums to 5.*\n.*softmax of the logits"),
        (np.array([[1.5, -0.5]]), [0], "ab", NumericError, "its smallest value is -0.5"),
    ],
)
def test_what_does_not_fit_is_refused(probs: np.ndarray, labels: object, classes: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        measure(probs, np.asarray(labels), tuple(classes))
