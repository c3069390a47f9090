"""The verbs that ship a trained model: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.apps.cli.app import DataDir, Download, Json, NamedData, OwnData, Run, SkipUnreadable, app, one_data
from striate.apps.cli.output import print_report, say


@app.command("export", short_help="Export a model for other programs, and check its answers.")
def export_command(
    run: Run,
    data: OwnData = None,
    named: NamedData = None,
    file_format: Annotated[
        Literal["onnx", "html"], typer.Option("--format", help="Format of the file; html: a page that classifies pictures, offline.")
    ] = "onnx",
    precision: Annotated[
        Literal["float32", "float16", "int8"] | None, typer.Option(help="Of the weights [default: float32; html: float16].")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The file [default: RUN/export/model.onnx, or .html].")] = None,
    images: Annotated[int, typer.Option(min=1, help="Number of pictures of the val split to compare the answers on, at most.")] = 256,
    max_difference: Annotated[
        float | None,
        typer.Option(help="Largest difference of a probability between the file's answers and the model's [default: 0.0001; html: 0.02]."),
    ] = None,
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Export a model with its preprocessing, and refuse to if the file's answers differ from the model's."""
    from striate.workflows.recipes.checked import request_of
    from striate.workflows.shipping.export import ExportRequest, export
    from striate.workflows.shipping.words import summary

    request = request_of(ExportRequest, locals(), data=one_data(data, named), format=file_format)
    print_report(export(request, say=say), summary, as_json=as_json)
