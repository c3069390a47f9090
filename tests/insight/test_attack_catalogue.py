"""Every attack on every classifier of the catalogue, and on networks of other libraries; FGSM and PGD equal to plain versions of them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import striate
from striate.insight import attack
from striate.insight.attack.corruptions import NAMES

QUICK = ("lenet5", "mnist_notes", "cifar_notes", "resnet20_cifar")
FOREIGN = ("timm:resnet10t", "timm:convnext_atto", "torchvision:squeezenet1_1")
Small = Callable[[str], striate.Network]
Prime = Callable[[nn.Module, Tensor], nn.Module]
EPS, STEPS = 1 / 64, 2  # no place is rounded: 1,000 layers make much of a last bit


NEED_PLACES = ("regnet_x_400mf", "efficientnet_v2_s")  # whose last maps of 32 pixels are one place, where fresh weights let no unit respond


def slope_of(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, losses and the slope of each picture's loss, one picture at a time."""
    rows = []
    for image, label in zip(images, labels, strict=True):
        pixels = image[None].clone().requires_grad_()
        logits = model(pixels)
        loss = -F.log_softmax(logits, 1)[0, label]
        loss.backward()
        rows.append((logits.detach()[0], loss.detach(), pixels.grad[0]))
    return tuple(torch.stack(each) for each in zip(*rows, strict=True))


def within(places: Tensor, images: Tensor) -> Tensor:
    return torch.max(torch.min(places, images + EPS), images - EPS).clamp(0, 1)


def plain_pgd(model: nn.Module, images: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """From FGSM's place: each place and its loss; those that are answered wrongly first."""
    places, visited = within(images + EPS * slope_of(model, images, labels)[2].sign(), images), []
    for _ in range(STEPS + 1):
        logits, losses, slope = slope_of(model, places, labels)
        visited.append((places, losses.double() + 1e6 * (logits.argmax(1) != labels)))
        places = within(places + 2.5 * EPS / STEPS * slope.sign(), images)
    return visited


def agree(ours: Tensor, plain: Tensor, steps: int) -> float:
    """The share of pixels that are equal; a slope of nearly 0 may have either sign."""
    assert (ours - plain).abs().max() <= 2 * EPS * steps + 1e-6
    return float(((ours - plain).abs() < 1e-5).double().mean())


def check(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Each attack keeps its norm, repeats the plain version where there is one, and leaves the network as it was."""
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    labels = attack.answers_of(model, images)
    plain = copy.deepcopy(model).eval()
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    noise = attack.random_noise(images, eps=EPS)
    by_fgsm = attack.fgsm(model, images, labels, eps=EPS)
    by_pgd = attack.pgd(model, images, labels, eps=EPS, steps=STEPS, restarts=0)
    in_l2 = attack.fgsm(model, images, labels, eps=1.0, norm="l2")
    by_deepfool = attack.deepfool(model, images, labels, steps=2, classes=2)
    by_cw = attack.carlini_wagner(model, images, labels, steps=2, searches=1)

    for changed in (noise, by_fgsm, by_pgd):
        assert (changed.double() - images.double()).abs().max() <= EPS and changed.min() >= 0 and changed.max() <= 1
    assert ((in_l2.double() - images.double()).flatten(1).norm(dim=1) <= 1).all()
    for changed in (by_deepfool, by_cw):
        assert changed.shape == images.shape and changed.isfinite().all() and changed.min() >= 0 and changed.max() <= 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(part.training for part in model.modules()) and all(weight.grad is None for weight in model.parameters())

    plain, images = plain.double(), images.double()  # many layers of random weights make much of the last bits of a float32
    by_fgsm = attack.fgsm(plain, images, labels, eps=EPS)
    by_pgd = attack.pgd(plain, images, labels, eps=EPS, steps=STEPS, restarts=0)
    slope = slope_of(plain, images, labels)[2]
    assert slope.abs().max() > 0
    assert agree(by_fgsm, within(images + EPS * slope.sign(), images), 1) > 0.98
    visited = plain_pgd(plain, images, labels)
    ranks = torch.stack([rank for _, rank in visited])  # (places, N)
    ours = slope_of(plain, by_pgd, labels)
    rank = ours[1].double() + 1e6 * (ours[0].argmax(1) != labels)
    torch.testing.assert_close(rank, ranks.amax(0), rtol=1e-3, atol=1e-4)
    assert (rank >= ranks[0] - 1e-4).all()  # at least as strong as FGSM


@pytest.mark.row("004-19")
@pytest.mark.classifiers(*QUICK)
def test_every_attack_works_on_every_classifier_of_the_catalogue(name: str, small_network: Small, prime: Prime):
    network = small_network(name, least=64 if name in NEED_PLACES else 32)
    torch.manual_seed(0)
    check(prime(network.build(), torch.rand(4, *network.input_shape)), network.input_shape)


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", FOREIGN)
def test_every_attack_works_on_networks_of_other_libraries(name: str, prime: Prime):
    network = striate.network(name, num_classes=7, input_size=64)
    torch.manual_seed(0)
    check(prime(network.build(), torch.rand(4, *network.input_shape)), network.input_shape)


def test_pictures_of_every_size_of_the_catalogue_are_turned_and_corrupted():
    """Turns and corruptions look at no network: the shapes are all that an entry decides."""
    shapes = {striate.network(name).input_shape for name in QUICK} | {(3, 33, 47), (2, 12, 9)}
    for channels, height, width in shapes:
        pictures = np.random.default_rng(0).integers(0, 256, (2, height, width, channels), np.uint8)
        found = [attack.rotated(pictures, 15), *(attack.corrupted(pictures, kind, 3) for kind in NAMES)]
        assert all(changed.shape == pictures.shape and changed.dtype == np.uint8 and (changed != pictures).any() for changed in found)
