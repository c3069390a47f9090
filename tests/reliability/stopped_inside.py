"""Stop a training inside its second validation, and around the rename of its second best.safetensors; go on with it, and compare.

stopped_inside.py FOLDER

Each training is a process of its own, forked from this one, which has imported PyTorch. Prints a JSON list of
[place, signal, exit code, exit code of the rest, whether it ended equal to the training that was left in peace].
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":  # not where pytest looks for doctests
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch: a fork must not lose threads

import matplotlib.pyplot  # noqa: F401  (here, so that the children have it)
import numpy as np

import striate.engine.validation
import striate.workflows.training.finishing
import striate.workflows.training.train
from striate.apps.cli import main as command_line

PLACES = ("in validation", "before the new model has its name", "after the new model has its name")
EPOCHS = 3
FLAGS = f"--model compact_cnn --epochs {EPOCHS} --batch-size 20 --model-ema 0.8 --checkpoint-every 2 --no-diagnose".split()


def stop_in(place: str, number: int) -> None:
    """Have this process send itself the signal `number` when it comes to `place` for the second time."""
    calls = []

    def here() -> None:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), number)

    validate, replace = striate.engine.validation.validate, Path.replace

    def validated(*given: object, **more: object) -> object:
        found = validate(*given, **more)  # type: ignore[arg-type]
        here()
        return found

    def replaced(path: Path, target: Path) -> Path:
        if target.name != "best.safetensors":
            return replace(path, target)
        if place == PLACES[1]:
            here()
        found = replace(path, target)
        if place == PLACES[2]:
            here()
        return found

    if place == PLACES[0]:
        striate.engine.validation.validate = validated  # type: ignore[assignment]
    else:
        Path.replace = replaced  # type: ignore[assignment, method-assign]


def ended(words: list[str], log: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """The exit code of the command line in a new process, or minus the signal that it died of."""
    if process := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code: object = 70
    striate.workflows.training.finishing.draw_curves = lambda *_: None  # a fourth of the time, and no place where these are stopped
    try:
        prepare()
        command_line(words)
    except SystemExit as end:
        code = end.code
    finally:
        sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 0)


def kept(run: Path) -> list[bytes]:
    """What must be equal: the model, and the tensors of the last checkpoint."""
    last = run / "checkpoints" / (run / "checkpoints" / "latest").read_text().strip()
    return [path.read_bytes() for path in [run / "best.safetensors", *sorted(last.glob("*.safetensors"))]]


def main(folder: Path) -> None:
    values, labels = np.random.default_rng(0), np.arange(60) % 3
    images = (values.integers(0, 90, (60, 8, 10)) + 50 * labels[:, None, None]).astype(np.uint8)  # so that each epoch is better
    np.savez(folder / "data.npz", x_train=images, y_train=labels, x_val=images[:17], y_val=labels[:17])
    begun = ["train", str(folder / "data.npz"), *FLAGS, "--output"]
    log = folder / "log"
    if code := ended([*begun, str(folder / "straight")], log):
        raise SystemExit(f"the training that was left in peace ended with {code}:\n{log.read_text()}")
    found = []
    for place in PLACES:
        for number in (signal.SIGTERM, signal.SIGKILL):
            run = folder / f"{place}-{number.name}"
            first = ended([*begun, str(run)], log, lambda place=place, number=number: stop_in(place, number))  # type: ignore[misc]
            rest = ended(["train", "--resume", str(run), "--checkpoint-every", "2", "--no-diagnose"], log)
            left = [path.name for path in run.rglob(".*.tmp-*")]
            found.append([place, number.name, first, rest, not rest and not left and kept(run) == kept(folder / "straight")])
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
