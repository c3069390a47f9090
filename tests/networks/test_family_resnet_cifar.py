"""ResNets for CIFAR, plain, residual and pre-activation: published counts, what the shortcuts do, a thousand layers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.networks.catalog import network
from striate.networks.families.resnet_cifar import preact_resnet_cifar
from striate.networks.layers import Chain, Identity, PadChannels
from striate.networks.network import Network

# by the formulas of a convolution, for 6 n + 2 layers: parameters and MACs of the stem, the three stages and the classifier
PARTS = ("stem", "stage1", "stage2", "stage3", "head")
PART_COSTS = {
    20: ((464, 442_368), (14_016, 14_155_776), (51_072, 12_976_128), (203_520, 12_976_128), (650, 640)),
    32: ((464, 442_368), (23_360, 23_592_960), (88_192, 22_413_312), (351_488, 22_413_312), (650, 640)),
    44: ((464, 442_368), (32_704, 33_030_144), (125_312, 31_850_496), (499_456, 31_850_496), (650, 640)),
    56: ((464, 442_368), (42_048, 42_467_328), (162_432, 41_287_680), (647_424, 41_287_680), (650, 640)),
    110: ((464, 442_368), (84_096, 84_934_656), (329_472, 83_755_008), (1_313_280, 83_755_008), (650, 640)),
}
FIELDS = {20: 81, 32: 137, 44: 193, 56: 249, 110: 501}


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("resnet20_cifar", 269_722, 40_551_040),
        ("resnet32_cifar", 464_154, 68_862_592),
        ("resnet44_cifar", 658_586, 97_174_144),
        ("resnet56_cifar", 853_018, 125_485_696),
        ("resnet110_cifar", 1_727_962, 252_887_680),
        ("resnet1202_cifar", 19_421_274, 2_829_238_912),
        ("resnet20_cifar_b", 272_474, 40_551_040 + 262_144),
        ("resnet32_cifar_b", 466_906, 68_862_592 + 262_144),
        ("resnet44_cifar_b", 661_338, 97_174_144 + 262_144),
        ("resnet56_cifar_b", 855_770, 125_485_696 + 262_144),
        ("resnet110_cifar_b", 1_730_714, 252_887_680 + 262_144),
        ("preact_resnet110_cifar", 1_730_522, 253_149_824),
        ("preact_resnet164_cifar", 1_703_258, 247_646_720),
        ("preact_resnet1001_cifar", 10_327_706, 1_490_995_712),
    ],
)
@pytest.mark.row("004-9")
def test_cifar_resnets_have_the_published_parameters_and_macs(name: str, params: int, macs: int) -> None:
    """Table 6 of the first paper says 0.27, 0.46, 0.66, 0.85, 1.7 and 19.4 million, the second 1.7 and 10.2 for 164 and 1,001 layers."""
    net = network(name)

    assert (net.params, net.macs, net.output_shape) == (params, macs, (10,))


@pytest.mark.parametrize("depth", PART_COSTS)
def test_each_stage_of_a_cifar_resnet_has_its_parameters_macs_and_receptive_field(
    depth: int, part_cost: Callable[[Network, str], tuple[int, int]]
) -> None:
    """From 56 layers on the last maps see more than the image."""
    net = network(f"resnet{depth}_cifar")

    assert tuple(part_cost(net, part) for part in PARTS) == PART_COSTS[depth]
    assert net.receptive_field == FIELDS[depth]
    assert list(net.shapes_at(["stage1", "stage2", "stage3"]).values()) == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]


@pytest.mark.parametrize("name", ["resnet44_cifar", "resnet110_cifar_b", "resnet1202_cifar", "plain20_cifar", "preact_resnet164_cifar"])
def test_the_number_in_the_name_counts_the_layers_with_weights_outside_shortcuts(name: str) -> None:
    rows = [row for row in network(name).rows if row.layer.kind in ("conv", "linear") and ".shortcut" not in row.path]

    assert f"{len(rows)}" in name


@pytest.mark.parametrize("depth", [20, 56])
@pytest.mark.row("002-12")
def test_plain_nets_have_the_parameters_and_macs_of_residual_ones_with_shortcuts_that_cost_nothing(depth: int) -> None:
    plain, residual = network(f"plain{depth}_cifar"), network(f"resnet{depth}_cifar")

    assert (plain.params, plain.macs) == (residual.params, residual.macs)
    assert plain.params == {20: 269_722, 56: 853_018}[depth]
    assert not any("shortcut" in row.path for row in plain.rows)


@pytest.mark.row("002-12")
def test_a_plain_net_is_the_residual_one_without_its_shortcuts() -> None:
    """With the same weights the two give the same logits."""
    torch.manual_seed(0)
    plain, edited = network("plain20_cifar").build().eval(), network("resnet20_cifar").without("shortcut").build().eval()
    edited.load_state_dict(dict(zip(edited.state_dict(), plain.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 32, 28)

    assert torch.equal(plain(images), edited(images))
    assert not torch.allclose(plain(images), network("resnet20_cifar").build().eval()(images))


def stage_with_zero_weights(name: str, stage: str, shape: tuple[int, int, int]) -> nn.Module:
    """The stage of a network; each convolution of a body is zero and so is what its normalization adds."""
    part = network(name).root[stage]
    module = part.build(shape).eval()
    for path, child in module.named_modules():
        if ".body." in path and isinstance(child, nn.Conv2d):
            nn.init.zeros_(child.weight)
    return module


@pytest.mark.parametrize("name", ["resnet20_cifar", "resnet20_cifar_b", "preact_resnet110_cifar"])
@pytest.mark.row("003-53")
def test_blocks_with_zero_weights_hand_on_what_comes_in(name: str) -> None:
    """a[l+2] = relu(z[l+2] + a[l]) is a[l] where z = 0 and a[l] >= 0."""
    module = stage_with_zero_weights(name, "stage1", (16, 6, 9))
    images = torch.rand(2, 16, 6, 9)

    assert torch.equal(module(images), images)


@pytest.mark.row("003-53")
def test_where_shapes_change_option_a_takes_every_second_place_and_adds_maps_of_zeros() -> None:
    module = stage_with_zero_weights("resnet20_cifar", "stage2", (16, 6, 9))
    images = torch.rand(2, 16, 6, 9)

    output = module(images)

    assert output.shape == (2, 32, 3, 5)
    assert torch.equal(output[:, :16], images[:, :, ::2, ::2])
    assert not output[:, 16:].any()


@pytest.mark.row("003-53")
def test_where_shapes_change_option_b_projects() -> None:
    """W_s x by hand: one linear map of the channels at every second place; a fresh normalization divides by sqrt(1 + eps)."""
    torch.manual_seed(0)
    module = stage_with_zero_weights("resnet20_cifar_b", "stage2", (16, 6, 9))
    images = torch.rand(2, 16, 6, 9)

    weight = module.get_submodule("block1.shortcut.conv").weight[:, :, 0, 0]
    projected = torch.einsum("oc,nchw->nohw", weight, images[:, :, ::2, ::2]) / (1 + 1e-5) ** 0.5

    torch.testing.assert_close(module(images), projected.clamp(min=0))


def test_only_the_blocks_that_change_shapes_have_a_shortcut_that_is_not_the_identity() -> None:
    paths = ["stage2.block1", "stage3.block1"]
    for name, kind in (("resnet32_cifar", PadChannels), ("resnet32_cifar_b", Chain)):
        root = network(name).root
        shortcuts = {f"stage{i}.block{j}": root[f"stage{i}.block{j}.shortcut"] for i in (1, 2, 3) for j in range(1, 6)}
        assert [path for path, shortcut in shortcuts.items() if not isinstance(shortcut, Identity)] == paths
        assert all(isinstance(shortcuts[path], kind) for path in paths)


def test_a_preactivation_net_starts_its_projections_after_the_first_norm_and_relu() -> None:
    """A plain restatement of 8 layers, one block a stage: identity shortcuts take the raw input, projections what is normalized."""
    torch.manual_seed(0)
    net = Network("preact8", (3, 8, 12), preact_resnet_cifar(7, 8))
    module = net.build().double().eval()
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            for tensor in (child.weight, child.bias, child.running_mean, child.running_var):
                tensor.data.uniform_(0.5, 1.5)
    state = module.state_dict()

    def normed(x: Tensor, path: str) -> Tensor:
        stats = (state[f"{path}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *stats).clamp(min=0)

    images = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    x = F.conv2d(images, state["stem.weight"], padding=1)
    body = F.conv2d(normed(x, "stage1.block1.body.unit1.norm"), state["stage1.block1.body.unit1.conv.weight"], padding=1)
    x = x + F.conv2d(normed(body, "stage1.block1.body.unit2.norm"), state["stage1.block1.body.unit2.conv.weight"], padding=1)
    for block in ("stage2.block1", "stage3.block1"):
        shared = normed(x, f"{block}.preact.norm")
        body = F.conv2d(shared, state[f"{block}.body.unit1.conv.weight"], padding=1, stride=2)
        body = F.conv2d(normed(body, f"{block}.body.unit2.norm"), state[f"{block}.body.unit2.conv.weight"], padding=1)
        x = F.conv2d(shared, state[f"{block}.shortcut.weight"], stride=2) + body
    expected = F.linear(normed(x, "norm").mean((2, 3)), state["head.linear.weight"], state["head.linear.bias"])

    torch.testing.assert_close(module(images), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
def test_gradients_reach_each_batch_norm_channels_last(activation: str) -> None:
    """Its backward pass is ten times as slow where they do not, as torch's do after a mean, a slice or a padding."""
    net = network("resnet20_cifar").swap(activation=activation) if activation != "relu" else network("resnet20_cifar")
    module, images = net.build().to(memory_format=torch.channels_last), torch.randn(2, *net.input_shape)
    gradients: list[Tensor] = []
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.register_full_backward_hook(lambda _part, _inner, outer: gradients.append(outer[0]))

    module.train()(images.contiguous(memory_format=torch.channels_last)).sum().backward()

    assert len(gradients) == 19
    assert all(gradient.is_contiguous(memory_format=torch.channels_last) for gradient in gradients)


@pytest.mark.slow
@pytest.mark.row("001-1")
def test_a_network_of_1001_layers_is_built_and_makes_a_step() -> None:
    torch.manual_seed(0)
    module = network("preact_resnet1001_cifar", input_size=(8, 12)).build()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    images, labels = torch.randn(3, 3, 8, 12), torch.tensor([1, 4, 9])
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}

    loss = F.cross_entropy(module(images), labels)
    loss.backward()
    optimizer.step()

    assert sum(isinstance(child, nn.Conv2d | nn.Linear) for name, child in module.named_modules() if "shortcut" not in name) == 1001
    assert loss.isfinite()
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    assert not [name for name, parameter in module.named_parameters() if torch.equal(parameter, before[name])]
