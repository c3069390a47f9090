"""Each fault is planted in a small network and found, and nothing else is; healthy trainings are found healthy."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from striate.insight.diagnose import KINDS


def conv(in_channels: int, out_channels: int, *, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=bias)


def cnn(act: type[nn.Module] = nn.ReLU, *, norm: bool = False, momentum: float = 0.1) -> nn.Sequential:
    """conv (norm) act pool, twice, and two dense layers: (N, 1, 8, 8) to (N, 10)."""

    def stage(in_channels: int, out_channels: int) -> list[nn.Module]:
        norms = [nn.BatchNorm2d(out_channels, momentum=momentum)] if norm else []
        return [conv(in_channels, out_channels), *norms, act(), nn.MaxPool2d(2)]

    return nn.Sequential(*stage(1, 8), *stage(8, 16), nn.Flatten(), nn.Linear(64, 32), act(), nn.Linear(32, 10))


def dense(act: type[nn.Module], *, layers: int = 2, width: int = 32, dropout: float = 0.0) -> nn.Sequential:
    """`layers` dense layers with their activations, and one more."""
    widths = [64] + [width] * layers
    parts: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(widths):
        parts += [nn.Linear(a, b), act(), nn.Dropout(dropout)]
    return nn.Sequential(*parts, nn.Linear(width, 10))


class Residual(nn.Module):
    """relu(x + body(x))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        norm = nn.BatchNorm2d
        self.body = nn.Sequential(
            conv(channels, channels, bias=False), norm(channels), nn.ReLU(), conv(channels, channels, bias=False), norm(channels)
        )
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.body(x))


def resnet() -> nn.Sequential:
    stem = [conv(1, 8, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*stem, Residual(8), Residual(8), Residual(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


class Root(nn.Module):
    """Not defined for what a ReLU gives most: zero."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x - 0.05)


def weights(model: nn.Module) -> Iterable[Any]:
    return (part for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear))


class Training(NamedTuple):
    """A model, its optimizer, and how it is trained."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    options: dict[str, Any] = {}  # noqa: RUF012 (never changed)


def sgd(model: nn.Module, learning_rate: float, **options: Any) -> Training:
    return Training(model, torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9, nesterov=True), options)


def plain(model: nn.Module, learning_rate: float, **options: Any) -> Training:
    return Training(model, torch.optim.SGD(model.parameters(), lr=learning_rate), options)


def adamw(model: nn.Module, learning_rate: float, **options: Any) -> Training:
    return Training(model, torch.optim.AdamW(model.parameters(), lr=learning_rate), options)


# ---- faults: the kind, where it is, and the training


def not_finite() -> Training:
    parts = list(cnn())
    return sgd(nn.Sequential(*parts[:2], Root(), *parts[2:]), 0.02, epochs=1)


def initialised(act: type[nn.Module], layers: int, fill: Callable[[Tensor], Any]) -> nn.Sequential:
    model = dense(act, layers=layers)
    for part in weights(model):
        fill(part.weight)
        nn.init.zeros_(part.bias)
    return model


def equal_weights(value: float) -> Training:
    return sgd(initialised(nn.ReLU, 2, lambda weight: nn.init.constant_(weight, value)), 0.02)


def nearly_frozen(layer: int, factor: float) -> Training:
    model = cnn()
    own = list(model[layer].parameters())
    others = [parameter for parameter in model.parameters() if all(parameter is not one for one in own)]
    groups = [{"params": others}, {"params": own, "lr": 0.05 * factor}]
    return Training(model, torch.optim.SGD(groups, lr=0.05, momentum=0.9), {"epochs": 4})


def pushed_below_zero() -> Training:
    model = cnn()
    nn.init.constant_(model[3].bias, -10)
    return sgd(model, 0.01)


def too_large_for(act: type[nn.Module]) -> Training:
    model = dense(act)
    nn.init.normal_(model[1].weight, std=20)
    return sgd(model, 0.01)


def half_zero() -> Training:
    model = cnn(norm=True)
    kernel = model[4].weight  # (16, 8, 3, 3)
    with torch.no_grad():
        kernel[:8] = 0
        model[4].bias[:8] = torch.arange(8.0)
    kernel.register_hook(lambda gradient: torch.cat([torch.zeros_like(gradient[:8]), gradient[8:]]))
    return sgd(model, 0.02)


def narrow() -> Training:
    return sgd(nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Tanh(), nn.Linear(1, 10)), 0.02, epochs=4)


FAULTS: dict[str, tuple[str, str, Callable[[], Training]]] = {
    "a root of negative numbers": ("not_finite", "2", not_finite),
    "all weights equal": ("symmetric_units", "1", lambda: equal_weights(0.05)),
    "all weights zero": ("symmetric_units", "1", lambda: equal_weights(0.0)),
    "SGD at 2": ("learning_rate_too_high", "", lambda: sgd(cnn(), 2.0)),
    "SGD at 10 with batch norm": ("learning_rate_too_high", "", lambda: sgd(cnn(norm=True), 10.0)),
    "AdamW at 0.5": ("learning_rate_too_high", "", lambda: adamw(cnn(norm=True), 0.5)),
    "SGD at 1e-7": ("learning_rate_too_low", "", lambda: sgd(cnn(), 1e-7)),
    "AdamW at 1e-8": ("learning_rate_too_low", "", lambda: adamw(cnn(norm=True), 1e-8)),
    "SGD at 1e-5 without momentum": ("learning_rate_too_low", "", lambda: plain(dense(nn.ReLU), 1e-5)),
    "a layer nearly frozen": ("uneven_updates", "0", lambda: nearly_frozen(0, 3e-5)),
    "biases at -10": ("dead_relu", "4", pushed_below_zero),
    "sigmoid after large weights": ("saturated", "2", lambda: too_large_for(nn.Sigmoid)),
    "tanh after large weights": ("saturated", "2", lambda: too_large_for(nn.Tanh)),
    "half of the kernels zero": ("constant_units", "4", half_zero),
    "nine sigmoids": ("vanishing_gradient", "1", lambda: sgd(initialised(nn.Sigmoid, 9, nn.init.xavier_normal_), 0.05)),
    "five sigmoids, until late": ("vanishing_gradient", "1", lambda: sgd(dense(nn.Sigmoid, layers=5, width=64), 0.02, epochs=4)),
    "twelve tanh from small weights, until late": (
        "vanishing_gradient",
        "1",
        lambda: sgd(initialised(nn.Tanh, 12, lambda weight: nn.init.normal_(weight, std=0.01)), 0.02, epochs=4),
    ),
    "nine layers with a gain of 3": (
        "exploding_gradient",
        "1",
        lambda: adamw(initialised(nn.ReLU, 9, lambda weight: nn.init.normal_(weight, std=0.75)), 1e-3),
    ),
    "the same with clipped gradients": (
        "exploding_gradient",
        "1",
        lambda: sgd(initialised(nn.ReLU, 9, lambda weight: nn.init.normal_(weight, std=0.75)), 1e-3, max_grad_norm=0.1),
    ),
    "a batch norm that remembers all": (
        "batch_norm_drift",
        "1",
        lambda: sgd(cnn(norm=True, momentum=1e-4), 0.02, epochs=8, batch_size=24),
    ),
    "64 pictures": ("overfitting", "", lambda: adamw(dense(nn.ReLU, width=128), 2e-3, num_images=64, batch_size=16, epochs=60)),
    "one hidden unit": ("underfitting", "", narrow),
    "a slow loader": ("loader_bound", "", lambda: adamw(cnn(), 5e-3, wait=0.02)),
}


def test_each_kind_of_finding_is_planted():
    """Here, or in test_diagnose_outcomes: what goes by the kept model's answers, or by settings that a plain loop does not have."""
    elsewhere = {
        "label_noise",
        "input_scale",
        "regularisation_too_strong",
        "frozen_at_random",
        "batch_norm_unsettled",
        "leak",
        "val_differs",
        "rare_classes",
    }

    assert {kind for kind, _, _ in FAULTS.values()} == set(KINDS) - elsewhere


@pytest.mark.row("003-41")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(fault, train):
    kind, where, plant = FAULTS[fault]
    torch.manual_seed(0)
    training = plant()

    seen = train(training.model, training.optimizer, **training.options)

    assert [(finding.kind, finding.where) for finding in seen.said] == [(kind, where)]
    finding = seen.said[0]
    assert finding.message and finding.cause and finding.remedy and finding.unit
    assert kind not in finding.consequences


# Normal settings: rates as the command line chooses them, and larger and smaller ones.
HEALTHY: dict[str, Callable[[], Training]] = {
    "cnn, SGD": lambda: sgd(cnn(), 0.02, epochs=6),
    "cnn, AdamW": lambda: adamw(cnn(), 5e-3, epochs=6),
    "cnn with batch norm": lambda: sgd(cnn(norm=True), 0.025, epochs=6),
    "cnn with batch norm, a large rate": lambda: sgd(cnn(norm=True), 0.1, epochs=6),
    "cnn with batch norm, long": lambda: sgd(cnn(norm=True), 0.025, epochs=16),
    "residual network": lambda: sgd(resnet(), 0.05, epochs=8),
    "tanh": lambda: sgd(cnn(nn.Tanh), 0.02, epochs=6),
    "sigmoid": lambda: adamw(dense(nn.Sigmoid, width=64), 5e-3, epochs=8),
    "dense with dropout": lambda: sgd(dense(nn.ReLU, width=64, dropout=0.3), 0.02, epochs=6),
    "GELU": lambda: adamw(cnn(nn.GELU), 2e-3, epochs=6),
    "seven dense layers": lambda: adamw(initialised(nn.ReLU, 7, nn.init.kaiming_normal_), 2e-3, epochs=6),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_is_found_healthy(name, train):
    torch.manual_seed(0)
    training = HEALTHY[name]()

    seen = train(training.model, training.optimizer, **training.options)

    assert seen.said == []
    assert max(row["val_accuracy"] for row in seen.rows) > 0.85  # of the last epoch it depends on the processor's roundings
    assert len(seen.probe.samples) > 8
