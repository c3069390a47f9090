"""The two small networks of the course notes: their tables by hand, and what their authors' code got wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.core.errors import ShapeError
from striate.core.modes import evaluation_mode
from striate.networks.catalog import network
from striate.networks.layers import Chain, Conv, Dropout, Flatten, Linear
from striate.networks.network import Network


@pytest.mark.row("000-17")
def test_the_cifar_network_has_its_published_counts_and_maps_of_32_16_8_and_4_pixels() -> None:
    """(9 x 3 + 1) x 32 + 2 x (9 x 32 + 1) x 32 + (512 + 1) x 10; 9 x 32 x (3 x 32^2 + 32 x 16^2 + 32 x 8^2) + 512 x 10."""
    net = network("cifar_notes")
    shapes = {row.path: row.output_shape for row in net.rows}

    assert net.params == 896 + 2 * 9_248 + 5_130 == 24_522
    assert net.macs == 884_736 + 2_359_296 + 589_824 + 5_120 == 3_838_976
    assert [shapes[f"block{i}.conv"] for i in (1, 2, 3)] == [(32, 32, 32), (32, 16, 16), (32, 8, 8)]
    assert shapes["block3.pool"] == (32, 4, 4)
    assert shapes["head.flatten"] == (512,)
    assert net.output_shape == (10,)


@pytest.mark.row("001-13", "001-17")
@pytest.mark.parametrize("name", ["mnist_notes", "mnist_notes_fixed"])
def test_the_mnist_network_is_no_lenet_and_its_second_layer_has_64_kernels_of_3_x_3(name: str) -> None:
    net = network(name)
    convolutions = [(row.layer.out_channels, row.layer.kernel_size, row.output_shape) for row in net.rows if isinstance(row.layer, Conv)]
    weights = {path: tuple(weight.shape) for path, weight in net.build().named_parameters() if path.endswith("weight")}

    assert [(maps, shape) for maps, _, shape in convolutions] == [(32, (32, 24, 24)), (64, (64, 10, 10))]
    assert weights["block1.conv.weight"] == (32, 1, 5, 5)
    assert weights["block2.conv.weight"] == (64, 32, 3, 3)
    assert net.params == 832 + 18_496 + 1_639_424 + 10_250 == 1_669_002
    assert network("lenet5").params == 61_706
    assert [row.layer.out_channels for row in network("lenet5").rows if isinstance(row.layer, Conv)] == [6, 16, 120]


@pytest.mark.row("001-12")
def test_its_head_flattens_then_1024_units_then_dropout_then_the_classes_and_softmax_sums_to_one() -> None:
    net = network("mnist_notes", num_classes=7)
    head = [(row.path, row.output_shape) for row in net.rows if row.path.startswith("head.")]
    dropout = next(row.layer for row in net.rows if isinstance(row.layer, Dropout))

    assert head == [("head.flatten", (1600,)), ("head.hidden", (1024,)), ("head.dropout", (1024,)), ("head.linear", (7,))]
    assert dropout.p == 0.25
    assert [row.layer.out_features for row in net.rows if isinstance(row.layer, Linear)] == [1024, 7]
    torch.manual_seed(0)
    probs = net.build().eval()(torch.randn(5, 1, 28, 28)).softmax(1)  # (5, 7)
    torch.testing.assert_close(probs.sum(1), torch.ones(5))


@pytest.mark.row("001-16")
def test_it_takes_batches_of_any_size_and_a_picture_gets_the_same_logits_in_each() -> None:
    """A reshape to (1, 28, 28, 1) holds 784 numbers: a batch of 128 has 100,352."""
    torch.manual_seed(0)
    module, images = network("mnist_notes").build().eval(), torch.randn(128, 1, 28, 28)
    with torch.no_grad():
        logits = {size: module(images[:size]) for size in (1, 3, 128)}

    assert images.numel() == 100_352 == 128 * 784
    assert {size: tuple(found.shape) for size, found in logits.items()} == {1: (1, 10), 3: (3, 10), 128: (128, 10)}
    torch.testing.assert_close(logits[1], logits[128][:1])
    torch.testing.assert_close(logits[3], logits[128][:3])


@pytest.mark.row("001-20")
def test_one_module_with_one_set_of_parameters_trains_and_is_evaluated() -> None:
    """Dropout acts in training only; a step in training mode is seen by the evaluation at once: there is no second graph to update."""
    torch.manual_seed(0)
    module, images = network("mnist_notes", num_classes=3).build().train(), torch.randn(4, 1, 28, 28)
    before = [id(parameter) for parameter in module.parameters()]

    assert not torch.equal(module(images), module(images))  # other units are dropped
    with evaluation_mode(module):
        first = module(images)
        assert torch.equal(first, module(images))
        assert [id(parameter) for parameter in module.parameters()] == before
    assert module.training
    nn.functional.cross_entropy(module(images), torch.tensor([0, 1, 2, 0])).backward()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.sub_(0.1 * parameter.grad)  # type: ignore[operator]
    with evaluation_mode(module):
        assert not torch.equal(module(images), first)
    assert [id(parameter) for parameter in module.parameters()] == before


@pytest.mark.row("003-1")
@pytest.mark.parametrize("name", ["cifar_notes", "mnist_notes", "lenet5", "default_dnn"])
def test_a_network_goes_from_signals_over_features_to_values_and_convolution_and_reduction_come_before_the_layers(name: str) -> None:
    """Input, hidden and output layers; a convolutional network has convolutions and poolings in front, each smaller than the one before."""
    net = network(name)
    roles = [row.layer.role for row in net.rows if row.layer.role in ("conv", "pool", "linear")]
    maps = [row.output_shape for row in net.rows if len(row.output_shape) == 3]
    places = [shape[1] * shape[2] for shape in maps]

    dense = roles[roles.index("linear") :]
    assert set(dense) == {"linear"}
    front = roles[: -len(dense)]
    assert front == [] if name == "default_dnn" else front[:4] == ["conv", "pool"] * 2
    assert places == sorted(places, reverse=True)
    assert net.rows[-1].output_shape == (10,) and len(net.input_shape) == 3


@pytest.mark.row("003-1")
def test_layers_in_another_order_are_refused_by_name() -> None:
    with pytest.raises(ShapeError, match=r"conv: convolution needs a shape \(C, L\) or \(C, H, W\) .*, got \(12,\)"):
        repr(Network("odd", (1, 8, 8), Chain(flatten=Flatten(), hidden=Linear(12), conv=Conv(4, 3))).rows)
