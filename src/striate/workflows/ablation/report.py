"""An ablation as files: JSON, CSV, Markdown, HTML, and its curves on one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.intervals import least_sign_flip_p
from striate.core.reports import write_files
from striate.core.tables import aligned, csv_text, latex_table
from striate.core.text import Lines, command, in_lines
from striate.drawing.curves import plot_with_band
from striate.drawing.page import Section, code, document, figure, folded, pairs, table
from striate.drawing.style import MOST_NAMED, below, drawing, look, panels, plain, png_bytes, powers, whole_epochs

if TYPE_CHECKING:
    from striate.workflows.ablation.ablate import AblateReport
    from striate.workflows.ablation.rows import VariantRow

HEADING = ("variant", "parameters", "MACs", "val accuracy, 95 %", "difference", "p", "train loss", "gradient first/last", "seconds", "done")
SHORT_HEADING = ("variant", "params", "MACs", "accuracy", "95 %", "change", "p", "loss", "gradient", "seconds")
SIGNIFICANT = 0.05
MOST_BANDS = 8  # of the picture: more hide each other
LONGEST_NAME = 20  # characters of a variant's name on the line of its numbers


def write_tables(place: Path, report: AblateReport) -> None:
    """Write everything into the folder `place`."""
    picture = ablation_picture(report)
    tables = {"ablation.md": markdown_table(report), "ablation.csv": csv_table(report), "ablation.tex": latex_report(report)}
    drawn = {"ablation.png": picture} if picture is not None else {}
    write_files(place, {"ablation.json": report, **tables, **drawn, "ablation.html": page(report, picture)})


def cells(row: VariantRow, seeds: int) -> list[str]:
    """One row of the table as text."""
    return [
        row.name,
        f"{row.params:,}",
        f"{row.macs:,}",
        _with_bounds(row.accuracy, row.accuracy_interval),
        _with_bounds(row.difference, row.difference_interval, sign="+"),
        _number(row.p_corrected, ".3g"),
        _number(row.train_loss, ".4f"),
        _ratio(row.gradients_before),
        _number(row.seconds, ".1f"),
        f"{row.done}/{seeds}",
        _with_bounds(row.test_accuracy, row.test_accuracy_interval),
    ]


def full_table(report: AblateReport) -> tuple[tuple[str, ...], list[list[str]]]:
    """The heading and the rows of `cells`, with the column of test where it was measured."""
    heading = (*HEADING, *(["test accuracy, 95 %"] if measures_test(report) else []))
    return heading, [cells(row, report.seeds)[: len(heading)] for row in report.variants]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _with_bounds(value: float | None, bounds: tuple[float, float] | None, sign: str = "") -> str:
    if value is None:
        return "-"
    return f"{value:{sign}.4f}" + (f" ({bounds[0]:{sign}.4f} to {bounds[1]:{sign}.4f})" if bounds else "")


def _ratio(norms: dict[str, float]) -> str:
    """The gradient of the first weight by that of the last, before the first update: far below 1 where it vanishes."""
    values = list(norms.values())
    return f"{values[0] / values[-1]:.3g}" if values and values[-1] else "-"


def terminal_table(report: AblateReport) -> Lines:
    """The table on at most 100 columns: a long name has its own line above the numbers; below the table, the trials that failed."""
    names, rows = (*SHORT_HEADING, *(["test"] if measures_test(report) else [])), []
    for row in report.variants:
        numbers = [
            _counted(row.params),
            _counted(row.macs),
            _number(row.accuracy, ".4f"),
            "-" if row.accuracy_interval is None else "{:.3f}-{:.3f}".format(*row.accuracy_interval),
            _number(row.difference, "+.4f"),
            _number(row.p_corrected, ".2g"),
            _number(row.train_loss, ".4g"),
            _ratio(row.gradients_before),
            _number(row.seconds, ".1f"),
            _number(row.test_accuracy, ".4f"),
        ]
        rows.append([row.name if len(row.name) <= LONGEST_NAME else "", *numbers][: len(names)])
    heading, *lines = aligned(names, rows, range(1, len(names))).splitlines()
    table = [heading]
    for row, line in zip(report.variants, lines, strict=True):
        table += [line] if len(row.name) <= LONGEST_NAME else [row.name, line]
    return in_lines([f"{_about(report)}:", "", *table, "", _legend(report), *_problems(report), ""])


def summary(report: AblateReport) -> Lines:
    """The report as text."""
    lines = [
        terminal_table(report),
        f"{report.run}: {report.trials} trials, {report.seconds:.1f} s; tables, curves and page in {report.run}/report",
    ]
    if report.failed:
        again = command("striate", "ablate", "--resume", Path(report.run), "--retry-failed")
        lines.append(f"{report.failed} failed or hung; rerun them with: {again}")
    return in_lines([*lines, ""])


def _about(report: AblateReport) -> str:
    steps = {row.steps for row in report.variants}
    each = f" ({steps.pop():,} steps)" if len(steps) == 1 else ""
    return (
        f"{report.network} on {report.data}, {report.seeds} seed{'s' if report.seeds > 1 else ''} per variant, equal {report.budget}{each}"
    )


def _legend(report: AblateReport) -> Lines:
    pictures = f"the {report.num_val:,} pictures" if report.num_val else "the pictures"
    lines = [
        "accuracy on the validation split after the last epoch; gradient: of the first weight divided by that of the last, before training",
        f"95 %: over other seeds and other pictures than {pictures} of the split",
    ]
    if measures_test(report):
        lines.append("test: accuracy of the epoch that is the best on the validation split")
    return in_lines([*lines, few_seeds(report.seeds, sum(row.p_value is not None for row in report.variants))])


def few_seeds(seeds: int, comparisons: int = 1) -> str:
    """The limits of a number of seeds, in a sentence."""
    if seeds == 1:
        return "one seed: the intervals are those of the pictures alone, and chance cannot be told from effect; take 3 seeds or more"
    tests = f", corrected for {comparisons} comparisons (Holm)" if comparisons > 1 else ""
    p = f"p: paired t-test over the seeds{tests}"
    if seeds == 2:
        return f"{p}; two seeds say little about the spread, so intervals are wide and a small p means little: use 5 or more"
    if (least := least_sign_flip_p(seeds)) > SIGNIFICANT:
        return f"{p}; it assumes normally distributed accuracies: without that, {seeds} seeds give no p below {least:.2g}, 6 seeds 0.031"
    return p


def measures_test(report: AblateReport) -> bool:
    """Return whether the test split was requested."""
    return any(row.test_accuracy is not None for row in report.variants)


def latex_report(report: AblateReport) -> Lines:
    """The table for a paper."""
    heading = ["Variant", "Parameters", "MACs", "Accuracy (95 %)", "Difference (95 %)", "p"]
    heading += ["Test (95 %)"] if measures_test(report) else []
    rows = [[*row[:6], *row[len(HEADING) :]] for row in full_table(report)[1]]
    return latex_table(heading, rows, range(1, len(heading)), f"{_about(report)}. {few_seeds(report.seeds, len(rows) - 1)}.")


def _problems(report: AblateReport) -> list[str]:
    return [f"- {row.name}, {problem}" for row in report.variants for problem in row.problems]


def _counted(number: int) -> str:
    """Three digits and a unit: 23.5M."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)


def markdown_table(report: AblateReport) -> Lines:
    """The table, and below it the trials that failed."""
    heading, rows = full_table(report)
    lines = [_about(report), ""]
    lines += ["| " + " | ".join(heading) + " |", "| --- |" + " ---: |" * (len(heading) - 1)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    problems = _problems(report)
    return in_lines([*lines, "", *_legend(report).splitlines(), *([""] if problems else []), *problems, ""])


def csv_table(report: AblateReport) -> str:
    """One row per variant, numbers unrounded."""
    header = [
        *("variant", "params", "macs", "steps", "done", "accuracy", "accuracy_low", "accuracy_high"),
        *("difference", "difference_low", "difference_high", "p_value", "p_corrected", "train_loss", "seconds"),
        *("test_accuracy", "test_accuracy_low", "test_accuracy_high", "problems"),
    ]
    rows: list[list[object]] = []
    for row in report.variants:
        numbers = [row.accuracy, *(row.accuracy_interval or (None, None)), row.difference, *(row.difference_interval or (None, None))]
        numbers += [row.p_value, row.p_corrected, row.train_loss, row.seconds]
        numbers += [row.test_accuracy, *(row.test_accuracy_interval or (None, None))]
        shown = ["" if number is None else f"{number:.6g}" for number in numbers]
        rows.append([row.name, row.params, row.macs, row.steps, row.done, *shown, "; ".join(row.problems)])
    return csv_text(header, rows)


def page(report: AblateReport, picture: bytes | None) -> bytes:
    """One self-contained HTML page."""
    problems = [(row.name, problem) for row in report.variants for problem in row.problems]
    diffs = "".join(folded(row.name, code("\n".join(row.diff))) for row in report.variants if row.diff)
    sections = [
        Section("Variants", table(*full_table(report), "variants") + (figure(picture, "Curves", least_px=700) if picture else "")),
        *([Section("Not done", pairs(problems))] if problems else []),
        *([Section("What each edit changes", diffs)] if diffs else []),
    ]
    about = f"{_about(report)}. {'; '.join(_legend(report).splitlines())}."
    return document(f"Ablation of {report.network} on {report.data}", about, sections)


def ablation_picture(report: AblateReport) -> bytes | None:
    """Training loss, validation accuracy and the gradient by depth of all variants; None where no trial was done."""
    shown = [row for row in report.variants if row.curve]
    if not shown:
        return None
    with drawing():
        banded = report.seeds > 1 and len(shown) <= MOST_BANDS
        band = f" (band: standard deviation of {report.seeds} seeds)" if banded else ""
        rows = min(len(shown), MOST_NAMED)
        figure, ((losses, accuracies, gradients),) = panels(1, 3, size=(11.5, 4.2 + 0.06 * rows), title=_about(report))
        plain(losses, title=f"training loss{band}", y="loss (nats)")
        plain(accuracies, title=f"val accuracy{band}", y="accuracy (%)")
        plain(gradients, title="gradients before training", x="from the input (0) to the output (1)", y="norm of a weight's gradient (L2)")
        for place, row in enumerate(shown):
            epochs, spread = [point[0] for point in row.curve], row.curve_deviation if banded else ()
            plot_with_band(losses, epochs, [point[1] for point in row.curve], [point[1] for point in spread], label=row.name, **look(place))
            percent, half = [100 * point[3] for point in row.curve], [100 * point[3] for point in spread]
            plot_with_band(accuracies, epochs, percent, half, form=".1f", **look(place))
            depth = _shares(list(row.gradients_before.values()))
            gradients.plot(depth, [max(value, 1e-12) for value in row.gradients_before.values()], **look(place))
        powers(gradients, "y")
        every = [point[0] for row in shown for point in row.curve]
        for axes in (losses, accuracies):
            whole_epochs(axes, every)
        below(figure, losses.get_legend_handles_labels()[0], [row.name for row in shown])
        return png_bytes(figure)


def _shares(values: Sequence[float]) -> list[float]:
    return [i / max(1, len(values) - 1) for i in range(len(values))]
