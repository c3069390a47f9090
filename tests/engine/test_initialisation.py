"""Each scheme draws from the distribution of its source, for the fans and the activation that a layer has."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from scipy import integrate, stats
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import NumericError, UnknownNameError, UsageError
from striate.core.seeds import torch_seed
from striate.engine.initialisation import gain_of, gains, initialise, kernels
from striate.networks.catalog import network
from striate.networks.layers import (
    Activation,
    BatchNorm,
    Chain,
    Conv,
    ConvTranspose,
    DeformableConv,
    EuclideanRBF,
    Gain,
    LocallyConnected,
    Parallel,
    Subsample,
)
from striate.networks.network import Network


def started(model: nn.Module, scheme: str, seed: int = 0, **options: object) -> nn.Module:
    with torch_seed(seed):
        initialise(model, scheme, **options)  # type: ignore[arg-type]
    return model


# ---- fans, counted by derivatives: what reaches an output, and what an input reaches

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(7, 5), (7,)),
    "conv": (lambda: nn.Conv2d(3, 4, (3, 5)), (3, 12, 15)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, dilation=2), (3, 12)),
    "conv3d": (lambda: nn.Conv3d(2, 3, (1, 2, 3)), (2, 4, 5, 7)),
    "grouped": (lambda: nn.Conv2d(6, 4, 3, groups=2), (6, 9, 8)),
    "depthwise": (lambda: nn.Conv2d(6, 12, 3, groups=6), (6, 9, 8)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 5, 4, stride=2, padding=1), (3, 9, 8)),
    "transposed, grouped": (lambda: nn.ConvTranspose2d(6, 4, (2, 4), stride=(1, 2), groups=2), (6, 9, 8)),
    "local": (lambda: LocallyConnected(4, (3, 2)).build((2, 6, 5)), (2, 6, 5)),
    "recurrent": (lambda: nn.RNN(4, 5, batch_first=True), (1, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_fan_in_is_the_number_of_inputs_that_an_output_depends_on(name: str) -> None:
    make, shape = LAYERS[name]
    layer = started(make(), "he")
    images = torch.randn(1, *shape, requires_grad=True)
    output = layer(images)[0] if name == "recurrent" else layer(images)
    middle = tuple(size // 2 for size in output.shape[1:])

    (gradient,) = torch.autograd.grad(output[(0, *middle)], images)

    assert int((gradient != 0).sum()) == kernels(layer)[0].fan_in


@pytest.mark.parametrize("name", [name for name in LAYERS if name != "local"])
def test_fan_out_is_the_number_of_outputs_that_an_input_reaches(name: str) -> None:
    make, shape = LAYERS[name]
    layer = started(make(), "he")
    images = torch.randn(1, *shape, requires_grad=True)
    middle = tuple(size // 2 for size in shape)
    moved = images.detach().clone()
    moved[(0, *middle)] += 1

    before, after = ((layer(x)[0] if name == "recurrent" else layer(x)) for x in (images, moved))

    assert int((before != after).sum()) == kernels(layer)[0].fan_out


def test_a_partial_convolution_has_the_fans_of_each_map() -> None:
    inputs = ((0, 1), (2,), (0, 1, 2), (1, 2))
    layer = started(Conv(4, (3, 2), connections=inputs).build((3, 7, 8)), "he")
    parts = kernels(layer)
    assert [part.fan_in for part in parts] == [2 * 6, 1 * 6, 3 * 6, 2 * 6]
    assert {part.fan_out for part in parts} == {8 / 3 * 6}  # 8 links from 3 maps
    output = layer(torch.randn(64, 3, 9, 9))
    assert output.shape[1] == 4 and torch.isfinite(output).all()


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (lambda: nn.Conv2d(6, 8, (3, 5), groups=2), [(2, 4, 3, 3, 5)]),
        (lambda: nn.ConvTranspose2d(6, 8, (3, 5), groups=2), [(2, 4, 3, 3, 5)]),
        (lambda: nn.LSTM(7, 9), [(4, 9, 7), (4, 9, 9)]),
        (lambda: nn.LSTM(7, 9, proj_size=5), [(4, 9, 7), (4, 9, 5), (1, 5, 9)]),
        (lambda: nn.GRUCell(7, 9), [(3, 9, 7), (3, 9, 9)]),
    ],
)
def test_kernels_are_blocks_by_outputs_by_inputs(make: Callable[[], nn.Module], shapes: list[tuple[int, ...]]) -> None:
    found = kernels(make())
    assert [tuple(kernel.weight.shape) for kernel in found] == shapes
    assert [kernel.fan_in for kernel in found] == [math.prod(shape[2:]) for shape in shapes]


# ---- distributions


@pytest.mark.row("002-5")
@pytest.mark.parametrize(("scheme", "theirs"), [("xavier", nn.init.xavier_uniform_), ("xavier_normal", nn.init.xavier_normal_)])
@pytest.mark.parametrize("make", [lambda: nn.Linear(70, 50), lambda: nn.Conv2d(30, 40, (3, 5))])
def test_xavier_equals_torch_and_has_the_variance_of_the_paper(
    scheme: str, theirs: Callable[[Tensor], Tensor], make: Callable[[], nn.Linear]
) -> None:
    layer = started(make(), scheme)
    expected = torch.empty_like(layer.weight)
    with torch_seed(0):
        theirs(expected)

    torch.testing.assert_close(layer.weight.detach(), expected)
    size = layer.weight[0, 0].numel()
    fans = (layer.weight.shape[0] + layer.weight.shape[1]) * size
    assert layer.weight.var().item() == pytest.approx(2 / fans, rel=0.05)
    assert not layer.bias.any()


@pytest.mark.row("003-42")
@pytest.mark.parametrize(("scheme", "theirs"), [("he", nn.init.kaiming_normal_), ("he_uniform", nn.init.kaiming_uniform_)])
def test_he_equals_torch_where_relu_follows(scheme: str, theirs: Callable[..., Tensor]) -> None:
    layer = nn.Conv2d(30, 40, (3, 5))
    started(nn.Sequential(layer, nn.ReLU()), scheme)
    expected = torch.empty_like(layer.weight)
    with torch_seed(0):
        theirs(expected, nonlinearity="relu")
    torch.testing.assert_close(layer.weight.detach(), expected)


@pytest.mark.row("002-5")
@pytest.mark.row("003-42")
@pytest.mark.parametrize(
    ("scheme", "variance"), [("he", 2 / 400), ("he_uniform", 2 / 400), ("xavier", 2 / 1000), ("xavier_normal", 2 / 1000)]
)
def test_the_variance_of_240000_weights_is_within_two_percent(scheme: str, variance: float) -> None:
    layer = nn.Linear(400, 600)
    started(nn.Sequential(layer, nn.ReLU()), scheme)
    assert layer.weight.var().item() == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.ConvTranspose2d(12, 20, 4, stride=2, padding=1), (12, 16, 18)),
        (lambda: nn.ConvTranspose2d(12, 20, 4, stride=2, padding=1, groups=2), (12, 16, 18)),
        (lambda: nn.ConvTranspose1d(40, 20, 6, stride=3), (40, 50)),
        (lambda: nn.Conv2d(12, 24, 5, groups=12), (12, 16, 18)),
        (lambda: LocallyConnected(8, 3).build((6, 12, 13)), (6, 12, 13)),
        (lambda: Conv(30, 3, connections=tuple((i % 5, (i + 1) % 5) for i in range(30))).build((5, 12, 13)), (5, 12, 13)),
    ],
)
def test_he_without_an_activation_keeps_the_variance_through_each_kind_of_layer(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    images = torch.randn(40, *shape, generator=torch.Generator().manual_seed(1))
    variances = []
    for seed in range(8):
        output = started(make(), "he", seed)(images)
        inner = output[(slice(None), slice(None), *(slice(3, -3) for _ in shape[1:]))]
        variances.append(inner.var().item())
    assert sum(variances) / 8 == pytest.approx(1, rel=0.1)


@pytest.mark.row("002-6")
def test_the_plain_schemes_take_their_scale() -> None:
    layer = nn.Linear(300, 200)
    assert started(layer, "zero").weight.eq(0).all()
    assert started(layer, "constant", scale=0.3).weight.eq(0.3).all()
    assert started(layer, "normal", scale=0.2).weight.std().item() == pytest.approx(0.2, rel=0.02)
    assert stats.kstest(layer.weight.detach().flatten()[::7].numpy() / 0.2, "norm").pvalue > 0.01
    assert started(layer, "uniform", scale=0.4).weight.abs().max().item() == pytest.approx(0.4, rel=1e-3)
    assert layer.weight.std().item() == pytest.approx(0.4 / math.sqrt(3), rel=0.02)
    assert started(layer, "normal").weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not layer.bias.any()


@pytest.mark.row("002-6")
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(30, 50),
        lambda: nn.Conv2d(5, 90, 3),
        lambda: nn.Conv2d(10, 12, 3, groups=2),
        lambda: nn.ConvTranspose2d(8, 6, 3, groups=2),
        lambda: LocallyConnected(4, 3).build((3, 5, 6)),
        lambda: nn.LSTM(7, 9),
    ],
)
def test_orthogonal_kernels_have_orthonormal_rows_or_columns(make: Callable[[], nn.Module]) -> None:
    for kernel in kernels(started(make(), "orthogonal")):
        for block in kernel.weight.detach():
            matrix = block.flatten(1)
            product = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
            torch.testing.assert_close(product, torch.eye(len(product)), atol=1e-5, rtol=0)


def test_orthogonal_matrices_have_no_preferred_signs() -> None:
    diagonals = torch.stack([started(nn.Linear(6, 6), "orthogonal", seed).weight.detach().diagonal() for seed in range(200)])
    assert (diagonals > 0).float().mean().item() == pytest.approx(0.5, abs=0.06)


@pytest.mark.row("002-6")
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Linear(6, 6), (6,)),
        (lambda: nn.Conv1d(5, 5, 3, padding=1), (5, 8)),
        (lambda: nn.Conv2d(4, 4, (3, 5), padding=(1, 2)), (4, 7, 8)),
        (lambda: nn.Conv2d(6, 6, 3, padding=1, groups=3), (6, 7, 8)),
        (lambda: nn.ConvTranspose2d(6, 6, 3, padding=1, groups=2), (6, 7, 8)),
        (lambda: LocallyConnected(3, 3, padding="same").build((3, 5, 6)), (3, 5, 6)),
    ],
)
def test_dirac_makes_a_layer_the_identity(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    images = torch.randn(2, *shape)
    torch.testing.assert_close(started(make(), "dirac")(images), images)


def test_one_seed_gives_one_start() -> None:
    one, same, other = (started(network("cifar_notes").build(), "he", seed) for seed in (1, 1, 2))
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.ndim == 1 or not torch.equal(a, c)


def test_default_leaves_what_the_network_was_built_with() -> None:
    with torch_seed(3):
        model = network("lenet5").build()
    with torch_seed(3):
        same = network("lenet5").build()
    started(model, "default")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))


# ---- the activation that follows


def test_gains_keep_the_second_moment() -> None:
    def expected(f: Callable[[Tensor], Tensor]) -> float:
        moment, _ = integrate.quad(lambda z: float(f(torch.tensor(z, dtype=torch.float64))) ** 2 * stats.norm.pdf(z), -10, 10, points=[0])
        return moment**-0.5

    for activation in (nn.ReLU(), nn.LeakyReLU(0.3), nn.ELU(), nn.SELU(), nn.GELU(), nn.SiLU(), nn.Hardswish(), nn.Softplus()):
        assert gain_of(activation) == pytest.approx(expected(activation), rel=1e-4), activation


def test_gains_are_the_usual_ones_where_there_are_such() -> None:
    assert gain_of(nn.ReLU()) == nn.init.calculate_gain("relu")
    assert gain_of(nn.Tanh()) == nn.init.calculate_gain("tanh")
    assert gain_of(nn.LeakyReLU(0.2)) == nn.init.calculate_gain("leaky_relu", 0.2)
    assert gain_of(nn.PReLU()) == nn.init.calculate_gain("leaky_relu", 0.25)
    assert gain_of(nn.RReLU()) == nn.init.calculate_gain("leaky_relu", (1 / 8 + 1 / 3) / 2)
    assert gain_of(nn.Sigmoid()) == 1
    assert gain_of(Activation("scaled_tanh").build((1,))) == 1
    assert gain_of(nn.Identity()) is None and gain_of(nn.BatchNorm2d(3)) is None and gain_of(nn.MaxPool2d(2)) is None


def test_a_layer_has_the_gain_of_the_next_activation_before_the_next_layer() -> None:
    first, second, third, last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 1), nn.Linear(5, 6), nn.Linear(6, 7)
    model = nn.Sequential(
        nn.Sequential(first, nn.BatchNorm2d(4), nn.Tanh(), nn.MaxPool2d(2)), second, nn.ReLU(), nn.Flatten(), third, nn.Dropout(), last
    )
    assert gains(model) == {first: 5 / 3, second: math.sqrt(2), third: 1.0, last: 1.0}


def test_of_two_activations_in_a_row_the_first_counts() -> None:
    layer = nn.Linear(3, 4)
    assert gains(nn.Sequential(layer, nn.Tanh(), nn.ReLU())) == {layer: 5 / 3}


def test_swapping_the_activation_of_a_description_changes_the_gains() -> None:
    relu = network("cifar_notes")
    counts = [sorted(gains(net.build()).values()) for net in (relu, relu.swap(activation="tanh"), relu.swap(activation="selu"))]
    assert counts == [[1.0] + [math.sqrt(2)] * 3, [1.0] + [5 / 3] * 3, [1.0] * 4]


def test_activations_that_are_called_as_functions_are_taken_for_relu() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.hidden, self.last = nn.Conv2d(1, 4, 3), nn.Linear(4, 5), nn.Linear(5, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(F.relu(self.hidden(F.relu(self.conv(x)).mean((2, 3)))))

    model = Own()
    assert gains(model) == {model.conv: math.sqrt(2), model.hidden: math.sqrt(2), model.last: 1.0}


def test_one_activation_module_may_follow_several_layers() -> None:
    act, first, second = nn.ReLU(), nn.Linear(3, 4), nn.Linear(4, 5)
    assert gains(nn.Sequential(first, act, second, act)) == {first: math.sqrt(2), second: math.sqrt(2)}


# ---- what keeps its start


def test_parts_with_a_start_of_their_own_keep_it() -> None:
    net = Network(
        "own",
        (3, 12, 10),
        Chain(
            conv=Conv(4, 3),
            norm=BatchNorm(),
            act=Activation("prelu"),
            sub=Subsample(2),
            scaled=Parallel(scale=Gain(0.3), body=Conv(4, 1), merge="multiply"),
            up=ConvTranspose(4, 4, stride=2, padding=1, init="bilinear"),
            move=DeformableConv(5, 3),
        ),
    )
    model = net.build()
    before = {name: param.detach().clone() for name, param in model.named_parameters()}

    started(model, "he")

    changed = {name for name, param in model.named_parameters() if not torch.equal(param, before[name])}
    assert changed == {"conv.weight", "conv.bias", "scaled.body.weight", "scaled.body.bias", "move.weight", "move.bias"}


def test_fcn_enlarges_linearly_after_any_start() -> None:
    model = Chain(score=Conv(3, 1), up2=ConvTranspose(3, 4, stride=2, padding=1, bias=False, init="bilinear")).build((2, 6, 5))
    images = torch.randn(1, 3, 6, 5)
    expected = F.interpolate(images, scale_factor=2, mode="bilinear")[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(started(model, "orthogonal").up2(images)[:, :, 1:-1, 1:-1], expected)


def test_every_scheme_starts_the_paper_s_lenet() -> None:
    net = network("lenet5_paper")
    for scheme in ("zero", "constant", "normal", "uniform", "xavier", "xavier_normal", "he", "he_uniform", "orthogonal", "dirac"):
        logits = started(net.build(), scheme)(torch.randn(3, *net.input_shape))
        assert torch.isfinite(logits).all(), scheme
    assert isinstance(net.root["head.rbf"], EuclideanRBF)


# ---- LSUV


def deviations(model: nn.Module, images: Tensor) -> dict[str, float]:
    """The deviation of the output of each layer with weights, in evaluation mode."""
    found: dict[str, float] = {}
    names = {layer: name for name, layer in model.named_modules()}

    def note(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        found[names[layer]] = output.std().item()

    handles = [layer.register_forward_hook(note) for layer in gains(model)]
    with torch.no_grad():
        model.eval()(images)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.row("002-6")
@pytest.mark.parametrize("name", ["cifar_notes", "resnet20_cifar", "nin_cifar"])
def test_lsuv_gives_each_layer_outputs_of_deviation_one(name: str) -> None:
    net = network(name)
    model = net.build()
    images = 3 * torch.randn(6, *net.input_shape) + 1
    started(model, "lsuv", images=images)
    assert all(part.training for part in model.modules())
    assert all(not part.running_mean.any() for part in model.modules() if isinstance(part, nn.BatchNorm2d))
    assert deviations(model, images) == pytest.approx(dict.fromkeys(deviations(model, images), 1.0), rel=1e-3)


def test_lsuv_names_the_layer_whose_output_is_the_same_everywhere() -> None:
    model = nn.Sequential()
    model.add_module("stem", nn.Linear(3, 4))
    model.add_module("head", nn.Linear(4, 2))
    with pytest.raises(
        NumericError, match=r"lsuv: the outputs of stem have standard deviation 0 for the images given\nGive a batch of different"
    ):
        initialise(model, "lsuv", images=torch.zeros(5, 3))


def test_whitened_filters_have_equal_variance_and_later_layers_pass_their_inputs_on() -> None:
    model = nn.Sequential(nn.Conv2d(3, 28, 2), nn.ReLU(), nn.Conv2d(28, 32, 3), nn.Linear(4, 3))
    smooth = nn.functional.avg_pool2d(torch.randn(64, 3, 14, 14), 3, 1)  # pixels that resemble their neighbours
    before = copy.deepcopy(model)

    initialise(model, "whitened", images=smooth)

    out = model[0](smooth)  # (N, 28, h, w)
    values = out.movedim(1, 0).flatten(1)
    torch.testing.assert_close(values[12:24], -values[:12])
    covariance = values[:12] @ values[:12].T / values.shape[1]
    shares = covariance.diagonal()
    assert 0.9 < shares[0] <= 1.001 and (shares.diff() < 1e-4).all()  # less than 1 where windows hardly vary
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-3
    torch.testing.assert_close(model[0].weight[24:], before[0].weight[24:])
    passed_on = model[2](out)[:, :28]
    torch.testing.assert_close(passed_on, out[:, :, 1:-1, 1:-1])
    assert torch.equal(model[2].weight[28:], before[2].weight[28:])
    assert torch.equal(model[3].weight, before[3].weight)


# ---- errors


def test_errors_say_what_is_wrong() -> None:
    model = nn.Linear(2, 3)
    with pytest.raises(UnknownNameError, match=r"unknown initialisation 'xaver'\nDid you mean xavier"):
        initialise(model, "xaver")  # type: ignore[arg-type]
    with pytest.raises(
        UsageError, match=r"a scale belongs to the initialisations constant, normal, uniform, not to he\nLeave init_scale out"
    ):
        initialise(model, "he", scale=0.1)
    for scheme in ("lsuv", "whitened"):
        with pytest.raises(UsageError, match=f"{scheme} needs a batch of images"):
            initialise(model, scheme)  # type: ignore[arg-type]
    for images in (torch.ones(2, 2), torch.ones(2, 1, 3, 3)):
        with pytest.raises(
            UsageError, match=r"whitened needs a network whose first layer is a convolution of pictures\nChoose another init"
        ):
            initialise(nn.Sequential(model, nn.Conv2d(1, 2, 3)), "whitened", images=images)


# ---- what it is for


@pytest.mark.parametrize(("name", "size"), [("efficientnet_b0", 64), ("plain56_cifar", 32)])
def test_he_lets_a_fresh_deep_network_tell_images_apart_in_evaluation_mode(name: str, size: int) -> None:
    """Fresh batch norms do nothing in evaluation mode, and torch's default weights lose a factor of 2.4 a layer."""
    model = network(name, num_classes=7, input_size=size).build()
    images = torch.randn(3, 3, size, size)
    spreads = []
    for scheme in ("default", "he"):
        with torch.no_grad():
            logits = started(model, scheme).eval()(images)
        spreads.append(logits.std(0).mean().item())
    assert spreads[0] < 1e-6
    assert spreads[1] > 1e-4  # each of EfficientNet's 16 gates halves the signal, whatever the weights
