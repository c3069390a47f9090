"""Facts about pooling, each against a plain statement of it."""

from __future__ import annotations

from itertools import product
from math import inf

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from striate.core.errors import ShapeError, UsageError
from striate.networks.layers import AdaptivePool, Chain, Conv, Flatten, GlobalPool, Linear, Pool, Subsample

F64 = torch.float64


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def by_hand(how: str, x: Tensor, k: int, s: int, size: int, before: int, count_padding: bool) -> Tensor:
    """Pooling of (L,) place by place: each window over the padded line, clipped to what may count."""
    values = []
    for place in range(size):
        start, stop = place * s - before, place * s - before + k
        inside = x[max(start, 0) : min(stop, len(x))]
        if how == "max":
            values.append(inside.max())
        else:
            counted = min(stop, len(x) + before) - start if count_padding else len(inside)
            values.append(inside.sum() / counted)
    return torch.stack(values)


@pytest.mark.row("000-14")
@pytest.mark.row("001-11")
@pytest.mark.parametrize("how", ["max", "avg"])
@pytest.mark.parametrize("count_padding", [True, False])
def test_pooling_equals_a_loop_over_windows(how, count_padding):
    tried = 0
    for n, k, s, p, ceil_mode in product((4, 5, 7), (1, 2, 3, 4), (1, 2, 3), (0, 1), (False, True)):
        if 2 * p > k or n < k:
            continue
        layer, x = Pool(how, (k, 1), (s, 1), (p, 0), ceil_mode, count_padding), images(1, 1, n, 2)
        size = layer.output_shape((1, n, 2))[1]
        expected = torch.stack([by_hand(how, x[0, 0, :, column], k, s, size, p, count_padding) for column in (0, 1)], 1)
        torch.testing.assert_close(layer.build((1, n, 2))(x)[0, 0], expected, rtol=0, atol=1e-12)
        tried += 1
    assert tried > 90


@pytest.mark.row("000-14")
def test_pooling_has_no_parameters_and_steps_by_its_own_size():
    for how in ("max", "avg"):
        assert Pool(how, 2).output_shape((3, 8, 10)) == (3, 4, 5)
        assert Pool(how, 3, 2).output_shape((96, 55, 57)) == (96, 27, 28)  # AlexNet's windows overlap
        assert Pool(how, 3).cost((3, 9, 9)).params == 0 == len(list(Pool(how, 3).build((3, 9, 9)).parameters()))
    assert Conv(3, 2).output_shape((3, 8, 10)) == (3, 7, 9), "a convolution's stride is 1 unless told otherwise"


@pytest.mark.row("003-20", "003-47")
def test_a_20x20_image_pooled_by_10x10_leaves_2x2():
    x = torch.arange(400, dtype=F64).view(1, 1, 20, 20)
    assert Pool("max", 10).build((1, 20, 20))(x)[0, 0].tolist() == [[189, 199], [389, 399]]
    assert Pool("avg", 10).build((1, 20, 20))(x)[0, 0].tolist() == [[94.5, 104.5], [294.5, 304.5]]


@pytest.mark.row("003-27")
def test_mean_pooling_is_a_depthwise_convolution_with_equal_weights():
    x = images(2, 3, 6, 9)
    kernel = torch.full((3, 1, 3, 3), 1 / 9, dtype=F64)
    torch.testing.assert_close(Pool("avg", 3).build((3, 6, 9))(x), F.conv2d(x, kernel, stride=3, groups=3), rtol=0, atol=1e-12)


@pytest.mark.row("004-11")
def test_maximum_pooling_keeps_what_stands_out_and_drops_the_rest():
    """Three planted responses among weak ones: all are kept at full height with a sixteenth of the values, which the mean dilutes."""
    weak = 0.1 * images(1, 1, 16, 24).abs().clamp(max=3)
    places = ((1, 2), (6, 13), (14, 20))
    scene = weak.clone()
    for row, column in places:
        scene[0, 0, row, column] = 1.0
    pooled, mean = (Pool(how, 4).build((1, 16, 24))(scene)[0, 0] for how in ("max", "avg"))

    assert pooled.numel() * 16 == scene.numel()
    assert [pooled[row // 4, column // 4].item() for row, column in places] == [1, 1, 1] and (pooled == 1).sum() == 3
    assert all(mean[row // 4, column // 4] < 0.4 for row, column in places)
    others = torch.where(scene == F.interpolate(pooled[None, None], scale_factor=4), scene, torch.zeros(()))  # all but the largest at 0
    assert torch.equal(Pool("max", 4).build((1, 16, 24))(others)[0, 0], pooled) and (others == 0).sum() == scene.numel() * 15 / 16


@pytest.mark.row("000-14")
def test_a_shift_by_one_pixel_changes_pooled_features_less():
    scene = F.avg_pool2d(images(8, 1, 35, 35), 3, 1)  # smooth, as pictures are
    here, there = scene[:, :, :, :-1], scene[:, :, :, 1:]

    def change(a, b):
        return float((a - b).norm() / a.norm())

    for how in ("max", "avg"):
        pool = Pool(how, 4).build((1, 33, 32))
        assert change(pool(here), pool(there)) < 0.7 * change(here, there)


@pytest.mark.row("004-17")
def test_the_mean_splits_the_error_and_the_maximum_sends_it_to_its_place():
    error = torch.tensor([[[[1.0, 2], [3, 4]]]], dtype=F64)
    x = images(1, 1, 4, 4).requires_grad_()

    Pool("avg", 2).build((1, 4, 4))(x).backward(error)
    assert torch.equal(x.grad, error.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4)
    assert x.grad.sum() == 10

    x.grad = None
    Pool("max", 2).build((1, 4, 4))(x).backward(error)
    expected = torch.zeros(4, 4, dtype=F64)
    for i, j in product(range(2), range(2)):
        place = int(x[0, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].argmax())
        expected[2 * i + place // 2, 2 * j + place % 2] = error[0, 0, i, j]
    assert torch.equal(x.grad[0, 0], expected)


@pytest.mark.row("004-17")
def test_the_error_sum_is_conserved_without_padding_and_ties_go_to_the_first():
    for how, stride in product(("max", "avg"), (1, 2)):
        x = images(1, 1, 5, 7).requires_grad_()
        output = Pool(how, 3, stride).build((1, 5, 7))(x)
        output.sum().backward()
        assert abs(x.grad.sum() - output.numel()) < 1e-12
    x = torch.ones(1, 1, 2, 2, dtype=F64, requires_grad=True)
    Pool("max", 2).build((1, 2, 2))(x).sum().backward()
    assert x.grad.flatten().tolist() == [1, 0, 0, 0]
    padded = images(1, 1, 4, 4).requires_grad_()
    Pool("avg", 3, 1, padding=1).build((1, 4, 4))(padded).sum().backward()
    assert padded.grad.sum() < 15.9, "an average that counts padding gives part of the error to the padding"


def test_tensorflow_padding_of_pools():
    """Sizes ceil(n / s); padding never wins a maximum, and never counts in an average unless asked for."""
    for n, k, s in product((5, 6, 7, 8), (2, 3), (1, 2, 3)):
        if k < s:
            continue
        x = -images(1, 1, n).abs()
        size, total = -(-n // s), max((-(-n // s) - 1) * s + k - n, 0)
        padded = F.pad(x[0, 0], (total // 2, total - total // 2), value=-inf)
        largest = torch.stack([padded[i * s : i * s + k].max() for i in range(size)])
        assert torch.equal(Pool("max", k, s, "tf_same").build((1, n))(x)[0, 0], largest)
        means = torch.stack([w[w > -inf].mean() for w in (padded[i * s : i * s + k] for i in range(size))])
        torch.testing.assert_close(Pool("avg", k, s, "tf_same", count_padding=False).build((1, n))(x)[0, 0], means, rtol=0, atol=1e-12)
        sums = torch.stack([w[w > -inf].sum() / k for w in (padded[i * s : i * s + k] for i in range(size))])
        torch.testing.assert_close(Pool("avg", k, s, "tf_same").build((1, n))(x)[0, 0], sums, rtol=0, atol=1e-12)


@pytest.mark.row("002-11")
def test_global_pooling_is_mean_and_maximum_over_the_map_and_saves_the_first_dense_layer():
    x = images(2, 3, 5, 7)
    torch.testing.assert_close(GlobalPool().build((3, 5, 7))(x), x.sum((2, 3)) / 35, rtol=0, atol=1e-12)
    assert torch.equal(GlobalPool("max").build((3, 5, 7))(x), x.flatten(2).max(2).values)
    assert GlobalPool("avg", keep_axes=True).build((3, 5, 7))(x).shape == (2, 3, 1, 1)
    dense = Chain(Flatten(), Linear(4096, bias=False)).cost((512, 7, 7)).params
    assert (dense, GlobalPool().cost((512, 7, 7)).params) == (7 * 7 * 512 * 4096, 0)


def test_adaptive_pooling_is_torchs_at_every_pair_of_sizes():
    for n, m in product((1, 2, 3, 6, 7, 10, 14), (1, 2, 3, 7)):
        x = images(2, 3, n, 5)
        torch.testing.assert_close(AdaptivePool((m, 3)).build((3, n, 5))(x), F.adaptive_avg_pool2d(x, (m, 3)), rtol=0, atol=1e-14)
    maps = images(2, 3, 7, 7)
    assert AdaptivePool(7).build((3, 7, 7))(maps) is maps
    assert AdaptivePool(7).cost((3, 7, 7)).activations == 0


@pytest.mark.row("003-16")
@pytest.mark.row("003-27")
def test_lenet_sub_sampling_weighs_the_sum_of_each_window():
    """S2: 12 parameters, 5,880 connections (LeCun 1998, section II.B)."""
    x, layer = images(2, 6, 28, 28), Subsample(2)
    module = layer.build((6, 28, 28)).double()
    sums = x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]
    expected = sums * module.weight[:, None, None] + module.bias[:, None, None]
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)
    assert (layer.cost((6, 28, 28)).params, layer.cost((6, 28, 28)).connections) == (12, 5_880)


def test_pooling_errors_say_what_fits():
    with pytest.raises(ShapeError, match="pooling with a 3 x 3 window needs at least 3 x 3 places, got 2 x 5"):
        Pool("max", 3).output_shape((4, 2, 5))
    with pytest.raises(ShapeError, match="pooling with a 3 x 3 window takes at most half a window of padding, got 2"):
        Pool("avg", 3, padding=2).output_shape((4, 9, 9))
    with pytest.raises(ShapeError, match=r"pooling needs a shape \(C, L\) or \(C, H, W\) or \(C, D, H, W\), got \(4,\)"):
        Pool("avg", 3).output_shape((4,))
    with pytest.raises(ShapeError, match="sub-sampling by 3 x 3 needs at least 3 x 3 places, got 2 x 4"):
        Subsample(3).output_shape((4, 2, 4))
    with pytest.raises(UsageError, match="ceil_mode with padding as a number, not with 'same'"):
        Pool("max", 4, 3, "same", ceil_mode=True)
    with pytest.raises(UsageError, match="Pool: how: must be max or avg, got 'mean'"):
        Pool("mean", 2)
