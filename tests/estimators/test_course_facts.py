"""What a first course says of networks: inputs and outputs, chosen layers, one backward pass, and a layer found again by its answers."""

import numpy as np
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder
from torch.nn import functional as F

from striate.estimators import (
    Autoencoder,
    DeepBelief,
    ImageClassifier,
    ImageFeatures,
    LSTMClassifier,
    MultilayerPerceptron,
    MultilayerRegressor,
    Perceptron,
    RestrictedBoltzmann,
    SelfOrganizingMap,
    explain_step,
)
from striate.networks.layers import Activation, Chain, Flatten, Linear
from striate.networks.network import Network


@pytest.mark.row("003-11")
def test_a_table_of_numbers_and_categories_reaches_the_network_as_the_course_wants():
    generator = np.random.default_rng(0)
    size, kind = generator.uniform(10, 90, 120), generator.integers(3, size=120)
    X = np.column_stack([size, np.full(120, 7.0), kind])  # the second column is constant
    scaled = make_column_transformer((MinMaxScaler(), [0, 1]), (OneHotEncoder(handle_unknown="ignore"), [2]), sparse_threshold=0)
    for y, outputs in (((size > 50) ^ (kind == 1), 1), (kind, 3)):
        net = make_pipeline(scaled, MultilayerPerceptron((8,), random_state=0)).fit(X[:90], y[:90])
        assert net[1].n_features_in_ == 2 + 3  # one input for each category
        assert net[1].coefs_[-1].shape[1] == outputs  # two classes have one output, three have three
        assert net.score(X[90:], y[90:]) > 0.85
    inside = net[0].transform(X[:90])
    assert inside.min() == 0 and inside.max() == 1 and (inside[:, 1] == 0).all()
    assert (inside[:, 2:].sum(1) == 1).all()
    outside = net[0].transform(np.array([[170.0, 7.0, 9.0]]))  # its range and categories are those of the training
    low, high = size[:90].min(), size[:90].max()
    np.testing.assert_allclose(outside, [[(170 - low) / (high - low), 0, 0, 0, 0]])


@pytest.mark.row("003-2")
def test_one_layer_divides_by_a_line_and_two_layers_by_more():
    """The same units and the same rule: what differs is the topology."""
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
    conjunction, exclusive = np.array([0, 0, 0, 1]), np.array([0, 1, 1, 0])
    one_layer, two_layers = (MultilayerPerceptron(hidden, learning_rate=0.5, max_iter=2_000, random_state=0) for hidden in ((), (4,)))
    assert one_layer.fit(X, conjunction).score(X, conjunction) == 1
    assert one_layer.fit(X, exclusive).score(X, exclusive) <= 0.75
    assert two_layers.fit(X, exclusive).score(X, exclusive) == 1


@pytest.mark.row("003-37")
def test_hidden_layers_and_activations_are_as_chosen():
    layers = Chain(Flatten(), Linear(7), Activation("relu"), Linear(5), Activation("tanh"), Linear(3))
    network = Network("chosen", (1, 4, 6), layers)
    assert network.params == (24 * 7 + 7) + (7 * 5 + 5) + (5 * 3 + 3)
    module = network.build().double()
    x = torch.randn(2, 1, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w1, b1, w2, b2, w3, b3 = (parameter.detach().numpy() for parameter in module.parameters())
    by_hand = np.tanh(np.maximum(0, x.flatten(1).numpy() @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    np.testing.assert_allclose(module(x).detach(), by_hand, atol=1e-12)

    place = np.arange(90) % 3
    X = np.random.default_rng(0).integers(0, 90, (90, 4, 6), dtype=np.uint8)
    X[np.arange(90), :, 2 * place] = 255
    solved = ImageClassifier(network, epochs=30, batch_size=16).fit(X[:60], place[:60])
    assert solved.score(X[60:], place[60:]) == 1


@pytest.mark.row("003-39")
def test_a_layer_of_one_relu_is_found_again_by_its_answers():
    """Teacher and student: y = max(0, w . x + b) on 1,000 Gaussian samples gives w and b back."""
    generator = torch.Generator().manual_seed(0)
    w, b = torch.tensor([1.5, -0.7, 0.3, 2.0], dtype=torch.float64), 0.4
    x = torch.randn(1000, 4, dtype=torch.float64, generator=generator)
    answers = (x @ w + b).clamp(min=0)
    for seed in range(3):
        torch.manual_seed(seed)
        student = Chain(Linear(1), Activation("relu")).build((4,)).double()
        weight, bias = parameters = list(student.parameters())
        rate = 1.0
        for _ in range(100):  # plain descent
            gradients = torch.autograd.grad(F.mse_loss(student(x)[:, 0], answers), parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.sub_(rate * gradient)
        np.testing.assert_allclose(weight.detach()[0], w, atol=1e-3)
        assert bias.item() == pytest.approx(b, abs=1e-3)
        unit = MultilayerRegressor((), output_activation="relu", random_state=seed).fit(x.numpy(), answers.numpy())
        np.testing.assert_allclose(unit.coefs_[0][:, 0], w, atol=1e-3)
        assert unit.intercepts_[0][0] == pytest.approx(b, abs=1e-3)


@pytest.mark.row("003-40")
def test_one_backward_pass_gives_the_gradients_of_all_layers():
    network = Network("three", (1, 3, 4), Chain(Flatten(), Linear(6), Activation("tanh"), Linear(5), Activation("tanh"), Linear(2)))
    module = network.build().double()
    x = torch.randn(7, 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    layers = [part for part in module.modules() if isinstance(part, torch.nn.Linear)]
    visits: list[int] = []
    for place, layer in enumerate(layers):
        layer.register_full_backward_hook(lambda *_, place=place: visits.append(place))
    F.cross_entropy(module(x), torch.arange(7) % 2).backward()
    assert visits == [2, 1, 0]  # once each, from the last to the first
    for layer in layers:
        before, step = layer.weight.detach().clone(), 1e-6
        changes = []
        for sign in (1, -1):
            with torch.no_grad():
                layer.weight[0, 0] = before[0, 0] + sign * step
                changes.append(F.cross_entropy(module(x), torch.arange(7) % 2).item())
                layer.weight.copy_(before)
        assert layer.weight.grad[0, 0].item() == pytest.approx((changes[0] - changes[1]) / (2 * step), abs=1e-8)


@pytest.mark.row("003-12")
@pytest.mark.row("003-40")
def test_the_errors_of_a_hidden_layer_come_from_weights_before_the_update():
    """The textbook's formulas by hand for 2-2-1; corrected layer by layer, the hidden errors would be others."""
    hidden, output = np.array([[0.3, -0.5], [0.8, 0.1]]), np.array([[0.6], [-0.4]])
    x, target, rate = np.array([1.0, 0.5]), 1.0, 0.7
    step = explain_step([hidden, output], [[0.1, -0.2], [0.05]], x, target, learning_rate=rate)

    nets = [0.3 * 1 + 0.8 * 0.5 + 0.1, -0.5 * 1 + 0.1 * 0.5 - 0.2]
    outs = [1 / (1 + np.exp(-net)) for net in nets]
    answer = 1 / (1 + np.exp(-(0.6 * outs[0] - 0.4 * outs[1] + 0.05)))
    error = answer * (1 - answer) * (target - answer)
    errors = [outs[0] * (1 - outs[0]) * error * 0.6, outs[1] * (1 - outs[1]) * error * -0.4]
    np.testing.assert_allclose(step.errors[0], errors, rtol=1e-12)
    np.testing.assert_allclose(step.coefs[0], hidden + rate * np.outer(x, errors), rtol=1e-12)
    np.testing.assert_allclose(step.coefs[1][:, 0], output[:, 0] + rate * error * np.array(outs), rtol=1e-12)
    np.testing.assert_allclose(step.intercepts[0], [0.1 + rate * errors[0], -0.2 + rate * errors[1]], rtol=1e-12)
    later = outs[0] * (1 - outs[0]) * error * step.coefs[1][0, 0]
    assert abs(later - step.errors[0][0]) > 1e-3 * abs(later)


@pytest.mark.row("003-12")
def test_first_weights_are_uniform_in_the_textbooks_range():
    X, y = np.random.default_rng(0).normal(size=(10, 40)), np.arange(10) % 2
    for reach in (0.5, 1.0):
        net = MultilayerPerceptron((50,), init_range=reach, learning_rate=1e-300, max_iter=1, standardize=False, random_state=0).fit(X, y)
        weights = net.coefs_[0].ravel()
        assert abs(weights).max() < reach and weights.var() == pytest.approx(reach**2 / 3, rel=0.05)


@pytest.mark.row("002-16")
def test_labels_are_needed_to_learn_answers_and_without_them_there_is_more_to_learn_than_groups():
    """Of unlabelled digits: groups of like ones, which pictures are likely, and few numbers that they are rebuilt from."""
    X, y = load_digits(return_X_y=True)
    X, noise = X / 16, np.random.default_rng(0).permuted(X / 16, axis=1)
    train, test = X[:1000], X[1000:]
    with pytest.raises(TypeError, match="'y'"):
        Perceptron().fit(train)

    groups = SelfOrganizingMap(5, 5, max_iter=50, random_state=0).fit(train).predict(train)
    of_largest = sum(np.bincount(y[:1000][groups == group]).max() for group in np.unique(groups)) / 1000
    assert of_largest > 0.7  # of 25 groups by chance, some 0.2 would be of the largest class in each

    machine = RestrictedBoltzmann(32, max_iter=5, random_state=0).fit(train)
    assert np.mean(machine.free_energy(test) < machine.free_energy(noise[1000:])) > 0.95

    code = Autoencoder(8, max_iter=20, random_state=0).fit(train)
    assert code.transform(test).shape == (797, 8)
    assert ((code.inverse_transform(code.transform(test)) - test) ** 2).mean() < 0.55 * test.var(0).mean()


@pytest.mark.row("003-9")
def test_convolutional_recurrent_and_belief_networks_learn_digits_and_features_of_them():
    """Each reads held-out digits; and the features that a hidden layer has learned are enough for a linear classifier."""
    digits = load_digits()
    pictures, y = (16 * digits.images).clip(max=255).astype(np.uint8), digits.target
    rows, shares = digits.images / 16, digits.data / 16  # a sequence of rows, and one vector
    convolutional = ImageClassifier(epochs=2, random_state=0).fit(pictures[:600], y[:600])
    recurrent = LSTMClassifier(32, max_iter=20, learning_rate=0.02, random_state=0).fit(rows[:600], y[:600])
    belief = DeepBelief((64,), pretrain_max_iter=5, max_iter=10, learning_rate=0.01, random_state=0).fit(shares[:600], y[:600])
    assert convolutional.score(pictures[1000:], y[1000:]) > 0.85
    assert recurrent.score(rows[1000:], y[1000:]) > 0.75
    assert belief.score(shares[1000:], y[1000:]) > 0.85

    machine = DeepBelief((64,), pretrain_max_iter=5, max_iter=0, random_state=0).fit(shares[:600], y[:600])  # its units are not tuned

    maps = ImageFeatures(convolutional.model_).fit(pictures[:9]).transform(pictures)
    units, drawn = (1 / (1 + np.exp(-(shares @ net.coefs_[0] + net.intercepts_[0]))) for net in (belief, machine))
    for features in (maps, units, drawn):
        assert LogisticRegression(max_iter=300).fit(features[:600], y[:600]).score(features[1000:], y[1000:]) > 0.85
