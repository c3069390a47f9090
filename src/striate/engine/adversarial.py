"""Adversarial training: before each gradient, the pictures are changed by at most eps so that the loss grows.

    min over w of  E  max over |d| <= eps  L(w, x + d, y)

Pictures are uint8 pixels (N, H, W, C) and the model normalizes them inside, so eps is a share of a pixel's range, whatever the
normalization. The model is in evaluation mode while it is attacked: batch norms keep their statistics, and nothing is dropped out.

Source: Madry et al., 2018, arXiv:1706.06083v4, equation 2.1; of one step, Wong, Rice and Kolter, 2020, arXiv:2001.03994v3, algorithm 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.core.modes import evaluation_mode
from striate.core.seeds import mixed, torch_seed
from striate.engine.climbing import Norm, direction, in_box, lengths, random_change
from striate.engine.settings import TrainSettings
from striate.engine.step import Batches, Loss, computing_in, hits_of_classes

if TYPE_CHECKING:
    from striate.engine.processes import ProcessGroup

RANGE = 255  # of a pixel
VALIDATION = 0x5EED  # keeps the draws of a validation apart from those of the updates


@dataclass(frozen=True, kw_only=True)
class Attacker:
    """Climbs the loss in `steps` steps from a random place of the ball of radius `eps` around each picture, and ends where it arrives.

    Attributes:
        eps: Radius of the ball, as a share of a pixel's range.
        steps: The number of steps.
        step_share: Length of a step, in eps.
        norm: linf: no pixel changes by more than eps; l2: the change of a picture is no longer than eps.
        loss_fn: The loss to maximize.
        autocast: The dtype of convolutions and products; None for that of the weights.
    """

    eps: float
    steps: int
    step_share: float
    norm: Norm
    loss_fn: Loss
    autocast: torch.dtype | None = None

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """The changed pictures, (N, H, W, C) float in [0, 255]; torch's generator decides the starting points.

        Raises:
            UsageError: the pictures are not uint8, so that it is not known what eps is a share of.
        """
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise UsageError(f"adversarial training changes uint8 pictures (N, H, W, C), got {images.dtype} {tuple(images.shape)}")
        clean, eps = images.float(), self.eps * RANGE
        places = within(clean + eps * random_change(clean, self.norm), clean, eps, self.norm)
        with evaluation_mode(model), torch.enable_grad():
            for _ in range(self.steps):
                slope = self._slope(model, places, labels)
                places = within(places + self.step_share * eps * direction(slope, self.norm), clean, eps, self.norm)
        return places

    def _slope(self, model: nn.Module, places: Tensor, labels: Tensor) -> Tensor:
        pixels = places.detach().requires_grad_()
        with computing_in(self.autocast, pixels.device):
            outputs = model(pixels)  # (N, K)
        loss = self.loss_fn(outputs.float() if self.autocast else outputs, labels)
        slope: Tensor = torch.autograd.grad(loss, pixels)[0]
        return slope


def attacker_of(settings: TrainSettings, loss_fn: Loss, autocast: torch.dtype | None = None) -> Attacker | None:
    """The attacker that the settings train against: one step of 1.25 eps (fgsm), or several of 2.5 eps together (pgd)."""
    if settings.adversarial is None:
        return None
    steps, share = (1, 1.25) if settings.adversarial == "fgsm" else (settings.adversarial_steps, 2.5 / settings.adversarial_steps)
    return Attacker(
        eps=settings.adversarial_eps, steps=steps, step_share=share, norm=settings.adversarial_norm, loss_fn=loss_fn, autocast=autocast
    )


def examiner_of(settings: TrainSettings, loss_fn: Loss) -> Attacker | None:
    """The attacker that validates a training against one: always pgd, for a network may become robust to one step only."""
    return attacker_of(replace(settings, adversarial="pgd"), loss_fn) if settings.adversarial is not None else None


def within(places: Tensor, clean: Tensor, eps: float, norm: Norm) -> Tensor:
    """`places` brought into the ball around `clean`, and to pixels; of l2 in this order, which leaves both kept."""
    if norm == "linf":
        return in_box(places, clean, eps, RANGE)
    change = places - clean
    return (clean + change * (eps / lengths(change).clamp(min=1e-30)).clamp(max=1)).clamp(0, RANGE)


def robust_accuracy(model: nn.Module, batches: Batches, attacker: Attacker, *, seed: int, group: ProcessGroup | None = None) -> float:
    """The share of pictures classified correctly after the attack; `seed` decides the starting points."""
    counts = torch.zeros(2, dtype=torch.float64)  # right, seen
    for number, batch in enumerate(batches.epoch(1)):
        if not len(batch.labels):
            continue  # a part of a batch that is too small to be divided
        with torch_seed(mixed(seed, VALIDATION, number, group.rank if group is not None else 0), batch.images.device):
            places = attacker(model, batch.images, batch.labels)
        with torch.no_grad(), evaluation_mode(model):
            hits = hits_of_classes(model(places), batch.labels)
        counts += torch.tensor([float(hits), len(batch.labels)], dtype=torch.float64)
    right, seen = group.sum(counts) if group is not None else counts
    return float(right / seen)
