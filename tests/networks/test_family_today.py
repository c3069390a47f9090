"""MobileNetV2, EfficientNet-B0, ConvNeXt-T and U-Net against torchvision, timm and, where there is no peer, a plain restatement."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from striate.core.errors import ShapeError
from striate.networks.catalog import network
from striate.networks.layers import StochasticDepth

IMAGENET = ("mobilenet_v2", "efficientnet_b0", "convnext_tiny")


@pytest.mark.parametrize(("name", "params"), [("mobilenet_v2", 3_504_872), ("efficientnet_b0", 5_288_548), ("convnext_tiny", 28_589_128)])
def test_networks_of_today_have_the_published_parameters_and_torchvisions_macs(name: str, params: int) -> None:
    """torch counts the multiply-adds of torchvision's module, as two FLOPs each."""
    net = network(name)
    with torch.device("meta"):
        peer = getattr(torchvision.models, name)().eval()
        with FlopCounterMode(display=False) as counter:
            peer(torch.empty(1, 3, 224, 224))

    assert net.params == params
    assert net.flops == counter.get_total_flops()


@pytest.mark.parametrize("name", IMAGENET)
def test_networks_of_today_give_torchvisions_logits_with_torchvisions_weights(name: str, peer_difference: Callable[..., float]) -> None:
    net = network(name, num_classes=17, input_size=(63, 96))
    assert peer_difference(net, getattr(torchvision.models, name), num_classes=17) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGENET)
def test_networks_of_today_give_torchvisions_logits_at_their_native_size(name: str, peer_difference: Callable[..., float]) -> None:
    assert peer_difference(network(name), getattr(torchvision.models, name)) == 0


def test_efficientnet_gives_timms_logits_with_timms_weights(peer_difference: Callable[..., float]) -> None:
    net = network("efficientnet_b0", num_classes=17, input_size=(63, 96))
    assert peer_difference(net, lambda **options: timm.create_model("efficientnet_b0", **options), num_classes=17) == 0


@pytest.mark.parametrize(("number", "size", "params"), [(0, 224, 4_652_008), (1, 240, 5_416_680), (2, 260, 6_092_072)])
def test_efficientnet_lite_has_timms_parameters_and_macs(number: int, size: int, params: int) -> None:
    net = network(f"efficientnet_lite{number}")
    with torch.device("meta"):
        peer = timm.create_model(f"tf_efficientnet_lite{number}").eval()
        with FlopCounterMode(display=False) as counter:
            peer(torch.empty(1, 3, size, size))

    assert net.input_shape == (3, size, size) == peer.default_cfg["input_size"]
    assert (net.params, net.flops) == (params, counter.get_total_flops())


@pytest.mark.parametrize(("number", "size"), [(0, (63, 96)), (0, (32, 61)), (1, (48, 33)), (2, (35, 64))])
def test_efficientnet_lite_gives_timms_logits_with_timms_weights(
    number: int, size: tuple[int, int], peer_difference: Callable[..., float]
) -> None:
    net = network(f"efficientnet_lite{number}", num_classes=17, input_size=size)
    assert peer_difference(net, lambda **options: timm.create_model(f"tf_efficientnet_lite{number}", **options), num_classes=17) == 0


@pytest.mark.slow
def test_convnext_gives_timms_logits_with_timms_weights() -> None:
    """timm keeps the layer scale as a vector; all else has the same shape in the same order."""
    torch.manual_seed(0)
    peer = timm.create_model("convnext_tiny", num_classes=17).double().eval()
    ours = network("convnext_tiny", num_classes=17, input_size=(63, 96)).build().double().eval()
    for mine, theirs in zip(ours.parameters(), peer.parameters(), strict=True):
        theirs.data.uniform_(-0.2, 0.2)
        mine.data.copy_(theirs.data.reshape(mine.shape))
    images = torch.randn(1, 3, 63, 96, dtype=torch.float64)

    with torch.inference_mode():
        logits, expected = ours(images), peer(images)

    assert expected.std() > 1e-3
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["efficientnet_b0", "convnext_tiny"])
def test_blocks_are_dropped_as_often_as_torchvisions(name: str) -> None:
    """Only blocks with a shortcut can be dropped; torchvision keeps the number in the others too."""
    with torch.device("meta"):
        peer = getattr(torchvision.models, name)()
    theirs = [
        block.stochastic_depth.p
        for block in peer.modules()
        if hasattr(block, "stochastic_depth") and getattr(block, "use_res_connect", True)
    ]
    ours = [row.layer.p for row in network(name).rows if isinstance(row.layer, StochasticDepth)]

    assert ours == pytest.approx(theirs)
    assert max(ours) > 0.09


def test_unet_has_the_parameters_of_its_convolutions() -> None:
    """Two 3 x 3 convolutions without bias and their normalizations a block; 2 x 2 ones with bias upwards; one score a class."""
    widths = (64, 128, 256, 512, 1024)

    def block(before: int, width: int) -> int:
        return 9 * before * width + 9 * width * width + 4 * width

    encoder = sum(block(before, width) for before, width in zip((3, *widths), widths, strict=False))
    decoder = sum(block(2 * width, width) + 4 * 2 * width * width + width for width in widths[:-1])

    assert network("unet").params == encoder + decoder + 65 * 2 == 31_037_698


def test_unet_scores_each_pixel_of_any_image_whose_sides_are_multiples_of_16() -> None:
    assert network("unet", num_classes=5, in_channels=1, input_size=(48, 32)).output_shape == (5, 48, 32)
    assert network("unet").output_shape == (2, 256, 256)
    words = r"unet: join\.coarser\.join: concat needs branches of one size, got skip \(128, 25, 16\), coarser \(128, 24, 16\)"
    with pytest.raises(ShapeError, match=words) as caught:
        network("unet", input_size=(50, 32))
    assert caught.value.remedy == "The smallest input of unet is 16 x 16. Nearby sizes that fit: 48 x 32, 64 x 32."


def test_unet_joins_each_level_with_the_coarser_ones() -> None:
    """A plain restatement of Figure 1 with five levels, walking down with a stack and up again."""
    torch.manual_seed(0)
    module = network("unet", num_classes=5, input_size=(32, 16)).build().double().eval()
    for norm in (child for child in module.modules() if isinstance(child, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.data.uniform_(0.5, 1.5)
    values = iter([tensor for name, tensor in module.state_dict().items() if not name.endswith("tracked")])

    def two_convs(x: Tensor) -> Tensor:
        for _ in range(2):
            x = F.conv2d(x, next(values), padding=1)
            scale, shift, mean, variance = (next(values)[:, None, None] for _ in range(4))
            x = (scale * (x - mean) / (variance + 1e-5).sqrt() + shift).clamp(min=0)
        return x

    images = torch.randn(2, 3, 32, 16, dtype=torch.float64)
    x, skips = two_convs(images), []
    for _ in range(4):
        skips.append(x)
        x = two_convs(F.max_pool2d(x, 2))
    while skips:
        x = F.conv_transpose2d(x, next(values), next(values), stride=2)
        x = two_convs(torch.cat([skips.pop(), x], dim=1))
    expected = F.conv2d(x, next(values), next(values))

    with torch.inference_mode():
        scores = module(images)

    assert scores.shape == (2, 5, 32, 16)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9)
    assert next(values, None) is None


def test_convnext_v2_atto_gives_timms_logits_with_timms_weights() -> None:
    """timm keeps the linear layers of its small sizes as 1 x 1 convolutions; all else has the same shape in the same order."""
    torch.manual_seed(0)
    peer = timm.create_model("convnextv2_atto", num_classes=17).double().eval()
    net = network("convnextv2_atto", num_classes=17, input_size=(63, 96))
    ours = net.build().double().eval()
    for mine, theirs in zip(ours.parameters(), peer.parameters(), strict=True):
        theirs.data.uniform_(-0.2, 0.2)
        mine.data.copy_(theirs.data.reshape(mine.shape))
    images = torch.randn(1, 3, 63, 96, dtype=torch.float64)

    with torch.inference_mode():
        logits, expected = ours(images), peer(images)

    assert (network("convnextv2_atto").params, round(network("convnextv2_atto").macs / 1e9, 2)) == (3_708_400, 0.55)  # Table 8 of the paper
    assert expected.std() > 1e-3
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-12)
