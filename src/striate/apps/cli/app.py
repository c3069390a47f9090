"""The command line itself, and the flags that many verbs share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from striate.workflows.recipes.options import OPTIONS

app = typer.Typer(
    name="striate",
    help="Read a network as a table, train it in minutes, take it apart, ship it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)

HELP = {option.field: option.help for option in OPTIONS}


def keep_at_most(size: float | None) -> None:
    """Let kept photos take so many GiB, in this process and those that it starts."""
    if size is not None:
        os.environ["STRIATE_CACHE_SIZE"] = f"{size:g}"


Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout, and nothing else.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder or a .safetensors model file.")]
Data = Annotated[
    str, typer.Argument(metavar="DATA", help="A named set, a folder root/class/*, a table (.csv, .parquet), shards, or an .npz file.")
]
MovedData = Annotated[str | None, typer.Argument(metavar="DATA", help="Current location of the run's data.")]
DataDir = Annotated[Path | None, typer.Option(help=HELP["data_dir"])]
CacheSize = Annotated[
    float | None,
    typer.Option(
        metavar="GIB",
        min=0,
        max=1e6,
        callback=keep_at_most,
        help="Keep decoded photos up to this many GiB for the next time; 0 keeps none [default: 10].",
    ),
]
Download = Annotated[bool, typer.Option("--download", help=HELP["download"])]
Layout = Annotated[Literal["auto", "classes", "splits"], typer.Option(help=HELP["layout"])]
ClassFrom = Annotated[str | None, typer.Option(metavar="top|parent|regex:PATTERN", help=HELP["class_from"])]
Columns = Annotated[list[str] | None, typer.Option(metavar="path=NAME,label=NAME,...", help=HELP["columns"])]
Group = Annotated[str | None, typer.Option(metavar="COLUMN|RULE", help=HELP["group"])]
Separator = Annotated[str | None, typer.Option(metavar="TEXT", help=HELP["separator"])]
Root = Annotated[Path | None, typer.Option(help=HELP["root"])]
SkipUnreadable = Annotated[bool, typer.Option("--skip-unreadable", help=HELP["skip_unreadable"])]
OwnData = Annotated[str | None, typer.Argument(metavar="DATA", help="Current location of the run's data, or other data; same as --data.")]
NamedData = Annotated[str | None, typer.Option("--data", metavar="DATA", help="Current location of the run's data, or other data.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
BatchSize = Annotated[int, typer.Option("--batch-size", "-b", min=1, help="Batch size on a GPU; a CPU uses small batches.")]
OwnSplit = Annotated[
    Literal["train", "val"] | None,
    typer.Option(help="Split to take pictures from [default: val; all pictures of other data without splits]."),
]
Seed = Annotated[int, typer.Option(help="Seed of the random numbers.")]
NumClasses = Annotated[int | None, typer.Option(min=1, help="Number of classes [default: as published].")]
InChannels = Annotated[int | None, typer.Option("--in-chans", min=1, help="Input channels [default: as published].")]
InputSize = Annotated[int | None, typer.Option("--img-size", min=1, help="Input size in pixels [default: as published].")]


@app.callback(invoke_without_command=True)
def striate(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Read a network as a table, train it in minutes, take it apart, ship it."""
    if version:
        from importlib.metadata import version as installed

        sys.stdout.write(installed("striate") + "\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def one_data(given: str | None, named: str | None) -> str | None:
    """The data that DATA or --data names.

    Raises:
        UsageError: both do.
    """
    from striate.core.errors import UsageError

    if given is not None and named is not None:
        raise UsageError(f"DATA and --data both name data: {given} and {named}", "Give one of them.")
    return given if named is None else named


def share(flag: str, text: str) -> float:
    """The number in the value of a flag, such as 0.1 or 8/255.

    Raises:
        UsageError: it says none.
    """
    from striate.core.errors import UsageError

    above, _, below = text.partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        raise UsageError(f"{flag} {text}: must be a number or a fraction", "For example 0.03 or 8/255.") from None
