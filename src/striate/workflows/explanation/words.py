"""The report of explanations in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from striate.core.images import Kind
from striate.core.text import Lines, counted, in_lines
from striate.insight.explain import has_relu

if TYPE_CHECKING:
    from striate.workflows.explanation.explain import ExplainReport

CLOSE = 1e-4  # of a map's largest value: what two ways of rounding may differ by
BACK_THROUGH_RELU = {"saliency", "guided_backprop", "deconvnet"}  # the gradient, with three rules for the way back through a ReLU
TRUST = {  # the measures of how far a map can be trusted
    "deletion": "probability of the class, on average, while the map's strongest pixels are taken away first; lower is better",
    "insertion": "the same while they are put into a blurred picture first; higher is better",
    "randomised": "rank correlation with the maps of random weights; near 1 the map shows the picture, not the network",
}


PLACES = {"pictures": "pixels", "signals": "places", "rows": "columns"}  # that take their turn in the measures


def trust_of(kind: Kind) -> dict[str, str]:
    """The meaning of the measures for samples of a kind."""
    start = "a row of means" if kind == "rows" else f"a blurred {kind[:-1]}"
    return {
        name: text.replace("pixels", PLACES[kind]).replace("a blurred picture", start).replace("picture", kind[:-1])
        for name, text in TRUST.items()
    }


def told(layer: str, randomisation: dict[str, float], notes: Sequence[str], kind: Kind = "pictures") -> str:
    """The text under the maps."""
    lines = [f"Grad-CAM is taken at {layer}."] if layer else []
    lines += [f"{note[0].upper()}{note[1:]}." for note in notes]
    return " ".join([*lines, *(trust_in_words(randomisation, kind) if randomisation else [])])


def trust_in_words(randomisation: dict[str, float], kind: Kind = "pictures") -> list[str]:
    """The meaning of the measures of faithfulness, and that of all maps together for each method."""
    scores = ", ".join(f"{name.replace('_', ' ')} {value:+.2f}" for name, value in randomisation.items())
    return [*(f"{name[0].upper()}{name[1:]}: {text}." for name, text in trust_of(kind).items()), f"Here: randomised {scores}."]


def summary(report: ExplainReport) -> Lines:
    """The report as text."""
    layer = f", feature map of {report.layer}" if report.layer else ""
    lines = [f"{report.model}: {counted(len(report.pictures), report.kind[:-1])}{layer}"]
    if report.randomisation:
        lines.append(f"  {'method':<22}{''.join(f'{name:>12}' for name in TRUST)}")
    for method in report.methods:
        line = f"  {method:<22}"
        if method in report.randomisation:
            deletion, insertion = (np.mean([getattr(item, name)[method] for item in report.pictures]) for name in ("deletion", "insertion"))
            line += f"{deletion:>12.3f}{insertion:>12.3f}{report.randomisation[method]:>+12.3f}"
        lines.append(line.rstrip())
    if report.randomisation:
        lines += ["", *(f"{name:<11} {text}" for name, text in trust_of(report.kind).items())]
    lines += [f"note        {note}" for note in report.notes]
    lines.append(f"pictures    {report.output}/index.html")
    return in_lines([*lines, ""])


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
