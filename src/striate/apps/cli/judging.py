"""The verbs that judge networks and runs: compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.apps.cli.commands import DataDir, Download, Json, app
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
