"""Run jobs from standard input, each in a process forked from this one, which has imported all that striate uses: a tenth of the time.

A job is a line of JSON: `folder` to run in, `output`, the file for stdout and stderr, and one of `command` (words of `striate`),
`program` (Python), `file` (a program, for which warnings are errors) and `shell` (for bash). The answer is its exit code.
"""

import importlib
import json
import os
import pkgutil
import runpy
import sys
import traceback
import warnings

USED = ("matplotlib.backends.backend_agg", "matplotlib.figure", "scipy.stats", "sklearn.datasets", "sklearn.linear_model")


def import_all() -> None:
    """Import every module of striate, and what they import only when they need it."""
    import striate

    for name in (*USED, *(module.name for module in pkgutil.walk_packages(striate.__path__, "striate."))):
        if not name.endswith("__main__"):
            importlib.import_module(name)


def run(job: dict) -> int:
    try:
        if "command" in job:
            sys.modules["striate.apps.cli"].main(job["command"])
        elif "shell" in job:
            os.execvp("bash", ["bash", "-c", job["shell"]])
        elif "file" in job:
            warnings.simplefilter("error")
            sys.argv = [job["file"]]
            runpy.run_path(job["file"], run_name="__main__")
        else:
            exec(compile(job["program"], "page", "exec"), {"__name__": "__main__"})  # a page's own program
    except SystemExit as end:
        return end.code or 0
    except BaseException:  # noqa: BLE001  # what a page's program raises is its output
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    import_all()
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
