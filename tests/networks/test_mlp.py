"""Multilayer perceptrons as descriptions: any depth, width and activation, also per layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate.core.errors import UsageError
from striate.networks.network import Network


@pytest.mark.row("003-37")
def test_each_hidden_layer_has_its_own_width_and_activation():
    """tanh(W1 x + b1), then relu(W2 s + b2), then W3 s + b3, computed here from the weights."""
    net = striate.mlp(5, 3, hidden=[4, 6], activation=["tanh", "relu"])
    assert net.params == (5 + 1) * 4 + (4 + 1) * 6 + (6 + 1) * 3
    torch.manual_seed(0)
    module, x = net.build(), torch.randn(7, 5)
    (w1, b1), (w2, b2), (w3, b3) = ((layer.weight, layer.bias) for layer in module.modules() if isinstance(layer, torch.nn.Linear))
    expected = torch.relu(torch.tanh(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    torch.testing.assert_close(module(x), expected)
    assert Network.from_json(net.to_json()) == net


def test_no_hidden_layer_is_linear_and_samples_of_several_axes_are_flattened():
    assert striate.mlp(5, 1, hidden=[]).params == 6
    assert striate.mlp((2, 12), 3, hidden=[4]).params == 25 * 4 + 5 * 3


def test_an_mlp_trains_on_a_table_and_names_what_does_not_fit(tmp_path: Path):
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)  # exclusive or: no line divides it
    net = striate.mlp(2, 2, hidden=[16], activation="tanh")
    report = striate.train((X, y), network=net, epochs=30, learning_rate=0.05, output=tmp_path / "run", diagnose=False)
    assert striate.evaluate(report.run, (X, y)).accuracy > 0.9
    with pytest.raises(UsageError, match="one for all of 2 hidden layers or one each, got 1"):
        striate.mlp(2, 2, hidden=[4, 4], activation=["tanh"])
    with pytest.raises(UsageError, match="thanh"):
        striate.mlp(2, 2, activation="thanh")
