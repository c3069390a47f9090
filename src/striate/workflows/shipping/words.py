"""Exported files in words: the text of the report, and their facts on the card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.text import Lines, in_lines
from striate.models.exported import ONNX
from striate.workflows.shipping.card import CARD

if TYPE_CHECKING:
    from striate.workflows.shipping.export import ExportReport


def summary(report: ExportReport) -> Lines:
    """The report as text."""
    found = report.gate
    counted = f"{found.num_images:,} pictures, {found.num_hard} of them of odd sizes and kinds"
    largest = f"largest difference of a probability {found.max_difference:.1g}"
    if found.program:
        speed = f"{found.milliseconds or 0:.0f} ms a picture"
        compared = [
            f"compared with {report.model} on {counted}: {found.agreement:.2%} of the answers agree, {largest}",
            f"in {found.program}, {speed}, {found.requests} requests to other places",
        ]
    else:
        compared = [
            f"the same answers as {report.model} for {counted},",
            f"alone and in batches of {', '.join(map(str, found.batches[1:]))}; {largest}",
        ]
    lines = [
        f"{report.network} as {report.format}, {report.precision}: {report.size_bytes / 1e6:.1f} MB",
        *compared,
        f"file: {report.output}",
        f"what was compared: {report_file(Path(report.output))}",
        f"card: {Path(report.output).with_name(CARD)}",
    ]
    return in_lines([*lines, ""])


def file_facts(report: ExportReport) -> dict[str, str]:
    """The facts about the file for the card."""
    found = report.gate
    return {
        "format": f"{report.format}, weights in {report.precision}, {report.size_bytes / 1e6:.1f} MB",
        "SHA-256": report.sha256,
        "compared with the model on": f"{found.num_images:,} pictures, {found.num_hard} of them of odd sizes and kinds",
        "equal answers": f"{found.agreement:.2%}",
        "largest difference of a probability": f"{found.max_difference:.1g}, of {found.limit:g} allowed",
    }


def report_file(output: Path) -> Path:
    """The report beside the file: model.json of model.onnx, model.html.json of model.html."""
    return output.with_suffix(".json") if output.suffix == ONNX else output.with_name(f"{output.name}.json")
