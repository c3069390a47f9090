"""The style sheet of every picture: colours, fonts and sizes, quiet axes, names that fit, legends beside the data, empty panels.

Drawn with matplotlib's Figure objects: pyplot, its windows and the user's style settings are not touched. Texts at the same place of
every picture have the same size; titles stand at the left; legends stand outside the data; what has nothing to show says so in words.
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

DPI = 120
RIGHT, WRONG, TRAIN, VAL = "#222222", "#b3261e", "#7a7a7a", "#0072b2"
FAINT, GRID, RULE = "#5a5a5a", "#e6e6e6", "#999999"  # of notes, of the grid, of lines to compare with
# Those of Okabe and Ito (2008) without yellow, which white paper swallows: colour-blind people tell them apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")
TEN = (*COLOURS, "#882255", "#8c8c8c", "#f0e442")  # of ten kinds, for areas and large marks
TINTS = ("#d6e8f3", "#fae3d3")  # of the first two, for areas
DASHES, MARKS = ("-", "--", "-.", ":"), "os^Dv"  # what tells apart where colours are used up
TITLE, LABEL, SMALL, LEAST = 11, 9, 8, 6  # sizes in points
MOST_NAMED = 24  # entries of a legend
LONGEST = 24  # characters of a name in a legend or at an axis
# Tried in this order for characters that the first has not; those not installed are left out.
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "WenQuanYi Zen Hei")
SETTINGS: Any = {  # of matplotlib
    "text.parse_math": False,  # a $ belongs to a name
    "figure.dpi": DPI,
    "figure.titlesize": TITLE,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": LABEL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 3.5,
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """The style sheet with fonts that are installed, whatever the user's settings; theirs come back afterwards."""
    import matplotlib
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)  # a box is drawn in its place
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        matplotlib.rcParams["font.family"] = [font for font in FONTS if font in installed]
        yield


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file, without a date."""
    file = io.BytesIO()
    if figure.get_layout_engine():
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(figure).print_png(file, metadata={"Software": None})  # type: ignore[no-untyped-call]  # savefig draws twice
    else:
        figure.savefig(file, format="png", bbox_inches="tight", pad_inches=0.15, facecolor="white", metadata={"Software": None})
    return file.getvalue()


# ---- figures and axes


def panels(rows: int, columns: int, *, size: tuple[float, float], title: str = "", dpi: int = DPI, **of_grid: Any) -> tuple[Figure, Any]:
    """A figure of `size` inches under a title, and its axes (rows, columns); a title too long for it is shortened."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    if title:
        figure.suptitle(fitted(title, size[0] - 0.3, TITLE), x=0.01, ha="left", parse_math=False)
    return figure, figure.subplots(rows, columns, squeeze=False, **of_grid)


def plain(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Quiet axes: a light grid below, no box above and to the right, a title at the left."""
    axes.grid(visible=True, linewidth=0.8)
    axes.set_title(title, parse_math=False)
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def bare(axes: Axes, *, title: str = "") -> None:
    """Axes of an image: no ticks, a thin box."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="#bbbbbb")
    axes.set_title(title, parse_math=False)


def empty(axes: Axes, words: str) -> None:
    """A panel without data: no ticks, no box, and a text that says what is missing."""
    axes.clear()
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=LABEL, color=FAINT, parse_math=False)


def powers(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers: also 2 and 5 where it spans little more than one power of ten, and all where it spans less."""
    axes.set_xscale("log") if which == "x" else axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis

    def between(x: float, _place: float | None = None) -> str:
        low, high = axis.get_view_interval()
        return f"{x:g}" if high < 4 * low or (high < 30 * low and f"{x:e}"[0] in "25") else ""

    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(between)


def whole_epochs(axes: Axes, epochs: Sequence[float] | np.ndarray) -> None:
    """The axis of epochs: whole numbers, half an epoch of room at both ends."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)


# ---- series


def look(place: int) -> dict[str, Any]:
    """Colour, dash and mark of the series at `place`: no two of 140 are alike, nor two of any seven for the colour-blind."""
    turn = place // len(COLOURS)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": DASHES[turn % len(DASHES)],
        "marker": MARKS[turn % len(MARKS)],
    }


def curve(axes: Axes, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, *, form: str = ".3g", **of_line: Any) -> None:
    """A line with a mark at each point where they are few; of a single point the mark, large, with its value."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    finite = np.isfinite(y)
    if finite.sum() > 1:
        mark = of_line.pop("marker", "o") if len(x) <= 40 else of_line.pop("marker", "") and ""
        axes.plot(x, y, marker=mark, **of_line)
        return
    axes.plot(x[finite], y[finite], **{**of_line, "marker": of_line.get("marker") or "o", "markersize": 6})
    for place, value in zip(x[finite], y[finite], strict=True):
        axes.annotate(f"{value:{form}}", (place, value), xytext=(7, 0), textcoords="offset points", va="center", fontsize=SMALL)


def beside(axes: Axes, *, title: str = "", handles: Sequence[Artist] | None = None, names: Sequence[str] | None = None) -> Legend | None:
    """The legend to the right of the data, of at most 24 names, the rest counted; none without series."""
    if handles is None or names is None:
        handles, names = axes.get_legend_handles_labels()
    if not handles:
        return None
    shown, words = _named(handles, names, 32)
    legend = axes.legend(shown, words, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2, title=title or None)
    as_written(legend)
    return legend


def below(figure: Figure, handles: Sequence[Artist], names: Sequence[str]) -> Legend | None:
    """The legend that all panels share, below them, in as many columns as the figure's width holds."""
    if not handles:
        return None
    shown, words = _named(handles, names, 48)
    each = 0.6 + max(width_of(word, SMALL) for word in words)  # inches
    columns = max(1, min(len(words), int((figure.get_figwidth() - 0.2) / each)))
    legend = figure.legend(shown, words, loc="outside lower center", ncols=columns)
    as_written(legend)
    return legend


def _named(handles: Sequence[Artist], names: Sequence[str], longest: int) -> tuple[list[Artist], list[str]]:
    from matplotlib.lines import Line2D

    shown, words = list(handles), [short_name(name, longest) for name in names]
    if len(shown) > MOST_NAMED:
        rest = len(shown) - MOST_NAMED + 1
        shown, words = [*shown[: MOST_NAMED - 1], Line2D([], [], linestyle="")], [*words[: MOST_NAMED - 1], f"and {rest:,} more"]
    return shown, words


def as_written(legend: Legend) -> None:
    """Show the names of a legend as they are: a $ begins no formula."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def colour_bar(figure: Figure, image: ScalarMappable, axes: Axes | Sequence[Axes], label: str, *, high: float = 1.0) -> None:
    """A colour bar beside the axes, with the unit; `high` is its share of the height."""
    bar = figure.colorbar(image, ax=axes, fraction=0.06, pad=0.02, shrink=high)
    bar.outline.set_visible(False)
    bar.set_label(label)


# ---- words


def name_ticks(axis: Axis, names: Sequence[str], inches: float, *, longest: int = LONGEST, upright: bool = False) -> None:
    """Names at an axis of `inches`: each that fits, else every n-th, which the label of the axis then says.

    Along the lower axis they are rotated if they are too wide, or always if `upright`; each is shortened in its middle to `longest`.
    """
    if not names:
        axis.set_ticks([])
        return
    every = math.ceil(len(names) * 0.125 / inches - 1e-9)
    chosen = range(0, len(names), every)
    words = [short_name(names[k], longest) for k in chosen]
    size = min(float(SMALL), max(LEAST, 72 * 0.8 * inches * every / len(names)))
    along = axis is axis.axes.xaxis
    upright = along and (upright or max(width_of(word, size) for word in words) > 0.9 * inches * every / len(names))
    axis.set_ticks(list(chosen), words, fontsize=size, rotation=90 if upright else 0, parse_math=False)
    axis.set_tick_params(length=2)
    if every > 1:
        axis.set_label_text(f"{axis.get_label_text()} (one in {every} named)".strip())


def width_of(text: str, size: float) -> float:
    """Inches that the widest line of a text takes at a size in points, within `drawing`."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer, font = RendererAgg(1, 1, 72), FontProperties(size=size)  # type: ignore[no-untyped-call]
    return max(float(renderer.get_text_width_height_descent(line, font, ismath=False)[0]) / 72 for line in drawable(text).split("\n"))  # type: ignore[no-untyped-call]


def fitted(text: str, inches: float, size: float) -> str:
    """The text with each line shortened in its middle until it is at most `inches` wide, within `drawing`."""
    lines = []
    for line in drawable(text).split("\n"):
        short, longest = line, len(line)
        while longest > 8 and width_of(short, size) > inches:
            longest = min(longest - 1, int(longest * max(0.5, inches / width_of(short, size))))
            short = short_name(line, longest)
        lines.append(short)
    return "\n".join(lines)


def short_name(name: str, longest: int = 20) -> str:
    """A name cut in its middle, since long names differ at their ends."""
    name = drawable(name).replace("\n", " ")
    keep = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[: longest - 1 - keep]}…{name[-keep:]}"


def heading(title: str) -> str:
    """A title whose lines are at most 90 characters long."""
    return "\n".join(short_name(line, 90) for line in title.split("\n"))


def drawable(text: str) -> str:
    """Text without characters that cannot be drawn; line breaks stay."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)
