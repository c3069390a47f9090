"""Adaptive resonance: ART1 on the worked set, fuzzy ART on the irises, ARTMAP with labels."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import DataError, UsageError
from striate.estimators import ART1, ARTMAP, FuzzyART, load_estimator

WORKED = np.array([[int(bit) for bit in row] for row in ("1100001", "0011110", "1011110", "0001110", "1101110")])


@parametrize_with_checks([FuzzyART(), ARTMAP(), ART1(binarize=0.0)])
def test_scikit_learn_accepts_adaptive_resonance(estimator, check):
    check(estimator)


@pytest.mark.row("003-8")
@pytest.mark.parametrize(("vigilance", "labels"), [(0.3, [0, 1, 1, 1, 1]), (0.7, [0, 1, 1, 1, 2]), (0.9, [0, 1, 2, 1, 3])])
def test_art1_gives_the_categories_worked_by_hand(vigilance, labels):
    net = ART1(vigilance=vigilance).fit(WORKED)
    assert net.labels_.tolist() == labels
    if vigilance == 0.3:
        assert net.templates_.astype(int).tolist() == [[1, 1, 0, 0, 0, 0, 1], [0, 0, 0, 1, 1, 1, 0]]


def test_art1_keeps_its_laws():
    """Templates only shrink, members meet the vigilance, more vigilance gives no fewer categories, repeats settle."""
    X = np.random.default_rng(0).random((80, 12)) < 0.5
    X[:, 0] = True  # no pattern is empty
    counts = []
    for vigilance in (0.1, 0.4, 0.6, 0.8, 1.0):
        net = ART1(vigilance=vigilance, max_iter=50).fit(X)
        counts.append(len(net.templates_))
        before = net.templates_.copy()
        net.partial_fit(X)
        np.testing.assert_array_equal(net.templates_, before)
        templates = net.templates_[net.labels_]
        assert ((templates & X).sum(1) >= vigilance * X.sum(1) - 1e-9).all()
        assert (templates <= X).all()
    assert counts == sorted(counts) and counts[-1] == len(np.unique(X, axis=0))


@pytest.mark.row("003-8")
@pytest.mark.parametrize(("vigilance", "count"), [(0.0, 1), (0.5, 3), (0.7, 11), (0.8, 19), (0.9, 41)])
def test_fuzzy_art_finds_as_many_categories_of_irises_as_a_peer(vigilance, count):
    net = FuzzyART(vigilance=vigilance).fit(load_iris().data)
    assert net.n_categories_ == count
    if count == 3:
        assert np.bincount(net.labels_).tolist() == [50, 58, 42]
    n = 4
    assert (n - net.weights_.sum(1) <= n * (1 - vigilance) + 1e-9).all()  # |w| = n - the sides of the box


def test_fuzzy_art_is_the_search_with_resets():
    """Against the published order: highest choice first, reset, next."""
    X = np.random.default_rng(1).random((60, 3))
    X[0], X[1] = 0, 1  # so that scaling changes nothing
    net = FuzzyART(vigilance=0.75, learning_rate=0.6).fit(X)
    weights: list[np.ndarray] = []
    labels = []
    for row in X:
        coded = np.concatenate([row, 1 - row])
        choices = [np.minimum(coded, w).sum() / (1e-3 + w.sum()) for w in weights]
        for j in np.argsort(np.negative(choices), kind="stable"):
            if np.minimum(coded, weights[j]).sum() / 3 >= 0.75:
                weights[j] = 0.6 * np.minimum(coded, weights[j]) + 0.4 * weights[j]
                labels.append(j)
                break
        else:
            weights.append(coded)
            labels.append(len(weights) - 1)
    assert net.labels_.tolist() == labels
    np.testing.assert_allclose(net.weights_, weights, atol=1e-12)


def test_a_stranger_belongs_to_no_category():
    net = FuzzyART(vigilance=0.9).fit([[0.0, 0.0], [1.0, 1.0]])
    assert net.predict([[0.02, 0.0], [0.5, 0.5]]).tolist() == [0, -1]
    assert ART1(vigilance=0.9).fit(WORKED[:2]).predict(WORKED[[1, 4]]).tolist() == [1, -1]


def test_an_empty_pattern_joins_none_and_wears_no_template_down():
    net = ART1(vigilance=0.5).fit([[1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0]])
    assert net.labels_.tolist() == [0, 1, 0, 1]
    assert net.templates_.astype(int).tolist() == [[1, 1, 0], [0, 0, 0]]
    assert ART1().fit([[1, 1, 0]]).predict([[0, 0, 0]]).tolist() == [-1]


def test_artmap_learns_every_label_of_its_patterns():
    data = load_iris()
    net = ARTMAP(max_iter=50).fit(data.data, data.target)
    assert net.score(data.data, data.target) == 1
    assert 3 <= net.n_categories_ < 40
    assert net.n_iter_ < 50  # the weights settled


def test_art1_is_the_search_with_resets():
    generator = np.random.default_rng(2)
    for vigilance, choice in ((0.2, 1.5), (0.6, 2.0), (0.9, 5.0)):
        X = generator.integers(0, 2, (40, 7))
        X = X[X.any(1)]
        net = ART1(vigilance=vigilance, choice=choice).fit(X)
        templates: list[np.ndarray] = []
        labels = []
        for row in X:
            choices = [choice * (row & w).sum() / (choice - 1 + w.sum()) for w in templates]
            for j in np.argsort(np.negative(choices), kind="stable"):
                if (row & templates[j]).sum() / row.sum() >= vigilance - 1e-12:
                    templates[j] = templates[j] & row
                    labels.append(int(j))
                    break
            else:
                templates.append(row)
                labels.append(len(templates) - 1)
        assert net.labels_.tolist() == labels
        np.testing.assert_array_equal(net.templates_, templates)


@pytest.mark.parametrize(("vigilance", "rate"), [(0.0, 1.0), (0.6, 0.5)])
def test_artmap_is_the_search_with_match_tracking(vigilance, rate):
    """After a category of another label the vigilance stands just above its match, until the search ends."""
    generator = np.random.default_rng(3)
    X, y = generator.random((50, 3)).round(2), generator.integers(0, 3, 50)
    net = ARTMAP(vigilance=vigilance, learning_rate=rate, max_iter=1).fit(X, y)
    scaled = (X - X.min(0)) / (X.max(0) - X.min(0))
    weights: list[np.ndarray] = []
    labels: list[int] = []
    for coded, label in zip(np.hstack([scaled, 1 - scaled]), y, strict=True):
        wanted = vigilance
        choices = [np.minimum(coded, w).sum() / (1e-3 + w.sum()) for w in weights]
        for j in np.argsort(np.negative(choices), kind="stable"):
            match = np.minimum(coded, weights[j]).sum() / 3
            if match >= wanted - 1e-12 and labels[j] == label:
                weights[j] = rate * np.minimum(coded, weights[j]) + (1 - rate) * weights[j]
                break
            if match >= wanted - 1e-12:
                wanted = match + 1e-7
        else:
            weights.append(coded)
            labels.append(label)
    np.testing.assert_allclose(net.weights_, weights, atol=1e-12)
    assert net.classes_[net.category_labels_].tolist() == labels


def test_more_patterns_can_follow(tmp_path):
    data = load_iris()
    order = np.random.default_rng(0).permutation(150)
    X, y = data.data[order], np.array(["a", "b", "c"])[data.target[order]]
    net = ARTMAP().partial_fit(X[:75], y[:75], classes=["a", "b", "c"]).partial_fit(X[75:], y[75:])
    assert net.score(X, y) > 0.9
    net.save(tmp_path / "map.safetensors")
    again = load_estimator(tmp_path / "map.safetensors")
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    with pytest.raises(UsageError, match=r"y holds the class 'd', which is not one of \['a', 'b', 'c'\]"):
        net.partial_fit(X[:1], ["d"])


@pytest.mark.parametrize("kind", [ART1, FuzzyART, ARTMAP])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"vigilance": 1.2}, "vigilance must be from 0 to 1, got 1.2"),
        ({"vigilance": "0.7"}, "vigilance must be a number, got '0.7'"),
        ({"choice": 0.0}, r"choice must be (positive|above 1), got 0\.0"),
        ({"choice": float("nan")}, "choice must be a number, got nan"),
        ({"max_iter": 0}, "max_iter must be at least 1, got 0"),
    ],
)
def test_a_wrong_setting_of_resonance_is_named(kind, settings, words):
    with pytest.raises(UsageError, match=words):
        kind(**settings).fit([[0, 1], [1, 0]], [0, 1])


def test_what_is_not_binary_is_refused_by_art1():
    with pytest.raises(DataError, match=r"X must hold 0 and 1 only, got 0\.5\nMake it binary first: X > threshold, or binarize="):
        ART1().fit([[0, 0.5]])
    grey = np.where(WORKED, 0.9, 0.2)
    assert ART1(vigilance=0.9, binarize=0.5).fit_predict(grey).tolist() == ART1(vigilance=0.9).fit_predict(WORKED).tolist()
    with pytest.raises(UsageError, match=r"learning_rate must be above 0 and at most 1, got 2"):
        FuzzyART(learning_rate=2).fit([[0, 1]])
