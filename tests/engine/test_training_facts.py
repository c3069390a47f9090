"""Facts about training that follow from where the weights start, measured against theory."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.seeds import torch_seed
from striate.engine.initialisation import initialise

DEPTH, WIDTH, BATCH = 50, 256, 100


def deep(activation: Callable[[], nn.Module], scheme: str, seed: int = 0, **options: float) -> nn.Sequential:
    """Fifty layers of 256 units, each with `activation`, in float64."""
    layers = [part for _ in range(DEPTH) for part in (nn.Linear(WIDTH, WIDTH, dtype=torch.float64), activation())]
    model = nn.Sequential(*layers)
    with torch_seed(seed):
        initialise(model, scheme, **options)  # type: ignore[arg-type]
    return model


def deviation_after(model: nn.Module) -> float:
    """Of the output for images of mean 0 and deviation 1, about 0: the root of the mean square."""
    images = torch.randn(BATCH, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model(images).square().mean().sqrt().item()


def gradient_deviation(model: nn.Module) -> float:
    """Of the gradient at the input, for one of deviation 1 at the output."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH, WIDTH, dtype=torch.float64, generator=generator, requires_grad=True)
    output = model(images)
    (gradient,) = torch.autograd.grad(output, images, torch.randn(output.shape, dtype=torch.float64, generator=generator))
    return gradient.square().mean().sqrt().item()


# ---- the variance through fifty layers


@pytest.mark.row("002-4")
@pytest.mark.parametrize("factor", [1.0, 1.5, 0.5])
def test_fifty_linear_layers_multiply_the_deviation_by_the_factor_to_the_fifty(factor: float) -> None:
    """1.5 to the 50 is 6e8, 0.5 to the 50 is 9e-16. The logarithm wanders by sqrt(50 / (2 n)) = 0.3."""
    measured = deviation_after(deep(nn.Identity, "normal", scale=factor / math.sqrt(WIDTH)))
    assert math.log(measured) == pytest.approx(DEPTH * math.log(factor), abs=1)


@pytest.mark.row("002-4")
@pytest.mark.parametrize(("scale", "power"), [(0.01, -40), (1.0, 60)])
def test_small_weights_vanish_and_large_ones_explode(scale: float, power: int) -> None:
    """Each layer multiplies by scale sqrt(256): 0.16 to the 50 is 2e-40, 16 to the 50 is 2e60."""
    model = deep(nn.Identity, "normal", scale=scale)
    assert math.log10(deviation_after(model)) == pytest.approx(power, abs=1)
    assert math.log10(gradient_deviation(model)) == pytest.approx(power, abs=1)


@pytest.mark.row("002-6")
@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("he", 1.0), ("he_uniform", 1.0), ("orthogonal", 1.0), ("xavier", 2.0**-25), ("xavier_normal", 2.0**-25)],
)
def test_he_keeps_fifty_relu_layers_alive_and_xavier_halves_the_variance_at_each(scheme: str, expected: float) -> None:
    """Half of what comes out of ReLU is nothing: 2 to the -25 is 3e-8. The logarithm wanders by sqrt(50 * 5 / (4 n)) = 0.5."""
    model = deep(nn.ReLU, scheme)
    assert math.log(deviation_after(model)) == pytest.approx(math.log(expected), abs=1.5)
    assert math.log(gradient_deviation(model)) == pytest.approx(math.log(expected), abs=1.5)


@pytest.mark.row("003-42")
@pytest.mark.parametrize("activation", [lambda: nn.LeakyReLU(0.3), nn.PReLU, lambda: nn.RReLU(0.1, 0.5), nn.ELU, nn.SELU])
def test_he_keeps_the_variants_of_relu_alive_for_fifty_layers(activation: Callable[[], nn.Module]) -> None:
    model = deep(activation, "he").double().eval()
    assert 0.1 < deviation_after(model) < 10
    assert 0.03 < gradient_deviation(model) < 30


@pytest.mark.row("002-5")
def test_xavier_keeps_fifty_tanh_layers_out_of_saturation_where_unit_weights_saturate_all() -> None:
    kept, saturated = (deep(nn.Tanh, scheme, **options) for scheme, options in (("xavier", {}), ("normal", {"scale": 1.0})))
    images = torch.randn(BATCH, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        shares = [(model(images).abs() > 0.99).double().mean().item() for model in (kept, saturated)]
    assert shares[0] < 0.001
    assert shares[1] > 0.85
    assert 0.01 < deviation_after(kept) < 1


@pytest.mark.row("002-5")
def test_xavier_is_between_what_the_forward_and_the_backward_pass_want() -> None:
    """Forward a layer multiplies the variance by n Var(w), backward by m Var(w): with 2 / (n + m) these are 0.4 and 1.6 for m = 4 n."""
    n, m = 300, 1200
    generator = torch.Generator().manual_seed(1)  # another than the weights': one seed gives numbers that agree
    for scheme, forward, backward in (("xavier", 0.4, 1.6), ("xavier_normal", 0.4, 1.6), ("he", 1.0, 4.0)):
        layer = nn.Linear(n, m)
        with torch_seed(0):
            initialise(layer, scheme)  # type: ignore[arg-type]
        inputs = torch.randn(200, n, generator=generator, requires_grad=True)
        output = layer(inputs)
        (gradient,) = torch.autograd.grad(output, inputs, torch.randn(output.shape, generator=generator))
        assert output.var().item() == pytest.approx(forward, rel=0.03)
        assert gradient.var().item() == pytest.approx(backward, rel=0.03)


@pytest.mark.row("002-6")
def test_orthogonal_layers_keep_every_length_exactly() -> None:
    images = torch.randn(7, WIDTH, dtype=torch.float64)
    with torch.no_grad():
        output = deep(nn.Identity, "orthogonal")(images)
    torch.testing.assert_close(output.norm(dim=1), images.norm(dim=1), rtol=1e-4, atol=0)


# ---- symmetry


def hidden_rows(model: nn.Sequential) -> list[Tensor]:
    """The weights and the bias of each hidden unit, a row a unit, for each layer but the last."""
    layers = [layer for layer in model if isinstance(layer, nn.Conv2d | nn.Linear)][:-1]
    return [torch.cat([layer.weight.detach().flatten(1), layer.bias.detach()[:, None]], 1) for layer in layers]


def small_network(scheme: str, **options: float) -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(5 * 2 * 3, 7), nn.ReLU(), nn.Linear(7, 3))
    with torch_seed(0):
        initialise(model, scheme, **options)  # type: ignore[arg-type]
    return model


def train_for(model: nn.Module, steps: int, rate: float = 0.2) -> float:
    """The loss after so many steps of plain descent on three kinds of pictures (2, 6, 8), told apart by where they are bright."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    images = torch.randn(60, 2, 6, 8, generator=generator)
    for row, label in enumerate(labels.tolist()):
        images[row, :, :, 3 * label : 3 * label + 2] += 2
    for _ in range(steps):
        model.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        with torch.no_grad():
            for param in model.parameters():
                param.sub_(rate * param.grad)  # type: ignore[operator]
    with torch.no_grad():
        return F.cross_entropy(model(images), labels).item()


@pytest.mark.row("002-3")
def test_units_that_start_at_zero_stay_there_and_the_loss_with_them() -> None:
    model = small_network("zero")
    loss = train_for(model, 100)
    assert all(not rows.any() for rows in hidden_rows(model))
    assert loss == pytest.approx(math.log(3), abs=1e-6)  # that of guessing: only the last bias could move


@pytest.mark.row("002-3")
def test_units_that_start_equal_stay_equal_though_they_learn() -> None:
    model, other = small_network("constant", scale=0.1), small_network("he")
    before = hidden_rows(model)
    losses = [train_for(m, 100) for m in (model, other)]
    for rows, start in zip(hidden_rows(model), before, strict=True):
        assert (rows - start).abs().max() > 1e-3
        assert (rows - rows[:1]).abs().max() < 1e-5
    assert losses[1] < 0.1 < losses[0]
    assert min((rows - rows[:1])[1:].abs().amax(1).min() for rows in hidden_rows(other)) > 0.01


# ---- units that do not learn any more


@pytest.mark.row("002-19")
def test_a_relu_unit_below_zero_everywhere_never_learns_again_and_a_leaky_one_does() -> None:
    for activation, revives in ((nn.ReLU(), False), (nn.LeakyReLU(0.1), True)):
        model = nn.Sequential(nn.Flatten(), nn.Linear(96, 4), activation, nn.Linear(4, 3))
        with torch_seed(0):
            initialise(model, "he")
        with torch.no_grad():
            model[1].bias[2] = -1000.0  # type: ignore[index]
        before = model[1].weight.detach().clone()
        train_for(model, 50, rate=0.01)
        moved = (model[1].weight.detach() - before).abs().amax(1)
        assert (moved[2].item() > 0) == revives
        assert moved[[0, 1, 3]].min() > 1e-4


@pytest.mark.slow
@pytest.mark.row("003-42")
def test_batch_normalization_learns_at_ten_times_the_rate_at_which_a_plain_network_does_not() -> None:
    """Ioffe and Szegedy, 2015, section 4.2, with five convolutions on the 8 x 8 digits and plain descent."""
    digits = load_digits()
    images = torch.tensor(digits.images[:1000], dtype=torch.float32)[:, None] / 8 - 0.6
    labels = torch.tensor(digits.target[:1000])
    losses = {(norm, rate): loss_on_digits(images, labels, norm, rate) for norm, rate in ((False, 0.15), (False, 1.5), (True, 1.5))}
    assert losses[False, 0.15] < 1.8  # the plain network learns at its own rate
    assert losses[False, 1.5] > 2.2  # ln 10 = 2.3 is guessing
    assert losses[True, 1.5] < 0.3


def loss_on_digits(images: Tensor, labels: Tensor, normalized: bool, rate: float) -> float:
    """The mean of the last 20 of 150 batches, in training mode."""
    parts: list[nn.Module] = []
    for i in range(5):
        parts += [nn.Conv2d(16 if i else 1, 16, 3, padding=1), *([nn.BatchNorm2d(16)] if normalized else []), nn.ReLU()]
        parts += [nn.MaxPool2d(2)] if i == 1 else []
    model = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    with torch_seed(0):
        initialise(model, "he")
    generator, losses = torch.Generator().manual_seed(1), []
    for _ in range(150):
        places = torch.randint(1000, (50,), generator=generator)
        model.zero_grad()
        loss = F.cross_entropy(model(images[places]), labels[places])
        loss.backward()
        with torch.no_grad():
            for param in model.parameters():
                param.sub_(rate * param.grad)  # type: ignore[operator]
        losses.append(min(loss.item(), 1e9))
    return sum(losses[-20:]) / 20


def test_the_variance_of_a_batch_s_gradient_falls_with_its_size() -> None:
    """Drawn with replacement, it is that of one sample divided by the size."""
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(500, 8, generator=generator), torch.randint(3, (500,), generator=generator)
    weight = torch.randn(3, 8, generator=generator, requires_grad=True)

    def gradient(places: Tensor) -> Tensor:
        return torch.autograd.grad(F.cross_entropy(inputs[places] @ weight.T, labels[places]), weight)[0]

    whole = gradient(torch.arange(500))
    one = sum((gradient(torch.tensor([i])) - whole).square().sum().item() for i in range(500)) / 500
    for size in (4, 32):
        draws = [gradient(torch.randint(500, (size,), generator=generator)) for _ in range(500)]
        measured = sum((g - whole).square().sum().item() for g in draws) / 500
        assert measured == pytest.approx(one / size, rel=0.15)


# ---- depth


@pytest.mark.release
@pytest.mark.row("002-12", "003-54")
def test_the_training_error_of_plain_networks_falls_with_depth_and_then_rises_and_shortcuts_undo_it() -> None:
    """He et al., 2015, arXiv:1512.03385, Figure 1, with 1, 4 and 30 normalized convolutions on the 8 x 8 digits, on equal budgets."""
    digits = load_digits()
    images = torch.tensor(digits.images[:1000], dtype=torch.float32)[:, None] / 8 - 0.6
    labels = torch.tensor(digits.target[:1000])
    plain = {depth: loss_of_depth(images, labels, depth, shortcuts=False) for depth in (1, 4, 30)}
    residual = {depth: loss_of_depth(images, labels, depth, shortcuts=True) for depth in (4, 30)}
    assert plain[4] < 0.7 * plain[1]
    assert plain[30] > 2 * plain[4]
    assert residual[30] < 0.5 * plain[30]
    assert residual[30] < residual[4]


class Unit(nn.Module):
    """relu(norm(conv(x))), and x added before the ReLU where there is a shortcut."""

    def __init__(self, *, shortcut: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.shortcut = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), shortcut

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return F.relu(x + y if self.shortcut else y)


def loss_of_depth(images: Tensor, labels: Tensor, depth: int, *, shortcuts: bool) -> float:
    """The mean of the last 20 of 80 batches of 50, with momentum."""
    stem = [nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    units = [Unit(shortcut=shortcuts) for _ in range(depth - 1)]
    model = nn.Sequential(*stem, *units, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))
    with torch_seed(0):
        initialise(model, "he")
    if shortcuts:
        for unit in units:  # each begins as the identity (Goyal et al., 2017)
            nn.init.zeros_(unit.norm.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    generator, losses = torch.Generator().manual_seed(1), []
    for _ in range(80):
        places = torch.randint(1000, (50,), generator=generator)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images[places]), labels[places])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20
