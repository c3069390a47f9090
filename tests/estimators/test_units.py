"""More units than memory: one clear error, before anything is made or learned."""

from __future__ import annotations

import numpy as np
import pytest

import striate
from striate import estimators
from striate.core.errors import EnvironmentFault

MANY = 10**7
ROWS, LABELS = np.tile(np.eye(4), (3, 1)), np.arange(12) % 2
PICTURES = np.tile(np.uint8([0, 200]).reshape(2, 1, 1), (6, 8, 8))

TOO_LARGE = {
    "MultilayerPerceptron": lambda: estimators.MultilayerPerceptron((MANY, MANY)).fit(ROWS, LABELS),
    "MultilayerPerceptron of one wide layer": lambda: estimators.MultilayerPerceptron(MANY).fit(np.ones((2000, 1)), np.arange(2000) % 2),
    "MultilayerPerceptron in parts": lambda: estimators.MultilayerPerceptron((MANY, MANY)).partial_fit(ROWS, LABELS),
    "MultilayerRegressor": lambda: estimators.MultilayerRegressor((MANY, MANY)).fit(ROWS, LABELS),
    "RestrictedBoltzmann": lambda: estimators.RestrictedBoltzmann(1000 * MANY).fit(ROWS),
    "DeepBelief": lambda: estimators.DeepBelief((MANY, MANY)).fit(ROWS, LABELS),
    "Autoencoder": lambda: estimators.Autoencoder(hidden_layer_sizes=(MANY, MANY)).fit(ROWS),
    "Autoencoder of pictures": lambda: estimators.Autoencoder(channels=(MANY, MANY)).fit(PICTURES),
    "VariationalAutoencoder": lambda: estimators.VariationalAutoencoder(hidden_layer_sizes=(MANY, MANY)).fit(ROWS),
    "GAN": lambda: estimators.GAN(hidden_layer_sizes=(MANY, MANY)).fit(ROWS),
    "ConditionalDCGAN": lambda: estimators.ConditionalDCGAN(width=MANY, batch_size=4).fit(PICTURES, LABELS),
    "SelfOrganizingMap": lambda: estimators.SelfOrganizingMap(MANY, MANY).fit(ROWS),
    "SelfOrganizingMap in parts": lambda: estimators.SelfOrganizingMap(1000, 1000).partial_fit(ROWS),
    "BoltzmannMachine": lambda: estimators.BoltzmannMachine(MANY).fit(ROWS),
    "Hopfield": lambda: estimators.Hopfield().fit(np.ones((1, 10**6))),
    "Oja": lambda: estimators.Oja(10**6).fit(np.ones((2, 10**6))),
    "ElmanClassifier": lambda: estimators.ElmanClassifier(MANY).fit(ROWS, LABELS),
    "LSTMRegressor": lambda: estimators.LSTMRegressor(MANY).fit(ROWS, LABELS),
    "GRUClassifier": lambda: estimators.GRUClassifier(MANY, num_layers=2).fit(ROWS, LABELS),
    "SequenceModel": lambda: estimators.SequenceModel(hidden_size=MANY).fit("a text of some letters"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_an_estimator_of_more_units_than_memory_says_what_it_needs(name):
    with pytest.raises(
        EnvironmentFault, match=rf"^{name.split()[0]}: its [\d,]+ parameters: [\d,]+ MiB are needed, .* MiB are free\nGive fewer"
    ):
        TOO_LARGE[name]()


def test_a_network_whose_weights_fit_and_whose_training_does_not_is_refused(monkeypatch, tmp_path):
    """Weights of 96 MB, and 384 MB with gradients and the optimizer's numbers, where 300 MiB are free."""
    network = striate.network("lenet5", num_classes=2, in_channels=1, input_size=32).width(20)
    assert 2**26 < 4 * network.params < 2**28 < 300 * 2**20 < 16 * network.params
    monkeypatch.setattr("striate.core.memory.free_memory_bytes", lambda: 300 * 2**20)
    with pytest.raises(EnvironmentFault, match=r"parameters: [\d,]+ MiB are needed, and 300 MiB are free\nTrain a smaller network"):
        striate.ImageClassifier(network=network, epochs=1, device="cpu").fit(PICTURES, LABELS)
