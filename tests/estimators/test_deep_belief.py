"""The deep belief network: its conditionals against enumeration, its training layer by layer, and its samples."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from striate.core.errors import DataError, NumericError, UsageError
from striate.core.images import ImageSpec
from striate.data.sources import open_data
from striate.estimators import DeepBelief, load_estimator

SMALL = DeepBelief((40, 40), pretrain_max_iter=2, max_iter=15, learning_rate=0.01, dropout=0, random_state=0, device="cpu")


def states(count: int) -> np.ndarray:
    return np.array(list(itertools.product((0.0, 1.0), repeat=count)))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.25, stratify=y, random_state=0)


@pytest.fixture(scope="module")
def fitted(digits) -> DeepBelief:
    """At the defaults, but for shorter fine-tuning."""
    X_train, _, y_train, _ = digits
    return DeepBelief(max_iter=10, random_state=0, device="cpu").fit(X_train, y_train)


@parametrize_with_checks([SMALL])
def test_scikit_learn_accepts_the_network(estimator, check):
    check(estimator)


@pytest.mark.row("003-32")
def test_each_layer_learns_to_reconstruct_and_the_whole_classifies(fitted, digits):
    _, X_test, _, y_test = digits
    for errors in fitted.reconstruction_errors_:
        assert len(errors) == 78  # before training, and after each epoch
        assert errors[-1] < 0.7 * errors[0]
    assert fitted.score(X_test, y_test) >= 0.95
    assert np.mean(fitted.classes_[fitted.machine_proba(X_test).argmax(1)] == y_test) >= 0.8  # before any back-propagation
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]


@pytest.mark.row("003-32")
def test_samples_of_a_label_look_like_it(fitted, digits):
    """A judge of the training digits reads the label that was asked for, where ten epochs of pre-training gave 57 to 65 %."""
    X_train, _, y_train, _ = digits
    judge = KNeighborsClassifier(3).fit(X_train, y_train)
    assert np.mean([np.mean(judge.predict(fitted.sample(30, label)) == label) for label in range(10)]) >= 0.8
    assert fitted.sample(4, n_steps=5).shape == (4, 64)


@pytest.mark.row("003-32")
def test_both_conditionals_are_those_of_the_enumeration():
    """One machine over 3 units and 2 labels: P(v, label) is proportional to the sum over h of e^-E, by hand."""
    generator = np.random.default_rng(0)
    net = DeepBelief((4,), max_iter=0, pretrain_max_iter=1, random_state=0, device="cpu").fit(np.eye(3)[[0, 1, 2, 0]], [5, 7, 7, 5])
    weights, hidden, visible = generator.normal(size=(4, 5)) * 1.5, generator.normal(size=4), generator.normal(size=5)
    net.machines_ = [{"weights": weights, "hidden": hidden, "visible": visible}]
    log_p = np.empty((8, 2))
    for (place, v), label in itertools.product(enumerate(states(3)), range(2)):
        both = np.concatenate([v, np.eye(2)[label]])
        log_p[place, label] = logsumexp([visible @ both + hidden @ h + h @ weights @ both for h in states(4)])

    np.testing.assert_allclose(net.predict_proba(states(3)), np.exp(log_p - logsumexp(log_p, axis=1, keepdims=True)), rtol=1e-10)
    p_of_v = np.exp(log_p[:, 1] - logsumexp(log_p[:, 1]))
    np.testing.assert_allclose(net.sample(20_000, 7, n_steps=40).mean(0), p_of_v @ states(3), atol=0.02)
    p_of_v = np.exp(logsumexp(log_p, axis=1) - logsumexp(log_p))
    np.testing.assert_allclose(net.sample(20_000, n_steps=40).mean(0), p_of_v @ states(3), atol=0.02)


def test_the_network_begins_as_the_machines(digits):
    X = digits[0][:60]
    net = DeepBelief((9, 7), max_iter=1, learning_rate=1e-12, random_state=0, device="cpu").fit(X, digits[2][:60])
    shares = X
    for machine in net.machines_:
        shares = expit(machine["hidden"] + shares @ machine["weights"][:, : shares.shape[1]].T)
    scores = shares @ net.machines_[-1]["weights"][:, 9:] + net.machines_[-1]["visible"][9:]
    np.testing.assert_allclose(net.predict_proba(X), np.exp(scores - logsumexp(scores, axis=1, keepdims=True)), atol=1e-6)


def test_real_numbers_are_learned_and_drawn_in_their_own_units():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 400)
    X = np.array([[100.0, -3, 0], [140, 3, 0]])[y] + generator.normal(size=(400, 3)) * [4, 0.5, 1]
    for sizes in ((8,), (8, 6)):
        net = DeepBelief(sizes, batch_size=10, pretrain_max_iter=60, random_state=0, device="cpu").fit(X, y)
        assert net.visible_ == "gaussian" and net.score(X, y) > 0.99
        low, high = net.sample(200, 0, n_steps=100).mean(0), net.sample(200, 1, n_steps=100).mean(0)
        assert abs(low[0] - 100) < 12 and abs(high[0] - 140) < 12 and low[1] < -1 < 1 < high[1]


def test_a_network_survives_its_file(fitted, digits, tmp_path):
    fitted.save(tmp_path / "net.safetensors")
    again = load_estimator(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(again.predict_proba(digits[1]), fitted.predict_proba(digits[1]))
    np.testing.assert_array_equal(again.sample(3, 4, n_steps=3), fitted.sample(3, 4, n_steps=3))
    assert again.get_params() == fitted.get_params()


@pytest.mark.release
@pytest.mark.row("001-4")
@pytest.mark.needs("MNIST/raw")
def test_pretraining_helps_sigmoids_where_labels_are_few(data_dir):
    """1,000 pictures of MNIST, five hidden layers; the same epochs of fine-tuning from fresh weights, three seeds each."""
    source = open_data("mnist", data_dir=data_dir)
    spec = ImageSpec(height=28, width=28, channels=1, mean=(0.0,), std=(1.0,))
    train, test = (source.read(split, spec=spec) for split in ("train", "test"))
    X, X_test = train.images[:1000].reshape(1000, 784) / 255, test.images[:2000].reshape(2000, 784) / 255
    gains = []
    for seed in range(3):
        settings = {"max_iter": 30, "batch_size": 20, "random_state": seed, "device": "cpu"}
        fresh, before = (DeepBelief((128,) * 3, pretrain_max_iter=epochs, **settings) for epochs in (0, 20))
        gains.append(before.fit(X, train.labels[:1000]).score(X_test, test.labels[:2000]))
        gains[-1] -= fresh.fit(X, train.labels[:1000]).score(X_test, test.labels[:2000])
    assert min(gains) > 0


def test_bad_input_is_named():
    X, y = np.eye(4), [0, 1, 0, 1]
    with pytest.raises(DataError, match=r"X must be from 0 to 1 where the visible units are binary, got 3\nMake it binary first"):
        DeepBelief(visible="binary").fit(3 * X, y)
    for settings, words in (
        ({"visible": "ternary"}, "visible must be auto, binary or gaussian, got 'ternary'"),
        ({"hidden_layer_sizes": ()}, r"hidden_layer_sizes must be one or more positive numbers, got \(\)"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"hidden_layer_sizes": (4, 2.5)}, r"hidden_layer_sizes\[1\] must be a whole number, got 2\.5"),
        ({"max_iter": 0, "pretrain_max_iter": 0}, "both 0: nothing would be learned"),
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"dropout": 1}, r"dropout from 0 to below 1, got \(0.003, 0.1, 1\)"),
    ):
        with pytest.raises(UsageError, match=words):
            DeepBelief(**settings).fit(X, y)
    with pytest.raises(UsageError, match="y must hold at least two classes, got one class: 1"):
        DeepBelief().fit(X, [1, 1, 1, 1])
    net = DeepBelief((3,), pretrain_max_iter=0, max_iter=1, device="cpu").fit(X, y)
    with pytest.raises(UsageError, match="pretrain_max_iter was 0: there are no trained machines"):
        net.sample(1, 0)
    net = DeepBelief((3,), max_iter=1, pretrain_max_iter=1, device="cpu").fit(X, y)
    with pytest.raises(UsageError, match=r"label 9 was not in the training data\nKnown: 0, 1"):
        net.sample(1, 9)
    with pytest.raises(UsageError, match=r"label \[0, 1\] was not in the training data"):
        net.sample(1, [0, 1])
    with pytest.raises(DataError, match="got -1"):
        net.predict([[0, -1, 0, 0]])
    with pytest.raises(NumericError, match="the loss is not finite in epoch 2 of fine-tuning\nLower learning_rate"):
        DeepBelief((3,), max_iter=3, learning_rate=1e38, dropout=0, device="cpu").fit(X, y)
