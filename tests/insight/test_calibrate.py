"""Temperature, reliability and abstaining agree with slow plain versions and other people's answers."""

import numpy as np
import pytest

from striate.core.calibration import scores_of
from striate.core.errors import DataError, NumericError, UnknownNameError, UsageError
from striate.insight.calibrate import evidence
from striate.insight.calibrate.abstain import auroc, coverage_curve, threshold_for
from striate.insight.calibrate.evidence import coverage_interval, held_back_temperature, refuse_few
from striate.insight.calibrate.temperature import fit_temperature, reliability
from striate.insight.measure.classes import expected_calibration_error


def drawn(temperature, count=4000, seed=0):
    """Logits (N, 4) whose labels are drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, 4))
    shares = np.exp(logits / temperature)
    shares /= shares.sum(1, keepdims=True)
    return logits, np.array([rng.choice(4, p=row) for row in shares])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_drew_the_labels_is_found(temperature):
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.06)


def test_the_temperature_is_the_one_that_scipy_finds():
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    logits, labels = drawn(1.7, count=200, seed=3)

    def loss(t):
        return -log_softmax(logits / t, axis=1)[np.arange(200), labels].mean()

    expected = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9}).x
    assert fit_temperature(logits, labels) == pytest.approx(expected, rel=1e-5)


def test_a_faultless_model_gets_the_lowest_temperature_and_a_contrary_one_the_highest():
    logits = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0]])

    assert fit_temperature(logits, np.array([0, 1])) == 0.01
    assert fit_temperature(logits, np.array([2, 0])) == 100


def test_reliability_adds_up_to_the_calibration_error():
    rng = np.random.default_rng(1)
    confidences = np.append(rng.uniform(0.2, 1, 500), [0.2, 1.0])
    correct = rng.uniform(size=502) < confidences**2

    bins = reliability(confidences, correct, 10)

    assert sum(one.num_images for one in bins) == 502
    error = sum(one.num_images * abs(one.accuracy - one.confidence) for one in bins if one.num_images) / 502
    assert error == pytest.approx(expected_calibration_error(confidences, correct, 10))
    assert bins[0].accuracy is None
    assert bins[1].num_images == ((confidences > 0.1) & (confidences <= 0.2)).sum() == 1


def test_scores_are_those_of_scipy():
    from scipy.special import logsumexp, softmax

    logits = np.random.default_rng(2).normal(0, 30, (7, 5))

    np.testing.assert_allclose(scores_of(logits, "energy", 2.0), 2 * logsumexp(logits / 2, axis=1))
    np.testing.assert_allclose(scores_of(logits, "confidence", 2.0), softmax(logits / 2, axis=1).max(1))
    np.testing.assert_array_equal(scores_of(logits, "max_logit"), logits.max(1))
    with pytest.raises(UnknownNameError, match="energi"):
        scores_of(logits, "energi")


def test_a_threshold_answers_the_share_that_was_asked_for():
    scores = np.random.default_rng(4).permutation(np.arange(20.0))

    for coverage, lowest in ((0.95, 1), (1.0, 0), (0.01, 19)):
        threshold = threshold_for(scores, coverage)
        assert lowest - 2e-3 < threshold < lowest - 5e-5  # a hair below, so that rounding changes no answer
    close = threshold_for(np.array([1, 1 + 1e-6, 1 + 2e-6]), 2 / 3)
    assert 1 < close < 1 + 1e-6
    with pytest.raises(UsageError, match=r"coverage must lie in \(0, 1\], got 0"):
        threshold_for(scores, 0)


def test_accuracy_over_coverage_by_hand():
    points = coverage_curve(np.array([4.0, 3, 2, 1]), np.array([True, True, False, True]), num_points=4)

    assert [(p.coverage, p.threshold) for p in points] == [
        (share, pytest.approx(4 - place, abs=1e-3)) for place, share in enumerate((0.25, 0.5, 0.75, 1))
    ]
    assert [p.accuracy for p in points] == pytest.approx([1, 1, 2 / 3, 3 / 4])


def test_auroc_is_that_of_scikit_learn_with_ties():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(5)
    known, strange = rng.integers(2, 9, 40), rng.integers(0, 7, 30)

    assert auroc(known, strange) == pytest.approx(roc_auc_score([1] * 40 + [0] * 30, np.concatenate([known, strange])))


def test_wrong_input_says_what_is_wrong():
    with pytest.raises(DataError, match=r"labels must lie in \[0, 2\), got 0 to 2"):
        fit_temperature(np.zeros((2, 2)), np.array([0, 2]))
    with pytest.raises(NumericError, match="logits hold NaN or Inf"):
        fit_temperature(np.array([[np.nan, 0]]), np.array([0]))
    with pytest.raises(DataError, match="no images to calibrate on"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))


# ---- what few pictures can show


def test_many_pictures_decide_the_temperature_alone():
    """The usual value weighs as little as a picture or two; the share of right answers holds back as far as it is itself uncertain."""
    for temperature in (0.5, 1.0, 2.5):
        found = held_back_temperature(*drawn(temperature))
        assert found.value == pytest.approx(fit_temperature(*drawn(temperature)), rel=0.05)
        low, high = found.interval
        assert low <= found.value <= high and high / low < 1.2
        assert not found.is_uncertain


@pytest.mark.parametrize("count", [1, 2, 5, 20])
def test_a_few_right_answers_do_not_make_a_network_sure(count: int):
    """Laplace: of N right answers, the next is right with (N + 1) / (N + 2)."""
    logits = np.tile([4.0, 0.0], (count, 1))
    found = held_back_temperature(logits, np.zeros(count, int))
    confidence = 1 / (1 + np.exp(-4 / found.value))
    assert found.value == 1 or confidence <= (count + 1) / (count + 2) + 1e-6
    assert found.value >= 0.5
    assert found.interval[1] / found.interval[0] > 3 and found.is_uncertain


def test_wrong_answers_blunt_a_network_the_more_the_more_there_are():
    values = [held_back_temperature(np.tile([4.0, 0.0], (count, 1)), np.ones(count, int)).value for count in (1, 3, 30)]
    assert 1 < values[0] < values[1] < values[2] <= 10


def test_the_interval_holds_the_temperature_as_often_as_it_says():
    held = 0
    for seed in range(60):
        found = held_back_temperature(*drawn(1.4, count=40, seed=seed))
        held += found.interval[0] <= 1.4 <= found.interval[1]
    assert held >= 52  # of 60; 57 are expected, and fewer than 52 come once in 50


def test_the_coverage_of_a_threshold_is_what_trials_find():
    """Of two pictures both answered: a third scores above the lower with probability 2/3, from 16 % to 99 %."""
    rng = np.random.default_rng(0)
    thresholds = np.sort(rng.random((20_000, 20)), 1)[:, 2]  # 18 of 20 are answered
    low, high = coverage_interval(18, 20)
    assert np.mean((1 - thresholds >= low) & (1 - thresholds <= high)) == pytest.approx(0.95, abs=0.01)
    assert coverage_interval(2, 2) == pytest.approx((0.158, 0.987), abs=0.001)


def test_a_threshold_from_too_few_pictures_is_refused():
    refuse_few(10, 0.9)
    refuse_few(1, 1.0)
    with pytest.raises(DataError) as caught:
        refuse_few(9, 0.9)
    assert caught.value.message == "9 pictures of val cannot show which score 90% of others reach: 66% to 100% reach the lowest"
    assert caught.value.remedy.startswith("Give at least 10 labelled pictures")


def test_of_very_many_logits_every_nth_picture_is_taken(monkeypatch):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(900, 4)), rng.integers(0, 4, 900)
    expected = held_back_temperature(logits[::3], labels[::3])
    monkeypatch.setattr(evidence, "MOST_LOGITS", 1_200)

    assert held_back_temperature(logits, labels) == expected and expected.num_images == 300
