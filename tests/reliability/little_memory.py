"""Train in a process whose address space may grow by so many MiB and no more: `little_memory.py FOLDER MIB...`.

Each training is forked from this process, which has imported PyTorch, so that the limits fall into the training. Each is gone on with
without a limit, where it left a checkpoint. Prints a JSON list of [MiB, exit code, exit code of the rest or null, what it said].
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from pathlib import Path

if __name__ == "__main__":  # not where pytest looks for doctests
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch: a fork must not lose threads

import matplotlib.pyplot  # noqa: F401  (here, so that the children have it)
import numpy as np

import striate.workflows.training.train  # noqa: F401
from striate.apps.cli import main as command_line

FLAGS = ["--model", "cifar_notes", "--img-size", "96", "--batch-size", "96", "--steps", "3", "--checkpoint-every", "1"]
FLAGS += ["--precision", "float32", "--no-diagnose"]


def ended(words: list[str], log: Path, *, more_bytes: int | None = None) -> int:
    """The exit code of the command line in a new process, or minus the signal that it died of."""
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if more_bytes is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    code: object = 1
    try:
        command_line(words)
    except SystemExit as end:
        code = end.code
    finally:
        if sys.exc_info()[0]:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


def main(folder: Path, limits: list[int]) -> None:
    values, labels = np.random.default_rng(0), np.arange(220) % 3
    np.savez(folder / "data.npz", x_train=values.integers(0, 255, (220, 96, 80, 3), dtype=np.uint8), y_train=labels)
    found = []
    for limit in limits:
        run, log = folder / str(limit), folder / f"log-{limit}"
        code = ended(["train", str(folder / "data.npz"), *FLAGS, "--output", str(run)], log, more_bytes=limit * 2**20)
        rest = None
        if code and (run / "checkpoints" / "latest").exists():
            rest = ended(["train", "--resume", str(run), "--no-diagnose"], folder / "log-rest")
        found.append([limit, code, rest, log.read_text()])
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
