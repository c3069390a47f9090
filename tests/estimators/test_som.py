"""The self-organizing map: order on the grid, and errors no larger than a peer's."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import UsageError
from striate.estimators import SelfOrganizingMap, load_estimator


@pytest.fixture(scope="module")
def irises():
    X = load_iris().data
    return (X - X.mean(0)) / X.std(0)


@parametrize_with_checks([SelfOrganizingMap(rows=3, columns=4, max_iter=5)])
def test_scikit_learn_accepts_the_map(estimator, check):
    check(estimator)


@pytest.mark.row("003-8", "003-7")
@pytest.mark.parametrize("settings", [{}, {"grid": "hexagonal"}, {"update": "online", "max_iter": 40, "sigma": 2.0}])
def test_the_map_is_ordered_and_close_to_the_irises(irises, settings):
    """MiniSom (8 x 8, sigma 2, rate 0.5, 10,000 steps) reaches 0.298 to 0.321; random weights stand at about 1.1."""
    before = SelfOrganizingMap(random_state=1, max_iter=0).fit(irises)
    som = SelfOrganizingMap(random_state=1, **settings).fit(irises)
    assert som.quantization_error(irises) <= 1.15 * 0.298
    assert som.quantization_error(irises) <= 0.4 * before.quantization_error(irises)
    assert som.topographic_error(irises) <= 0.10 < before.topographic_error(irises)


def test_a_batch_epoch_is_the_weighted_mean_of_all_samples(irises):
    som = SelfOrganizingMap(3, 5, max_iter=1, sigma=1.3, random_state=0).fit(irises)
    start = SelfOrganizingMap(3, 5, max_iter=0, random_state=0).fit(irises).weights_.reshape(15, 4)
    total, mass = np.zeros((15, 4)), np.zeros(15)
    for x in irises:
        winner = ((x - start) ** 2).sum(1).argmin()
        for unit in range(15):
            far = (unit // 5 - winner // 5) ** 2 + (unit % 5 - winner % 5) ** 2
            h = np.exp(-far / (2 * 1.3**2))
            total[unit] += h * x
            mass[unit] += h
    np.testing.assert_allclose(som.weights_.reshape(15, 4), total / mass[:, None], atol=1e-10)


def test_the_reach_begins_at_sigma_also_where_it_ends_wider(irises):
    narrow, wide = (SelfOrganizingMap(3, 5, max_iter=1, sigma=sigma, sigma_end=2.0, random_state=0).fit(irises) for sigma in (0.5, 2.0))
    alone = SelfOrganizingMap(3, 5, max_iter=1, sigma=0.5, sigma_end=0.1, random_state=0).fit(irises)
    np.testing.assert_array_equal(narrow.weights_, alone.weights_)
    assert not np.allclose(narrow.weights_, wide.weights_)


def test_an_online_step_pulls_the_winner_and_its_neighbours():
    som = SelfOrganizingMap(1, 3, learning_rate=0.5, sigma_end=1.0, random_state=0).partial_fit([[0.0], [1.0], [2.0]])
    before, x = som.weights_.ravel().copy(), 1.7
    som.partial_fit([[x]])
    winner = np.abs(before - x).argmin()
    expected = before + 0.5 * np.exp(-((np.arange(3) - winner) ** 2) / 2) * (x - before)
    np.testing.assert_allclose(som.weights_.ravel(), expected, atol=1e-12)


def test_neighbours_on_a_hexagonal_grid_are_six():
    som = SelfOrganizingMap(5, 5, grid="hexagonal", max_iter=0).fit(np.eye(25))
    far = ((som.positions_ - som.positions_[12]) ** 2).sum(1)
    assert (np.abs(far - 1) < 1e-9).sum() == 6


def test_errors_and_u_matrix_of_a_hexagonal_map_are_those_of_its_neighbours(irises):
    som = SelfOrganizingMap(4, 5, grid="hexagonal", max_iter=2, sigma=1.0, random_state=0).fit(irises)  # not yet in order
    weights = som.weights_.reshape(20, 4)
    places = [(r * np.sqrt(0.75), c + r % 2 / 2) for r in range(4) for c in range(5)]
    near = np.array([[a != b and np.hypot(a[0] - b[0], a[1] - b[1]) < 1.01 for b in places] for a in places])
    two = np.argsort(np.linalg.norm(irises[:, None] - weights, axis=2), axis=1)[:, :2]
    assert som.topographic_error(irises) == np.mean([not near[first, second] for first, second in two]) > 0
    mean = [np.mean([np.linalg.norm(weights[a] - weights[b]) for b in range(20) if near[a, b]]) for a in range(20)]
    np.testing.assert_allclose(som.u_matrix().ravel(), mean)


def test_the_u_matrix_shows_the_wall_between_two_groups():
    som = SelfOrganizingMap(1, 4).fit(np.zeros((2, 3)))
    som.weights_[0, :, 0] = [0, 1, 5, 6]
    np.testing.assert_allclose(som.u_matrix(), [[1, 2.5, 2.5, 1]])
    assert som.component_planes().shape == (3, 1, 4)
    assert som.topographic_error([[0.0, 0, 0], [5.2, 0, 0]]) == 0
    som.weights_[0, :, 0] = [0, 6, 1, 5]
    assert som.topographic_error([[0.1, 0, 0], [5.2, 0, 0]]) == 1


def test_a_map_survives_its_file(irises, tmp_path):
    som = SelfOrganizingMap(4, 6, max_iter=5, random_state=0).fit(irises)
    som.save(tmp_path / "map.safetensors")
    again = load_estimator(tmp_path / "map.safetensors")
    np.testing.assert_array_equal(again.transform(irises), som.transform(irises))
    assert again.topographic_error(irises) == som.topographic_error(irises)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rows": 0}, "rows must be at least 1, got 0"),
        ({"columns": 2.5}, r"columns must be a whole number, got 2\.5"),
        ({"max_iter": -1}, "max_iter must be at least 0, got -1"),
        ({"learning_rate": 0}, "learning_rate must be above 0 and at most 1, got 0"),
        ({"sigma": float("nan")}, "sigma must be a number, got nan"),
        ({"grid": "round"}, "grid must be rectangular or hexagonal, got 'round'"),
        ({"update": "lazy"}, "update must be batch or online, got 'lazy'"),
        ({"init": "zero"}, "init must be random or samples, got 'zero'"),
        ({"sigma": -1}, "sigma and sigma_end must be positive, got -1 and 0.6"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(UsageError, match=words):
        SelfOrganizingMap(**settings).fit(np.eye(3))
