"""Pictures and the page of attacks on a model: accuracy against the size of a change, and examples of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.tables import csv_text
from striate.drawing.page import Section, document, figure, pairs, table
from striate.drawing.pictures import montage
from striate.drawing.style import beside, curve, drawing, look, panels, plain, png_bytes, short_name

SIZES = {  # in words, and at the axis
    "eps (linf)": ("a change of each pixel by at most eps", "eps (linf, of pixels from 0 to 1)"),
    "eps (l2)": ("a change of the picture by eps", "eps (l2, of pixels from 0 to 1)"),
    "degrees": ("turning", "turn (degrees)"),
    "pixels": ("shifting, the mean of right, left, down and up", "shift (pixels)"),
    "places": ("shifting, the mean of later and earlier", "shift (places)"),
    "flips": ("mirroring", "picture"),
    "severity": ("corruptions", "severity (0: as it was, 5: worst)"),
}


@dataclass(frozen=True, kw_only=True)
class Resistance:
    """The accuracy under one attack, by its size."""

    attack: str
    unit: str  # of the sizes
    sizes: tuple[float, ...]
    accuracies: tuple[float, ...]
    median_distance: float | None = None  # to the nearest wrong place, over the images that were right and could be fooled; L2


class Cell(NamedTuple):
    """A changed picture and what a model answers."""

    picture: np.ndarray  # (H, W, C) uint8
    size: float  # of the change
    answer: str
    wrong: bool


def accuracy_curves(results: Sequence[Resistance]) -> bytes:
    """Accuracy against size, one panel per unit."""
    units = list(dict.fromkeys(result.unit for result in results))
    with drawing():
        size = (7.2, 0.5 + sum(max(2.6, 0.5 + 0.19 * sum(result.unit == unit for result in results)) for unit in units))
        figure, grid = panels(len(units), 1, size=size, title="Accuracy under attack")
        for axes, unit in zip(grid[:, 0], units, strict=True):
            plain(axes, title=f"by {SIZES[unit][0]}", x=SIZES[unit][1], y="accuracy (%)")
            for place, result in enumerate(result for result in results if result.unit == unit):
                accuracies = [100 * value for value in result.accuracies]
                curve(axes, result.sizes, accuracies, form=".1f", label=result.attack.replace("_", " "), **look(place))
            axes.set_ylim(-4, 104)
            if unit == "flips":
                axes.set_xticks((0, 1), ("as it was", "mirrored"))
            beside(axes)
        return png_bytes(figure)


def worsened_picture(name: str, unit: str, cells: Sequence[Cell], num_sizes: int) -> bytes | None:
    """The cells of each of `num_sizes` sizes in turn, a row a picture; None if there are none."""
    if not cells:
        return None
    by_picture = [cells[place] for place in np.arange(len(cells)).reshape(num_sizes, -1).T.ravel().tolist()]
    return montage(
        np.stack([cell.picture for cell in by_picture]),
        [f"{worsened_in_words(cell.size, unit)}\nsaid {short_name(cell.answer)}" for cell in by_picture],
        title=f"Pictures under {name.replace('_', ' ')}, and the answers; wrong ones are red",
        columns=num_sizes,
        wrong=[cell.wrong for cell in by_picture],
    )


def worsened_in_words(size: float, unit: str) -> str:
    """The size of a change as text."""
    if unit == "flips":
        return "mirrored" if size else "as it was"
    if unit == "pixels":
        return f"{size:g} pixels right" if size != 1 else "1 pixel right"
    return f"{size:g} degrees" if unit == "degrees" else f"{unit} {size:g}"


def fooled_picture(
    name: str, unit: str, before: np.ndarray, changed: np.ndarray, answered: Sequence[tuple[str, str]], sizes: Sequence[float]
) -> bytes | None:
    """Pictures beside their adversarial versions, and ten times the difference; None if nothing was fooled.

    Args:
        name: Of the attack.
        unit: Of the sizes.
        before: (n, H, W, C) uint8.
        changed: (n, H, W, C) float in [0, 1].
        answered: Each picture's class, and the wrong one that the model answers.
        sizes: Of the changes.
    """
    if not len(before):
        return None
    difference = np.clip((changed - before / 255) * 10 * 127.5 + 127.5, 0, 255)
    shown = np.stack([before, np.floor(changed * 255 + 0.5), difference], axis=1).astype(np.uint8)  # (n, 3, H, W, C)
    captions = []
    for (label, answer), size in zip(answered, sizes, strict=True):
        captions += [short_name(label), f"said {short_name(answer)}\n{size_in_words(size, unit)}", "change x 10"]
    wrong = [False, True, False] * len(before)
    title = f"Fooled by {name}: as it was, as it fools with the size of the change, ten times the change"
    return montage(shown.reshape(-1, *shown.shape[2:]), captions, title=title, columns=6, wrong=wrong)


def size_in_words(size: float, unit: str) -> str:
    """An eps as text: of the maximum norm in steps of 1/255."""
    steps = round(255 * size)
    if unit == "eps (linf)":
        return f"eps {steps}/255" if abs(255 * size - steps) < 1e-6 else f"eps {size:.3g} (linf)"
    return f"eps {size:.3g} (l2)"


def attack_files(title: str, known: Sequence[tuple[str, str]], found: Sequence[tuple[Resistance, bytes | None]]) -> dict[str, str | bytes]:
    """The files of a report by name: the curves, their table, the pictures of each attack, and a page of all with what is `known`."""
    results = [result for result, _ in found]
    curves = accuracy_curves(results)
    sections = [Section("Accuracy", pairs(known) + figure(curves, "Accuracy against the size of each attack"))]
    rows = []
    for result, picture in found:
        name, points = result.attack.replace("_", " "), list(zip(result.sizes, result.accuracies, strict=True))
        rows += [[result.attack, result.unit, f"{size:.6g}", f"{accuracy:.6f}"] for size, accuracy in points]
        told = [[f"{size:.4g}", f"{100 * accuracy:.2f} %"] for size, accuracy in points]
        content = table([result.unit, "accuracy"], told, f"Accuracy under {name}")
        if result.median_distance is not None:
            content += pairs([("median distance to a wrong answer", f"{result.median_distance:.4f} (L2, pixels in [0, 1])")])
        if picture is not None:
            content += figure(picture, f"Pictures under {name}", least_px=520)
        sections.append(Section(name, content))
    return {
        "accuracy.csv": csv_text(["attack", "unit", "size", "accuracy"], rows),
        "accuracy.png": curves,
        **{f"{result.attack}.png": picture for result, picture in found if picture is not None},
        "index.html": document(title, "", sections),
    }
