"""The strongest change inside a ball: random noise, FGSM and PGD, in the maximum norm or in L2. Pixel space; see `inside`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import UsageError
from striate.core.seeds import mixed
from striate.engine.climbing import Norm, direction, random_change
from striate.insight.attack.inside import attacked, check, loss_gradient, within


def random_noise(images: Tensor, *, eps: float, norm: Norm = "linf", seed: int = 0) -> Tensor:
    """Pictures with noise of size `eps`: each pixel by plus or minus eps (linf), or all in one random direction of that length (l2).

    Args:
        images: (N, C, H, W) float in [0, 1].
        eps: The norm of the noise, before the pixels are held in [0, 1].
        norm: linf or l2.
        seed: Of the noise; torch's own generator is left alone.

    Returns:
        (N, C, H, W) in [0, 1], at most `eps` from `images`.
    """
    check(images, torch.zeros(len(images)), eps=eps, norm=norm)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(images)
    return _step(images, images, noise, eps, eps, norm)


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float, norm: Norm = "linf") -> Tensor:
    r"""One step of length `eps` up the loss.

        linf: x + eps sign(dL/dx)        l2: x + eps (dL/dx) / |dL/dx|

    Args:
        model: Maps pixels in [0, 1] to logits (N, K). It runs in evaluation mode; each part gets its own mode back.
        images: (N, C, H, W) float in [0, 1].
        labels: (N,) int64, the true classes.
        eps: The largest change, in the norm.
        norm: linf or l2.

    Returns:
        (N, C, H, W) in [0, 1], at most `eps` from `images`; `images` where eps is 0.

    Raises:
        ShapeError, UsageError: as `striate.insight.attack.inside.check` says.

    Cost: one forward and one backward pass. No parameter's `.grad` is touched.

    Source: Goodfellow et al., 2015, arXiv:1412.6572v3, section 4.
    """
    check(images, labels, eps=eps, norm=norm)
    with attacked(model):
        _, slope = loss_gradient(model, images, labels)
    return _step(images, images, slope, eps, eps, norm)


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: Norm = "linf",
    steps: int = 20,
    restarts: int = 1,
    seed: int = 0,
) -> Tensor:
    r"""The strongest change found by projected gradient ascent on the loss.

        x <- project(x + a sign(dL/dx)),   a = 2.5 eps / steps

    The first climb starts where FGSM arrives, each further one of `restarts` at a random place of the ball. Of all places
    visited, an image keeps one that is wrongly answered, if there is one, of the greatest loss. So what FGSM fools, this fools.

    Args:
        model: As of `fgsm`.
        images: As of `fgsm`.
        labels: As of `fgsm`.
        eps: As of `fgsm`.
        norm: linf or l2.
        steps: Steps of each climb.
        restarts: Climbs from random places, beside the one from FGSM's.
        seed: Of the random places.

    Returns:
        (N, C, H, W) in [0, 1], at most `eps` from `images`.

    Raises:
        UsageError: fewer than one step, or restarts below 0; and as of `fgsm`.

    Cost: (restarts + 1) (steps + 1) + 1 forward and backward passes.

    Source: Madry et al., 2018, arXiv:1706.06083v4, section 2.1. Departs from it: the start at FGSM's place, and the best place
    is kept, not the last.
    """
    check(images, labels, eps=eps, norm=norm)
    if steps < 1 or restarts < 0:
        raise UsageError(f"steps must be at least 1 and restarts at least 0, got {steps} and {restarts}")
    if eps == 0:
        return images.clone()
    best = images.clone()
    rank = torch.full((len(images),), -float("inf"), device=images.device, dtype=torch.float64)
    with attacked(model):
        for climb in range(restarts + 1):
            places = fgsm(model, images, labels, eps=eps, norm=norm) if climb == 0 else _somewhere(images, eps, norm, mixed(seed, climb))
            for step in range(steps + 1):
                logits, slope = loss_gradient(model, places, labels)
                loss = F.cross_entropy(logits.double(), labels, reduction="none")  # (N,)
                score = torch.where(logits.argmax(1) != labels, loss + 1e6, loss)  # wrong answers first
                better = score > rank
                best[better], rank[better] = places[better], score[better]
                if step < steps:
                    places = _step(places, images, slope, 2.5 * eps / steps, eps, norm)
    return best


def _step(places: Tensor, images: Tensor, slope: Tensor, length: float, eps: float, norm: Norm) -> Tensor:
    """One step up the gradient, brought back into the ball; no step where the gradient is 0."""
    return within(places + length * direction(slope, norm, torch.float64), images, eps, norm)


def _somewhere(images: Tensor, eps: float, norm: Norm, seed: int) -> Tensor:
    """A random place of each image's ball."""
    change = random_change(torch.empty(images.shape, dtype=torch.float64), norm, torch.Generator().manual_seed(seed))
    return within(images + eps * change.to(images), images, eps, norm)
