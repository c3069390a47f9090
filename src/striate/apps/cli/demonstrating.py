"""The verb that shows the demos: demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from striate.apps.cli.app import Json, app
from striate.apps.cli.output import print_json, print_report, print_table, say


@app.command("demo", short_help="Show a system or a building block; without a name, list them.")
def demo_command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name of the demo; without it, all are listed.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "--out", help="Output folder [default: runs/demo/NAME-NNN].")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")] = 0,
    short: Annotated[bool, typer.Option("--short", help="Run faster, with fewer pictures and epochs.")] = False,
    as_json: Json = False,
) -> None:
    """Show the main task (train), one of the classical networks, or a building block: its numbers, and a picture or an animation."""
    from striate.demos.registry import DEMOS, MAIN, DemoRequest, demonstrate, summary

    if name is None:
        if as_json:
            print_json([MAIN, *DEMOS])
        else:
            print_table(["demo", "shows"], [[demo.name, demo.shows] for demo in (MAIN, *DEMOS)], right=set())
    elif name == MAIN.name:
        from striate.apps.cli.progress import show_progress
        from striate.demos.train import EPOCHS, SHORT_EPOCHS, TrainDemoRequest, demo
        from striate.demos.train import summary as main_summary

        with show_progress() as observer:
            trained = demo(TrainDemoRequest(output=output, seed=seed, epochs=SHORT_EPOCHS if short else EPOCHS), observer=observer)
        print_report(trained, main_summary, as_json=as_json)
    else:
        report = demonstrate(DemoRequest(name=name, output=output, seed=seed, short=short), say=say)
        print_report(report, summary, as_json=as_json)
