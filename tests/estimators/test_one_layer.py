"""Networks of one layer meet the closed forms, and support vector machines the textbook."""

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import UsageError
from striate.estimators import KernelSVM, LinearRegression, LinearSVM, LogisticRegression, SoftmaxRegression, load_estimator


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([LinearRegression(), LogisticRegression(), SoftmaxRegression(), KernelSVM(), LinearSVM()])
def test_scikit_learn_accepts_one_layer_and_margins(estimator, check):
    check(estimator)


@pytest.mark.row("002-17")
@pytest.mark.parametrize("solver", ["closed", "descent"])
def test_linear_regression_meets_the_normal_equations(solver):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(50, 4)) * [1, 10, 0.1, 1] + 5
    y = generator.normal(size=(50, 3))
    ones = np.column_stack([np.ones(50), X])
    expected = np.linalg.solve(ones.T @ ones, ones.T @ y)
    reg = LinearRegression(solver=solver).fit(X, y)
    np.testing.assert_allclose(np.column_stack([reg.intercept_, reg.coef_]), expected.T, rtol=1e-8)
    assert (reg.n_iter_ == 1) == (solver == "closed")


@pytest.mark.row("002-21")
def test_logistic_regression_meets_its_peer_without_penalty():
    X, y = load_iris(return_X_y=True)
    X, y = X[50:], y[50:]
    ours = LogisticRegression(C=np.inf).fit(X, y)
    peer = linear_model.LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(X, y)
    np.testing.assert_allclose(ours.coef_, peer.coef_, rtol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-5)


def test_softmax_regression_meets_its_peer_with_a_penalty():
    X, y = load_iris(return_X_y=True)
    ours = SoftmaxRegression(C=0.7).fit(X, y)
    peer = linear_model.LogisticRegression(C=0.7, tol=1e-10, max_iter=5000).fit(X, y)
    np.testing.assert_allclose(ours.coef_, peer.coef_, atol=1e-4)


@pytest.mark.parametrize(("C", "steps"), [(0.01, 200), (1.0, 400)])
def test_a_strong_penalty_on_features_of_all_sizes_meets_the_peer(C, steps):
    """Cancer cells' features range from thousandths to thousands; the minimum is met, and in few steps."""
    X, y = load_breast_cancer(return_X_y=True)
    ours = LogisticRegression(C=C).fit(X, y)
    peer = linear_model.LogisticRegression(C=C, tol=1e-12, solver="newton-cholesky", max_iter=1000).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-5)
    assert ours.n_iter_ < steps


@pytest.mark.row("002-21")
def test_a_softmax_over_two_classes_is_the_sigmoid_of_the_difference():
    X, y = load_iris(return_X_y=True)
    X, y = X[50:], y[50:]
    two = SoftmaxRegression(C=1.0).fit(X, y)
    np.testing.assert_allclose(two.predict_proba(X)[:, 1], 1 / (1 + np.exp(-two.decision_function(X))), atol=1e-12)
    one = LogisticRegression(C=2.0).fit(X, y)  # two vectors w/2 and -w/2 have half the squared length of w
    np.testing.assert_allclose(two.predict_proba(X), one.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("solver", ["closed", "descent"])
def test_weighted_least_squares_meet_their_normal_equations(solver):
    generator = np.random.default_rng(0)
    X, y, w = generator.normal(size=(40, 3)) + 4, generator.normal(size=40), generator.random(40)
    ones = np.column_stack([np.ones(40), X])
    expected = np.linalg.solve(ones.T @ (w[:, None] * ones), ones.T @ (w * y))
    reg = LinearRegression(solver=solver).fit(X, y, sample_weight=w)
    np.testing.assert_allclose([reg.intercept_, *reg.coef_], expected, rtol=1e-8)


@pytest.mark.parametrize("ours", [LogisticRegression(C=0.3), SoftmaxRegression(C=0.3)])
def test_weighted_samples_meet_the_peer(ours):
    X, y = load_iris(return_X_y=True)
    X, y, w = X[50:], y[50:], np.random.default_rng(0).random(100) * 3
    price = 0.3 if isinstance(ours, LogisticRegression) else 0.6  # two vectors, as above
    peer = linear_model.LogisticRegression(C=price, tol=1e-12, solver="newton-cholesky").fit(X, y, sample_weight=w)
    np.testing.assert_allclose(ours.fit(X, y, sample_weight=w).predict_proba(X), peer.predict_proba(X), atol=1e-6)
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        ours.fit(X, y, sample_weight=-np.ones(100))
    with pytest.raises(ValueError, match="must contain at least one non-zero number"):
        ours.fit(X, y, sample_weight=np.zeros(100))


@pytest.mark.row("002-23")
def test_the_largest_margin_of_four_points():
    svm = LinearSVM(C=1e6).fit([[0, 0], [2, 2], [2, 0], [3, 0]], [-1, -1, 1, 1])
    np.testing.assert_allclose([*svm.coef_[0], svm.intercept_[0], svm.margin_], [1, -1, -1, np.sqrt(2)], atol=1e-6)
    np.testing.assert_allclose(svm.alpha_, [0.5, 0.5, 1], atol=1e-6)


@pytest.mark.row("002-23")
@pytest.mark.parametrize(
    ("svm", "objective", "vectors", "intercept"),
    [(LinearSVM(), 26.525455, 40, 0.0442532), (KernelSVM(gamma=1 / 30), 59.761345, 119, -0.235367)],
)
def test_the_dual_of_the_breast_cancers(svm, objective, vectors, intercept, tmp_path):
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    svm.fit(X, y)
    assert svm.dual_objective_ == pytest.approx(objective, rel=1e-6)
    assert len(svm.support_) == vectors and svm.score(X, y) == pytest.approx(0.98770, abs=1e-5)
    assert svm.intercept_[0] == pytest.approx(intercept, abs=1e-5)
    margins = np.where(y == 1, 1, -1) * svm.decision_function(X)
    signed = np.abs(svm.dual_coef_).ravel()
    norm2 = 2 * (signed.sum() - svm.dual_objective_)
    primal = norm2 / 2 + np.maximum(0, 1 - margins).sum()
    assert primal - svm.dual_objective_ < 1e-3
    svm.save(tmp_path / "svm.safetensors")
    np.testing.assert_array_equal(load_estimator(tmp_path / "svm.safetensors").decision_function(X), svm.decision_function(X))


def test_what_does_not_fit_is_named():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(UsageError, match="solver must be closed or descent, got 'magic'"):
        LinearRegression(solver="magic").fit(X, y)
    with pytest.raises(UsageError, match="Only binary classification is supported: y holds 3 classes\nUse SoftmaxRegression"):
        LogisticRegression().fit(X, y)
    with pytest.raises(UsageError, match="C must be positive, got 0"):
        SoftmaxRegression(C=0).fit(X, y)
    with pytest.raises(UsageError, match="C must be a number, got nan"):
        SoftmaxRegression(C=float("nan")).fit(X, y)
    with pytest.raises(UsageError, match="max_iter must be at least 1, got 0"):
        SoftmaxRegression(max_iter=0).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="the loss was still falling after max_iter = 2 steps"):
        SoftmaxRegression(max_iter=2).fit(X, y)
    with pytest.raises(UsageError, match="dual_objective_ is defined for two classes only, and the model has 3"):
        _ = LinearSVM().fit(X, y).dual_objective_


def test_weights_of_classes_survive_the_file(tmp_path):
    X, y = load_iris(return_X_y=True)
    svm = KernelSVM(class_weight={0: 1.0, np.int64(1): 5.0, 2: 2}).fit(X, y)
    svm.save(tmp_path / "svm.safetensors")
    again = load_estimator(tmp_path / "svm.safetensors")
    assert again.class_weight == {0: 1.0, 1: 5.0, 2: 2}
    np.testing.assert_array_equal(again.decision_function(X), svm.decision_function(X))
    np.testing.assert_array_equal(again.fit(X, y).decision_function(X), svm.decision_function(X))
