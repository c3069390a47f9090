"""A model's accuracy under each attack, with examples of pictures that fool it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from striate.core.errors import UsageError
from striate.drawing.attacks import Cell, Resistance, fooled_picture, worsened_picture
from striate.insight.attack import (
    PixelModel,
    accuracy_curve,
    bounded_attack,
    carlini_wagner,
    corrupted,
    deepfool,
    distance_curve,
    flipped,
    moved_in_time,
    rotated,
    shifted,
)
from striate.insight.attack.corruptions import NAMES as CORRUPTIONS
from striate.insight.attack.moves import DIRECTIONS, Axis, Way
from striate.models.exported import ExportedModel
from striate.models.model import Model

if TYPE_CHECKING:
    from striate.workflows.attack import Attack, AttackRequest

OF_PICTURES = ("rotation", "shift", "flip", "corruptions")
OF_SIGNALS = ("shift",)  # of those, along their axis
LEAST: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {"deepfool": deepfool, "cw": carlini_wagner}  # change
PICTURES = 12  # shown as they fool
WORSENED = 4  # shown at every angle and severity


def as_pixels(model: Model, samples: np.ndarray, labels: np.ndarray) -> tuple[PixelModel, Tensor, Tensor]:
    """The model for pixels in [0, 1], the pixels (N, C, ...) of the samples, and the labels (N,), on the model's device.

    Of what is no picture, a pixel is a value's share of the range that its channel has in these samples; 0 where the channel is constant.
    """
    low, span = np.zeros(1), np.full(1, 255.0)
    if model.images.kind != "pictures":
        values = samples.reshape(-1, samples.shape[-1])
        low, span = values.min(0), values.max(0) - values.min(0)
    subject = PixelModel(model.module, low=low.tolist(), span=span.tolist()).to(model.device)
    shares = (torch.from_numpy(samples).float().to(model.device) - subject.low) / torch.where(subject.span > 0, subject.span, 1.0)
    return subject, shares.movedim(-1, 1).clamp(0, 1), torch.from_numpy(labels.astype(np.int64)).to(model.device)


def possible_attacks(attacks: tuple[Attack, ...], model: Model, say: Callable[[str], None]) -> list[Attack]:
    """The attacks that can be made on a model and samples of its kind, each once; the others are reported.

    Raises:
        UsageError: there is none.
    """
    named, kind = list(dict.fromkeys(attacks)), model.images.kind
    if isinstance(model, ExportedModel):
        inside = [name for name in named if name not in OF_PICTURES]
        named = [name for name in named if name in OF_PICTURES]
        if not named:
            remedy = f"Give the run that it comes from, or choose {', '.join(OF_PICTURES)}."
            raise UsageError(f"{inside[0]}: needs the network's module, and an exported file gives answers only", remedy)
        if inside:
            say(f"left out: {', '.join(inside)}, as an exported file gives answers only")
    taken = OF_PICTURES if kind == "pictures" else OF_SIGNALS if kind == "signals" else ()
    left_out = [name for name in named if name in OF_PICTURES and name not in taken]
    if len(left_out) == len(named):
        raise UsageError(f"{left_out[0]}: changes pictures, and the model takes {kind}", "Use fgsm, pgd, deepfool, cw or noise.")
    if left_out:
        say(f"left out: {', '.join(left_out)}, as the model takes {kind}")
    return [name for name in named if name not in left_out]


def attacked(
    name: Attack, request: AttackRequest, model: Model, shown: np.ndarray, labels: np.ndarray
) -> Iterator[tuple[Resistance, bytes | None]]:
    """The curve, or the curves, of one attack, each with examples where it makes them."""
    if name == "rotation":
        yield _worsened(name, "degrees", request.degrees, lambda degrees: [rotated(shown, degrees)], model, labels)
    elif name == "shift" and model.images.kind == "signals":
        yield _worsened(name, "places", request.pixels, lambda places: _in_time(model, shown, places), model, labels)
    elif name == "shift":
        yield _worsened(name, "pixels", request.pixels, lambda pixels: [shifted(shown, pixels, way) for way in DIRECTIONS], model, labels)
    elif name == "flip":
        for axis in get_args(Axis):
            mirrored = [shown], [flipped(shown, axis)]
            yield _worsened(f"{axis}_flip", "flips", (0, 1), mirrored.__getitem__, model, labels)
    elif name == "corruptions":
        for kind in CORRUPTIONS:
            severities = [[corrupted(shown, kind, severity, seed=request.seed)] for severity in range(6)]
            yield _worsened(kind, "severity", tuple(range(6)), severities.__getitem__, model, labels)
    else:
        yield _fooled(name, request, model, shown, labels)


def _in_time(model: Model, shown: np.ndarray, places: int) -> list[np.ndarray]:
    """Signals moved to later places, and to earlier ones; the mean of the training signals comes where they were."""
    rest = np.array(model.images.mean)
    return [moved_in_time(shown, places, way, rest) for way in get_args(Way)]


def _fooled(name: Attack, request: AttackRequest, model: Model, shown: np.ndarray, labels: np.ndarray) -> tuple[Resistance, bytes | None]:
    """Accuracy by the size of the attack, and the first few pictures that it fools the model on."""
    subject, batch_size = as_pixels(model, shown, labels), request.batch_size
    if name in LEAST:
        unit, curve = "eps (l2)", distance_curve(*subject, LEAST[name], batch_size=batch_size)
    else:
        way = bounded_attack(name, norm=request.norm, steps=request.steps, restarts=request.restarts, seed=request.seed)
        unit, curve = f"eps ({request.norm})", accuracy_curve(*subject, request.eps_tried, way, batch_size=batch_size)
    fooled = curve.is_fooled
    median = float(curve.fooled_at[fooled].median()) if name in LEAST and fooled.any() else None
    result = Resistance(attack=name, unit=unit, sizes=curve.epsilons, accuracies=curve.accuracies, median_distance=median)
    if model.images.kind != "pictures":
        return result, None
    chosen = np.flatnonzero(fooled.numpy())[:PICTURES]
    changed = curve.examples[torch.from_numpy(chosen)].permute(0, 2, 3, 1).cpu().numpy()  # (n, H, W, C)
    answered = [(model.classes[labels[place]], model.classes[curve.answers[place]]) for place in chosen.tolist()]
    return result, fooled_picture(name, unit, shown[chosen], changed, answered, curve.fooled_at[chosen].tolist())


def _worsened(
    name: str, unit: str, sizes: tuple[float, ...], change: Callable[[Any], list[np.ndarray]], model: Model, labels: np.ndarray
) -> tuple[Resistance, bytes | None]:
    """Accuracy on pictures changed without access to the model, by each size, in one way or the mean of several; and the first few.

    The pictures with their predictions are of the first way.
    """
    accuracies, cells = [], []
    for size in sizes:
        ways = change(size)
        answers = np.stack([model.outputs(changed).argmax(1) for changed in ways])  # (ways, N)
        accuracies.append(float((answers == labels).mean()))
        if model.images.kind != "pictures":
            continue
        for picture, answer, label in zip(ways[0][:WORSENED], answers[0], labels, strict=False):
            cells.append(Cell(picture, size, model.classes[answer], wrong=bool(answer != label)))
    return Resistance(attack=name, unit=unit, sizes=sizes, accuracies=tuple(accuracies)), worsened_picture(name, unit, cells, len(sizes))
