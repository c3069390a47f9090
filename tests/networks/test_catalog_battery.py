"""What holds for every network of the catalogue: as a description, and as a module at about the smallest size that it takes."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.networks.catalog import CATALOG, LACKING, network, networks
from striate.networks.network import Network

Prime = Callable[[nn.Module, Tensor], nn.Module]
IMAGE_TO_IMAGE = {
    "fcn32s_vgg16",
    "fcn16s_vgg16",
    "fcn8s_vgg16",
    "unet",
    "step_lstm",
    "segnet",
    "deeplabv3_resnet50",
    "dncnn",
    "dncnn_light",
}
ENLARGING = {f"{name}_x{scale}": scale for name in ("srcnn", "fsrcnn") for scale in (2, 3, 4)}  # pictures, on each side
GIVE_PICTURES = {"dncnn", "dncnn_light", *ENLARGING}  # which begin as what they are given nearly, and learn no classes soon


FAMILIES = {"googlenet", "densenet_bc_40_12", "mobilenet_v2", "efficientnet_b0"}  # the smallest of those that have no small member
LARGE = {  # one of each other kind, but for FCN, whose own tests build it; further rows of the same tables run before a release
    "alexnet", "vgg16_bn", "googlenet_paper", "bn_inception", "inception_v3", "resnet50", "resnetv2_50", "resnext50_32x4d",
    "preact_resnet110_cifar", "resnet56v2_keras", "densenet121", "densenet_40_12", "convnext_tiny", "unet",
}  # fmt: skip
LEARNERS = {"mnist_notes", "nin_cifar", "googlenet", "resnet18", "mobilenet_v2", "efficientnet_b0", "densenet_40_12", "resnet56v2_keras"}

OTHER_SIZES = {"dcgan_generator": (1, 2), "efficientnet_v2_s": (64, 80)}  # it enlarges 64 times; gates close at 1 x 1 places of 3 images
WITHOUT_NORM = {"googlenet_paper", "squeezenet1_0", "squeezenet1_1"}


def is_light(name: str) -> bool:
    """Whether a network's module is run by the quick tests; the others are marked slow, or run before a release."""
    net = network(name)
    return name in FAMILIES or (net.params < 12_000_000 and len(net.rows) < 130)


@functools.cache
def smallest_size(name: str) -> int:
    smallest = network(name).smallest_input()
    assert smallest is not None
    return (*smallest, 1)[1]  # the rows of a table have no places


def marks(name: str, *, quick: bool, every_run: set[str]) -> list[pytest.MarkDecorator]:
    """None for what is quick."""
    return [] if quick else [pytest.mark.slow] if name in every_run else [pytest.mark.slow, pytest.mark.release]


RUN = [pytest.param(name, marks=marks(name, quick=is_light(name), every_run=LARGE)) for name in CATALOG]
LEARN = [  # the deepest and largest are left out: a hundred updates of theirs take minutes, and every block of theirs is in a smaller one
    pytest.param(name, marks=marks(name, quick=network(name).params < 700_000 and is_light(name), every_run=LEARNERS))
    for name in CATALOG
    if network(name).params < 12_000_000 and len(network(name).rows) < 280 and name not in GIVE_PICTURES
]


# ---- descriptions


def test_the_catalogue_is_described_without_torch() -> None:
    program = (
        "import sys; from striate.networks.catalog import CATALOG, network; [network(name).params for name in CATALOG]; print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert "striate.networks.families.vgg" in loaded
    assert not {"torch", "torchvision", "numpy", "matplotlib"} & set(loaded)


def test_the_list_of_networks_has_a_line_for_each_entry() -> None:
    lines = networks()

    assert [line.name for line in lines] == list(CATALOG)
    assert all(line.source and line.params > 0 and line.macs > 0 for line in lines)


@pytest.mark.parametrize("name", CATALOG)
def test_a_network_is_the_same_after_json(name: str) -> None:
    net = network(name)
    assert Network.from_json(net.to_json()) == net


@pytest.mark.parametrize("name", CATALOG)
def test_a_network_answers_one_score_a_class_or_one_a_class_and_pixel(name: str) -> None:
    net, entry = network(name), CATALOG[name]
    places = entry.input_shape[1:] if name in IMAGE_TO_IMAGE else (64, 64) if name == "dcgan_generator" else ()
    places = tuple(ENLARGING[name] * side for side in entry.input_shape[1:]) if name in ENLARGING else places

    assert net.input_shape == entry.input_shape
    assert net.output_shape == (entry.num_classes, *places)
    assert network(name, num_classes=7, in_channels=5).output_shape == (7, *places)
    assert network(name, num_classes=1, in_channels=1).output_shape == (1, *places)


@pytest.mark.parametrize("name", CATALOG)
def test_the_module_has_the_parameters_of_the_description(name: str) -> None:
    """Built without memory for its numbers; a parameter that is not learned is not counted."""
    net = network(name)
    with torch.device("meta"):
        module = net.build()

    assert sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad) == net.params
    rows = {row.path for row in net.rows if row.cost.params}
    assert {path.rpartition(".")[0] for path, _ in module.named_parameters()} >= rows - {path for path in rows if "." not in path}


@pytest.mark.parametrize("name", CATALOG)
def test_the_smallest_input_fits_and_one_less_names_the_layer_that_stops_it(name: str) -> None:
    net = network(name)
    smallest = smallest_size(name)
    if len(net.input_shape) == 1:
        with pytest.raises(UsageError, match="has 0 axes beside the channels, got input_size=8"):
            network(name, input_size=8)
        return

    assert network(name, input_size=smallest).output_shape[0] == CATALOG[name].num_classes
    if smallest == 1:
        with pytest.raises(UsageError, match="input_size must be at least 1"):
            network(name, input_size=0)
        return
    with pytest.raises(ShapeError) as caught:
        network(name, input_size=smallest - 1)
    assert caught.value.path in {row.path for row in net.rows}
    assert caught.value.message.startswith(f"{name}: {caught.value.path}: ")
    assert caught.value.remedy.startswith(f"The smallest input of {name} is {' x '.join([str(smallest)] * (len(net.input_shape) - 1))}.")


@pytest.mark.parametrize(("name", "lacking"), [("swin_t", "attention within shifted windows"), ("yolov3", "outputs of several sizes")])
def test_a_network_that_cannot_be_described_is_told_with_what_it_would_need(name: str, lacking: str) -> None:
    words = f"unknown network '{name}'\nIts description would need {lacking}, which no layer here does. If timm or .* `torchvision:{name}`"
    with pytest.raises(UnknownNameError, match=words):
        network(name)
    assert not any(known.startswith(start) for known in CATALOG for start in LACKING)


# ---- modules


class Built(NamedTuple):
    """A network for 2 channels and 7 classes, its module, and three images."""

    net: Network
    module: nn.Module
    images: Tensor


def build(name: str, prime: Prime) -> Built:
    """A network with fresh weights, except that its normalizations know the mean and variance of the three images."""
    torch.manual_seed(0)
    height = max(smallest_size(name), 16)
    size = OTHER_SIZES.get(name, (height, height + 16, 8)[: len(CATALOG[name].input_shape) - 1])
    net = network(name, num_classes=7, in_channels=2, input_size=size)
    module, images = net.build(), torch.randn(3, *net.input_shape)
    return Built(net, prime(module, images), images)


@pytest.fixture(scope="module", params=RUN)
def built(request: pytest.FixtureRequest, prime: Prime) -> Built:
    """One at a time, so that the large ones do not stand in memory together; in float64, as deep plain nets enlarge rounding errors."""
    net, module, images = build(request.param, prime)
    return Built(net, module.double(), images.double())


def loss_of(module: nn.Module, images: Tensor) -> Tensor:
    """Cross-entropy when the images are of the classes 0, 1, 2, ..., in each pixel where pixels are labelled."""
    logits = module(images)  # (N, K) or (N, K, H, W)
    labels = torch.arange(len(images)) % logits.shape[1]
    return F.cross_entropy(logits, labels.view(-1, *(1,) * (logits.ndim - 2)).expand(-1, *logits.shape[2:]))


def test_an_images_logits_do_not_depend_on_its_neighbours(built: Built) -> None:
    module = built.module.eval()
    with torch.inference_mode():
        together, alone = module(built.images), module(built.images[1:2])

    assert together.shape == (3, *built.net.output_shape)
    assert not torch.equal(together[0], together[1])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-6, atol=1e-6 * float(alone.abs().max()))


def test_every_parameter_gets_a_gradient(built: Built) -> None:
    """In evaluation mode, where a normalization does not hide the bias before it."""
    module = built.module.eval()
    module.zero_grad()
    loss_of(module, built.images).backward()
    learned = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}  # no scale that stays 1
    without = [name for name, parameter in learned.items() if parameter.grad is None or not parameter.grad.any()]

    assert not without
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in learned.values())


@pytest.mark.parametrize("name", LEARN)
def test_one_batch_can_be_learned(name: str, prime: Prime) -> None:
    """The loss on three images of three classes falls to a third.

    Some start with He's weights: torch's own are too small for 18 or 22 layers without normalization.
    """
    _, module, images = build(name, prime)
    for layer in module.modules() if name in WITHOUT_NORM else ():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    optimizer = torch.optim.Adam(module.train().parameters(), lr=1e-3)
    losses: list[float] = []
    while not losses or (losses[-1] > losses[0] / 3 and len(losses) < 100):
        loss = loss_of(module, images)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    assert losses[-1] <= losses[0] / 3
