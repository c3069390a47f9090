"""Attack a trained model: accuracy against the size of the attack, under rotations, shifts, flips and corruptions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.images import Kind
from striate.core.intervals import share_in_words
from striate.core.reports import shown_short, write_files
from striate.core.text import Lines, in_lines
from striate.drawing.attacks import Resistance, attack_files
from striate.models.exported import ExportedModel
from striate.workflows.effort import ProgressCallback, counted, passes_of, seconds_of, time_in_words
from striate.workflows.resistance import as_pixels, attacked, possible_attacks
from striate.workflows.subjects.subject import LabelledRequest, open_model

Attack = Literal["fgsm", "pgd", "deepfool", "cw", "noise", "rotation", "shift", "flip", "corruptions"]
USUAL: tuple[Attack, ...] = ("fgsm", "pgd", "noise", "rotation", "shift", "flip")
EPSILONS = {"linf": (0.0, 2 / 255, 4 / 255, 8 / 255, 16 / 255, 0.1, 0.2, 0.3), "l2": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)}
DEGREES = (0.0, 15.0, 30.0, 45.0, 90.0)
PIXELS = (0, 1, 2, 4, 8)


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class AttackRequest(LabelledRequest):
    """The model, the attacks, and the pictures."""

    attacks: tuple[Attack, ...] = Field(default=USUAL, min_length=1)
    norm: Literal["linf", "l2"] = "linf"  # of fgsm, pgd and noise; deepfool and cw are of L2
    epsilons: tuple[float, ...] | None = None  # in units of a pixel's range, 0 to 1
    steps: int = Field(default=20, ge=1)
    restarts: int = Field(default=1, ge=0)
    degrees: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(default=DEGREES, min_length=1)
    pixels: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=PIXELS, min_length=1
    )  # that shift moves a picture by; places of a signal
    split: Literal["train", "val"] | None = None  # None: val; all of other data without splits
    num_images: int = Field(default=500, ge=1)  # the first so many; all where there are fewer
    seed: int = 0
    batch_size: int = Field(default=128, ge=1)
    output: Path | None = None  # RUN/report/attack by default

    @property
    def eps_tried(self) -> tuple[float, ...]:
        """The sizes of fgsm, pgd and noise."""
        return self.epsilons or EPSILONS[self.norm]


@shown_short
@dataclass(frozen=True, kw_only=True)
class AttackReport:
    """The robustness of a model."""

    model: str
    data: str
    split: str
    num_images: int
    accuracy: float  # on the same pictures as they are
    results: tuple[Resistance, ...]
    output: str | None
    kind: Kind | None = None  # of samples that are no pictures


def attack(
    request: AttackRequest, *, say: Callable[[str], None] = lambda _text: None, follow: ProgressCallback = lambda _name, _done, _most: None
) -> AttackReport:
    """Attack a model on the pictures of a split; write curves, examples and tables.

    Args:
        request: The model, the attacks, the pictures.
        say: Receives a line for the user; the first is the most time that it takes, estimated from one timed batch.
        follow: Is told how far each attack is.

    Raises:
        DataError: no such split, unreadable pictures, or classes that the model does not know.
        UsageError: no data is named and the model's run does not tell, or the model gives no single class.
        RefusedFileError: the model file is damaged or not a model.
    """
    subject = open_model(request.run, device=request.device, module=request.module)
    model = subject.classifier("only a model that gives one class per picture can be attacked", "Train one with `task='classify'`.")
    output = subject.report_folder("attack", request.output)
    pictures = subject.pictures(request, request.split, "attack", say)
    shown, labels = np.asarray(pictures.images[: request.num_images]), pictures.labels[: request.num_images]

    clean = float((model.outputs(shown).argmax(1) == labels).mean())  # first: refuses a network whose outputs are not finite
    passes = {name: passes_of(name, request) for name in possible_attacks(request.attacks, model, say)}
    longest = ""
    if not isinstance(model, ExportedModel):
        seconds = seconds_of(passes.values(), *as_pixels(model, shown, labels), batch_size=request.batch_size)
        longest = f": at most about {time_in_words(seconds)}, less as {model.images.kind} are fooled"
    say(f"{', '.join(passes)} on {len(shown):,} {model.images.kind}{longest}")
    found: list[tuple[Resistance, bytes | None]] = []
    for name, most in passes.items():
        say(f"{name}: {len(shown)} {model.images.kind}")
        with nullcontext() if isinstance(model, ExportedModel) else counted(model.module, name, len(shown) * most.both, follow):
            found += attacked(name, request, model, shown, labels)
    report = AttackReport(
        model=subject.name,
        data=pictures.name,
        split=pictures.split,
        num_images=len(shown),
        accuracy=clean,
        results=tuple(result for result, _ in found),
        output=str(output) if output is not None else None,
        kind=None if model.images.kind == "pictures" else model.images.kind,
    )
    if output is not None:
        known = [
            ("data", f"{report.data}, {report.split} split"),
            ("accuracy", f"{100 * clean:.2f} % of {report.num_images:,} {model.images.kind} as they are"),
        ]
        write_files(output, attack_files(f"{report.model}: robustness", known, found) | {"attack.json": report})
    return report


def summary(report: AttackReport) -> Lines:
    """The report as text."""
    count, clean = f"{report.num_images:,} {report.kind or 'pictures'}", share_in_words(report.accuracy, report.num_images)
    lines = [f"{report.model} on {report.data}, {report.split} split: {count}, clean accuracy {clean}"]
    for result in report.results:
        lines += ["", f"{result.attack}, {result.unit}"]
        lines.append("  size      " + "".join(f"{size:>9.3g}" for size in result.sizes))
        lines.append("  accuracy  " + "".join(f"{value:>9.4f}" for value in result.accuracies))
        if result.median_distance is not None:
            lines.append(f"  median distance to a wrong answer {result.median_distance:.4f}")
    if report.output:
        lines += ["", f"tables and pictures: {report.output}/index.html"]
    return in_lines([*lines, ""])
