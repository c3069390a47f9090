"""The verb that attacks a trained model: attack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from striate.apps.cli.app import (
    BatchSize,
    DataDir,
    Device,
    Download,
    Json,
    NamedData,
    OwnData,
    OwnSplit,
    Run,
    Seed,
    SkipUnreadable,
    app,
    one_data,
    share,
)
from striate.apps.cli.output import print_report


@app.command("attack", short_help="Attack a model: accuracy under attacks and corruptions.")
def attack_command(
    run: Run,
    data: OwnData = None,
    named: NamedData = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(
            "--attack",
            "-a",
            metavar="NAME",
            help="fgsm, pgd, noise, rotation, shift, flip, deepfool, cw, corruptions; repeatable [default: the first six].",
        ),
    ] = None,
    norm: Annotated[
        Literal["linf", "l2"],
        typer.Option(help="How fgsm, pgd and noise measure a change: linf, its largest pixel; l2, all pixels together."),
    ] = "linf",
    eps: Annotated[
        list[str] | None,
        typer.Option(metavar="EPS", help="Largest change of pixels in [0, 1], such as 0.1 or 8/255; repeatable, in increasing order."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of pgd.")] = 20,
    restarts: Annotated[int, typer.Option(min=0, help="Random restarts of pgd, in addition to the start from FGSM.")] = 1,
    angles: Annotated[
        list[float] | None,
        typer.Option("--degrees", metavar="DEGREES", help="Angles of the attack rotation; repeatable [default: 0 15 30 45 90]."),
    ] = None,
    shifts: Annotated[
        list[int] | None,
        typer.Option("--pixels", min=0, metavar="PIXELS", help="Shifts of the attack shift; repeatable [default: 0 1 2 4 8]."),
    ] = None,
    split: OwnSplit = None,
    images: Annotated[int, typer.Option(min=1, help="Maximum number of pictures.")] = 500,
    seed: Seed = 0,
    batch_size: BatchSize = 128,
    device: Device = "auto",
    output: Annotated[Path | None, typer.Option(help="Folder for the pictures and tables [default: RUN/report/attack].")] = None,
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Attack a model: accuracy against the size of attacks, rotations, shifts, flips and corruptions."""
    from striate.apps.cli.progress import show_progress
    from striate.workflows.attack import AttackRequest, summary
    from striate.workflows.attack import attack as attack_model
    from striate.workflows.recipes.checked import request_of

    fields: dict[str, Any] = {name: values for name, values in (("attacks", attack), ("degrees", angles), ("pixels", shifts)) if values}
    epsilons = [share("--eps", text) for text in eps] if eps else None
    request = request_of(AttackRequest, locals(), data=one_data(data, named), num_images=images, **fields)
    with show_progress() as observer:
        report = attack_model(request, say=observer.say, follow=observer.share)
    print_report(report, summary, as_json=as_json)
