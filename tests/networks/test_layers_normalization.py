"""Facts about normalization, each against its formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers import BatchNorm, Gain, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm

F64 = torch.float64


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) * 2 + 1


def standardized(x: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """(x - mean) / sqrt(variance + eps) over `axes`, the variance over n, written out."""
    mean = x.sum(axes, keepdim=True) / x[0].new_tensor([x.shape[a] for a in axes]).prod()
    count = x.numel() / mean.numel()
    variance = ((x - mean) ** 2).sum(axes, keepdim=True) / count
    return (x - mean) / torch.sqrt(variance + eps)


def with_random_affine(module: nn.Module) -> nn.Module:
    for index, parameter in enumerate(module.parameters()):
        parameter.data = images(*parameter.shape, seed=index + 5).to(parameter.dtype)
    return module.double()


@pytest.mark.row("001-7")
@pytest.mark.row("002-7")
def test_batch_norm_in_training_uses_the_batch_and_keeps_unbiased_running_statistics():
    x, module = images(4, 3, 5, 6), with_random_affine(BatchNorm(1e-3, 0.01).build((3, 5, 6)))

    output = module(x)

    expected = standardized(x, (0, 2, 3), 1e-3) * module.weight[:, None, None] + module.bias[:, None, None]
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(module.running_mean, 0.01 * x.mean((0, 2, 3)), rtol=0, atol=1e-12)
    torch.testing.assert_close(module.running_var, 0.99 + 0.01 * x.var((0, 2, 3), correction=1), rtol=0, atol=1e-12)


@pytest.mark.row("001-7")
@pytest.mark.row("002-7")
def test_batch_norm_in_evaluation_uses_the_running_statistics():
    x, module = images(4, 3, 5, 6), with_random_affine(BatchNorm().build((3, 5, 6))).eval()
    module.running_mean, module.running_var = torch.tensor([1.0, -2, 3], dtype=F64), torch.tensor([4.0, 0.5, 1], dtype=F64)
    scale, shift = (t[:, None, None] for t in (module.weight, module.bias))
    mean, var = (t[:, None, None] for t in (module.running_mean, module.running_var))
    torch.testing.assert_close(module(x), scale * (x - mean) / torch.sqrt(var + 1e-5) + shift, rtol=0, atol=1e-12)


@pytest.mark.row("000-2")
@pytest.mark.row("001-7")
def test_the_gradient_through_batch_statistics_is_right():
    module = with_random_affine(BatchNorm().build((2, 3, 2)))
    assert torch.autograd.gradcheck(module, images(3, 2, 3, 2).requires_grad_(), rtol=1e-6, atol=1e-7)


def test_batch_norm_without_scale_learns_the_shift_alone():
    """Its weight stays at 1, so that weights copy in and out as everywhere else."""
    module = BatchNorm(scale=False).build((3, 5, 6))
    assert [name for name, p in module.named_parameters() if p.requires_grad] == ["bias"]
    assert module.weight.tolist() == [1, 1, 1]
    module(torch.randn(2, 3, 5, 6)).sum().backward()
    assert module.weight.grad is None and module.bias.grad is not None


def test_batch_norm_follows_the_rank():
    kinds = {(3,): nn.BatchNorm1d, (3, 4): nn.BatchNorm1d, (3, 4, 5): nn.BatchNorm2d, (3, 2, 4, 5): nn.BatchNorm3d}
    assert all(type(BatchNorm().build(shape)) is kind for shape, kind in kinds.items())


def test_group_layer_and_instance_normalization_differ_in_what_they_average_over():
    x = images(2, 6, 4, 5)
    group = with_random_affine(GroupNorm(3).build((6, 4, 5)))
    by_group = standardized(x.view(2, 3, 2, 4, 5), (2, 3, 4), 1e-5).view(2, 6, 4, 5)
    torch.testing.assert_close(group(x), by_group * group.weight[:, None, None] + group.bias[:, None, None], rtol=0, atol=1e-12)

    layer = with_random_affine(LayerNorm(1e-6).build((6, 4, 5)))
    by_place = standardized(x, (1,), 1e-6)
    torch.testing.assert_close(layer(x), by_place * layer.weight[:, None, None] + layer.bias[:, None, None], rtol=0, atol=1e-12)

    instance = with_random_affine(InstanceNorm(affine=True).build((6, 4, 5)))
    by_map = standardized(x, (2, 3), 1e-5)
    torch.testing.assert_close(instance(x), by_map * instance.weight[:, None, None] + instance.bias[:, None, None], rtol=0, atol=1e-12)
    torch.testing.assert_close(InstanceNorm().build((6, 4, 5))(x), by_map, rtol=0, atol=1e-12)


def test_layer_norm_over_features_is_that_of_sequences():
    x = images(2, 4, 6)
    module = with_random_affine(LayerNorm(over="features").build((4, 6)))
    torch.testing.assert_close(module(x), standardized(x, (2,), 1e-5) * module.weight + module.bias, rtol=0, atol=1e-12)


def lrn_by_loops(x: Tensor, n: int, alpha: float, beta: float, k: float) -> Tensor:
    """The paper's formula, channel by channel: j from max(0, i - n/2) to min(N - 1, i + n/2)."""
    output = torch.empty_like(x)
    for i in range(x.shape[1]):
        low, high = max(0, i - n // 2), min(x.shape[1] - 1, i + n // 2)
        total = sum(x[:, j] ** 2 for j in range(low, high + 1))
        output[:, i] = x[:, i] / (k + alpha * total) ** beta
    return output


@pytest.mark.row("004-13")
def test_local_response_normalization_is_the_papers_formula():
    x = images(2, 9, 3, 4) * 20
    output = LocalResponseNorm().build((9, 3, 4))(x)
    torch.testing.assert_close(output, lrn_by_loops(x, 5, 1e-4, 0.75, 2.0), rtol=0, atol=1e-11)
    assert (output - F.local_response_norm(x, 5, 1e-4, 0.75, 2.0)).abs().max() > 0.01, "torch divides alpha by n"
    torch.testing.assert_close(output, F.local_response_norm(x, 5, 5e-4, 0.75, 2.0), rtol=0, atol=1e-11)


@pytest.mark.row("004-13")
def test_local_response_normalization_with_alpha_divided_is_torchs_and_caffes():
    x = images(2, 9, 3, 4) * 20
    output = LocalResponseNorm(5, 1e-4, 0.75, 1.0, divide_alpha=True).build((9, 3, 4))(x)
    torch.testing.assert_close(output, F.local_response_norm(x, 5, 1e-4, 0.75, 1.0), rtol=0, atol=0)
    torch.testing.assert_close(output, lrn_by_loops(x, 5, 1e-4 / 5, 0.75, 1.0), rtol=0, atol=1e-11)


def test_a_gain_is_a_learned_constant_for_each_channel():
    module = Gain(1e-6).build((3, 4, 5))
    assert torch.equal(module(torch.randn(2, 3, 4, 5)), torch.full((2, 3, 1, 1), 1e-6))
    module.weight.data = torch.tensor([1.0, 2, 3]).view(3, 1, 1)
    assert module(torch.full((2, 3, 4, 5), float("nan")))[1].flatten().tolist() == [1, 2, 3]


def test_normalization_errors_say_what_fits():
    with pytest.raises(ShapeError, match=r"groups=4 needs a multiple of that many channels, got \(6, 5, 5\)"):
        GroupNorm(4).output_shape((6, 5, 5))
    with pytest.raises(ShapeError, match=r"instance normalization needs maps of at least 2 places, got \(6, 1, 1\)"):
        InstanceNorm().build((6, 1, 1))
    with pytest.raises(ShapeError, match=r"local response normalization needs a shape .*, got \(6,\)"):
        LocalResponseNorm().output_shape((6,))
    with pytest.raises(UsageError, match="BatchNorm: eps: must be more than 0, got 0"):
        BatchNorm(0)
    with pytest.raises(UsageError, match="BatchNorm: momentum: must be at most 1, got 9"):
        BatchNorm(momentum=9)
