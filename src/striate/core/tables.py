"""Tables as text: aligned for a terminal, and as CSV."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Collection, Iterable, Sequence

from striate.core.text import Lines, encodable, in_lines, printable

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': r"\textquotedbl{}", "±": r"$\pm$",
}  # fmt: skip
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?(e[+-]?\d+)?", re.IGNORECASE)

LEAST_TEXT = 8  # letters to which a column of text is cut at least


def csv_text(header: Sequence[object], rows: Iterable[Sequence[object]], *, spreadsheet: bool = False) -> str:
    """A table as CSV, one line per row even where a cell holds line breaks that not every reader quotes for.

    Every cell is what it was, but for bytes of file names that are no text, which are escaped. With `spreadsheet` text that a
    spreadsheet would run stands behind an apostrophe.
    """
    lines = []
    for row in (header, *rows):
        cells = [encodable(cell) if isinstance(cell, str) else cell for cell in row]
        if spreadsheet:
            cells = [spreadsheet_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        line = io.StringIO(newline="")
        # Up to Python 3.12 a cell is quoted only for the line breaks that are named here.
        csv.writer(line, lineterminator="\r\n").writerow(cells)
        lines.append(line.getvalue().removesuffix("\r\n") + "\n")
    return "".join(lines)


def aligned(heading: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int]) -> Lines:
    """A table in columns, two spaces between them; those of `right` are set right. Lines are never wrapped."""
    table = [[printable(cell) for cell in row] for row in [heading, *rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(heading))]
    lines = []
    for row in table:
        cells = (cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        lines.append("  ".join(cells).rstrip() + "\n")
    return Lines("".join(lines))


def narrowed(
    heading: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int], width: int
) -> tuple[list[str], list[list[str]], tuple[str, ...]]:
    """The table as it fits `width` columns: the last columns of text are cut, or left out where less than `LEAST_TEXT` letters remain.

    Columns of numbers (`right`) and the first column stay whole.

    Returns:
        The heading, the rows, and the names of the columns that were left out.
    """
    table = [[printable(cell) for cell in row] for row in [heading, *rows]]
    left_out: list[str] = []
    for column in range(len(heading) - 1, 0, -1):
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        excess = sum(widths) + 2 * (len(widths) - 1) - width
        if excess <= 0 or column in right:
            continue
        room = widths[column] - excess
        if room >= max(LEAST_TEXT, len(table[0][column])):
            for row in table:
                row[column] = row[column] if len(row[column]) <= room else f"{row[column][: room - 1].rstrip()}…"
        else:
            left_out.insert(0, table[0][column])
            for row in table:
                del row[column]
    first, *others = table
    return first, others, tuple(left_out)


def html_table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a notebook's page; its text escaped."""
    head = "".join(f"<th>{html.escape(printable(cell))}</th>" for cell in heading)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(printable(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def latex_table(heading: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int], caption: str) -> Lines:
    """A LaTeX table with the rules of booktabs, its text escaped; for a document that loads booktabs."""
    columns = "".join("r" if i in right else "l" for i in range(len(heading)))
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{latex(caption)}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    for number, row in enumerate([heading, *rows]):
        lines += [" & ".join(map(latex, row)) + r" \\", *([r"\midrule"] if number == 0 else [])]
    return in_lines([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def latex(text: str) -> str:
    """`text` as LaTeX prints it: its own signs escaped, a minus before a number as a minus, not as a hyphen."""
    escaped = "".join(LATEX.get(sign, sign) for sign in printable(text))
    return re.sub(r"(?<![\w)-])-(?=\d)", "$-$", escaped)


def spreadsheet_cell(text: str) -> str:
    """`text`, after an apostrophe where a spreadsheet would take it for a formula and run it; a number such as -90 is none."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(text) else text
