"""Noise and lesions: the classical networks fail little by little, and the estimator itself is left as it is."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

import striate
from striate.core.errors import ShapeError, UsageError
from striate.data.sources import open_data
from striate.estimators import (
    Hopfield,
    ModernHopfield,
    MultilayerPerceptron,
    Oja,
    Perceptron,
    RestrictedBoltzmann,
    SelfOrganizingMap,
    SoftmaxRegression,
)

SIZES = (0.0, 0.1, 0.4, 0.9)


@pytest.fixture(scope="module")
def digits():
    """Grey digits of 8 x 8 from 0 to 1, and their classes."""
    split = open_data("digits").read("train")
    return split.images[:600].reshape(600, 64) / 255, split.labels[:600]


CLASSICAL = {
    "perceptron": lambda: Perceptron(max_iter=300, random_state=0),
    "multilayer": lambda: MultilayerPerceptron((64,), max_iter=40, random_state=0),
    "map": lambda: SelfOrganizingMap(rows=8, columns=8, max_iter=10, random_state=0),
    "machine": lambda: make_pipeline(RestrictedBoltzmann(64, max_iter=10, random_state=0), SoftmaxRegression()),
}


@pytest.mark.row("003-10")
@pytest.mark.parametrize("name", CLASSICAL)
def test_classical_networks_fail_little_by_little(name, digits):
    """A tenth of noise or of lost weights costs little, nine tenths nearly everything; nothing of it is left in the estimator."""
    X, y = digits
    estimator = CLASSICAL[name]().fit(X, y)
    answers = estimator.predict(X)

    noise = striate.noise_curve(estimator, X, y, noises=SIZES)
    lesions = striate.lesion_curve(estimator, X, y, shares=SIZES)
    units = striate.lesion_curve(estimator, X, y, of="units", shares=SIZES)

    for curve in (noise, lesions, units):
        assert curve.sizes == SIZES and curve.scores[0] > 0.75 and curve.deviations[0] == 0
        assert curve.scores[1] > 0.6 * curve.scores[0] and curve.scores[1] > curve.scores[2] > curve.scores[3]
        assert curve.scores[3] < 0.5
    assert np.array_equal(estimator.predict(X), answers)


@pytest.mark.row("003-10")
@pytest.mark.parametrize("memory", [Hopfield(random_state=0), ModernHopfield(beta=2.0)])
def test_memories_recall_from_noise_and_without_many_weights(memory):
    patterns = np.sign(np.random.default_rng(0).normal(size=(4, 80))).astype(np.int64)
    memory.fit(patterns)
    if isinstance(memory, Hopfield):
        noise, lesions = (curve(memory, patterns) for curve in (striate.noise_curve, striate.lesion_curve))
        assert noise.scores[:4] == lesions.scores[:4] == (1, 1, 1, 1) and noise.scores[-1] < 0.1  # of nearly all flipped, the opposite
        assert 0.5 < lesions.scores[-1] < 1
    else:
        with pytest.raises(ShapeError, match=r"the answers have shape \(4, 80\), y has \(3,\)"):
            striate.noise_curve(memory, patterns, [1, 2, 3])


def test_a_lesion_takes_exactly_the_share_and_a_unit_all_it_sends():
    """Of two inputs that each alone decide, half of the units is one of them; of the four weights, half are two."""
    X, y = np.array([[-1.0, -1.0], [1.0, 1.0]] * 10), np.array([0, 1] * 10)
    perceptron = Perceptron().fit(X, y)
    perceptron.coef_, perceptron.intercept_ = np.array([[1.0, 1.0]]), np.zeros(1)

    assert striate.lesion_curve(perceptron, X, y, of="units", shares=(0.5, 1.0)).scores == (1.0, 0.5)


def test_pictures_are_measured_too(digits):
    X, y = digits
    pictures = (X[:200] * 255).astype(np.uint8).reshape(-1, 8, 8)
    clf = striate.ImageClassifier("compact_cnn", epochs=2, batch_size=32).fit(pictures, y[:200])

    whole, _, none = striate.lesion_curve(clf, pictures, y[:200], shares=(0, 0.5, 1), draws=1).scores
    loud = striate.noise_curve(clf, pictures, y[:200], noises=(0, 2), draws=1).scores

    assert whole == loud[0] == clf.score(pictures, y[:200]) > none and loud[1] < whole


def test_refusals(digits):
    X, y = digits
    tree = DecisionTreeClassifier(max_depth=2).fit(X, y)
    assert striate.noise_curve(tree, X, y, noises=(0,)).scores == (tree.score(X, y),)
    for call, message in (
        (lambda: striate.lesion_curve(tree, X, y), "DecisionTreeClassifier: has no weights that can be removed"),
        (lambda: striate.noise_curve(Oja().fit(X), X, y), "Oja: gives no answers that could be right or wrong"),
        (lambda: striate.noise_curve(tree, X, y, noises=(-1,)), r"noises must be 0 or more each, got \(-1,\)"),
        (lambda: striate.lesion_curve(tree, X, y, shares=(2,)), r"shares must be 0 to 1 each, got \(2,\)"),
        (lambda: striate.lesion_curve(tree, X, y, of="layers"), "of must be weights or units, got 'layers'"),
    ):
        with pytest.raises(UsageError, match=message):
            call()
