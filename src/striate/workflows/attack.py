"""Attack a trained model: accuracy against the size of the attack, rotations and corruptions."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from striate.core.files import make_folder, write_atomically, write_json
from striate.core.reports import shown_short
from striate.core.tables import csv_text
from striate.core.text import Lines, in_lines
from striate.drawing.attacks import Cell, Resistance, accuracy_curves, attack_page, fooled_picture, worsened_picture
from striate.insight.attack import accuracy_curve, bounded_attack, carlini_wagner, corrupted, deepfool, distances_to_fool, rotated
from striate.insight.attack.corruptions import NAMES as CORRUPTIONS
from striate.models.model import Model
from striate.workflows.effort import Passes, ProgressCallback, counted, estimate, passes_of, seconds_of_passes, time_in_words
from striate.workflows.subjects.subject import LabelledRequest, open_model, read_split

Attack = Literal["fgsm", "pgd", "deepfool", "cw", "noise", "rotation", "corruptions"]
EPSILONS = {"linf": (0.0, 2 / 255, 4 / 255, 8 / 255, 16 / 255, 0.1, 0.2, 0.3), "l2": (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)}
DEGREES = (0.0, 15.0, 30.0, 45.0, 90.0)
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
PICTURES = 12  # shown as they fool
WORSENED = 4  # shown at every angle and severity


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class AttackRequest(LabelledRequest):
    """The model, the attacks, and the pictures."""

    attacks: tuple[Attack, ...] = Field(default=("fgsm", "pgd", "noise", "rotation"), min_length=1)
    norm: Literal["linf", "l2"] = "linf"  # of fgsm, pgd and noise; deepfool and cw are of L2
    epsilons: tuple[float, ...] | None = None  # in units of a pixel's range, 0 to 1
    steps: int = Field(default=20, ge=1)
    restarts: int = Field(default=1, ge=0)
    degrees: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(default=DEGREES, min_length=1)
    split: Literal["train", "val"] | None = None  # None: val; all of other data without splits
    num_images: int = Field(default=500, ge=1)  # the first so many; all where there are fewer
    seed: int = 0
    batch_size: int = Field(default=128, ge=1)
    output: Path | None = None  # RUN/report/attack by default


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


class PixelModel(nn.Module):
    """A model's module for attacks: pixels (N, C, H, W) in [0, 1] to logits, its normalization inside."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.module((images * 255).permute(0, 2, 3, 1))
        return logits


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
    labelled = subject.open_data(request, f"attack {subject.where}", say)
    pictures, _ = read_split(labelled, request.split, "attack", say)
    shown, labels = np.asarray(pictures.images[: request.num_images]), pictures.labels[: request.num_images]

    clean = float((model.outputs(shown).argmax(1) == labels).mean())  # first: refuses a network whose outputs are not finite
    results, drawings = [], {}
    passes = {name: passes_of(name, request, request.epsilons or EPSILONS[request.norm]) for name in dict.fromkeys(request.attacks)}
    say(_expected(passes, model, shown, labels, request.batch_size))
    for name, most in passes.items():
        say(f"{name}: {len(shown)} pictures")
        with counted(model.module, name, len(shown) * most.both, follow):
            found = _attacked(name, request, model, shown, labels)
        for result, picture in found:
            results.append(result)
            if picture is not None:
                drawings[f"{result.attack}.png"] = picture
    report = AttackReport(
        model=subject.name,
        data=labelled.source.name,
        split=pictures.split,
        num_images=len(shown),
        accuracy=clean,
        results=tuple(results),
        output=str(output) if output is not None else None,
    )
    if output is not None:
        _write(output, report, drawings)
    return report


def _expected(passes: dict[Attack, Passes], model: Model, shown: np.ndarray, labels: np.ndarray, batch_size: int) -> str:
    """The most time that the attacks take, estimated from one batch."""
    images = torch.from_numpy(np.array(shown[:batch_size])).permute(0, 3, 1, 2).float().to(model.device) / 255  # (n, C, H, W)
    truth = torch.from_numpy(labels[:batch_size].astype(np.int64)).to(model.device)
    forward, back = seconds_of_passes(PixelModel(model.module), images, truth)
    seconds = estimate(passes.values(), len(shown), forward, back)
    return f"{', '.join(passes)} on {len(shown):,} pictures: at most about {time_in_words(seconds)}, less as pictures are fooled"


def _attacked(
    name: Attack, request: AttackRequest, model: Model, shown: np.ndarray, labels: np.ndarray
) -> list[tuple[Resistance, bytes | None]]:
    """The curve, or the curves, of one attack, each with examples where it makes them."""
    if name == "rotation":
        return [_worsened(name, "degrees", request.degrees, functools.partial(rotated, shown), model, labels)]
    if name == "corruptions":
        severities = tuple(map(float, range(6)))

        def change(kind: str, severity: float) -> np.ndarray:
            return corrupted(shown, kind, int(severity), seed=request.seed)

        return [_worsened(kind, "severity", severities, functools.partial(change, kind), model, labels) for kind in CORRUPTIONS]
    pixels = PixelModel(model.module)
    images = torch.from_numpy(shown).permute(0, 3, 1, 2).float().to(model.device) / 255  # (N, C, H, W)
    truth = torch.from_numpy(labels.astype(np.int64)).to(model.device)
    if name in ("deepfool", "cw"):
        method = deepfool if name == "deepfool" else carlini_wagner
        pairs = zip(torch.split(images, request.batch_size), torch.split(truth, request.batch_size), strict=True)
        examples = torch.cat([method(pixels, some, classes) for some, classes in pairs])
        far, answers = distances_to_fool(pixels, images, truth, examples)
        moved = far[far.isfinite() & (far > 0)]
        longest = float(moved.max()) if len(moved) else 0.0
        sizes = tuple(longest * share for share in QUARTERS) if longest else (0.0,)  # nothing was right, or nothing could be fooled
        accuracies = tuple(float((far > size).double().mean()) for size in sizes)
        result = Resistance(
            attack=name,
            unit="eps (l2)",
            sizes=sizes,
            accuracies=accuracies,
            median_distance=float(moved.median()) if len(moved) else None,
        )
        reached, fooled = far, (far.isfinite() & (far > 0)).numpy()
    else:
        epsilons = request.epsilons or EPSILONS[request.norm]
        way = bounded_attack(name, norm=request.norm, steps=request.steps, restarts=request.restarts, seed=request.seed)
        curve = accuracy_curve(pixels, images, truth, epsilons, way, batch_size=request.batch_size)
        result = Resistance(attack=name, unit=f"eps ({request.norm})", sizes=tuple(epsilons), accuracies=curve.accuracies)
        reached, fooled = curve.fooled_at, (curve.fooled_at.isfinite() & (curve.fooled_at > 0)).numpy()
        examples, answers = curve.examples, curve.answers
    chosen = np.flatnonzero(fooled)[:PICTURES]
    changed = examples[torch.from_numpy(chosen)].permute(0, 2, 3, 1).cpu().numpy()  # (n, H, W, C)
    answered = [(model.classes[labels[place]], model.classes[answers[place]]) for place in chosen.tolist()]
    return [(result, fooled_picture(name, result.unit, shown[chosen], changed, answered, reached[chosen].tolist()))]


def _worsened(
    name: str, unit: str, sizes: tuple[float, ...], change: Callable[[float], np.ndarray], model: Model, labels: np.ndarray
) -> tuple[Resistance, bytes | None]:
    """Accuracy on pictures changed without access to the model, by each size, and the first few of them with their predictions."""
    accuracies, cells = [], []
    for size in sizes:
        changed = change(size)
        answers = model.outputs(changed).argmax(1)
        accuracies.append(float((answers == labels).mean()))
        for picture, answer, label in zip(changed[:WORSENED], answers, labels, strict=False):
            cells.append(Cell(picture, size, model.classes[answer], wrong=bool(answer != label)))
    return Resistance(attack=name, unit=unit, sizes=sizes, accuracies=tuple(accuracies)), worsened_picture(name, unit, cells, len(sizes))


def _write(output: Path, report: AttackReport, drawings: dict[str, bytes]) -> None:
    make_folder(output)
    rows = [
        [result.attack, result.unit, f"{size:.6g}", f"{accuracy:.6f}"]
        for result in report.results
        for size, accuracy in zip(result.sizes, result.accuracies, strict=True)
    ]
    write_atomically(output / "accuracy.csv", csv_text(["attack", "unit", "size", "accuracy"], rows).encode())
    curves = accuracy_curves(report.results)
    write_atomically(output / "accuracy.png", curves)
    for name, picture in drawings.items():
        write_atomically(output / name, picture)
    known = [
        ("data", f"{report.data}, {report.split} split"),
        ("accuracy", f"{100 * report.accuracy:.2f} % of {report.num_images:,} pictures as they are"),
    ]
    title = f"{report.model}: robustness"
    write_atomically(output / "index.html", attack_page(title, known, report.results, curves, drawings))
    write_json(output / "attack.json", TypeAdapter(AttackReport).dump_python(report, mode="json"))


def summary(report: AttackReport) -> Lines:
    """The report as text."""
    lines = [f"{report.model} on {report.data}, {report.split} split: {report.num_images:,} pictures, clean accuracy {report.accuracy:.4f}"]
    for result in report.results:
        lines += ["", f"{result.attack}, {result.unit}"]
        lines.append("  size      " + "".join(f"{size:>9.3g}" for size in result.sizes))
        lines.append("  accuracy  " + "".join(f"{value:>9.4f}" for value in result.accuracies))
        if result.median_distance is not None:
            lines.append(f"  median distance to a wrong answer {result.median_distance:.4f}")
    if report.output:
        lines += ["", f"tables and pictures: {report.output}/index.html"]
    return in_lines([*lines, ""])
