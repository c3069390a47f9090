"""Common parts of the attacks: their input, access to the model, and the exact ball around a picture.

All of insight.attack works in pixel space: images, or other samples, are float (N, C, ...) in [0, 1], and the model that is handed in
maps these to logits (N, K), so its normalization is inside it. Perturbed values are real numbers; they are not rounded to the 256 levels of
a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import ShapeError, UsageError
from striate.core.modes import evaluation_mode
from striate.engine.climbing import Norm, in_box, lengths


class PixelModel(nn.Module):
    """A module of samples (N, ..., C), such as uint8 pictures, as attacks take it: pixels (N, C, ...) in [0, 1] to logits.

    Its normalization is inside. A pixel p of channel c stands for the value `low`[c] + p `span`[c].
    """

    low: Tensor
    span: Tensor

    def __init__(self, module: nn.Module, low: Sequence[float] = (0.0,), span: Sequence[float] = (255.0,)) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("span", torch.tensor(span))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.module(images.movedim(1, -1) * self.span + self.low)
        return logits


def check(images: Tensor, labels: Tensor, *, eps: float = 0.0, norm: str = "linf") -> None:
    """Refuse input that no attack can work on.

    Raises:
        ShapeError: `images` is not (N, C, ...), or `labels` not (N,).
        UsageError: pixels outside [0, 1], a negative `eps`, or an unknown norm.
    """
    if images.ndim not in range(2, 6) or not images.is_floating_point():
        raise ShapeError(f"images must be float (N, C, H, W), or (N, C, ...) of another kind, got {images.dtype} {tuple(images.shape)}")
    if labels.shape != images.shape[:1]:
        raise ShapeError(f"labels must be ({len(images)},), one per image, got {tuple(labels.shape)}")
    if len(images) and not (float(images.min()) >= 0 and float(images.max()) <= 1):
        low, high = float(images.min()), float(images.max())
        raise UsageError(f"images must be pixels in [0, 1], got {low:g} to {high:g}", "Put the normalization inside the model.")
    if not (0 <= eps < float("inf")):
        raise UsageError(f"eps must be 0 or more, got {eps:g}")
    if norm not in ("linf", "l2"):
        raise UsageError(f"norm must be linf or l2, got {norm!r}")


@contextlib.contextmanager
def attacked(model: nn.Module) -> Iterator[nn.Module]:
    """`model` in evaluation mode and with gradients on; parameters gather none, and each gets its own setting back."""
    asked = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        for parameter, _ in asked:
            parameter.requires_grad_(False)
        with evaluation_mode(model), torch.inference_mode(mode=False), torch.enable_grad():
            yield model
    finally:
        for parameter, wanted in asked:
            parameter.requires_grad_(wanted)


def loss_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The logits (N, K), and the slope of each image's cross-entropy with respect to its own pixels (N, C, H, W)."""
    pixels = images.detach().clone().requires_grad_()
    logits = model(pixels)  # (N, K)
    (slope,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), pixels)
    return logits.detach(), slope


def sizes(changes: Tensor, norm: Norm) -> Tensor:
    """The norm of each image's change, (N,) float64."""
    return lengths(changes, torch.float64).flatten() if norm == "l2" else changes.double().abs().flatten(1).amax(1)


def within(perturbed: Tensor, images: Tensor, eps: float, norm: Norm) -> Tensor:
    """`perturbed` brought into [0, 1] and to at most `eps` from `images`, exactly: also after the rounding of the pixels' own type."""
    if eps == 0:
        return images.clone()
    near, margin = in_box(perturbed, images, eps, top=1) if norm == "linf" else perturbed.clamp(0, 1), 1e-7
    while True:
        change = near.double() - images.double()
        size = change.abs() if norm == "linf" else lengths(change)
        if not (far := size > eps).any():
            return near
        shrink = max(0.0, 1 - margin) if norm == "linf" else eps * max(0.0, 1 - margin) / size
        near = torch.where(far, (images.double() + change * shrink).to(images.dtype), near)
        margin *= 2  # rounding may undo a shrinking that is too small
