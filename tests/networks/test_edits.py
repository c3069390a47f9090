"""Edits of a description, on small networks built by hand and on the catalogue's."""

from __future__ import annotations

import pytest
import torch

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.networks.catalog import CATALOG, network
from striate.networks.edits import num_groups, parts
from striate.networks.layers import (
    Activation,
    BatchNorm,
    Chain,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    GroupNorm,
    Identity,
    InstanceNorm,
    Layer,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    Parallel,
    Pool,
    StochasticDepth,
    Subsample,
)
from striate.networks.network import AuxiliaryHead, Network


def conv_norm(out_channels: int, kernel_size: int, *, stride: int = 1, act: bool = True) -> Chain:
    parts: dict[str, Layer] = {"conv": Conv(out_channels, kernel_size, stride=stride, padding="same", bias=False), "norm": BatchNorm()}
    return Chain(**parts, **({"act": Activation("relu")} if act else {}))


def block(width: int, shortcut: Layer, stride: int = 1) -> Chain:
    body = Chain(unit1=conv_norm(width, 3, stride=stride), unit2=conv_norm(width, 3, act=False), drop=StochasticDepth(0.2))
    return Chain(add=Parallel(body=body, shortcut=shortcut, merge="sum"), act=Activation("relu"))


@pytest.fixture
def residual() -> Network:
    """A stem, an identity block, a projection block and a head with dropout; input 5 x 8 x 12."""
    root = Chain(
        stem=conv_norm(6, 3),
        stage1=Chain(block1=block(6, Identity())),
        stage2=Chain(block1=block(10, conv_norm(10, 1, stride=2, act=False), stride=2), block2=block(10, Identity())),
        head=Chain(pool=GlobalPool(), dropout=Dropout(0.5), linear=Linear(7)),
    )
    return Network("residual", (5, 8, 12), root)


@pytest.fixture
def inception() -> Network:
    """One module of three branches with an auxiliary head on it; input 3 x 9 x 11."""
    module = Parallel(
        branch1x1=Chain(conv=Conv(4, 1), act=Activation("relu")),
        branch5x5=Chain(reduce=Conv(2, 1), conv=Conv(6, 5, padding=2), act=Activation("relu")),
        branch_pool=Chain(pool=Pool("max", 3, stride=1, padding=1), project=Conv(5, 1)),
        merge="concat",
    )
    root = Chain(mixed=module, conv=Conv(8, 3), head=Chain(pool=GlobalPool(), linear=Linear(7)))
    return Network(
        "inception", (3, 9, 11), root, (AuxiliaryHead("mixed", Chain(pool=GlobalPool(), act=Activation("relu"), linear=Linear(7)), 0.3),)
    )


@pytest.fixture
def pre_activation() -> Network:
    """Two convolutions, each behind its normalization and activation, around an identity shortcut; input 4 x 6 x 7."""
    body = Chain(
        norm1=BatchNorm(),
        act1=Activation("relu"),
        conv1=Conv(4, 3, padding=1, bias=False),
        norm2=BatchNorm(),
        act2=Activation("relu"),
        conv2=Conv(4, 3, padding=1, bias=False),
    )
    root = Chain(block1=Parallel(body=body, shortcut=Identity(), merge="sum"), norm=BatchNorm(), act=Activation("relu"), pool=GlobalPool())
    return Network("pre_activation", (4, 6, 7), root)


def gated_network() -> Network:
    """A squeeze-and-excitation block: a gate that reads averages multiplies the map; input 4 x 6 x 7."""
    gate = Chain(pool=GlobalPool(keep_axes=True), reduce=Conv(2, 1), act1=Activation("silu"), expand=Conv(4, 1), act2=Activation("sigmoid"))
    return Network("gated", (4, 6, 7), Chain(act=Activation("silu"), excite=Parallel(map=Identity(), gate=gate, merge="multiply")))


def runs(net: Network) -> None:
    """The network describes itself, comes back from JSON, and its module gives what the description says."""
    assert Network.from_json(net.to_json()) == net
    module = net.build()
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == net.params
    images = torch.randn(2, *net.input_shape)
    with torch.inference_mode():
        assert module.eval()(images).shape == (2, *net.output_shape)


def paths(net: Network) -> set[str]:
    return {part.path for part in parts(net)}


def test_without_shortcut_leaves_the_bodies_under_their_old_paths(residual: Network) -> None:
    plain = residual.without("shortcut")

    runs(plain)
    assert not any(isinstance(part.layer, Parallel) for part in parts(plain))
    gone = {path for path in paths(residual) if ".shortcut" in path or path.endswith(".drop")}
    assert paths(plain) == paths(residual) - gone
    assert residual.params - plain.params == 6 * 10 + 2 * 10  # the projection and its normalization


def test_a_body_without_its_shortcut_loses_its_stochastic_depth_and_others_keep_theirs(residual: Network) -> None:
    plain = residual.without("stage1.block1.add.shortcut")

    assert sorted(path for path in paths(plain) if path.endswith(".drop")) == ["stage2.block1.add.body.drop", "stage2.block2.add.body.drop"]
    module = plain.build().get_submodule("stage1").train()
    images = torch.randn(64, 6, 8, 12)
    assert (module(images).flatten(1).abs().sum(1) > 0).all()  # no sample is dropped as a whole


def test_a_module_without_shortcuts_computes_the_body_alone(residual: Network) -> None:
    """With the same weights, the edited first block equals the original block minus its input, before the activation."""
    torch.manual_seed(0)
    whole = residual.build().eval().get_submodule("stage1.block1.add")
    body = residual.without("shortcut").build().eval().get_submodule("stage1.block1.add")
    body.load_state_dict(whole.state_dict())
    images = torch.randn(2, 6, 8, 12)

    torch.testing.assert_close(body(images), whole(images) - images)


def test_without_norm_gives_each_convolution_the_bias_it_had_none_for(residual: Network) -> None:
    bare = residual.without("norm")

    runs(bare)
    convolutions = [part.layer for part in parts(bare) if isinstance(part.layer, Conv)]
    assert len(convolutions) == 8
    assert all(conv.bias for conv in convolutions)
    widths = 6 * 3 + 10 * 5
    assert residual.params - bare.params == 2 * widths - widths


def test_without_one_norm_leaves_the_other_convolutions_alone(residual: Network) -> None:
    bare = residual.without("stage1.block1.add.body.unit1.norm")

    biased = [part.path for part in parts(bare) if isinstance(part.layer, Conv) and part.layer.bias]
    assert biased == ["stage1.block1.add.body.unit1.conv"]


def test_without_norm_in_a_pre_activation_body_gives_both_convolutions_a_bias(pre_activation: Network) -> None:
    runs(pre_activation.without("norm"))
    assert pre_activation.without("norm").params == 2 * (4 * 4 * 9 + 4)
    first = pre_activation.without("norm1")  # conv1 is still followed by norm2, which shifts for it
    assert first.params == pre_activation.params - 2 * 4
    second = pre_activation.without("norm2")
    assert [part.path for part in parts(second) if isinstance(part.layer, Conv) and part.layer.bias] == [
        "block1.body.conv1",
        "block1.body.conv2",
    ]


def shared_norm() -> Network:
    """A pre-activation block with a projection that reads the normalized input too; input 4 x 6 x 7."""
    body = Chain(conv1=Conv(8, 3, padding=1, bias=False), norm=BatchNorm(), act=Activation("relu"), conv2=Conv(8, 3, padding=1, bias=False))
    opening = Chain(norm=BatchNorm(), act=Activation("relu"))
    block = Parallel(shortcut=Conv(8, 1, bias=False), opening=opening, body=body, merge="sum", trunk="opening")
    return Network("shared", (4, 6, 7), Chain(block1=block, pool=GlobalPool(), linear=Linear(5)))


def test_a_body_without_its_shortcut_keeps_what_both_shared_in_front() -> None:
    net = shared_norm()
    plain = net.without("shortcut")

    runs(plain)
    block = plain.root["block1"]
    assert isinstance(block, Chain)
    assert [name for name, _ in block.children] == ["opening", "body"]
    assert plain.params == net.params - 4 * 8


def test_a_shared_norm_that_goes_gives_the_convolutions_of_all_branches_a_bias() -> None:
    bare = shared_norm().without("norm")

    runs(bare)
    convolutions = {part.path for part in parts(bare) if isinstance(part.layer, Conv) and part.layer.bias}
    assert convolutions == {"block1.shortcut", "block1.body.conv1", "block1.body.conv2"}
    assert bare.root["block1.opening"] == Chain(act=Activation("relu"))
    emptied = shared_norm().without("opening")
    runs(emptied)
    assert isinstance(emptied.root["block1"], Parallel)
    assert emptied.root["block1"].trunk is None


def test_without_dropout_changes_nothing_in_evaluation(residual: Network) -> None:
    torch.manual_seed(0)
    bare = residual.without("dropout")
    module, original = bare.build().eval(), residual.build().eval()
    module.load_state_dict(original.state_dict())
    images = torch.randn(2, 5, 8, 12)

    assert "head.dropout" not in paths(bare)
    torch.testing.assert_close(module(images), original(images), rtol=0, atol=0)


def test_a_branch_goes_by_its_name(inception: Network) -> None:
    narrow = inception.without("branch5x5")

    runs(narrow)
    assert narrow.shapes_at(["mixed"]) == {"mixed": (4 + 5, 9, 11)}
    assert inception.shapes_at(["mixed"]) == {"mixed": (4 + 6 + 5, 9, 11)}


def test_a_star_stands_for_any_name(inception: Network, residual: Network) -> None:
    assert paths(inception.without("mixed.branch_*")) == paths(inception.without("branch_pool"))
    shallow = residual.without("stage1.*")
    runs(shallow)
    assert not any(path.startswith("stage1") for path in paths(shallow))


def test_a_branch_that_is_emptied_hands_its_input_on_and_one_that_is_taken_does_not() -> None:
    split = Parallel(norm_branch=Chain(only=BatchNorm()), conv=Conv(3, 1), merge="sum")
    net = Network("split", (3, 4, 5), Chain(split=split))

    assert net.without("norm").root == Chain(split=Parallel(norm_branch=Identity(), conv=Conv(3, 1), merge="sum"))
    assert net.without("norm_branch").root == Chain(split=Chain(conv=Conv(3, 1)))


def test_an_auxiliary_head_is_edited_too_and_goes_with_the_part_it_reads_from(inception: Network) -> None:
    (head,) = inception.swap(activation="tanh").heads
    assert isinstance(head.head, Chain)
    assert head.head["act"] == Activation("tanh")
    assert inception.without("heads.mixed").heads == ()
    assert inception.without("heads.mixed").root == inception.root
    assert inception.without("mixed").heads == ()
    nested = Network(
        "nested",
        (3, 9, 11),
        Chain(stage1=Chain(**dict(inception.root.children[:1])), conv=Conv(7, 1)),
        (AuxiliaryHead("stage1.mixed", head.head, 0.3),),
    )
    assert nested.without("stage1").heads == ()
    assert len(inception.without("branch1x1").heads) == 1


def test_swapping_the_activation_changes_every_hidden_one(residual: Network) -> None:
    smooth = residual.swap(activation="tanh")

    runs(smooth)
    assert {part.layer for part in parts(smooth) if isinstance(part.layer, Activation)} == {Activation("tanh")}
    assert (smooth.params, smooth.macs) == (residual.params, residual.macs)
    leaky = Activation("leaky_relu", slope=0.2)
    assert {part.layer for part in parts(residual.swap(activation=leaky)) if isinstance(part.layer, Activation)} == {leaky}


def test_swapping_the_activation_leaves_gates_and_softmax_alone() -> None:
    net = gated_network()
    with_softmax = Network("gated", net.input_shape, Chain(**dict(net.root.children), flatten=Flatten(), soft=Activation("softmax")))

    edited = with_softmax.swap(activation="relu")

    names = {part.path: part.layer.name for part in parts(edited) if isinstance(part.layer, Activation)}
    assert names == {"act": "relu", "excite.gate.act1": "relu", "excite.gate.act2": "sigmoid", "soft": "softmax"}


def test_a_gate_that_goes_leaves_the_map() -> None:
    net = gated_network().without("gate")

    runs(net)
    assert net.root == Chain(act=Activation("silu"), excite=Chain(map=Identity()))


def test_swapping_the_pooling_keeps_the_window(inception: Network) -> None:
    averaged = inception.swap(pooling="avg")

    runs(averaged)
    assert averaged.root["mixed.branch_pool.pool"] == Pool("avg", 3, stride=1, padding=1)
    assert averaged.root["head.pool"] == GlobalPool("avg")
    trainable = Network("lenet", (3, 8, 6), Chain(pool=Subsample(2)))
    assert trainable.swap(pooling="max").root == Chain(pool=Pool("max", 2))


@pytest.mark.parametrize(
    ("name", "kind"), [("group", GroupNorm), ("layer", LayerNorm), ("instance", InstanceNorm), ("response", LocalResponseNorm)]
)
def test_swapping_the_normalization_puts_another_in_each_place(residual: Network, name: str, kind: type[Layer]) -> None:
    other = residual.swap(norm=name)

    runs(other)
    norms = [part.layer for part in parts(other) if part.layer.role == "norm"]
    assert len(norms) == 8
    assert all(isinstance(norm, kind) for norm in norms)
    widths = 6 * 3 + 10 * 5
    expected = residual.params if name != "response" else residual.params - 2 * widths + widths  # biases, where none shifts any more
    assert other.params == expected


@pytest.mark.parametrize(
    ("channels", "groups"), [(64, 32), (256, 32), (16, 8), (24, 12), (6, 3), (7, 1), (1, 1), (2, 1), (96, 32), (80, 20)]
)
def test_groups_divide_the_channels_and_hold_at_least_two(channels: int, groups: int) -> None:
    assert num_groups(channels) == groups


def test_the_provenance_says_what_was_done_to_which_parts(residual: Network) -> None:
    edited = residual.without("dropout").swap(activation="tanh")

    first, second = "stem.act, stage1.block1.add.body.unit1.act, stage1.block1.act", "stage2.block2.add.body.unit1.act, stage2.block2.act"
    assert edited.provenance == (
        "without dropout: removed 1 part (head.dropout)",
        f'with activation Activation("tanh"): replaced 7 parts ({first}, ..., {second})',
    )
    assert Network.from_json(edited.to_json()).provenance == edited.provenance


def test_an_edit_that_matches_nothing_is_an_error(inception: Network, residual: Network) -> None:
    with pytest.raises(UsageError, match=r"inception has no dropout\nIts layers are: act, conv, linear, pool\."):
        inception.without("dropout")
    with pytest.raises(UsageError, match="residual has no activation to replace by relu\nThose that it has are relu already"):
        residual.swap(activation="relu")
    with pytest.raises(UsageError, match="residual has no pooling to replace by avg\nThose that it has are avg already, or global"):
        residual.swap(pooling="avg")
    with pytest.raises(UsageError, match="no norm to replace by batch\nThose that it has are batch already"):
        residual.swap(norm="batch")
    with pytest.raises(UsageError, match=r"inception has no norm to replace by batch$"):
        inception.swap(norm="batch")
    with pytest.raises(UsageError, match="inception has no branch 7x7\nIts branches are: branch1x1, branch5x5, branch_pool"):
        inception.without("branch=7x7")
    with pytest.raises(UsageError, match="residual has no branch 5x5\nIt has no branches"):
        residual.without("branch=5x5")
    with pytest.raises(UsageError, match="swap needs one of activation, pooling, norm"):
        residual.swap()
    with pytest.raises(UsageError, match="nothing would be left"):
        residual.without("*")


def test_an_unknown_name_gives_the_nearest(inception: Network, residual: Network) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown part 'branch7x7'\nDid you mean branch5x5 or branch1x1.*\? inception consists of: mixed,"
    ):
        inception.without("branch7x7")
    with pytest.raises(UnknownNameError, match="Did you mean shortcut"):
        residual.without("shortcuts")
    with pytest.raises(UnknownNameError, match=r"unknown part 'stage1.block2'\nDid you mean .*stage1\.block1"):
        residual.without("stage1.block2")
    with pytest.raises(UnknownNameError, match="unknown activation 'tanhh'\nDid you mean tanh"):
        residual.swap(activation="tanhh")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match=r"unknown pooling 'average'\n.*Poolings are: max, avg"):
        residual.swap(pooling="average")
    with pytest.raises(UnknownNameError, match="unknown normalization 'groups'\nDid you mean group"):
        residual.swap(norm="groups")


def test_parts_that_no_longer_fit_are_named_with_the_edit(residual: Network) -> None:
    message = (
        r"residual without stage2.block1.add.body.unit1: stage2.block1.add: sum needs branches of one shape.*\n.*must still fit together"
    )
    with pytest.raises(ShapeError, match=message):
        residual.without("stage2.block1.add.body.unit1")
    with pytest.raises(ShapeError, match=r"residual with norm .*: stem.norm: group normalization .*\n.*Choose another layer to put there"):
        residual.swap(norm=GroupNorm(4))


ONE_OF_A_KIND = {
    "compact_cnn", "mnist_notes", "lenet5", "lenet5_paper", "alexnet", "vgg16_bn", "nin_cifar", "googlenet", "inception_v3", "resnet18",
    "resnet50", "resnetv2_50", "resnext50_32x4d", "resnet20_cifar", "resnet20v2_keras", "densenet_bc_40_12", "mobilenet_v2",
    "squeezenet1_1", "inception_resnet_v2", "xception", "wrn_16_8", "se_resnet50", "resnet50d", "mobilenet_v1",
    "mobilenet_v3_small", "shufflenet_v2_x0_5", "regnet_y_400mf", "efficientnet_v2_s", "convnextv2_atto", "vit_tiny",
    "efficientnet_b0", "efficientnet_lite0", "convnext_tiny", "unet", "fcn8s_vgg16", "segnet", "deeplabv3_resnet50",
}  # fmt: skip
EVERY = [pytest.param(name, marks=[] if name in ONE_OF_A_KIND else [pytest.mark.slow, pytest.mark.release]) for name in CATALOG]


@pytest.mark.parametrize("name", EVERY)
def test_every_edit_of_a_network_of_the_catalogue_fits_together_or_says_why_not(name: str) -> None:
    """Each that finds something leaves a network with as many outputs, which its own JSON describes.

    A release asks it of the further rows of the same tables too.
    """
    net = network(name)
    roles = {part.layer.role for part in parts(net)}

    edited = [net.without(role) for role in ("norm", "dropout", "drop") if role in roles]
    edited += [net.swap(norm=kind) for kind in ("group", "layer") if "norm" in roles]
    edited += [net.swap(activation="elu"), net.swap(activation="elu").swap(activation="gelu")] if "act" in roles else []
    if any(isinstance(part.parent, Parallel) and part.path.endswith("shortcut") for part in parts(net)):
        edited.append(net.without("shortcut"))
    edits = [net.split_kernels, net.factorize, net.head, lambda: net.width(0.5), lambda: net.depth(0.5), lambda: net.without("bottleneck")]
    said: list[str] = []
    for edit in edits:
        try:
            edited.append(edit())
        except UsageError as error:
            said.append(error.message)
        else:
            assert len(edited[-1].provenance) == len(net.provenance) + 1
            assert edited[-1].root != net.root

    assert all(name in message for message in said)
    for other in edited:
        assert other.output_shape == net.output_shape
        assert Network.from_json(other.to_json()) == other
        assert other != net


@pytest.mark.row("002-12")
def test_resnet20_and_the_plain_net_without_its_shortcuts_have_equally_many_parameters() -> None:
    """Option A's shortcuts have none: 269,722 either way (He et al. 2015 count 0.27 M)."""
    resnet = network("resnet20_cifar")
    plain = resnet.without("shortcut")

    assert (plain.params, resnet.params) == (269_722, 269_722)
    assert not any(isinstance(part.layer, Parallel) for part in parts(plain))
    runs(plain)
