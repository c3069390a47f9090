"""Training first layers without labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from striate.core.errors import UsageError
from striate.core.images import ImageSpec
from striate.estimators.generative.pretraining import first_layers, pretrain_first_layers
from striate.networks.modules.image import ImageModule

SPEC = ImageSpec(height=9, width=8, channels=2, mean=(0.5, 0.5), std=(0.25, 0.25))


def network() -> ImageModule:
    torch.manual_seed(0)
    parts = [nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(120, 12), nn.ReLU()]
    return ImageModule(nn.Sequential(*parts, nn.Linear(12, 3)), SPEC)


@pytest.fixture
def images() -> np.ndarray:
    """Pictures that are made of few numbers, and so can be reconstructed from a code."""
    rng = np.random.default_rng(0)
    factors, patterns = rng.normal(size=(300, 3)), rng.normal(size=(3, 9 * 8 * 2))
    values = factors @ patterns
    return np.clip(127 + 40 * values, 0, 255).astype(np.uint8).reshape(300, 9, 8, 2)


@pytest.mark.row("003-43")
def test_layer_by_layer_each_learns_to_reconstruct_its_input(images):
    module = network()
    layers = pretrain_first_layers(module, images, epochs=20, batch_size=32, learning_rate=3e-3)

    assert [layer.layer for layer in layers] == ["0", "4"]
    for layer in layers:
        assert layer.error_after < 0.5 * layer.error_before
        assert layer.error_after < 0.6  # 1 is what the mean gives


def test_only_the_layers_that_are_trained_change(images):
    module, before = network(), network().state_dict()
    state = torch.get_rng_state()
    module.train()

    pretrain_first_layers(module, images[:40], num_layers=1, epochs=1)

    moved = {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"network.0.weight", "network.0.bias"}
    assert torch.equal(torch.get_rng_state(), state)
    assert module.training
    assert all(param.grad is None for param in module.parameters())


def test_the_head_is_never_trained_without_labels(images):
    assert [layer.layer for layer in pretrain_first_layers(network(), images[:20], num_layers=9, epochs=1)] == ["0", "4"]


def test_the_same_seed_gives_the_same_weights_and_another_others(images):
    first, again, other = network(), network(), network()
    for module, seed in ((first, 1), (again, 1), (other, 2)):
        pretrain_first_layers(module, images[:50], epochs=1, seed=seed)

    assert torch.equal(first.network[0].weight, again.network[0].weight)
    assert not torch.equal(first.network[0].weight, other.network[0].weight)


def test_what_cannot_be_trained_is_refused(images):
    with pytest.raises(UsageError, match=r"got 0, 2, 2 and 0\.3"):
        pretrain_first_layers(network(), images[:0])
    with pytest.raises(UsageError, match=r"noise in \[0, 1\), got 300, 2, 2 and 1"):
        pretrain_first_layers(network(), images, noise=1)
    with pytest.raises(UsageError, match="no convolution or dense layer to train without labels"):
        pretrain_first_layers(ImageModule(nn.Sequential(nn.Flatten(), nn.Linear(144, 3)), SPEC), images)


def test_the_code_is_what_the_networks_own_activation_gives():
    """A sigmoid that follows a layer is its activation; where nothing of the kind follows, it is a ReLU."""
    module = ImageModule(nn.Sequential(nn.Flatten(), nn.Linear(144, 9), nn.Sigmoid(), nn.Linear(9, 5), nn.Linear(5, 3)), SPEC)

    found = first_layers(module, np.zeros((1, 9, 8, 2), np.uint8), 5)

    assert [(each.path, type(each.activation)) for each in found] == [("1", nn.Sigmoid), ("3", nn.ReLU)]
