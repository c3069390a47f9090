"""The verbs of the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.apps.cli.output import print_json, print_table, say

app = typer.Typer(
    name="striate",
    help="Read a network as a table, train it in minutes, take it apart, ship it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)

Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout, and nothing else.")]
DataDir = Annotated[Path | None, typer.Option(help="Where named data sets lie [default: $STRIATE_DATA or ~/.cache/striate/data].")]
Download = Annotated[bool, typer.Option("--download", help="Fetch a named set from its publisher when it is missing.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]


@app.callback(invoke_without_command=True)
def striate(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Read a network as a table, train it in minutes, take it apart, ship it."""
    if version:
        from importlib.metadata import version as installed

        sys.stdout.write(installed("striate") + "\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


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
    print_table(["network", "input", "parameters", "MACs", "sees", "published", "source"], rows, right={2, 3, 4})


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
    num_classes: Annotated[int | None, typer.Option(min=1, help="Outputs [default: as published].")] = None,
    in_chans: Annotated[int | None, typer.Option(min=1, help="Channels of the input [default: as published].")] = None,
    img_size: Annotated[int | None, typer.Option(min=1, help="Pixels of the input [default: as published].")] = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the network into this SVG file.")] = None,
    as_json: Json = False,
) -> None:
    """Print a network's layer table; draw it with --svg."""
    from striate.workflows.show import ShowRequest, show

    net, report = show(ShowRequest(network=network, num_classes=num_classes, in_channels=in_chans, input_size=img_size, svg=svg))
    if as_json:
        print_json(report)
        return
    sys.stdout.write(f"{net}\n\n")
    kept, used = report.training_memory_bytes, report.inference_memory_bytes
    memory = f"{kept / 2**20:,.1f} MiB training, {used / 2**20:,.1f} MiB inference"
    if used < 2**20:
        memory = f"{kept / 2**10:,.1f} KiB training, {used / 2**10:,.1f} KiB inference"
    summary = [
        ("source", report.source),
        ("published", report.published),
        ("cost", f"{report.params:,} parameters, {report.macs:,} MACs = {report.flops:,} FLOPs (2 a multiply-add)"),
        ("activations", f"{memory}, for one float32 sample"),
        ("receptive field", str(report.receptive_field)),
        ("edits", "; ".join(report.provenance)),
    ]
    for word, text in summary:
        if text:
            sys.stdout.write(f"{word:<16}{text}\n")
    if report.svg:
        say(f"drawn: {report.svg}")


@app.command("profile", short_help="Count and time each layer, against the machine's peak.")
def profile_command(
    network: Annotated[
        str, typer.Argument(metavar="NETWORK", help="A name from `striate networks`, timm:NAME, a run folder or a .safetensors file.")
    ],
    num_classes: Annotated[int | None, typer.Option(min=1, help="Outputs [default: as published].")] = None,
    in_chans: Annotated[int | None, typer.Option(min=1, help="Channels of the input [default: as published].")] = None,
    img_size: Annotated[int | None, typer.Option(min=1, help="Pixels of the input [default: as published].")] = None,
    measure: Annotated[bool, typer.Option("--measure/--no-measure", help="Time it too, or count only.")] = True,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Pictures at once, for layers and memory.")] = 8,
    batch_sizes: Annotated[str, typer.Option(metavar="N,N,...", help="Pictures at once, for the latencies.")] = "1,8,32",
    output: Annotated[Path | None, typer.Option(help="Folder for layers.csv and roofline.png.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Count and measure each layer: parameters, MACs and FLOPs, memory, receptive field, time, share of the machine's peak."""
    from striate.workflows.profiling.profile import ProfileRequest, check_sizes, profile, summary, table

    request = ProfileRequest(
        network=network,
        num_classes=num_classes,
        in_channels=in_chans,
        input_size=img_size,
        measure=measure,
        batch_size=batch_size,
        batch_sizes=check_sizes(batch_sizes),
        output=output,
        device=device,
    )
    report = profile(request, say=say)
    if as_json:
        print_json(report)
        return
    heading, rows, right = table(report)
    print_table(heading, rows, right=right)
    sys.stdout.write(f"\n{summary(report)}")


@app.command("datasets", short_help="List the named data sets, and which are on this machine.")
def datasets_command(as_json: Json = False, data_dir: DataDir = None) -> None:
    """List the named data sets and whether each is on this machine."""
    from striate.workflows.datasets import datasets

    report = datasets(data_dir)
    if as_json:
        print_json(report)
        return
    rows = [
        [e.name, f"{e.num_train:,}", f"{e.num_test:,}", str(e.num_classes), e.image, "yes" if e.present else "no", e.about] for e in report
    ]
    print_table(["data set", "train", "test", "classes", "image", "here", "about"], rows, right={1, 2, 3})


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
        sys.stdout.write(f"{word:<14}{text}\n")


@app.command("train", short_help="Train a network on labelled pictures.")
def train_command(
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="A named set, a folder root/class/*, or an .npz file.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            help="A name from `striate networks`, timm:NAME, torchvision:NAME, or a .json file that Network.to_json wrote "
            "[default: by the size of the pictures].",
        ),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            metavar="timm|RUN|FILE",
            help="Begin with trained weights: what timm publishes for the network (downloaded once), a run's, or a .safetensors file's.",
        ),
    ] = None,
    pretrain: Annotated[
        Literal["autoencoder", "rbm"] | None,
        typer.Option(
            metavar="autoencoder|rbm",
            help="First train the first two layers without labels, each to reconstruct its input or as a restricted Boltzmann machine.",
        ),
    ] = None,
    unlabelled: Annotated[
        str | None, typer.Option(metavar="DATA", help="More pictures for --pretrain: a folder of them, or a named set.")
    ] = None,
    task: Annotated[
        Literal["classify", "regression", "multilabel", "segment"] | None,
        typer.Option(
            help="What the targets of an .npz file are [default: by their type and shape]; "
            "segment: a class for each pixel; DATA holds images/ and masks/, PNG files of class indices."
        ),
    ] = None,
    epochs: Annotated[
        str | None, typer.Option(metavar="N", help="Passes over the training split; +N extends a run [default: by the data].")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Train exactly this many updates instead.")] = None,
    batch_size: Annotated[
        str | None,
        typer.Option("--batch-size", "-b", metavar="N|auto", help="Images an update; auto: by the memory [default: by the data]."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="How to train: notes, alexnet_2012, resnet_2015, densenet_2017, modern, fast, default_dnn, or a YAML file, "
            "such as the config.yaml of a run. Flags are stronger.",
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="cross_entropy, focal, hinge, squared_hinge, map, nll, binary_cross_entropy, mse, l1, huber [default: by task]."),
    ] = None,
    lr: Annotated[
        str | None, typer.Option(metavar="RATE|find", help="Peak learning rate; find: by a test [default: by the network].")
    ] = None,
    opt: Annotated[
        str | None, typer.Option(metavar="NAME", help="gd, sgd, adam, adamw, lion, muon, ... [default: by the network].")
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Momentum of SGD, Nesterov's form [default: 0.9].")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Decay of weights; biases and norms have none.")] = None,
    sched: Annotated[
        str | None, typer.Option(metavar="NAME", help="Schedule: constant, step, cosine, one_cycle, plateau, ... [default: cosine].")
    ] = None,
    warmup_epochs: Annotated[float | None, typer.Option(min=0, help="Epochs of linear warm-up.")] = None,
    smoothing: Annotated[float | None, typer.Option(min=0, max=1, help="Label smoothing.")] = None,
    clip_grad: Annotated[float | None, typer.Option(help="Largest norm of the gradient.")] = None,
    patience: Annotated[int | None, typer.Option(min=1, help="Stop after so many epochs without a better val accuracy.")] = None,
    img_size: Annotated[int | None, typer.Option(min=1, help="Pixels of the network's input [default: by data and network].")] = None,
    fit: Annotated[Literal["crop", "pad", "stretch"] | None, typer.Option(help="How a picture of another shape is fitted.")] = None,
    crop_padding: Annotated[int | None, typer.Option(min=0, help="Pixels of random shift (pad and crop) [default: by the data].")] = None,
    flip: Annotated[bool | None, typer.Option("--flip/--no-flip", help="Random horizontal mirror [default: by the data].")] = None,
    mixup: Annotated[
        float | None, typer.Option(metavar="ALPHA", help="Mix each picture and its label with another's; weights from Beta(ALPHA, ALPHA).")
    ] = None,
    cutmix: Annotated[
        float | None, typer.Option(metavar="ALPHA", help="Paste a rectangle of another picture; its area from Beta(ALPHA, ALPHA).")
    ] = None,
    aa: Annotated[
        str | None, typer.Option(metavar="POLICY", help="trivial: one of 14 changes of random strength for each picture.")
    ] = None,
    reprob: Annotated[float | None, typer.Option(min=0, max=1, help="Probability that a rectangle of a picture is erased.")] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="dataset: by the training set's mean and deviation; per_image: by each picture's own; min_max [default: dataset].",
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-j", min=0, help="Threads that prepare batches while others train.")] = 0,
    val_fraction: Annotated[
        float | None, typer.Option(min=0.001, max=0.9, help="Share of train held out where there is no val split [default: 0.1].")
    ] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Compute each batch in so many parts, to need less memory.")] = None,
    model_ema: Annotated[float | None, typer.Option(min=0, max=1, help="Keep an exponential mean of the weights with this decay.")] = None,
    adversarial: Annotated[
        Literal["fgsm", "pgd"] | None, typer.Option(help="Train on pictures that this attack changes, so that the network withstands it.")
    ] = None,
    adversarial_eps: Annotated[
        float | None, typer.Option(metavar="EPS", help="Largest change of a pixel, as a share of its range [default: 8/255 = 0.0314].")
    ] = None,
    adversarial_steps: Annotated[int | None, typer.Option(min=1, help="Steps of pgd, under which is validated too [default: 7].")] = None,
    freeze: Annotated[list[str] | None, typer.Option(metavar="PART", help="Part that is not trained, such as stem; repeat it.")] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"] | None, typer.Option(help="auto takes bfloat16 where it is fast [default: auto].")
    ] = None,
    compile_: Annotated[bool | None, typer.Option("--compile/--no-compile", help="Compile the network with torch.compile.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights, order, augmentation, dropout and split [default: 0].")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps [default: auto].")] = None,
    deterministic: Annotated[bool | None, typer.Option(help="Refuse operations that do not repeat their bits.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with this run from its last checkpoint.")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(min=1, help="Updates between checkpoints [default: by time, under 1 %].")] = None,
    diagnose: Annotated[bool, typer.Option("--diagnose/--no-diagnose", help="Say what goes wrong while it trains.")] = True,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="tensorboard: event files in the run; mlflow: a run on MLFLOW_TRACKING_URI; repeat it."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The run folder [default: runs/train/NAME-NNN].")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run [default: DATA-MODEL].")] = None,
    skip_unreadable: Annotated[bool, typer.Option(help="Leave unreadable pictures out instead of stopping.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting, such as settings.step_gamma=0.5."),
    ] = None,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Train a network on labelled pictures; leaves a run folder with the model and its curves."""
    from striate.apps.cli.progress import show_progress
    from striate.workflows.recipes.choices import with_checked_fields
    from striate.workflows.training.request import TrainRequest
    from striate.workflows.training.train import train

    request = with_checked_fields(
        TrainRequest,
        data=data,
        network=model,
        pretrained=pretrained,
        pretrain=pretrain,
        unlabelled=unlabelled,
        task=task,
        loss=loss,
        epochs=whole_number(epochs),
        steps=steps,
        batch_size=size(batch_size),
        recipe=recipe,
        learning_rate=rate(lr),
        optimizer=opt,
        momentum=momentum,
        weight_decay=weight_decay,
        schedule=sched,
        warmup_epochs=warmup_epochs,
        smoothing=smoothing,
        max_grad_norm=clip_grad,
        patience=patience,
        image_size=img_size,
        fit=fit,
        crop_padding=crop_padding,
        flip=flip,
        mixup=mixup,
        cutmix=cutmix,
        policy=aa,
        erasing=reprob,
        normalization=normalization,
        workers=workers,
        val_fraction=val_fraction,
        accumulate=accumulate,
        ema=model_ema,
        adversarial=adversarial,
        adversarial_eps=adversarial_eps,
        adversarial_steps=adversarial_steps,
        freeze=tuple(freeze) if freeze else None,
        precision=precision,
        compile=compile_,
        seed=seed,
        device=device,
        deterministic=deterministic,
        resume=resume,
        checkpoint_every=checkpoint_every,
        diagnose=diagnose,
        log=tuple(log or ()),
        output=output,
        name=name,
        skip_unreadable=skip_unreadable,
        set=assignments(set_ or []),
        data_dir=data_dir,
        download=download,
    )
    with show_progress() as watch:
        report = train(request, watch=watch)
    speaks = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, the first alone does
    if as_json and speaks:
        print_json(report)
    elif speaks:
        from striate.workflows.training.request import summary

        sys.stdout.write(summary(report))
    if report.interrupted:
        if speaks:
            say(f"stopped before its end; go on with: striate train --resume {report.run}")
        raise typer.Exit(6)


def whole_number(text: str | None) -> int | str | None:
    """The number that `text` is; "+20" and what is no number stay text."""
    return int(text) if text is not None and text.isdigit() else text


def size(text: str | None) -> int | str | None:
    """The value of `--batch-size`: a number, or the word auto."""
    from striate.core.errors import UsageError

    if text is None or text == "auto":
        return text
    if not text.isdigit() or int(text) == 0:
        raise UsageError(f"--batch-size {text}: must be a number from 1 or the word auto", "For example --batch-size 64.")
    return int(text)


def rate(text: str | None) -> float | str | None:
    """The value of `--lr`: a number, or the word find."""
    from striate.core.errors import UsageError

    if text is None or text == "find":
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--lr {text}: must be a number or the word find", "For example --lr 0.1, or --lr find.") from None


def assignments(words: list[str]) -> dict[str, object]:
    """The values of `--set NAME=VALUE`, read as YAML reads them: numbers, true and false, lists, text."""
    import yaml

    from striate.core.errors import UsageError

    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"--set {word}: must be NAME=VALUE", "For example --set settings.step_gamma=0.5.")
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {word}: the value cannot be read: {error}") from None
    return values


@app.command("evaluate", short_help="Measure a model on a split of pictures.")
def evaluate_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or a .safetensors model file.")],
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Other data than the run's own.")] = None,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Which split to measure on.")] = "test",
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Pictures at once on a GPU; a processor takes eight.")] = 128,
    device: Device = "auto",
    output: Annotated[Path | None, typer.Option(help="Folder of the pictures and tables [default: RUN/report/evaluate-SPLIT].")] = None,
    skip_unreadable: Annotated[bool, typer.Option(help="Leave unreadable pictures out instead of stopping.")] = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Measure a model on a split: accuracy, per class, calibration, confusion, worst mistakes."""
    from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate, summary

    report = evaluate(
        EvaluateRequest(
            run=run,
            data=data,
            split=split,
            batch_size=batch_size,
            device=device,
            output=output,
            skip_unreadable=skip_unreadable,
            data_dir=data_dir,
            download=download,
        ),
        say=say,
    )
    if as_json:
        print_json(report)
    else:
        sys.stdout.write(summary(report))


@app.command("predict", short_help="Name the classes of picture files.")
def predict_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or a .safetensors model file.")],
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES", help="Picture files, or folders of them.")],
    top: Annotated[int, typer.Option(min=1, help="How many of the most probable classes to list.")] = 1,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the pictures with their answers into this PNG file.")] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for the masks that a model of --task segment gives, as PNG files.")] = None,
    skip_unreadable: Annotated[bool, typer.Option("--skip-unreadable", help="Leave unreadable pictures out instead of stopping.")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Pictures at once on a GPU; a processor takes eight.")] = 128,
    device: Device = "auto",
) -> None:
    """Classify picture files."""
    from striate.workflows.predict import PredictRequest, answer_rows, predict

    request = PredictRequest(
        run=run,
        pictures=pictures,
        top=top,
        plot=plot,
        output=output,
        skip_unreadable=skip_unreadable,
        batch_size=batch_size,
        device=device,
    )
    predictions = predict(request, say=say)
    if as_json:
        sys.stdout.write(predictions.to_json() + "\n")
    elif as_csv:
        sys.stdout.write(predictions.to_csv())
    else:
        print_table(["picture", "answer"], answer_rows(predictions), right=set())


@app.command("repro", short_help="Train a run again: equal bit for bit, or how far off.")
def repro_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of `striate train`.")],
    output: Annotated[Path | None, typer.Option(help="Keep the repeated run in this folder [default: it is thrown away].")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train a run again and say whether it comes out equal, bit for bit, or where and how far it differs."""
    from striate.apps.cli.progress import show_progress
    from striate.workflows.training.repro import ReproRequest, repro, summary

    with show_progress() as watch:
        report = repro(ReproRequest(run=run, output=output, data_dir=data_dir), watch=watch)
    if as_json:
        print_json(report)
    else:
        sys.stdout.write(summary(report))


@app.command("demo", short_help="Show a system or a building block; without a name, list them.")
def demo_command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Which one; without it, all are listed.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "--out", help="The folder [default: runs/demo/NAME-NNN].")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    short: Annotated[bool, typer.Option("--short", help="Fewer pictures and epochs.")] = False,
    as_json: Json = False,
) -> None:
    """Show the main job (train), one of the classical networks, or a building block: its numbers, and a picture or an animation."""
    from striate.workflows.demos.registry import DEMOS, MAIN, DemoRequest, demonstrate, summary

    if name is None:
        if as_json:
            print_json([MAIN, *DEMOS])
        else:
            print_table(["demo", "shows"], [[demo.name, demo.shows] for demo in (MAIN, *DEMOS)], right=set())
    elif name == MAIN.name:
        from striate.apps.cli.progress import show_progress
        from striate.workflows.demo import EPOCHS, SHORT_EPOCHS, demo
        from striate.workflows.demo import DemoRequest as MainRequest
        from striate.workflows.demo import summary as main_summary

        with show_progress() as watch:
            trained = demo(MainRequest(output=output, seed=seed, epochs=SHORT_EPOCHS if short else EPOCHS), watch=watch)
        if as_json:
            print_json(trained)
        else:
            sys.stdout.write(main_summary(trained))
    else:
        report = demonstrate(DemoRequest(name=name, output=output, seed=seed, short=short), say=say)
        if as_json:
            print_json(report)
        else:
            sys.stdout.write(summary(report))


@app.command("diagnose", short_help="Say what is wrong with a training.")
def diagnose_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run, finished or not.")],
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Other data than the run's own.")] = None,
    batches: Annotated[int, typer.Option(min=3, help="Training batches that the model computes again.")] = 8,
    device: Device = "auto",
    output: Annotated[Path | None, typer.Option(help="Folder of the pictures [default: RUN/report/diagnose].")] = None,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a training: gradients, dead units, learning rate, curves, labels, loading."""
    from striate.workflows.diagnosis.diagnose import DiagnoseRequest, diagnose, summary

    request = DiagnoseRequest(run=run, data=data, batches=batches, device=device, output=output, data_dir=data_dir, download=download)
    report = diagnose(request, say=say)
    if as_json:
        print_json(report)
    else:
        sys.stdout.write(summary(report))


@app.command("ablate", short_help="Train a network without its parts, and compare.")
def ablate_command(
    network: Annotated[
        str | None, typer.Argument(metavar="NETWORK", help="A network from `striate networks`; with --lesion the folder of a training run.")
    ] = None,
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="A named set, a folder root/class/*, or an .npz file.")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT", help="Train without it: shortcut, norm, dropout, bottleneck, branch=5x5, 'stage3.*', norm@stage3, augmentation."
        ),
    ] = None,
    swap: Annotated[list[str] | None, typer.Option(metavar="ROLE=TO", help="activation=tanh, pooling=avg, norm=group.")] = None,
    split_kernels: Annotated[list[str] | None, typer.Option(metavar="3x3", help="Larger kernels as stacks of these.")] = None,
    factorize: Annotated[bool, typer.Option("--factorize", help="n x n kernels as 1 x n and n x 1.")] = False,
    head: Annotated[list[str] | None, typer.Option(metavar="KIND", help="global-pool, in place of dense layers.")] = None,
    width: Annotated[list[float] | None, typer.Option(metavar="FACTOR", help="Times as many channels.")] = None,
    depth: Annotated[list[float] | None, typer.Option(metavar="FACTOR", help="Times as many repeated blocks.")] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Each two of the edits, too.")] = False,
    grid: Annotated[Path | None, typer.Option(metavar="FILE", help="More variants, from a YAML file.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each variant.")] = 3,
    budget: Annotated[Literal["epochs", "time", "macs"], typer.Option(help="What is equal for all variants.")] = "epochs",
    epochs: Annotated[int | None, typer.Option(min=1, help="Of the baseline [default: by the data].")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Updates of the baseline instead.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", "-b", min=1, help="Images an update.")] = None,
    lr: Annotated[float | None, typer.Option(min=0, help="Learning rate of all variants [default: the baseline's].")] = None,
    img_size: Annotated[int | None, typer.Option(min=1, help="Pixels of the network's input [default: by data and network].")] = None,
    recipe: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="How to train, as for `striate train`.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other setting of the training, as for `striate train`.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trainings at a time [default: one a core].")] = None,
    hang_after: Annotated[float, typer.Option(min=1, help="Seconds without an update, after which a training is given up.")] = 600.0,
    on: Annotated[str | None, typer.Option(metavar="ray[=ADDRESS]", help="Train on the workers of a Ray cluster.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with an ablation that was stopped.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="With --resume: train again what failed or hung.")] = False,
    lesion: Annotated[bool, typer.Option("--lesion", help="Damage the trained model of a run instead, without training.")] = False,
    images: Annotated[int, typer.Option(min=1, help="Validation pictures that lesions are measured on.")] = 1000,
    seed: Annotated[int | None, typer.Option(min=0, help="The first seed [default: 0].")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    output: Annotated[Path | None, typer.Option(help="The run folder [default: runs/ablate/DATA-NETWORK-NNN].")] = None,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Train a network without its parts, or damage a trained one, and compare."""
    from striate.apps.cli.progress import show_progress
    from striate.core.errors import UsageError

    if lesion:
        from striate.workflows.ablation.lesion import LesionRequest, lesion_model
        from striate.workflows.ablation.lesion import summary as lesion_summary

        if network is None:
            raise UsageError("--lesion needs the folder of a training run", "For example: striate ablate runs/train/digits-001 --lesion")
        request = LesionRequest(
            run=Path(network), data=data, images=images, seed=seed or 0, device=device or "auto", output=output, data_dir=data_dir
        )
        damaged = lesion_model(request, say=say)
        if as_json:
            print_json(damaged)
        else:
            sys.stdout.write(lesion_summary(damaged))
        return
    from striate.workflows.ablation.ablate import AblateRequest, ablate, summary

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
        "recipe": recipe,
        "set": assignments(set_ or []) or None,
        "seed": seed,
        "device": device,
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
            ),
            watch=watch,
        )
    if as_json:
        print_json(report)
    else:
        sys.stdout.write(summary(report))
