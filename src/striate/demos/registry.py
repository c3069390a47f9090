"""The demos by name, and the one way to run one: `demonstrate(request)`.

`train` is not among the modules here: it is the main job, and lives in `striate.demos.train`.
"""

from __future__ import annotations

import importlib
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.calls import call_as_in
from striate.core.errors import UnknownNameError
from striate.core.files import write_atomically, write_json
from striate.core.reports import shown_short
from striate.core.tables import aligned
from striate.core.text import Lines, in_lines
from striate.demos.shown import Setting, Shown, Table, word
from striate.workflows.training.runs import new_run_folder


@dataclass(frozen=True)
class Demo:
    """One line of the list."""

    name: str
    shows: str


WIDTH = 100  # columns of what is printed
MAIN = Demo("train", "the main task: a network learns scanned digits and is tested on held-out ones")

# The module of a demo has its name, with _ for -, and a function `show(setting) -> Shown`.
# fmt: off
DEMOS = (
    Demo("perceptron",      "its line moves with each mistake; the gates it can learn, and XOR, which it cannot"),
    Demo("xor",             "two hidden units bend the plane until one line separates XOR"),
    Demo("backpropagation", "one update of a small network by hand: outputs, errors, new weights, each number shown"),
    Demo("hopfield",        "noisy digits converge to stored ones while the energy decreases; the capacity of the memory"),
    Demo("som",             "a net unfolds over a square; digits are laid out so that neighbours look alike"),
    Demo("art",             "vigilance sets how many categories form, and how large each may be"),
    Demo("svm",             "the widest margin between two classes, and the effect of a kernel"),
    Demo("convolution",     "forward and backward by hand, and ten kinds of kernels side by side"),
    Demo("folded",         "a convolution as one product of matrices: the kernel folded, or the image in windows"),
    Demo("pooling",         "forward and backward by hand; the effect of shifting the image"),
    Demo("heads",          "a dense head beside the global average and the global maximum: weights, sizes, shifts"),
    Demo("activations",     "every activation with its slope, and how a saturated sigmoid slows learning"),
    Demo("losses",         "the terrains of squared error and cross-entropy; softmax beside the hard maximum"),
    Demo("initialisation",  "how 50 layers change a signal, and why equal weights stay equal"),
    Demo("batch-norm",     "the values inside a deep network before and after batch normalization"),
    Demo("optimizers",      "the paths of seven optimizers over a saddle, Beale's function and a narrow valley"),
    Demo("dropout",         "the units that are dropped, the ensemble that this trains, and its effect with few samples"),
    Demo("receptive-field", "the receptive field of stacks of layers, and the part of it that matters"),
    Demo("rbm",             "the strokes that a Boltzmann machine learns, and digits that it generates"),
    Demo("dbn",             "a deep belief network classifies digits, and generates the digit of a label"),
    Demo("unrolled",       "a recurrent network, folded and unrolled over time, by hand and by torch"),
    Demo("memory",          "how long Elman's cells and LSTM remember a bit"),
    Demo("text",            "an Elman network reads a small language: which word follows which, and which are alike"),
    Demo("autoencoder",     "digits compressed to a few numbers, and noise removed"),
    Demo("vae",             "the manifold of digits that two latent numbers span"),
    Demo("gan",             "an adversarial network learns clusters of points; trained too fast, it loses some"),
    Demo("cdcgan",          "an adversarial network generates the digit of a label"),
)
# fmt: on


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class DemoRequest:
    """The demo to run, and the folder of its pictures: `runs/demo/NAME-NNN` by default."""

    name: str
    output: Path | None = None
    seed: int = 0
    short: bool = False


@shown_short
@dataclass(frozen=True, kw_only=True)
class DemoReport:
    """The numbers and pictures of a demo."""

    name: str
    shows: str
    seconds: float
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    output: str
    files: tuple[str, ...]


def demonstrate(request: DemoRequest, *, say: Callable[[str], None] = lambda _: None) -> DemoReport:
    """Run a demo and write its pictures and its numbers.

    Raises:
        UnknownNameError: there is no such demo.
        UsageError: the output folder is not empty.
        EnvironmentFault: it cannot be written.
    """
    known = {demo.name: demo for demo in DEMOS}
    if request.name not in known:
        raise UnknownNameError("demo", request.name, [MAIN.name, *known], "`striate demo` lists all.")
    module = importlib.import_module(f"striate.demos.{request.name.replace('-', '_')}")
    show = cast("Callable[[Setting], Shown]", module.show)
    folder = new_run_folder("demo", request.name, request.output)

    started = time.perf_counter()
    shown = show(Setting(seed=request.seed, short=request.short, say=say))
    for name, draw in shown.pictures.items():
        write_atomically(folder / name, draw())
    seconds = time.perf_counter() - started

    numbers = [{"title": table.title, "rows": [dict(zip(table.heading, row, strict=True)) for row in table.rows]} for table in shown.tables]
    write_json(folder / "numbers.json", numbers)
    return DemoReport(
        name=request.name,
        shows=known[request.name].shows,
        seconds=seconds,
        tables=shown.tables,
        notes=shown.notes,
        output=str(folder),
        files=tuple(str(folder / name) for name in shown.pictures),
    )


@call_as_in("striate.demo('hopfield')")
def demo(name: str, **fields: Any) -> DemoReport:
    """One of the classical networks or building blocks shown: `striate.demo("hopfield").tables`.

    Args:
        name: As `striate demo` lists them.
        **fields: The other fields of `DemoRequest`.

    Raises:
        UsageError: an unknown or bad field; and what `demonstrate` raises.
    """
    from striate.workflows.recipes.checked import with_checked_fields

    return demonstrate(with_checked_fields(DemoRequest, name=name, **fields))


def summary(report: DemoReport) -> Lines:
    """The report as text: its tables, notes, and the paths of the pictures."""
    lines = [*textwrap.wrap(f"{report.name}: {report.shows}", WIDTH), ""]
    for table in report.tables:
        lines += [table.title, text_of(table)]
    for note in report.notes:
        lines += textwrap.wrap(note, WIDTH)
    lines += ["", *(f"picture   {file}" for file in report.files), f"numbers   {report.output}/numbers.json", ""]
    return in_lines(lines)


def text_of(table: Table) -> Lines:
    """A table as aligned text; numbers stand right."""
    columns = [[name, *(word(row[place]) for row in table.rows)] for place, name in enumerate(table.heading)]
    right = [not any(isinstance(row[place], str) for row in table.rows) for place in range(len(columns))]
    heading, *rows = zip(*columns, strict=True)
    text = aligned(heading, rows, {place for place, aside in enumerate(right) if aside})
    return in_lines([*(f"  {line}" for line in text.splitlines()), ""])
