"""The Hopfield network: stable memories, an energy that falls, its capacity; and its modern form."""

import numpy as np
import pytest
import torch
from scipy.special import erfc
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import DataError, ShapeError, UsageError
from striate.estimators import Hopfield, ModernHopfield, MultilayerPerceptron, SelfOrganizingMap, load_estimator


def patterns(count: int, units: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1, 1], (count, units))


@pytest.mark.row("003-8", "003-35")
def test_noisy_patterns_are_recalled_at_low_load():
    """0.05 patterns a unit, a tenth of the units turned."""
    stored = patterns(25, 500)
    flips = np.random.default_rng(1).random(stored.shape) < 0.1
    recalled = Hopfield(random_state=0).fit(stored).predict(np.where(flips, -stored, stored))
    assert (recalled * stored).mean() >= 0.999


@pytest.mark.slow
def test_recall_breaks_down_above_the_capacity():
    for load, low, high in ((0.10, 0.985, 1.0), (0.20, 0.0, 0.70)):
        stored = patterns(int(load * 1000), 1000)
        net = Hopfield(random_state=0)
        if load > 0.138:
            with pytest.warns(UserWarning, match="200 patterns are more than 1000 units can store: at most 0.138 per unit, which is 138"):
                net.fit(stored)
        else:
            net.fit(stored)
        assert low <= (net.predict(stored[:20]) * stored[:20]).mean() <= high


def test_the_error_of_the_first_step_is_the_theorys():
    """P = erfc(1 / sqrt(2 load)) / 2 of Gaussian crosstalk; 0.0038 and 0.0100 at these loads."""
    for load in (0.14, 0.185):
        wrong = []
        for seed in range(3):
            stored = patterns(int(load * 600), 600, seed)
            net = Hopfield()
            with pytest.warns(UserWarning, match="patterns are more than 600 units can store"):
                net.fit(stored)
            wrong.append((net.step(stored.astype(float)) != stored).mean())
        assert np.mean(wrong) == pytest.approx(0.5 * erfc(1 / np.sqrt(2 * load)), rel=0.3)


def test_recall_is_that_of_one_unit_at_a_time_and_the_energy_never_rises():
    stored = patterns(6, 60)
    probe = patterns(1, 60, seed=9)[0]
    net = Hopfield(random_state=3).fit(stored)
    weights = stored.T @ stored
    np.fill_diagonal(weights, 0)
    np.testing.assert_allclose(net.weights_, weights / 60)

    state, generator = probe.copy(), np.random.RandomState(3)
    energies = [-state @ weights @ state / 120]
    while True:
        before = state.copy()
        for unit in generator.permutation(60):
            field = weights[unit] @ state
            state[unit] = np.sign(field) if field else state[unit]
            energies.append(-state @ weights @ state / 120)
        if (state == before).all():
            break
    np.testing.assert_array_equal(net.predict([probe])[0], state)
    assert (np.diff(energies) <= 1e-12).all()
    np.testing.assert_allclose(net.energy([probe, state]), [energies[0], energies[-1]])


@pytest.mark.row("003-22")
def test_the_energy_falls_in_recall():
    net = Hopfield(random_state=0).fit(patterns(5, 80))
    probes = patterns(30, 80, seed=2)
    assert (net.energy(net.predict(probes)) < net.energy(probes)).all()


def test_mirrored_patterns_and_mixtures_of_three_are_stable_too():
    stored = patterns(3, 400)
    net = Hopfield(random_state=0).fit(stored)
    for state in (stored[0], -stored[0], np.sign(stored.sum(0))):
        assert (net.predict([state])[0] * state).mean() > 0.97


@pytest.mark.row("003-3")
def test_a_feedback_network_is_fed_its_output_until_it_stays_where_a_feed_forward_one_answers_at_once():
    """Hopfield's last layer is its first; the layers of a perceptron and of Kohonen's map lie one behind the other."""
    stored, flips = patterns(8, 200), np.random.default_rng(1).random((8, 200)) < 0.33
    net, state = Hopfield(update="synchronous").fit(stored), np.where(flips, -stored, stored)
    rounds = 0
    while not np.array_equal(fed_back := net.step(state), state):
        state, rounds = fed_back, rounds + 1
    assert rounds > 1 and np.array_equal(state, net.predict(np.where(flips, -stored, stored))) and np.array_equal(state, stored)

    layers = MultilayerPerceptron((4,), random_state=0).fit(stored, range(8))
    h = 1 / (1 + np.exp(-(stored @ layers.coefs_[0] + layers.intercepts_[0])))
    sums = h @ layers.coefs_[1] + layers.intercepts_[1]
    np.testing.assert_allclose(np.log(layers.predict_proba(stored)), sums - np.log(np.exp(sums).sum(1, keepdims=True)), rtol=1e-9)
    kohonen = SelfOrganizingMap(3, 3, max_iter=50, random_state=0).fit(stored)
    distances = ((stored[:, None] - kohonen.weights_.reshape(9, 200)) ** 2).sum(2)
    assert np.array_equal(kohonen.predict(stored), distances.argmin(1))


def test_at_once_two_units_can_swap_for_ever():
    """Two units that want to be equal, from different states."""
    net = Hopfield(update="synchronous", max_iter=7).fit([[1, 1]])
    assert net.predict([[1, -1]]).tolist() == [[-1, 1]] and net.n_iter_ == 7
    assert net.predict([[1, 1]]).tolist() == [[1, 1]] and net.n_iter_ == 1


def test_zeros_and_ones_come_back_as_such_and_patterns_can_follow():
    stored = (patterns(3, 50) + 1) // 2
    net = Hopfield().fit(stored[:2]).partial_fit(stored[2:])
    np.testing.assert_array_equal(net.predict(stored), stored)
    assert net.n_patterns_ == 3


def test_a_step_takes_plain_lists_and_refuses_what_does_not_fit():
    net = Hopfield().fit([[1, 1, 1, -1]])
    assert net.step([[1, -1, 1, -1]]).tolist() == [[1, 1, 1, -1]]
    with pytest.raises(ShapeError, match=r"states must be \(patterns, 4\), got \(1, 2\)"):
        net.step([[1, -1]])


def test_a_probe_of_ones_alone_is_answered_in_the_values_of_the_patterns():
    stored = [1, 1, 1, -1, 1, -1]
    probe = np.ones((1, 6))
    assert Hopfield().fit([stored]).predict(probe).tolist() == [stored]
    assert Hopfield().fit([np.greater(stored, 0)]).predict(probe).tolist() == [[1, 1, 1, 0, 1, 0]]


@parametrize_with_checks([ModernHopfield()])
def test_scikit_learn_accepts_the_modern_form(estimator, check):
    check(estimator)


def test_the_modern_form_is_attention():
    generator = np.random.default_rng(0)
    stored, probes = generator.normal(size=(7, 5)), generator.normal(size=(3, 5))
    got = ModernHopfield(beta=0.7).fit(stored).predict(probes)
    query, keys = torch.from_numpy(probes), torch.from_numpy(stored)
    expected = torch.nn.functional.scaled_dot_product_attention(query[None], keys[None], keys[None], scale=0.7)[0]
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_the_modern_form_recalls_far_more_patterns_than_units():
    stored = np.random.default_rng(0).normal(size=(300, 40))
    probes = stored + 0.2 * np.random.default_rng(1).normal(size=stored.shape)
    np.testing.assert_allclose(ModernHopfield(beta=8.0).fit(stored).predict(probes), stored, atol=1e-3)


def test_a_net_survives_its_file(tmp_path):
    net = Hopfield(random_state=0).fit(patterns(4, 40))
    net.save(tmp_path / "net.safetensors")
    again = load_estimator(tmp_path / "net.safetensors")
    probes = patterns(9, 40, seed=5)
    np.testing.assert_array_equal(again.predict(probes), net.predict(probes))
    assert again.get_params() == net.get_params() and again.n_patterns_ == 4


def test_bad_input_is_named():
    with pytest.raises(DataError, match=r"X must hold -1 and 1 only, or 0 and 1 only, got 0\.5\nMake it binary first"):
        Hopfield().fit([[0.5, 1]])
    with pytest.raises(DataError, match="got -1, 0 and 1 together"):
        Hopfield().fit([[-1, 0, 1]])
    with pytest.raises(ShapeError, match=r"X must be \(patterns, 8\), got \(1, 3\)"):
        Hopfield().fit(patterns(1, 8)).predict([[1, 1, 1]])
    with pytest.raises(UsageError, match="update must be asynchronous or synchronous, got 'sometimes'"):
        Hopfield(update="sometimes").fit([[1, 1]])
    with pytest.raises(UsageError, match="beta must be positive, got 0"):
        ModernHopfield(beta=0).fit([[1, 1]])
    with pytest.raises(UsageError, match="max_iter must be at least 1, got 0"):
        Hopfield(max_iter=0).fit([[1, 1]])
    with pytest.raises(
        DataError, match=r"X must hold numbers, in rows of one length: could not convert string to float: .*\nLook for texts"
    ):
        Hopfield().fit([["a", "b"]])
    with pytest.raises(DataError, match="X must hold numbers, in rows of one length"):
        Hopfield().fit([[1, -1], [1]])
    with pytest.raises(DataError, match="X must hold real numbers, got complex ones"):
        Hopfield().fit([[1j, 1]])
    with pytest.raises(DataError, match="X holds NaN or Inf"):
        Hopfield().fit([[np.nan, 1]])
