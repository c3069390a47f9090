"""Edits of kernels, heads, width and depth; expected numbers by hand."""

from __future__ import annotations

import pytest
import torch

from striate.core.errors import UnknownNameError, UsageError
from striate.networks.catalog import network
from striate.networks.edits import parts
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, GlobalPool, Identity, Layer, Linear, Parallel, Pool
from striate.networks.network import Network
from striate.networks.table import table_diff


def small(*layers: Layer, shape: tuple[int, ...] = (3, 17, 22)) -> Network:
    return Network("small", shape, Chain(body=Chain(*layers), head=Chain(pool=GlobalPool(), linear=Linear(5))))


def runs(net: Network) -> None:
    assert Network.from_json(net.to_json()) == net
    module = net.build()
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == net.params
    with torch.inference_mode():
        assert module.eval()(torch.randn(2, *net.input_shape)).shape == (2, *net.output_shape)


def leaves(net: Network, kind: str) -> list[Layer]:
    return [part.layer for part in parts(net) if part.layer.kind == kind]


# ---- kernels


def test_a_7x7_kernel_becomes_three_3x3_with_activations_between() -> None:
    net = small(Conv(8, 7, padding=3), Activation("tanh"))

    stack = net.split_kernels("3x3")

    runs(stack)
    assert net.params - stack.params == (49 * 3 * 8 + 8) - (9 * 3 * 8 + 8 + 2 * (9 * 8 * 8 + 8))
    assert [row.layer.kind for row in stack.rows][:6] == ["conv", "tanh", "conv", "tanh", "conv", "tanh"]
    assert [row.path for row in stack.rows][:2] == ["body.conv.conv1", "body.conv.act1"]
    assert stack.receptive_field == 7


@pytest.mark.parametrize("padding", [0, 1, 2, 5, "same", "valid", "tf_same"])
def test_a_split_kernel_keeps_size_receptive_field_and_stride(padding: int | str) -> None:
    net = small(Conv(8, 5, stride=2, padding=padding), Activation("relu"))

    stack = net.split_kernels()

    before, after = net.rows[0], stack.rows[2]
    assert after.output_shape == before.output_shape
    if padding != "tf_same":
        assert after.view == before.view


def test_a_split_convolution_with_a_norm_gets_one_between_too() -> None:
    net = small(Conv(8, 5, padding=2, bias=False), BatchNorm(), Activation("relu"))

    stack = net.split_kernels()

    assert [row.layer.kind for row in stack.rows][:6] == ["conv", "batch_norm", "relu", "conv", "batch_norm", "relu"]
    assert all(not conv.bias for conv in leaves(stack, "conv"))


def test_a_factorized_kernel_has_2n_weights_for_each_pair_of_channels() -> None:
    net = small(Conv(8, 7, stride=(2, 3), padding=3), Activation("relu"))

    thin = net.factorize()

    runs(thin)
    assert [conv.kernel_size for conv in leaves(thin, "conv")] == [(1, 7), (7, 1)]
    assert [row.cost.params for row in thin.rows[:3:2]] == [7 * 3 * 8 + 8, 7 * 8 * 8 + 8]
    assert thin.rows[2].output_shape == net.rows[0].output_shape
    assert thin.rows[2].view == net.rows[0].view


def test_a_product_of_thin_kernels_is_the_square_kernel_of_rank_one() -> None:
    """Without the activation between: the outer product of the two kernels convolves alike."""
    net = Network("one", (1, 9, 12), Chain(conv=Conv(1, 3, padding=1, bias=False), act=Activation("identity")))
    thin = net.factorize().without("act1").build()
    row, column = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, 1.0, -1.0])
    square = net.build()
    with torch.no_grad():
        thin.get_submodule("conv.conv1").weight.copy_(row.view(1, 1, 1, 3))
        thin.get_submodule("conv.conv2").weight.copy_(column.view(1, 1, 3, 1))
        square.get_submodule("conv").weight.copy_(torch.outer(column, row).view(1, 1, 3, 3))
    images = torch.randn(2, 1, 9, 12)

    torch.testing.assert_close(thin(images), square(images))


def test_only_kernels_at_the_place_are_split() -> None:
    net = small(Conv(4, 5, padding=2), Conv(4, 5, padding=2))

    stack = net.split_kernels(place="conv2")

    assert [row.path for row in stack.rows if row.layer.kind == "conv"] == ["body.conv1", "body.conv2.conv1", "body.conv2.conv2"]
    assert stack.provenance == ("kernels as 3x3 in conv2: replaced 1 part (body.conv2)",)


def test_nothing_to_split_is_an_error() -> None:
    with pytest.raises(UsageError, match="vgg16 has no kernel to replace"):
        network("vgg16").split_kernels()
    with pytest.raises(UsageError, match="odd square kernel of at least 3x3, got '4x4'"):
        network("alexnet").split_kernels("4x4")


def test_without_bottleneck_the_larger_kernel_reads_all_channels_with_the_stride() -> None:
    body = Chain(reduce=Conv(4, 1, stride=2), act=Activation("relu"), conv=Conv(6, 3, padding=1))
    net = small(Parallel(branch5x5=body, branch_pool=Pool("max", 2, ceil_mode=True), merge="concat"), shape=(3, 16, 22))

    bare = net.without("bottleneck")

    runs(bare)
    assert leaves(bare, "conv") == [Conv(6, 3, stride=(2, 2), padding=1)]
    assert leaves(bare, "relu") == []
    assert leaves(net.without("branch=5x5"), "conv") == []
    assert [layer.kind for layer in leaves(net.without("branch=pool"), "conv")] == ["conv", "conv"]


def test_a_pre_activation_bottleneck_leaves_one_norm_before_the_kernel() -> None:
    net = network("densenet121", 10, 3, 64)

    bare = net.without("bottleneck@stage1")

    runs(bare)
    dense = [row.layer.kind for row in bare.rows if row.path.startswith("stage1.block2.")]  # the concat is stage1.block2
    assert dense == ["identity", "batch_norm", "relu", "conv"]
    with pytest.raises(UsageError, match="vgg16 has no bottleneck"):
        network("vgg16").without("bottleneck")


def test_a_role_can_be_selected_at_a_place() -> None:
    net = network("resnet20_cifar")

    bare = net.without("norm@stage3.*")

    assert len(leaves(net, "batch_norm")) - len(leaves(bare, "batch_norm")) == 6
    assert all(".norm" not in row.path for row in bare.rows if row.path.startswith("stage3"))
    with pytest.raises(UsageError, match="none of the parts to edit lies in head"):
        net.without("norm@head")
    with pytest.raises(UnknownNameError, match="stage9"):
        net.without("norm@stage9")


# ---- heads


def test_a_dense_head_becomes_averages_and_the_last_layer() -> None:
    net = network("vgg16")

    light = net.head("global-pool")

    assert light.output_shape == (1000,)
    assert net.params - light.params == (25088 * 4096 + 4096) + (4096 * 4096 + 4096) + 4096 * 1000 - 512 * 1000
    assert [row.layer.kind for row in light.rows][-3:] == ["pool", "global_pool", "linear"]
    assert "head global-pool" in light.provenance[-1]
    with pytest.raises(UsageError, match="has no dense head"):
        light.head()
    with pytest.raises(UsageError, match="head must be one of global-pool, got 'svm'"):
        net.head("svm")


# ---- width and depth


def test_half_the_width_halves_all_but_input_and_output() -> None:
    net = small(Conv(8, 3), BatchNorm(), Activation("relu"), Conv(12, 3), Activation("relu"))

    half = net.width(0.5)

    runs(half)
    assert half.params == (9 * 3 * 4 + 4) + 2 * 4 + (9 * 4 * 6 + 6) + (6 * 5 + 5)
    assert half.output_shape == (5,)


def test_width_keeps_depthwise_and_grouped_convolutions() -> None:
    net = small(Conv(8, 1), Conv(8, 3, groups=8), Conv(8, 1, groups=4), shape=(3, 12, 10))

    half = net.width(0.5)

    runs(half)
    assert [(conv.out_channels, conv.groups) for conv in leaves(half, "conv")] == [(4, 1), (4, 4), (4, 4)]


def test_width_rounds_each_number_to_the_groups_that_divide_it() -> None:
    """Stages of 4, 9, 20 and 49 groups: a multiple of all would be 8,820 channels."""
    net = network("regnet_y_800mf", num_classes=10)

    half = net.width(0.5)

    widths = [leaf.out_channels for leaf in leaves(half, "conv") if leaf.groups > 1]
    assert list(dict.fromkeys(widths)) == [32, 72, 160, 392]
    assert half.params < net.params / 3


def test_width_says_why_it_cannot() -> None:
    with pytest.raises(UsageError, match=r"c3\.conv has a connection table"):
        network("lenet5_paper").width(0.5)
    with pytest.raises(UsageError, match="no number of channels changes"):
        network("resnet20_cifar").width(1)
    with pytest.raises(UsageError, match=r"width must be a positive factor such as 0\.5, got -1"):
        network("resnet20_cifar").width(-1)


def test_depth_turns_resnet32_into_20_and_20_into_32() -> None:
    """ResNets of 6 n + 2 layers with n = 5 and n = 3 differ in nothing but the number of blocks."""
    shallow, deep = network("resnet20_cifar"), network("resnet32_cifar")

    assert deep.depth(0.6).root == shallow.root
    assert shallow.depth(5 / 3).root == deep.root
    assert "stage2 has 3 blocks in place of 5" in deep.depth(0.6).provenance[-1]


def test_depth_keeps_blocks_that_differ() -> None:
    one = network("resnet20_cifar").depth(0.01)

    runs(one)
    assert {row.path.split(".")[1] for row in one.rows if row.path.startswith("stage2")} == {"block1", "act1"}
    with pytest.raises(UsageError, match=r"lenet5 with depth 0\.5: no row of repeated blocks changes"):
        network("lenet5").depth(0.5)


# ---- the difference of tables


def test_the_difference_of_tables_shows_what_went_and_what_changed() -> None:
    net = Network("small", (3, 9, 7), Chain(conv=Conv(4, 3, bias=False), norm=BatchNorm(), act=Activation("relu"), split=Identity()))

    lines = table_diff(net, net.without("norm"))

    assert lines == [
        "- conv  Conv(4, 3, bias=False)  4x7x5  108 parameters  3,780 MACs",
        "- norm  BatchNorm()  4x7x5  8 parameters  - MACs",
        "+ conv  Conv(4, 3)  4x7x5  112 parameters  3,780 MACs",
        "parameters 116 -> 112 (-4)  MACs 3,780 -> 3,780 (+0)",
    ]


def test_equal_tables_differ_in_nothing() -> None:
    net = small(Conv(4, 3))

    assert len(table_diff(net, net)) == 1
