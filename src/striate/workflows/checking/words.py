"""The report of a check as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from striate.core.tables import aligned
from striate.core.text import Lines, in_lines

if TYPE_CHECKING:
    from striate.workflows.checking.record import CheckReport

MOST = 12  # classes that are listed
HEADS = {"multilabel": "label", "segment": "pixels of"}  # of the first column


def summary(report: CheckReport) -> Lines:
    """Counts, findings, and where the page is."""
    splits = ", ".join(f"{count:,} {split}" for split, count in report.splits.items())
    sizes = (
        f"{report.sizes['smallest']} to {report.sizes['largest']} (median {report.sizes['median']})" if report.sizes else "none readable"
    )
    kinds = ", ".join(f"{name} {count:,}" for counts in (report.formats, report.modes) for name, count in counts.items())
    lines = [
        f"{report.data}: {report.num_images:,} pictures ({splits}){_targets(report)}",
        f"sizes    {sizes}",
        f"kinds    {kinds}",
    ]
    lines += [f"numbers  {name} {words}" for name, words in report.numbers.items()]
    if report.judged is not None:
        low, high = report.judged.accuracy_interval
        right = f"{report.judged.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f})"
        lines.append(f"labels   a linear classifier on features of the installed network names {right} right")
    lines.append("")
    if report.classes:
        names = list(report.classes)[:MOST]
        rows = [[name, *(f"{counts.get(name, 0):,}" for counts in report.class_counts.values())] for name in names]
        lines += aligned(
            [HEADS.get(report.task, "class"), *report.class_counts], rows, set(range(1, len(report.class_counts) + 1))
        ).splitlines()
        lines += [f"and {len(report.classes) - MOST:,} classes more"] if len(report.classes) > MOST else []
        lines.append("")
    for finding in report.findings:
        lines += [f"{finding.severity}: {finding.message}", f"  {finding.remedy}"]
    if not report.findings:
        lines.append("nothing found")
    lines += ["", f"page     {report.page}"]
    if report.fix_list:
        lines.append(f"list     {report.fix_list}: {report.num_dropped:,} to drop; edit it, then train with `drop={report.fix_list!r}`")
    return in_lines([*lines, ""])


def _targets(report: CheckReport) -> str:
    """The number of classes, in words; nothing where numbers are estimated."""
    if not report.classes:
        return ""
    return f", {len(report.classes):,} {'labels' if report.task == 'multilabel' else 'classes'}"
