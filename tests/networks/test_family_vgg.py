"""VGG against the paper's counts and against torchvision and timm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import Tensor, nn

from striate.networks.catalog import network
from striate.networks.layers import Conv, Linear


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("vgg11", 132_863_336, 7_609_090_048),
        ("vgg13", 133_047_848, 11_308_466_176),
        ("vgg16", 138_357_544, 15_470_264_320),
        ("vgg19", 143_667_240, 19_632_062_464),
        ("vgg11_bn", 132_868_840, 7_609_090_048),
        ("vgg13_bn", 133_053_736, 11_308_466_176),
        ("vgg16_bn", 138_365_992, 15_470_264_320),
        ("vgg19_bn", 143_678_248, 19_632_062_464),
    ],
)
def test_vgg_has_the_parameters_macs_and_smallest_input_that_torchvision_documents(name: str, params: int, macs: int) -> None:
    net = network(name)

    assert (net.params, net.macs) == (params, macs)
    assert net.output_shape == (1000,)
    meta = torchvision.models.get_model_weights(name).DEFAULT.meta
    assert (params, net.smallest_input()) == (meta["num_params"], (3, *meta["min_size"]))


@pytest.mark.row("003-52")
def test_vgg16_is_the_table_of_the_paper_with_both_blocks_of_512() -> None:
    """Column D: 13 convolutions; 14,714,688 weights in them and 123,642,856 in the dense head, 89.4 % of all."""
    net = network("vgg16")
    convolutions = [row for row in net.rows if isinstance(row.layer, Conv)]
    dense = [row for row in net.rows if isinstance(row.layer, Linear)]

    assert [row.layer.out_channels for row in convolutions] == [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    assert sum(row.cost.params for row in convolutions) == 14_714_688
    assert sum(row.cost.params for row in dense) == 123_642_856
    assert sum(row.cost.macs for row in convolutions) == 15_346_630_656
    assert [row.output_shape for row in net.rows if row.path.startswith("stage") and row.path.endswith("pool")] == [
        (64, 112, 112),
        (128, 56, 56),
        (256, 28, 28),
        (512, 14, 14),
        (512, 7, 7),
    ]
    assert [row.cost.params for row in convolutions[:4]] == [1_792, 36_928, 73_856, 147_584]


def test_vgg16_sees_196_pixels_at_its_last_convolution_and_212_after_the_last_pooling() -> None:
    """Araujo, Norris and Sim, 2019, and section 4.3 of the FCN paper: 404 for fc6, a window of 7 over pool5."""
    net = network("vgg16")
    views = {row.path: row.view for row in net.rows}

    assert net.receptive_field == 212
    assert views["stage5.unit3.conv"].size == (196, 196)
    assert views["stage5.pool"].size == (212, 212)
    assert views["stage5.pool"].size[0] + (7 - 1) * views["stage5.pool"].stride[0] == 404


@pytest.mark.slow
def test_vgg_gives_torchvisions_logits_with_torchvisions_weights(peer_difference: Callable[..., float]) -> None:
    """At 224 x 224, where the maps before the dense head are 7 x 7 by themselves."""
    assert peer_difference(network("vgg11"), torchvision.models.vgg11) == 0


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("vgg11_bn", (64, 96)),
        pytest.param("vgg11_bn", (32, 320), marks=pytest.mark.slow),
        *(pytest.param(name, (32, 64), marks=pytest.mark.slow) for name in ("vgg16", "vgg19_bn")),
        *(pytest.param(name, (32, 64), marks=pytest.mark.release) for name in ("vgg13", "vgg19", "vgg13_bn", "vgg16_bn")),
    ],
)
def test_vgg_gives_torchvisions_logits_at_other_sizes(name: str, size: tuple[int, int], peer_difference: Callable[..., float]) -> None:
    net = network(name, num_classes=7, input_size=size)

    assert peer_difference(net, torchvision.models.get_model_builder(name), num_classes=7) < 1e-12


@pytest.mark.slow
def test_vgg16_gives_timms_logits_with_timms_weights(random_weights: Callable[[nn.Module], dict[str, Tensor]]) -> None:
    """timm writes the dense head as convolutions of 7 x 7 and 1 x 1: the same numbers in another shape."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    net = network("vgg16", num_classes=7)
    with torch.device("meta"):
        peer, ours = timm.create_model("vgg16", num_classes=7).eval(), net.build()
    state, names = random_weights(peer), ours.state_dict()
    peer.load_state_dict(state, assign=True)
    ours.load_state_dict({name: theirs.reshape(names[name].shape) for name, theirs in zip(names, state.values(), strict=True)}, assign=True)
    images = torch.randn(1, 3, 224, 224, dtype=torch.float64)

    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(images), peer(images), rtol=1e-9, atol=1e-9)
