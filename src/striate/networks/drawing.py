"""The drawing of a network, as SVG text that any browser or editor shows.

The outermost parts are bands, from top to bottom and then in the next column. In a band, what comes later stands below, and what runs
side by side stands side by side.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from striate.core.text import printable
from striate.networks.layers.foreign import Foreign
from striate.networks.layout import (
    GAP,
    PAD,
    SMALL,
    TEXT,
    Column,
    aside_place,
    band_height,
    box_lines,
    branch_places,
    columns_of,
    count_width,
    count_words,
    extent,
    foot_words,
    merge_width,
    merge_words,
    notes_of,
    pill_width,
    size_words,
    text_width,
)
from striate.networks.opened import opened_bands
from striate.networks.sketch import Aside, Box, Frame, Node, Split, Stack, Wire, sketch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from striate.networks.network import Network

FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
TITLE = 18  # font size in pixels
TIED = "\u00a0"  # a space at which no line is broken
PAPER, INK, FAINT, LINE = "#ffffff", "#1d2733", "#5b6673", "#6b7785"
BAND_FILL, FRAME_FILL, FRAME_LINE = "#f3f5f8", "#e8ecf1", "#c3ccd6"
COLORS = {  # what boxes are about -> fill, outline
    "convolution": ("#cfe3fb", "#4a86c8"),
    "pooling": ("#fbd9c6", "#c96f3b"),
    "fully connected": ("#dfd3f6", "#7d5fc0"),
    "normalization, activation": ("#d5efd0", "#5a9e4b"),
    "resizing": ("#cdeeea", "#3c9a8f"),
    "other": ("#f6e8b0", "#b3932c"),
}
ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    f'<path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker></defs>'
)


def draw_svg(network: Network, *, width_px: int = 1200) -> str:
    """The drawing of `network` as SVG text.

    Boxes are convolutions and other layers with the normalization and activation that follow; under the words stands the size that comes
    out, where it changes. Equal parts in a row are drawn once. Of a network without a description the torch modules inside are drawn, but
    not how their outputs are joined.

    Args:
        network: Any network that describes itself.
        width_px: The width to keep to where there is a choice; a part that is wider makes the drawing wider.

    Returns:
        One `<svg>` element with a width and a height in pixels, on a ground of its own: readable on light and dark pages.

    Raises:
        ShapeError: the network does not fit its input; names the layer.
    """
    pills = [f"input {size_words(network.input_shape)}", f"output {size_words(network.output_shape)}"]
    foreign = any(isinstance(child, Foreign) for _, child in network.root.children)
    bands = opened_bands(network.rows) if foreign else sketch(network)
    columns = columns_of(bands, width_px, max(map(pill_width, pills)) / 2)
    width = max(sum(column.width + PAD for column in columns) + PAD, 420)
    ink: list[str] = []
    top = _caption(network, width, ink)
    bottom = max(_draw_columns(columns, pills, top, ink), top)
    height = _legend(columns, width, bottom + GAP, ink)
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-family="{FONT}">',
            f"<title>{escape(printable(network.name))}</title>",
            ARROW,
            f'<rect width="{width:g}" height="{height:g}" rx="6" fill="{PAPER}"/>',
            *ink,
            "</svg>\n",
        )
    )


class Drawing(str):
    """SVG text that a notebook shows as a picture."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def _text(x: float, y: float, words: str, size: int, *, anchor: str = "start", color: str = INK, weight: str = "") -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    middle = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}"{middle}{bold} fill="{color}">{escape(printable(words))}</text>'


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
            y += extent(child).height
    elif isinstance(node, Frame):
        _draw_frame(node, x, y, ink)
    elif isinstance(node, Split):
        _draw_split(node, x, y, ink)
    elif isinstance(node, Aside):
        _draw_aside(node, x, y, ink)


def _draw_box(box: Box, x: float, y: float, ink: list[str]) -> None:
    room = extent(box)
    fill, line = COLORS[box.color]
    ink.append(_rect(x - room.left, y, room.left + room.right, room.height, fill, line))
    count = count_width(box.times)
    if count:
        ink.append(_text(x + room.right - 8, y + 17, count_words(box.times), TEXT, anchor="end", weight="bold"))
    y += 4
    for words, size in box_lines(box):
        y += size + 4
        ink.append(_text(x - count / 2 if size == TEXT else x, y - 3, words, size, anchor="middle", color=INK if size == TEXT else FAINT))


def _draw_frame(frame: Frame, x: float, y: float, ink: list[str]) -> None:
    room, inner = extent(frame), extent(frame.node)
    ink.append(_rect(x - room.left, y, room.left + room.right, room.height, FRAME_FILL, FRAME_LINE))
    ink.append(_text(x - room.left + 8, y + 14, frame.title, SMALL, color=FAINT))
    ink.append(_text(x + room.right - 8, y + 15, count_words(frame.times), TEXT, anchor="end", weight="bold"))
    ink.append(_path([(x, y), (x, y + 22)], arrow=_starts_with_box(frame.node)))
    _draw(frame.node, x, y + 22, ink)
    ink.append(_path([(x, y + 22 + inner.height), (x, y + room.height)]))
    if frame.shape:
        ink.append(_text(x + 8, y + room.height - 7, foot_words(frame), SMALL, color=FAINT))


def _draw_split(split: Split, x: float, y: float, ink: list[str]) -> None:
    rooms = [extent(branch) for branch in split.branches]
    places = branch_places(split, rooms)
    top, half = y + 18, merge_width(split) / 2
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
    ink.append(_text(x, centre + 4, merge_words(split), TEXT, anchor="middle"))


def _draw_aside(aside: Aside, x: float, y: float, ink: list[str]) -> None:
    """Draw a side branch where the line through the network is at (x, y), and that line past it."""
    room = extent(aside.node)
    place, end = x + aside_place(aside, room), y + 18 + room.height
    ink.append(_path([(x, y), (x, y + extent(aside).height)]))
    ink.append(_path([(x, y + 7), (place, y + 7), (place, y + 18)], arrow=_starts_with_box(aside.node)))
    ink.append(f'<circle cx="{x:g}" cy="{y + 7:g}" r="3" fill="{LINE}"/>')
    _draw(aside.node, place, y + 18, ink)
    ink += [_path([(place, end), (place, end + GAP)], arrow=True), _pill(place, end + GAP, aside.words)]


def _draw_columns(columns: list[Column], pills: list[str], top: float, ink: list[str]) -> float:
    """Draw the bands and the line through all of them, from the first of `pills` to the second; the y below the lowest."""
    left, lowest = float(PAD), top
    leaves: tuple[float, float] | None = None  # where the column before ends
    for column in columns:
        width = column.width
        x = left + column.margin + column.left
        y = top + 34
        if leaves is None:
            ink += [_pill(x, top + 2, pills[0]), _path([(x, top + 26), (x, y)])]
        else:
            turn = left - PAD / 2
            ink.append(_path([leaves, (leaves[0], leaves[1] + 8), (turn, leaves[1] + 8), (turn, top + 14), (x, top + 14), (x, y)]))
        for band, room in zip(column.bands, column.rooms, strict=True):
            height = band_height(band, room)
            inset = (height - room.height) / 2
            ink.append(_rect(left, y, width, height, BAND_FILL))
            for index, (words, size) in enumerate(notes_of(band)):
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
        ink.append(_pill(leaves[0], leaves[1] + 6, pills[1]))
        lowest = max(lowest, leaves[1] + 30)
    return lowest + 10


def _pill(x: float, y: float, words: str) -> str:
    half = pill_width(words) / 2
    return _rect(x - half, y, 2 * half, 24, PAPER, LINE, 12) + _text(x, y + 16, words, TEXT, anchor="middle")


def _caption(network: Network, width: float, ink: list[str]) -> float:
    """Name, cost, source and edits above the drawing; the y below them."""
    ink.append(_text(PAD, 28, network.name, TITLE, weight="bold"))
    field = network.receptive_field
    sees = "×".join(map(str, field)) if isinstance(field, tuple) else "×".join([str(field)] * (len(network.input_shape) - 1))
    cost = f"{network.params:,} parameters · {network.macs:,} MACs · receptive{TIED}field{TIED}{sees or 'all'}"
    heads = [f"{head.at} (loss × {head.weight:g})" for head in network.heads]
    notes = [cost, network.source, f"While training, also a classifier at {' and '.join(heads)}" if heads else "", *network.provenance]
    y = 34.0
    for note in filter(None, notes):
        for line in _wrapped(note, width - 2 * PAD, TEXT):
            y += 16
            ink.append(_text(PAD, y, line.replace(TIED, " "), TEXT, color=FAINT))
    return y + 14


def _wrapped(text: str, width: float, size: int) -> list[str]:
    """`text` in lines that are no wider than `width`, broken between words."""
    lines: list[str] = []
    for word in text.split(" "):
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
