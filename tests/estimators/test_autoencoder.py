"""Autoencoders: the linear one meets PCA, the denoising one cleans, pictures keep their sizes, and bad input is named."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import DataError, NumericError, ShapeError, UsageError
from striate.estimators import Autoencoder, load_estimator


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:600]


@parametrize_with_checks([Autoencoder(max_iter=3)])
def test_scikit_learn_accepts_the_autoencoder(estimator, check):
    check(estimator)


@pytest.mark.row("003-35")
def test_a_linear_autoencoder_finds_the_subspace_of_pca(digits):
    """Bourlard and Kamp, 1988: its best error is that of the first principal components, and it spans them."""
    pca = PCA(3).fit(digits)
    ae = Autoencoder(3, hidden_layer_sizes=(), max_iter=60, learning_rate=0.01, random_state=0).fit(digits)

    by_pca = ((pca.inverse_transform(pca.transform(digits)) - digits) ** 2).mean()
    assert ((ae.reconstruct(digits) - digits) ** 2).mean() == pytest.approx(by_pca, rel=0.01)
    spanned, _ = np.linalg.qr(ae.inverse_transform(np.eye(3)).T - ae.inverse_transform(np.zeros((1, 3))).T)
    cosines = np.linalg.svd(pca.components_ @ spanned, compute_uv=False)  # of the principal angles
    assert cosines.min() > 0.99
    assert ae.score(digits) == pytest.approx(pca.explained_variance_ratio_.sum(), rel=0.01)


def test_layers_between_keep_more_than_any_linear_code(digits):
    deep = Autoencoder(2, hidden_layer_sizes=(64, 32), max_iter=60, random_state=0).fit(digits)
    assert deep.score(digits) > PCA(2).fit(digits).explained_variance_ratio_.sum() + 0.1
    assert deep.loss_curve_[-1] < 0.7 * deep.loss_curve_[0]


def test_the_default_is_deep_and_bends_where_a_line_cannot():
    """Points on a circle, in one number: a line keeps half of the variance."""
    angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 150)
    circle = np.column_stack([np.cos(angle), np.sin(angle), np.ones(150)])  # with a constant column
    deep, linear = (Autoencoder(1, random_state=0, **more).fit(circle).score(circle) for more in ({}, {"hidden_layer_sizes": ()}))
    assert deep > 0.9 and linear < 0.6


def test_noise_in_training_teaches_to_clean(digits):
    """What was set to 0 is rebuilt from the rest, on pictures that were not trained on."""
    settings = {"hidden_layer_sizes": (64,), "max_iter": 40, "random_state": 0}
    plain, cleaning = (Autoencoder(32, noise=noise, **settings).fit(digits[:450]) for noise in (0.0, 0.4))
    rest = digits[450:]
    damaged = rest * (np.random.default_rng(0).random(rest.shape) >= 0.4)

    errors = [((ae.reconstruct(damaged) - rest) ** 2).mean() for ae in (plain, cleaning)]

    assert errors[1] < 0.75 * errors[0]
    assert errors[1] < 0.6 * ((damaged - rest) ** 2).mean()


@pytest.mark.parametrize("shape", [(8, 7), (8, 7, 1), (5, 6, 2)])
def test_convolutions_bring_pictures_back_to_their_own_size(shape, tmp_path):
    waves = np.sin(np.arange(np.prod(shape)).reshape(shape) * np.linspace(0.1, 0.5, 30).reshape(30, *[1] * len(shape)))
    ae = Autoencoder(4, channels=(6, 9), max_iter=40, batch_size=10, learning_rate=0.01, random_state=0).fit(waves)

    assert ae.transform(waves).shape == (30, 4)
    assert ae.reconstruct(waves).shape == waves.shape
    assert ae.score(waves) > 0.5
    ae.save(tmp_path / "ae.safetensors")
    np.testing.assert_array_equal(load_estimator(tmp_path / "ae.safetensors").reconstruct(waves), ae.reconstruct(waves))


def test_a_line_between_two_codes_ends_at_both_pictures(digits):
    ae = Autoencoder(5, hidden_layer_sizes=(), max_iter=5, random_state=0).fit(digits)
    line = ae.interpolate(digits[0], digits[1], steps=7)
    assert line.shape == (7, 64)
    np.testing.assert_allclose(line[[0, -1]], ae.reconstruct(digits[:2]))
    np.testing.assert_allclose(line[3], line[[0, -1]].mean(0))  # the decoder is linear


def test_far_from_zero_the_data_is_learned_as_well():
    """Years in seconds, say: a float32 of 1e8 knows steps of 8 only."""
    t = np.random.default_rng(0).normal(size=200)
    X = np.column_stack([t, -2 * t])
    linear = {"hidden_layer_sizes": (), "learning_rate": 0.02, "max_iter": 30, "random_state": 0}
    near, far = (Autoencoder(1, **linear).fit(X + offset).score(X + offset) for offset in (0, 1e8))
    assert near > 0.999 and far == pytest.approx(near, abs=1e-3)


def test_what_has_no_variance_scores_one_or_zero():
    flat = np.full((6, 3), 4.0)
    ae = Autoencoder(1, hidden_layer_sizes=(), max_iter=1, random_state=0).fit(flat)
    assert ae.score(flat) == 0
    ae.decoder_["weights"]["linear1.bias"][:] = ae.decoder_["weights"]["linear1.weight"][:] = 0
    assert ae.score(flat) == 1


def test_one_number_stands_for_one_layer():
    X = np.random.default_rng(0).random((8, 5))
    one, other = (Autoencoder(1, hidden_layer_sizes=sizes, max_iter=2, random_state=0).fit(X) for sizes in (3, (3,)))
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    pictures = X[:, :, None] * np.ones(4)
    assert Autoencoder(1, channels=2, max_iter=1).fit(pictures).reconstruct(pictures).shape == (8, 5, 4)


def test_one_seed_gives_one_autoencoder(digits):
    one, two, other = (Autoencoder(2, max_iter=1, random_state=seed).fit(digits[:100]).transform(digits[:3]) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, other)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_components": 0}, "n_components must be at least 1, got 0"),
        ({"max_iter": 0}, "max_iter must be at least 1, got 0"),
        ({"hidden_layer_sizes": (8, 0)}, r"hidden_layer_sizes\[1\] must be at least 1, got 0"),
        ({"hidden_layer_sizes": "3"}, r"hidden_layer_sizes must be whole numbers such as \(64, 32\), got '3'"),
        ({"batch_size": 2.5}, r"batch_size must be a whole number, got 2\.5"),
        ({"activation": "rellu"}, "Activation: name: .*got 'rellu'"),
        ({"learning_rate": 0}, "learning_rate must be positive, got 0"),
        ({"noise": 1.0}, r"noise must be from 0 to below 1, got 1\.0"),
        ({"hidden_layer_sizes": (3,), "activation": "rellu"}, "Activation: name: .*got 'rellu'"),
        ({"hidden_layer_sizes": (3,), "channels": (4,)}, "hidden_layer_sizes is for rows and channels is for pictures, got both"),
        ({"channels": (4,)}, r"with channels, X must be pictures \(N, H, W\) or \(N, H, W, C\), got \(9, 5\)"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(UsageError, match=words):
        Autoencoder(**settings).fit(np.ones((9, 5)))


def test_bad_input_is_named():
    with pytest.raises(NotFittedError):
        Autoencoder().transform(np.ones((2, 2)))
    pictures = np.random.default_rng(0).random((6, 4, 5))
    with pytest.raises(NotFittedError):
        Autoencoder(channels=(3,)).score(pictures)
    ae = Autoencoder(channels=(3,), max_iter=1).fit(pictures)
    with pytest.raises(ShapeError, match=r"X has pictures of shape \(5, 4\), the autoencoder was fitted to \(4, 5\)"):
        ae.transform(pictures.transpose(0, 2, 1))
    with pytest.raises(ShapeError, match=r"codes must be \(N, 2\), got \(6, 3\)"):
        ae.inverse_transform(np.ones((6, 3)))
    with pytest.raises(UsageError, match="steps must be at least 1, got 0"):
        ae.interpolate(pictures[0], pictures[1], steps=0)
    pictures[2, 1, 1] = np.nan
    with pytest.raises(DataError, match="X must hold finite numbers"):
        ae.fit(pictures)
    with pytest.raises(NumericError, match="the loss is not finite in epoch 1"):
        Autoencoder(learning_rate=1e30, hidden_layer_sizes=(4,), max_iter=3, batch_size=2).fit(np.random.default_rng(0).random((50, 5)))
