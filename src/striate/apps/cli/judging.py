"""The verbs that judge networks and runs: evaluate, predict, compare, calibrate, repeat, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from striate.apps.cli.app import (
    HELP,
    BatchSize,
    CacheSize,
    Columns,
    Data,
    DataDir,
    Device,
    Download,
    Json,
    Layout,
    NamedData,
    OwnData,
    Root,
    Run,
    SkipUnreadable,
    app,
    one_data,
)
from striate.apps.cli.flags import with_flags
from striate.apps.cli.options import columns_of, fields_of, with_training_options
from striate.apps.cli.output import print_data, print_json, print_report, print_table, print_text, say
from striate.core.text import in_lines


@app.command("evaluate", short_help="Measure a model on a split of pictures.")
def evaluate_command(
    run: Run,
    data: OwnData = None,
    named: NamedData = None,
    split: Annotated[
        Literal["train", "val", "test"] | None,
        typer.Option(help="Split to measure on [default: test if there is one, else val; all pictures of other data without splits]."),
    ] = None,
    batch_size: BatchSize = 128,
    slices: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Column of a table of pictures: also the accuracy for each of its values; repeatable."),
    ] = None,
    columns: Columns = None,
    root: Root = None,
    device: Device = "auto",
    output: Annotated[Path | None, typer.Option(help="Folder for the pictures and tables [default: RUN/report/evaluate-SPLIT].")] = None,
    skip_unreadable: SkipUnreadable = False,
    layout: Layout = "auto",
    drop: Annotated[Path | None, typer.Option(metavar="FILE", help=HELP["drop"])] = None,
    data_dir: DataDir = None,
    cache_size: CacheSize = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Measure a model on a split: accuracy, per class, calibration, confusion, worst mistakes."""
    from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate, summary
    from striate.workflows.recipes.checked import request_of

    named_columns = columns_of(columns or [])
    request = request_of(EvaluateRequest, locals(), data=one_data(data, named), slices=tuple(slices or ()), columns=named_columns)
    print_report(evaluate(request, say=say), summary, as_json=as_json)


@app.command("predict", short_help="Predict the classes of picture files.")
def predict_command(
    run: Run,
    pictures: Annotated[
        list[Path],
        typer.Argument(metavar="PICTURES", help="Picture files, folders, or a named set; for other data .csv, .npy and .npz files."),
    ],
    split: Annotated[
        Literal["train", "val", "test"] | None,
        typer.Option(help="Split of a named set, a folder or an .npz file; uses of test are counted [default: val of a named set]."),
    ] = None,
    first: Annotated[int | None, typer.Option(min=1, help="Number of pictures, from the first [default: all].")] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of most probable classes to list.")] = 1,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    spreadsheet: Annotated[
        bool, typer.Option("--spreadsheet", help="In CSV, put an apostrophe before names that a spreadsheet would evaluate as a formula.")
    ] = False,
    as_json: Json = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the pictures with their predictions into this PNG file.")] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Draw larger pictures with the probability of classes at each place into this PNG file.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for files of answers, of many pictures or a manifest (.csv, .tsv, .jsonl, .txt); for the masks of a --task "
            "segment model, or the pictures of a --task restore model, as PNG files."
        ),
    ] = None,
    output_format: Annotated[Literal["csv", "jsonl", "parquet"], typer.Option(help="Format of the files of answers.")] = "csv",
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Part of the pictures to answer into files: 3/16 is the third of sixteen.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(metavar="ray[=ADDRESS]", help="Answer into files on a Ray cluster: one that is started here, or that at ADDRESS."),
    ] = None,
    skip_unreadable: SkipUnreadable = False,
    batch_size: BatchSize = 128,
    device: Device = "auto",
    data_dir: DataDir = None,
    download: Download = False,
) -> None:
    """Classify picture files, or the pictures of a data set."""
    from striate.core.images import of_kind
    from striate.workflows.predict import PredictRequest, answer_rows, predict
    from striate.workflows.predicting.many import ManyReport, summary
    from striate.workflows.recipes.checked import request_of

    predictions = predict(request_of(PredictRequest, locals()), say=say)
    if isinstance(predictions, ManyReport):
        print_report(predictions, summary, as_json=as_json)
    elif as_json:
        print_data(predictions.to_json() + "\n")
    elif as_csv:
        exact, safe = predictions.to_csv(), predictions.to_csv(spreadsheet=True)
        if exact != safe and not spreadsheet:
            say("some names begin like a spreadsheet formula; --spreadsheet escapes them")
        print_data(safe if spreadsheet else exact)
    else:
        print_table([of_kind("picture", predictions.kind), "answer"], answer_rows(predictions), right=set())


@app.command("compare", short_help="Compare networks or runs, with a paired test.")
def compare_command(
    subjects: Annotated[
        list[str],
        typer.Argument(metavar="A B...", help="Names from `striate networks`, timm:NAME, torchvision:NAME, run folders or model files."),
    ],
    data: Annotated[str | None, typer.Option(help="Data to compare trained models on [default: that of the first run].")] = None,
    split: Annotated[
        Literal["train", "val", "test"] | None,
        typer.Option(help="Split to compare on; each use of test is counted [default: val; all pictures of other data without splits]."),
    ] = None,
    num_classes: Annotated[
        int | None, typer.Option(min=1, help="Number of classes of networks given by name [default: as published].")
    ] = None,
    in_channels: Annotated[
        int | None, typer.Option("--in-chans", min=1, help="Input channels of networks given by name [default: as published].")
    ] = None,
    input_size: Annotated[
        int | None, typer.Option("--img-size", min=1, help="Input size of networks given by name, in pixels [default: as published].")
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Also time each network, one picture at a time.")] = False,
    batch_size: BatchSize = 128,
    output: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="List the pictures on which the models differ.")] = None,
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Compare networks or runs; runs with a paired test (McNemar) on the same pictures."""
    from striate.workflows.evaluation.compare import CompareRequest, compare
    from striate.workflows.evaluation.comparison import summary, table
    from striate.workflows.recipes.checked import request_of

    report = compare(request_of(CompareRequest, locals()), say=say)
    if as_json:
        print_json(report)
        return
    heading, rows, right = table(report)
    print_table(heading, rows, right=right)
    if text := summary(report):
        print_text(with_flags(in_lines(["", text])))


@app.command("calibrate", short_help="Calibrate a model's confidence.")
def calibrate_command(
    run: Run,
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", help="Data to use instead of the run's own: its val split, or all of it if it has no splits."),
    ] = None,
    named: NamedData = None,
    coverage: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Share of pictures like those of val to answer; for the others the answer is unknown."),
    ] = None,
    score: Annotated[
        Literal["energy", "confidence", "max_logit"],
        typer.Option(help="Score that distinguishes pictures like those of val from others."),
    ] = "energy",
    against: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Out-of-distribution pictures, a data set or a folder, to measure how well they are detected."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File for the calibrated model [default: RUN/calibrated.safetensors].")] = None,
    batch_size: BatchSize = 128,
    device: Device = "auto",
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    download: Download = False,
    as_json: Json = False,
) -> None:
    """Calibrate a model's confidence: temperature, reliability diagram, and a threshold for the answer unknown."""
    from striate.workflows.evaluation.calibrate import CalibrateRequest, calibrate, summary
    from striate.workflows.recipes.checked import request_of

    request = request_of(CalibrateRequest, locals(), data=one_data(data, named))
    print_report(calibrate(request, say=say), summary, as_json=as_json)


@app.command("repeat", short_help="Train several times: mean and standard deviation of the accuracy.")
@with_training_options("resume")
def repeat_command(
    data: Data,
    seeds: Annotated[int | None, typer.Option(min=2, help="Number of seeds to train with, on the same train/val split.")] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Number of folds for cross-validation on the training pictures.")] = None,
    test: Annotated[bool, typer.Option("--test", help="Also measure each saved model on the test split.")] = False,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="With --seeds: also measure the models together, and save them as one model.")
    ] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Print the measures as a LaTeX table (booktabs).")] = False,
    output: Annotated[Path | None, typer.Option(help="Folder for the runs [default: runs/repeat/NAME-NNN].")] = None,
    as_json: Json = False,
    **training: Any,
) -> None:
    """Train several times, from several seeds or on k folds: mean and standard deviation of the accuracy."""
    from striate.apps.cli.progress import show_progress
    from striate.workflows.recipes.checked import request_of, with_checked_fields
    from striate.workflows.training.repeat import RepeatRequest, repeat
    from striate.workflows.training.request import TrainRequest
    from striate.workflows.training.spread import latex_report, summary

    of_each = with_checked_fields(TrainRequest, data=data, **fields_of(training))
    request = request_of(RepeatRequest, locals(), training=of_each)
    with show_progress() as observer:
        report = repeat(request, observer=observer)
    print_report(report, latex_report if latex else summary, as_json=as_json)


@app.command("report", short_help="Summarize a run on one HTML page.")
def report_command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    data: Annotated[str | None, typer.Argument(metavar="DATA", help="Current location of the run's data, if it has moved.")] = None,
    named: NamedData = None,
    split: Annotated[
        Literal["train", "val", "test"], typer.Option(help="Also measure on this split; each use of test is counted.")
    ] = "val",
    num_explained: Annotated[int, typer.Option("--num", "-n", min=1, max=64, help="Number of pictures to explain.")] = 8,
    measure: Annotated[bool, typer.Option("--measure/--no-measure", help="Time the network on this machine, or only count.")] = True,
    output: Annotated[Path | None, typer.Option("--output", "--out", metavar="FILE", help="[default: RUN/report/index.html]")] = None,
    device: Device = "auto",
    skip_unreadable: SkipUnreadable = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Summarize a run on one self-contained HTML page: training, results, explanations, cost, diagnosis, how to repeat it."""
    from striate.workflows.recipes.checked import request_of
    from striate.workflows.reporting.report import ReportRequest, report, summary

    request = request_of(ReportRequest, locals(), data=one_data(data, named))
    print_report(report(request, say=say), summary, as_json=as_json)
