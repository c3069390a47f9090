"""The layout of a network's drawing: the positions and sizes of its parts, in pixels.

Widths of words are reckoned for a wide font, so that narrower ones leave room.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from striate.networks.sketch import Aside, Band, Box, Frame, Node, Split, Stack, Wire, is_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.networks.layers import Shape

TEXT, SMALL = 12, 10  # font sizes in pixels
BOLD = 1.12  # how much wider bold words are
GAP = 16  # between boxes one below the other
ASIDE = 14  # between branches
PAD = 10  # inside frames and bands
TALL = 900  # pixels; a taller drawing is broken into columns where there is room for them


class Extent(NamedTuple):
    """The room of a node: to the left and right of the line that enters and leaves it, and its height."""

    left: float
    right: float
    height: float


def text_width(text: str, size: float) -> float:
    """The maximum width of `text` in the common sans fonts, in pixels."""
    return size * sum(
        0.45 if letter in " .,:;·|/()[]ijlftrI-…" else 1.0 if letter in "mwMW×@%+→" else 0.79 if letter.isupper() else 0.65
        for letter in text
    )


def size_words(shape: Shape) -> str:
    """A shape as text: `64 × 56 × 56`."""
    return " × ".join(map(str, shape))


def _short(number: int) -> str:
    """Three digits and a unit: `23.5 M`."""
    for unit, name in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)


def box_lines(box: Box) -> list[tuple[str, int]]:
    """The words of a box, and the size that comes out where it is another than what went in; each line with its font size."""
    lines = [(words, TEXT) for words in (_halves(box.words) if box.narrow else [" · ".join(box.words)])]
    return lines if box.shape == box.input_shape else [*lines, (size_words(box.shape), SMALL)]


def _halves(words: Sequence[str]) -> list[str]:
    """The words in two lines of which the longer is as short as it can be."""
    breaks = [[" · ".join(words[:i]), " · ".join(words[i:])] for i in range(1, len(words))]
    return min(breaks, key=lambda lines: max(text_width(line, TEXT) for line in lines), default=list(words))


def count_words(times: int) -> str:
    """`× 3`, and nothing for one."""
    return f"× {times}" if times > 1 else ""


def count_width(times: int) -> float:
    """The room of `count_words` and a gap before them; 0 for one."""
    return BOLD * text_width(count_words(times), TEXT) + 8 if times > 1 else 0


def _narrowed(node: Node) -> Node:
    """`node` with the words of its boxes on two lines."""
    if isinstance(node, Box):
        return replace(node, narrow=True)
    if isinstance(node, Stack):
        return replace(node, nodes=tuple(map(_narrowed, node.nodes)))
    if isinstance(node, Split):
        return replace(node, branches=tuple(map(_narrowed, node.branches)))
    return replace(node, node=_narrowed(node.node)) if isinstance(node, Frame | Aside) else node


def merge_words(split: Split) -> str:
    """The label of a merge, with the output size if it is informative."""
    return " · ".join(split.words) + (f" {size_words(split.shape)}" if split.shape else "")


def merge_width(split: Split) -> float:
    """The width of the mark of a merge."""
    return max(text_width(merge_words(split), TEXT) + 14, 22)


def pill_width(words: str) -> float:
    """The width of the mark at either end of the line through a network."""
    return text_width(words, TEXT) + 20


def foot_words(frame: Frame) -> str:
    """The size after the last of several equal parts."""
    return f"after the last: {size_words(frame.shape)}" if frame.shape else ""


def aside_place(aside: Aside, room: Extent) -> float:
    """The horizontal offset of an auxiliary classifier, of which `room` is known, from the line through the network."""
    return max(room.left, pill_width(aside.words) / 2) + 2 * ASIDE


def extent(node: Node) -> Extent:
    """The room that `node` takes."""
    if isinstance(node, Wire):
        return Extent(6, 6, 0)
    if isinstance(node, Box):
        words = max(text_width(line, size) for line, size in box_lines(node))
        half = (words + count_width(node.times) + 16) / 2
        return Extent(half, half, 10 + sum(size + 4 for _, size in box_lines(node)))
    if isinstance(node, Stack):
        rooms = [extent(child) for child in node.nodes]
        height = sum(room.height for room in rooms) + GAP * (len(rooms) - 1)
        return Extent(max(room.left for room in rooms), max(room.right for room in rooms), height)
    if isinstance(node, Aside):
        room = extent(node.node)
        half, place = pill_width(node.words) / 2, aside_place(node, room)
        return Extent(6, place + max(room.right, half), room.height + 18 + GAP + 24)
    if isinstance(node, Frame):
        room = extent(node.node)
        left = max(room.left + PAD, text_width(node.title, SMALL) + 16)
        right = max(room.right + PAD, count_width(node.times) + 16)
        foot = text_width(foot_words(node), SMALL) + 16
        return Extent(left, max(right, foot), room.height + 22 + (22 if node.shape else 12))
    rooms = [extent(branch) for branch in node.branches]
    places = branch_places(node, rooms)
    half = merge_width(node) / 2 + 12
    left = max(half, *(room.left - place for place, room in zip(places, rooms, strict=True)))
    right = max(half, *(room.right + place for place, room in zip(places, rooms, strict=True)))
    return Extent(left, right, max(room.height for room in rooms) + 18 + 36)


def branch_places(split: Split, rooms: Sequence[Extent]) -> list[float]:
    """The horizontal offset of each branch from the line that enters.

    Straight on runs the one branch that is not a plain wire, or the tallest of a sum or product. Branches of a concatenation stand centred.
    """
    places, edge = [], 0.0
    for room in rooms:
        places.append(edge + room.left)
        edge += room.left + room.right + ASIDE
    parts = [index for index, branch in enumerate(split.branches) if not isinstance(branch, Wire)]
    straight = None
    if len(parts) == 1 or (parts and split.words[0] != "concat"):
        straight = max(parts, key=lambda index: rooms[index].height)
    axis = (edge - ASIDE) / 2 if straight is None else places[straight]
    return [place - axis for place in places]


class Column(NamedTuple):
    """Bands one below the other."""

    bands: list[Band]
    rooms: list[Extent]  # of each band's node
    least: float  # the least room on either side of the line through all

    @property
    def left(self) -> float:
        """The room left of the line through the column."""
        return max([self.least, *(room.left for room in self.rooms)])

    @property
    def right(self) -> float:
        """The room right of it."""
        return max([self.least, *(room.right for room in self.rooms)])

    @property
    def width(self) -> float:
        """The whole width."""
        return self.margin + self.left + self.right + PAD

    @property
    def margin(self) -> float:
        """The room for the bands' names and costs, left of what they show."""
        return max((BOLD * text_width(line, size) for band in self.bands for line, size in notes_of(band)), default=0) + 2 * PAD


def notes_of(band: Band) -> list[tuple[str, int]]:
    """The lines in the margin of a band, with their font sizes."""
    notes = [(band.title, TEXT)]
    if band.params:
        notes.append((f"{_short(band.params)} params", SMALL))
    if band.macs:
        notes.append((f"{_short(band.macs)} MACs", SMALL))
    return notes


def band_height(band: Band, room: Extent) -> float:
    """The height of a band whose node takes `room`."""
    return max(room.height + 2 * PAD, 14 * len(notes_of(band)) + PAD)


def _fitted(bands: list[Band], width_px: int) -> list[Band]:
    """`bands`, those with branches narrowed if one of them is wider than the drawing may be."""
    if all(Column([band], [extent(band.node)], 0).width + 2 * PAD <= width_px for band in bands):
        return bands
    return [band._replace(node=_narrowed(band.node)) if is_split(band.node) else band for band in bands]


def columns_of(bands: list[Band], width_px: int, least: float) -> list[Column]:
    """The bands in columns: as few as keep the drawing under `TALL` pixels, or as many as `width_px` takes and make it much lower."""
    bands = _fitted(bands, width_px)
    rooms = [extent(band.node) for band in bands]
    heights = [band_height(band, room) + 6 for band, room in zip(bands, rooms, strict=True)]
    best, lowest = [Column(bands, rooms, least)], sum(heights)
    for count in range(2, len(bands) + 1):
        ends = _balanced(heights, count)
        spans = list(zip([0, *ends], [*ends, len(bands)], strict=True))
        columns = [Column(bands[a:b], rooms[a:b], least) for a, b in spans]
        if lowest <= TALL or sum(column.width + PAD for column in columns) + PAD > width_px:
            break
        height = max(sum(heights[a:b]) for a, b in spans)
        if height < 0.8 * lowest:
            best, lowest = columns, height
    return best


def _balanced(heights: list[float], count: int) -> list[int]:
    """The breaks of a list into at most `count` runs that minimize the height of the highest run."""
    low, high = max(heights), sum(heights)
    while high - low > 1:
        limit = (low + high) / 2
        low, high = (low, limit) if len(_breaks(heights, limit)) < count else (limit, high)
    return _breaks(heights, high)


def _breaks(heights: list[float], limit: float) -> list[int]:
    """The places at which a run would grow over `limit`."""
    breaks, run = [], 0.0
    for index, height in enumerate(heights):
        if run and run + height > limit:
            breaks.append(index)
            run = 0.0
        run += height
    return breaks
