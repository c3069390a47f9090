"""The verbs that judge networks and runs: compare, calibrate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.apps.cli.commands import DataDir, Device, Download, Json, app
from striate.apps.cli.output import print_json, print_table, say


@app.command("compare")
def compare_command(
    subjects: Annotated[list[str], typer.Argument(metavar="A B...", help="Names from `striate networks`, run folders or model files.")],
    data: Annotated[str | None, typer.Option(help="Pictures for the trained ones [default: the first run's own].")] = None,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which split; each opening of test is counted.")] = "val",
    measure: Annotated[bool, typer.Option("--measure", help="Time each, one picture at a time.")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1)] = 128,
    output: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="List the pictures on which they differ.")] = None,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Put networks or runs side by side; runs with a paired test (McNemar) on the same pictures."""
    from striate.workflows.compare import CompareRequest, compare, summary, table

    request = CompareRequest(
        subjects=tuple(subjects),
        data=data,
        split=split,
        measure=measure,
        batch_size=batch_size,
        output=output,
        data_dir=data_dir,
        download=download,
    )
    report = compare(request, say=say)
    if as_json:
        print_json(report)
        return
    heading, rows, right = table(report)
    print_table(heading, rows, right=right)
    sys.stdout.write(f"\n{text}" if (text := summary(report)) else "")


@app.command("calibrate")
def calibrate_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or a .safetensors model file.")],
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Other data than the run's own; its val split is used.")] = None,
    coverage: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Answer this share of pictures like those of val; to the others, unknown.")
    ] = None,
    score: Annotated[Literal["energy", "confidence", "max_logit"], typer.Option(help="What tells them apart.")] = "energy",
    against: Annotated[str | None, typer.Option(metavar="DATA", help="Pictures unlike any class: how well are they told apart?")] = None,
    output: Annotated[Path | None, typer.Option(help="The calibrated model file [default: RUN/calibrated.safetensors].")] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1)] = 128,
    device: Device = "auto",
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Make a model's confidence honest: temperature, reliability diagram, and when to answer unknown."""
    from striate.workflows.calibrate import CalibrateRequest, calibrate, summary
    from striate.workflows.recipes import with_checked_fields

    request = with_checked_fields(
        CalibrateRequest,
        run=run,
        data=data,
        coverage=coverage,
        score=score,
        against=against,
        output=output,
        batch_size=batch_size,
        device=device,
        data_dir=data_dir,
        download=download,
    )
    report = calibrate(request, say=say)
    if as_json:
        print_json(report)
    else:
        sys.stdout.write(summary(report))
