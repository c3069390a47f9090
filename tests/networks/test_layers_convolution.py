"""Facts about convolution, each against a plain statement of it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from striate.core.errors import ShapeError
from striate.networks.layers import (
    Chain,
    Conv,
    ConvTranspose,
    DeformableConv,
    Interpolate,
    Linear,
    LocallyConnected,
    MatchChannels,
    PadChannels,
    Parallel,
)
from striate.networks.layers.forms import asymmetric_conv, depthwise_conv, separable_conv

F64 = torch.float64


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def built(layer, shape):
    torch.manual_seed(0)
    return layer.build(shape).double()


def brute_force_size(n: int, k: int, s: int, p: int, d: int) -> int:
    """How many times a dilated window fits on padded input when it is laid down, place by place."""
    return sum(1 for start in range(0, n + 2 * p, s) if start + d * (k - 1) < n + 2 * p)


@pytest.mark.row("000-9")
@pytest.mark.row("004-3")
def test_the_output_size_is_the_number_of_places_where_the_window_fits():
    tried = 0
    for n, k, s, p, d in product(range(1, 12), range(1, 6), range(1, 5), range(4), range(1, 4)):
        fits = brute_force_size(n, k, s, p, d)
        layer = Conv(1, (k, 1), stride=(s, 1), padding=(p, 0), dilation=(d, 1))
        if fits:
            assert layer.output_shape((1, n, 3)) == (1, fits, 3)
            tried += 1
        else:
            with pytest.raises(ShapeError):
                layer.output_shape((1, n, 3))
    assert tried > 1500


@pytest.mark.row("000-9")
@pytest.mark.row("001-10")
@pytest.mark.row("002-10")
@pytest.mark.parametrize(
    ("n", "k", "s", "p", "expected"),
    [(227, 11, 4, 0, 55), (224, 11, 4, 0, 54), (224, 11, 4, 2, 55), (32, 5, 1, 0, 28), (224, 7, 2, 3, 112), (28, 5, 1, 2, 28)],
)
def test_published_sizes(n, k, s, p, expected):
    """AlexNet as printed needs 227 pixels for 55 places: 224 give 54.25, hence 54."""
    assert Conv(96, k, stride=s, padding=p).output_shape((3, n, n + 4 * s)) == (96, expected, expected + 4)


@pytest.mark.row("002-10")
@pytest.mark.row("004-3")
def test_padding_rules():
    for n, k, s in product(range(1, 17), range(1, 8), range(1, 5)):
        assert Conv(1, k, padding="same").output_shape((1, n)) == (1, n)
        assert Conv(1, k, stride=s, padding="tf_same").output_shape((1, n)) == (1, -(-n // s))
        if n >= k:
            assert Conv(1, k, stride=s, padding="valid").output_shape((1, n)) == Conv(1, k, stride=s).output_shape((1, n))


def test_tensorflow_pads_224_with_2_and_3_where_torch_pads_3_and_3():
    layer, shape = Conv(2, 7, stride=2, padding="tf_same", bias=False), (1, 224, 20)
    module, x = built(layer, shape), images(1, *shape)

    expected = F.conv2d(F.pad(x, (2, 3, 2, 3)), module.weight, stride=2)

    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)
    assert (module(x) - F.conv2d(x, module.weight, stride=2, padding=3)).abs().max() > 0.1


def test_tensorflow_padding_follows_the_size_that_comes():
    """A module built for one size pads another one as TensorFlow would."""
    module = built(Conv(2, 3, stride=2, padding="tf_same"), (1, 8, 8))
    x = images(1, 1, 7, 10, seed=1)

    expected = F.conv2d(F.pad(x, (0, 1, 1, 1)), module.weight, module.bias, stride=2)  # 7: 1 + 1, 10: 0 + 1

    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)


@pytest.mark.row("000-11")
@pytest.mark.row("003-4")
def test_convolution_is_an_inner_product_at_each_place_summed_over_channels():
    layer, x = Conv(5, (2, 3)), images(2, 3, 6, 8)
    module = built(layer, (3, 6, 8))

    windows = x.unfold(2, 2, 1).unfold(3, 3, 1)  # (N, C, h, w, k_h, k_w)
    expected = torch.einsum("nchwij,ocij->nohw", windows, module.weight) + module.bias[:, None, None]

    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)


@pytest.mark.row("003-18", "003-47")
def test_a_published_worked_example():
    """The 5x5 picture and the 3x3 kernel of the UFLDL tutorial."""
    picture = torch.tensor([[int(digit) for digit in row] for row in ("11100", "01110", "00111", "00110", "01100")], dtype=F64)
    module = built(Conv(1, 3, bias=False), (1, 5, 5))
    module.weight.data = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]], dtype=F64)[None, None]

    assert module(picture[None, None])[0, 0].tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


@pytest.mark.row("000-10")
def test_a_kernel_answers_most_where_its_pattern_is():
    generator = torch.Generator().manual_seed(0)
    pattern = torch.randn(3, 4, generator=generator, dtype=F64)
    picture = 0.1 * torch.randn(1, 1, 12, 15, generator=generator, dtype=F64)
    picture[0, 0, 5:8, 9:13] += pattern
    module = built(Conv(1, (3, 4), bias=False), (1, 12, 15))
    module.weight.data = pattern[None, None]

    assert divmod(int(module(picture).argmax()), 15 - 4 + 1) == (5, 9)


@pytest.mark.row("004-5")
def test_it_is_cross_correlation_and_a_flipped_kernel_makes_it_true_convolution():
    x, module = images(1, 1, 9, 11), built(Conv(1, 3, bias=False), (1, 9, 11))
    kernel = module.weight.detach().clone()

    module.weight.data = kernel.flip(2, 3)
    true = sum(kernel[0, 0, i, j] * x[:, :, 2 - i : 9 - i, 2 - j : 11 - j] for i in range(3) for j in range(3))

    torch.testing.assert_close(module(x), true, rtol=0, atol=1e-12)
    symmetric = kernel + kernel.flip(2, 3)
    torch.testing.assert_close(F.conv2d(x, symmetric), F.conv2d(x, symmetric.flip(2, 3)), rtol=0, atol=0)


@pytest.mark.row("004-4")
def test_discrete_convolution_is_the_sum_of_anti_diagonals_of_the_outer_product():
    module = built(Conv(1, 3, padding=2, bias=False), (1, 3))
    module.weight.data = torch.tensor([[[0.5, 1.0, 0.0]]], dtype=F64)  # (0, 1, 0.5), turned round

    result = module(torch.tensor([[[1.0, 2, 3]]], dtype=F64))[0, 0]

    assert result.tolist() == [0, 1, 2.5, 4, 1.5] == np.convolve([1, 2, 3], [0, 1, 0.5]).tolist()


@pytest.mark.row("000-7")
@pytest.mark.row("000-13")
@pytest.mark.row("003-17")
def test_parameters_by_hand():
    assert Conv(64, 3).cost((3, 8, 9)).params == 3 * 3 * 3 * 64 + 64
    assert Conv(6, (2, 5), groups=2, bias=False).cost((4, 8, 9)).params == 2 * 5 * (4 // 2) * 6
    assert Conv(16, 5, connections=LENET_C3).cost((6, 14, 14)).params == 1_516


@pytest.mark.row("003-17", "003-36")
def test_a_million_pixels_and_a_million_units():
    """All connected 10^12 weights; each to its own 10x10 window 10^8; the windows shared by 100 kernels 10^4."""
    assert Linear(1_000_000, bias=False).cost((1_000_000,)).params == 10**12
    assert LocallyConnected(100, 10, stride=10, bias=False).cost((1, 1000, 1000)).params == 10**4 * 10**4  # 10^4 places, 100 kernels each
    assert 1_000_000 * Conv(1, 10, bias=False).cost((1, 1000, 1000)).params == 10**8  # a million units with a window of 100 each
    assert Conv(100, 10, bias=False).cost((1, 1000, 1000)).params == 10**4


LENET_C3 = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 3) % 6, (i + 4) % 6) for i in range(3)),
    tuple(range(6)),
)


@pytest.mark.row("003-16")
def test_partial_connection_is_convolution_with_a_masked_kernel():
    """LeNet-5's C3: 60 links, 1,516 parameters, 151,600 connections (LeCun 1998, section II.B)."""
    layer, x = Conv(16, 5, connections=LENET_C3), images(2, 6, 14, 14)
    module = built(layer, (6, 14, 14))
    mask = torch.zeros(16, 6, dtype=F64)
    for output, inputs in enumerate(LENET_C3):
        mask[output, list(inputs)] = 1

    dense = torch.zeros(16, 6, 5, 5, dtype=F64)
    links = iter(module.weight.detach())
    for output, inputs in enumerate(LENET_C3):
        for source in inputs:
            dense[output, source] = next(links)

    torch.testing.assert_close(module(x), F.conv2d(x, dense * mask[:, :, None, None], module.bias), rtol=0, atol=1e-12)
    assert int(mask.sum()) == 60
    assert module.weight.abs().min() > 0, "each link starts with weights of its own"
    assert layer.cost((6, 14, 14)).connections == 151_600


@pytest.mark.row("003-55")
@pytest.mark.row("002-10")
def test_a_1x1_convolution_is_a_linear_layer_at_each_pixel():
    """6 x 6 x 32: 1,152 multiply-adds for each filter."""
    layer, x = Conv(10, 1), images(2, 32, 6, 7)
    module = built(layer, (32, 6, 7))

    expected = F.linear(x.permute(0, 2, 3, 1), module.weight[:, :, 0, 0], module.bias).permute(0, 3, 1, 2)

    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)
    assert Conv(1, 1).cost((32, 6, 6)).macs == 1152
    assert layer.cost((32, 6, 6)).macs == 10 * 1152


@pytest.mark.row("003-56")
def test_a_bottleneck_before_5x5_saves_nearly_ten_times():
    direct = Conv(32, 5, padding="same", bias=False)
    narrow = Chain(reduce=Conv(16, 1, bias=False), conv=direct)

    assert direct.cost((192, 28, 28)).macs == 120_422_400
    assert narrow.cost((192, 28, 28)).macs == 2_408_448 + 10_035_200
    assert (direct.cost((192, 28, 28)).params, narrow.cost((192, 28, 28)).params) == (153_600, 15_872)
    assert round(120_422_400 / 12_443_648, 3) == 9.677


@pytest.mark.row("003-56")
def test_an_inception_block_joins_64_128_32_and_32_maps():
    block = Parallel(
        branch1x1=Conv(64, 1),
        branch3x3=Chain(reduce=Conv(96, 1), conv=Conv(128, 3, padding="same")),
        branch5x5=Chain(reduce=Conv(16, 1), conv=Conv(32, 5, padding="same")),
        branch_pool=Conv(32, 1),
        merge="concat",
    )
    assert block.output_shape((192, 28, 28)) == (256, 28, 28)
    assert Conv(128, 3, padding="same").cost((192, 28, 28)).macs == 173_408_256
    assert block["branch3x3"].cost((192, 28, 28)).macs - 192 * 96 * 784 == 86_704_128


@pytest.mark.row("004-8")
def test_stacked_3x3_see_as_much_as_one_large_kernel_with_fewer_weights():
    def stack(count):
        return Chain(*(Conv(8, 3, bias=False) for _ in range(count)))

    for count, kernel, saving in ((2, 5, 0.28), (3, 7, 0.449)):
        large = Conv(8, kernel, bias=False)
        assert stack(count).output_shape((8, 11, 13)) == large.output_shape((8, 11, 13))
        assert stack(count).cost((8, 11, 13)).reach.kernel == (kernel, kernel)
        few, many = stack(count).cost((8, 11, 13)).params, large.cost((8, 11, 13)).params
        assert abs(1 - few / many - saving) < 5e-4


@pytest.mark.row("004-8")
def test_asymmetric_convolutions_equal_the_square_one_exactly_for_rank_1_kernels():
    chain, x = asymmetric_conv(1, 7, padding=0, bias=False), images(2, 1, 10, 12)
    module = built(chain, (1, 10, 12))
    row, column = module.row.weight[0, 0, 0], module.column.weight[0, 0, :, 0]

    torch.testing.assert_close(module(x), F.conv2d(x, torch.outer(column, row)[None, None]), rtol=0, atol=1e-12)
    general = images(7, 7, seed=3)
    assert torch.linalg.matrix_rank(general) == 7, "a general kernel has no such form"
    for size, saving in ((3, 1 / 3), (7, 5 / 7)):
        few, many = asymmetric_conv(8, size, bias=False).cost((8, 9, 9)).params, Conv(8, size, bias=False).cost((8, 9, 9)).params
        assert abs(1 - few / many - saving) < 1e-12
    assert asymmetric_conv(3, 3).output_shape((2, 5, 6)) == (3, 5, 6)


@pytest.mark.row("004-12")
@pytest.mark.row("003-27")
def test_depthwise_and_separable_convolution():
    x, shape = images(2, 4, 7, 9), (4, 7, 9)
    module = built(depthwise_conv(4, 3), shape)
    each = [F.conv2d(x[:, c : c + 1], module.weight[c : c + 1], module.bias[c : c + 1], padding=1) for c in range(4)]
    torch.testing.assert_close(module(x), torch.cat(each, 1), rtol=0, atol=1e-12)

    separable, plain = separable_conv(4, 6, 3, bias=False), Conv(6, 3, padding="same", bias=False)
    assert separable.output_shape(shape) == plain.output_shape(shape)
    ratio = separable.cost(shape).macs / plain.cost(shape).macs
    assert abs(ratio - (1 / 6 + 1 / 9)) < 1e-12
    assert separable.cost(shape).params == 4 * 9 + 4 * 6


@pytest.mark.row("004-12")
def test_dilation_is_a_kernel_with_zeros_between():
    x, module = images(2, 3, 11, 13), built(Conv(4, 3, dilation=(2, 3)), (3, 11, 13))
    stuffed = torch.zeros(4, 3, 5, 7, dtype=F64)
    stuffed[:, :, ::2, ::3] = module.weight
    torch.testing.assert_close(module(x), F.conv2d(x, stuffed, module.bias), rtol=0, atol=1e-12)


@pytest.mark.row("004-12")
@pytest.mark.row("003-28")
def test_groups_are_a_block_diagonal_kernel_and_convolutions_side_by_side():
    x, module = images(2, 4, 6, 7), built(Conv(6, 3, groups=2), (4, 6, 7))
    dense = torch.zeros(6, 4, 3, 3, dtype=F64)
    dense[:3, :2], dense[3:, 2:] = module.weight[:3], module.weight[3:]
    torch.testing.assert_close(module(x), F.conv2d(x, dense, module.bias), rtol=0, atol=1e-12)
    halves = [F.conv2d(x[:, 2 * g : 2 * g + 2], module.weight[3 * g : 3 * g + 3], module.bias[3 * g : 3 * g + 3]) for g in (0, 1)]
    torch.testing.assert_close(module(x), torch.cat(halves, 1), rtol=0, atol=1e-12)


@pytest.mark.row("004-12")
def test_im2col_and_fourier_forms_agree():
    x, module = images(1, 2, 9, 10), built(Conv(3, (3, 4), bias=False), (2, 9, 10))
    columns = F.unfold(x, (3, 4))  # (N, C k_h k_w, places)
    torch.testing.assert_close(module(x), (module.weight.flatten(1) @ columns).view(1, 3, 7, 7), rtol=0, atol=1e-12)

    spectrum = torch.fft.rfft2(x, s=(9, 10))[:, None] * torch.fft.rfft2(module.weight, s=(9, 10)).conj()[None]
    circular = torch.fft.irfft2(spectrum, s=(9, 10)).sum(2)  # (N, C_out, H, W)
    torch.testing.assert_close(module(x), circular[:, :, :7, :7], rtol=0, atol=1e-10)


@pytest.mark.row("004-1")
def test_one_and_three_dimensions_follow_the_rank_of_the_input():
    line, volume = images(2, 3, 9), images(2, 3, 4, 5, 6)
    one, three = built(Conv(4, 3, stride=2), (3, 9)), built(Conv(4, (2, 3, 1)), (3, 4, 5, 6))
    torch.testing.assert_close(one(line), F.conv2d(line[:, :, None], one.weight[:, :, None], one.bias, stride=2)[:, :, 0])
    windows = volume.unfold(2, 2, 1).unfold(3, 3, 1).unfold(4, 1, 1)
    expected = torch.einsum("ncdhwijk,ocijk->nodhw", windows, three.weight) + three.bias[:, None, None, None]
    torch.testing.assert_close(three(volume), expected, rtol=0, atol=1e-12)


@pytest.mark.row("004-10")
def test_a_shifted_image_gives_a_shifted_map():
    module = built(Chain(Conv(4, 3), Conv(2, 3)), (3, 12, 14))
    scene = images(1, 3, 20, 20)
    here, there = scene[:, :, 2:14, 3:17], scene[:, :, 5:17, 5:19]  # there: 3 down, 2 to the right
    torch.testing.assert_close(module(here)[:, :, 3:, 2:], module(there)[:, :, :-3, :-2], rtol=0, atol=1e-12)


@pytest.mark.row("000-8")
@pytest.mark.row("003-4")
def test_a_locally_connected_layer_with_equal_weights_everywhere_is_a_convolution():
    shape, x = (3, 7, 9), images(2, 3, 7, 9)
    for options in ({}, {"stride": (2, 1), "padding": 1}, {"padding": "tf_same", "stride": 2}):
        convolution, local = Conv(4, (2, 3), **options), LocallyConnected(4, (2, 3), **options)
        shared, unshared = built(convolution, shape), built(local, shape)
        places = unshared.weight.shape[0]
        unshared.weight.data = shared.weight.detach().expand(places, *shared.weight.shape).clone()
        unshared.bias.data = shared.bias.detach().expand(places, -1).clone()
        torch.testing.assert_close(unshared(x), shared(x), rtol=0, atol=1e-12)
        assert local.cost(shape).params == places * convolution.cost(shape).params
        assert local.cost(shape).macs == convolution.cost(shape).macs


def test_a_locally_connected_layer_weighs_each_place_by_itself():
    """Against a plain loop over the places."""
    module, x = built(LocallyConnected(4, (2, 3), stride=(1, 2)), (3, 5, 7)), images(2, 3, 5, 7)
    expected = torch.zeros(2, 4, 4, 3, dtype=F64)
    for place, (i, j) in enumerate(product(range(4), range(3))):
        window = x[:, :, i : i + 2, 2 * j : 2 * j + 3]
        expected[:, :, i, j] = torch.einsum("nchw,ochw->no", window, module.weight[place]) + module.bias[place]
    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)


class TestDeformable:
    shape = (2, 6, 7)

    def test_without_offsets_it_is_the_plain_convolution(self):
        x = images(2, *self.shape)
        for options in ({"padding": 1}, {"stride": 2, "padding": 2, "dilation": 2}, {"groups": 2}):
            module = built(DeformableConv(4, 3, **options), self.shape)
            torch.testing.assert_close(module(x), F.conv2d(x, module.weight, module.bias, **options), rtol=0, atol=1e-12)

    def test_a_whole_offset_shifts_a_tap(self):
        """Tap (0, 2) of 3x3 moved by (2, -1) reads where a kernel with that weight at (2, 1) would."""
        x, module = images(2, *self.shape), built(DeformableConv(4, 3, bias=False), self.shape)
        tap = 0 * 3 + 2
        module.move.bias.data[2 * tap], module.move.bias.data[2 * tap + 1] = 2.0, -1.0
        moved = module.weight.detach().clone()
        moved[:, :, 2, 1] += moved[:, :, 0, 2]
        moved[:, :, 0, 2] = 0
        torch.testing.assert_close(module(x), F.conv2d(x, moved), rtol=0, atol=1e-12)

    def test_version_2_starts_with_half_of_every_tap_and_a_mask_of_zero_leaves_the_bias(self):
        x, module = images(2, *self.shape), built(DeformableConv(4, 3, modulated=True), self.shape)
        torch.testing.assert_close(module(x), F.conv2d(x, module.weight / 2, module.bias), rtol=0, atol=1e-12)
        module.move.bias.data[18:] = -1e4  # sigmoid: 0
        torch.testing.assert_close(module(x), module.bias.view(1, 4, 1, 1).expand(2, 4, 4, 5), rtol=0, atol=0)

    def test_offsets_follow_the_input(self):
        module = built(DeformableConv(4, 3, padding=1), self.shape)
        module.move.weight.data.normal_(generator=torch.Generator().manual_seed(2))
        x = images(2, *self.shape)
        assert (module(x) - F.conv2d(x, module.weight, module.bias, padding=1)).abs().max() > 0.01


class TestBackward:
    """The gradients of a convolution are convolutions themselves."""

    @staticmethod
    def setting(stride: int = 1, padding: int = 0):
        x, weight = images(2, 3, 7, 9).requires_grad_(), images(4, 3, 3, 3, seed=1).requires_grad_()
        output = F.conv2d(x, weight, stride=stride, padding=padding)
        delta = images(*output.shape, seed=2)
        module = Conv(4, 3, stride=stride, padding=padding, bias=True).build((3, 7, 9)).double()
        module.weight.data = weight.detach().clone()
        module(x).backward(delta)
        return x, module, delta

    @pytest.mark.row("004-16")
    def test_the_kernel_gradient_correlates_the_input_with_the_error(self):
        x, module, delta = self.setting()
        expected = F.conv2d(x.detach().transpose(0, 1), delta.transpose(0, 1)).transpose(0, 1)
        torch.testing.assert_close(module.weight.grad, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(module.bias.grad, delta.sum((0, 2, 3)), rtol=0, atol=1e-12)

    @pytest.mark.row("004-16")
    def test_the_input_gradient_is_the_full_convolution_with_the_kernel_turned_by_180_degrees(self):
        x, module, delta = self.setting()
        weight = module.weight.detach()
        turned = F.conv2d(delta, weight.flip(2, 3).transpose(0, 1), padding=2)
        transposed = F.conv2d(delta, weight.transpose(2, 3).transpose(0, 1), padding=2)
        torch.testing.assert_close(x.grad, turned, rtol=0, atol=1e-12)
        torch.testing.assert_close(x.grad, F.conv_transpose2d(delta, weight), rtol=0, atol=1e-12)
        assert (x.grad - transposed).abs().max() > 1, "turning is not transposing"

    @pytest.mark.row("004-16")
    def test_a_stride_puts_zeros_between_the_errors(self):
        x, module, delta = self.setting(stride=2, padding=1)
        stuffed = torch.zeros(2, 4, 2 * delta.shape[2] - 1, 2 * delta.shape[3] - 1, dtype=F64)
        stuffed[:, :, ::2, ::2] = delta
        edge = 3 - 1 - 1
        remainder = [(n + 2 * 1 - 3) % 2 for n in (9, 7)]
        padded = F.pad(stuffed, (edge, edge + remainder[0], edge, edge + remainder[1]))
        expected = F.conv2d(padded, module.weight.detach().flip(2, 3).transpose(0, 1))
        torch.testing.assert_close(x.grad, expected, rtol=0, atol=1e-12)


class TestTransposed:
    @pytest.mark.row("000-16")
    @pytest.mark.row("002-10")
    def test_it_doubles_the_size(self):
        assert ConvTranspose(3, 4, stride=2, padding=1).output_shape((5, 4, 6)) == (3, 8, 12)
        assert ConvTranspose(3, 2, stride=2).output_shape((5, 4, 6)) == (3, 8, 12)

    def test_its_size_is_the_inverse_of_a_convolution(self):
        for n, k, s, p, d in product(range(1, 8), range(1, 5), range(1, 4), range(2), range(1, 3)):
            for extra in range(max(s, d)):
                size = (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
                layer = ConvTranspose(1, k, s, p, extra, dilation=d)
                if size < 1:
                    with pytest.raises(ShapeError):
                        layer.output_shape((1, n))
                    continue
                assert layer.output_shape((1, n)) == (1, size)
                if extra < s and size + 2 * p > d * (k - 1):
                    assert Conv(1, k, stride=s, padding=p, dilation=d).output_shape((1, size)) == (1, n)

    @pytest.mark.row("004-12", "003-47")
    @pytest.mark.parametrize(("stride", "padding", "groups", "dilation"), [(1, 0, 1, 1), ((2, 3), 1, 1, 1), (2, 1, 2, 2)])
    def test_it_is_the_adjoint_of_the_convolution_with_its_kernel(self, stride, padding, groups, dilation):
        """<A x, y> = <x, A^T y>."""
        layer = ConvTranspose(4, 3, stride, padding, groups=groups, bias=False, dilation=dilation)
        module, y = built(layer, (6, 4, 5)), images(1, 6, 4, 5)
        x = images(1, *layer.output_shape((6, 4, 5)), seed=1)
        forward = F.conv2d(x, module.weight, stride=stride, padding=padding, groups=groups, dilation=dilation)
        assert abs((forward * y).sum() - (x * module(y)).sum()) < 1e-10

    def test_a_bilinear_start_keeps_a_constant_map_constant_inside(self):
        for k, s, p in ((4, 2, 1), (32, 16, 8), (3, 2, 1), (6, 3, 2)):
            module = built(ConvTranspose(2, k, s, p, bias=False, init="bilinear"), (2, 5, 6))
            enlarged = module(torch.full((1, 2, 5, 6), 3.0, dtype=F64))
            inside = enlarged[:, :, s:-s, s:-s]
            torch.testing.assert_close(inside, torch.full_like(inside, 3.0), rtol=0, atol=1e-6)

    @pytest.mark.row("003-47")
    def test_a_bilinear_start_is_bilinear_interpolation(self):
        x = images(1, 2, 5, 6)
        by_kernel = built(ConvTranspose(2, 4, 2, 1, groups=2, init="bilinear"), (2, 5, 6))(x)
        by_rule = built(Interpolate(2, mode="bilinear"), (2, 5, 6))(x)
        torch.testing.assert_close(by_kernel[:, :, 2:-2, 2:-2], by_rule[:, :, 2:-2, 2:-2], rtol=0, atol=1e-12)

    def test_a_bilinear_start_does_not_mix_maps(self):
        weight = built(ConvTranspose(3, 4, 2, 1, bias=False, init="bilinear"), (3, 5, 6)).weight
        line = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=F64)
        for source, target in product(range(3), range(3)):
            expected = torch.outer(line, line) if source == target else torch.zeros(4, 4, dtype=F64)
            assert torch.equal(weight[source, target], expected)


@pytest.mark.row("003-47")
def test_interpolation_by_hand():
    x = torch.tensor([[[[1.0, 3.0]]]], dtype=F64)
    nearest = built(Interpolate((1, 2)), (1, 1, 2))(x)
    bilinear = built(Interpolate((1, 2), mode="bilinear"), (1, 1, 2))(x)
    assert nearest.flatten().tolist() == [1, 1, 3, 3]
    assert bilinear.flatten().tolist() == [1, 1.5, 2.5, 3]


def test_matched_channels_are_the_same_or_their_mean_repeated():
    x = images(2, 3, 5, 6)
    torch.testing.assert_close(built(MatchChannels(3), (3, 5, 6))(x), x, rtol=0, atol=0)
    grey = built(MatchChannels(2), (3, 5, 6))(x)
    for channel in range(2):
        torch.testing.assert_close(grey[:, channel], (x[:, 0] + x[:, 1] + x[:, 2]) / 3)
    assert grey.shape == (2, 2, 5, 6)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_gradient_of_padded_channels_lies_as_the_maps_do(stride: int):
    layer, x = built(PadChannels(7, stride), (3, 5, 6)), images(2, 3, 5, 6)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        maps = x.contiguous(memory_format=layout).requires_grad_()
        output = layer(maps)
        (gradient,) = torch.autograd.grad((output * torch.linspace(-1, 2, output.numel()).view(output.shape)).sum(), maps)
        gradients.append(gradient)

    assert torch.equal(*gradients) and gradients[1].is_contiguous(memory_format=torch.channels_last)
    assert torch.autograd.gradcheck(layer, x.contiguous(memory_format=torch.channels_last).requires_grad_())


@pytest.mark.row("003-53")
def test_channel_padding_keeps_every_second_place_and_adds_maps_of_zeros():
    x = images(2, 3, 5, 6)
    output = built(PadChannels(7, 2), (3, 5, 6))(x)
    torch.testing.assert_close(output[:, :3], x[:, :, ::2, ::2], rtol=0, atol=0)
    assert output.shape == (2, 7, 3, 3) and not output[:, 3:].any()
