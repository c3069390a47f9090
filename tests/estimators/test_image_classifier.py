"""The scikit-learn face: clone, cross-validation, labels as they came, and scikit-learn's own checks."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import (
    check_estimator_cloneable,
    check_estimator_repr,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)

import striate
from striate.apps.cli import main
from striate.core.errors import DataError, ShapeError, UnknownNameError, UsageError
from striate.data.arrays import as_images
from striate.data.sources import open_data
from striate.estimators.pictures.classifier import ImageClassifier
from striate.workflows.training.planning import resolve
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver


@pytest.fixture(scope="module")
def digits():
    split = open_data("digits").read("train")
    return split.images[:600], split.labels[:600]


def test_the_digits_are_learned_and_score_agrees_with_predict(digits):
    X, y = digits

    clf = ImageClassifier(network="compact_cnn", epochs=4, batch_size=32, crop_padding=0).fit(X[:450], y[:450])

    assert clf.score(X[450:], y[450:]) == (clf.predict(X[450:]) == y[450:]).mean() > 0.85
    np.testing.assert_allclose(clf.predict_proba(X[:5]).sum(1), 1)
    assert [row["epoch"] for row in clf.history_] == [1, 2, 3, 4]


def test_labels_come_back_as_they_came(digits):
    X, y = digits
    words = np.array(["even", "odd"])[y % 2]

    clf = ImageClassifier(epochs=1, batch_size=64).fit(X[:200, :, :, 0], words[:200])

    assert clf.classes_.tolist() == ["even", "odd"]
    assert set(clf.predict(X[:20, :, :, 0])) <= {"even", "odd"}


def test_a_clone_has_the_same_settings_and_gives_the_same_answers(digits):
    X, y = digits
    clf = ImageClassifier(epochs=1, random_state=5)

    first = clf.fit(X[:100], y[:100]).predict_proba(X[:7])
    again = clone(clf).fit(X[:100], y[:100]).predict_proba(X[:7])

    np.testing.assert_array_equal(first, again)


def test_pictures_are_changed_as_the_command_line_changes_them(digits):
    """The same record reaches the same batches: each setting alone gives other weights than none, and a name in two places the same."""
    X, y = digits[0][:60], digits[1][:60]
    settings = [
        {"crop_padding": 0},
        {},  # by a pixel, as pictures are grey
        {"mixup": 0.4},
        {"cutmix": 1.0},
        {"policy": "trivial"},
        {"erasing": 0.9},
        {"augmentation": {"rotation": 20.0}},
        {"augmentation": {"rotation": 20.0, "mixup": 0.4}},
    ]

    def fitted(**given):
        return ImageClassifier(epochs=1, batch_size=30, **given).fit(X, y).predict_proba(X[:3]).tobytes()

    answers = [fitted(**given) for given in settings]

    assert len(set(answers)) == len(settings)
    assert fitted(augmentation={"mixup": 0.4}) == answers[2]
    again = clone(ImageClassifier(epochs=1, batch_size=30, **settings[-1]))
    assert again.fit(X, y).predict_proba(X[:3]).tobytes() == answers[-1]


def test_a_change_that_there_is_not_is_refused_with_the_nearest_name(digits):
    X, y = digits
    with pytest.raises(UnknownNameError, match=r"unknown name in augmentation 'rotate'\nDid you mean rotation"):
        ImageClassifier(augmentation={"rotate": 5}).fit(X, y)
    with pytest.raises(UsageError, match="policy must be None or 'trivial', got 'rand'"):
        ImageClassifier(policy="rand").fit(X, y)


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_numpys_random_numbers_seed_a_training(digits, make):
    X, y = digits[0][:40], digits[1][:40]
    first, second, other = (ImageClassifier("lenet5", epochs=1, random_state=make(seed)).fit(X, y) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first.decision_function(X), second.decision_function(X))
    assert not np.array_equal(first.decision_function(X), other.decision_function(X))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"random_state": -1}, "random_state: must be at least 0, got -1"),
        ({"epochs": -1}, "epochs: must be at least 0, got -1"),
        ({"batch_size": "many"}, "batch_size: must be a whole number, got 'many'"),
        ({"mixup": -1.0}, r"mixup must not be negative, got -1\.0"),
    ],
)
def test_a_setting_that_is_out_of_range_is_named(digits, settings, words):
    with pytest.raises(UsageError, match=words):
        ImageClassifier("lenet5", **{"epochs": 1, **settings}).fit(digits[0][:20], digits[1][:20])


def test_cross_validation_of_scikit_learn_works_on_it(digits):
    X, y = digits

    scores = cross_val_score(ImageClassifier(epochs=5, batch_size=32), X[:400], y[:400], cv=2)

    assert scores.shape == (2,)
    assert scores.min() > 0.3


def test_lenet5_takes_smaller_pictures_by_padding_them():
    """28 x 28 pictures lie in the middle of LeNet-5's 32 x 32, as MNIST does in the paper."""
    X = np.zeros((12, 28, 28), np.uint8)
    X[::2, :14] = 255
    y = np.arange(12) % 2

    clf = striate.ImageClassifier(network="lenet5", epochs=1).fit(X, y)

    assert clf.model_.network.input_shape == (1, 32, 32)
    seen = clf.model_.read(X[:1])[0, :, :, 0]
    assert seen[:2].max() == seen[-2:].max() == 0
    np.testing.assert_array_equal(seen[2:30, 2:30], X[0])


def test_the_model_of_a_classifier_is_saved_and_loaded(digits, tmp_path):
    X, y = digits
    clf = ImageClassifier(epochs=1).fit(X[:100], y[:100])

    clf.model_.save(tmp_path / "model.safetensors")
    model = striate.load(tmp_path / "model.safetensors")

    np.testing.assert_array_equal(model.probabilities(X[:9]), clf.predict_proba(X[:9]))


@pytest.mark.parametrize(
    ("X", "y", "error", "words"),
    [
        (np.zeros((4, 8, 8), np.uint8), [1, 1, 1, 1], DataError, "y has one class"),
        (np.zeros((4, 8, 8), np.uint8), [1, 2, 1], DataError, "3 labels for 4 pictures"),
        (np.zeros((4, 64), np.uint8), [1, 2, 1, 2], DataError, r"X must be pictures \(n, h, w\)"),
        (np.full((4, 8, 8), 7.0), [1, 2, 1, 2], DataError, "floats from 7 to 7"),
        (np.full((4, 8, 8), np.nan), [1, 2, 1, 2], DataError, "NaN or Inf in 4 of 4 pictures"),
        (np.full((4, 8, 8), 256, np.int64), [1, 2, 1, 2], DataError, "got int64"),
    ],
)
def test_bad_pictures_and_labels_are_refused_in_words(X, y, error, words):
    with pytest.raises(error, match=words):
        ImageClassifier(epochs=1).fit(X, y)


def test_pictures_of_another_shape_are_refused_when_predicting(digits):
    X, y = digits
    clf = ImageClassifier(epochs=1).fit(X[:60], y[:60])

    with pytest.raises(ShapeError, match=r"pictures of shape \(9, 8, 1\), the classifier was fitted to \(8, 8, 1\)"):
        clf.predict(np.zeros((2, 9, 8), np.uint8))


@pytest.mark.parametrize(
    "check",
    [
        check_no_attributes_set_in_init,
        check_parameters_default_constructible,
        check_estimator_cloneable,
        check_get_params_invariance,
        check_set_params,
        check_estimator_repr,
    ],
)
def test_the_checks_of_scikit_learn_that_need_no_table_of_numbers_pass(check):
    check("ImageClassifier", ImageClassifier())


def test_predicting_before_fitting_is_scikit_learns_error():
    with pytest.raises(NotFittedError):
        ImageClassifier().predict(np.zeros((1, 8, 8), np.uint8))


def test_fitting_changes_neither_the_settings_nor_the_data(digits):
    X, y = digits[0][:60].copy(), digits[1][:60].copy()
    X.flags.writeable = y.flags.writeable = False
    clf = ImageClassifier(epochs=1)
    before = clf.get_params()

    clf.fit(X, y)

    assert clf.get_params() == before
    np.testing.assert_array_equal(X, digits[0][:60])


@pytest.mark.parametrize(("shape", "shift"), [((12, 10), 1), ((16, 24, 3), 3)])
def test_what_is_not_said_is_chosen_as_the_command_line_chooses_it(shape, shift):
    """Network, epochs, batch, rate and shift are those of `striate train` with the same arrays."""
    X, y = np.random.default_rng(0).integers(0, 256, (40, *shape), dtype=np.uint8), np.arange(40) % 2
    plan = resolve(TrainRequest(data=(X, y)), QuietObserver())
    classifier = ImageClassifier()
    network = classifier._described(as_images(X, "X"), 2)

    settings = classifier._settings(network, len(plan.train_set), "cross_entropy")
    classifier._shape = as_images(X, "X").shape[1:]

    assert network.name == plan.fitting.network.name
    assert settings == plan.fitting.settings
    assert classifier._changes(network, numbers=False) == plan.fitting.augmentation
    assert plan.fitting.augmentation.crop_padding == shift


def test_a_saved_classifier_is_opened_by_load_and_by_predict(tmp_path, capsys):
    X = np.zeros((20, 8, 8), np.uint8)
    X[10:, :, 4:] = 255
    with pytest.raises(NotFittedError):
        ImageClassifier().save(tmp_path / "model.safetensors")
    clf = ImageClassifier(network="compact_cnn", epochs=2, batch_size=10).fit(X, np.repeat(["left", "right"], 10))
    clf.save(tmp_path / "model.safetensors")
    Image.fromarray(X[0]).save(tmp_path / "one.png")

    np.testing.assert_allclose(striate.load(tmp_path / "model.safetensors").probabilities(clf._seen(X)), clf.predict_proba(X), atol=1e-7)
    with pytest.raises(SystemExit) as ended:
        main(["predict", str(tmp_path / "model.safetensors"), str(tmp_path / "one.png")])
    assert not ended.value.code
    assert clf.predict(X[:1])[0] in capsys.readouterr().out


def test_tensors_are_learned_from_also_where_they_have_a_gradient(digits):
    X, y = digits[0][:40], digits[1][:40]
    tensors = torch.from_numpy(X / 255).requires_grad_(), torch.from_numpy(y).double().requires_grad_()

    answers = ImageClassifier(epochs=1).fit(*tensors).predict_proba(X[:3])

    np.testing.assert_array_equal(answers, ImageClassifier(epochs=1).fit(X, y).predict_proba(X[:3]))


@pytest.mark.parametrize("field", ["epochs", "batch_size"])
def test_a_truth_value_is_no_count(digits, field):
    with pytest.raises(UsageError, match=rf"{field} must be a whole number"):
        ImageClassifier(**{field: True}).fit(digits[0][:40], digits[1][:40])
