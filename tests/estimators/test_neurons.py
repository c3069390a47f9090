"""The first neurons: McCulloch-Pitts, perceptron, Adaline, Hebb, Oja and competition."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import DataError, NumericError, ShapeError, UnknownNameError, UsageError
from striate.estimators import Adaline, CompetitiveLearning, Hebb, McCullochPitts, MultilayerPerceptron, Oja, Perceptron, load_estimator

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
# fmt: off
#         targets    epochs, updates, [b, w1, w2]
GOLDEN = {
    "and":  ([0, 0, 0, 1], 6, 10, [-2, 2, 1]),
    "or":   ([0, 1, 1, 1], 4, 4, [0, 1, 1]),
    "nand": ([1, 1, 1, 0], 6, 11, [3, -2, -1]),
    "nor":  ([1, 0, 0, 0], 4, 5, [1, -1, -1]),
}
# fmt: on


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([Perceptron(max_iter=50), Adaline(max_iter=20), Hebb(), Oja(max_iter=5), CompetitiveLearning(max_iter=5)])
def test_scikit_learn_accepts_the_neurons(estimator, check):
    check(estimator)


@pytest.mark.row("003-23")
@pytest.mark.parametrize("name", GOLDEN)
def test_a_neuron_set_by_hand_is_a_gate(name):
    assert McCullochPitts.gate(name).predict(INPUTS).tolist() == GOLDEN[name][0]


def test_no_neuron_of_a_grid_of_weights_is_xor():
    """By search: the four inequalities contradict each other."""
    grid = np.linspace(-2, 2, 9)
    answers = {tuple(McCullochPitts((a, b), t).predict(INPUTS).tolist()) for a in grid for b in grid for t in grid}
    assert (0, 1, 1, 0) not in answers and (1, 0, 0, 1) not in answers
    assert len(answers) == 14  # of the 16 functions of two bits
    with pytest.raises(UnknownNameError, match="unknown gate 'xor'"):
        McCullochPitts.gate("xor")


def test_a_neuron_refuses_what_does_not_fit():
    with pytest.raises(ShapeError, match=r"X must be \(n, 2\), one column for each weight, got \(2, 3\)"):
        McCullochPitts().predict(np.ones((2, 3)))
    with pytest.raises(DataError, match="X holds NaN or Inf"):
        McCullochPitts().predict([[np.nan, 1]])


@pytest.mark.row("003-25")
@pytest.mark.row("003-24")
@pytest.mark.parametrize("name", GOLDEN)
def test_the_perceptron_learns_the_gates_update_for_update(name):
    targets, epochs, updates, weights = GOLDEN[name]
    gate = Perceptron().fit(INPUTS, targets)
    assert (gate.n_iter_, gate.n_updates_) == (epochs, updates)
    assert [*gate.intercept_, *gate.coef_[0]] == weights
    assert gate.converged_ and gate.score(INPUTS, targets) == 1


def test_the_perceptron_learns_not():
    gate = Perceptron().fit([[0], [1]], [1, 0])
    assert (gate.n_iter_, gate.n_updates_, *gate.intercept_, *gate.coef_[0]) == (3, 3, 1, -1)


@pytest.mark.row("003-24")
def test_the_perceptron_says_that_xor_has_no_line():
    with pytest.warns(ConvergenceWarning, match="still made 4 errors in epoch 30: no hyperplane may separate the classes"):
        gate = Perceptron(max_iter=30).fit(INPUTS, [0, 1, 1, 0])
    assert not gate.converged_ and gate.n_iter_ == 30


def test_two_irises_take_four_epochs_and_five_updates():
    data = load_iris()
    X, y = np.rint(data.data[:100] * 10), data.target[:100]
    line = Perceptron().fit(X, y)
    assert (line.n_iter_, line.n_updates_) == (4, 5)
    assert [*line.intercept_, *line.coef_[0]] == [-1, -11, -36, 52, 22]


@pytest.mark.row("003-25")
@pytest.mark.parametrize("fields", [{}, {"learning_rate": 0.1, "decay": 0.5, "init_range": 0.2, "random_state": 3}])
def test_the_perceptron_in_blocks_is_the_rule_one_by_one(fields):
    """Three classes that overlap, against a loop over samples and neurons; from weights at random too, with a rate that decays."""
    generator = np.random.default_rng(0)
    X, y = generator.integers(-9, 10, (700, 3)).astype(float), generator.integers(0, 3, 700)
    with pytest.warns(ConvergenceWarning):
        layer, start = Perceptron(max_iter=2, **fields).fit(X, y), Perceptron(max_iter=1, **fields | {"learning_rate": 1e-300}).fit(X, y)

    weights = np.column_stack([start.intercept_, start.coef_]) if fields else np.zeros((3, 4))
    for epoch in range(2):
        rate = fields.get("learning_rate", 1) / (1 + fields.get("decay", 0) * epoch)
        for row, label in zip(X, y, strict=True):
            for k in range(3):
                wrong = int(label == k) - int(weights[k, 0] + weights[k, 1:] @ row > 0)
                weights[k] += rate * wrong * np.array([1, *row])
    np.testing.assert_allclose(np.column_stack([layer.intercept_, layer.coef_]), weights, rtol=0, atol=1e-12)
    assert (np.abs(start.coef_) < 0.2).all() and (np.abs(start.coef_) > 1e-3).any() == bool(fields)


@pytest.mark.parametrize("name", ["decay", "init_range"])
def test_the_perceptron_refuses_what_is_less_than_nothing(name):
    with pytest.raises(UsageError, match=f"{name} must not be negative, got -1"):
        Perceptron(**{name: -1}).fit(INPUTS, GOLDEN["and"][0])


@pytest.mark.row("003-6")
def test_online_epochs_are_the_offline_ones():
    whole = Perceptron().fit(INPUTS, GOLDEN["and"][0])
    parts = Perceptron()
    for _ in range(6):
        parts.partial_fit(INPUTS, GOLDEN["and"][0])
    np.testing.assert_array_equal(parts.coef_, whole.coef_)


@pytest.mark.row("003-7")
@pytest.mark.parametrize("rule", ["sample", "batch"])
def test_the_delta_rule_ends_at_least_squares(rule):
    generator = np.random.default_rng(1)
    X = generator.normal(size=(60, 3))
    y = X @ [1.0, -2.0, 0.5] + 0.3 + generator.normal(size=60) > 0
    settings = {"learning_rate": 2e-4, "max_iter": 1500} if rule == "sample" else {"max_iter": 2000, "tol": 1e-13}
    neuron = Adaline(rule=rule, random_state=0, **settings).fit(X, y)

    expected = np.linalg.lstsq(np.column_stack([np.ones(60), X]), np.where(y, 1.0, -1.0))[0]

    got = [*neuron.intercept_, *neuron.coef_[0]]
    np.testing.assert_allclose(got, expected, atol=1e-9 if rule == "batch" else 3e-3)
    assert neuron.loss_curve_[-1] < neuron.loss_curve_[0]


def test_a_rate_that_is_too_high_is_said():
    with np.errstate(all="ignore"), pytest.raises(NumericError, match=r"the weights are not finite after epoch \d+\nLower learning_rate"):
        Adaline(learning_rate=50.0, max_iter=400).fit(INPUTS * 10, [0, 0, 1, 1])


@pytest.mark.row("003-7")
def test_hebb_recalls_orthogonal_patterns_and_adds_new_ones():
    keys, answers = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0][:3], np.array([[1.0, 2], [3, -1], [0, 4]])
    memory = Hebb().fit(keys[:2], answers[:2]).partial_fit(keys[2:], answers[2:])
    np.testing.assert_allclose(memory.predict(keys), answers, atol=1e-12)
    np.testing.assert_allclose(memory.coef_, answers.T @ keys, atol=1e-12)


@pytest.mark.row("003-7")
def test_oja_finds_the_principal_components():
    X = np.random.default_rng(3).normal(size=(500, 4)) @ np.diag([4.0, 2.0, 1.0, 0.5]) @ np.linalg.qr(np.arange(16.0).reshape(4, 4) % 7)[0]
    found = Oja(2, max_iter=60, random_state=0).fit(X).components_
    expected = np.linalg.svd(X - X.mean(0), full_matrices=False)[2][:2]
    assert np.abs((found * expected).sum(1)).min() > 0.999
    np.testing.assert_allclose((found**2).sum(1), 1, atol=0.01)


@pytest.mark.row("003-5")
def test_three_clusters_have_three_winners():
    generator = np.random.default_rng(4)
    centres = np.array([[0.0, 0], [10, 0], [0, 10]])
    X = (centres[:, None] + generator.normal(size=(3, 40, 2))).reshape(-1, 2)
    net = CompetitiveLearning(3, random_state=0).fit(X)
    assert all(len(set(group)) == 1 for group in net.labels_.reshape(3, 40))
    assert len(set(net.labels_)) == 3
    np.testing.assert_allclose(net.cluster_centers_[net.labels_[::40]], X.reshape(3, 40, 2).mean(1), atol=0.3)


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (Perceptron(learning_rate=0), "learning_rate must be positive, got 0"),
        (Perceptron(max_iter=0), "max_iter must be at least 1, got 0"),
        (Adaline(rule="magic"), "rule must be sample or batch, got 'magic'"),
        (Adaline(learning_rate=-1), "learning_rate must be positive, got -1"),
        (Hebb(learning_rate=0), "learning_rate must be positive, got 0"),
        (Adaline(max_iter=2.5), r"max_iter must be a whole number, got 2\.5"),
        (Oja(max_iter=0), "max_iter must be at least 1, got 0"),
        (CompetitiveLearning(max_iter=-1), "max_iter must be at least 1, got -1"),
        (Perceptron(learning_rate=float("nan")), "learning_rate must be a number, got nan"),
        (Oja(3), "n_components must be from 1 to 2, the number of features, got 3"),
        (Oja(learning_rate=1), "learning_rate must be between 0 and 1, got 1"),
        (CompetitiveLearning(9), "n_clusters must be from 1 to the number of samples, got n_clusters=9 for n_samples=4"),
        (CompetitiveLearning(learning_rate=2), "learning_rate must be above 0 and at most 1, got 2"),
    ],
)
def test_settings_out_of_range_are_named(estimator, words):
    with pytest.raises(UsageError, match=words):
        estimator.fit(INPUTS, [0, 0, 1, 1])


@pytest.mark.parametrize("estimator", [Perceptron(), Adaline(), MultilayerPerceptron()])
def test_a_class_that_was_not_named_is_refused(estimator):
    with pytest.raises(UsageError, match=r"y holds the class 7, which is not one of \[0, 1\]"):
        estimator.partial_fit(INPUTS, [0, 0, 1, 1]).partial_fit(INPUTS, [0, 0, 1, 7])
    with pytest.raises(UsageError, match="y must hold at least two classes, got one class: 3"):
        clone(estimator).partial_fit(INPUTS, [3, 3, 3, 3])


def test_what_is_added_must_have_the_shape_of_what_is_there():
    with pytest.raises(ShapeError, match=r"y must be \(N, 2\) as in the stored associations, got \(4, 3\)"):
        Hebb().partial_fit(INPUTS, np.ones((4, 2))).partial_fit(INPUTS, np.ones((4, 3)))


def test_ojas_neurons_learn_from_parts_as_they_come():
    """Mean and direction of a stream are those of all its rows."""
    X = np.random.default_rng(0).normal(size=(4000, 3)) @ np.diag([3.0, 1.0, 0.3]) + [5, -2, 1]
    oja = Oja(random_state=0, learning_rate=0.02)
    for part in np.split(X, 16):
        oja.partial_fit(part)
    np.testing.assert_allclose(oja.mean_, X.mean(0))
    assert oja.n_samples_seen_ == 4000
    _, _, right = np.linalg.svd(X - X.mean(0), full_matrices=False)
    assert abs(oja.components_[0] @ right[0]) > 0.99


@pytest.mark.parametrize("estimator", [Oja(max_iter=2), CompetitiveLearning(max_iter=2), Adaline(max_iter=2), Perceptron(shuffle=True)])
def test_numpys_generators_seed_too(estimator, tmp_path):
    """Two that stand alike give the same; one that went on gives another; a file needs none."""
    X, y = np.random.default_rng(1).normal(size=(30, 4)), np.arange(30) % 2
    estimator.set_params(random_state=np.random.default_rng(5), max_iter=2)
    first, second = clone(estimator), clone(estimator)
    learned = "cluster_centers_" if hasattr(estimator, "n_clusters") else "components_" if isinstance(estimator, Oja) else "coef_"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        once = [getattr(one.fit(X, y), learned).copy() for one in (first, second)]
        again = getattr(first.fit(X, y), learned)
    np.testing.assert_array_equal(*once)
    assert not np.array_equal(again, once[0])
    first.save(tmp_path / "one.safetensors")
    np.testing.assert_array_equal(getattr(load_estimator(tmp_path / "one.safetensors"), learned), again)
