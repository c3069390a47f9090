"""Attributions of a class to each input value, by gradients: six methods, all (N, C, H, W) and signed.

`images` are normalized as the model was trained, `target_classes` (N,) int64. Each costs one forward and one backward pass unless it
says otherwise, and works on any module that maps images to logits (N, K); see `inside` for what is left as it was.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from striate.core.errors import UsageError
from striate.insight.explain.inside import checked_images, open_network, scores


def gradient(model: nn.Module, images: Tensor, target_classes: Tensor) -> Tensor:
    """ds / dx of the target's logit s; its absolute value is the saliency map.

    Source: Simonyan et al., 2014, arXiv:1312.6034v2, section 3.
    """
    with open_network(model):
        return _gradient(model, checked_images(images, target_classes), target_classes)


def input_x_gradient(model: nn.Module, images: Tensor, target_classes: Tensor) -> Tensor:
    """x ds / dx.

    Source: Shrikumar et al., 2017, arXiv:1605.01713v3.
    """
    return images.detach() * gradient(model, images, target_classes)


def smooth_grad(
    model: nn.Module, images: Tensor, target_classes: Tensor, *, num_samples: int = 25, noise: float = 0.15, seed: int = 0
) -> Tensor:
    """The mean of ds / dx over noisy copies of each image.

    Args:
        model: As above.
        images: As above.
        target_classes: As above.
        num_samples: Copies; each costs a forward and a backward pass.
        noise: Standard deviation of the noise, as a share of the image's own range (largest minus least value).
        seed: Of the noise, which is the same for each image; no other random number is drawn.

    Source: Smilkov et al., 2017, arXiv:1706.03825v1.
    """
    if num_samples < 1 or noise < 0:
        raise UsageError(f"num_samples must be at least 1 and noise at least 0, got {num_samples} and {noise}")
    generator = torch.Generator().manual_seed(seed)
    plain = checked_images(images, target_classes)
    deviation = noise * (plain.amax((1, 2, 3), keepdim=True) - plain.amin((1, 2, 3), keepdim=True))  # (N, 1, 1, 1)
    total = torch.zeros_like(plain)
    with open_network(model):
        for _ in range(num_samples):
            drawn = torch.randn(plain.shape[1:], generator=generator).to(plain)
            total += _gradient(model, plain + deviation * drawn, target_classes)
    return total / num_samples


def integrated_gradients(
    model: nn.Module, images: Tensor, target_classes: Tensor, *, baseline: Tensor | None = None, num_steps: int = 50
) -> Tensor:
    r"""Each value's share of s(x) - s(baseline):

        (x - b) * integral from 0 to 1 of ds/dx (b + t (x - b)) dt

    by Gauss and Legendre's rule.

    Args:
        model: As above.
        images: As above.
        target_classes: As above.
        baseline: An image that says nothing, (1, C, H, W) or (N, C, H, W); 0 by default, the mean colour of normalized images.
        num_steps: Points of the rule; each costs a forward and a backward pass.

    Returns:
        (N, C, H, W). Over an image it sums to the difference of logits, nearly; the more steps the nearer.

    Source: Sundararajan et al., 2017, arXiv:1703.01365v2, equation 1.
    """
    if num_steps < 1:
        raise UsageError(f"num_steps must be at least 1, got {num_steps}")
    plain = checked_images(images, target_classes)
    way = plain - (torch.zeros_like(plain) if baseline is None else baseline.detach().to(plain))
    places, weights = np.polynomial.legendre.leggauss(num_steps)  # on [-1, 1]
    total = torch.zeros_like(plain)
    with open_network(model):
        for place, weight in zip((1 + places) / 2, weights / 2, strict=True):
            total += float(weight) * _gradient(model, plain - (1 - float(place)) * way, target_classes)
    return way * total


def guided_backprop(model: nn.Module, images: Tensor, target_classes: Tensor) -> Tensor:
    """ds / dx, where each ReLU passes back only positive values, and only where it was active.

    Other activations stay as they are: in a network without ReLU this is the plain gradient.

    Source: Springenberg et al., 2015, arXiv:1412.6806v3, section 3.4.
    """
    with open_network(model), _RuledReLU(guided=True):
        return _gradient(model, checked_images(images, target_classes), target_classes)


def deconvnet(model: nn.Module, images: Tensor, target_classes: Tensor) -> Tensor:
    """ds / dx, where each ReLU passes back positive values, whether it was active or not; else as `guided_backprop`.

    Source: Zeiler and Fergus, 2014, arXiv:1311.2901v3, section 2.1.
    """
    with open_network(model), _RuledReLU(guided=False):
        return _gradient(model, checked_images(images, target_classes), target_classes)


def has_relu(model: nn.Module, images: Tensor) -> bool:
    """Return whether images (N, C, H, W) pass through a ReLU, where `guided_backprop` and `deconvnet` differ from the gradient."""
    with open_network(model), torch.no_grad(), (rule := _RuledReLU(guided=True)):
        model(checked_images(images))
    return rule.met


def _gradient(model: nn.Module, images: Tensor, target_classes: Tensor) -> Tensor:
    x = images.requires_grad_()
    total = scores(model, x.clone(), target_classes).sum()  # a clone: a first part may work in place
    (found,) = torch.autograd.grad(total, x, materialize_grads=True)
    return found.detach()


class _Rectify(torch.autograd.Function):
    """max(0, min(x, ceiling)) with another rule for the backward pass."""

    @staticmethod
    def forward(context: torch.autograd.function.FunctionCtx, x: Tensor, ceiling: float, guided: bool) -> Tensor:
        context.save_for_backward((x > 0) & (x < ceiling) if guided else x < ceiling)
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(context: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None]:
        (is_open,) = context.saved_tensors  # type: ignore[attr-defined]
        return grads[0].clamp(min=0) * is_open, None, None


class _RuledReLU(TorchFunctionMode):
    """Context in which the backward pass of every ReLU, module or function, in place or not, follows the rule of `_Rectify`."""

    def __init__(self, *, guided: bool) -> None:
        super().__init__()
        self.guided = guided
        self.met: bool = False  # whether a ReLU was passed

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func in RELUS or func in RELU6S:
            self.met = True
            return _Rectify.apply(args[0], 6.0 if func in RELU6S else float("inf"), self.guided)
        if func is F.hardtanh:  # what the module of a ReLU6 calls
            ends = dict(zip(("min_val", "max_val"), args[1:], strict=False)) | (kwargs or {})
            if ends.get("min_val", -1.0) == 0:
                self.met = True
                return _Rectify.apply(args[0], float(ends.get("max_val", 1.0)), self.guided)
        return func(*args, **(kwargs or {}))


RELUS = (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
RELU6S = (F.relu6,)
