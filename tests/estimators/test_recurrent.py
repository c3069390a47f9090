"""Recurrent networks over sequences: the gradient through time, what truncation and clipping do, and how long each remembers."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import DataError, NumericError, ShapeError, UsageError
from striate.estimators import (
    ElmanClassifier,
    ElmanRegressor,
    GRUClassifier,
    GRURegressor,
    LSTMClassifier,
    LSTMRegressor,
    load_estimator,
)
from striate.estimators.sequences.bptt import bptt
from striate.estimators.sequences.padded import adding_problem, recall_problem, temporal_xor
from striate.estimators.sequences.reader import SequenceReader
from striate.networks.layers import GRU, LSTM, Elman

QUICK = {"hidden_size": 8, "learning_rate": 0.05}
KINDS = pytest.mark.parametrize("kind", [ElmanClassifier, LSTMClassifier, GRUClassifier])


@parametrize_with_checks([ElmanClassifier(max_iter=10, **QUICK)])
def test_scikit_learn_accepts_a_recurrent_classifier(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([ElmanRegressor(max_iter=20, **QUICK)])
def test_scikit_learn_accepts_a_recurrent_regressor(estimator, check):
    check(estimator)


@pytest.mark.release
@parametrize_with_checks([
    LSTMClassifier(max_iter=10, **QUICK), GRUClassifier(max_iter=10, **QUICK),
    LSTMRegressor(max_iter=60, **QUICK), GRURegressor(max_iter=60, **QUICK),
])  # fmt: skip
def test_scikit_learn_accepts_the_gated_ones_which_differ_in_their_cell_alone(estimator, check):
    check(estimator)


def unequal(n: int = 40, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences (T_i, 3) of which the first feature has a mean above or below 0."""
    generator = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2, "up", "down")
    return [generator.normal(size=(generator.integers(2, 9), 3)) + np.array([3.0 * (label == "up"), 0, 0]) for label in y], y


# ---- the gradient


def elman_case() -> tuple[dict[str, np.ndarray], np.ndarray]:
    generator = np.random.default_rng(0)
    weights = {"U": generator.normal(size=(4, 3)), "W": generator.normal(size=(4, 4)), "b": generator.normal(size=4)}
    return weights, generator.normal(size=(6, 3))


@pytest.mark.row("003-29")
@pytest.mark.parametrize("truncate", [None, 1, 4, 9])
def test_back_propagation_through_time_is_autograd(truncate):
    weights, x = elman_case()
    gradients = np.random.default_rng(1).normal(size=(6, 4))
    if truncate is not None:  # an answer at the end: what lies further back is given, not learned
        gradients[:-1] = 0
    found = bptt(**weights, x=x, gradients=gradients, truncate=truncate)

    U, W, b, inputs = (torch.tensor(array, requires_grad=True) for array in (*weights.values(), x))
    state, states = torch.zeros(4, dtype=torch.float64), []
    for t in range(6):
        if truncate is not None and t == 6 - truncate:
            state = state.detach()
        state = torch.tanh(U @ inputs[t] + W @ state + b)
        states.append(state)
    (torch.stack(states) * torch.tensor(gradients)).sum().backward()
    for ours, theirs in ((found.input_weights, U), (found.state_weights, W), (found.bias, b), (found.inputs, inputs)):
        np.testing.assert_allclose(ours, theirs.grad, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.states, torch.stack(states).detach(), rtol=0, atol=1e-12)


def test_the_reach_is_the_product_of_the_jacobians():
    weights, x = elman_case()
    found = bptt(**weights, x=x, gradients=np.zeros((6, 4)))

    def last(state):
        for t in range(3, 6):
            state = torch.tanh(torch.tensor(weights["U"] @ x[t] + weights["b"]) + torch.tensor(weights["W"]) @ state)
        return state

    jacobian = torch.autograd.functional.jacobian(last, torch.tensor(found.states[2]))
    assert found.reach[3] == pytest.approx(torch.linalg.matrix_norm(jacobian, 2).item(), rel=1e-10)
    small = bptt(U=weights["U"], W=0.3 * np.eye(4), b=weights["b"], x=x, gradients=np.zeros((6, 4)))
    assert (small.reach <= 0.3 ** np.arange(6) + 1e-15).all()  # |1 - s^2| is at most 1


@pytest.mark.parametrize("layer", [Elman(5), LSTM(5, num_layers=2), GRU(5)], ids=lambda layer: layer.kind)
def test_truncation_keeps_the_answers_and_cuts_the_gradient(layer):
    torch.manual_seed(0)
    reader = SequenceReader(layer, 3, 2).double()
    x = torch.randn(4, 7, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([7, 2, 5, 3])
    whole, cut = reader(x, lengths), reader(x, lengths, 3)
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-12)
    alone = torch.cat([reader(x[i : i + 1, : lengths[i]], lengths[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-12)
    cut.sum().backward()
    reached = x.grad.abs().sum(2) > 0
    expected = [[4, 5, 6], [0, 1], [2, 3, 4], [0, 1, 2]]
    assert [row.nonzero().flatten().tolist() for row in reached] == expected


def test_the_truncated_gradient_of_an_estimator_is_that_of_the_formulas():
    torch.manual_seed(0)
    reader = SequenceReader(Elman(4), 3, 1).double()
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    reader(x, torch.tensor([6]), 2).sum().backward()
    get = {name: parameter.detach().numpy() for name, parameter in reader.named_parameters()}
    ends = np.zeros((6, 4))
    ends[-1] = next(array for name, array in get.items() if name.startswith("readout") and array.ndim == 2)[0]
    bias = get["cells.bias_ih_l0"] + get["cells.bias_hh_l0"]
    found = bptt(get["cells.weight_ih_l0"], get["cells.weight_hh_l0"], bias, x[0], ends, truncate=2)
    np.testing.assert_allclose(reader.cells.weight_hh_l0.grad, found.state_weights, rtol=0, atol=1e-10)
    np.testing.assert_allclose(reader.cells.weight_ih_l0.grad, found.input_weights, rtol=0, atol=1e-10)


def test_clipping_keeps_a_network_finite_that_explodes_without():
    X, y = adding_problem(64, 60, random_state=0)
    settings = {"activation": "relu", "spectral_radius": 1.5, "optimizer": "sgd", "max_iter": 3, "random_state": 0}
    with pytest.raises(
        NumericError, match=r"the loss is not finite in epoch \d\nLower learning_rate, which is 0.01, or give max_grad_norm"
    ):
        ElmanRegressor(max_grad_norm=None, **settings).fit(X, y)
    clipped = ElmanRegressor(max_grad_norm=1.0, **settings).fit(X, y)
    assert np.isfinite(clipped.predict(X)).all()


# ---- the estimators


@KINDS
def test_unequal_sequences_are_learned_saved_and_loaded(kind, tmp_path):
    X, y = unequal()
    net = kind(8, max_iter=15, random_state=0).fit(X, y)
    X_test, y_test = unequal(seed=1)
    assert net.score(X_test, y_test) > 0.9
    assert net.n_features_in_ == 3 and net.classes_.tolist() == ["down", "up"]
    net.save(tmp_path / "net.safetensors")
    again = load_estimator(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(again.predict_proba(X_test), net.predict_proba(X_test))
    one = np.concatenate([net.predict_proba([sequence]) for sequence in X_test])
    np.testing.assert_allclose(one, net.predict_proba(X_test), atol=1e-12)
    twin = kind(8, max_iter=15, random_state=0).fit(X, y)
    np.testing.assert_array_equal(twin.predict_proba(X_test), net.predict_proba(X_test))


def test_an_array_of_arrays_is_a_list_of_them():
    X, y = unequal(6)
    ragged = np.empty(6, object)
    ragged[:] = X
    settings = {"max_iter": 2, "random_state": 0}
    net, twin = LSTMClassifier(3, **settings).fit(ragged, y), LSTMClassifier(3, **settings).fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(ragged), twin.predict_proba(X))
    level = np.empty(4, object)
    level[:] = [np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])] * 2  # of one length: a table
    assert LSTMClassifier(3, **settings).fit(level, ["up", "down"] * 2).predict(level).shape == (4,)


def test_states_are_those_of_each_step_and_both_directions():
    X, y = unequal(12)
    net = LSTMClassifier(5, bidirectional=True, max_iter=1, random_state=0).fit(X, y)
    states = net.states(X)
    assert [len(found) for found in states] == [len(sequence) for sequence in X]
    assert states[0].shape[1] == 10
    np.testing.assert_allclose(
        net.states([X[0][:2], X[1]])[0][:, :5], states[0][:2, :5], atol=1e-12
    )  # forward: what comes later is unknown


def test_forget_gates_begin_open():
    X, y = unequal(8)
    for bias in (0.0, 2.5):
        start = LSTMClassifier(3, forget_bias=bias, learning_rate=1e-9, max_iter=1, random_state=0).fit(X, y)
        total = start.weights_["cells.bias_ih_l0"] + start.weights_["cells.bias_hh_l0"]
        np.testing.assert_allclose(total[3:6], bias, atol=1e-6)


def test_numbers_come_back_in_their_own_units():
    generator = np.random.default_rng(0)
    X = generator.uniform(size=(200, 4, 2))
    y = np.column_stack([1000 + 100 * X[:, :, 0].sum(1), -X[:, 3, 1]])
    net = GRURegressor(16, learning_rate=0.03, random_state=0, max_iter=40).fit(X, y)
    assert net.predict(X).shape == (200, 2)
    assert net.score(X, y) > 0.95


def test_the_problems_are_what_their_sources_say():
    X, y = adding_problem(5000, 11, random_state=0)
    assert X.shape == (5000, 11, 2) and (X[:, :5, 1].sum(1) == 1).all() and (X[:, 5:, 1].sum(1) == 1).all()
    np.testing.assert_allclose(y, [sum(step[0] for step in row if step[1]) for row in X], rtol=1e-6)
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, rel=0.1)
    X, y = recall_problem(50, 4, random_state=0)
    assert X.shape == (50, 5, 1) and ((X[:, 0, 0] > 0) == y).all() and set(X.ravel()) == {-1.0, 1.0}
    bits = temporal_xor(300, random_state=0)
    assert len(bits) == 300 and (bits[2::3] == bits[::3] ^ bits[1::3]).all()


def test_what_is_no_sequence_is_named():
    X, y = unequal(4)
    for wrong, error, words in (
        ([X[0], np.zeros((0, 3)), *X[2:]], DataError, r"X: sequence 1 has length 0: its shape is \(0, 3\)\nLeave it out"),
        ([X[0], [], *X[2:]], DataError, "X: sequence 1 has length 0"),
        (np.zeros((4, 0, 3)), DataError, "X: sequence 0 has length 0"),
        ([X[0], X[1][:, :2], *X[2:]], ShapeError, "X: sequence 1 has 2 features per step, expected 3"),
        ([X[0], X[1] * np.nan, *X[2:]], DataError, "X: sequence 1 holds NaN or Inf"),
        ([X[0], [["a", "b", "c"]], *X[2:]], DataError, "X: sequence 1 is not an array of numbers"),
        ([X[0], np.zeros((2, 3, 1)), *X[2:]], ShapeError, r"X: sequence 1 must have shape \(T, F\) or \(T,\), got \(2, 3, 1\)"),
        (np.zeros((0, 5, 3)), DataError, "X holds no sequences"),
        ([X[0], X[1] * 1e39, *X[2:]], DataError, "X: sequence 1 holds .*, too large for a network\nScale the numbers"),
        (np.full((4, 3), 1e39), DataError, r"X holds 1e\+39, too large for a network"),
        (np.zeros((4, 5, 2, 2)), ShapeError, r"X: sequence 0 must have shape \(T, F\) or \(T,\), got \(5, 2, 2\)"),
    ):
        with pytest.raises(error, match=words):
            ElmanClassifier(2, max_iter=1).fit(wrong, y)
    net = ElmanClassifier(2, max_iter=1).fit(X, y)
    with pytest.raises(ShapeError, match="X: sequence 0 has 1 features per step, expected 3"):
        net.predict([[1.0, 2.0], [1.0]])
    with pytest.raises(UsageError, match="y must hold at least two classes, got one class: 'up'"):
        ElmanClassifier(2).fit(X, ["up"] * 4)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ({"max_grad_norm": -1}, "max_grad_norm must be positive or None, got -1"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number, got nan"),
        ({"truncate": 1.5}, r"truncate must be a whole number, got 1\.5"),
        ({"optimizer": "magic"}, "optimizer must be adam or sgd, got 'magic'"),
        ({"truncate": 0}, "truncate must be at least 1, got 0"),
        ({"truncate": 2, "bidirectional": True}, "truncate does not apply to bidirectional cells"),
        ({"activation": "gelu"}, "activation must be tanh or relu, got 'gelu'"),
        ({"spectral_radius": 0}, "spectral_radius must be positive or None, got 0"),
    ],
)
def test_a_setting_out_of_its_range_is_named(settings, words):
    with pytest.raises(UsageError, match=words):
        ElmanClassifier(**settings).fit(*unequal(4))


# ---- memory


def probed(radius: float, lag: int) -> float:
    """How well a linear probe finds the bit of `lag` steps ago in an untrained Elman network's states, which have a little noise."""
    X, y = recall_problem(600, lag, random_state=0)
    X = np.concatenate([np.sign(np.random.default_rng(1).normal(size=(600, 10, 1))), X], axis=1)
    net = ElmanClassifier(16, spectral_radius=radius, learning_rate=1e-9, max_iter=1, random_state=0).fit(X, y)
    ends = np.stack([states[-1] for states in net.states(X)])
    ends += np.random.default_rng(2).normal(scale=0.05, size=ends.shape)
    return LogisticRegression(max_iter=1000).fit(ends[:300], y[:300]).score(ends[300:], y[300:])


@pytest.mark.row("003-48")
def test_an_elman_network_forgets_sooner_the_smaller_its_weights():
    found = [probed(radius, 5) for radius in (0.2, 0.9)]
    assert found[0] < 0.6 and found[1] > 0.7


@pytest.mark.slow
@pytest.mark.row("003-48")
def test_an_lstm_keeps_a_bit_for_fifty_steps():
    X, y = recall_problem(2000, 50, random_state=0)
    X_test, y_test = recall_problem(500, 50, random_state=1)
    lstm = LSTMClassifier(16, forget_bias=4.0, learning_rate=0.03, max_iter=3, random_state=0).fit(X, y)
    assert lstm.score(X_test, y_test) >= 0.99


@pytest.mark.release
@pytest.mark.row("003-48")
def test_gated_cells_solve_the_adding_problem_and_elmans_do_not():
    X, y = adding_problem(10_000, 100, random_state=0)
    X_test, y_test = adding_problem(1000, 100, random_state=1)
    errors = {}
    for kind in (ElmanRegressor, LSTMRegressor, GRURegressor):
        net = kind(64, learning_rate=0.005, batch_size=50, max_iter=12, random_state=0).fit(X, y)
        errors[kind.__name__] = np.mean((net.predict(X_test) - y_test) ** 2)
    assert errors["LSTMRegressor"] < 0.01 and errors["GRURegressor"] < 0.01
    assert errors["ElmanRegressor"] > 0.1  # to answer the mean has 0.167
