"""Heat maps of a class: Grad-CAM, Grad-CAM++ and occlusion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.insight.explain.inside import checked_images, checked_map, logits_of, open_network, recording, scores


def grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, target_classes: Tensor) -> Tensor:
    r"""Grad-CAM heat maps of `target_classes` at `layer`.

    For one image, with A_c the map of channel c at the layer and s the target's logit:

        a_c = mean over the places p of ds / dA_c[p]         heat[p] = max(0, sum_c a_c A_c[p])

    Args:
        model: Maps images to logits (N, K). It runs in evaluation mode; each part gets its own mode back.
        layer: A submodule of `model` whose output is a feature map (N, C, h, w) or (N, h, w, C), or tokens (N, T, D) of square patches.
        images: (N, C_in, H, W) float, normalized as the model was trained.
        target_classes: (N,) int64, one class index in [0, K) per image.

    Returns:
        (N, h, w), not negative, in logits. Neither resized to the image nor scaled to [0, 1].

    Raises:
        ShapeError: `images` is not 4-D, `target_classes` is not (N,), or the layer's output is not a feature map.
        UsageError: the layer does not run, or a class is not one of K.

    Cost: one forward and one backward pass. No parameter's `.grad` is touched.

    Source: Selvaraju et al., 2017, arXiv:1610.02391v4, equations 1 and 2.
    """
    maps, slopes = _maps_and_slopes(model, layer, images, target_classes)
    weights = slopes.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
    return (weights * maps).sum(1).clamp(min=0)  # (N, h, w)


def grad_cam_plus_plus(model: nn.Module, layer: nn.Module, images: Tensor, target_classes: Tensor) -> Tensor:
    r"""Grad-CAM++ heat maps: as `grad_cam`, but a channel's weight counts the places at which it helps, however few they are.

    With g = ds / dA and Y = exp(s), as the paper has it:

        alpha = g^2 / (2 g^2 + g^3 sum_p A[p])     a_c = sum_p alpha[p] max(0, g[p])     heat = max(0, sum_c a_c A_c)

    Departs from the source: the factor exp(s), the same for a whole image, is left out; it overflows.

    Args:
        model: As of `grad_cam`.
        layer: As of `grad_cam`.
        images: As of `grad_cam`.
        target_classes: As of `grad_cam`.

    Returns:
        (N, h, w), not negative. Neither resized to the image nor scaled to [0, 1].

    Cost: one forward and one backward pass.

    Source: Chattopadhay et al., 2018, arXiv:1710.11063v3, equations 10 and 19.
    """
    maps, slopes = _maps_and_slopes(model, layer, images, target_classes)
    below = 2 * slopes.square() + slopes.pow(3) * maps.sum((2, 3), keepdim=True)  # (N, C, h, w)
    alpha = torch.where(below == 0, 0, slopes.square() / torch.where(below == 0, 1, below))
    weights = (alpha * slopes.clamp(min=0)).sum((2, 3), keepdim=True)  # (N, C, 1, 1)
    return (weights * maps).sum(1).clamp(min=0)  # (N, h, w)


def _maps_and_slopes(model: nn.Module, layer: nn.Module, images: Tensor, target_classes: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's output A (N, C, h, w) and ds / dA of the same shape."""
    x = checked_images(images, target_classes)
    with open_network(model), recording(layer, copied=True) as seen:
        total = scores(model, x.requires_grad_().clone(), target_classes).sum()
        if not seen:
            raise UsageError(f"the layer {type(layer).__name__} does not run when the model does", "Choose another.")
        checked_map(seen[-1], images)
        (slopes,) = torch.autograd.grad(total, seen[-1], materialize_grads=True)
    return checked_map(seen[-1].detach(), images), checked_map(slopes.detach(), images)


def occlusion(
    model: nn.Module,
    images: Tensor,
    target_classes: Tensor,
    *,
    window: int | tuple[int, int] = 8,
    stride: int | tuple[int, int] = 4,
    fill: float = 0.0,
    batch_size: int = 128,
) -> Tensor:
    """The fall of the target's logit when a window is hidden, for each place the mean over the windows that hide it.

    Args:
        model: Maps images to logits (N, K).
        images: (N, C, H, W) float, normalized.
        target_classes: (N,) int64.
        window: Pixels of the window, one number or (height, width).
        stride: From one window to the next; the last ones reach past the border and are cut.
        fill: The value in the window; 0 is the mean colour of normalized images.
        batch_size: Images that run at once.

    Returns:
        (N, H, W), in logits; negative where hiding helps.

    Raises:
        UsageError: a window or a stride below 1, or a stride that leaves gaps.

    Cost: a forward pass for each window, and one.

    Source: Zeiler and Fergus, 2014, arXiv:1311.2901v3, section 4.2.
    """
    sides, steps = ((size, size) if isinstance(size, int) else tuple(size) for size in (window, stride))
    if min(*sides, *steps) < 1 or steps[0] > sides[0] or steps[1] > sides[1]:
        raise UsageError(f"window and stride must be at least 1, and stride at most window, got {window} and {stride}")
    plain = checked_images(images, target_classes)
    height, width = plain.shape[2:]
    starts = [range(0, max(1, extent - side + step), step) for extent, side, step in zip((height, width), sides, steps, strict=True)]
    boxes = [(top, top + sides[0], left, left + sides[1]) for top in starts[0] for left in starts[1]]
    hidden = torch.zeros(len(boxes), height, width, dtype=torch.bool, device=plain.device)
    for mask, (top, bottom, left, right) in zip(hidden, boxes, strict=True):
        mask[top:bottom, left:right] = True
    counts = hidden.sum(0)  # (H, W), at least 1
    heat = torch.zeros(len(plain), height, width, dtype=plain.dtype, device=plain.device)
    with open_network(model), torch.no_grad():
        for place, image in enumerate(plain):
            target = target_classes[place : place + 1]
            whole = scores(model, image[None].clone(), target)  # (1,)
            for masks in torch.split(hidden, batch_size):
                shown = torch.where(masks[:, None], fill, image)  # (windows, C, H, W)
                falls = whole - scores(model, shown, target.expand(len(masks)))  # (windows,)
                heat[place] += torch.einsum("w,whv->hv", falls, masks.to(plain.dtype))
    return heat / counts


def probabilities(model: nn.Module, images: Tensor, *, batch_size: int = 128) -> Tensor:
    """The class probabilities (N, K) of images (N, C, H, W), in evaluation mode."""
    with open_network(model), torch.no_grad():
        return torch.cat([logits_of(model, part.clone()).softmax(1) for part in torch.split(checked_images(images), batch_size)])
