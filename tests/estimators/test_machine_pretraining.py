"""Training first layers as restricted Boltzmann machines."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from striate.core.errors import UsageError
from striate.core.images import ImageSpec
from striate.estimators.generative.machine_pretraining import WINDOWS, pretrain_as_machines, windows
from striate.networks.modules.image import ImageModule

SPEC = ImageSpec(height=9, width=8, channels=2, mean=(0.5, 0.5), std=(0.25, 0.25))


def network(*, bias: bool = True, groups: int = 1) -> ImageModule:
    torch.manual_seed(0)
    parts = [nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=bias, groups=groups), nn.BatchNorm2d(6), nn.Sigmoid(), nn.Flatten()]
    return ImageModule(nn.Sequential(*parts, nn.Linear(120, 12), nn.ReLU(), nn.Linear(12, 3)), SPEC)


@pytest.fixture
def images() -> np.ndarray:
    """Stripes, from left to right or from top to bottom, of any phase."""
    rng = np.random.default_rng(0)
    rows, columns = np.indices((9, 8))
    places = np.where(rng.random(400)[:, None, None] < 0.5, rows, columns)
    values = 127 + 100 * np.sin(places * 1.6 + rng.uniform(0, 6, (400, 1, 1)))
    return np.repeat(values[..., None], 2, 3).astype(np.uint8)


@pytest.mark.row("001-4", "003-43")
def test_layer_by_layer_each_machine_learns_to_reconstruct(images):
    module = network()
    layers = pretrain_as_machines(module, images, epochs=30, batch_size=20)

    assert [layer.layer for layer in layers] == ["0", "4"]
    assert layers[0].error_after < 0.6 * layers[0].error_before  # Gaussian visibles
    assert layers[1].error_after < 0.8 * layers[1].error_before  # sigmoids are shares


def test_the_layer_gives_what_enters_the_machines_hidden_units(images):
    """Bias and weight undo the machine's mean and deviation: a window of the mean enters with c, which is 0 at first."""
    module, images = network(), images // 2 + 120  # whose mean is far from 0
    pretrain_as_machines(module, images, num_layers=1, epochs=1, batch_size=400 * WINDOWS)
    conv, x = module.network[0], module.normalized(torch.from_numpy(images))
    mean = F.unfold(x, 3).mean((0, 2)).view(1, 2, 3, 3)
    assert F.conv2d(mean, conv.weight, conv.bias).abs().max() < 0.05
    assert (mean.mean() * conv.weight.sum((1, 2, 3))).abs().max() > 0.1


def test_windows_are_those_of_the_pictures():
    conv = nn.Conv2d(2, 3, (3, 2), dilation=(2, 1))
    x = torch.arange(4 * 2 * 7 * 5.0).view(4, 2, 7, 5)
    found = windows("conv", conv, x, torch.Generator().manual_seed(0)).view(4, WINDOWS, -1)
    every = F.unfold(x, (3, 2), dilation=(2, 1)).transpose(1, 2)  # (N, places, C * 6)
    for picture in range(4):
        assert all((every[picture] == window).all(1).any() for window in found[picture])
    assert windows("conv", nn.Conv2d(2, 3, 9), x, torch.Generator()).shape == (4 * WINDOWS, 2 * 81)


def test_only_the_layers_that_are_trained_change_and_the_seed_decides(images):
    before, state = network(bias=False).state_dict(), torch.get_rng_state()
    first, again, other = (network(bias=False).train() for _ in range(3))
    for module, seed in ((first, 1), (again, 1), (other, 2)):
        pretrain_as_machines(module, images[:60], num_layers=1, epochs=1, seed=seed)

    moved = {name for name, tensor in first.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved == {"network.0.weight"}
    assert torch.equal(torch.get_rng_state(), state) and first.training
    assert torch.equal(first.network[0].weight, again.network[0].weight)
    assert not torch.equal(first.network[0].weight, other.network[0].weight)


def test_what_cannot_be_trained_is_refused(images):
    with pytest.raises(UsageError, match="needs images, layers and epochs, got 0, 2 and 5"):
        pretrain_as_machines(network(), images[:0])
    with pytest.raises(UsageError, match=r"0: a convolution in 2 groups cannot be trained as a machine\nTake `pretrain='autoencoder'`"):
        pretrain_as_machines(network(groups=2), images)
    with pytest.raises(UsageError, match="no convolution or dense layer"):
        pretrain_as_machines(ImageModule(nn.Sequential(nn.Flatten(), nn.Linear(144, 3)), SPEC), images)
