"""The verbs that train, repeat and diagnose: train, repro, diagnose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from striate.apps.cli.app import CacheSize, DataDir, Device, Download, Json, MovedData, NamedData, SkipUnreadable, app, one_data
from striate.apps.cli.options import fields_of, with_training_options
from striate.apps.cli.output import print_json, print_report, print_text, say
from striate.core.text import command


@app.command("train", short_help="Train a network on labelled pictures.")
@with_training_options()
def train_command(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="A named set, a folder root/class/*, a table, shards, or an .npz file.")
    ] = None,
    named: Annotated[
        str | None, typer.Option("--data", metavar="DATA", help="Same as DATA; with --resume, the current location of the data.")
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Only draw some training pictures beside their augmented forms, as PNG; train nothing."),
    ] = None,
    cache_size: CacheSize = None,  # noqa: ARG001  # obeyed by its callback
    as_json: Json = False,
    **training: Any,
) -> None:
    """Train a network on labelled pictures; leaves a run folder with the model and its curves."""
    from striate.apps.cli.progress import show_progress
    from striate.workflows.recipes.checked import with_checked_fields
    from striate.workflows.training.request import TrainRequest
    from striate.workflows.training.train import train

    request = with_checked_fields(TrainRequest, data=one_data(data, named), **fields_of(training))
    if preview is not None:
        from striate.workflows.training.preview import preview as draw_preview

        draw_preview(request, preview)
        say(f"drawn: {preview}")
        return
    with show_progress() as observer:
        report = train(request, observer=observer)
    speaks = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, the first alone does
    if as_json and speaks:
        print_json(report)
    elif speaks:
        from striate.workflows.training.request import summary

        print_text(summary(report))
    if report.interrupted:
        if speaks:
            say(f"stopped before its end; continue with: {command('striate', 'train', '--resume', Path(report.run))}")
        raise typer.Exit(6)


@app.command("repro", short_help="Repeat a run: bit-identical, or by how much it differs.")
def repro_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of `striate train`.")],
    data: MovedData = None,
    named: NamedData = None,
    output: Annotated[Path | None, typer.Option(help="Keep the repeated run in this folder [default: it is deleted].")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Repeat a run and report whether it is bit-identical, or where and by how much it differs."""
    from striate.apps.cli.progress import show_progress
    from striate.workflows.training.repro import ReproRequest, repro, summary

    with show_progress() as observer:
        report = repro(ReproRequest(run=run, data=one_data(data, named), output=output, data_dir=data_dir), observer=observer)
    print_report(report, summary, as_json=as_json)


@app.command("diagnose", short_help="Diagnose a training run.")
def diagnose_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run, finished or not.")],
    data: MovedData = None,
    named: NamedData = None,
    batches: Annotated[int, typer.Option(min=3, help="Number of training batches to run through the model again.")] = 8,
    device: Device = "auto",
    output: Annotated[Path | None, typer.Option(help="Folder for the pictures [default: RUN/report/diagnose].")] = None,
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Diagnose a training run: gradients, dead units, learning rate, curves, labels, loading."""
    from striate.workflows.diagnosis.diagnose import DiagnoseRequest, diagnose
    from striate.workflows.diagnosis.words import summary
    from striate.workflows.recipes.checked import request_of

    request = request_of(DiagnoseRequest, locals(), data=one_data(data, named))
    print_report(diagnose(request, say=say), summary, as_json=as_json)
