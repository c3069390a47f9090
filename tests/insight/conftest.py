"""Small trainings on scanned digits (8 x 8), in a loop of torch's own, for the tools that look at trainings."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.data.augmentation.record import Augmentation
from striate.engine.settings import TrainSettings
from striate.insight.diagnose import Finding
from striate.insight.diagnose.exam import Exam, Shift, answers_of
from striate.insight.diagnose.probe import Probe
from striate.insight.diagnose.setup import NetworkFacts, Setup

NUM_TRAIN = 1200  # of 1,797 pictures; the others validate


class Seen(NamedTuple):
    """What a probe saw of a training, and what it said, in that order."""

    probe: Probe
    rows: list[dict[str, Any]]
    said: list[Finding]


def setup_of(model: nn.Module, optimizer: torch.optim.Optimizer, num_images: int) -> Setup:
    """What is known of such a training."""
    parts = list(model.modules())
    facts = NetworkFacts(
        name="own",
        params=sum(weight.numel() for weight in model.parameters()),
        depth=sum(isinstance(part, nn.Conv2d | nn.Linear) for part in parts),
        norms=sum(isinstance(part, nn.BatchNorm2d) for part in parts),
        shortcuts=None,
        norm_momentum=min((part.momentum for part in parts if isinstance(part, nn.BatchNorm2d)), default=None),
        dropout=max((part.p for part in parts if isinstance(part, nn.Dropout)), default=0.0),
    )
    settings = TrainSettings(learning_rate=optimizer.param_groups[0]["lr"], weight_decay=0.0)
    return Setup(settings, Augmentation(), facts, is_fresh=True, num_train=num_images, num_val=1797 - NUM_TRAIN)


def exam_of(model: nn.Module, images: Tensor, labels: Tensor, val_logits: Tensor, val: Tensor) -> Exam:
    """The answers of a model in evaluation mode."""
    with torch.no_grad():
        train = answers_of(model(images).softmax(1).double().numpy(), labels.numpy())
    return Exam(
        train=train,
        val=answers_of(val_logits.softmax(1).double().numpy(), val.numpy()),
        train_counts=train.counts,
        val_counts=tuple(torch.bincount(val, minlength=10).tolist()),
        shared=0,
        shift=Shift(0.0, 1.0),
        input_mean=0.0,
        input_std=1.0,
    )


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """Pictures (1797, 1, 8, 8) in [0, 1] in a fixed random order, and their labels."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(images / 16).float().view(-1, 1, 8, 8)[order], torch.from_numpy(labels)[order]


@pytest.fixture
def one_thread() -> Any:
    """A tiny step is slower on two threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def train(digits: tuple[Tensor, Tensor], one_thread: None) -> Callable[..., Seen]:
    """Train a model on the digits, a probe beside it."""

    def run(
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        epochs: int = 3,
        batch_size: int = 32,
        num_images: int = NUM_TRAIN,
        max_grad_norm: float | None = None,
        wait: float = 0.0,
        every: int = 50,
    ) -> Seen:
        generator = torch.Generator().manual_seed(1)
        images, labels = digits[0][:num_images], digits[1][:num_images]
        probe, rows, said, step = Probe(every=every, num_classes=10), [], [], 0
        setup = setup_of(model, optimizer, num_images)
        exam: Exam | None = None
        steps = num_images // batch_size
        with probe.watch(model):
            for epoch in range(1, epochs + 1):
                order, total, correct = torch.randperm(num_images, generator=generator), 0.0, 0
                for part in order[: steps * batch_size].view(steps, batch_size):
                    if wait:
                        time.sleep(wait)
                    logits = model.train()(images[part])
                    loss = F.cross_entropy(logits, labels[part])
                    optimizer.zero_grad()
                    loss.backward()
                    if max_grad_norm is not None:
                        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
                    optimizer.step()
                    step, total, correct = step + 1, total + loss.item(), correct + int((logits.argmax(1) == labels[part]).sum())
                    probe.after_step(step, loss, optimizer.param_groups[0]["lr"])
                    said += probe.news(rows, setup=setup)
                with torch.no_grad():
                    logits = model.eval()(digits[0][NUM_TRAIN:])
                val = digits[1][NUM_TRAIN:]
                rows.append(
                    {
                        "epoch": epoch,
                        "step": step,
                        "train_loss": total / steps,
                        "train_accuracy": correct / (steps * batch_size),
                        "val_loss": F.cross_entropy(logits, val).item(),
                        "val_accuracy": (logits.argmax(1) == val).float().mean().item(),
                    }
                )
                said += probe.news(rows, setup=setup)
                if rows[-1]["val_accuracy"] == max(row["val_accuracy"] for row in rows):  # the model that a training would keep
                    exam = exam_of(model, images, labels, logits, val)
        return Seen(probe, rows, said + probe.news(rows, finished=True, setup=setup, exam=exam))

    return run
