"""Run jobs from standard input, each in a process forked from this one, which has imported torch already: a tenth of the time.

A job is a line of JSON: `folder` to run in, `output`, the file for stdout and stderr, and `command` (words of `striate`) or `program`.
The answer is its exit code.
"""

import json
import os
import sys
import traceback

import striate.apps.cli
import striate.demos.registry
import striate.workflows.face


def run(job: dict) -> int:
    try:
        if "command" in job:
            striate.apps.cli.main(job["command"])
        else:
            exec(compile(job["program"], "page", "exec"), {"__name__": "__main__"})  # a page's own program
    except SystemExit as end:
        return end.code or 0
    except BaseException:  # noqa: BLE001  # what a page's program raises is its output
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        if (child := os.fork()) == 0:
            os.chdir(job["folder"])
            output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            code = run(job)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":  # the tests of modules import it
    main()
