"""The report of explanations in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from striate.core.text import Lines, in_lines

if TYPE_CHECKING:
    from striate.workflows.explanation.explain import ExplainReport

TRUST = {  # the measures of how far a map can be trusted
    "deletion": "probability of the class, on average, while the map's strongest pixels are taken away first; lower is better",
    "insertion": "the same while they are put into a blurred picture first; higher is better",
    "randomised": "rank correlation with the maps of random weights; near 1 the map shows the picture, not the network",
}


def told(layer: str, randomisation: dict[str, float], notes: Sequence[str]) -> str:
    """The text under the maps."""
    lines = [f"Grad-CAM is taken at {layer}."] if layer else []
    lines += [f"{note[0].upper()}{note[1:]}." for note in notes]
    return " ".join([*lines, *(trust_in_words(randomisation) if randomisation else [])])


def trust_in_words(randomisation: dict[str, float]) -> list[str]:
    """The meaning of the measures of faithfulness, and that of all maps together for each method."""
    scores = ", ".join(f"{name.replace('_', ' ')} {value:+.2f}" for name, value in randomisation.items())
    return [*(f"{name[0].upper()}{name[1:]}: {text}." for name, text in TRUST.items()), f"Here: randomised {scores}."]


def summary(report: ExplainReport) -> Lines:
    """The report as text."""
    lines = [f"{report.model}: {len(report.pictures)} pictures" + (f", feature map of {report.layer}" if report.layer else "")]
    if report.randomisation:
        lines.append(f"  {'method':<22}{''.join(f'{name:>12}' for name in TRUST)}")
    for method in report.methods:
        line = f"  {method:<22}"
        if method in report.randomisation:
            deletion, insertion = (np.mean([getattr(item, name)[method] for item in report.pictures]) for name in ("deletion", "insertion"))
            line += f"{deletion:>12.3f}{insertion:>12.3f}{report.randomisation[method]:>+12.3f}"
        lines.append(line.rstrip())
    if report.randomisation:
        lines += ["", *(f"{name:<11} {text}" for name, text in TRUST.items())]
    lines += [f"note        {note}" for note in report.notes]
    lines.append(f"pictures    {report.output}/index.html")
    return in_lines([*lines, ""])
