"""A comparison as a table, as text, and its pictures as CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.core.reports import write_files
from striate.core.tables import csv_text
from striate.core.text import Lines, in_lines
from striate.workflows.profiling.words import memory_text, sees

if TYPE_CHECKING:
    from pathlib import Path

    from striate.workflows.evaluation.compare import CompareReport

SHOWN = 20  # differing pictures that the summary names


def write_differences(path: Path, report: CompareReport) -> None:
    """Write the pictures on which the models differ as CSV."""
    header = ["path", "label", *(one.name for one in report.subjects)]
    rows = [[one.path, one.label, *one.answers] for one in report.differences]
    write_files(path.parent, {path.name: csv_text(header, rows)})


def table(report: CompareReport) -> tuple[list[str], list[list[str]], set[int]]:
    """The comparison as a table: heading, rows, and the right-aligned columns."""
    heading = ["network", "input", "params", "MACs", "FLOPs", "field", "training"]
    timed = any(one.latency for one in report.subjects)
    heading += ["p50 ms", "p99 ms"] if timed else []
    heading += ["accuracy", "95 % interval"] if report.num_images else []
    rows = []
    for one in report.subjects:
        row = [one.name, "x".join(map(str, one.input_shape)), f"{one.totals.params:,}", f"{one.totals.macs:,}", f"{one.totals.flops:,}"]
        row += [sees(one.totals, described=True) if one.described else "-", memory_text(one.totals.training_memory_bytes)]
        if timed:
            row += [f"{one.latency.latency_ms_p50:.2f}", f"{one.latency.latency_ms_p99:.2f}"] if one.latency else ["-", "-"]
        if one.accuracy is not None and one.accuracy_interval is not None:
            row += [f"{one.accuracy:.4f}", f"{one.accuracy_interval[0]:.4f} to {one.accuracy_interval[1]:.4f}"]
        rows.append(row)
    return heading, rows, set(range(2, len(heading)))


def summary(report: CompareReport) -> Lines:
    """The lines below the table."""
    noun = report.kind or "pictures"
    lines = [f"{report.num_images:,} {noun}, {report.split} split of {report.data}"] if report.num_images else []
    for pair in report.pairs:
        counts = f"correct only in one: {pair.first} {pair.first_only:,}, {pair.second} {pair.second_only:,}"
        lines.append(f"{counts}; difference {pair.accuracy_difference:+.4f}, McNemar's exact p = {pair.p_value:.3g}")
    if report.num_images:
        lines.append(f"the models differ on {len(report.differences):,} {noun}" + (f": {report.output}" if report.output else ""))
    lines += [f"  {one.path}: {one.label}; answered {', '.join(one.answers)}" for one in report.differences[:SHOWN]]
    if len(report.differences) > SHOWN:
        lines.append(f"  and {len(report.differences) - SHOWN:,} more: `output='FILE.csv'` lists all")
    return in_lines([*lines, ""] if lines else [])
