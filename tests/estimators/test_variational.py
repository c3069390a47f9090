"""The variational autoencoder: the divergence and the bound against other ways to compute them, its samples, and bad input."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import DataError, ShapeError, UsageError
from striate.core.images import ImageSpec
from striate.data.sources import open_data
from striate.estimators import VariationalAutoencoder, load_estimator
from striate.estimators.described import unpacked
from striate.estimators.generative.variational import divergence_from_normal, reparametrized

GREY = ImageSpec(height=28, width=28, channels=1, mean=(0.5,), std=(0.5,))


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:500] / 16


@pytest.fixture(scope="module")
def fitted(digits):
    return VariationalAutoencoder(4, hidden_layer_sizes=(64,), max_iter=60, batch_size=50, random_state=0).fit(digits)


@parametrize_with_checks([VariationalAutoencoder(2, hidden_layer_sizes=(8,), max_iter=3)])
def test_scikit_learn_accepts_the_variational_autoencoder(estimator, check):
    check(estimator)


def test_the_divergence_is_that_of_torch_and_of_an_integral():
    torch.manual_seed(0)
    mean, log_variance = torch.randn(3, 4).double(), torch.randn(3, 4).double()
    ours = divergence_from_normal(mean, log_variance)

    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    of_torch = torch.distributions.kl_divergence(normal, torch.distributions.Normal(torch.zeros(()).double(), 1.0)).sum(1)
    torch.testing.assert_close(ours, of_torch, atol=1e-6, rtol=0)

    q = norm(mean[0, 0].item(), math.exp(log_variance[0, 0].item() / 2))
    integral = quad(lambda z: q.pdf(z) * (q.logpdf(z) - norm.logpdf(z)), q.mean() - 12 * q.std(), q.mean() + 12 * q.std())[0]
    assert divergence_from_normal(mean[:1, :1], log_variance[:1, :1]).item() == pytest.approx(integral, abs=1e-6)


@pytest.mark.row("003-47")
def test_cells_of_mean_and_deviation_draw_what_they_say():
    """Of N(0.5, 0.2) only 38.29 % lie from 0.4 to 0.6, and 68.27 % from 0.3 to 0.7."""
    torch.manual_seed(0)
    z = reparametrized(torch.tensor(0.5), torch.tensor(2 * math.log(0.2)), torch.randn(100_000))
    assert ((z > 0.4) & (z < 0.6)).float().mean().item() == pytest.approx(0.3829, abs=0.01)
    assert ((z > 0.3) & (z < 0.7)).float().mean().item() == pytest.approx(0.6827, abs=0.01)


def test_gradients_reach_the_mean_and_the_deviation():
    """E[z^2] = m^2 + s^2, so that its gradients are 2 m and 2 s; in log s^2, s^2."""
    torch.manual_seed(0)
    mean, log_variance = torch.tensor(0.7).double().requires_grad_(), torch.tensor(-0.4).double().requires_grad_()
    (reparametrized(mean, log_variance, torch.randn(400_000).double()) ** 2).mean().backward()
    assert mean.grad.item() == pytest.approx(1.4, abs=0.01)
    assert log_variance.grad.item() == pytest.approx(math.exp(-0.4), abs=0.01)


def test_the_published_size():
    vae = VariationalAutoencoder(20, hidden_layer_sizes=(400,), max_iter=1).fit(np.eye(784)[:2])
    assert sum(array.size for part in (vae.encoder_, vae.decoder_) for array in part["weights"].values()) == 652_824


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_bound_is_below_the_likelihood_that_an_integral_gives(likelihood):
    """With one component, p(x) = integral of p(x|z) p(z) dz is a sum over a fine grid."""
    generator = np.random.default_rng(0)
    X = (generator.random((40, 6)) < np.where(np.arange(40)[:, None] % 2, 0.8, 0.1)).astype(float) * (3 if likelihood == "gaussian" else 1)
    X += generator.normal(size=X.shape) if likelihood == "gaussian" else 0
    vae = VariationalAutoencoder(1, hidden_layer_sizes=(7,), likelihood=likelihood, max_iter=100, learning_rate=0.01, random_state=0).fit(X)

    grid = np.linspace(-8, 8, 4001)
    answer = unpacked("decoder_", vae.decoder_).double()(torch.from_numpy(grid[:, None])).detach().numpy()  # (grid, 6)
    if likelihood == "bernoulli":
        share = 1 / (1 + np.exp(-answer))
        given = (np.log(share)[:, None] * X + np.log(1 - share)[:, None] * (1 - X)).sum(2)
    else:
        given = norm.logpdf(X, answer[:, None] * vae.scale_ + vae.mean_, vae.deviation_ * vae.scale_).sum(2)
    exact = np.log((np.exp(given) * norm.pdf(grid)[:, None]).sum(0) * (grid[1] - grid[0]))

    loose, close = vae.bound(X, num_draws=300), vae.bound(X, num_draws=3000, importance=True)
    assert (loose < exact + 0.05).all()
    np.testing.assert_allclose(close, exact, atol=0.05)
    assert loose.mean() < close.mean()
    assert vae.score(X) == pytest.approx(loose.mean(), abs=0.3)


def test_the_bound_rises_and_samples_look_like_the_data(fitted, digits):
    assert fitted.likelihood_ == "bernoulli"
    assert fitted.loss_curve_[-1] < 0.8 * fitted.loss_curve_[0]
    assert -fitted.loss_curve_[-1] == pytest.approx(fitted.score(digits), abs=1)

    samples = fitted.sample(400)
    assert samples.shape == (400, 64) and samples.min() >= 0 and samples.max() <= 1
    np.testing.assert_allclose(samples.mean(0), digits.mean(0), atol=0.12)
    np.testing.assert_array_equal(samples, fitted.sample(400))  # random_state is 0
    assert not np.allclose(samples, fitted.sample(400, random_state=1))
    between = (samples[:, None] - digits).__pow__(2).sum(2).min(1)
    assert between.mean() < 0.5 * ((digits - digits.mean(0)) ** 2).sum(1).mean()


@pytest.mark.release
@pytest.mark.timeout(900)
@pytest.mark.needs("MNIST/raw")
def test_mnist_takes_at_most_110_nats(data_dir):
    train, test = (open_data("mnist").read(split, spec=GREY).images.reshape(-1, 784) / 255 for split in ("train", "test"))
    assert -VariationalAutoencoder(max_iter=10, random_state=0).fit(train).score(test) <= 110


def test_a_line_between_two_digits_ends_at_both(fitted, digits):
    line = fitted.interpolate(digits[0], digits[1], steps=5)
    np.testing.assert_allclose(line[[0, -1]], fitted.reconstruct(digits[:2]))
    means, deviations = fitted.posterior(digits)
    np.testing.assert_array_equal(means, fitted.transform(digits))
    assert (deviations > 0).all() and deviations.min() < 0.5  # something is known about each


def test_a_variational_autoencoder_survives_its_file(fitted, digits, tmp_path):
    fitted.save(tmp_path / "vae.safetensors")
    again = load_estimator(tmp_path / "vae.safetensors")
    np.testing.assert_array_equal(again.bound(digits[:9]), fitted.bound(digits[:9]))
    np.testing.assert_array_equal(again.sample(3), fitted.sample(3))


def test_bad_input_is_named(fitted, digits):
    with pytest.raises(NotFittedError):
        VariationalAutoencoder().sample(3)
    beyond = r"X must be in \[0, 1\] for a bernoulli likelihood, got values from 0 to 16\nDivide pixels by 255"
    with pytest.raises(DataError, match=beyond):
        VariationalAutoencoder(likelihood="bernoulli").fit(digits * 16)
    with pytest.raises(DataError, match=beyond):
        fitted.transform(digits * 16)
    with pytest.raises(UsageError, match="likelihood must be one of auto, bernoulli, gaussian, got 'normal'"):
        VariationalAutoencoder(likelihood="normal").fit(digits)
    with pytest.raises(UsageError, match=r"hidden_layer_sizes\[0\] must be at least 1, got 0"):
        VariationalAutoencoder(hidden_layer_sizes=(0,)).fit(digits)
    with pytest.raises(UsageError, match="n must be at least 1, got 0"):
        fitted.sample(0)
    with pytest.raises(ShapeError, match=r"codes must be \(N, 4\), got \(2, 3\)"):
        fitted.inverse_transform(np.ones((2, 3)))
