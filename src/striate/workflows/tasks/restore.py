"""Models that make a picture of a picture: denoised, enlarged, coloured. They train as others do (`train`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import write_atomically, write_json
from striate.core.images import Fit, ImageSpec
from striate.core.reports import shown_short, write_files
from striate.core.tables import csv_text
from striate.core.text import Lines
from striate.data.augmentation.record import Augmentation
from striate.data.fitting import fit_image
from striate.data.input_effects import unchanged
from striate.data.omissions import Omission, count_of
from striate.data.pairs import PairSource
from striate.data.records import DataSource, ImageSet
from striate.drawing.pictures import montage
from striate.insight.measure.pairs import PairMeasures, measure_pairs, psnr_of, ssim_of
from striate.models.inputs import Given
from striate.models.model import Model
from striate.models.restorer import Restorations, fitting_size, restore, restore_pictures
from striate.networks.catalog import network as catalog_network
from striate.networks.network import Network
from striate.workflows.tasks.record import MEASURES, Measured, Say, SplitFacts, TaskRecord
from striate.workflows.tasks.segment import moves
from striate.workflows.tasks.targets import in_table, of_kept
from striate.workflows.tasks.written import picture_png, png_names

if TYPE_CHECKING:
    from striate.workflows.predict import PredictRequest
    from striate.workflows.training.request import TrainRequest

MAX_SHOWN = 8  # pictures in one plot
SIDE = 64  # pixels of the input that training pictures are cut to where they are larger
SHOWN_SIDE = 192  # pixels of a picture in the plot of answers
NETWORKS = ("dncnn_light", "dncnn", "unet", "fsrcnn_x2", "fsrcnn_x3", "fsrcnn_x4", "srcnn_x2", "srcnn_x3", "srcnn_x4")


@shown_short
@dataclass(frozen=True, kw_only=True)
class RestoreReport(SplitFacts, PairMeasures):
    """The measures of a model on a split, and where their pictures and tables lie."""

    size: tuple[int, ...]  # (H, W) of the targets that were compared
    effect: str | None  # that made the inputs of the targets
    left_out: tuple[Omission, ...] = ()  # what was found in the data and is not read, by the reason


def network_name(source: PairSource) -> str:
    """The catalogue's choice, by the factor of the sizes."""
    return f"fsrcnn_x{source.scale}" if source.scale > 1 else NETWORKS[0]


def plan_network(request: TrainRequest, asked: Network | str | None, source: DataSource) -> tuple[Network, Fit]:
    """The network that gives the data's targets, and how pictures are fitted to it.

    Raises:
        UsageError: the network gives something else, takes other channels, or pictures would be brought to a range of their own.
    """
    if not isinstance(source, PairSource):
        raise RuntimeError("a source without targets")
    if request.normalization is not None or any(name.startswith(("images.mean", "images.std")) for name in request.set):
        raise UsageError("`normalization`: a network that gives pictures sees them as they are, from 0 to 1", "Leave it out.")
    channels, size = len(source.classes), request.image_size
    if isinstance(asked, Network):
        net = asked if size is None else asked.with_input((asked.input_shape[0], size, size))
        if net.input_shape[0] != source.channels and source.channels != 1:
            raise UsageError(f"{net.name} takes {net.input_shape[0]} channels, but the inputs of {source.name} have {source.channels}")
    else:
        name = asked or network_name(source)
        if asked is None and source.scale > 4:
            raise UsageError(f"targets {source.scale} times as large as inputs: no network of the catalogue enlarges so", "Give a Network.")
        own = catalog_network(name, num_classes=channels, in_channels=source.channels)
        wanted = (size, size) if size is not None else _side(source)
        net = own.with_input((source.channels, *(fitting_size(own, wanted) or wanted)))
    height, width = net.input_shape[1:] if len(net.input_shape) == 3 else (0, 0)
    shape = (channels, source.scale * height, source.scale * width)
    if net.output_shape != shape:
        message = f"{net.name} gives {net.output_shape} for a picture {net.input_shape}, expected {shape}, the form of the targets"
        raise UsageError(message, f"Networks that give pictures: {', '.join(NETWORKS)}.")
    return net, request.fit or "cut"


def _side(source: PairSource) -> tuple[int, int]:
    """The inputs' own size where they have one that is not large."""
    own = source.image_size
    return own if own is not None and max(own) <= 2 * SIDE else (SIDE, SIDE)


def without(images: ImageSet) -> np.ndarray:
    """The pictures without a network: the inputs, in the form of the targets."""
    return unchanged(images.images, images.labels.shape[1:])


def measured_pairs(model: Model, images: ImageSet) -> PairMeasures:
    """The measures of what the model makes of inputs."""
    return measure_pairs(restore(model, images.images), without(images), images.labels)


def evaluate(model: Model, measured: Measured) -> RestoreReport:
    """Measure; write each picture's measures, and a sheet of the worst: before, after, target."""
    images, output = measured.images, measured.output
    answers, before = restore(model, images.images), without(images)
    effect = model.targets.effect if model.targets is not None else None
    measures = measure_pairs(answers, before, images.labels)
    report = measured.report(RestoreReport, measures, left_out=measured.left_out, size=images.labels.shape[1:3], effect=effect)
    if output is not None:
        after, given = psnr_of(answers, images.labels), psnr_of(before, images.labels)
        values = np.column_stack([after, given, ssim_of(answers, images.labels), ssim_of(before, images.labels)])
        rows: list[list[object]] = [[path, *(f"{v:.6g}" for v in row)] for path, row in zip(images.paths, values.tolist(), strict=True)]
        worst = np.argsort(after, kind="stable")[:MAX_SHOWN]
        captions = [
            text
            for place in worst.tolist()
            for text in (f"before {given[place]:.1f} dB", f"after {after[place]:.1f} dB", Path(images.paths[place]).name)
        ]
        title = f"The worst of {count_of(images.paths, 'picture')}: before, after, target"
        files = {
            "pictures.csv": csv_text(["path", "psnr", "psnr_before", "ssim", "ssim_before"], rows),
            "worst.png": sheet([before[worst], answers[worst], images.labels[worst]], captions, title),
            MEASURES: report,
        }
        write_files(output, files)
    return report


def sheet(columns: Sequence[np.ndarray], captions: Sequence[str], title: str) -> bytes:
    """A PNG: pictures (n, H, W, c) uint8 of several `columns` beside each other, each above its caption."""
    colours = [
        column if column.shape[3] == 3 else column.mean(3, keepdims=True).round().astype(np.uint8).repeat(3, axis=3) for column in columns
    ]
    shown = np.stack(colours, 1)  # (n, columns, H, W, 3)
    groups = max(1, round(6 / len(columns)))  # beside each other
    return montage(shown.reshape(-1, *shown.shape[2:]), captions, title=title, columns=len(columns) * min(groups, len(shown)))


def summary(report: RestoreReport) -> Lines:
    """The report as text."""
    of = "of the input" if report.effect is None or not report.effect.startswith("downscale") else "of its bicubic enlargement"
    lines = [
        f"PSNR {report.psnr:.2f} dB   {of} {report.psnr_before:.2f} dB   gain {report.psnr - report.psnr_before:+.2f} dB",
        f"SSIM {report.ssim:.4f}   {of} {report.ssim_before:.4f}",
        f"mean absolute error {report.mae:.2f} of 255   {of} {report.mae_before:.2f}",
        f"better than without the model: {report.better:,} of {report.num_images:,}",
        f"compared at {' x '.join(map(str, report.size))} pixels" + (f", inputs made by {report.effect}" if report.effect else ""),
    ]
    return in_table(report, lines)


def predict(model: Model, pictures: Given, request: PredictRequest, say: Say) -> Restorations:
    """The pictures that the model makes of pictures; into `output` one PNG file each; into `plot` the pictures before and after.

    Raises:
        DataError: a file cannot be read; names it.
        UsageError: two pictures would have their results in one file, or one would overwrite its picture.
        EnvironmentFault: a file cannot be written.
    """
    found, output, plot = restore_pictures(model, pictures), request.output, request.plot
    if output is not None:
        found = write_pictures(found, output)
        say(f"pictures: {output}")
    if plot is not None:
        shown = found.items[:MAX_SHOWN]
        sides = [np.stack([_shown(getattr(item, name)) for item in shown]) for name in ("before", "picture")]
        captions = [text for item in shown for text in (Path(item.path).name, "after")]
        write_atomically(plot, sheet(sides, captions, "Pictures before and after"), field="plot")
        more = f" (the first {len(shown)} of {len(found)})" if len(shown) < len(found) else ""
        say(f"drawn: {plot}{more}")
    return found


def _shown(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, C) uint8 as it is drawn: (side, side, 3 or C)."""
    channels = max(3, picture.shape[2])
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    return fit_image(picture, ImageSpec(height=SHOWN_SIDE, width=SHOWN_SIDE, channels=channels, mean=zeros, std=ones, fit="pad"))


def write_pictures(found: Restorations, output: Path) -> Restorations:
    """One PNG file per picture in the folder `output`."""
    files = [Path(item.path) for item in found]
    names = png_names(files, output, noun="result", written="be written")
    for name, item in zip(names, found, strict=True):
        write_atomically(name, picture_png(item.picture, str(name)))
    named = found.with_files(names)
    write_json(output / "restored.json", named.to_data())  # tells the folder from one of pictures, too
    return named


RESTORE = TaskRecord(
    name="restore",
    has_accuracy=False,
    mirrors=True,
    pixels_as_they_are=True,
    outputs=("channel", "channels"),
    losses=("mse", "l1", "huber"),
    settings={"optimizer": "adamw"},
    monitored=("loss",),
    network=NETWORKS[0],
    plan_network=plan_network,
    augmentation=lambda base: Augmentation(flip=True) if base is None else moves(base),
    report=RestoreReport,
    evaluate=evaluate,
    summary=summary,
    predict=predict,
    val_measures=of_kept(measured_pairs, "psnr", "psnr_before", "ssim", "ssim_before", "mae"),
)
