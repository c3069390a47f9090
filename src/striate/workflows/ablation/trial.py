"""One trial of an ablation, from a prepared folder, in its own process.

`python -m striate.workflows.ablation.trial FOLDER PARENT [--test]`
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from striate.core.devices import choose_device, wait_briefly
from striate.core.errors import NumericError, StriateError, is_out_of_memory
from striate.core.files import write_json
from striate.core.locks import RunLock
from striate.core.seeds import torch_seed
from striate.engine.step import InParts
from striate.engine.validation import validate
from striate.models.fitting import EpochRow, FittingRun, fit_images
from striate.models.loading import load
from striate.models.model import Model
from striate.workflows.ablation.record import RESULT
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate
from striate.workflows.tasks.classify import EvaluateReport
from striate.workflows.training.continuing import Plan, config_and_network, plan_of
from striate.workflows.training.running import run

if TYPE_CHECKING:
    from torch import Tensor

HEARTBEAT = "heartbeat"
LAST_WORDS = 400  # characters of a failure that a trial's row tells
GRADIENT_IMAGES = 128  # of the training split, on which the gradients by depth are taken
INTERRUPTED = 6  # the exit code of a trial that was asked to stop


class Pulse:
    """Observes a trial: signals that it is running, and ends it when the process that started it has ended."""

    def __init__(self, folder: Path, parent: int | None = None) -> None:
        self.path, self.parent, self.beat = folder / HEARTBEAT, parent, 0.0
        self.path.touch()

    def say(self, text: str) -> None:
        """Ignored: the results contain it."""

    def end_with_parent(self) -> None:
        """End the process if the parent that would read the result has ended: a resumed ablation starts this trial again."""
        if self.parent is not None and os.getppid() != self.parent:
            os._exit(INTERRUPTED)

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        """Touch the file at most once a second."""
        now = time.monotonic()
        if now - self.beat > 1:
            self.end_with_parent()
            with contextlib.suppress(OSError):
                self.path.touch()
            self.beat = now

    def epoch(self, row: EpochRow) -> None:
        """Called after an epoch."""
        self.step(row.epoch, 0, 0)


def trial(folder: Path, *, data: Any = None, parent: int | None = None, measure_test: bool = False) -> dict[str, Any] | None:
    """Train what `config.yaml` and `network.json` in `folder` describe; returns the result, also if it failed. None: interrupted."""
    started = time.monotonic()
    pulse = Pulse(folder, parent)
    try:
        with RunLock(folder):
            pulse.end_with_parent()
            plan = plan_of(folder, *config_and_network(folder), pulse.say, data=data)
            before = gradient_norms(plan, fit_images(plan.fitting, plan.train_set, None).module)
            training = fit_images(plan.fitting, plan.train_set, plan.val_set)
            outcome = run(plan, folder, pulse, training=training, diagnose=False)
            if outcome.interrupted:
                return None
            hits = hits_of(training)
            model = load(folder, device=str(choose_device(plan.fitting.settings.device)))
            after = gradient_norms(plan, model.module)
            tested = test_accuracy(model, plan) if measure_test else {}
    except NumericError as error:
        return {"status": "diverged", "message": error.message}
    except StriateError as error:
        return {"status": "failed", "message": error.message}
    except (RuntimeError, MemoryError, ValueError, TypeError, OSError) as error:  # of torch, such as too little memory
        words = f"out of memory: {error}" if is_out_of_memory(error) else f"{type(error).__name__}: {error}"
        return {"status": "failed", "message": " ".join(words.split())[:LAST_WORDS]}
    last = outcome.rows[-1]
    return {
        "status": "done",
        "accuracy": last.val_accuracy,
        "num_val": len(hits),
        "hits": np.packbits(hits).tobytes().hex(),  # of each val picture, whether the last epoch has it right
        **tested,
        "val_loss": last.val_loss,
        "train_loss": last.train_loss,
        "seconds": round(time.monotonic() - started, 3),
        "training_seconds": round(sum(row.seconds for row in outcome.rows), 3),
        "steps": outcome.step,
        "curve": [[row.epoch, row.train_loss, row.val_loss, row.val_accuracy] for row in outcome.rows],
        "gradients_before": before,
        "gradients_after": after,
    }


def hits_of(training: FittingRun) -> np.ndarray:
    """(n,) bool: the pictures of the validation split that the trained network classifies correctly, by the last validation."""
    found: list[np.ndarray] = []

    def hits(outputs: Tensor, labels: Tensor) -> Tensor:
        right = outputs.argmax(1) == labels
        found.append(right.cpu().numpy())
        return right.sum()

    loop = training.loop
    if loop.val_batches is None:
        raise RuntimeError("a trial is trained with a validation split")
    with loop.kept_weights():
        validate(loop.model, InParts(loop.val_batches, loop.val_parts), hits_fn=hits)
    return np.concatenate(found)


def test_accuracy(model: Model, plan: Plan) -> dict[str, Any]:
    """The accuracy of the kept model on the test split."""
    report = cast("EvaluateReport", evaluate(EvaluateRequest(run=model, data=plan.source, split="test")))  # ablate compares classifiers
    return {"test_accuracy": report.accuracy, "num_test": report.num_images}


def gradient_norms(plan: Plan, module: Any) -> dict[str, float]:
    """The norm of the loss's gradient by each weight of more than one axis, by its path, in the order of the network.

    In training mode, on a copy, on the first training pictures.
    """
    import torch

    from striate.engine.losses import loss_of

    module = copy.deepcopy(module).train()
    device = next(module.parameters()).device
    images = torch.from_numpy(plan.train_set.images[:GRADIENT_IMAGES]).to(device)
    labels = torch.from_numpy(plan.train_set.labels[:GRADIENT_IMAGES]).to(device)
    weights = {name: weight for name, weight in module.get_submodule("network").named_parameters() if weight.ndim > 1}
    with torch_seed(plan.fitting.settings.seed):  # of dropout
        loss = loss_of(plan.fitting.settings)(module(images), labels)
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    return {
        name.removesuffix(".weight"): 0.0 if gradient is None else gradient.norm().item()
        for name, gradient in zip(weights, gradients, strict=True)
    }


def main(folder: Path, parent: int, *, measure_test: bool = False) -> int:
    """Run the trial for the process `parent` and leave its result; the exit code."""
    result = trial(folder, parent=parent, measure_test=measure_test) if os.getppid() == parent else None
    if result is None:
        return INTERRUPTED
    write_json(folder / RESULT, result)
    return 0


if __name__ == "__main__":
    wait_briefly()
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), measure_test="--test" in sys.argv[3:]))
