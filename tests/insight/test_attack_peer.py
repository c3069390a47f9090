"""Attacks beside torchattacks' where that is installed; it is no dependency, so this test skips elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from striate.insight import attack
from striate.insight.attack.inside import sizes

peer = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")
IMAGES = torch.rand(6, 3, 9, 11, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 7 * 9, 16), nn.Tanh(), nn.Linear(16, 4)).eval()


@pytest.fixture(scope="module")
def labels(network) -> torch.Tensor:
    return attack.answers_of(network, IMAGES)


def test_fgsm_equals_the_peers(network, labels):
    ours = attack.fgsm(network, IMAGES, labels, eps=0.03)

    torch.testing.assert_close(ours, peer.FGSM(network, eps=0.03)(IMAGES, labels), atol=1e-6, rtol=0)


@pytest.mark.parametrize("eps", [0.005, 0.01, 0.02, 0.05])
def test_pgd_fools_at_least_what_the_peers_fools(network, labels, eps):
    ours = attack.answers_of(network, attack.pgd(network, IMAGES, labels, eps=eps, steps=10)) != labels
    theirs = attack.answers_of(network, peer.PGD(network, eps=eps, alpha=eps / 4, steps=10, random_start=False)(IMAGES, labels)) != labels

    assert (ours | ~theirs).all()


def test_deepfool_goes_as_far_as_the_peers(network, labels):
    ours = attack.deepfool(network, IMAGES, labels)
    theirs = peer.DeepFool(network, steps=50, overshoot=0.02)(IMAGES, labels)

    assert (attack.answers_of(network, ours) != labels).all()
    torch.testing.assert_close(sizes(ours - IMAGES, "l2"), sizes(theirs - IMAGES, "l2"), rtol=0.05, atol=2e-3)


def test_carlini_wagner_needs_no_more_than_the_peers(network, labels):
    ours = sizes(attack.carlini_wagner(network, IMAGES, labels, steps=200, searches=6) - IMAGES, "l2")
    theirs = peer.CW(network, c=1, steps=200, lr=0.01)(IMAGES, labels)
    fooled = attack.answers_of(network, theirs) != labels

    assert (ours[fooled] <= 1.05 * sizes(theirs - IMAGES, "l2")[fooled]).all()
