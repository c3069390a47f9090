"""The verbs that show and convert networks, data sets and the machine: networks, show, convert, profile, datasets, split, info."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.apps.cli.app import (
    ClassFrom,
    Columns,
    Data,
    DataDir,
    Device,
    Download,
    Group,
    InChannels,
    InputSize,
    Json,
    Layout,
    NumClasses,
    Root,
    Run,
    Seed,
    Separator,
    SkipUnreadable,
    app,
)
from striate.apps.cli.options import columns_of
from striate.apps.cli.output import print_json, print_report, print_table, print_text, say
from striate.core.text import in_lines


@app.command("networks", short_help="List the catalogue: parameters, MACs, accuracy, source.")
def networks_command(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Only names that match, such as 'resnet*'.")] = "*",
    as_json: Json = False,
) -> None:
    """List the catalogue: source, parameters, MACs, published accuracy."""
    from striate.core.errors import UnknownNameError
    from striate.networks.catalog import CATALOG, networks

    entries = networks(pattern)
    if not entries:
        raise UnknownNameError("network", pattern, CATALOG, "`striate networks` lists all.")
    if as_json:
        print_json(list(entries))
        return
    rows = [
        [e.name, "x".join(map(str, e.input_shape)), f"{e.params:,}", f"{e.macs:,}", str(e.receptive_field), e.published, e.source]
        for e in entries
    ]
    print_table(["network", "input", "parameters", "MACs", "field", "published", "source"], rows, right={2, 3, 4}, fits=True)


@app.command("show", short_help="Print a network's layer table; draw it with --svg.")
def show_command(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="A name from `striate networks`, timm:NAME, torchvision:NAME, a run folder, a .safetensors model file, "
            "or a .json file that Network.to_json wrote.",
        ),
    ],
    num_classes: NumClasses = None,
    in_channels: InChannels = None,
    input_size: InputSize = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the network into this SVG file.")] = None,
    as_json: Json = False,
) -> None:
    """Print a network's layer table; draw it with --svg."""
    from striate.workflows.show import ShowRequest, show

    net, report = show(ShowRequest(network=network, num_classes=num_classes, in_channels=in_channels, input_size=input_size, svg=svg))
    if as_json:
        print_json(report)
        return
    print_text(in_lines([str(net), "", ""]))
    kept, used = report.training_memory_bytes, report.inference_memory_bytes
    memory = f"{kept / 2**20:,.1f} MiB training, {used / 2**20:,.1f} MiB inference"
    if used < 2**20:
        memory = f"{kept / 2**10:,.1f} KiB training, {used / 2**10:,.1f} KiB inference"
    summary = [
        ("source", report.source),
        ("published", report.published),
        ("cost", f"{report.params:,} parameters, {report.macs:,} MACs = {report.flops:,} FLOPs (2 per multiply-add)"),
        ("activations", f"{memory}, for one float32 sample"),
        ("receptive field", str(report.receptive_field)),
        ("edits", "; ".join(report.provenance)),
    ]
    for word, text in summary:
        if text:
            print_text(in_lines([f"{word:<16}{text}", ""]))
    if report.svg:
        say(f"drawn: {report.svg}")


@app.command("convert", short_help="Turn a trained dense head into convolutions.")
def convert_command(
    run: Run,
    fully_convolutional: Annotated[
        bool, typer.Option("--fully-convolutional", help="Dense layers become convolutions: a map of scores on larger pictures.")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="File for the model [default: RUN/fully_convolutional.safetensors].")] = None,
    as_json: Json = False,
) -> None:
    """Write a trained classifier in another form with the same weights, and compare the two."""
    from striate.workflows.convert import ConvertRequest, convert, summary
    from striate.workflows.recipes.checked import request_of

    print_report(convert(request_of(ConvertRequest, locals())), summary, as_json=as_json)


@app.command("profile", short_help="Count and time each layer, against the machine's peak.")
def profile_command(
    network: Annotated[
        str, typer.Argument(metavar="NETWORK", help="A name from `striate networks`, timm:NAME, a run folder or a .safetensors file.")
    ],
    num_classes: NumClasses = None,
    in_channels: InChannels = None,
    input_size: InputSize = None,
    measure: Annotated[bool, typer.Option("--measure/--no-measure", help="Also time the network, or only count.")] = True,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Batch size for layers and memory.")] = 8,
    batch_sizes: Annotated[str, typer.Option(metavar="N,N,...", help="Batch sizes for the latencies.")] = "1,8,32",
    output: Annotated[Path | None, typer.Option(help="Folder for layers.csv and roofline.png.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Count and measure each layer: parameters, MACs and FLOPs, memory, receptive field, time, share of the machine's peak."""
    from striate.workflows.profiling.profile import ProfileRequest, check_sizes, profile
    from striate.workflows.profiling.words import summary, table
    from striate.workflows.recipes.checked import request_of

    report = profile(request_of(ProfileRequest, locals(), batch_sizes=check_sizes(batch_sizes)), say=say)
    if as_json:
        print_json(report)
        return
    heading, rows, right = table(report)
    print_table(heading, rows, right=right)
    print_text(in_lines(["", summary(report)]))


@app.command("datasets", short_help="List the named data sets; count and draw one.")
def datasets_command(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Show one: a named set, a folder root/class/*, a table, shards, or an .npz file.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the first pictures of each class into this PNG file.")] = None,
    split: Annotated[Literal["train", "val", "test"] | None, typer.Option(help="Split to draw [default: the first that there is].")] = None,
    num: Annotated[int, typer.Option("--num", "-n", min=1, help="Number of pictures to draw of each class.")] = 10,
    layout: Layout = "auto",
    class_from: ClassFrom = None,
    columns: Columns = None,
    group: Group = None,
    separator: Separator = None,
    root: Root = None,
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """List the named data sets and whether each is on this machine; or count the pictures of one, and draw some of each class."""
    from striate.core.errors import UsageError
    from striate.workflows.datasets import DatasetRequest, datasets, look_at, summary
    from striate.workflows.recipes.checked import request_of

    if data is not None:
        print_report(
            look_at(request_of(DatasetRequest, locals(), num_images=num, columns=columns_of(columns or [])), say=say),
            summary,
            as_json=as_json,
        )
        return
    if plot is not None:
        raise UsageError("--plot: draws one data set", "Name it: striate datasets digits --plot digits.png")
    report = datasets(data_dir)
    if as_json:
        print_json(report)
        return
    rows = [
        [e.name, f"{e.num_train:,}", f"{e.num_test:,}", str(e.num_classes), e.image, "yes" if e.present else "no", e.about] for e in report
    ]
    print_table(["data set", "train", "test", "classes", "image", "here", "about"], rows, right={1, 2, 3}, fits=True)


@app.command("check", short_help="Check the pictures and labels of a data set.")
def check_command(
    data: Data,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also compare and judge many pictures by the installed network, which takes longer.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Also show on the page what a network sees of each class.")] = False,
    image_size: Annotated[
        int | None,
        typer.Option("--img-size", min=8, help="Input size in pixels, for --preview and what fits cut off [default: as `train` chooses]."),
    ] = None,
    fix_list: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what to drop into this CSV file, for `train --drop`.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The page [default: runs/check/NAME-NNN/index.html].")] = None,
    task: Annotated[
        Literal["classify", "regression", "multilabel", "segment"] | None,
        typer.Option(help="Kind of labels [default: as the data tells]; segment: DATA holds images/ and masks/."),
    ] = None,
    layout: Layout = "auto",
    class_from: ClassFrom = None,
    columns: Columns = None,
    group: Group = None,
    separator: Separator = None,
    root: Root = None,
    seed: Seed = 0,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Check a data set: copies, leaks, unreadable files, probable label errors, and what gives the label away. No file of it is changed."""
    from striate.apps.cli.progress import show_progress
    from striate.workflows.checking.check import check
    from striate.workflows.checking.record import CheckRequest
    from striate.workflows.checking.words import summary
    from striate.workflows.recipes.checked import request_of

    request = request_of(CheckRequest, locals(), columns=columns_of(columns or []))
    with show_progress() as observer:
        report = check(request, observer=observer)
    print_report(report, summary, as_json=as_json, fold=True)
    raise typer.Exit(report.exit_code)


@app.command("split", short_help="Divide pictures into train, val and test, in a table.")
def split_command(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A folder, or a table of pictures.")],
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of the training pictures to validate on; 0 for none.")] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the training pictures to test on; 0 for none.")] = 0.1,
    group: Group = None,
    seed: Seed = 0,
    output: Annotated[Path | None, typer.Option("--output", "--out", metavar="FILE", help="[default: NAME-split.csv]")] = None,
    layout: Layout = "auto",
    class_from: ClassFrom = None,
    columns: Columns = None,
    separator: Separator = None,
    root: Root = None,
    skip_unreadable: SkipUnreadable = False,
    as_json: Json = False,
) -> None:
    """Divide pictures into train, val and test, stratified, in a CSV table with a column of splits; no file is moved."""
    from striate.workflows.recipes.checked import request_of
    from striate.workflows.split import SplitRequest, split, summary

    print_report(split(request_of(SplitRequest, locals(), columns=columns_of(columns or [])), say=say), summary, as_json=as_json)


@app.command("info")
def info_command(as_json: Json = False) -> None:
    """Versions, devices, threads, precision support."""
    from striate.workflows.info import info

    report = info()
    if as_json:
        print_json(report)
        return
    for word, value in report.items():
        text = ", ".join(f"{k} {v or '-'}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        line = f"{'memory':<14}{value / 2**30:.1f} GiB" if word == "memory_bytes" and value else f"{word:<14}{text}"
        print_text(in_lines([line, ""]))
