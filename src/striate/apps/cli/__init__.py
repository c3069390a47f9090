"""The command line: read the flags, call one workflow, show its report.

stdout carries the result, stderr the talk; errors end with the exit code of their kind. Workflows are imported inside the
commands, so that `striate --help` does not wait for torch.
"""

from __future__ import annotations

import sys

from striate.apps.cli.commands import app
from striate.apps.cli.output import report_error

__all__ = ["app", "main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    from striate.core.errors import StriateError

    words = sys.argv[1:] if arguments is None else arguments
    try:
        app(words, standalone_mode=True)
    except StriateError as error:
        sys.exit(report_error(error, as_json="--json" in words))
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped\n")
        sys.exit(6)
    except BrokenPipeError:  # the reader of stdout went away, as in `striate networks | head`
        sys.stderr.close()
        sys.exit(0)
