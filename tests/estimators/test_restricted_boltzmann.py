"""The restricted Boltzmann machine: held against enumeration, scikit-learn's formulas, and what it learns of digits."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import expit, logsumexp
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import DataError, NumericError, ShapeError, UsageError
from striate.estimators import RestrictedBoltzmann, load_estimator
from striate.estimators.generative.contrastive import Contrast, Machine, Space, all_states


def random_rbm(visible: int, hidden: int, seed: int = 0, *, scale: float = 1.0) -> RestrictedBoltzmann:
    """A binary machine with weights of deviation `scale`."""
    generator = np.random.default_rng(seed)
    rbm = RestrictedBoltzmann(hidden, max_iter=0, random_state=0).fit(np.eye(visible))
    rbm.components_ = generator.normal(0, scale, (hidden, visible))
    rbm.intercept_hidden_, rbm.intercept_visible_ = generator.normal(0, 1, hidden), generator.normal(0, 1, visible)
    return rbm


def states(count: int) -> np.ndarray:
    return np.array(list(itertools.product((0.0, 1.0), repeat=count)))


def peer(rbm: RestrictedBoltzmann) -> BernoulliRBM:
    """scikit-learn's machine with the same weights."""
    other = BernoulliRBM(len(rbm.components_), random_state=0)
    other.components_, other.intercept_hidden_ = rbm.components_, rbm.intercept_hidden_
    other.intercept_visible_, other.n_features_in_ = rbm.intercept_visible_, rbm.n_features_in_
    return other


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    found = load_digits()
    return found.data / 16, found.target


@parametrize_with_checks(
    [RestrictedBoltzmann(5, max_iter=3, device="cpu"), RestrictedBoltzmann(4, momentum=0.5, persistent=True, device="cpu")]
)
def test_scikit_learn_accepts_the_machine(estimator, check):
    check(estimator)


@pytest.mark.row("003-31")
@pytest.mark.parametrize(("visible", "hidden"), [(6, 4), (3, 7)])
def test_the_probability_of_a_state_is_that_of_the_enumeration(visible, hidden):
    """The sum of e^-E(v, h) over the hidden states, by hand, over the sum over all states; E = -b v - c h - h W v."""
    rbm = random_rbm(visible, hidden)
    energy = np.array(
        [
            [-rbm.intercept_visible_ @ v - rbm.intercept_hidden_ @ h - h @ rbm.components_ @ v for h in states(hidden)]
            for v in states(visible)
        ]
    )
    log_p = logsumexp(-energy, axis=1) - logsumexp(-energy)
    got = -rbm.free_energy(states(visible)) - rbm.exact_log_partition()
    assert np.abs(got - log_p).max() < 1e-12


@pytest.mark.row("003-31")
def test_energies_and_features_are_scikit_learns():
    rbm = random_rbm(9, 4)
    X = np.random.default_rng(1).random((30, 9)).round()
    np.testing.assert_allclose(rbm.free_energy(X), peer(rbm)._free_energy(X), rtol=1e-14)
    np.testing.assert_allclose(rbm.transform(X), peer(rbm).transform(X), rtol=1e-14)
    assert rbm.transform(X.astype(np.float32)).dtype == np.float32
    assert rbm.get_feature_names_out().tolist() == [f"restrictedboltzmann{index}" for index in range(4)]


def test_the_pseudo_likelihood_is_the_mean_of_scikit_learns_draws():
    rbm = random_rbm(5, 3)
    X = states(5)
    draws = peer(rbm)
    draws.random_state = np.random.RandomState(0)
    many = np.mean([draws.score_samples(X) for _ in range(800)], axis=0)
    np.testing.assert_allclose(rbm.score_samples(X), many, atol=0.3)

    log_p = -rbm.free_energy(X)
    expected = [
        sum(log_p[i] - np.logaddexp(log_p[i], log_p[i ^ (1 << bit)]) for bit in range(5)) for i in range(32)
    ]  # by hand, from states whose numbers differ in one bit
    np.testing.assert_allclose(rbm.score_samples(X), expected, atol=1e-12)


@pytest.mark.parametrize("scale", [0.1, 1.5])
def test_annealed_importance_sampling_agrees_with_the_enumeration(scale):
    rbm = random_rbm(30, 10, seed=3, scale=scale)
    estimate = rbm.log_partition(n_chains=200, n_temperatures=500)
    assert estimate.error < 0.2
    assert abs(estimate.value - rbm.exact_log_partition()) < 4 * estimate.error + 0.01


def test_a_draw_has_the_probabilities_of_the_enumeration():
    rbm = random_rbm(4, 3, seed=1)
    log_p = -rbm.free_energy(states(4)) - rbm.exact_log_partition()
    drawn = rbm.sample(20_000, n_steps=60)
    shares = np.bincount((drawn @ [8, 4, 2, 1]).astype(int), minlength=16) / len(drawn)
    assert np.abs(shares - np.exp(log_p)).sum() / 2 < 0.02

    v = np.tile([[1.0, 0, 1, 1]], (20_000, 1))
    hidden = np.array([np.prod(np.where(h == 1, p, 1 - p)) for p in [rbm.transform(v[:1])[0]] for h in states(3)])
    means = hidden @ expit(states(3) @ rbm.components_ + rbm.intercept_visible_)
    np.testing.assert_allclose(rbm.gibbs(v).mean(0), means, atol=0.02)


@pytest.mark.row("003-31")
def test_with_many_draws_an_update_follows_the_gradient_of_the_likelihood():
    """d mean log p / dW = <h v> of the data - <h v> of the machine; from the enumeration, differentiated by torch."""
    rbm = random_rbm(5, 3, seed=2, scale=0.5)
    batch = torch.from_numpy(states(5)[[3, 9, 30, 17, 9, 22]])
    parts = [torch.from_numpy(array).requires_grad_() for array in (rbm.components_, rbm.intercept_hidden_, rbm.intercept_visible_)]
    machine = Machine(*parts)
    log_z = torch.logsumexp(-machine.free_energy(all_states(5).double()), 0)
    expected = torch.autograd.grad((-machine.free_energy(batch) - log_z).mean(), parts)

    learner = Machine(*(part.detach().clone() for part in parts))
    contrast = Contrast(learning_rate=1.0, num_steps=30)
    space = Space(learner, 9000, contrast)
    space.data.copy_(batch.repeat(1500, 1))
    with torch.no_grad():
        contrast.update(learner, space, torch.Generator().manual_seed(0))
    changed = (learner.weights, learner.hidden, learner.visible)
    for gradient, after, before in zip(expected, changed, parts, strict=True):
        torch.testing.assert_close(after - before.detach(), gradient, atol=0.015, rtol=0)


@pytest.mark.row("001-4")
def test_features_of_digits_serve_a_classifier_and_the_pseudo_likelihood_is_scikit_learns(digits):
    """A rate of 0.06 and 20 epochs of 64 units: scikit-learn's stands at -20.3 and 0.942 right. Pixels alone give 0.962."""
    X, y = digits
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    rbm = RestrictedBoltzmann(64, learning_rate=0.06, max_iter=20, persistent=True, random_state=0, device="cpu")
    model = make_pipeline(rbm, LogisticRegression(max_iter=1000, C=100)).fit(X_train, y_train)
    assert model.score(X_test, y_test) >= 0.93
    assert rbm.score_samples(X).mean() >= -20.3


def test_contrastive_divergence_learns_bars():
    """Rows or columns of a 4 x 3 grid, lit: the patterns become far likelier than all others."""
    generator = np.random.default_rng(0)
    bars = np.array([np.tile(np.array(bits)[:, None], (1, 3)).ravel() for bits in itertools.product((0, 1), repeat=4)])
    X = bars[generator.integers(0, 16, 500)].astype(float)
    for settings in ({}, {"momentum": 0.5, "learning_rate": 0.05}, {"persistent": True}, {"n_steps": 5, "weight_decay": 1e-4}):
        rbm = RestrictedBoltzmann(8, max_iter=50, random_state=0, **settings).fit(X)
        log_p = -rbm.free_energy(bars.astype(float)) - rbm.exact_log_partition()
        assert np.exp(log_p).sum() > 0.5  # 16 of 4,096 states
        assert np.abs(rbm.gibbs(X) - X).mean() < 0.15


def test_gaussian_visibles_learn_the_clusters_of_real_numbers():
    generator = np.random.default_rng(0)
    centres = np.array([[10.0, -300, 5], [14, 100, 5.5]])
    X = centres[generator.integers(0, 2, 1000)] + generator.normal(size=(1000, 3)) * [0.3, 20, 0.1]
    rbm = RestrictedBoltzmann(2, learning_rate=0.02, max_iter=40, random_state=0).fit(X)
    assert rbm.visible_ == "gaussian"
    np.testing.assert_allclose(rbm.mean_, X.mean(0))
    assert (rbm.free_energy(centres) < rbm.free_energy([[12.0, -100, 5.2], [10, 100, 5.0]])).all()
    assert np.abs(rbm.inverse_transform(rbm.transform(X)) - X).mean(0) @ (1 / X.std(0)) < 1.5
    assert not hasattr(rbm, "score_samples")

    grid = np.stack(np.meshgrid(*[np.linspace(-9, 9, 46)] * 3, indexing="ij"), -1).reshape(-1, 3)
    volume = (grid[1, 2] - grid[0, 2]) ** 3  # of a place of the grid: log Z is an integral over the standardized space
    by_grid = logsumexp(-rbm.free_energy(grid * rbm.scale_ + rbm.mean_)) + np.log(volume)
    assert rbm.exact_log_partition() == pytest.approx(by_grid, abs=1e-3)
    estimate = rbm.log_partition(n_chains=400, n_temperatures=300)
    assert abs(estimate.value - by_grid) < 4 * estimate.error + 0.01


def test_the_same_seed_gives_the_same_machine_and_parts_add_up(digits, tmp_path):
    X = digits[0][:200]
    settings = {"momentum": 0.3, "persistent": True, "random_state": 4, "device": "cpu"}
    first, again = (RestrictedBoltzmann(7, max_iter=2, **settings).fit(X) for _ in range(2))
    np.testing.assert_array_equal(first.components_, again.components_)

    parts = RestrictedBoltzmann(7, **settings).partial_fit(X)
    parts.save(tmp_path / "rbm.safetensors")
    resumed = load_estimator(tmp_path / "rbm.safetensors")
    np.testing.assert_array_equal(resumed.transform(X), parts.transform(X))
    np.testing.assert_array_equal(resumed.partial_fit(X).components_, parts.partial_fit(X).components_)
    assert resumed.n_iter_ == 2 and resumed.get_params() == parts.get_params()


def test_what_scaling_leaves_by_rounding_are_shares():
    """MinMaxScaler gives 1 + 2e-16 here; that makes no machine of real numbers."""
    X = MinMaxScaler().fit_transform(load_breast_cancer().data)
    assert X.max() > 1
    rbm = RestrictedBoltzmann(3, max_iter=1, random_state=0).fit(X)
    assert rbm.visible_ == "binary" and rbm.transform(X).shape == (569, 3)


def test_bad_input_is_named():
    rbm = RestrictedBoltzmann(2, max_iter=1).fit(np.eye(3))
    with pytest.raises(ShapeError, match=r"X must be \(N, 2\), hidden states or shares, got \(1, 3\)"):
        rbm.inverse_transform([[0, 1, 1]])
    with pytest.raises(UsageError, match="n_samples must be at least 0, got -1"):
        rbm.sample(-1)
    with pytest.raises(UsageError, match="n_chains must be at least 2, got 1"):
        rbm.log_partition(n_chains=1)
    with pytest.raises(DataError, match=r"X must be from 0 to 1 where the visible units are binary, got 2\nMake it binary first"):
        RestrictedBoltzmann(2, visible="binary").fit([[0, 2], [1, 0]])
    with pytest.raises(
        DataError, match=r"X must be from 0 to 1 as in fit, got -1\nScale it as the data that was learned; MinMaxScaler\(clip=True\)"
    ):
        RestrictedBoltzmann(2).fit([[0, 1], [1, 0]]).transform([[-1, 0]])
    for settings, words in (
        ({"visible": "ternary"}, "visible must be auto, binary or gaussian, got 'ternary'"),
        ({"n_components": 0}, "n_components must be at least 1, got 0"),
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"max_iter": -1}, "max_iter must be at least 0, got -1"),
        ({"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ({"momentum": 1}, "momentum must be from 0 to below 1 and weight_decay not negative, got 1 and 0.0"),
    ):
        with pytest.raises(UsageError, match=words):
            RestrictedBoltzmann(**settings).fit(np.eye(3))
    with pytest.raises(UsageError, match=r"at most 20 units in the smaller layer, got 21\nEstimate it"):
        random_rbm(22, 21).exact_log_partition()
    with pytest.raises(NumericError, match=r"the weights are not finite\nLower learning_rate, which is 1e\+30"):
        RestrictedBoltzmann(2, learning_rate=1e30, visible="gaussian").fit(np.random.default_rng(0).normal(size=(50, 3)))
