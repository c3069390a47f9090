"""Cells that organise themselves: the published equations by hand, one plane for each pattern, and features that help."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import ShapeError, UsageError
from striate.estimators import Cognitron, load_estimator


@parametrize_with_checks([Cognitron((3, 4))])
def test_scikit_learn_accepts_the_cognitron(estimator, check):
    check(estimator)


def bars() -> np.ndarray:
    pictures = np.zeros((4, 7, 9))
    pictures[0, 3, 2:7] = pictures[1, 1:6, 4] = 1
    pictures[2, range(1, 6), range(2, 7)] = pictures[3, range(5, 0, -1), range(2, 7)] = 1
    return pictures


def test_cells_respond_by_the_published_equations():
    """One picture, every sum by hand, with windows of 3 x 3."""
    generator = np.random.default_rng(0)
    pictures = generator.uniform(size=(6, 4, 5, 2))
    net = Cognitron((3,), kernel_size=3, recognition_selectivity=1.5, random_state=0).fit(pictures)
    simple, complex_ = net.layers(pictures)

    c = np.array([[0.9 ** np.hypot(row, column) for column in (-1, 0, 1)] for row in (-1, 0, 1)])
    c = c / (4 * c.sum())  # two channels, each ON and OFF
    picture = np.pad(pictures[2].transpose(2, 0, 1), ((0, 2), (1, 1), (1, 1)))  # OFF cells are silent
    for k in range(3):
        for row in range(4):
            for column in range(5):
                u = picture[:, row : row + 3, column : column + 3]
                v = np.sqrt((c * u**2).sum())
                excited = (net.excitatory_[0][k] * u).sum()
                s = 1.5 * max(0, (1 + excited) / (1 + 1.5 / 2.5 * net.inhibitory_[0][k] * v) - 1)
                assert simple[2, k, row, column] == pytest.approx(s, abs=1e-12)
    windows = simple[2][:, 2:4, 2:4].mean((1, 2))
    x = np.maximum(0, (1 + windows) / (1 + windows.mean()) - 1)
    np.testing.assert_allclose(complex_[2][:, 1, 1], x / (0.5 + x), atol=1e-12)


@pytest.mark.row("003-5")
def test_what_a_cell_has_learned_it_knows_again_by_its_angle():
    generator = np.random.default_rng(0)
    pattern, other = generator.uniform(size=(2, 5, 5))
    net = Cognitron((1,), recognition_selectivity=2.0, learning_rate=1e9, competition_size=5, random_state=0).fit(pattern[None])
    place = np.unravel_index(net.layers(pattern[None])[0][0, 0].argmax(), (5, 5))
    assert net.layers(pattern[None])[0][0, 0][place] == pytest.approx(1, abs=1e-5)  # (r + 1) cos 0 - r
    c = np.array([[0.9 ** np.hypot(row, column) for column in range(-2, 3)] for row in range(-2, 3)])
    around = [np.pad(picture, 2)[place[0] : place[0] + 5, place[1] : place[1] + 5] for picture in (pattern, other)]
    cos = (c * around[0] * around[1]).sum() / np.sqrt((c * around[0] ** 2).sum() * (c * around[1] ** 2).sum())
    assert 2 / 3 < cos < 1
    assert net.layers(other[None])[0][0, 0][place] == pytest.approx(3 * cos - 2, abs=1e-5)


@pytest.mark.row("003-5")
def test_each_pattern_gets_a_plane_of_its_own():
    pictures = bars()
    net = Cognitron((6,), competition_size=17, random_state=0).fit(np.tile(pictures, (5, 1, 1)))
    winners = net.layers(pictures)[0].max((2, 3)).argmax(1)
    assert len(set(winners)) == 4
    assert (net.inhibitory_[0][winners] > 0).all()


def test_one_winner_a_plane_learns_and_only_where_there_is_something():
    picture = np.zeros((1, 7, 9))
    picture[0, 3, 4] = 1
    net = Cognitron((2,), kernel_size=3, learning_rate=2.0, competition_size=9, random_state=0).fit(picture)
    assert sorted(net.inhibitory_[0] > 0) == [False, True]  # one neighbourhood, one winner
    learned = net.excitatory_[0][net.inhibitory_[0].argmax()][0]
    c = np.array([[0.9 ** np.hypot(row, column) for column in (-1, 0, 1)] for row in (-1, 0, 1)])
    c = c / (2 * c.sum())
    row, column = np.unravel_index(learned.argmax(), (3, 3))
    assert learned[row, column] == pytest.approx(2 * c[row, column], rel=1e-3)  # q c u
    assert net.inhibitory_[0].max() == pytest.approx(2 * np.sqrt(c[row, column]))  # q v
    silent = Cognitron((2,), random_state=0).fit(np.zeros((3, 7, 9)))
    assert (silent.inhibitory_[0] == 0).all() and (silent.transform(np.zeros((1, 7, 9))) == 0).all()


def test_a_shifted_picture_shifts_the_s_cells_and_moves_the_c_cells_less():
    pictures = np.zeros((1, 12, 14))
    pictures[0, 3:8, 4:9] = bars()[0][1:6, 2:7]
    moved = np.roll(pictures, 1, axis=2)
    net = Cognitron((6,), pool_size=3, random_state=0).fit(np.tile(bars(), (5, 1, 1)))
    net.shape_ = (12, 14, 1)  # the same cells on a larger retina
    net.n_features_in_ = 12
    s, c = net.layers(pictures)
    s_moved, c_moved = net.layers(moved)
    np.testing.assert_allclose(s_moved, np.roll(s, 1, axis=3), atol=1e-12)

    def change(before, after):
        return np.linalg.norm(before - after) / np.linalg.norm(before)

    assert change(c, c_moved) < 0.8 * change(s, s_moved)


def test_negative_inputs_are_seen_by_off_cells():
    picture = np.zeros((1, 5, 6))
    picture[0, 2, 3] = -1
    net = Cognitron((2,), random_state=0).fit(picture)
    assert net.transform(picture).max() > 0 and net.transform(-picture).max() < 1e-3


def test_features_of_unlabelled_digits_help_where_labels_are_few(tmp_path):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).reshape(-1, 8, 8)
    features = Cognitron((64,), random_state=0).fit(X[:400])
    learned = SVC(kernel="linear", C=10).fit(features.transform(X[:100]), y[:100]).score(features.transform(X[1000:]), y[1000:])
    raw = SVC(kernel="linear", C=10).fit(X[:100].reshape(100, -1), y[:100]).score(X[1000:].reshape(-1, 64), y[1000:])
    assert learned > raw > 0.8
    features.save(tmp_path / "features.safetensors")
    np.testing.assert_array_equal(load_estimator(tmp_path / "features.safetensors").transform(X[:9]), features.transform(X[:9]))


def test_rows_and_colours_and_bytes_are_pictures_too():
    generator = np.random.default_rng(0)
    levels = generator.integers(0, 256, (8, 6, 7, 3), dtype=np.uint8)
    net = make_pipeline(Cognitron((5, 4), random_state=0)).fit(levels)
    assert net.transform(levels).shape == (8, 4 * 2 * 2)
    np.testing.assert_allclose(net.transform(levels / 255), net.transform(levels), atol=1e-12)
    rows = Cognitron((5,), random_state=0).fit(generator.normal(size=(8, 11)))
    assert rows.get_feature_names_out()[-1] == f"cognitron{5 * 6 - 1}"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"planes": ()}, r"planes must be a number of at least 1 for each stage, got \(\)"),
        ({"kernel_size": 4}, "kernel_size must be odd, got 4"),
        ({"competition_size": 0}, "competition_size must be at least 1, got 0"),
        ({"planes": (3, 0)}, r"planes\[1\] must be at least 1, got 0"),
        ({"planes": "3"}, r"planes must be whole numbers such as \(64, 32\), got '3'"),
        ({"max_iter": 1.5}, r"max_iter must be a whole number, got 1\.5"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number, got nan"),
        ({"pool_size": 0}, "pool_size must be at least 1, got 0"),
        ({"selectivity": 0}, "selectivity must be positive, got 0"),
    ],
)
def test_a_setting_of_the_cognitron_out_of_its_range_is_named(settings, words):
    with pytest.raises(UsageError, match=words):
        Cognitron(**settings).fit(bars())


def test_one_number_of_planes_is_one_stage():
    one, other = (Cognitron(planes, random_state=0).fit(bars()) for planes in (2, (2,)))
    np.testing.assert_array_equal(one.transform(bars()), other.transform(bars()))


def test_pictures_of_another_shape_are_named():
    net = Cognitron((2,), random_state=0).fit(bars())
    with pytest.raises(ShapeError, match=r"X has pictures of shape \(7, 8, 1\), the Cognitron was fitted to \(7, 9, 1\)"):
        net.transform(np.zeros((2, 7, 8)))
    with pytest.raises(ShapeError, match=r"X must be pictures \(N, h, w\) or \(N, h, w, c\), or rows \(N, w\), got \(1, 2, 2, 2, 2\)"):
        Cognitron().fit(np.zeros((1, 2, 2, 2, 2)))
