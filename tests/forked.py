"""Run jobs from standard input, each in a process forked from this one, which has imported all that striate uses: a tenth of the time.

A line of JSON begins a job: `folder` to run in, `output` and `errors`, the files for stdout and stderr, `setting`, environment variables
(null takes one away), and one of `command` (words of `striate`), `program` (Python), `file` (a program; `words` follow its name, and
with `strict` its warnings are errors) and `shell` (for bash). The answer is the number of its process. A number asks whether that
process has ended: the answer is its exit code, or minus the signal that it died of, or null.
"""

import gc
import importlib
import json
import multiprocessing
import os
import pkgutil
import runpy
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

USED = ("matplotlib.backends.backend_agg", "matplotlib.figure", "scipy.stats", "sklearn.datasets", "sklearn.linear_model")


def import_all() -> None:
    """Import every module of striate, and what they import only when they need it."""
    import striate

    for name in (*USED, *(module.name for module in pkgutil.walk_packages(striate.__path__, "striate."))):
        if not name.endswith("__main__"):
            importlib.import_module(name)


class Begun:
    """A process of multiprocessing, with what of subprocess.Popen an ablation uses."""

    def __init__(self, process: multiprocessing.Process) -> None:
        self.process, self.terminate, self.kill = process, process.terminate, process.kill

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("a trial", timeout)
        return self.process.exitcode


def fork_trials() -> None:
    """Let the trials of ablations be forked, too; `tests/workflows/test_ablate.py` starts them as users do."""
    trial, trials = (sys.modules[f"striate.workflows.ablation.{name}"] for name in ("trial", "trials"))

    def work(folder: Path, *, measure_test: bool) -> None:
        output = os.open(folder / trials.OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.setsid()
        sys.exit(trial.main(folder, os.getppid(), measure_test=measure_test))

    def start(one: object, threads: int) -> Begun:
        process = multiprocessing.get_context("fork").Process(
            target=work, args=(trials.prepare(one),), kwargs={"measure_test": one.measure_test}
        )
        process.start()
        return Begun(process)

    trials._start = start


def run(job: dict) -> int:
    try:
        if "command" in job:
            sys.argv = ["striate", *job["command"]]
            sys.modules["striate.apps.cli"].main(job["command"])
        elif "shell" in job:
            os.execvp("bash", ["bash", "-c", job["shell"]])
        elif "file" in job:
            if job.get("strict"):
                warnings.simplefilter("error")
            sys.argv = [job["file"], *job.get("words", ())]
            sys.path.insert(0, str(Path(job["file"]).parent))
            runpy.run_path(job["file"], run_name="__main__")
        else:
            exec(compile(job["program"], "page", "exec"), {"__name__": "__main__"})  # a page's own program
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001  # what a page's program raises is its output
        traceback.print_exc()
        return 1
    return 0


def begin(job: dict) -> int:
    """The number of a new process that does the job."""
    if process := os.fork():
        return process
    os.chdir(job["folder"])
    for name, value in job["setting"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for place, name in ((1, "output"), (2, "errors")):
        if name == "errors" and job[name] == job["output"]:
            os.dup2(1, 2)
        else:
            os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), place)
    code = run(job)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def code_of(process: int) -> int | None:
    """The exit code of a process of `begin`; None while it runs."""
    ended, status = os.waitpid(process, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def main() -> None:
    import_all()
    fork_trials()
    gc.freeze()  # what is imported stays shared with the processes that are forked
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(begin(asked) if isinstance(asked, dict) else code_of(asked)), flush=True)


if __name__ == "__main__":  # the tests of modules import it
    main()
