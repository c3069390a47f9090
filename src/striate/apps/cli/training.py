"""The verbs that train, and look back at a training: train, repro, diagnose."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.apps.cli.app import DataDir, Device, Download, Json, Layout, NamedData, SkipUnreadable, app, one_data, share
from striate.apps.cli.output import print_json, print_report, print_text, say
from striate.core.text import command


@app.command("train", short_help="Train a network on labelled pictures.")
def train_command(
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="A named set, a folder root/class/*, or an .npz file.")] = None,
    named: Annotated[
        str | None, typer.Option("--data", metavar="DATA", help="Same as DATA; with --resume, the current location of the data.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK",
            help="A name from `striate networks`, timm:NAME, torchvision:NAME, or a .json file that Network.to_json wrote "
            "[default: depends on the picture size].",
        ),
    ] = None,
    pretrained: Annotated[
        str | None,
        typer.Option(
            metavar="timm|RUN|FILE",
            help="Start from trained weights: timm's for the network (downloaded once), those of a run, or a .safetensors file.",
        ),
    ] = None,
    pretrain: Annotated[
        Literal["autoencoder", "rbm"] | None,
        typer.Option(
            metavar="autoencoder|rbm",
            help="Pretrain the first two layers without labels, each as an autoencoder or as a restricted Boltzmann machine.",
        ),
    ] = None,
    unlabelled: Annotated[str | None, typer.Option(metavar="DATA", help="More pictures for --pretrain: a folder or a named set.")] = None,
    task: Annotated[
        Literal["classify", "regression", "multilabel", "segment"] | None,
        typer.Option(
            help="Kind of targets in an .npz file [default: from their dtype and shape]; "
            "segment: a class per pixel; DATA holds images/ and masks/, PNG files of class indices."
        ),
    ] = None,
    epochs: Annotated[
        str | None, typer.Option(metavar="N", help="Passes over the training split; +N extends a run [default: depends on the data].")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Number of updates to train, instead of epochs.")] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            "--batch-size", "-b", metavar="N|auto", help="Images per update; auto: as memory allows [default: depends on the data]."
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Training recipe: notes, alexnet_2012, resnet_2015, densenet_2017, modern, fast, default_dnn, or a YAML file, "
            "such as the config.yaml of a run. Flags override it.",
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="cross_entropy, focal, hinge, squared_hinge, map, nll, binary_cross_entropy, mse, l1, huber [default: by task]."),
    ] = None,
    lr: Annotated[
        str | None, typer.Option(metavar="RATE|find", help="Peak learning rate; find: by a range test [default: depends on the network].")
    ] = None,
    opt: Annotated[
        str | None, typer.Option(metavar="NAME", help="gd, sgd, adam, adamw, lion, muon, ... [default: depends on the network].")
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Nesterov momentum of SGD [default: 0.9].")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Weight decay, not applied to biases and norms.")] = None,
    sched: Annotated[
        str | None, typer.Option(metavar="NAME", help="Schedule: constant, step, cosine, one_cycle, plateau, ... [default: cosine].")
    ] = None,
    warmup_epochs: Annotated[float | None, typer.Option(min=0, help="Epochs of linear warm-up.")] = None,
    smoothing: Annotated[float | None, typer.Option(min=0, max=1, help="Label smoothing.")] = None,
    clip_grad: Annotated[float | None, typer.Option(help="Scale gradients down to this norm where they are larger.")] = None,
    monitor: Annotated[
        Literal["accuracy", "loss", "macro_f1", "balanced_accuracy"] | None,
        typer.Option(help="Val measure that selects the best epoch; the loss breaks ties [default: accuracy; for regression, loss]."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop early after this many epochs in a row without a better --monitor.")
    ] = None,
    img_size: Annotated[
        int | None, typer.Option(min=1, help="Input size of the network in pixels [default: depends on data and network].")
    ] = None,
    fit: Annotated[Literal["crop", "pad", "stretch"] | None, typer.Option(help="How pictures of another shape are fitted.")] = None,
    crop_padding: Annotated[
        int | None, typer.Option(min=0, help="Random shift in pixels (pad and crop) [default: depends on the data].")
    ] = None,
    flip: Annotated[bool | None, typer.Option("--flip/--no-flip", help="Random horizontal flip [default: depends on the data].")] = None,
    mixup: Annotated[
        float | None, typer.Option(metavar="ALPHA", help="Mix each picture and its label with another's; weights from Beta(ALPHA, ALPHA).")
    ] = None,
    cutmix: Annotated[
        float | None, typer.Option(metavar="ALPHA", help="Paste a rectangle of another picture; its area from Beta(ALPHA, ALPHA).")
    ] = None,
    aa: Annotated[
        str | None, typer.Option(metavar="POLICY", help="trivial: one of 14 transforms of random strength for each picture.")
    ] = None,
    reprob: Annotated[float | None, typer.Option(min=0, max=1, help="Probability that a rectangle of a picture is erased.")] = None,
    normalization: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="dataset: by the training set's mean and standard deviation; per_image: by the picture's own; min_max [default: dataset].",
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-j", min=0, help="Threads that prepare batches during training.")] = 0,
    val_fraction: Annotated[
        float | None, typer.Option(min=0.001, max=0.9, help="Share of train held out if the data has no val split [default: 0.1].")
    ] = None,
    train_images: Annotated[
        int | None, typer.Option(min=1, help="Number of training pictures to use, the same share of each class.")
    ] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Compute each batch in this many parts, to save memory.")] = None,
    model_ema: Annotated[
        float | None, typer.Option(min=0, max=1, help="Keep an exponential moving average of the weights with this decay.")
    ] = None,
    adversarial: Annotated[
        Literal["fgsm", "pgd"] | None, typer.Option(help="Adversarial training: train on pictures that this attack has changed.")
    ] = None,
    adversarial_eps: Annotated[
        str | None, typer.Option(metavar="EPS", help="Largest change of a pixel, as a share of its range, such as 0.1 [default: 8/255].")
    ] = None,
    adversarial_steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of pgd, which is also applied in validation [default: 7].")
    ] = None,
    freeze: Annotated[list[str] | None, typer.Option(metavar="PART", help="Part to freeze, such as stem; repeatable.")] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"] | None, typer.Option(help="auto uses bfloat16 where it is fast [default: auto].")
    ] = None,
    compile_: Annotated[bool | None, typer.Option("--compile/--no-compile", help="Compile the network with torch.compile.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights, order, augmentation, dropout and split [default: 0].")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps [default: auto].")] = None,
    deterministic: Annotated[bool | None, typer.Option(help="Refuse nondeterministic operations.")] = None,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Continue this run from its last checkpoint.")] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(min=1, help="Updates between checkpoints [default: as often as costs under 1 % of the time].")
    ] = None,
    diagnose: Annotated[bool, typer.Option("--diagnose/--no-diagnose", help="Report problems while training.")] = True,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="tensorboard: event files in the run; mlflow: a run on MLFLOW_TRACKING_URI; repeatable."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The run folder [default: runs/train/NAME-NNN].")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run [default: DATA-MODEL].")] = None,
    skip_unreadable: SkipUnreadable = False,
    layout: Layout = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting: settings.NAME (settings.step_gamma=0.5), augmentation.NAME (augmentation.hue=0.1), "
            "or images.NAME for mean, std, fit and normalization (images.mean=[0.5]).",
        ),
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
        data=one_data(data, named),
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
        monitor=monitor,
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
        train_images=train_images,
        accumulate=accumulate,
        ema=model_ema,
        adversarial=adversarial,
        adversarial_eps=share("--adversarial-eps", adversarial_eps) if adversarial_eps is not None else None,
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
        layout=layout,
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

        print_text(summary(report))
    if report.interrupted:
        if speaks:
            say(f"stopped before its end; continue with: {command('striate', 'train', '--resume', Path(report.run))}")
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
    from striate.core.bounded import parsed_yaml
    from striate.core.errors import RefusedFileError, UsageError

    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"--set {word}: must be NAME=VALUE", "For example --set settings.step_gamma=0.5.")
        try:
            values[name] = parsed_yaml(text, "the value")
        except RefusedFileError as error:
            raise UsageError(f"--set {word}: {error.message}", error.remedy) from None
    return values


@app.command("repro", short_help="Repeat a run: bit-identical, or by how much it differs.")
def repro_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of `striate train`.")],
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Current location of the run's data.")] = None,
    named: NamedData = None,
    output: Annotated[Path | None, typer.Option(help="Keep the repeated run in this folder [default: it is deleted].")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Train a run again and say whether it comes out equal, bit for bit, or where and how far it differs."""
    from striate.apps.cli.progress import show_progress
    from striate.workflows.training.repro import ReproRequest, repro, summary

    with show_progress() as watch:
        report = repro(ReproRequest(run=run, data=one_data(data, named), output=output, data_dir=data_dir), watch=watch)
    print_report(report, summary, as_json=as_json)


@app.command("diagnose", short_help="Diagnose a training run.")
def diagnose_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a training run, finished or not.")],
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Current location of the run's data.")] = None,
    named: NamedData = None,
    batches: Annotated[int, typer.Option(min=3, help="Number of training batches to run through the model again.")] = 8,
    device: Device = "auto",
    output: Annotated[Path | None, typer.Option(help="Folder for the pictures [default: RUN/report/diagnose].")] = None,
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Say what is wrong with a training: gradients, dead units, learning rate, curves, labels, loading."""
    from striate.workflows.diagnosis.diagnose import DiagnoseRequest, diagnose, summary

    request = DiagnoseRequest(
        run=run,
        data=one_data(data, named),
        batches=batches,
        device=device,
        output=output,
        skip_unreadable=skip_unreadable,
        data_dir=data_dir,
        download=download,
    )
    report = diagnose(request, say=say)
    print_report(report, summary, as_json=as_json)
