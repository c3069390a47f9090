"""The smallest adversarial change: DeepFool and the attack of Carlini and Wagner, both in L2. Pixel space; see `inside`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.engine.climbing import lengths
from striate.insight.attack.inside import attacked, check


def deepfool(model: nn.Module, images: Tensor, labels: Tensor, *, steps: int = 50, overshoot: float = 0.02, classes: int = 10) -> Tensor:
    r"""Each image moved over the nearest class boundary, as if the network were linear around it, until it is wrong.

    With f the logits, k0 the label, and over the `classes` most probable other classes k:

        w_k = grad f_k - grad f_k0     f'_k = f_k - f_k0     l = argmin |f'_k| / |w_k|     r += |f'_l| w_l / |w_l|^2
        x = x0 + (1 + overshoot) r

    Args:
        model: Maps pixels in [0, 1] to logits (N, K). It runs in evaluation mode; each part gets its own mode back.
        images: (N, C, H, W) float in [0, 1].
        labels: (N,) int64, the true classes. An image that is wrong already is given back as it came.
        steps: At most so many.
        overshoot: The distance beyond the boundary, as a share of the way.
        classes: The number of other classes that are considered.

    Returns:
        (N, C, H, W) in [0, 1]. An image on which `steps` did not do is still answered rightly.

    Raises:
        ShapeError, UsageError: as `striate.insight.attack.inside.check` says; fewer than one step.

    Cost: at most `steps` forward passes and steps (classes + 1) backward passes.

    Source: Moosavi-Dezfooli et al., 2016, arXiv:1511.04599v3, algorithm 2. Departs from it: pixels are held in [0, 1].
    """
    check(images, labels)
    if steps < 1 or overshoot < 0 or classes < 1:
        raise UsageError(f"steps and classes must be at least 1 and overshoot at least 0, got {steps}, {classes} and {overshoot:g}")
    moved, way = images.clone(), torch.zeros_like(images)
    left = torch.arange(len(images), device=images.device)  # those still answered rightly
    others: Tensor | None = None
    with attacked(model):
        for _ in range(steps + 1):
            if not len(left):
                break
            pixels = moved[left].detach().requires_grad_()
            logits = model(pixels)  # (n, K)
            right = logits.argmax(1) == labels[left]
            if others is None:  # fixed at the start, as the source has it
                order = logits.detach().scatter(1, labels[:, None], -float("inf")).argsort(1, descending=True)
                others = order[:, : min(classes, logits.shape[1] - 1)]  # (N, k)
            step = _nearest_boundary(logits, pixels, labels[left], others[left])
            left, step = left[right], step[right]
            way[left] += step
            moved[left] = (images[left] + (1 + overshoot) * way[left]).clamp(0, 1)
    return moved.detach()


def _nearest_boundary(logits: Tensor, pixels: Tensor, labels: Tensor, others: Tensor) -> Tensor:
    """The way to the nearest of the linearized boundaries to `others` (n, k), (n, C, H, W)."""
    rows = torch.arange(len(labels), device=labels.device)
    gaps = logits.gather(1, others) - logits[rows, labels][:, None]  # (n, k), negative where right
    nearest = torch.full((len(labels),), float("inf"), device=pixels.device, dtype=torch.float64)
    way, ones = torch.zeros_like(pixels), (-1, *(1,) * (pixels.ndim - 1))
    for place in range(others.shape[1]):
        (slope,) = torch.autograd.grad(gaps[:, place].sum(), pixels, retain_graph=True)
        length = lengths(slope, torch.float64).flatten().clamp(min=1e-12)  # (n,)
        gap = gaps[:, place].detach().double().abs()
        closer = gap / length < nearest
        nearest = torch.where(closer, gap / length, nearest)
        full = ((gap + 1e-4) / length.square()).view(ones) * slope.double()  # a little more, so that the boundary is crossed
        way = torch.where(closer.view(ones), full.to(way.dtype), way)
    return way


def carlini_wagner(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    steps: int = 200,
    searches: int = 6,
    learning_rate: float = 0.01,
    confidence: float = 0.0,
) -> Tensor:
    r"""The change of least L2 norm that a search over trade-offs c between size and wrongness finds.

        minimize |x - x0|^2 + c max(0, Z_label(x) - max_{k != label} Z_k(x) + confidence),     x = (tanh(w) + 1) / 2

    over w with Adam, for each of `searches` values of c: ten times more while it fails, then halving the gap.

    Args:
        model: As of `deepfool`.
        images: As of `deepfool`.
        labels: As of `deepfool`.
        steps: Steps of Adam for each c.
        searches: Values of c that are tried.
        learning_rate: Of Adam, in w.
        confidence: By how much the wrong logit must lead.

    Returns:
        (N, C, H, W) in [0, 1]: the nearest wrongly answered place visited, or the image as it came where none was.

    Raises:
        ShapeError, UsageError: as `striate.insight.attack.inside.check` says; fewer than one step or search.

    Cost: searches x steps forward and backward passes.

    Source: Carlini and Wagner, 2017, arXiv:1608.04644v2, section VI.A.
    """
    check(images, labels)
    if steps < 1 or searches < 1 or learning_rate <= 0 or confidence < 0:
        raise UsageError(
            f"steps and searches must be at least 1, learning_rate above 0 and confidence at least 0, got {steps}, {searches}, "
            f"{learning_rate:g} and {confidence:g}"
        )
    start = torch.atanh((images * 2 - 1) * (1 - 1e-6))
    low, high = torch.zeros(len(images)).to(images), torch.full((len(images),), float("inf")).to(images)
    trade = torch.full_like(low, 0.01 if searches > 3 else 1.0)
    best, nearest = images.clone(), torch.full_like(low, float("inf"))
    with attacked(model):
        wrong_already = model(images).argmax(1) != labels
        nearest[wrong_already] = 0
        for _ in range(searches):
            w = start.clone().requires_grad_()
            optimizer = torch.optim.Adam([w], lr=learning_rate)
            fooled = torch.zeros(len(images), dtype=torch.bool, device=images.device)
            for _ in range(steps):
                places = (torch.tanh(w) + 1) / 2
                logits = model(places)
                rival = logits.scatter(1, labels[:, None], -float("inf")).amax(1)
                lead = logits.gather(1, labels[:, None]).squeeze(1) - rival + confidence  # (N,), below 0 where wrong
                distance = (places - images).flatten(1).square().sum(1)
                with torch.no_grad():
                    done = lead < 0
                    closer = done & (distance < nearest)
                    best[closer], nearest[closer] = places[closer], distance[closer]
                    fooled |= done
                (slope,) = torch.autograd.grad((distance + trade * lead.clamp(min=0)).sum(), w)
                w.grad = slope
                optimizer.step()
            high, low = torch.where(fooled, torch.minimum(high, trade), high), torch.where(fooled, low, torch.maximum(low, trade))
            trade = torch.where(high.isinf(), trade * 10, (low + high) / 2)
    return best.detach()
