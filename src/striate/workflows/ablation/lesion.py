"""Damage a trained model part by part, and measure what it can still do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.intervals import share_in_words
from striate.core.places import check_folder
from striate.core.reports import shown_short, write_files
from striate.core.tables import csv_text
from striate.core.text import Lines, in_lines
from striate.drawing.style import RULE, VAL, beside, curve, drawing, look, name_ticks, panels, plain, png_bytes
from striate.insight.ablate.lesions import Block, Rank, blocks_inside, blocks_of, dropped, shuffled, silenced_channels, zeroed_filters
from striate.models.model import Model
from striate.networks.layers.foreign import Foreign
from striate.workflows.subjects.subject import LabelledRequest, open_model, read_split

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
RANKS: tuple[Rank, ...] = ("smallest", "largest", "random")
DRAWS = 3  # of each random lesion
CURVE_POINTS = 12  # numbers of blocks that are dropped or shuffled, at most
DRAWN = {  # names of lesions, for those who have not read what they are
    "blocks": "blocks dropped",
    "shuffle": "blocks exchanged",
    "channels smallest": "smallest channels silenced",
    "channels largest": "largest channels silenced",
    "channels random": "random channels silenced",
    "filters": "random filters set to zero",
}
LONGEST = 36  # characters of the path of a block


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class LesionRequest(LabelledRequest):
    """The trained model to damage."""

    run: Path
    images: int = Field(default=1000, ge=1)  # of the validation split
    seed: int = 0
    output: Path | None = None  # RUN/report/lesion by default


@dataclass(frozen=True, kw_only=True)
class LesionPoint:
    """The accuracy of the model after a lesion."""

    lesion: str  # block, blocks, shuffle, channels smallest, ..., filters
    where: str  # the part; empty if it is everywhere
    damage: float  # share of what could be damaged
    accuracy: float  # mean over the draws


@shown_short
@dataclass(frozen=True, kw_only=True)
class LesionReport:
    """A trained model's accuracy against damage."""

    run: str
    network: str
    images: int
    accuracy: float  # of the whole model
    points: tuple[LesionPoint, ...]
    output: str


def lesion_model(request: LesionRequest, *, say: Callable[[str], None] = lambda _text: None) -> LesionReport:
    """Drop each block, and more and more of them; shuffle blocks; silence channels by rank; zero filters. Nothing is trained.

    Raises:
        UsageError: the model gives no classes, or it does not tell its data.
        DataError: the data cannot be read.
        RefusedFileError: the model file is damaged.
    """
    subject = open_model(request.run, device=request.device, module=request.module)
    model = subject.classifier(f"{request.run}: lesions are measured on classifiers of pictures", "Give a run of `task='classify'`.")
    output = request.output or (request.run if request.run.is_dir() else request.run.parent) / "report" / "lesion"
    check_folder(output)
    pictures, _ = read_split(subject.open_data(request, f"ablate {subject.where} --lesion", say), None, "ablate", say)
    chosen = np.linspace(0, len(pictures) - 1, min(len(pictures), request.images)).astype(np.int64)
    images, labels = np.asarray(pictures.images)[chosen], pictures.labels[chosen]

    def accuracy() -> float:
        return float((model.outputs(images).argmax(1) == labels).mean())

    whole = accuracy()
    points = lesion_points(model, accuracy, request.seed)
    report = LesionReport(
        run=str(request.run), network=model.network.name, images=len(chosen), accuracy=whole, points=tuple(points), output=str(output)
    )
    rows = [[point.lesion, point.where, f"{point.damage:.4g}", f"{point.accuracy:.6g}"] for point in points]
    table = csv_text(["lesion", "where", "damage", "accuracy"], rows)
    write_files(output, {"lesion.json": report, "lesion.csv": table, "lesion.png": lesion_picture(report)})
    return report


def lesion_points(model: Model, accuracy: Callable[[], float], seed: int) -> list[LesionPoint]:
    """The accuracy after each lesion; the model is restored afterwards."""
    module = model.module.get_submodule("network")
    described = not any(isinstance(child, Foreign) for _, child in model.network.root.children)
    blocks = blocks_of(model.network) if described else blocks_inside(module, model.network.input_shape)
    points: list[LesionPoint] = []

    def after(lesion: str, damage: float, hurts: Sequence[contextlib.AbstractContextManager[None]], where: str = "") -> None:
        scores = []
        for hurt in hurts:
            with hurt:
                scores.append(accuracy())
        points.append(LesionPoint(lesion=lesion, where=where, damage=damage, accuracy=sum(scores) / len(scores)))

    for block in blocks:
        after("block", 1 / len(blocks), [dropped(module, [block])], block.path)
    for count in _spaced(len(blocks)):
        draws = DRAWS if count < len(blocks) else 1
        after("blocks", count / len(blocks), [dropped(module, _drawn(blocks, count, seed + draw)) for draw in range(draws)])
    for swaps in _spaced(len(blocks) - 1):
        try:
            after("shuffle", swaps / len(blocks), [shuffled(module, blocks, swaps, seed + draw) for draw in range(DRAWS)])
        except UsageError:  # no two blocks are alike
            break
    for rank in RANKS:
        for share in SHARES:
            seeds = range(seed, seed + DRAWS) if rank == "random" else (seed,)
            after(f"channels {rank}", share, [silenced_channels(module, share, rank, one) for one in seeds])
    for share in SHARES:
        after("filters", share, [zeroed_filters(module, share, seed + draw) for draw in range(DRAWS)])
    return points


def _spaced(most: int) -> list[int]:
    """1 to `most`, both with them, at most `CURVE_POINTS` of them."""
    return sorted({round(count) for count in np.linspace(1, most, min(most, CURVE_POINTS))}) if most > 0 else []


def _drawn(blocks: Sequence[Block], count: int, seed: int) -> list[Block]:
    order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(seed)).tolist()
    return [blocks[i] for i in order[:count]]


def lesion_picture(report: LesionReport) -> bytes:
    """Accuracy against damage, and after the loss of each single block, if there are blocks."""
    single = [point for point in report.points if point.lesion == "block"]
    with drawing():
        across = 2 if single else 1
        title = f"{report.network}: val accuracy of the damaged network, {100 * report.accuracy:.1f} % undamaged"
        longest = min(LONGEST, max((len(point.where) for point in single), default=0))
        figure, (row,) = panels(1, across, size=(12.0 if single else 7.5, 3.6 + 0.055 * longest), title=title)
        plain(row[0], title="with more and more damage", x="damage (share)", y="val accuracy (%)")
        for place, name in enumerate(dict.fromkeys(point.lesion for point in report.points if point.lesion != "block")):
            line = [(0.0, report.accuracy), *((point.damage, point.accuracy) for point in report.points if point.lesion == name)]
            curve(
                row[0], [damage for damage, _ in line], [100 * accuracy for _, accuracy in line], label=DRAWN.get(name, name), **look(place)
            )
        row[0].set_ylim(-4, 104)
        beside(row[0])
        for bars in row[1:]:
            plain(bars, title="without one block (dashed: undamaged)", y="val accuracy (%)")
            bars.bar(range(len(single)), [100 * point.accuracy for point in single], color=VAL)
            bars.axhline(100 * report.accuracy, color=RULE, linewidth=0.8, linestyle="--")
            bars.set(ylim=(0, 104), xlabel="block that is dropped", xlim=(-0.6, max(len(single), 4) - 0.4))
            name_ticks(bars.xaxis, [point.where for point in single], 4.4, longest=LONGEST, upright=True)
        return png_bytes(figure)


def summary(report: LesionReport) -> Lines:
    """The report as text."""
    accuracy = share_in_words(report.accuracy, report.images)
    lines = [f"{report.run}: {report.network}, accuracy {accuracy} on {report.images:,} validation pictures", ""]
    lines += [f"{'lesion':<20}{'damage':>7}  accuracy  where"]
    lines += [f"{point.lesion:<20}{point.damage:>7.2f}  {point.accuracy:>8.4f}  {point.where}".rstrip() for point in report.points]
    return in_lines([*lines, "", f"table and picture: {report.output}", ""])
