"""The command line: read the flags, call one workflow, show its report.

stdout carries the result, stderr messages; errors end with the exit code of their kind. Workflows are imported inside the
commands, so that `striate --help` does not wait for torch.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
from functools import partial
from pathlib import Path

import typer

# The verbs, in the order of the help.
# isort: off
from striate.apps.cli import looking, training, judging, ablating, explaining, attacking, shipping, demonstrating  # noqa: F401

# isort: on
from striate.apps.cli.app import app
from striate.apps.cli.flags import wrong_call
from striate.apps.cli.output import report_error, report_fault, say, steady_outputs

__all__ = ["app", "main"]


WrongCall: type[Exception] = typer.BadParameter.__mro__[2]  # any complaint about the flags; typer does not export its name

MORE_MEMORY = "Compute less at once (a smaller --batch-size or --img-size, a smaller network), or close other programs."

TYPERS_INTERRUPT = 130  # what it returns in place of KeyboardInterrupt


def collect_rarely() -> None:
    """Look for unreachable objects less often: among the million that torch makes and keeps, that takes a tenth of a command's time.

    Trainings leave no tensors to it, only what matplotlib makes an epoch.
    """
    gc.set_threshold(50_000, 20, 20)


def quiet_matplotlib() -> None:
    """Let matplotlib silently use another folder for its font cache if the home folder is not writable."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def refuse_lost_folder() -> None:
    """Refuse to work in a folder that was removed: relative paths fail there, and a library of torch ends the process.

    Raises:
        EnvironmentFault: it was.
    """
    from striate.core.errors import EnvironmentFault

    try:
        Path.cwd()
    except OSError:
        raise EnvironmentFault(
            "the folder that this command was started in is gone", "Change to one that is there, and start again."
        ) from None


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    from striate.core.devices import spare_threads, wait_briefly
    from striate.core.errors import InterruptedRun, StriateError, memory_in_words
    from striate.core.files import name_too_long

    steady_outputs()
    collect_rarely()
    wait_briefly()
    spare_threads(say)
    quiet_matplotlib()
    words = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in words
    try:
        refuse_lost_folder()
        with memory_in_words(MORE_MEMORY):
            code = app(words, standalone_mode=False, prog_name="striate")
        if code == TYPERS_INTERRUPT:
            raise KeyboardInterrupt
        sys.stdout.flush()  # a full disk is told here, not at the interpreter's end
        sys.exit(code)
    except WrongCall as error:
        sys.exit(report_error(wrong_call(error), as_json=as_json))
    except StriateError as error:
        sys.exit(report_error(error, as_json=as_json))
    except OSError as error:
        if (too_long := name_too_long(error)) is None:
            raise
        sys.exit(report_error(too_long, as_json=as_json))
    except KeyboardInterrupt:
        if not as_json:
            sys.stderr.write("\nstopped\n")
            sys.exit(6)
        sys.exit(report_error(InterruptedRun("stopped"), as_json=True))
    finally:
        with contextlib.suppress(StriateError):  # after an error too
            sys.stdout.flush()
        sys.excepthook = partial(report_fault, as_json=as_json)  # for what is not caught above; typer left its own there
