"""A planned training in words: the lines that are printed before it begins."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from striate.core.images import ImageSpec
from striate.core.text import Lines, in_lines
from striate.data.augmentation.record import Augmentation
from striate.engine.settings import ROTATION, TrainSettings
from striate.workflows.training.continuing import Plan
from striate.workflows.training.planning import outputs_in_words
from striate.workflows.training.transfer import frozen_in_words

NO_UPDATES = "training  of the head alone"


def chosen(plan: Plan, folder: Path) -> Lines:
    """A summary of the planned training, in a few lines."""
    fitting, source = plan.fitting, plan.source
    net, settings, spec = fitting.network, plan.config.settings, fitting.images
    count, unit = (settings.steps, "step") if settings.steps else (settings.epochs, "epoch")
    length = f"{count:,} {unit}{'s' if count != 1 else ''}, batch {settings.batch_size}"
    loss = f", {settings.loss}" if settings.loss != "cross_entropy" else ""
    clip = f", gradients clipped at {settings.max_grad_norm:g}" if settings.max_grad_norm is not None else ""
    rate = f"learning rate {settings.learning_rate:g} ({settings.schedule})"
    schedule = f"{settings.optimizer}, {rate}, weight decay {settings.weight_decay:g}{clip}"
    return in_lines(
        (
            f"data      {source.name}: {len(plan.train_set):,} train, {len(plan.val_set):,} val, {outputs_in_words(source)}",
            f"network   {net.name}: {net.params:,} parameters, {net.macs:,} MACs, input {spec.words}",
            f"training  {length}{loss}, {schedule}" if settings.steps or settings.epochs else NO_UPDATES,
            *attack_in_words(settings),
            *second_task_in_words(settings),
            *frozen_in_words(settings),
            *patience_in_words(settings),
            f"pictures  {spec.fit}; augmentation: {changes_of(fitting.augmentation) if count else 'none'}"
            if isinstance(spec, ImageSpec)
            else f"{spec.kind:<9} each {'channel' if spec.extent else 'column'} brought to mean 0 and deviation 1; no augmentation",
            f"run       {folder}",
        )
    )


def attack_in_words(settings: TrainSettings) -> tuple[str, ...]:
    """The line on adversarial training, if there is one."""
    if settings.adversarial is None:
        return ()
    size = f"{settings.adversarial_norm} eps {settings.adversarial_eps:.4g} of a pixel's range"
    return (f"against   {settings.adversarial}, {size}; val: pgd of {settings.adversarial_steps} steps",)


def second_task_in_words(settings: TrainSettings) -> tuple[str, ...]:
    """The line on the auxiliary task, if there is one."""
    task = settings.auxiliary
    if task is None:
        return ()
    if isinstance(task, str):
        words = "by how many quarters a picture is turned" if task == ROTATION else f"the column {task!r}"
    else:
        words = f"{len(set(task.values()))} groups of the classes"
    return (f"besides   {words}, loss x {settings.auxiliary_weight:g}",)


def patience_in_words(settings: TrainSettings) -> tuple[str, ...]:
    """The line on early stopping, if it is on."""
    never = settings.patience is None or (settings.steps is None and settings.patience >= settings.epochs)
    if never:
        return ()
    epochs = f"{settings.patience} epoch{'s' if settings.patience != 1 else ''}"
    return (f"stops     after {epochs} without a better val {settings.monitor.replace('_', ' ').replace('f1', 'F1')}",)


def changes_of(augmentation: Augmentation) -> str:
    """The augmentations of a record that are on, in words."""
    shown = {"crop_padding", "flip"} | (set() if augmentation.flip else {"flip_mode"})  # or idle
    words = [f"shift by up to {augmentation.crop_padding} px" if augmentation.crop_padding else "", "mirror" if augmentation.flip else ""]
    for field in dataclasses.fields(augmentation):
        value = getattr(augmentation, field.name)
        if field.name not in shown and value != field.default:
            words.append(f"{field.name} {value}")
    return ", ".join(filter(None, words)) or "none"
