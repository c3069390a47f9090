"""The settings that suit a task."""

from __future__ import annotations

import dataclasses

from striate.core.errors import UsageError
from striate.core.targets import Task
from striate.engine.settings import TrainSettings
from striate.workflows.tasks.registry import task_named


def suited_to(task: Task, settings: TrainSettings, *, asked: str | None = None) -> TrainSettings:
    """The settings with the task's own loss where they have the default, cross-entropy, and nobody `asked` for a loss.

    Numbers are neither right nor wrong: their loss is monitored in place of an accuracy.

    Raises:
        UsageError: the task has no such loss or no such measure, or cannot be trained against an attack.
    """
    record = task_named(task)
    if settings.monitor == "accuracy" and not record.has_accuracy:
        settings = dataclasses.replace(settings, monitor=record.monitored[0])
    if settings.monitor not in record.monitored:
        message = f"`task={task!r}` cannot be trained with `monitor={settings.monitor!r}`"
        raise UsageError(message, f"Take one of {', '.join(record.monitored)}.")
    if settings.adversarial is not None and not record.single_class:
        message = f"adversarial: only a network that gives one class per picture can be trained against an attack, not `task={task!r}`"
        raise UsageError(message, "Leave `adversarial` out.")
    loss = record.loss_like(settings.loss)
    if loss == settings.loss:
        return settings
    if settings.loss != "cross_entropy" or asked is not None:
        raise UsageError(f"`task={task!r}` cannot be trained on the {settings.loss} loss", f"Take one of {', '.join(record.losses)}.")
    return dataclasses.replace(settings, loss=loss)
