"""Methods that give the same maps on a network, reported once in words."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from striate.insight.explain import has_relu

CLOSE = 1e-4  # of a map's largest value: what two ways of rounding may differ by
BACK_THROUGH_RELU = {"saliency", "guided_backprop", "deconvnet"}  # the gradient, with three rules for the way back through a ReLU


def same_maps(heats: Mapping[str, Tensor]) -> tuple[tuple[str, ...], ...]:
    """The groups of two and more methods whose maps (N, H, W) agree on every picture, but for a factor, which no drawing shows."""
    groups: list[list[str]] = []
    scaled = {name: heat / heat.abs().amax((1, 2), keepdim=True).clamp(min=1e-30) for name, heat in heats.items()}
    for name, heat in scaled.items():
        found = next((group for group in groups if (scaled[group[0]] - heat).abs().max() <= CLOSE), None)
        if found is None:
            groups.append([name])
        else:
            found.append(name)
    return tuple(tuple(group) for group in groups if len(group) > 1)


def agreements(network: nn.Module, inputs: Tensor, heats: Mapping[str, Tensor]) -> tuple[str, ...]:
    """A sentence on each group of methods that agree: why, where the network's layers tell, else that these pictures do not show it."""
    found = []
    for group in same_maps(heats):
        words = f"{', '.join(group[:-1])} and {group[-1]} give the same maps"
        if set(group) <= BACK_THROUGH_RELU and not has_relu(network, inputs[:1]):
            found.append(f"{words}: they differ only in the backward pass through a ReLU, and this network has none")
        else:
            found.append(f"{words} on these pictures")
    return tuple(found)
