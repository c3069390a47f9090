"""The page of a check: what was found, with the pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np
from PIL import Image

from striate.core.errors import DataError
from striate.core.images import Fit
from striate.data.decode import fit_image, picture_bytes, whole_picture
from striate.data.fitting import with_channels
from striate.drawing.page import Section, Tile, document, facts, folded, paragraph, table, tiles
from striate.drawing.sheet import shown
from striate.workflows.checking.findings import FLAWS
from striate.workflows.checking.shapes import input_of
from striate.workflows.checking.words import HEADS
from striate.workflows.info import info

if TYPE_CHECKING:
    from striate.data.records import DataSource, Part
    from striate.workflows.checking.record import CheckReport, CheckRequest, Copies
    from striate.workflows.checking.surveying import Picture, Survey

SIDE, QUALITY = 144, 80  # pixels of the longer side of a picture on the page; of its JPEG
MOST = 24  # pictures or groups in a section
OF_GROUP = 4  # pictures of a group
OF_CLASS, CLASSES = 2, 24  # pictures of a class in the preview, and classes
ENLARGED = 4  # times that small pictures are enlarged at most


class Album(NamedTuple):
    """The pictures of the data, to be shown."""

    source: DataSource
    by_path: dict[str, Picture]

    def pixels(self, picture: Picture, side: int = SIDE) -> np.ndarray | None:
        """A picture (h, w, 3) uint8; None if it cannot be read any more."""
        part: Part = self.source.parts[picture.split]()
        try:
            if part.files is None:
                return shown(np.asarray(part.images(None, np.array([picture.place]))[0]))
            return with_channels(whole_picture(picture_bytes(part.files[picture.place]), side, picture.path).pixels, 3)
        except DataError:
            return None

    def tile(self, path: str, caption: str) -> Tile | None:
        """A picture with a caption, small."""
        pixels = self.pixels(self.by_path[path])
        return None if pixels is None else Tile(jpeg(pixels), caption)

    def tiles(self, named: Sequence[tuple[str, str]]) -> list[Tile]:
        """Pictures by path with captions, without those that are gone."""
        return [tile for path, caption in named if (tile := self.tile(path, caption)) is not None]


def jpeg(pixels: np.ndarray) -> bytes:
    """A picture as a small JPEG; one that is small already is enlarged in whole squares."""
    image = Image.fromarray(pixels)
    times = min(ENLARGED, SIDE // max(image.size))
    if times > 1:
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def page(report: CheckReport, request: CheckRequest, source: DataSource, seen: Survey) -> bytes:
    """The page as HTML, its pictures inside."""
    album = Album(source, {picture.path: picture for picture in seen.pictures})
    foot = f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by Striate {info()['versions']['striate']}. No file of the data was changed."
    return document(f"Check of {report.data}", "", list(_sections(report, request, album, seen)), foot=foot)


def _sections(report: CheckReport, request: CheckRequest, album: Album, seen: Survey) -> Iterator[Section]:
    yield Section("Summary", _summary(report))
    if report.classes:
        yield Section("Classes", _classes(report))
    yield Section("Files", _files(report))
    if report.leaks:
        words = "The same picture in two splits. Drop the one that is trained on, or what is measured is what was learned by heart."
        yield Section("In two splits", _copies(report.leaks, album, words))
    if report.two_labels:
        noun = "masks" if report.task == "segment" else "labels"
        yield Section(f"With two {noun}", _copies(report.two_labels, album, f"Only one of the {noun} can be right."))
    if report.label_errors:
        yield Section("Probable label errors", _label_errors(report, album))
    known = {*report.leaks, *report.two_labels}
    exact = [group for group in _exact(report, album) if set(group) - {path for copies in known for path in copies.paths}]
    if exact:
        groups = [album.tiles([(path, album.by_path[path].name) for path in group[:OF_GROUP]]) for group in exact[:MOST]]
        yield Section("Copies", paragraph(_first(len(exact), "group")) + tiles(groups))
    near = [group for group in report.near_duplicates if group not in known]
    if near:
        yield Section("Nearly the same", _copies(near, album, "The same scene, another crop, size, brightness or orientation."))
    if report.flaws:
        yield Section("Of little use", _flaws(report, album))
    if report.shortcuts:
        yield Section("What gives the class away", _shortcuts(report))
    yield Section("What the network sees", _fits(report, request, album, seen))


def _summary(report: CheckReport) -> str:
    judged = report.judged
    named = [
        ("pictures", f"{report.num_images:,}"),
        *([("classes", f"{len(report.classes):,}")] if report.classes else []),
        *report.numbers.items(),
        ("can be trained on", "yes" if report.trainable else "no"),
        ("findings", f"{sum(one.severity != 'note' for one in report.findings):,}"),
    ]
    if judged is not None:
        low, high = judged.accuracy_interval
        named.append(("a linear classifier names right", f"{judged.accuracy:.1%} ({low:.1%} to {high:.1%})"))
    listed = "".join(
        paragraph(f"{one.severity}: {one.message}".replace("`", "")) + paragraph(one.remedy.replace("`", ""), faint=True)
        for one in report.findings
    )
    return facts(named) + (listed or paragraph("Nothing found."))


def _classes(report: CheckReport) -> str:
    splits = list(report.class_counts)
    rows = [
        [name, *(f"{report.class_counts[split].get(name, 0):,}" for split in splits), f"{count:,}"]
        for name, count in report.classes.items()
    ]
    what = "pixels" if report.task == "segment" else "pictures"
    return table([HEADS.get(report.task, "class"), *splits, "all"], rows, f"{what} of each class")


def _files(report: CheckReport) -> str:
    rows = [["size, height x width", ", ".join(f"{word} {size}" for word, size in report.sizes.items())]]
    rows += [
        [word, ", ".join(f"{name} {count:,}" for name, count in counts.items())]
        for word, counts in (("format", report.formats), ("mode", report.modes))
        if counts
    ]
    content = table(["", ""], rows, "sizes and formats", numbers_from=2, wraps=True)
    if report.unreadable:
        listed = [[one.path, one.reason] for one in report.unreadable]
        content += folded(
            f"{len(listed):,} unreadable files", table(["file", "why"], listed, "unreadable files", numbers_from=2, wraps=True)
        )
    return content


def _copies(groups: Sequence[Copies], album: Album, words: str) -> str:
    shown_groups = []
    for group in groups[:MOST]:
        labels = group.labels or ("",) * len(group.paths)
        captions = [
            (path, f"{album.by_path[path].name}: {split}{f', {label}' if label else ''}")
            for path, split, label in zip(group.paths[:OF_GROUP], group.splits, labels, strict=False)
        ]
        shown_groups.append(album.tiles(captions))
    return paragraph(f"{words} {_first(len(groups), 'group')}") + tiles([group for group in shown_groups if group])


def _exact(report: CheckReport, album: Album) -> list[tuple[str, ...]]:
    return [group for group in report.duplicates if all(path in album.by_path for path in group)]


def _label_errors(report: CheckReport, album: Album) -> str:
    words = "A classifier that was fitted without the picture prefers another class. Some are wrong, others are just hard: look."
    named = [
        (one.path, f"{album.by_path[one.path].name}: {one.label}, rather {one.suggested} ({one.score:+.2f})")
        for one in report.label_errors[:MOST]
    ]
    return paragraph(f"{words} {_first(len(report.label_errors), 'picture')}") + tiles([[tile] for tile in album.tiles(named)])


def _flaws(report: CheckReport, album: Album) -> str:
    content = ""
    for kind, paths in report.flaws.items():
        named = [(path, album.by_path[path].name) for path in paths[: MOST // 2]]
        content += paragraph(f"{FLAWS[kind][0].capitalize()}: {_first(len(paths), 'picture', MOST // 2)}")
        content += tiles([[tile] for tile in album.tiles(named)])
    return content


def _shortcuts(report: CheckReport) -> str:
    rows = [[one.property, f"{one.accuracy:.1%}", f"{one.chance:.1%}", ", ".join(one.classes) or "-"] for one in report.shortcuts]
    words = "Properties that a small decision tree predicts the class by, without the subject; balanced accuracy by cross-validation."
    return paragraph(words) + table(["property", "predicts", "guessing", "told from all others"], rows, "shortcuts")


def _fits(report: CheckReport, request: CheckRequest, album: Album, seen: Survey) -> str:
    rows = [[one.fit, f"{one.cut:.1%}", f"{one.padding:.1%}", f"{one.stretch:.2f}", _worst(one.fit, one.worst)] for one in report.fits]
    height, width = report.fit_size
    words = f"On average over all pictures, for an input of {height} x {width}; the last column is of the worst picture."
    content = paragraph(words) + table(["fit", "cut off", "border", "stretched", "worst"], rows, "fits")
    if not request.preview:
        return content + paragraph("`--preview` shows pictures of each class as each fit gives them to a network.")
    for label, name in list(enumerate(report.classes))[:CLASSES]:
        chosen = [picture for picture in seen.readable if picture.label == label][:OF_CLASS]
        groups = []
        for picture in chosen:
            pixels = album.pixels(picture, max(report.fit_size))
            if pixels is not None:
                fitted = [Tile(jpeg(fit_image(pixels, input_of(report.fit_size, fit))), fit) for fit in get_args(Fit)]
                groups.append([Tile(jpeg(pixels), f"{name}: as it is"), *fitted])
        content += tiles(groups)
    return content


def _worst(fit: Fit, value: float) -> str:
    return f"{value:.2f}" if fit == "stretch" else f"{value:.1%}"


def _first(count: int, noun: str, most: int = MOST) -> str:
    return f"the first {most} of {count:,} {noun}s." if count > most else f"{count:,} {noun}{'s' if count != 1 else ''}."
