"""Exported files in words: the text of the report, and their facts on the card."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.text import Lines, in_lines
from striate.models.runtimes import ONNX
from striate.workflows.runs.folder import RunFolder
from striate.workflows.shipping.card import CARD, Card

if TYPE_CHECKING:
    from striate.workflows.shipping.export import ExportReport

BOM = "bom.cdx.json"  # in a bundle
INPUTS = {"uint8": "pictures as they were decoded, of any size", "float32": "(N, C, H, W) in [0, 1], of the network's own size"}


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
        same = "the same answers as" if found.agreement == 1 else f"{found.agreement:.2%} of the answers of"
        ways = "" if report.input == "float32" else "alone and "
        compared = [
            f"{same} {report.model} for {counted},",
            f"{ways}in batches of {', '.join(map(str, found.batches[1:]))}; {largest}",
        ]
    if report.accuracy is not None:
        compared.append(report.accuracy.words)
    lines = [
        f"{report.network} as {report.format}, {report.precision}: {report.size_bytes / 1e6:.1f} MB",
        *compared,
        f"file: {report.output}",
        f"what was compared: {report_file(Path(report.output))}",
        f"card: {Path(report.output).with_name(CARD)}",
        f"bill of materials: {bom_file(Path(report.output))}",
    ]
    return in_lines([*lines, ""])


def file_facts(report: ExportReport) -> dict[str, str]:
    """The facts about the file for the card."""
    found = report.gate
    accuracy = {"accuracy": report.accuracy.words.removeprefix("accuracy ")} if report.accuracy is not None else {}
    return {
        "format": f"{report.format}, weights in {report.precision}, {report.size_bytes / 1e6:.1f} MB",
        "input": INPUTS[report.input],
        "SHA-256": report.sha256,
        "compared with the model on": f"{found.num_images:,} pictures, {found.num_hard} of them of odd sizes and kinds",
        "equal answers": f"{found.agreement:.2%}",
        "largest difference of a probability": f"{found.max_difference:.1g}, of {found.limit:g} allowed",
        **accuracy,
    }


def facts_of(card: Card, run: Path | None) -> dict[str, str]:
    """The facts of the model that stand in the file itself: where it comes from, and the licences."""
    config = RunFolder(run).config if run is not None else None
    known = {
        "model": Path(card.model).name,
        "model_sha256": card.weights_sha256,
        "run_config_sha256": hashlib.sha256(config.read_bytes()).hexdigest() if config is not None and config.is_file() else None,
        "data": Path(card.data).name if card.data else None,
        "data_licence": card.data_licence,
        "started_from": card.pretrained,
        "started_from_licence": card.pretrained_licence,
        "striate_version": card.versions["striate"],
    }
    return {name: value for name, value in known.items() if value is not None}


def report_file(output: Path) -> Path:
    """The report beside the file: model.json of model.onnx, model.html.json of model.html."""
    return output.with_suffix(".json") if output.suffix == ONNX else output.with_name(f"{output.name}.json")


def bom_file(output: Path) -> Path:
    """The bill of materials beside the file: model.onnx.cdx.json of model.onnx."""
    return output.with_name(f"{output.name}.cdx.json")
