"""The command line itself, and the flags that many verbs share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

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
DataDir = Annotated[Path | None, typer.Option(help="Folder of the named data sets [default: $STRIATE_DATA or ~/.cache/striate/data].")]
Download = Annotated[bool, typer.Option("--download", help="Download a named data set from its publisher if it is missing.")]
Layout = Annotated[
    Literal["auto", "classes", "splits"],
    typer.Option(help="How to read the folders of DATA if their names are ambiguous: one per class, or train/, val/, test/."),
]
SkipUnreadable = Annotated[bool, typer.Option("--skip-unreadable", help="Skip unreadable pictures instead of stopping.")]
OwnData = Annotated[str | None, typer.Argument(metavar="DATA", help="Current location of the run's data, or other data; same as --data.")]
NamedData = Annotated[str | None, typer.Option("--data", metavar="DATA", help="Current location of the run's data, or other data.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]


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
