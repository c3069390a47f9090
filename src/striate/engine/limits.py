"""Effective settings of a training of a given size: those that are reduced, and those that have no effect."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from striate.engine.schedules import warmup_steps
from striate.engine.settings import TrainSettings

CutName = Literal["warmup_epochs", "batch_size", "accumulate"]  # of what `in_effect` cuts
CUT: tuple[CutName, ...] = get_args(CutName)


class Size(NamedTuple):
    """The length of a training."""

    steps_per_epoch: int
    num_steps: int

    @property
    def epochs(self) -> int:
        """Started epochs."""
        return -(-self.num_steps // self.steps_per_epoch)


def size_of(settings: TrainSettings, steps_per_epoch: int) -> Size:
    """The updates of a training."""
    return Size(steps_per_epoch, settings.steps or settings.epochs * steps_per_epoch)


def in_effect(settings: TrainSettings, num_train: int, steps_per_epoch: int) -> TrainSettings:
    """The effective settings of a training on `num_train` samples: they give the same updates."""
    size, batch = size_of(settings, steps_per_epoch), min(settings.batch_size, num_train)
    most = size.num_steps // 2
    asked = round(settings.warmup_epochs * size.steps_per_epoch)
    warmup = settings.warmup_epochs if asked <= most else warmup_steps(settings, *size) / size.steps_per_epoch
    return dataclasses.replace(settings, batch_size=batch, accumulate=min(settings.accumulate, batch), warmup_epochs=warmup)


def cuts_in_words(asked: TrainSettings, taken: TrainSettings) -> dict[str, str]:
    """A line on each setting that was reduced, by its name."""
    reasons = {
        "warmup_epochs": ("warm-up", "epoch", "at most half of the training"),
        "batch_size": ("batch", "picture", "all that the data has"),
        "accumulate": ("accumulate", "part", "of one picture each"),
    }
    lines = {}
    for name, (what, unit, reason) in reasons.items():
        before, after = getattr(asked, name), getattr(taken, name)
        if before != after:
            lines[name] = f"{what}: {after:.4g} {unit}{'s' if after != 1 else ''} instead of the requested {before:,.6g}, {reason}"
    return lines


def idle_in_words(settings: TrainSettings, steps_per_epoch: int) -> Iterator[str]:
    """A line on each setting that has no effect, because the training ends before."""
    size = size_of(settings, steps_per_epoch)
    length = f"a training of {size.epochs:,} epoch{'s' if size.epochs != 1 else ''}"
    if settings.patience is not None and settings.patience >= size.epochs - 1:
        yield f"patience: {settings.patience:,} epochs without improvement cannot occur in {length}, so it never stops early"
    if settings.unfreeze_every is not None and not settings.freeze:
        yield "unfreeze_every: no part is frozen (`freeze`)"
    elif settings.unfreeze_every is not None and settings.unfreeze_every >= size.epochs:
        yield f"unfreeze_every: no part is unfrozen in {length}, only after {settings.unfreeze_every:,}"
    if settings.lookahead is not None and settings.lookahead > size.num_steps:
        yield f"lookahead: the slow weights move after {settings.lookahead:,} updates, but the training has {size.num_steps:,}"
    if settings.swa_start is not None and settings.ema is None and _averaged_epochs(settings.swa_start, size) == 1:
        yield f"swa_start: in {length}, only the end of the last is included, so nothing is averaged"
    if idle := _idle_schedule(settings, size):
        yield f"sched {settings.schedule}: {idle} in {length}, so the learning rate stays at its peak"


def _averaged_epochs(start: float, size: Size) -> int:
    ends = [min(epoch * size.steps_per_epoch, size.num_steps) for epoch in range(1, size.epochs + 1)]
    return sum(end >= start * size.num_steps for end in ends)


def _idle_schedule(settings: TrainSettings, size: Size) -> str | None:
    """The schedule event that never occurs, so that the rate stays at its peak."""
    total = max(1, size.num_steps - warmup_steps(settings, *size))
    if settings.schedule == "step" and max(1, round(settings.step_every * size.steps_per_epoch)) >= total:
        return f"step_every {settings.step_every:g} epochs never pass"
    if settings.schedule == "multi_step" and all(place * total > total - 1 for place in settings.step_at):
        return f"step_at {', '.join(f'{place:g}' for place in settings.step_at) or '()'} is never reached"
    if settings.schedule == "plateau" and settings.plateau_epochs >= size.epochs - 1:
        return f"plateau_epochs {settings.plateau_epochs} without improvement cannot occur"
    return None
