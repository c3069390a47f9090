"""A diagnosis as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.text import Lines, in_lines

if TYPE_CHECKING:
    from striate.workflows.diagnosis.diagnose import DiagnoseReport

DATA_NOT_RECORDED = "the data: the run does not record what the check of its data found before the training"


def summary(report: DiagnoseReport) -> Lines:
    """The report as text."""
    lines = [f"{report.run}: {report.epochs} epochs, {report.looks} updates sampled during training, {report.batches} batches run again"]
    for finding in report.findings:
        place = f" at {finding.where}" if finding.where else ""
        lines += [
            "",
            f"{finding.severity}: {finding.kind.replace('_', ' ')}{place}",
            f"  seen   {finding.message}",
            f"  cause  {finding.cause}",
            f"  try    {finding.remedy}",
        ]
        if finding.consequences:
            lines.append(f"  brings {', '.join(kind.replace('_', ' ') for kind in finding.consequences)}")
        if finding.picture:
            lines.append(f"  shown  {Path(report.output) / finding.picture}")
    for found in report.data:
        lines += ["", f"{found.severity}: {found.kind.replace('_', ' ')}", f"  seen   {found.message}", f"  try    {found.remedy}"]
    if not report.findings and not report.data:
        lines.append("nothing found")
    if not report.data_is_recorded:
        lines += ["", DATA_NOT_RECORDED]
    if report.withdrawn:
        lines += ["", "reported during training, and withdrawn:"]
        lines += [f"  {one.kind.replace('_', ' ')}: {one.reason}" for one in report.withdrawn]
    return in_lines([*lines, ""])
