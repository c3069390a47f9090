"""The verbs that ship a trained model: export, serve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from striate.apps.cli.app import DataDir, Device, Download, Json, NamedData, OwnData, Run, SkipUnreadable, app, one_data
from striate.apps.cli.output import print_data, print_report, say
from striate.core.text import json_text


@app.command("export", short_help="Export a model for other programs, and check its answers.")
def export_command(
    run: Run,
    data: OwnData = None,
    named: NamedData = None,
    file_format: Annotated[
        Literal["onnx", "torch", "openvino", "html", "bundle"],
        typer.Option(
            "--format",
            help="torch: .pt2, of torch.export; openvino: .xml and .bin; html: a page; bundle: a zip with a short program.",
        ),
    ] = "onnx",
    precision: Annotated[
        Literal["float32", "float16", "bfloat16", "int8", "int8_weights"] | None,
        typer.Option(help="Of the weights; int8 of onnx: of all that is computed [default: float32; html: float16]."),
    ] = None,
    given: Annotated[
        Literal["uint8", "float32"],
        typer.Option("--input", help="uint8: pictures as they are decoded; float32: (N, C, H, W) in [0, 1] that you prepare yourself."),
    ] = "uint8",
    output: Annotated[Path | None, typer.Option(help="The file [default: RUN/export/model.onnx, or of the ending of the format].")] = None,
    images: Annotated[int, typer.Option(min=1, help="Number of pictures of the val split to compare the answers on, at most.")] = 256,
    max_difference: Annotated[
        float | None,
        typer.Option(help="Largest difference of a probability between the file's answers and the model's [default: 0.0001; html: 0.02]."),
    ] = None,
    max_loss: Annotated[float, typer.Option(min=0, max=1, help="Largest loss of accuracy on val of int8.")] = 0.01,
    sign: Annotated[Path | None, typer.Option(metavar="KEY", help="Private key, a PEM file, to sign the file with.")] = None,
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Export a model with its preprocessing, and refuse to if the file's answers differ from the model's."""
    from striate.workflows.recipes.checked import request_of
    from striate.workflows.shipping.export import ExportRequest, export
    from striate.workflows.shipping.words import summary

    request = request_of(ExportRequest, locals(), data=one_data(data, named), format=file_format, input=given)
    print_report(export(request, say=say), summary, as_json=as_json)


@app.command("verify", short_help="Check that an exported file is unchanged and answers as its run.")
def verify_command(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="An .onnx, .pt2, .xml, .html or .zip file that striate export wrote, or an unpacked bundle."),
    ],
    run: Annotated[Path | None, typer.Option(help="The run that it comes from [default: the one that its report names].")] = None,
    key: Annotated[Path | None, typer.Option(metavar="PUB", help="Public key, a PEM file, whose owner must have signed the file.")] = None,
    data: OwnData = None,
    named: NamedData = None,
    images: Annotated[int, typer.Option(min=1, help="Number of pictures of the val split to compare the answers on, at most.")] = 256,
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Check an exported file by its hashes, and its answers against those of its run, on this machine."""
    from striate.workflows.recipes.checked import request_of
    from striate.workflows.shipping.verify import VerifyRequest, summary, verify

    request = request_of(VerifyRequest, locals(), data=one_data(data, named))
    print_report(verify(request, say=say), summary, as_json=as_json)


@app.command("serve", short_help="Answer pictures over HTTP.")
def serve_command(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Run folders and model files; NAME=PATH names one.")],
    host: Annotated[str, typer.Option(help="Address to listen on; one that other machines reach needs --token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 8000,
    token: Annotated[
        str | None, typer.Option(envvar="STRIATE_TOKEN", show_envvar=True, help="Text that each request must carry as its bearer token.")
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A further name that requests may call this server.")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, max=1024, help="Pictures answered at once, at most.")] = 16,
    wait: Annotated[float, typer.Option(min=0, max=1000, help="Milliseconds that a picture waits for others.")] = 2.0,
    queue: Annotated[int, typer.Option(min=1, help="Pictures that may wait; further ones are refused at once.")] = 128,
    max_body: Annotated[float, typer.Option(help="MiB of a request, at most.")] = 16.0,
    time_limit: Annotated[float, typer.Option(help="Seconds for a request to arrive, and for a batch to be answered.")] = 15.0,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the address and the models as JSON on stdout once they answer.")] = False,
) -> None:
    """Serve trained models over HTTP until Ctrl-C or SIGTERM: the exported file of a run where there is one, else the run itself."""
    from striate.apps.server.request import ServeRequest
    from striate.apps.server.serve import serve

    given = {name: value for name, value in locals().items() if name in ServeRequest.__dataclass_fields__ and value is not None}
    request = ServeRequest.of(**given | {"allow_host": tuple(allow_host or ())})
    serve(request, say=say, tell=print_ready if as_json else lambda _facts: None)


def print_ready(facts: dict[str, Any]) -> None:
    """Print the address and the models as JSON on stdout, at once: another program waits for it."""
    print_data(json_text(facts) + "\n")
    sys.stdout.flush()
