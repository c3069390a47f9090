"""The plan of an ablation: its variants, and the updates that each one gets."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median_high
from typing import TYPE_CHECKING, Any

from striate.core.bounded import read_text
from striate.core.errors import UsageError
from striate.core.text import in_lines
from striate.data.augmentation.record import Augmentation
from striate.data.recorded import SplitRecord
from striate.data.records import num_batches
from striate.models.fitting import fit_images
from striate.workflows.ablation.record import START_AGAIN
from striate.workflows.ablation.trials import Trial
from striate.workflows.ablation.variants import AUGMENTATION, Variant, slug, variants_of
from striate.workflows.recipes.checked import with_checked_fields
from striate.workflows.recipes.choices import finds_rate
from striate.workflows.runs.folder import RunFolder
from striate.workflows.tasks.registry import task_named
from striate.workflows.training.continuing import Plan
from striate.workflows.training.lr_find import with_found_rate
from striate.workflows.training.planning import resolve
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.starting import NONE

if TYPE_CHECKING:
    from striate.workflows.ablation.ablate import AblateRequest
    from striate.workflows.training.running import Observer

TIMED_STEPS = 5  # of each variant, to make their times equal
MOST_LINES = 24  # of the differences of one variant that are said


def laid_out(request: AblateRequest, observer: Observer) -> tuple[dict[str, Any], SplitRecord]:
    """Everything that decides the ablation, as plain data, and its split; reports the differences of the variants."""
    training = with_checked_fields(TrainRequest, data=request.data, network=request.network, **request.training)
    for field in ("pretrained", "extend", "pretrain", "unlabelled"):
        if getattr(training, field) not in (None, NONE):
            message = f"`{field}`: each variant of an ablation starts from random weights, as trained ones fit only the whole network"
            raise UsageError(message, "Leave it out, or damage a trained network: striate ablate RUN --lesion.")
    plan = resolve(dataclasses.replace(training, pretrained=NONE), observer)
    if finds_rate(training):
        plan, _ = with_found_rate(plan, observer.say)
    if not task_named(plan.fitting.task).single_class:
        raise UsageError(f"ablate compares classifiers, but the task is {plan.fitting.task}")
    variants = variants_of(plan.fitting.network, request.edits, pairs=request.pairs, grid=request.grid)
    if plan.fitting.augmentation == Augmentation() and not all(one.augmented for one in variants):
        remedy = "Name one, for example with a `recipe`, or leave that edit out."
        raise UsageError(f"{AUGMENTATION}: this training has no augmentation", remedy)
    steps = steps_of(plan, variants, request.budget)
    for one, number in zip(variants, steps, strict=True):
        head = f"{one.name}: {one.network.params:,} parameters, {one.network.macs:,} MACs, {number:,} steps"
        observer.say(in_lines([head, *_cut(one.diff)]))
    held = {
        "network": plan.fitting.network.name,
        "data_name": plan.source.name,
        "budget": request.budget,
        "seeds": request.seeds,
        "first_seed": plan.fitting.settings.seed,
        "hang_after": request.hang_after,
        "test": request.test,
        "config": plan.config.plain_as_asked(),
        "variants": [
            {
                "name": one.name,
                "edits": list(one.edits),
                "steps": number,
                "augmented": one.augmented,
                "network": one.network.to_data(),
                "diff": list(one.diff),
            }
            for one, number in zip(variants, steps, strict=True)
        ],
    }
    return held, plan.record


def _cut(lines: Sequence[str]) -> list[str]:
    """The lines, without the middle of a long list."""
    shown = (
        list(lines) if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 4], f"... {len(lines) - MOST_LINES + 1} more ...", *lines[-3:]]
    )
    return [f"  {line}" for line in shown]


def trials_of(folder: Path, held: Mapping[str, Any]) -> list[Trial]:
    """The trials, those of the first seed first, all on one split."""
    trials = []
    held_split = RunFolder(folder).split
    split = read_text(held_split, remedy=START_AGAIN) if held_split.exists() else None
    for seed in range(held["first_seed"], held["first_seed"] + held["seeds"]):
        for one in held["variants"]:
            config = {**held["config"], "network": held["network"]}
            config["settings"] = {**config["settings"], "seed": seed, "steps": one["steps"]}
            if not one["augmented"]:
                config["augmentation"] = dataclasses.asdict(Augmentation())
            place, network = folder / "trials" / slug(one["name"]) / f"seed-{seed}", json.dumps(one["network"])
            how = Trial(variant=one["name"], seed=seed, folder=place, config=config, network=network, split=split)
            trials.append(dataclasses.replace(how, measure_test=bool(held.get("test"))))
    return trials


def steps_of(plan: Plan, variants: Sequence[Variant], budget: str) -> list[int]:
    """The updates of each variant on the budget: "epochs", "time" or "macs"."""
    settings = plan.fitting.settings
    steps = settings.steps or settings.epochs * num_batches(len(plan.train_set), settings.batch_size)
    if budget == "epochs":
        return [steps] * len(variants)
    costs = [float(one.network.macs) if budget == "macs" else seconds_a_step(plan, one) for one in variants]
    return [max(1, round(steps * costs[0] / cost)) for cost in costs]


def seconds_a_step(plan: Plan, one: Variant) -> float:
    """The median of some updates, after the first."""
    settings = dataclasses.replace(plan.fitting.settings, steps=TIMED_STEPS + 1)
    augmentation = plan.fitting.augmentation if one.augmented else Augmentation()
    fitting = dataclasses.replace(plan.fitting, network=one.network, augmentation=augmentation, settings=settings)
    times = []
    with contextlib.closing(fit_images(fitting, plan.train_set, None).events) as events:  # type: ignore[type-var]  # can be closed
        for event in events:
            times.append(time.perf_counter())
            if event.step > TIMED_STEPS:
                break
    waits = [after - before for before, after in itertools.pairwise(times)]
    return median_high(waits) if waits else 1.0
