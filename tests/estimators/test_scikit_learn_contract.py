"""Every estimator keeps scikit-learn's contract as it comes, with no setting changed and no check left out.

ART1 is asked with a threshold, as it takes patterns of 0 and 1 alone otherwise; Hopfield and BoltzmannMachine take such patterns only, and
those of pictures, sequences and truth tables (ImageClassifier, SequenceModel, McCullochPitts, ...) no tables of numbers: theirs are the
checks that their own tests name.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import check_is_fitted

from striate import estimators

TABLES = (
    "ARTMAP", "Adaline", "Autoencoder", "CompetitiveLearning", "DeepBelief", "ElmanClassifier", "ElmanRegressor", "FuzzyART",
    "GRUClassifier", "GRURegressor", "Hebb", "KernelSVM", "LSTMClassifier", "LSTMRegressor", "LinearRegression", "LinearSVM",
    "LogisticRegression", "ModernHopfield", "MultilayerPerceptron", "MultilayerRegressor", "Oja", "Perceptron", "RestrictedBoltzmann",
    "SelfOrganizingMap", "SoftmaxRegression", "VariationalAutoencoder",
)  # fmt: skip


@pytest.mark.release
@parametrize_with_checks([getattr(estimators, name)() for name in TABLES])
def test_scikit_learn_accepts_every_estimator_as_it_comes(estimator, check):
    check(estimator)


@parametrize_with_checks([estimators.RestrictedBoltzmann()])
def test_scikit_learn_accepts_the_restricted_boltzmann_machine_as_it_comes(estimator, check):
    """Its weights stay finite on numbers without bounds."""
    check(estimator)


@pytest.mark.slow
def test_a_deep_belief_network_learns_a_small_table_as_it_comes():
    """More than 83 % of 300 points in three groups, as scikit-learn's check wants, which a release runs whole."""
    X, y = make_blobs(n_samples=300, random_state=0)
    X = StandardScaler().fit_transform(X)
    assert estimators.DeepBelief(random_state=0).fit(X, y).score(X, y) > 0.83


def test_a_table_that_is_refused_leaves_what_was_learned():
    X, sequences = np.eye(4)[[0, 1, 2, 3, 0, 1]], np.random.default_rng(0).normal(size=(6, 5, 2))
    patterns, reader = estimators.ART1().fit(X), estimators.LSTMClassifier(3, max_iter=2, random_state=0).fit(sequences, [0, 1] * 3)
    before = reader.predict_proba(sequences)
    for estimator in (patterns, reader):
        with pytest.raises(ValueError, match="NaN"):
            estimator.fit(np.where(X == 1, np.nan, X), [0, 1] * 3)
    assert patterns.predict(X).tolist() == [0, 1, 2, 3, 0, 1]
    np.testing.assert_array_equal(reader.predict_proba(sequences), before)


def shortened(name: str):
    """The estimator with so little training that only its handling of tables shows."""
    estimator = getattr(estimators, name)()
    little = {"max_iter": 2, "pretrain_max_iter": 1, "hidden_layer_sizes": (4,), "layer_sizes": (4,), "random_state": 0}
    return estimator.set_params(**{key: value for key, value in little.items() if key in estimator.get_params()})


@pytest.mark.parametrize("name", [*TABLES, "ART1", "BoltzmannMachine", "GAN", "Hopfield"])
def test_a_table_with_gaps_infinities_or_words_is_refused_in_words_and_nothing_is_learned(name):
    """The error is a `ValueError` that says which it is, in each estimator that takes tables, and comes before any training."""
    good = np.tile(np.eye(4), (3, 1))
    for bad, words in ((np.nan, "NaN|got nan"), (np.inf, "infinity|Inf|got inf"), ("high", "could not convert string to float: 'high'")):
        table = good.astype(object) if isinstance(bad, str) else good.copy()
        table[1, 2] = bad
        estimator = shortened(name)
        with pytest.raises(ValueError, match=words):
            estimator.fit(table, np.arange(12) % 2)
        with pytest.raises(NotFittedError):
            check_is_fitted(estimator)


@pytest.mark.filterwarnings("ignore", category=ConvergenceWarning)
@pytest.mark.parametrize("name", [*TABLES, "GAN"])
def test_a_constant_column_and_a_constant_table_leave_all_that_is_learned_finite(name):
    """The deviation of such a column is 0, which standardizing would divide by."""
    y = np.arange(12) % 2
    constant = np.tile([[5.0, 0.0, 1.0]], (12, 1))
    for table in (np.column_stack([np.linspace(0, 1, 12), constant]), constant):
        estimator = shortened(name).fit(table, y)
        learned = [value for key, value in vars(estimator).items() if key.endswith("_") and isinstance(value, np.ndarray)]
        answer = next((getattr(estimator, word) for word in ("predict", "transform") if hasattr(estimator, word)), None)
        learned += [] if answer is None else [np.asarray(answer(table))]
        assert learned and all(np.isfinite(value).all() for value in learned if value.dtype.kind == "f")
