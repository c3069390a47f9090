"""Accuracy against the size of the change that an attacker may make."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.core.modes import evaluation_mode
from striate.engine.climbing import Norm
from striate.insight.attack.bounded import fgsm, pgd, random_noise
from striate.insight.attack.inside import check, sizes

BoundedAttack = Callable[[nn.Module, Tensor, Tensor, float], Tensor]  # changes images, of these labels, by at most eps


class Curve(NamedTuple):
    """For each eps the accuracy, and the changed images that were tried last."""

    epsilons: tuple[float, ...]
    accuracies: tuple[float, ...]
    fooled_at: Tensor  # (N,) float64, the least eps of those tried at which an image is answered wrongly; inf where at none
    examples: Tensor  # (N, C, H, W), each image as it fooled, or at the largest eps
    answers: Tensor  # (N,) int64, the classes given to them

    @property
    def is_fooled(self) -> Tensor:
        """(N,) bool: the images that were right as they were, and are wrong at some eps."""
        return self.fooled_at.isfinite() & (self.fooled_at > 0)


def bounded_attack(name: str, *, norm: Norm, steps: int = 20, restarts: int = 1, seed: int = 0) -> BoundedAttack:
    """The attack of that name: noise, fgsm or pgd.

    Raises:
        UsageError: there is no attack of that name.
    """
    attacks: dict[str, BoundedAttack] = {
        "noise": lambda _model, images, _labels, eps: random_noise(images, eps=eps, norm=norm, seed=seed),
        "fgsm": lambda model, images, labels, eps: fgsm(model, images, labels, eps=eps, norm=norm),
        "pgd": lambda model, images, labels, eps: pgd(model, images, labels, eps=eps, norm=norm, steps=steps, restarts=restarts, seed=seed),
    }
    if name not in attacks:
        raise UsageError(f"attack must be one of {', '.join(attacks)}, got {name!r}")
    return attacks[name]


def answers_of(model: nn.Module, images: Tensor, batch_size: int = 128) -> Tensor:
    """The most probable class of each image, (N,) int64; the model in evaluation mode."""
    with torch.no_grad(), evaluation_mode(model):
        return torch.cat([model(part).argmax(1) for part in torch.split(images, batch_size)])


def accuracy_curve(
    model: nn.Module, images: Tensor, labels: Tensor, epsilons: Sequence[float], attack: BoundedAttack, *, batch_size: int = 128
) -> Curve:
    """The accuracy under an attack that may change images by up to eps, for each eps.

    Who may change a picture by 0.3 may also change it by 0.1, so an image that was fooled at a smaller eps counts as fooled at
    each larger one, and is not attacked again. At eps 0 this is the accuracy on the images as they are.

    Args:
        model: Maps pixels in [0, 1] to logits (N, K). It runs in evaluation mode; each part gets its own mode back.
        images: (N, C, H, W) float in [0, 1].
        labels: (N,) int64.
        epsilons: From small to large, not negative.
        attack: See `bounded_attack`.
        batch_size: Images at once.

    Returns:
        The curve. Its examples are at most the eps at which they fooled from their images.

    Raises:
        UsageError: no images or no eps, or these do not grow.
    """
    check(images, labels)
    if not len(images) or not len(epsilons):
        raise UsageError(f"an accuracy needs at least one image and one eps, got {len(images)} and {len(epsilons)}")
    if any(after <= before for before, after in itertools.pairwise(epsilons)) or epsilons[0] < 0:
        raise UsageError(f"eps must grow from 0 or more, got {', '.join(f'{eps:g}' for eps in epsilons)}")
    fooled_at = torch.full((len(images),), float("inf"), dtype=torch.float64)
    examples, answers = images.clone(), labels.clone()
    accuracies = []
    for eps in epsilons:
        for places in torch.split(torch.arange(len(images)), batch_size):
            standing = places[fooled_at[places].isinf()]
            if not len(standing):
                continue
            changed = images[standing] if eps == 0 else attack(model, images[standing], labels[standing], eps)
            given = answers_of(model, changed, batch_size)
            examples[standing], answers[standing] = changed, given
            fooled_at[standing[(given != labels[standing]).cpu()]] = eps
        accuracies.append(float((fooled_at > eps).double().mean()))
    return Curve(tuple(epsilons), tuple(accuracies), fooled_at, examples, answers)


def distance_curve(
    model: nn.Module, images: Tensor, labels: Tensor, attack: Callable[[nn.Module, Tensor, Tensor], Tensor], *, batch_size: int = 128
) -> Curve:
    """The accuracy under an attack that looks for the least change in L2: at no change, at the longest found, and at three quarters of it.

    Args:
        model: As of `accuracy_curve`.
        images: As of `accuracy_curve`.
        labels: As of `accuracy_curve`.
        attack: Such as `deepfool`: gives the changed images.
        batch_size: Images at once.
    """
    parts = zip(torch.split(images, batch_size), torch.split(labels, batch_size), strict=True)
    examples = torch.cat([attack(model, *part) for part in parts])
    far, answers = distances_to_fool(model, images, labels, examples)
    found = Curve((0.0,), (), far, examples, answers)
    if found.is_fooled.any():  # else nothing was right, or nothing could be fooled
        longest = float(far[found.is_fooled].max())
        found = found._replace(epsilons=tuple(longest * quarter / 4 for quarter in range(5)))
    return found._replace(accuracies=tuple(float((far > eps).double().mean()) for eps in found.epsilons))


def distances_to_fool(model: nn.Module, images: Tensor, labels: Tensor, changed: Tensor, norm: Norm = "l2") -> tuple[Tensor, Tensor]:
    """The distance to each adversarial image, (N,) float64 with inf if it is still classified correctly; and the predictions (N,)."""
    given = answers_of(model, changed)
    far = sizes(changed.double() - images.double(), norm).cpu()
    return torch.where((given != labels).cpu(), far, float("inf")), given
