"""Vision transformers against torchvision and timm, and attention against its formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor

from striate.core.errors import ShapeError
from striate.networks.catalog import network
from striate.networks.layers import SelfAttention, TakeStep


@pytest.mark.parametrize(
    ("name", "params", "printed"),
    [
        ("vit_tiny", 5_717_416, "1.3"),
        ("vit_small", 22_050_664, "4.6"),
        ("vit_b_16", 86_567_656, "17.564"),
        ("vit_b_32", 88_224_232, "4.409"),
    ],
)
def test_vision_transformers_have_the_published_parameters_and_macs(name: str, params: int, printed: str) -> None:
    """Billions of MACs as Touvron et al., 2021 (Table 5, DeiT), and torchvision's documentation print them."""
    net = network(name)
    assert net.params == params
    assert f"{net.macs / 1e9:.{len(printed.partition('.')[2])}f}" == printed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_16", "vit_b_32"])
def test_vision_transformers_give_torchvisions_logits_with_torchvisions_weights(name: str, peer_difference: Callable[..., float]) -> None:
    net = network(name, num_classes=17, input_size=64)
    make = torchvision.models.get_model_builder(name)

    assert peer_difference(net, make, num_classes=17, image_size=64) < 1e-9


def test_a_tiny_vision_transformer_gives_timms_logits_with_timms_weights() -> None:
    """timm's places stand before the patches."""
    torch.manual_seed(0)
    peer = timm.create_model("vit_tiny_patch16_224", num_classes=7, img_size=(32, 64)).double().eval()
    ours = network("vit_tiny", num_classes=7, input_size=(32, 64)).build().double().eval()
    token, places, weight, bias, *rest = peer.parameters()
    for mine, theirs in zip(ours.parameters(), (token, weight, bias, places, *rest), strict=True):
        theirs.data.uniform_(-0.2, 0.2)
        mine.data.copy_(theirs.data)
    images = torch.randn(2, 3, 32, 64, dtype=torch.float64)

    with torch.inference_mode():
        logits, expected = ours(images), peer(images)

    assert expected.std() > 1e-3
    torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


def test_attention_is_its_formula() -> None:
    """softmax(Q K' / sqrt(d)) V of each part of the features, written out."""
    torch.manual_seed(0)
    module, x = SelfAttention(2).build((5, 18)), torch.randn(3, 5, 18, dtype=torch.float64)
    queries, keys, values = x.split(6, 2)  # each (N, T, F)

    def attend(part: slice) -> Tensor:
        agreement = torch.softmax(queries[..., part] @ keys[..., part].mT / math.sqrt(3), -1)  # (N, T, T)
        return agreement @ values[..., part]

    expected = torch.cat([attend(slice(0, 3)), attend(slice(3, 6))], 2)

    torch.testing.assert_close(module(x), expected, rtol=0, atol=1e-12)


def test_attention_costs_two_products_of_all_pairs() -> None:
    cost = SelfAttention(3).cost((197, 3 * 192))

    assert cost.params == 0
    assert cost.macs == 2 * 197 * 197 * 192
    assert cost.reach is not None
    assert cost.reach.whole


def test_layers_of_a_transformer_say_what_they_need() -> None:
    with pytest.raises(ShapeError, match=r"self-attention needs a sequence \(T, F\), got \(3, 4, 5\)\n.*ToSequence\('places'\)"):
        SelfAttention(3).output_shape((3, 4, 5))
    with pytest.raises(ShapeError, match="self-attention with heads=4 needs 3 times a multiple of it of features, got"):
        SelfAttention(4).output_shape((5, 18))
    with pytest.raises(ShapeError, match="step 5 is not among 5, 0 to 4, in"):
        TakeStep(5).output_shape((5, 6))
