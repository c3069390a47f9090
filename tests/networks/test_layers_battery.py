"""What holds for every leaf, over many configurations: the module does what the description says."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from striate.networks.layers import (
    GRU,
    LSTM,
    Activation,
    AdaptivePool,
    BatchNorm,
    ChannelChunk,
    ChannelLinear,
    ClassToken,
    Conv,
    ConvTranspose,
    DeformableConv,
    Dropout,
    Elman,
    EuclideanRBF,
    Flatten,
    Gain,
    GlobalPool,
    GlobalResponseNorm,
    GroupNorm,
    Identity,
    InstanceNorm,
    Interpolate,
    Layer,
    LayerNorm,
    Linear,
    LocallyConnected,
    LocalResponseNorm,
    MatchChannels,
    PadChannels,
    Pool,
    PositionEmbedding,
    Scale,
    SelfAttention,
    Shape,
    ShuffleChannels,
    SpatialDropout,
    StochasticDepth,
    Subsample,
    TakeStep,
    ToSequence,
    ToSignal,
)
from striate.networks.layers.vocabulary import LEAVES, layer_from_data

ACTIVATIONS = (
    *("identity", "step", "sigmoid", "tanh", "scaled_tanh", "relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu"),
    *("gelu", "silu", "softplus", "softmax", "hard_sigmoid", "hard_swish"),
)
C3 = ((0, 1), (1, 2), (0, 2), (0, 1, 2))  # a small connection table

CASES: tuple[tuple[Layer, Shape], ...] = (
    (Conv(4, 3), (3, 7, 9)),
    (Conv(4, (3, 5), stride=(2, 1), padding=(1, 2), bias=False), (3, 8, 9)),
    (Conv(6, 3, padding="same", groups=3), (3, 7, 8)),
    (Conv(4, 4, padding="same"), (3, 7, 8)),
    (Conv(4, 2, padding="same", dilation=(1, 3)), (3, 7, 8)),
    (Conv(4, 3, stride=2, padding="tf_same"), (3, 7, 8)),
    (Conv(4, 7, stride=(2, 3), padding="tf_same"), (3, 10, 8)),
    (Conv(4, 3, stride=3, padding="valid", dilation=2), (3, 9, 11)),
    (Conv(4, 1), (3, 2, 5)),
    (Conv(4, 3, connections=C3), (3, 6, 7)),
    (Conv(4, (3, 2), stride=2, padding=1, connections=C3, bias=False), (3, 6, 7)),
    (Conv(5, 3, stride=2, padding=1), (3, 11)),
    (Conv(5, 4, padding="tf_same", dilation=2), (3, 11)),
    (Conv(5, (2, 3, 1), stride=(1, 2, 1), padding=(1, 0, 0)), (3, 4, 7, 5)),
    (Conv(6, 2, padding="same", groups=3), (3, 4, 5, 6)),
    (ConvTranspose(4, 3), (3, 4, 5)),
    (ConvTranspose(4, (4, 3), stride=(2, 3), padding=1, output_padding=(1, 2), bias=False), (3, 4, 5)),
    (ConvTranspose(6, 3, stride=2, groups=3, dilation=2, output_padding=1), (3, 4, 5)),
    (ConvTranspose(3, 4, stride=2, padding=1, bias=False, init="bilinear"), (3, 4, 5)),
    (ConvTranspose(4, 3, stride=2), (3, 6)),
    (ConvTranspose(2, (2, 3, 1), stride=(2, 1, 1)), (3, 2, 4, 5)),
    (DeformableConv(4, 3, padding=1), (3, 6, 7)),
    (DeformableConv(4, (3, 1), stride=(2, 1), padding="same", groups=2, bias=False, offset_groups=2), (2, 7, 6)),
    (DeformableConv(4, 3, padding="same", dilation=2, modulated=True), (3, 6, 7)),
    (LocallyConnected(4, 3), (3, 5, 6)),
    (LocallyConnected(4, (2, 3), stride=(1, 2), padding=1, bias=False), (3, 5, 6)),
    (LocallyConnected(4, 2, padding="tf_same", stride=2), (3, 5)),
    (LocallyConnected(2, 2), (2, 3, 4, 3)),
    (Pool("max", 2), (3, 7, 8)),
    (Pool("avg", (2, 3)), (3, 7, 8)),
    (Pool("max", 3, 2, padding=1), (3, 7, 8)),
    (Pool("avg", 3, 2, padding=1, count_padding=False), (3, 7, 8)),
    (Pool("max", 3, 2, ceil_mode=True), (3, 6, 8)),
    (Pool("max", 2, 2, padding=1, ceil_mode=True), (3, 4, 7)),
    (Pool("avg", 3, 2, ceil_mode=True), (3, 6, 8)),
    (Pool("max", 3, 2, padding="tf_same"), (3, 6, 7)),
    (Pool("avg", 3, 2, padding="tf_same", count_padding=False), (3, 6, 7)),
    (Pool("avg", 2, 1, padding="same"), (3, 6, 7)),
    (Pool("max", 2), (3, 7)),
    (Pool("avg", (1, 2, 2)), (3, 3, 4, 5)),
    (GlobalPool(), (3, 4, 5)),
    (GlobalPool("max"), (3, 4, 5)),
    (GlobalPool("avg", keep_axes=True), (3, 4, 5)),
    (GlobalPool("max", keep_axes=True), (3, 4)),
    (AdaptivePool(2), (3, 4, 6)),
    (AdaptivePool((3, 5)), (3, 7, 2)),
    (AdaptivePool(4), (3, 4)),
    (AdaptivePool((2, 3, 1)), (3, 3, 4, 5)),
    (Subsample(2), (3, 6, 9)),
    (Subsample((3, 2)), (3, 6, 9)),
    (Interpolate(2), (3, 4, 5)),
    (Interpolate((1.5, 0.5), mode="bilinear"), (3, 4, 6)),
    (Interpolate(size=(7, 3), mode="bilinear"), (3, 4, 5)),
    (Interpolate(size=9, mode="bilinear"), (3, 4)),
    (Interpolate(2, mode="bilinear"), (3, 2, 3, 4)),
    (BatchNorm(), (3, 4, 5)),
    (BatchNorm(1e-3, 0.01, scale=False), (3, 4, 5)),
    (BatchNorm(), (3,)),
    (BatchNorm(), (3, 4)),
    (BatchNorm(), (3, 2, 4, 5)),
    (GroupNorm(2), (4, 3, 5)),
    (GroupNorm(3), (6,)),
    (LayerNorm(), (4, 3, 5)),
    (LayerNorm(1e-6), (4,)),
    (LayerNorm(over="features"), (4, 3)),
    (InstanceNorm(), (3, 4, 5)),
    (InstanceNorm(affine=True), (3, 4)),
    (LocalResponseNorm(alpha=0.1), (7, 3, 4)),
    (LocalResponseNorm(3, 0.1, 0.5, 1.0, divide_alpha=True), (7, 4)),
    *((Activation(name), (3, 4, 5)) for name in ACTIVATIONS),
    (Activation("leaky_relu", slope=0.2), (3,)),
    (Activation("prelu", slope=0.1, per_channel=True), (3, 4, 5)),
    (Dropout(0.3), (3, 4, 5)),
    (Dropout.keep(0.75), (6,)),
    (SpatialDropout(0.3), (3, 4, 5)),
    (SpatialDropout(), (3, 4)),
    (StochasticDepth(0.2), (3, 4, 5)),
    (Identity(), (3, 4)),
    (Flatten(), (3, 4, 5)),
    (Linear(4), (6,)),
    (Linear(4, bias=False), (5, 6)),
    (ChannelLinear(4), (3, 5, 6)),
    (ChannelLinear(4, bias=False), (3, 5)),
    (Gain(0.5), (3, 4, 5)),
    (Gain(), (3,)),
    (Scale(0.17), (3, 4, 5)),
    (ChannelChunk(1, 3), (6, 4, 5)),
    (ChannelChunk(0, 2), (4,)),
    (ShuffleChannels(2), (6, 4, 5)),
    (ShuffleChannels(3), (6, 4)),
    (GlobalResponseNorm(), (3, 4, 5)),
    (GlobalResponseNorm(1e-3), (3, 4)),
    (Scale(-2), (6,)),
    (MatchChannels(3), (3, 5, 6)),
    (MatchChannels(4), (3, 5)),
    (PadChannels(7, 2), (3, 5, 6)),
    (PadChannels(3, (1, 2)), (3, 4, 6)),
    (EuclideanRBF(10), (84,)),
    (EuclideanRBF(3, negate=False, seed=5), (7,)),
    (ToSequence(), (3, 4, 5)),
    (ToSequence(), (3, 4)),
    (ToSequence("places"), (3, 4, 5)),
    (SelfAttention(1), (5, 6)),
    (SelfAttention(3), (4, 18)),
    (ClassToken(7), (3, 4, 5)),
    (PositionEmbedding(), (5, 6)),
    (TakeStep(), (5, 6)),
    (TakeStep(2), (5, 6)),
    (ToSignal(), (4, 3)),
    (Elman(5), (4, 3)),
    (Elman(5, 2, True, True, "relu"), (4, 3)),
    (LSTM(5), (4, 3)),
    (LSTM(5, 2, bidirectional=True, return_sequence=True), (4, 3)),
    (GRU(5, 3), (4, 3)),
    (GRU(5, 2, bidirectional=True), (4, 3)),
)
IDS = [f"{layer}-{'x'.join(map(str, shape))}".replace(" ", "") for layer, shape in CASES]
every_case = pytest.mark.parametrize(("layer", "shape"), CASES, ids=IDS)


def built(layer: Layer, shape: Shape) -> nn.Module:
    torch.manual_seed(0)
    return layer.build(shape)


def test_the_battery_meets_every_leaf():
    assert {type(layer).__name__ for layer, _ in CASES} == set(LEAVES) - {"OwnNetwork", "PublishedNetwork"}  # tests of foreign networks


@every_case
def test_the_module_gives_the_shape_of_the_description(layer, shape):
    module = built(layer, shape)
    for mode in (True, False):
        output = module.train(mode)(torch.randn(2, *shape))
        assert tuple(output.shape) == (2, *layer.output_shape(shape))


@every_case
def test_the_module_has_the_parameters_of_the_description(layer, shape):
    module = built(layer, shape)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == layer.cost(shape).params


@every_case
def test_json_gives_an_equal_layer(layer, shape):
    text = json.dumps(layer.to_data(), allow_nan=False)
    again = layer_from_data(json.loads(text))
    assert again == layer
    assert hash(again) == hash(layer)
    assert again.cost(shape) == layer.cost(shape)


COUNTED = (Conv, ConvTranspose, Linear, ChannelLinear, LocallyConnected)


@pytest.mark.row("004-2")
@pytest.mark.parametrize(
    ("layer", "shape"), [c for c in CASES if isinstance(c[0], COUNTED) and getattr(c[0], "connections", None) is None], ids=str
)
def test_macs_are_half_of_what_torch_counts_as_flops(layer, shape):
    module = built(layer, shape)
    with FlopCounterMode(display=False) as counter:
        module(torch.randn(1, *shape))
    assert 2 * layer.cost(shape).macs == counter.get_total_flops()


def test_layers_without_matrix_products_cost_no_macs():
    with_products = (*COUNTED, SelfAttention, DeformableConv, EuclideanRBF, Elman, LSTM, GRU)
    assert all(layer.cost(shape).macs == 0 for layer, shape in CASES if not isinstance(layer, with_products))


@pytest.mark.row("000-2")
@every_case
def test_gradients_equal_central_differences(layer, shape):
    """Along random directions of input and parameters together, in float64: relative error below 1e-6."""
    module = built(layer, shape).double().eval()
    generator = torch.Generator().manual_seed(1)

    def draw(tensor: torch.Tensor) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64)

    point = {name: p.detach() for name, p in module.named_parameters()}
    if isinstance(layer, DeformableConv):  # away from offset 0, where bilinear reading has a kink
        point = {name: p + 0.01 * draw(p) for name, p in point.items()}
    point["input"] = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    weights = draw(torch.empty(2, *layer.output_shape(shape)))

    def loss(at: dict[str, torch.Tensor]) -> torch.Tensor:
        parameters = {name: tensor for name, tensor in at.items() if name != "input"}
        return (functional_call(module, parameters, (at["input"],)) * weights).sum()

    leaves = {name: tensor.clone().requires_grad_() for name, tensor in point.items()}
    value = loss(leaves)
    gradients = torch.autograd.grad(value, [*leaves.values()], allow_unused=True) if value.requires_grad else [None] * len(leaves)
    for _ in range(3):
        direction = {name: draw(tensor) for name, tensor in point.items()}
        step = 1e-6
        ahead, behind = ({name: point[name] + sign * step * direction[name] for name in point} for sign in (1, -1))
        numeric = (loss(ahead) - loss(behind)) / (2 * step)
        analytic = sum((g * d).sum() for g, d in zip(gradients, direction.values(), strict=True) if g is not None)
        assert abs(numeric - analytic) <= 1e-6 * max(1.0, abs(numeric))


@every_case
def test_every_trainable_parameter_gets_a_gradient(layer, shape):
    module = built(layer, shape)
    x = torch.randn(3, *shape, requires_grad=True)
    output = module(x)
    if layer == Activation("step"):  # its gradient is zero by definition: nothing flows back
        assert not output.requires_grad
        return
    (output * torch.randn_like(output)).sum().backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert isinstance(layer, Gain | ClassToken) or (x.grad is not None and x.grad.isfinite().all())


@every_case
def test_in_evaluation_a_sample_does_not_depend_on_its_neighbours(layer, shape):
    module = built(layer, shape).double().eval()
    images = torch.randn(3, *shape, dtype=torch.float64)
    torch.testing.assert_close(module(images)[1:2], module(images[1:2]), rtol=1e-12, atol=1e-12)
