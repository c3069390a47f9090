"""Facts about the activations, softmax and the radial basis output."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers import Activation, EuclideanRBF, Linear
from striate.networks.layers.activation import ActivationName
from striate.networks.modules.radial import digit_codes

F64 = torch.float64
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


FORMULAS = {
    "identity": lambda x: x,
    "step": lambda x: float(x > 0),
    "sigmoid": sigmoid,
    "tanh": lambda x: (math.exp(x) - math.exp(-x)) / (math.exp(x) + math.exp(-x)),
    "scaled_tanh": lambda x: 1.7159 * math.tanh(2 / 3 * x),
    "relu": lambda x: max(x, 0),
    "relu6": lambda x: min(max(x, 0), 6),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "prelu": lambda x: x if x > 0 else 0.25 * x,
    "rrelu": lambda x: x if x > 0 else x * (1 / 8 + 1 / 3) / 2,  # in evaluation, the mean slope
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "selu": lambda x: SELU_SCALE * (x if x > 0 else SELU_ALPHA * (math.exp(x) - 1)),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x * sigmoid(x),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "hard_sigmoid": lambda x: min(max(x / 6 + 0.5, 0), 1),
    "hard_swish": lambda x: x * min(max(x / 6 + 0.5, 0), 1),
}


@pytest.mark.row("000-12")
@pytest.mark.row("001-4")
@pytest.mark.row("002-19")
@pytest.mark.row("003-38")
@pytest.mark.row("003-42")
@pytest.mark.parametrize("name", FORMULAS)
def test_each_activation_is_its_formula(name):
    x = torch.tensor([-7.0, -3.5, -1.0, -0.25, 0.0, 0.25, 1.0, 3.5, 7.0], dtype=F64)
    module = Activation(name).build((9,)).double().eval()
    expected = torch.tensor([FORMULAS[name](value) for value in x.tolist()], dtype=F64)
    torch.testing.assert_close(module(x[None])[0], expected, rtol=1e-9, atol=1e-9)


def test_every_activation_has_a_formula_here():
    assert set(FORMULAS) | {"softmax"} == set(get_args(ActivationName))


@pytest.mark.row("002-19")
def test_the_scaled_tanh_passes_through_1_and_minus_1():
    module = Activation("scaled_tanh").build((2,))
    torch.testing.assert_close(module(torch.tensor([[1.0, -1.0]])), torch.tensor([[1.0, -1.0]]), rtol=0, atol=2e-5)


@pytest.mark.row("000-12")
def test_gelu_and_silu_are_not_monotone():
    x = torch.linspace(-5, 0, 200)[None]
    for name in ("gelu", "silu"):
        values = Activation(name).build((200,))(x)[0]
        assert (values.diff() < 0).any() and (values.diff() > 0).any()


def test_slopes():
    x = torch.tensor([[[-1.0, 2], [-2, 1], [-4, -8]]], dtype=F64)  # (N, C, L)
    assert Activation("leaky_relu", slope=0.5).build((3, 2))(x).tolist() == [[[-0.5, 2], [-1, 1], [-2, -4]]]
    module = Activation("prelu", slope=0.1, per_channel=True).build((3, 2)).double()
    torch.testing.assert_close(module.weight.data, torch.full((3,), 0.1, dtype=F64), rtol=0, atol=1e-7)
    module.weight.data = torch.tensor([1.0, 0, 0.5], dtype=F64)
    assert module(x).tolist() == [[[-1, 2], [0, 1], [-2, -4]]]
    assert Activation("prelu").cost((3, 2)).params == 1
    assert Activation("prelu", per_channel=True).cost((3, 2)).params == 3


def test_randomized_relu_draws_its_slopes_while_training():
    torch.manual_seed(0)
    slopes = -Activation("rrelu").build((5000,)).train()(torch.full((1, 5000), -1.0))
    assert 1 / 8 <= slopes.min() < 0.13 and 0.33 < slopes.max() <= 1 / 3


class TestSoftmax:
    @staticmethod
    def softmax(logits: Tensor) -> Tensor:
        return Activation("softmax").build(tuple(logits.shape[1:]))(logits)

    @pytest.mark.row("001-3")
    def test_it_gives_probabilities_that_a_shift_does_not_change(self):
        logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(0), dtype=F64) * 5
        by_hand = logits.exp() / logits.exp().sum(1, keepdim=True)
        torch.testing.assert_close(self.softmax(logits), by_hand, rtol=0, atol=1e-12)
        torch.testing.assert_close(self.softmax(logits).sum(1), torch.ones(4, dtype=F64), rtol=0, atol=1e-12)
        torch.testing.assert_close(self.softmax(logits + 123), by_hand, rtol=0, atol=1e-12)

    @pytest.mark.row("001-3")
    def test_it_does_not_overflow_and_tends_to_the_hard_maximum(self):
        extreme = torch.tensor([[1e4, -1e4, 0.0]])
        assert self.softmax(extreme).tolist() == [[1, 0, 0]]
        logits = torch.tensor([[1.0, 1.5, -2.0]])
        distances = [float((self.softmax(logits / t) - torch.tensor([[0.0, 1, 0]])).abs().max()) for t in (1, 0.3, 0.1, 0.01)]
        assert distances == sorted(distances, reverse=True) and distances[-1] < 1e-6

    @pytest.mark.row("001-3")
    @pytest.mark.row("001-2")
    def test_with_cross_entropy_its_gradient_is_p_minus_y(self):
        logits = torch.tensor([[2.0, -8.0, 0.5]], dtype=F64, requires_grad=True)
        (-self.softmax(logits)[0, 1].log()).backward()
        expected = self.softmax(logits.detach()) - torch.tensor([[0.0, 1, 0]])
        torch.testing.assert_close(logits.grad, expected, rtol=0, atol=1e-9)
        assert logits.grad[0, 1] < -0.99, "far from the answer, the gradient does not vanish"

    def test_on_a_map_it_is_over_the_channels(self):
        logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(self.softmax(logits).sum(1), torch.ones(2, 4, 5))


@pytest.mark.row("000-12")
@pytest.mark.row("001-18")
def test_two_linear_layers_in_a_row_are_one():
    torch.manual_seed(0)
    first, second = Linear(16).build((7,)).double(), Linear(4).build((16,)).double()
    x = torch.randn(5, 7, dtype=F64)
    weight, bias = second.weight @ first.weight, second.weight @ first.bias + second.bias
    torch.testing.assert_close(second(first(x)), F.linear(x, weight, bias), rtol=0, atol=1e-12)


@pytest.mark.row("002-9")
def test_a_linear_layer_is_a_weighted_sum_and_a_bias_for_each_unit():
    layer = Linear(2).build((3,))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -2, 3], [0.5, 0, -1]]))
        layer.bias.copy_(torch.tensor([10.0, -10]))
    assert layer(torch.tensor([[4.0, 5, 6], [1, 1, 1]])).tolist() == [[4 - 10 + 18 + 10, 2 - 6 - 10], [1 - 2 + 3 + 10, 0.5 - 1 - 10]]


@pytest.mark.row("000-15")
def test_the_parameters_of_a_linear_layer():
    assert Linear(120).cost((400,)).params == 400 * 120 + 120
    assert Linear(120, bias=False).cost((400,)).macs == 400 * 120


class TestRadialBasis:
    @pytest.mark.row("003-50")
    def test_it_gives_squared_distances_and_the_nearest_code_wins(self):
        x = torch.randn(3, 84, generator=torch.Generator().manual_seed(0))
        codes = digit_codes()
        by_hand = torch.tensor([[sum((a - b) ** 2 for a, b in zip(v, c, strict=True)) for c in codes.tolist()] for v in x.tolist()])
        torch.testing.assert_close(EuclideanRBF(10, negate=False).build((84,))(x), by_hand, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(EuclideanRBF(10).build((84,))(x), -by_hand, rtol=1e-5, atol=1e-4)
        assert EuclideanRBF(10).build((84,))(codes).argmax(1).tolist() == list(range(10))

    @pytest.mark.row("003-16")
    def test_it_has_840_connections_and_learns_nothing(self):
        cost, module = EuclideanRBF(10).cost((84,)), EuclideanRBF(10).build((84,))
        assert (cost.params, cost.macs, cost.connections) == (0, 840, 840)
        assert list(module.parameters()) == [] and module.codes.numel() == 840

    def test_its_codes_are_fixed_distinct_and_of_plus_and_minus_1(self):
        for layer, features in ((EuclideanRBF(10), 84), (EuclideanRBF(12, seed=3), 84), (EuclideanRBF(4), 20)):
            codes = layer.build((features,)).codes
            assert codes.shape == (layer.num_classes, features)
            assert set(codes.unique().tolist()) == {-1, 1}
            assert len(codes.unique(dim=0)) == layer.num_classes
            assert torch.equal(codes, layer.build((features,)).codes)
        distances = torch.cdist(digit_codes(), digit_codes()).square() / 4  # places in which two digits differ
        assert int(distances[~torch.eye(10, dtype=torch.bool)].min()) >= 9


def test_errors_say_what_fits():
    with pytest.raises(UsageError, match="slope belongs to leaky_relu and prelu, not to relu"):
        Activation("relu", slope=0.1)
    with pytest.raises(UsageError, match="per_channel belongs to prelu, not to relu"):
        Activation("relu", per_channel=True)
    with pytest.raises(UsageError, match=r"Activation: name: must be identity, .* got 'swish'"):
        Activation("swish")
    with pytest.raises(ShapeError, match=r"a radial basis output needs a vector \(F,\), got \(4, 5\)") as caught:
        EuclideanRBF(10).output_shape((4, 5))
    assert caught.value.remedy == "Put Flatten() before it."
    with pytest.raises(ShapeError, match=r"linear needs a vector \(F,\) or a sequence \(T, F\), got \(3, 4, 5\)") as caught:
        Linear(10).output_shape((3, 4, 5))
    assert caught.value.remedy == "Put Flatten() or GlobalPool() before it."
