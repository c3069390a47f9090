"""The scikit-learn face of regression: numbers in the user's units, and scikit-learn's own checks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import r2_score
from sklearn.utils.estimator_checks import (
    check_estimator_cloneable,
    check_estimator_repr,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)

import striate
from striate.core.errors import DataError, ShapeError, UsageError
from striate.estimators.pictures.regressor import ImageRegressor
from striate.networks.layers import Activation, Chain, Conv, Flatten, Linear, Pool
from striate.networks.network import Network


def tiny(outputs: int) -> Network:
    return Network("tiny", (1, 6, 8), Chain(Conv(4, 3, padding=1), Activation("relu"), Pool("max", 2), Flatten(), Linear(outputs)))


def brightness(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures whose left and right halves have a brightness each; the numbers are their means, in odd units."""
    rng = np.random.default_rng(seed)
    halves = rng.integers(30, 220, (count, 2))
    X = np.repeat(np.repeat(halves[:, None, :], 6, axis=1), 4, axis=2) + rng.integers(0, 20, (count, 6, 8))
    return X.astype(np.uint8), halves * [1000.0, -0.01] + [5e6, 3.0]


@pytest.fixture(scope="module")
def fitted() -> ImageRegressor:
    return ImageRegressor(network=tiny(2), epochs=25, batch_size=20, learning_rate=0.01).fit(*brightness(200, 0))


def test_numbers_come_back_in_the_units_they_came_in_and_score_is_r2(fitted):
    X, y = brightness(50, 1)
    predicted = fitted.predict(X)
    assert predicted.shape == (50, 2) and fitted.n_outputs_ == 2
    assert fitted.score(X, y) == pytest.approx(r2_score(y, predicted))
    assert fitted.score(X, y) > 0.95
    assert [row["epoch"] for row in fitted.history_] == list(range(1, 26))


def test_the_model_file_gives_the_same_numbers(fitted, tmp_path):
    X, _ = brightness(5, 1)
    fitted.model_.save(tmp_path / "model.safetensors")
    again = striate.load(tmp_path / "model.safetensors").predict(X)
    np.testing.assert_array_equal([[item.values["y0"], item.values["y1"]] for item in again], fitted.predict(X))


def test_one_number_keeps_the_shape_of_y_and_a_clone_repeats_it():
    X, y = brightness(40, 0)
    reg = ImageRegressor(network=tiny(1), epochs=1, batch_size=20)
    flat = reg.fit(X, y[:, 0]).predict(X)
    assert flat.shape == (40,)
    np.testing.assert_array_equal(clone(reg).fit(X, y[:, :1]).predict(X), flat[:, None])


def test_scikit_learn_takes_it_for_a_regressor():
    assert is_regressor(ImageRegressor())
    for check in (
        check_estimator_cloneable,
        check_estimator_repr,
        check_get_params_invariance,
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_set_params,
    ):
        check("ImageRegressor", ImageRegressor())


def test_what_cannot_be_fitted_or_predicted_is_said(fitted):
    X, y = brightness(10, 0)
    with pytest.raises(DataError, match=r"y must be finite numbers, but row 3 holds \[nan\]"):
        ImageRegressor().fit(X, np.where(np.arange(10) == 3, np.nan, 1.0))
    with pytest.raises(DataError, match="y has 9 rows for 10 pictures"):
        ImageRegressor().fit(X, y[:9])
    with pytest.raises(ShapeError, match=r"pictures of shape \(6, 7, 1\), the regressor was fitted to \(6, 8, 1\)"):
        fitted.predict(X[:, :, :7])
    with pytest.raises(NotFittedError):
        ImageRegressor().predict(X)
    with pytest.raises(UsageError, match="which have no probabilities"):
        fitted.model_.probabilities(X[..., None])
