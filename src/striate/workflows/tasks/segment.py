"""Models that give a class to each pixel: measuring them, and their masks of pictures. They train as others do (`train`)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.files import make_folder, write_atomically, write_json
from striate.core.images import Fit
from striate.core.reports import shown_short, write_report
from striate.core.tables import csv_text
from striate.core.text import Lines
from striate.data.augmentation.record import Augmentation
from striate.data.masks import MOVES
from striate.data.omissions import Omission
from striate.data.records import DataSource, ImageSet
from striate.drawing.pictures import confusion_picture
from striate.insight.measure.masks import SegmentMeasures, measure_pixels, pixel_confusion
from striate.insight.measure.tables import write_confusion_csv, write_regions_csv
from striate.models.inputs import Given
from striate.models.model import Model
from striate.models.segmenter import Segmentations, segment, segment_pictures
from striate.networks.catalog import network as catalog_network
from striate.networks.network import Network
from striate.workflows.tasks.overlays import mask_png, overlays_picture
from striate.workflows.tasks.record import MEASURES, Measured, Say, SplitFacts, TaskRecord
from striate.workflows.tasks.targets import in_table, of_kept
from striate.workflows.tasks.written import png_names

if TYPE_CHECKING:
    from striate.workflows.predict import PredictRequest
    from striate.workflows.training.request import TrainRequest

MAX_SHOWN = 12  # pictures in one plot
PIXEL_NETWORKS = ("unet", "fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16", "segnet", "deeplabv3_resnet50")


@shown_short
@dataclass(frozen=True, kw_only=True)
class SegmentReport(SplitFacts, SegmentMeasures):
    """The measures of a model on a split, and where their pictures and tables lie."""

    size: tuple[int, ...]  # (H, W) that pictures and masks were brought to
    left_out: tuple[Omission, ...] = ()  # what was found in the data and is not read, by the reason


def plan_network(request: TrainRequest, asked: Network | str | None, source: DataSource) -> tuple[Network, Fit]:
    """The network that gives the data's classes to each pixel, and how pictures are fitted to it.

    Raises:
        UsageError: the network gives something else, or takes other channels.
    """
    classes, size = len(source.classes), request.image_size
    if isinstance(asked, Network):
        net = asked if size is None else asked.with_input((asked.input_shape[0], size, size))
        if net.input_shape[0] != source.channels and source.channels != 1:
            raise UsageError(f"{net.name} takes {net.input_shape[0]} channels, but the pictures of {source.name} have {source.channels}")
    else:
        name = asked or PIXEL_NETWORKS[0]
        shape = (size, size) if size is not None else native_size(name, source)
        net = catalog_network(name, num_classes=classes, in_channels=source.channels, input_size=shape)
    if net.output_shape != (classes, *net.input_shape[1:]):
        message = f"{net.name} gives {net.output_shape} for a picture, expected a score for each of {classes} classes at each pixel"
        raise UsageError(f"{message}, {(classes, *net.input_shape[1:])}", f"Suitable networks: {', '.join(PIXEL_NETWORKS)}.")
    return net, request.fit or ("stretch" if source.image_size == net.input_shape[1:] else "pad")


def moves(base: Augmentation | None) -> Augmentation | None:
    """The part of an augmentation that moves pictures and masks alike."""
    return None if base is None else dataclasses.replace(Augmentation(), **{name: getattr(base, name) for name in MOVES})


def native_size(name: str, source: DataSource) -> tuple[int, int] | None:
    """The pictures' own size where they have one, made larger until the network takes it; None for the network's published size."""
    if source.image_size is None:
        return None
    own = catalog_network(name)
    for multiple in (1, 2, 4, 8, 16, 32):
        height, width = (-(-side // multiple) * multiple for side in source.image_size)
        if own.fits((own.input_shape[0], height, width)):
            return height, width
    return None


def evaluate(model: Model, measured: Measured) -> SegmentReport:
    """Measure; write the table of pixels, the classes, each picture's measures, and the worst pictures with their masks.

    Pictures and masks are compared in the size that the network takes.
    """
    images, output = measured.images, measured.output
    answers = segment(model, images.images)
    confusions = [pixel_confusion(a, m, len(model.classes)) for a, m in zip(answers, images.labels, strict=True)]  # (K, K) a picture
    measures = measure_pixels(np.sum(confusions, axis=0), model.classes, len(images))
    report = measured.report(SegmentReport, measures, left_out=measured.left_out, size=model.images.extent)
    if output is not None:
        make_folder(output)
        _write(output, report, images, answers, confusions, model)
        write_report(output / MEASURES, report)
    return report


def measured_pixels(model: Model, images: ImageSet) -> SegmentMeasures:
    """The measures of all pixels of the pictures together."""
    table = pixel_confusion(segment(model, images.images), images.labels, len(model.classes))
    return measure_pixels(table, model.classes, len(images))


def _write(
    output: Path, report: SegmentReport, images: ImageSet, answers: np.ndarray, confusions: Sequence[np.ndarray], model: Model
) -> None:
    classes = model.classes
    write_confusion_csv(output / "confusion.csv", classes, report.confusion_matrix)
    write_regions_csv(output / "classes.csv", report)
    title = f"{report.model} on {report.data}, {report.split} split"
    write_atomically(output / "confusion.png", confusion_picture(report.confusion_matrix, classes, title=title, noun="pixel"))

    scores = [measure_pixels(confusion, classes, 1) if confusion.any() else None for confusion in confusions]
    header: list[object] = ["path", "pixels", "pixel_accuracy", "mean_iu"]
    rows: list[list[object]] = []
    for path, score in zip(images.paths, scores, strict=True):
        values: list[object] = [score.num_pixels, f"{score.pixel_accuracy:.6g}", f"{score.mean_iu:.6g}"] if score else [0, "", ""]
        rows.append([path, *values])
    write_atomically(output / "pictures.csv", csv_text(header, rows).encode())

    if images.kind != "pictures":
        return
    order = sorted((score.mean_iu, place) for place, score in enumerate(scores) if score)[:MAX_SHOWN]
    worst = [place for _, place in order]
    captions = [text for value, place in order for text in (Path(images.paths[place]).name, "as drawn", f"mean IU {value:.3f}")]
    title = f"The worst of {len(images):,} pictures, with the masks drawn and given"
    masks = [images.labels[worst], answers[worst]]
    write_atomically(output / "worst.png", overlays_picture(images.images[worst], masks, classes, captions=captions, title=title))


def summary(report: SegmentReport) -> Lines:
    """The report as text."""
    width, each = max(5, *(len(name) for name in report.classes)), "pixel" if report.kind is None else "place"
    lines = [
        f"mean IU {report.mean_iu:.4f}   frequency weighted IU {report.frequency_weighted_iu:.4f}",
        f"{each} accuracy {report.pixel_accuracy:.4f}   mean accuracy {report.mean_accuracy:.4f}",
        f"compared at {' x '.join(map(str, report.size))} {each}s",
        "",
        f"{'class':<{width}}      IU  accuracy        {each}s",
    ]
    for name, one in report.classes.items():
        iu, accuracy = ("-" if value is None else f"{value:.4f}" for value in (one.iu, one.accuracy))
        lines.append(f"{name:<{width}}  {iu:>6}  {accuracy:>8}  {one.pixels:>12,}")
    return in_table(report, lines, f", {report.num_pixels:,} {each}s")


def predict(model: Model, pictures: Given, request: PredictRequest, say: Say) -> Segmentations:
    """The masks of pictures; into `output` one PNG file each, with a palette and the picture's size; into `plot` overlays.

    Raises:
        DataError: a file cannot be read; names it.
        UsageError: two pictures would have their masks in one file.
        EnvironmentFault: a file cannot be written.
    """
    found, output, plot = segment_pictures(model, pictures), request.output, request.plot
    if output is not None:
        found = write_masks(found, list(map(Path, pictures.names)), output)
        say(f"masks: {output}")
    if plot is not None:
        shown = found.items[:MAX_SHOWN]
        images = model.read(pictures.first(len(shown)))
        captions = [text for item in shown for text in (Path(item.path).name, _shares(item.largest[:2]))]
        masks = segment(model, images)
        drawn = overlays_picture(images, [masks], model.classes, captions=captions, title="Pictures and their masks")
        write_atomically(plot, drawn, field="plot")
        more = f" (the first {len(shown)} of {len(found)})" if len(shown) < len(found) else ""
        say(f"drawn: {plot}{more}")
    return found


def write_masks(found: Segmentations, files: Sequence[Path], output: Path) -> Segmentations:
    """One PNG file per picture in the folder `output`."""
    names = png_names(files, output, noun="mask", written="write their mask")
    for name, item in zip(names, found, strict=True):
        write_atomically(name, mask_png(item.mask, len(found.classes)))
    named = found.with_files(names)
    write_json(output / "masks.json", named.to_data())  # tells the folder from one of pictures, too
    return named


def _shares(largest: Sequence[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in largest)


SEGMENT = TaskRecord(
    name="segment",
    gives_classes=True,
    losses=("cross_entropy", "nll", "focal"),
    network=PIXEL_NETWORKS[0],
    plan_network=plan_network,
    augmentation=moves,
    report=SegmentReport,
    evaluate=evaluate,
    summary=summary,
    predict=predict,
    val_measures=of_kept(measured_pixels, "mean_iu", "frequency_weighted_iu", "pixel_accuracy", "mean_accuracy"),
)
