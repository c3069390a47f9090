"""The verbs that look into networks and pictures: explain and filter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.apps.cli.app import DataDir, Device, Download, Json, NamedData, OwnSplit, Run, Seed, SkipUnreadable, app
from striate.apps.cli.output import print_report, say


@app.command("explain", short_help="Show what a model looks at, and what it learned.")
def explain_command(
    run: Run,
    pictures: Annotated[
        list[Path] | None, typer.Argument(metavar="PICTURES", help="Picture files, or folders of pictures [default: the run's val split].")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            metavar="NAME",
            help="grad_cam, grad_cam_plus_plus, saliency, smooth_grad, integrated_gradients, input_x_gradient, guided_backprop, deconvnet, "
            "occlusion; repeatable; or all: every method and every view [default: grad_cam].",
        ),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(
            "--view",
            metavar="NAME",
            help="Views of the network: filters, maps, activations (every part's output as numbers), classes and channels (pictures that "
            "maximize each), units (pictures that activate channels most), by_class, pca, tsne, umap; repeatable.",
        ),
    ] = None,
    layer: Annotated[str | None, typer.Option(metavar="PATH", help="Layer to explain [default: the last feature map].")] = None,
    target: Annotated[str | None, typer.Option("--class", metavar="NAME", help="Class to explain [default: the predicted class].")] = None,
    mistakes: Annotated[bool, typer.Option("--mistakes", help="Only pictures that the model misclassifies.")] = False,
    num_pictures: Annotated[int, typer.Option("--num", "-n", min=1, max=256, help="Maximum number of pictures.")] = 12,
    sanity: Annotated[bool, typer.Option("--sanity/--no-sanity", help="Measure how faithful each heat map is to the model.")] = True,
    data: NamedData = None,
    split: OwnSplit = None,
    seed: Seed = 0,
    device: Device = "auto",
    output: Annotated[Path | None, typer.Option(help="Folder for the pictures [default: RUN/report/explain].")] = None,
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Show what a model looks at in pictures, and what it learned: heat maps, filters, maps, units, embeddings."""
    from striate.workflows.explanation.explain import ExplainRequest, explain
    from striate.workflows.explanation.words import summary
    from striate.workflows.recipes.checked import request_of

    listed = {"pictures": tuple(pictures or ()), "methods": tuple(method or ("grad_cam",)), "views": tuple(view or ())}
    report = explain(request_of(ExplainRequest, locals(), **listed), say=say)
    print_report(report, summary, as_json=as_json)


@app.command("filter", short_help="Filter a picture with kernels: blur, sharpen, edges, ...")
def filter_command(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture file.")],
    kernel: Annotated[
        list[str] | None,
        typer.Option(
            "--kernel",
            "-k",
            metavar="NAME|[[...]]",
            help="blur, mean, sharpen, emboss (or emboss=0, without the grey), edges, laplacian, sobel, sobel_x, sobel_y, identity, "
            "watercolour, halo, exposure=1.6, or rows "
            "of numbers; repeatable, to chain several.",
        ),
    ] = None,
    watercolour: Annotated[
        bool, typer.Option("--watercolour", help="After the kernels, make it look like a watercolour: median of 5 x 5, sharpened.")
    ] = False,
    exposure: Annotated[float | None, typer.Option(metavar="FACTOR", help="Finally, multiply the brightness by this factor.")] = None,
    convolve: Annotated[
        bool,
        typer.Option(
            "--convolve/--correlate", help="Rotate kernels by 180 degrees, or use them as they are, as networks do (correlation)."
        ),
    ] = False,
    output: Annotated[Path | None, typer.Option(help="The PNG file [default: IMAGE-filtered.png here].")] = None,
    as_json: Json = False,
) -> None:
    """Filter a picture with kernels of a few numbers: blur, sharpen, emboss, watercolour and others."""
    from striate.workflows.explanation.filters import FilterRequest, filter_picture, summary

    steps = [*(kernel or []), *(["watercolour"] if watercolour else []), *([f"exposure={exposure}"] if exposure is not None else [])]
    request = FilterRequest(image=image, steps=tuple(steps), form="convolve" if convolve else "correlate", output=output)
    report = filter_picture(request)
    print_report(report, summary, as_json=as_json)
