"""The Boltzmann machine: its draws and its learning against the enumeration of all states, and the published encoder."""

import itertools

import numpy as np
import pytest
from scipy.special import softmax

from striate.core.errors import DataError, NumericError, ShapeError, UsageError
from striate.estimators import BoltzmannMachine, load_estimator


def random_machine(units: int, seed: int = 0, scale: float = 1.0) -> BoltzmannMachine:
    generator = np.random.default_rng(seed)
    machine = BoltzmannMachine(max_iter=0, random_state=0).fit(np.eye(units))
    weights = np.triu(generator.normal(0, scale, (units, units)), 1)
    machine.weights_, machine.intercept_ = weights + weights.T, generator.normal(0, scale, units)
    return machine


def states(count: int) -> np.ndarray:
    return np.array(list(itertools.product((0, 1), repeat=count)))


def energy_by_hand(machine: BoltzmannMachine, state: np.ndarray) -> float:
    """E = -sum over pairs of w s s - sum of b s, one term after the other."""
    pairs = itertools.combinations(range(len(state)), 2)
    return -sum(machine.weights_[i, j] * state[i] * state[j] for i, j in pairs) - sum(machine.intercept_ * state)


@pytest.mark.row("003-30")
def test_draws_have_the_probabilities_of_the_energies():
    """200,000 states of six units, 2,000 chains of 100 sweeps."""
    machine = random_machine(6, scale=0.8)
    expected = softmax([-energy_by_hand(machine, state) for state in states(6)])
    np.testing.assert_allclose(np.exp(machine.score_samples(states(6))), expected, rtol=1e-10)

    generator, chains = np.random.default_rng(0), np.zeros((2000, 6))
    counts = np.zeros(64)
    for _ in range(100):
        machine._sweep(chains, np.arange(6), 1.0, generator)
        counts += np.bincount((chains @ [32, 16, 8, 4, 2, 1]).astype(int), minlength=64)
    assert np.abs(counts / counts.sum() - expected).sum() / 2 < 0.02


def test_temperature_divides_the_energies():
    machine = random_machine(4)
    drawn = machine.sample(20_000, schedule=[(3.0, 30)])
    expected = softmax([-energy_by_hand(machine, state) / 3 for state in states(4)])
    assert np.abs(np.bincount(drawn @ [8, 4, 2, 1], minlength=16) / 20_000 - expected).sum() / 2 < 0.02


@pytest.mark.row("003-30")
@pytest.mark.parametrize(("hidden", "updates"), [(0, 400), (2, 400)])
def test_exact_learning_meets_a_distribution_that_the_machine_can_have(hidden, updates):
    """The divergence KL(data | model) from the data of another machine of the same kind."""
    teacher = random_machine(4 + hidden, seed=1)
    teacher.n_features_in_, teacher.n_hidden = 4, hidden
    wanted = np.exp(teacher.score_samples(states(4)))
    counts = np.round(wanted * 2000).astype(int)
    data = np.repeat(states(4), counts, 0)
    settings = {"phases": "exact", "learning_rate": 1.0, "weight_decay": 0, "random_state": 0}
    machine = BoltzmannMachine(hidden, max_iter=updates, **settings).fit(data)
    shares = counts[counts > 0] / counts.sum()
    divergence = np.sum(shares * (np.log(shares) - machine.score_samples(states(4)[counts > 0])))
    assert 0 <= divergence < 0.01
    np.testing.assert_array_equal(machine.weights_, machine.weights_.T)
    assert not machine.weights_.diagonal().any()


def test_an_update_follows_the_gradient_of_the_likelihood():
    """d mean log P(v) / dw_ij and db_i by central differences, with hidden units."""
    data = states(3)[[1, 5, 5, 6, 2]]
    machine = BoltzmannMachine(2, phases="exact", max_iter=0, weight_decay=0, learning_rate=1.0, random_state=0).fit(data)
    before, bias = machine.weights_.copy() * 5, machine.intercept_ + np.array([0.3, -0.2, 0.5, 0.1, -0.4])
    numeric = np.zeros((5, 5))
    for i, j in itertools.product(range(5), repeat=2):
        if i > j:
            continue
        scores = []
        for sign in (1e-5, -1e-5):
            machine.weights_, machine.intercept_ = before.copy(), bias.copy()
            if i == j:
                machine.intercept_[i] += sign
            else:
                machine.weights_[i, j] += sign
                machine.weights_[j, i] += sign
            scores.append(machine.score_samples(data).mean())
        numeric[i, j] = (scores[0] - scores[1]) / 2e-5
    machine.weights_, machine.intercept_ = before.copy(), bias.copy()
    machine.partial_fit(data)
    np.testing.assert_allclose(np.triu(machine.weights_ - before, 1), np.triu(numeric, 1), atol=1e-8)
    np.testing.assert_allclose(machine.intercept_ - bias, numeric.diagonal(), atol=1e-8)


def test_drawn_phases_are_close_to_the_exact_ones():
    data = states(3)[[1, 5, 5, 6, 2]].astype(float)
    machine = BoltzmannMachine(2, n_chains=5000, n_sweeps=10, max_iter=0, random_state=0).fit(data)
    machine.weights_ *= 8
    drawn = machine.clamped_means(data, np.random.default_rng(0)), machine.free_means(np.random.default_rng(1))
    machine.phases = "exact"
    exact = machine.clamped_means(data, np.random.default_rng(0)), machine.free_means(np.random.default_rng(1))
    for got, expected in zip(drawn, exact, strict=True):
        np.testing.assert_allclose(got.units, expected.units, atol=0.015)
        off = ~np.eye(5, dtype=bool)
        np.testing.assert_allclose(got.pairs[off], expected.pairs[off], atol=0.015)


def test_annealing_ends_at_lower_energies_than_a_quench():
    machine = random_machine(40, seed=3, scale=2.0)
    quenched = machine.sample(300, schedule=[(0.2, 40)])
    annealed = machine.sample(300, schedule=[(20, 8), (8, 8), (3, 8), (1, 8), (0.2, 8)])
    assert machine.energy(annealed).mean() < machine.energy(quenched).mean() - 1


def encoder_connections() -> np.ndarray:
    """Two groups of four visible units that meet only in two hidden units; the published 4-2-4 encoder."""
    group = np.repeat([0, 1, 2], [4, 4, 2])
    joined = (group[:, None] == group) | (group[:, None] == 2) | (group == 2)
    joined[8:, 8:] = False
    return joined


def is_solved(machine: BoltzmannMachine) -> bool:
    """Whether, of the four patterns of the second group, each pattern of the first makes its own the likeliest."""
    for place in range(4):
        both = np.hstack([np.tile(np.eye(4)[place], (4, 1)), np.eye(4)])
        if machine.score_samples(both).argmax() != place:
            return False
    return True


def cycles_to_solve(seed: int, most: int) -> int:
    """Updates until the encoder is solved, looked at every tenth; 0 where it is not. Rule, noise and annealing are the published ones."""
    schedule = ((2.0, 2), (1.5, 2), (1.2, 2), (1.0, 4))  # the source's temperatures 20 to 10 and steps of 2, over 10
    rule = {"rule": "steps", "learning_rate": 0.2, "momentum": 0, "weight_decay": 0, "noise": (0.15, 0.05)}
    drawn = {"phases": "gibbs", "n_chains": 8, "n_sweeps": 10, "schedule": schedule}
    machine = BoltzmannMachine(2, connections=encoder_connections(), random_state=seed, **rule, **drawn)
    patterns = np.hstack([np.eye(4), np.eye(4)])
    for cycle in range(1, most + 1):
        machine.partial_fit(patterns)
        if cycle % 10 == 0 and is_solved(machine):
            return cycle
    return 0


def test_the_published_rule_solves_the_encoder():
    assert any(cycles_to_solve(seed, 300) for seed in range(3))


@pytest.mark.release
def test_the_encoder_is_solved_from_nearly_every_start():
    """The source: 250 of 250 starts, after 110 cycles in the median."""
    found = [cycles_to_solve(seed, 2000) for seed in range(20)]
    assert sum(cycles > 0 for cycles in found) >= 18
    assert 40 <= np.median([cycles for cycles in found if cycles]) <= 250


def test_steps_are_of_equal_size_and_noise_turns_the_stated_shares():
    data = states(3)[[1, 5, 5, 6]]
    machine = BoltzmannMachine(1, rule="steps", learning_rate=0.3, weight_decay=0, max_iter=0, random_state=0).fit(data)
    before = machine.weights_.copy()
    machine.partial_fit(data)
    changes = np.abs(machine.weights_ - before)[~np.eye(4, dtype=bool)]
    assert np.isclose(changes, 0.3).any() and (np.isclose(changes, 0.3) | (changes == 0)).all()

    machine.noise, machine.n_chains = (0.3, 0.1), 40_000
    turned = machine._disturbed(data.astype(float), np.random.default_rng(0))
    shares = np.abs(turned - np.tile(data, (10_000, 1))).reshape(-1, 4, 3).mean(0)
    np.testing.assert_allclose(shares, np.where(data > 0, 0.3, 0.1), atol=0.02)


def test_unknown_units_are_drawn_from_the_others():
    patterns = np.repeat([[1, 1, 0, 0], [0, 0, 1, 1]], 10, 0)
    machine = BoltzmannMachine(phases="exact", learning_rate=1.0, max_iter=300, random_state=0).fit(patterns)
    nan = np.nan
    assert machine.complete([[1, nan, nan, 0], [nan, 0, nan, nan]]).tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert machine.sample(7).shape == (7, 4)


def test_parts_add_up_and_a_machine_survives_its_file(tmp_path):
    data = states(3)[[1, 5, 5, 6]]
    whole = BoltzmannMachine(2, max_iter=3, n_chains=20, random_state=5, connections=np.ones((5, 5), bool)).fit(data)
    parts = BoltzmannMachine(2, n_chains=20, random_state=5, connections=np.ones((5, 5), bool)).partial_fit(data).partial_fit(data)
    parts.save(tmp_path / "machine.safetensors")
    again = load_estimator(tmp_path / "machine.safetensors")
    np.testing.assert_array_equal(again.partial_fit(data).weights_, whole.weights_)
    np.testing.assert_array_equal(again.sample(9, hidden=True), whole.sample(9, hidden=True))
    assert again.sample(1, hidden=True).shape == (1, 5) and again.n_iter_ == 3


def test_bad_input_is_named():
    with pytest.raises(DataError, match=r"X must hold 0 and 1 only, got 0\.5\nMake it binary first"):
        BoltzmannMachine().fit([[0.5, 1]])
    with pytest.raises(ShapeError, match=r"X must be \(patterns, 2\), got \(1, 3\)"):
        BoltzmannMachine(max_iter=1).fit([[0, 1]]).score_samples([[0, 1, 1]])
    with pytest.raises(ShapeError, match=r"X must be \(patterns, 2\), got \(2,\)"):
        BoltzmannMachine(max_iter=1).fit([[0, 1]]).complete([0, 1])
    for settings, words in (
        ({"phases": "guessed"}, "phases must be auto, gibbs or exact, got 'guessed'"),
        ({"phases": "exact", "n_hidden": 20}, "phases='exact' takes 16 units at most, got 22\nTake phases='gibbs'"),
        ({"rule": "leaps"}, "rule must be gradient or steps, got 'leaps'"),
        ({"noise": (0.1, 1)}, r"noise must be two shares from 0 to below 1, got \(0.1, 1\)"),
        ({"n_chains": 0}, "n_chains must be at least 1, got 0"),
        ({"learning_rate": 0}, "weight_decay not negative, momentum from 0 to below 1, got 0, 0.0001 and 0.9"),
        ({"noise": 0.1}, r"noise must be two shares from 0 to below 1, got 0\.1"),
        ({"max_iter": -1}, "max_iter must be at least 0, got -1"),
        ({"schedule": (3, 1)}, r"schedule must be \(temperature, sweeps\) with positive temperatures, got \(3, 1\)"),
        ({"schedule": [(0, 2)]}, r"positive temperatures, got \[\(0, 2\)\]"),
        ({"connections": np.eye(3, dtype=bool)}, r"connections must be a symmetric bool array \(6, 6\), got bool \(3, 3\)"),
    ):
        with pytest.raises(UsageError, match=words):
            BoltzmannMachine(**settings).fit([[0, 1]])
    with pytest.raises(UsageError, match="16 units at most, got 17\nSample instead"):
        random_machine(17).score_samples(np.eye(17))
    with pytest.raises(NumericError, match="the weights are not finite after update 1\nLower learning_rate"):
        BoltzmannMachine(max_iter=2, learning_rate=1e200, weight_decay=1e200).fit([[0, 1], [1, 1]])


@pytest.mark.parametrize("seed", range(3))
def test_triples_of_xor_are_learned_at_the_defaults(seed):
    """No pair of the three tells anything, so hidden units have to; of samples by chance half would be right."""
    triples = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    machine = BoltzmannMachine(random_state=seed).fit(triples)
    samples = machine.sample(1000)
    assert samples.shape == (1000, 3) and np.mean(samples.sum(1) % 2 == 0) > 0.9
    assert np.exp(machine.score_samples(triples)).min() > 0.15  # each of them
