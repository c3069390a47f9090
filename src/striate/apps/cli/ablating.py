"""The verb that takes a network apart: ablate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from striate.apps.cli.app import Json, NamedData, app, one_data
from striate.apps.cli.options import fields_of, with_training_options
from striate.apps.cli.output import print_report, say

LESION_OPTIONS = ("seed", "device", "skip_unreadable", "layout", "data_dir", "download")


@app.command("ablate", short_help="Train a network with parts removed, and compare.")
@with_training_options(
    "pretrained", "extend", "pretrain", "unlabelled", "workers", "checkpoint_every", "diagnose", "learning_curve", "log", "name"
)
def ablate_command(
    network: Annotated[
        str | None, typer.Argument(metavar="NETWORK", help="A network from `striate networks`; with --lesion the folder of a training run.")
    ] = None,
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="A named set, a folder root/class/*, an .npz or a .csv file.")] = None,
    named: NamedData = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="Part to train without: shortcut, norm, dropout, bottleneck, branch=5x5, 'stage3.*', norm@stage3, augmentation.",
        ),
    ] = None,
    swap: Annotated[
        list[str] | None, typer.Option(metavar="ROLE=TO", help="Layers to replace: activation=tanh, pooling=avg, norm=group.")
    ] = None,
    split_kernels: Annotated[list[str] | None, typer.Option(metavar="3x3", help="Replace larger kernels by stacks of these.")] = None,
    factorize: Annotated[bool, typer.Option("--factorize", help="Split n x n kernels into 1 x n and n x 1.")] = False,
    head: Annotated[list[str] | None, typer.Option(metavar="KIND", help="global-pool, to replace the dense layers.")] = None,
    width: Annotated[
        list[float] | None, typer.Option(metavar="FACTOR", help="Scale the number of channels of each layer, such as 0.5.")
    ] = None,
    depth: Annotated[list[float] | None, typer.Option(metavar="FACTOR", help="Scale the number of repeated blocks, such as 2.")] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also combine the edits in pairs.")] = False,
    grid: Annotated[Path | None, typer.Option(metavar="FILE", help="More variants, from a YAML file.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of training runs per variant.")] = 3,
    budget: Annotated[Literal["epochs", "time", "macs"], typer.Option(help="Budget that is equal for all variants.")] = "epochs",
    jobs: Annotated[int | None, typer.Option(min=1, help="Training runs in parallel [default: one per core].")] = None,
    hang_after: Annotated[float, typer.Option(min=1, help="Give up a training run after this many seconds without an update.")] = 600.0,
    on: Annotated[str | None, typer.Option(metavar="ray[=ADDRESS]", help="Train on the workers of a Ray cluster.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Continue an ablation that was stopped.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="With --resume: rerun the trials that failed or hung.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Also measure the saved models on the test split.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print the table as LaTeX (booktabs); it is also in the report folder.")] = False,
    lesion: Annotated[bool, typer.Option("--lesion", help="Damage the trained model of a run instead of training variants.")] = False,
    images: Annotated[int, typer.Option(min=1, help="Number of validation pictures to measure lesions on.")] = 1000,
    output: Annotated[Path | None, typer.Option(help="The run folder [default: runs/ablate/DATA-NETWORK-NNN].")] = None,
    as_json: Json = False,
    **training: Any,
) -> None:
    """Train a network with parts removed, or damage a trained one, and compare."""
    from striate.apps.cli.progress import show_progress
    from striate.core.errors import UsageError

    data = one_data(data, named)
    if lesion:
        from striate.workflows.ablation.lesion import LesionRequest, lesion_model
        from striate.workflows.ablation.lesion import summary as lesion_summary

        if network is None:
            raise UsageError("--lesion needs the folder of a training run", "For example: striate ablate runs/train/digits-001 --lesion")
        asked = LesionRequest(
            run=Path(network),
            data=data,
            images=images,
            output=output,
            **{name: value for name, value in fields_of(training).items() if name in LESION_OPTIONS},
        )
        damaged = lesion_model(asked, say=say)
        print_report(damaged, lesion_summary, as_json=as_json)
        return
    from striate.workflows.ablation.ablate import AblateRequest, ablate
    from striate.workflows.ablation.report import latex_report, summary
    from striate.workflows.recipes.checked import request_of

    if resume is None and (network is None or data is None):
        raise UsageError("ablate needs NETWORK and DATA", "For example: striate ablate resnet20_cifar cifar10 --without shortcut")
    listed = (("without", without), ("swap", swap), ("split-kernels", split_kernels), ("head", head), ("width", width), ("depth", depth))
    edits = [f"{verb} {what:g}" if isinstance(what, float) else f"{verb} {what}" for verb, whats in listed for what in whats or ()]
    edits += ["factorize"] if factorize else []
    request = request_of(AblateRequest, locals(), training=fields_of(training))
    with show_progress() as observer:
        report = ablate(request, observer=observer)
    print_report(report, latex_report if latex else summary, as_json=as_json)
