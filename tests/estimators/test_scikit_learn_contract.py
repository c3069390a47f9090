"""Every estimator keeps scikit-learn's contract as it comes, with no setting changed and no check left out.

ART1 is asked with a threshold, as it takes patterns of 0 and 1 alone otherwise; Hopfield and BoltzmannMachine take such patterns only, and
those of pictures, sequences and truth tables (ImageClassifier, SequenceModel, McCullochPitts, ...) no tables of numbers: theirs are the
checks that their own tests name.
"""

from __future__ import annotations

import pytest
from sklearn.datasets import make_blobs
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

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
