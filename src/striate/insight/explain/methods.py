"""Heat maps by the name of their method, and how far they can be trusted."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from striate.insight.explain import gradients
from striate.insight.explain.inside import part
from striate.insight.explain.maps import grad_cam, grad_cam_plus_plus, occlusion
from striate.insight.explain.sanity import deletion_insertion, heat_of, on_images, randomised, rank_correlation

OfALayer = Literal["grad_cam", "grad_cam_plus_plus"]
Method = Literal[
    OfALayer, "saliency", "smooth_grad", "integrated_gradients", "input_x_gradient", "guided_backprop", "deconvnet", "occlusion"
]
METHODS: tuple[Method, ...] = get_args(Method)
COARSE = ("grad_cam", "grad_cam_plus_plus", "occlusion")  # of regions; the others are of pixels
GROUP = 16  # pictures that run at once
OF_A_LAYER = {"grad_cam": grad_cam, "grad_cam_plus_plus": grad_cam_plus_plus}
OF_PIXELS: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "saliency": gradients.gradient,
    "integrated_gradients": functools.partial(gradients.integrated_gradients, num_steps=32),
    "input_x_gradient": gradients.input_x_gradient,
    "guided_backprop": gradients.guided_backprop,
    "deconvnet": gradients.deconvnet,
}


class Trust(NamedTuple):
    """Measures of the trust that the maps of one method deserve."""

    randomisation: float  # mean rank correlation with the maps of random weights
    deletion: Tensor  # (N,), areas under the curves of `deletion_insertion`
    insertion: Tensor  # (N,)


def attribute(
    method: Method, network: nn.Module, layer: str | Sequence[str], inputs: Tensor, classes: Tensor, *, seed: int = 0, apart: bool = False
) -> Tensor:
    """The heat (N, H, W) of one method for normalized images (N, C, H, W), at the images' size; `layer` is empty if there is no map.

    Of several layers, such as those of the members of an ensemble, Grad-CAM is the mean of their maps.

    With `apart`, occlusion hides each place by itself: neighbours have nothing in common, as in the rows of a table.
    """
    parts = zip(torch.split(inputs, GROUP), torch.split(classes, GROUP), strict=True)
    return torch.cat([_of_group(method, network, layer, *group, seed, apart) for group in parts])


def _of_group(method: Method, network: nn.Module, layer: str | Sequence[str], x: Tensor, classes: Tensor, seed: int, apart: bool) -> Tensor:
    height, width = x.shape[2:]
    if method in OF_A_LAYER:
        layers = [layer] if isinstance(layer, str) else layer
        maps = [on_images(OF_A_LAYER[method](network, part(network, one), x, classes), (height, width)) for one in layers]
        return torch.stack(maps).mean(0)
    if method == "occlusion":
        side = 1 if apart else max(1, min(extent for extent in (height, width) if extent > 1 or height == width) // 6)
        window = min(side, height), min(side, width)
        return occlusion(network, x, classes, window=window, stride=(max(1, window[0] // 2), max(1, window[1] // 2)), batch_size=32)
    if method == "smooth_grad":
        return heat_of(gradients.smooth_grad(network, x, classes, seed=seed))
    return heat_of(OF_PIXELS[method](network, x, classes))


def trust_in(
    method: Method,
    network: nn.Module,
    layer: str | Sequence[str],
    inputs: Tensor,
    classes: Tensor,
    heat: Tensor,
    *,
    seed: int = 0,
    apart: bool = False,
) -> Trust:
    """The trust in the maps `heat` that `attribute` gave; random weights are tried on the first `GROUP` pictures."""
    other = attribute(method, randomised(network, seed=seed), layer, inputs[:GROUP], classes[:GROUP], seed=seed, apart=apart)
    alike = rank_correlation(heat[:GROUP].abs(), other.abs())
    parts = zip(*(torch.split(tensor, GROUP) for tensor in (inputs, classes, heat)), strict=True)
    curves = [deletion_insertion(network, *group, blurred=not apart) for group in parts]
    return Trust(float(alike.mean()), torch.cat([c.deletion_area for c in curves]), torch.cat([c.insertion_area for c in curves]))
