"""The verbs that look into networks and pictures: filter."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from striate.apps.cli.commands import Json, app
from striate.apps.cli.output import print_json


@app.command("filter")
def filter_command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture file.")],
    kernel: Annotated[
        list[str] | None,
        typer.Option(
            "--kernel",
            "-k",
            metavar="NAME|[[...]]",
            help="blur, mean, sharpen, emboss, edges, laplacian, sobel, sobel_x, sobel_y, identity, watercolour, exposure=1.6, or rows "
            "of numbers; repeat it for a chain.",
        ),
    ] = None,
    watercolour: Annotated[bool, typer.Option("--watercolour", help="After the kernels: median of 5 x 5, sharpened.")] = False,
    exposure: Annotated[float | None, typer.Option(metavar="FACTOR", help="Last: multiply and cut at 255.")] = None,
    convolve: Annotated[
        bool, typer.Option("--convolve/--correlate", help="Turn kernels by 180 degrees, or take them as they are, as networks do.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="The PNG file [default: IMAGE-filtered.png here].")] = None,
    as_json: Json = False,
) -> None:
    """Filter a picture with kernels of a few numbers: blur, sharpen, emboss, watercolour and others."""
    from striate.workflows.filters import FilterRequest, filter_picture, summary

    steps = [*(kernel or []), *(["watercolour"] if watercolour else []), *([f"exposure={exposure}"] if exposure is not None else [])]
    request = FilterRequest(image=image, steps=tuple(steps), form="convolve" if convolve else "correlate", output=output)
    report = filter_picture(request)
    if as_json:
        print_json(report)
    else:
        sys.stdout.write(summary(report))
