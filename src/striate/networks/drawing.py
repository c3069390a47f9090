"""The drawing of a network, as SVG text that any browser or editor shows.

The outermost parts are bands, from top to bottom and then in the next column. In a band, what comes later stands below, and what runs
side by side stands side by side. Widths of words are reckoned for a wide font, so that narrower ones leave room.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

from striate.networks.sketch import Band, Box, Frame, Node, Split, Stack, Wire, sketch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.networks.layers import Shape
    from striate.networks.network import Network

FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
TEXT, SMALL, TITLE = 12, 10, 18  # font sizes in pixels
PAPER, INK, FAINT, LINE = "#ffffff", "#1d2733", "#5b6673", "#6b7785"
BAND_FILL, FRAME_FILL, FRAME_LINE = "#f3f5f8", "#e8ecf1", "#c3ccd6"
COLORS = {  # what boxes are about -> fill, outline
    "convolution": ("#cfe3fb", "#4a86c8"),
    "pooling": ("#fbd9c6", "#c96f3b"),
    "dense": ("#dfd3f6", "#7d5fc0"),
    "normalization, activation": ("#d5efd0", "#5a9e4b"),
    "resizing": ("#cdeeea", "#3c9a8f"),
    "other": ("#f6e8b0", "#b3932c"),
}
GAP = 16  # between boxes one below the other
ASIDE = 14  # between branches
PAD = 10  # inside frames and bands
TALL = 900  # pixels; a taller drawing is broken into columns where there is room for them


class Extent(NamedTuple):
    """The room of a node: to the left and right of the line that enters and leaves it, and its height."""

    left: float
    right: float
    height: float


def draw_svg(network: Network, *, width_px: int = 1000) -> str:
    """The drawing of `network` as SVG text.

    Boxes are convolutions and other layers with the normalization and activation that follow; under the words stands the size that comes
    out, where it changes. Equal parts in a row are drawn once.

    Args:
        network: Any network that describes itself.
        width_px: The width to keep to where there is a choice; a part that is wider makes the drawing wider.

    Returns:
        One `<svg>` element with a width and a height in pixels, on a ground of its own: readable on light and dark pages.

    Raises:
        ShapeError: the network does not fit its input; names the layer.
    """
    columns = _columns(sketch(network), width_px)
    widths = [_column_width(column) for column in columns]
    width = max(sum(widths) + PAD * (len(columns) + 1), 420)
    ink: list[str] = []
    top = _caption(network, width, ink)
    bottom = max(_draw_columns(network, columns, widths, top, ink), top)
    height = _legend(columns, width, bottom + GAP, ink)
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    arrow = f'<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker>'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-family="{FONT}">',
            f"<title>{escape(network.name)}</title>",
            f"<defs>{arrow}</defs>",
            f'<rect width="{width:g}" height="{height:g}" rx="6" fill="{PAPER}"/>',
            *ink,
            "</svg>\n",
        )
    )


def text_width(text: str, size: float) -> float:
    """How wide `text` gets at most in the common sans fonts, in pixels."""
    return size * sum(
        0.45 if letter in " .,:;·|/()[]ijlftrI-…" else 1.0 if letter in "mwMW×@%+→" else 0.79 if letter.isupper() else 0.65
        for letter in text
    )


def _times(shape: Shape) -> str:
    return " × ".join(map(str, shape))


def _short(number: int) -> str:
    """Three digits and a unit: `23.5 M`."""
    for unit, name in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)


# ---- where things go


def _lines(box: Box) -> list[str]:
    """The words of a box, and the size that comes out where it is another than what went in."""
    words = " · ".join(box.words) + (f"   × {box.times}" if box.times > 1 else "")
    return [words] if box.shape == box.input_shape else [words, _times(box.shape)]


def _merge_text(split: Split) -> str:
    return " · ".join(split.words) + (f"   {_times(split.shape)}" if split.shape else "")


def _merge_width(split: Split) -> float:
    return max(text_width(_merge_text(split), TEXT) + 14, 22)


def _badge(frame: Frame) -> str:
    return f"× {frame.times}" if frame.times > 1 else ""


def _foot(frame: Frame) -> str:
    return f"after the last: {_times(frame.shape)}" if frame.shape else ""


def _extent(node: Node) -> Extent:
    if isinstance(node, Wire):
        return Extent(6, 6, 0)
    if isinstance(node, Box):
        lines = _lines(node)
        half = (max(text_width(lines[0], TEXT), *(text_width(line, SMALL) for line in lines[1:]), 0) + 16) / 2
        return Extent(half, half, 26 if len(lines) == 1 else 38)
    if isinstance(node, Stack):
        rooms = [_extent(child) for child in node.nodes]
        height = sum(room.height for room in rooms) + GAP * (len(rooms) - 1)
        return Extent(max(room.left for room in rooms), max(room.right for room in rooms), height)
    if isinstance(node, Frame):
        room = _extent(node.node)
        left = max(room.left + PAD, text_width(node.title, SMALL) + 16)
        right = max(room.right + PAD, text_width(_badge(node), TEXT) + 16)
        foot = text_width(_foot(node), SMALL) + 16
        return Extent(left, max(right, foot), room.height + 22 + (22 if node.shape else 12))
    rooms = [_extent(branch) for branch in node.branches]
    places = _branch_places(node, rooms)
    half = _merge_width(node) / 2 + 12
    left = max(half, *(room.left - place for place, room in zip(places, rooms, strict=True)))
    right = max(half, *(room.right + place for place, room in zip(places, rooms, strict=True)))
    return Extent(left, right, max(room.height for room in rooms) + 18 + 36)


def _branch_places(split: Split, rooms: Sequence[Extent]) -> list[float]:
    """How far right of the line that enters each branch stands.

    Straight on runs the one branch that is no wire, or the first of a sum or product. Branches of a concatenation stand centred.
    """
    places, edge = [], 0.0
    for room in rooms:
        places.append(edge + room.left)
        edge += room.left + room.right + ASIDE
    parts = [index for index, branch in enumerate(split.branches) if not isinstance(branch, Wire)]
    straight = parts[0] if len(parts) == 1 or (parts and split.words[0] != "concat") else None
    axis = (edge - ASIDE) / 2 if straight is None else places[straight]
    return [place - axis for place in places]


class Column(NamedTuple):
    """Bands one below the other."""

    bands: list[Band]
    rooms: list[Extent]  # of each band's node

    @property
    def margin(self) -> float:
        """The room for the bands' names and costs, left of what they show."""
        return max(max(text_width(line, size) for line, size in _notes(band)) for band in self.bands) + 2 * PAD


def _notes(band: Band) -> list[tuple[str, int]]:
    """The lines in the margin of a band, with their font sizes."""
    notes = [(band.title, TEXT)]
    if band.params:
        notes.append((f"{_short(band.params)} params", SMALL))
    if band.macs:
        notes.append((f"{_short(band.macs)} MACs", SMALL))
    return notes


def _band_height(band: Band, room: Extent) -> float:
    return max(room.height + 2 * PAD, 14 * len(_notes(band)) + PAD)


def _column_width(column: Column) -> float:
    return column.margin + max(room.left for room in column.rooms) + max(room.right for room in column.rooms) + PAD


def _columns(bands: list[Band], width_px: int) -> list[Column]:
    """The bands in as few columns as keep the drawing under `TALL` pixels, or in as many as `width_px` takes."""
    rooms = [_extent(band.node) for band in bands]
    heights = [_band_height(band, room) + 6 for band, room in zip(bands, rooms, strict=True)]
    best: list[Column] = []
    for count in range(1, len(bands) + 1):
        ends = _balanced(heights, count)
        columns = [Column(bands[a:b], rooms[a:b]) for a, b in zip([0, *ends], [*ends, len(bands)], strict=True) if a < b]
        if best and sum(_column_width(column) + PAD for column in columns) + PAD > width_px:
            break
        best = columns
        if max(sum(heights[a:b]) for a, b in zip([0, *ends], [*ends, len(bands)], strict=True)) <= TALL:
            break
    return best


def _balanced(heights: list[float], count: int) -> list[int]:
    """Where to break a list into at most `count` runs so that the highest run is as low as it can be."""
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


# ---- ink


def _text(x: float, y: float, words: str, size: int, *, anchor: str = "start", color: str = INK, weight: str = "") -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    middle = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}"{middle}{bold} fill="{color}">{escape(words)}</text>'


def _rect(x: float, y: float, width: float, height: float, fill: str, line: str = "", radius: int = 5) -> str:
    stroke = f' stroke="{line}"' if line else ""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" fill="{fill}"{stroke}/>'


def _path(points: Sequence[tuple[float, float]], *, arrow: bool = False) -> str:
    steps = " L".join(f"{x:g} {y:g}" for x, y in points)
    head = ' marker-end="url(#arrow)"' if arrow else ""
    return f'<path d="M{steps}" fill="none" stroke="{LINE}" stroke-width="1.3" stroke-linejoin="round"{head}/>'


def _starts_with_box(node: Node) -> bool:
    return _starts_with_box(node.nodes[0]) if isinstance(node, Stack) else isinstance(node, Box)


def _draw(node: Node, x: float, y: float, ink: list[str]) -> None:
    """Draw `node` where a line enters it at (x, y); it leaves at (x, y + height)."""
    if isinstance(node, Box):
        _draw_box(node, x, y, ink)
    elif isinstance(node, Stack):
        for index, child in enumerate(node.nodes):
            if index:
                ink.append(_path([(x, y), (x, y + GAP)], arrow=_starts_with_box(child)))
                y += GAP
            _draw(child, x, y, ink)
            y += _extent(child).height
    elif isinstance(node, Frame):
        _draw_frame(node, x, y, ink)
    elif isinstance(node, Split):
        _draw_split(node, x, y, ink)


def _draw_box(box: Box, x: float, y: float, ink: list[str]) -> None:
    room, lines = _extent(box), _lines(box)
    fill, line = COLORS[box.color]
    ink.append(_rect(x - room.left, y, room.left + room.right, room.height, fill, line))
    ink.append(_text(x, y + (17 if len(lines) == 1 else 16), lines[0], TEXT, anchor="middle"))
    for words in lines[1:]:
        ink.append(_text(x, y + 31, words, SMALL, anchor="middle", color=FAINT))


def _draw_frame(frame: Frame, x: float, y: float, ink: list[str]) -> None:
    room, inner = _extent(frame), _extent(frame.node)
    ink.append(_rect(x - room.left, y, room.left + room.right, room.height, FRAME_FILL, FRAME_LINE))
    ink.append(_text(x - room.left + 8, y + 14, frame.title, SMALL, color=FAINT))
    ink.append(_text(x + room.right - 8, y + 15, _badge(frame), TEXT, anchor="end", weight="bold"))
    ink.append(_path([(x, y), (x, y + 22)], arrow=_starts_with_box(frame.node)))
    _draw(frame.node, x, y + 22, ink)
    ink.append(_path([(x, y + 22 + inner.height), (x, y + room.height)]))
    if frame.shape:
        ink.append(_text(x + 8, y + room.height - 7, _foot(frame), SMALL, color=FAINT))


def _draw_split(split: Split, x: float, y: float, ink: list[str]) -> None:
    rooms = [_extent(branch) for branch in split.branches]
    places = _branch_places(split, rooms)
    top, half = y + 18, _merge_width(split) / 2
    centre = top + max(room.height for room in rooms) + 25
    ink.append(_path([(x, y), (x, y + 7)]))
    for place, room, branch in zip(places, rooms, split.branches, strict=True):
        down = [(x + place, top)] if not isinstance(branch, Wire) else []
        ink.append(_path([(x, y + 7), (x + place, y + 7), *down], arrow=_starts_with_box(branch)))
        _draw(branch, x + place, top, ink)
        start = (x + place, y + 7 if isinstance(branch, Wire) else top + room.height)
        if abs(place) < half - 4:
            ink.append(_path([start, (x + place, centre - 11)], arrow=True))
        else:
            ink.append(_path([start, (x + place, centre), (x + half if place > 0 else x - half, centre)], arrow=True))
    ink.append(f'<circle cx="{x:g}" cy="{y + 7:g}" r="3" fill="{LINE}"/>')
    ink.append(_rect(x - half, centre - 11, 2 * half, 22, PAPER, LINE, 11))
    ink.append(_text(x, centre + 4, _merge_text(split), TEXT, anchor="middle"))


def _draw_columns(network: Network, columns: list[Column], widths: list[float], top: float, ink: list[str]) -> float:
    """Draw the bands and the line through all of them; the y below the lowest."""
    left, lowest = float(PAD), top
    leaves: tuple[float, float] | None = None  # where the column before ends
    for column, width in zip(columns, widths, strict=True):
        x = left + column.margin + max(room.left for room in column.rooms)
        y = top + 34
        if leaves is None:
            ink += [_pill(x, top + 2, f"input   {_times(network.input_shape)}"), _path([(x, top + 26), (x, y)])]
        else:
            turn = left - PAD / 2
            ink.append(_path([leaves, (leaves[0], leaves[1] + 8), (turn, leaves[1] + 8), (turn, top + 14), (x, top + 14), (x, y)]))
        for band, room in zip(column.bands, column.rooms, strict=True):
            height = _band_height(band, room)
            inset = (height - room.height) / 2
            ink.append(_rect(left, y, width, height, BAND_FILL))
            for index, (words, size) in enumerate(_notes(band)):
                weight, color = ("bold", INK) if index == 0 else ("", FAINT)
                ink.append(_text(left + PAD, y + 19 + 14 * index, words, size, weight=weight, color=color))
            ink.append(_path([(x, y), (x, y + inset)], arrow=_starts_with_box(band.node)))
            _draw(band.node, x, y + inset, ink)
            ink.append(_path([(x, y + inset + room.height), (x, y + height + 6)]))
            y += height + 6
        leaves = (x, y)
        left += width + PAD
        lowest = max(lowest, y)
    if leaves is not None:
        ink.append(_path([leaves, (leaves[0], leaves[1] + 6)], arrow=True))
        ink.append(_pill(leaves[0], leaves[1] + 6, f"output   {_times(network.output_shape)}"))
        lowest = max(lowest, leaves[1] + 30)
    return lowest + 10


def _pill(x: float, y: float, words: str) -> str:
    half = text_width(words, TEXT) / 2 + 10
    return _rect(x - half, y, 2 * half, 24, PAPER, LINE, 12) + _text(x, y + 16, words, TEXT, anchor="middle")


def _caption(network: Network, width: float, ink: list[str]) -> float:
    """Name, cost, source and edits above the drawing; the y below them."""
    ink.append(_text(PAD, 28, network.name, TITLE, weight="bold"))
    field = network.receptive_field
    sees = f"{field} × {field}" if isinstance(field, int) and len(network.input_shape) == 3 else str(field)
    cost = f"{network.params:,} parameters · {network.macs:,} MACs · one place of the last map sees {sees} pixels"
    heads = [f"{head.at} (loss × {head.weight:g})" for head in network.heads]
    notes = [cost, network.source, f"While training, also a classifier at {' and '.join(heads)}" if heads else "", *network.provenance]
    y = 34.0
    for note in notes:
        for line in _wrapped(note, width - 2 * PAD, TEXT):
            y += 16
            ink.append(_text(PAD, y, line, TEXT, color=FAINT))
    return y + 14


def _wrapped(text: str, width: float, size: int) -> list[str]:
    """`text` in lines that are no wider than `width`, broken between words."""
    lines: list[str] = []
    for word in text.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _legend(columns: list[Column], width: float, y: float, ink: list[str]) -> float:
    """The colours that occur, below the drawing; the y below them."""
    seen = {color for column in columns for band in column.bands for color in _colors(band.node)}
    x = float(PAD)
    for color, (fill, line) in COLORS.items():
        if color not in seen:
            continue
        room = 20 + text_width(color, SMALL) + 16
        if x > PAD and x + room > width:
            x, y = float(PAD), y + 18
        ink.append(_rect(x, y, 14, 14, fill, line, 3))
        ink.append(_text(x + 20, y + 11, color, SMALL, color=FAINT))
        x += room
    return y + 24


def _colors(node: Node) -> set[str]:
    if isinstance(node, Box):
        return {node.color}
    if isinstance(node, Wire):
        return set()
    children = node.nodes if isinstance(node, Stack) else node.branches if isinstance(node, Split) else (node.node,)
    return {color for child in children for color in _colors(child)}
