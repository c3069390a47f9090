"""Our kernels against torch's layers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.engine import native
from striate.engine.fused import fused_layers
from striate.engine.native import kernels

LAST = torch.channels_last
TYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
pytestmark = pytest.mark.skipif(kernels() is None, reason="there is no compiler here")


class Chain(nn.Sequential):
    """A sequence that runs as a whole."""


class Sum(nn.Module):
    """The sum of a map and its normalization."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.merge_by, self.body = "sum", Chain(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def passed(model: nn.Module, x: Tensor, *, fused: bool = True) -> list[Tensor]:
    """The output for `x`, the gradients of `x` and of the parameters, and the buffers."""
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    model.zero_grad()
    if fused:
        with fused_layers(model) as fused_ones:
            y = model(x)
        assert fused_ones
    else:
        y = model(x)
    weights = torch.linspace(-1, 2, y.numel()).view(y.shape).to(y.dtype).contiguous(memory_format=LAST)
    (y * weights).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return [each.detach().clone() for each in (y, x.grad, *gradients, *model.buffers())]


def maps(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return (torch.randn(shape, generator=generator) * 3 + 1).to(dtype).contiguous(memory_format=LAST)


def reference(norm: nn.BatchNorm2d, x: Tensor, *, rectified: bool) -> list[Tensor]:
    """Output and gradients in float64, by torch's own arithmetic written out."""
    wide, weight, bias = (each.detach().double().requires_grad_() for each in (x, norm.weight, norm.bias))
    mean, variance = wide.mean((0, 2, 3), keepdim=True), wide.var((0, 2, 3), unbiased=False, keepdim=True)
    y = (wide - mean) / (variance + norm.eps).sqrt() * weight.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)
    y = y.relu() if rectified else y
    (y * torch.linspace(-1, 2, y.numel(), dtype=torch.float64).view(y.shape)).sum().backward()
    return [each.detach() for each in (y, wide.grad, weight.grad, bias.grad)]


def distance(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    return float((found.double() - wanted.double()).abs().max() / wanted.double().abs().max())


@TYPES
@pytest.mark.parametrize("shape", [(4, 3, 8, 8), (2, 32, 9, 7), (3, 70, 2, 5), (1, 1, 2, 2)])
def test_pooling_and_relu_are_torchs_to_the_bit(shape: tuple[int, ...], dtype: torch.dtype):
    """Whole numbers from -2 to 2: windows full of ties, zeros and negative numbers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-2, 3, shape, generator=generator).to(dtype).contiguous(memory_format=LAST)
    model = Chain(nn.MaxPool2d(2), nn.ReLU())

    for ours, torchs in zip(passed(model, x), passed(model, x, fused=False), strict=True):
        assert torch.equal(ours, torchs) and ours.is_contiguous(memory_format=LAST)


@TYPES
def test_a_window_with_nan_gives_nan(dtype: torch.dtype):
    x = maps(1, 4, 4, 4, dtype=dtype)
    x[0, 1, 2, 1] = float("nan")

    pooled = passed(Chain(nn.MaxPool2d(2), nn.ReLU()), x)[0]
    normalized = passed(Chain(nn.BatchNorm2d(4), nn.ReLU()), x)[0]

    assert pooled.isnan().nonzero().tolist() == [[0, 1, 1, 0]]
    assert normalized[:, 1].isnan().all() and not normalized[:, [0, 2, 3]].isnan().any()


@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("shape", [(16, 16, 8, 8), (5, 7, 3, 5), (2, 130, 6, 6), (9, 3, 1, 1)])
def test_a_batch_norm_is_that_of_float64(shape: tuple[int, ...], *, rectified: bool):
    norm = nn.BatchNorm2d(shape[1])
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, shape[1]))
        norm.bias.copy_(torch.linspace(-1, 1, shape[1]))
    x = maps(*shape)
    wanted = reference(norm, x, rectified=rectified)
    layers = [norm, nn.ReLU()] if rectified else [norm]

    y, dx, dweight, dbias, mean, variance, count = passed(Chain(*layers), x)

    for found, expected in zip((y, dx, dweight, dbias), wanted, strict=True):
        assert distance(found, expected) < 1e-5
    assert distance(mean, 0.1 * x.double().mean((0, 2, 3))) < 1e-6
    assert distance(variance, 0.9 + 0.1 * x.double().var((0, 2, 3))) < 1e-6
    assert count == 1


def test_a_large_mean_costs_no_digits():
    norm, x = nn.BatchNorm2d(8), maps(32, 8, 8, 8) + 1000
    wanted = reference(norm, x, rectified=False)

    assert distance(passed(Chain(norm), x)[0], wanted[0]) < 1e-4


@pytest.mark.parametrize("rectified", [True, False])
def test_a_batch_norm_in_bfloat16_is_rounded_once(*, rectified: bool):
    norm, x = nn.BatchNorm2d(24), maps(8, 24, 6, 6, dtype=torch.bfloat16)
    wanted = reference(norm, x, rectified=rectified)

    y, dx, dweight, dbias, *_ = passed(Chain(norm, nn.ReLU()) if rectified else Chain(norm), x)

    assert y.dtype is dx.dtype is torch.bfloat16 and dweight.dtype is torch.float32
    assert distance(y, wanted[0]) < 2**-8 and distance(dx, wanted[1]) < 2**-7
    assert distance(dweight, wanted[2]) < 2e-2 and distance(dbias, wanted[3]) < 2e-2
    norm.reset_running_stats()
    assert torch.equal(y, passed(Chain(norm, nn.ReLU()) if rectified else Chain(norm), x.float())[0].to(torch.bfloat16))


@TYPES
@pytest.mark.parametrize("hooked", [0, 1])
def test_a_hook_sees_what_is_between_and_changes_no_bit(dtype: torch.dtype, hooked: int):
    def model() -> nn.Module:
        torch.manual_seed(0)
        return Chain(nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(), Sum(6).to(dtype), nn.ReLU())

    def keep(_part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | None = None) -> None:
        seen.append((inputs[0] if output is None else output).detach().clone())

    seen: list[Tensor] = []
    x = maps(3, 6, 8, 8, dtype=dtype)
    alone, watched = model(), model()
    for place in (0, 2, 4):
        (watched[place].register_forward_hook(keep) if hooked == 0 else watched[place + 1].register_forward_pre_hook(keep))

    for ours, wanted in zip(passed(watched, x), passed(alone, x), strict=True):
        assert torch.equal(ours, wanted)
    assert len(seen) == 3 and (seen[0] < 0).any() and (seen[2] < 0).any()


def test_a_sum_is_rectified_in_place_to_the_same_bits():
    torch.manual_seed(0)
    model, x = Chain(nn.Conv2d(6, 6, 1), Sum(6), nn.ReLU(), nn.Conv2d(6, 6, 1)).to(memory_format=LAST), maps(3, 6, 8, 8)
    model[1].body[1].eval()  # whose arithmetic would differ in its last digits

    for ours, wanted in zip(passed(model, x), passed(model, x, fused=False), strict=True):
        assert torch.equal(ours, wanted)


@pytest.mark.parametrize("x", [maps(2, 4, 6, 6).contiguous(), maps(2, 4, 6, 6).double()], ids=["channels first", "float64"])
def test_other_inputs_go_the_usual_way(x: Tensor):
    def model() -> nn.Module:
        return Chain(nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU()).to(x.dtype)

    for ours, torchs in zip(passed(model(), x), passed(model(), x, fused=False), strict=True):
        assert torch.equal(ours, torchs)


def test_evaluation_goes_the_usual_way():
    model, x = Chain(nn.BatchNorm2d(4), nn.ReLU()).eval(), maps(2, 4, 6, 6)
    with fused_layers(model):
        assert torch.equal(model(x), F.relu(type(model[0]).forward(model[0], x)))


def test_a_relu_in_two_places_stays_one():
    relu = nn.ReLU()
    model, x = Chain(nn.BatchNorm2d(4), relu, nn.Conv2d(4, 4, 1), relu).to(memory_format=LAST), maps(2, 4, 6, 6)

    assert passed(model, x)[0].min() == 0


def test_a_model_is_as_before_after_it():
    model = Chain(nn.BatchNorm2d(4), nn.ReLU(), Sum(4), nn.ReLU())
    with fused_layers(model) as fused_ones:
        assert len(fused_ones) == 3 and "forward" in model[0].__dict__ and list(model.state_dict()) == list(Chain(*model).state_dict())

    assert not any("forward" in part.__dict__ for part in model.modules())


@pytest.mark.usefixtures("one_thread")
def test_threads_change_the_last_digits_at_most():
    model, x = Chain(nn.BatchNorm2d(16), nn.ReLU()), maps(8, 16, 7, 7)
    alone = passed(model, x)[:4]
    torch.set_num_threads(3)

    both = passed(model, x)[:4]

    assert all(torch.equal(*pair) for pair in zip(both, passed(model, x)[:4], strict=True))
    assert all(distance(*pair) < 1e-5 for pair in zip(both, alone, strict=True))


@pytest.mark.parametrize("change", ["off", "no compiler", "broken compiler", "writable by others"])
def test_without_kernels_layers_are_torchs(change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    if change == "off":
        monkeypatch.setenv("STRIATE_KERNELS", "0")
    elif change == "no compiler":
        monkeypatch.setattr(native, "COMPILERS", ("no-such-compiler",))
    elif change == "broken compiler":
        monkeypatch.setenv("CXX", "false")
    else:
        (tmp_path / ".cache/striate/kernels").mkdir(parents=True)
        (tmp_path / ".cache/striate/kernels").chmod(0o777)
    native.kernels.cache_clear()
    try:
        assert native.kernels() is None
        with fused_layers(Chain(nn.BatchNorm2d(4), nn.ReLU())) as fused_ones:
            assert not fused_ones
    finally:
        native.kernels.cache_clear()


def test_kernels_are_compiled_once(tmp_path: Path):
    program = "import torch; from striate.engine.native import kernels; assert kernels() is not None"
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    folder = tmp_path / ".cache/striate/kernels"
    made = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=Path(native.__file__).parents[2])
        made.append([(file.name, file.stat().st_mtime_ns) for file in folder.iterdir()])

    assert len(made[0]) == 1 and made[0] == made[1]
