"""Answers by ONNX Runtime: those of the module, alone and in company, as long as nobody else has the module."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.core.images import ImageSpec
from striate.models import graph
from striate.models.model import Model
from striate.networks.layers.activation import Activation
from striate.networks.layers.convolution import Conv
from striate.networks.layers.dense import Flatten, Identity, Linear
from striate.networks.layers.joins import Chain, Parallel
from striate.networks.layers.normalization import BatchNorm, GroupNorm, LocalResponseNorm
from striate.networks.layers.pooling import AdaptivePool, GlobalPool, Pool
from striate.networks.layers.transposed import ConvTranspose, Interpolate
from striate.networks.model_file import ModelFile
from striate.networks.modules.attention import ClassTokenModule
from striate.networks.modules.normalization import GlobalResponseNormModule
from striate.networks.network import Network

NETWORKS = (  # name, side, and the parts that it brings
    ("resnet20_cifar", 32),  # sums, padded channels
    ("efficientnet_lite0", 32),  # padding by TensorFlow's rule, ReLU6, groups
    ("mobilenet_v3_small", 32),  # products, hard activations
    ("squeezenet1_1", 64),  # concatenations, poolings that round up
    ("cifar_notes", 32),  # dense layers, dropout
    ("shufflenet_v2_x0_5", 32),  # parts of the channels, shuffled
    ("convnextv2_atto", 32),  # normalization over channels and of responses, GELU
    ("vit_tiny", 32),  # steps of a sequence, attention
    ("lenet4", 32),  # subsampling, scaled tanh
)
SMALL = Chain(  # parts that the catalogue has in large networks alone
    Conv(8, 3, padding=1),
    LocalResponseNorm(),
    Parallel(Chain(Conv(8, 1), Activation("leaky_relu")), Chain(Conv(8, 1), Activation("prelu")), merge="sum"),
    Pool("avg", 3, stride=2, ceil_mode=True),
    Activation("elu"),
    Interpolate(scale=2),
    ConvTranspose(6, 3, stride=2, padding=1, output_padding=1),
    Interpolate(size=20, mode="bilinear"),
    AdaptivePool(5),
    AdaptivePool(10),
    Parallel(place=Chain(GlobalPool(keep_axes=True), Conv(2, 1)), maps=Conv(4, 1), merge="concat"),
    Parallel(preact=Chain(BatchNorm(), Activation("gelu")), shortcut=Identity(), body=Conv(6, 3, padding=1), merge="sum", trunk="preact"),
    Flatten(),
    Linear(5),
)


def model_of(name: str, side: int) -> Model:
    """A model of a catalogue network with fresh weights and statistics that matter."""
    return with_weights(striate.network(name, num_classes=5, in_channels=3, input_size=side))


def with_weights(network: Network) -> Model:
    """The same of any network for square pictures in colour."""
    side = network.input_shape[1]
    torch.manual_seed(0)
    module = network.build()
    for part in module.modules():
        if isinstance(part, nn.LayerNorm | GlobalResponseNormModule | ClassTokenModule | nn.PReLU):
            for weights in part.parameters():
                nn.init.normal_(weights, 0.5, 0.2)
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.2, 0.2)
            part.running_var.uniform_(0.5, 1.5)
    spec = ImageSpec(height=side, width=side, channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), fit="crop")
    return Model(ModelFile(network, module, tuple("abcde"), spec, {}))


def pictures_of(side: int, count: int = 18) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.fixture(scope="module")
def small() -> Model:
    return model_of("resnet20_cifar", 32)


@pytest.mark.parametrize(("name", "side"), NETWORKS)
def test_the_runtime_answers_as_the_module_and_to_the_same_bits_in_any_company(name: str, side: int) -> None:
    check(model_of(name, side), pictures_of(side))


def test_parts_of_large_networks_are_answered_so_too() -> None:
    check(with_weights(Network("small", (3, 20, 20), SMALL)), pictures_of(20))


def check(model: Model, pictures: np.ndarray) -> None:
    together = model.outputs(pictures)
    alone = np.concatenate([model.outputs(pictures[place : place + 1]) for place in range(3)])

    assert model._forms.made is not None
    np.testing.assert_array_equal(together[:3], alone)
    by_torch = model.run(pictures)
    np.testing.assert_allclose(together, by_torch, atol=2e-5 * np.abs(by_torch).max())


def test_a_module_that_was_taken_and_changed_answers_as_it_is_now(small: Model) -> None:
    model, pictures = copy.deepcopy(small), pictures_of(32, 2)
    before = model.outputs(pictures)

    with torch.no_grad():
        for weights in model.module.get_submodule("network.head.linear").parameters():
            weights.data.mul_(2)

    np.testing.assert_allclose(model.outputs(pictures), 2 * before, rtol=1e-4)


def test_what_shares_a_module_shares_that_it_was_taken(small: Model) -> None:
    model, pictures = copy.deepcopy(small), pictures_of(32, 2)
    model.outputs(pictures)
    other = model.calibrated(model.calibration)

    nn.init.zeros_(model.module.get_submodule("network.head.linear").weight)

    np.testing.assert_array_equal(other.outputs(pictures)[0], other.outputs(pictures)[1])


def test_a_session_that_answers_otherwise_than_the_module_is_not_used(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model, pictures = copy.deepcopy(small), pictures_of(32, 2)
    wrong = graph.graph_of(model_of("cifar_notes", 32)._forms.module, (32, 32, 3))
    monkeypatch.setattr(graph, "graph_of", lambda *_: wrong)

    found = model.outputs(pictures)

    np.testing.assert_allclose(found, model.run(pictures), atol=1e-5)
    assert model._forms.made is None


def test_without_onnx_runtime_torch_answers(small: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model, pictures = copy.deepcopy(small), pictures_of(32, 2)
    expected = small.outputs(pictures)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    found = model.outputs(pictures)

    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert model._forms.made is None
    assert not any(isinstance(part, nn.BatchNorm2d) for part in model._forms.evaluated().modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in model.module.modules())


def test_a_network_with_a_part_outside_the_vocabulary_has_no_graph() -> None:
    model = with_weights(Network("grouped", (3, 8, 8), Chain(Conv(4, 3), GroupNorm(2), Flatten(), Linear(5))))

    assert graph.graph_of(model._forms.module, (8, 8, 3)) is None


def test_a_copy_makes_a_session_of_its_own(small: Model) -> None:
    pictures = pictures_of(32, 2)
    found = small.outputs(pictures)

    twin = copy.deepcopy(small)

    assert twin._forms.made is None
    np.testing.assert_array_equal(twin.outputs(pictures), found)
    assert twin._forms.made is not small._forms.made
