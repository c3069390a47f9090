"""The verb that takes a network apart: ablate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.apps.cli.app import DataDir, Download, Json, Layout, NamedData, SkipUnreadable, app, one_data
from striate.apps.cli.output import print_report, say
from striate.apps.cli.training import assignments


@app.command("ablate", short_help="Train a network with parts removed, and compare.")
def ablate_command(
    network: Annotated[
        str | None, typer.Argument(metavar="NETWORK", help="A network from `striate networks`; with --lesion the folder of a training run.")
    ] = None,
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="A named set, a folder root/class/*, or an .npz file.")] = None,
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
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of the baseline [default: depends on the data].")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates of the baseline, instead of epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", "-b", min=1, help="Images per update.")] = None,
    lr: Annotated[float | None, typer.Option(min=0, help="Learning rate of all variants [default: the baseline's].")] = None,
    img_size: Annotated[
        int | None, typer.Option(min=1, help="Input size of the network in pixels [default: depends on data and network].")
    ] = None,
    train_images: Annotated[int | None, typer.Option(min=1, help="Number of training pictures to use [default: all].")] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Training recipe, as for `striate train`.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other training setting, as for `striate train`.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Training runs in parallel [default: one per core].")] = None,
    hang_after: Annotated[float, typer.Option(min=1, help="Give up a training run after this many seconds without an update.")] = 600.0,
    on: Annotated[str | None, typer.Option(metavar="ray[=ADDRESS]", help="Train on the workers of a Ray cluster.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Continue an ablation that was stopped.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="With --resume: rerun the trials that failed or hung.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Also measure the saved models on the test split.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print the table as LaTeX (booktabs); it is also in the report folder.")] = False,
    lesion: Annotated[bool, typer.Option("--lesion", help="Damage the trained model of a run instead of training variants.")] = False,
    images: Annotated[int, typer.Option(min=1, help="Number of validation pictures to measure lesions on.")] = 1000,
    seed: Annotated[int | None, typer.Option(min=0, help="The first seed [default: 0].")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    output: Annotated[Path | None, typer.Option(help="The run folder [default: runs/ablate/DATA-NETWORK-NNN].")] = None,
    skip_unreadable: SkipUnreadable = False,
    layout: Layout = "auto",
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Train a network without its parts, or damage a trained one, and compare."""
    from striate.apps.cli.progress import show_progress
    from striate.core.errors import UsageError

    data = one_data(data, named)
    if lesion:
        from striate.workflows.ablation.lesion import LesionRequest, lesion_model
        from striate.workflows.ablation.lesion import summary as lesion_summary

        if network is None:
            raise UsageError("--lesion needs the folder of a training run", "For example: striate ablate runs/train/digits-001 --lesion")
        request = LesionRequest(
            run=Path(network),
            data=data,
            images=images,
            seed=seed or 0,
            device=device or "auto",
            output=output,
            skip_unreadable=skip_unreadable,
            data_dir=data_dir,
        )
        damaged = lesion_model(request, say=say)
        print_report(damaged, lesion_summary, as_json=as_json)
        return
    from striate.workflows.ablation.ablate import AblateRequest, ablate, summary
    from striate.workflows.ablation.report import latex_report

    if resume is None and (network is None or data is None):
        raise UsageError("ablate needs NETWORK and DATA", "For example: striate ablate resnet20_cifar cifar10 --without shortcut")
    listed = (("without", without), ("swap", swap), ("split-kernels", split_kernels), ("head", head), ("width", width), ("depth", depth))
    edits = [f"{verb} {what:g}" if isinstance(what, float) else f"{verb} {what}" for verb, whats in listed for what in whats or ()]
    chosen = {
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": lr,
        "image_size": img_size,
        "train_images": train_images,
        "recipe": recipe,
        "set": assignments(set_ or []) or None,
        "seed": seed,
        "device": device,
        "skip_unreadable": skip_unreadable or None,
        "layout": layout if layout != "auto" else None,
        "data_dir": data_dir,
        "download": download,
    }
    with show_progress() as watch:
        report = ablate(
            AblateRequest(
                network=network,
                data=data,
                edits=(*edits, *(["factorize"] if factorize else [])),
                pairs=pairs,
                grid=grid,
                seeds=seeds,
                budget=budget,
                jobs=jobs,
                hang_after=hang_after,
                on=on,
                training={name: value for name, value in chosen.items() if value is not None},
                output=output,
                resume=resume,
                retry_failed=retry_failed,
                test=test,
            ),
            watch=watch,
        )
    print_report(report, latex_report if latex else summary, as_json=as_json)
