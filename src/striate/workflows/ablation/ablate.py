"""Ablate a network: train it with and without its parts, on one budget, and compare."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from striate.core.bounded import read_text
from striate.core.errors import EnvironmentFault, InterruptedRun, UsageError
from striate.core.files import write_json
from striate.core.intervals import Interval, Paired, holm, paired_difference, paired_share_difference, share_interval, t_interval
from striate.core.journal import Journal
from striate.core.locks import RunLock
from striate.core.reports import shown_short
from striate.core.text import Lines, command, in_lines
from striate.data.batches import Augmentation
from striate.data.recorded import SplitRecord
from striate.data.records import num_batches
from striate.networks.network import Network
from striate.workflows.ablation.record import JOURNAL, PLAN, START_AGAIN, Result, read_plan, read_result, read_results
from striate.workflows.ablation.report import terminal_table, write_report
from striate.workflows.ablation.trials import Trial, in_processes, in_this_process, lacks_ray, on_ray
from striate.workflows.ablation.variants import AUGMENTATION, BASELINE, Variant, slug, variants_of
from striate.workflows.info import info
from striate.workflows.recipes.choices import finds_rate, with_checked_fields
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.split import write_record
from striate.workflows.tasks.registry import task_named
from striate.workflows.training.continuing import Plan
from striate.workflows.training.lr_find import with_found_rate
from striate.workflows.training.planning import resolve
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import Observer, QuietObserver
from striate.workflows.training.runs import new_run_folder

UNFINISHED = ("failed", "hung")  # what may go better another time; a trial that diverged would do so again
TIMED_STEPS = 5  # of each variant, to make their times equal


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class AblateRequest:
    """The network, the data, and the edits of an ablation."""

    network: Any = None  # a name of the catalogue, or a Network
    data: Any = None
    edits: tuple[str, ...] = ()  # each a variant: "without shortcut", "swap activation=tanh", "width 0.5"
    pairs: bool = False  # each two of the edits, too
    grid: Path | None = None  # a YAML file with more variants
    seeds: int = Field(default=3, ge=1)  # 0, 1, ...: the same for each variant
    budget: Literal["epochs", "time", "macs"] = "epochs"  # what is equal
    jobs: int | None = Field(default=None, ge=1)  # trials at a time; None: one a core
    hang_after: float = Field(default=600.0, gt=0)  # seconds without an update
    on: str | None = None  # "ray", or "ray=ADDRESS"
    training: Mapping[str, Any] = Field(default_factory=dict)  # the other fields of TrainRequest
    output: Path | None = None
    resume: Path | None = None
    retry_failed: bool = False  # of the ablation that is resumed: train again what failed or hung
    test: bool = False  # measure the kept models on the test split too


@dataclass(frozen=True, kw_only=True)
class VariantRow:
    """The result of a variant: means over the seeds whose trials finished."""

    name: str
    edits: tuple[str, ...]
    params: int
    macs: int
    steps: int
    done: int  # trials
    accuracy: float | None  # on the validation split, of the last epoch
    accuracy_interval: tuple[float, float] | None  # 95 %, over other seeds and other pictures
    difference: float | None  # to the baseline, over the seeds that both have
    difference_interval: tuple[float, float] | None
    p_value: float | None  # of the paired t-test over the seeds
    p_corrected: float | None  # the same, corrected for the number of variants (Holm)
    train_loss: float | None
    seconds: float | None  # of training, one trial
    gradients_before: dict[str, float]  # norm by weight, before the first update; mean over the seeds
    gradients_after: dict[str, float]
    curve: tuple[tuple[float, ...], ...]  # epoch, training loss, validation loss and accuracy; means over the seeds
    curve_deviation: tuple[tuple[float, ...], ...]  # of the same between the seeds; empty with one
    test_accuracy: float | None = None  # of the epoch that is the best on the validation split; where it was asked for
    test_accuracy_interval: tuple[float, float] | None = None
    problems: tuple[str, ...]  # of trials that were not done
    diff: tuple[str, ...]


@shown_short
@dataclass(frozen=True, kw_only=True)
class AblateReport:
    """The variants of an ablation, the baseline first."""

    run: str
    network: str
    data: str
    budget: str
    seeds: int
    variants: tuple[VariantRow, ...]
    trials: int  # in all
    repeated: int  # trials that were done before, and kept
    seconds: float  # of this call
    num_val: int | None = None  # pictures of the validation split
    failed: int = 0  # trials that failed or hung; `retry_failed` trains them again


def ablate(request: AblateRequest, *, observer: Observer | None = None) -> AblateReport:
    """Train each variant from each seed, and compare; the changes of each edit are reported before anything trains.

    Finished trials stand in a journal that is on the disk before the next begins; with `resume` they are kept, the others trained.
    One that failed or hung counts as finished, unless `retry_failed` says otherwise.

    Raises:
        UsageError: an edit matches nothing, a field is wrong, or there is nothing to resume.
        DataError: the data cannot be read.
        InterruptedRun: a signal stopped it; what is finished is kept.
    """
    observer, started = observer or QuietObserver(), time.monotonic()
    if request.on is not None and request.on.partition("=")[0] != "ray":
        raise UsageError(f"`on` must be ray or ray=ADDRESS, got {request.on!r}")
    if request.retry_failed and request.resume is None:
        raise UsageError("`retry_failed=True` needs an existing ablation", "Name it: striate ablate --resume RUN --retry-failed.")
    if request.resume is not None:
        folder, laid_out = request.resume, None
        if not (folder / PLAN).exists() and not (folder / PLAN).is_symlink():
            raise UsageError(f"{folder}: holds no ablation to continue", f"Name the folder with {PLAN}.")
    else:
        laid_out = _laid_out(request, observer)
        folder = new_run_folder("ablate", f"{laid_out[0]['data_name']}-{laid_out[0]['network']}", request.output)
    with RunLock(folder):
        if laid_out is not None:
            held, record = laid_out
            RunFolder(folder).write_env(info())
            write_record(folder, record)
            write_json(folder / PLAN, held)
        else:
            held = read_plan(folder)
        results, repeated = _run(folder, held, request, observer)
        report = _report(folder, held, results, repeated, time.monotonic() - started)
        write_report(folder, report, TypeAdapter(AblateReport).dump_python(report, mode="json"))
    return report


def _laid_out(request: AblateRequest, observer: Observer) -> tuple[dict[str, Any], SplitRecord]:
    """Everything that decides the ablation, as plain data, and its split; reports the differences of the variants."""
    training = with_checked_fields(TrainRequest, data=request.data, network=request.network, **request.training)
    for field in ("pretrained", "pretrain", "unlabelled"):
        if getattr(training, field) is not None:
            message = f"`{field}`: each variant of an ablation starts from random weights, as trained ones fit only the whole network"
            raise UsageError(message, "Leave it out, or damage a trained network: striate ablate RUN --lesion.")
    plan = resolve(training, observer)
    if finds_rate(training):
        plan, _ = with_found_rate(plan, observer.say)
    if not task_named(plan.fitting.task).single_class:
        raise UsageError(f"ablate compares classifiers, but the task is {plan.fitting.task}")
    variants = variants_of(plan.fitting.network, request.edits, pairs=request.pairs, grid=request.grid)
    if plan.fitting.augmentation == Augmentation() and not all(one.augmented for one in variants):
        raise UsageError(
            f"{AUGMENTATION}: this training has no augmentation", "Name one, for example with a `recipe`, or leave that edit out."
        )
    steps = _steps(plan, variants, request.budget)
    for one, number in zip(variants, steps, strict=True):
        observer.say(
            in_lines([f"{one.name}: {one.network.params:,} parameters, {one.network.macs:,} MACs, {number:,} steps", *_cut(one.diff)])
        )
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


def _cut(lines: Sequence[str], most: int = 24) -> list[str]:
    """The lines, without the middle of a long list."""
    shown = list(lines) if len(lines) <= most else [*lines[: most - 4], f"... {len(lines) - most + 1} more ...", *lines[-3:]]
    return [f"  {line}" for line in shown]


def _steps(plan: Plan, variants: Sequence[Variant], budget: str) -> list[int]:
    """The updates of each variant on the budget."""
    settings = plan.fitting.settings
    steps = settings.steps or settings.epochs * num_batches(len(plan.train_set), settings.batch_size)
    if budget == "epochs":
        return [steps] * len(variants)
    costs = [float(one.network.macs) if budget == "macs" else _seconds_a_step(plan, one) for one in variants]
    return [max(1, round(steps * costs[0] / cost)) for cost in costs]


def _seconds_a_step(plan: Plan, one: Variant) -> float:
    """The median of some updates, after the first."""
    from striate.models.fitting import fit_images

    fitting = dataclasses.replace(plan.fitting, network=one.network, augmentation=_augmentation(plan, one))
    fitting = dataclasses.replace(fitting, settings=dataclasses.replace(fitting.settings, steps=TIMED_STEPS + 1))
    times = []
    events = fit_images(fitting, plan.train_set, None).events
    with contextlib.closing(events) as under_way:  # type: ignore[type-var]  # an iterator that can be closed
        for event in under_way:
            times.append(time.perf_counter())
            if event.step > TIMED_STEPS:
                break
    waits = sorted(after - before for before, after in itertools.pairwise(times))
    return waits[len(waits) // 2] if waits else 1.0


def _augmentation(plan: Plan, one: Variant) -> Augmentation:
    return plan.fitting.augmentation if one.augmented else Augmentation()


def trials_of(folder: Path, held: Mapping[str, Any]) -> list[Trial]:
    """The trials, those of the first seed first, all on one split."""
    trials, test = [], bool(held.get("test"))
    held_split = RunFolder(folder).split
    split = read_text(held_split, remedy=START_AGAIN) if held_split.exists() else None
    for seed in range(held["first_seed"], held["first_seed"] + held["seeds"]):
        for one in held["variants"]:
            config = {**held["config"], "network": held["network"]}
            config["settings"] = {**config["settings"], "seed": seed, "steps": one["steps"]}
            if not one["augmented"]:
                config["augmentation"] = dataclasses.asdict(Augmentation())
            place = folder / "trials" / slug(one["name"]) / f"seed-{seed}"
            trials.append(
                Trial(
                    variant=one["name"],
                    seed=seed,
                    folder=place,
                    config=config,
                    network=json.dumps(one["network"]),
                    split=split,
                    measure_test=test,
                )
            )
    return trials


def _run(folder: Path, held: Mapping[str, Any], request: AblateRequest, observer: Observer) -> tuple[dict[str, Result], int]:
    """The result of each trial by its key, and the number that existed before."""
    trials = trials_of(folder, held)
    path = folder / JOURNAL
    results = read_results(path)
    if request.retry_failed:
        results = {key: result for key, result in results.items() if result["status"] not in UNFINISHED}
    with Journal(path) as journal:
        for one in trials:
            if one.key in results or (result := read_result(one.folder)) is None:
                continue
            if not (request.retry_failed and result["status"] in UNFINISHED):
                results[one.key] = _noted(journal, one, result)
        repeated = len(results)
        left = [one for one in trials if one.key not in results]
        if repeated:
            again = f"; {len(trials) - repeated} are to be trained, including those that failed or hung" if request.retry_failed else ""
            observer.say(f"{repeated} of {len(trials)} trials are finished{again}")
        try:
            for one, result in _under_way(left, held, request, observer):
                results[one.key] = _noted(journal, one, result)
                observer.say(f"{len(results)}/{len(trials)}  {one.key}: {_in_words(result)}")
        except InterruptedRun:
            message = f"{folder}: stopped; {len(results)} of {len(trials)} trials are finished and kept"
            raise InterruptedRun(message, f"Continue with: {command('striate', 'ablate', '--resume', folder)}") from None
    return results, repeated


def _noted(journal: Journal, one: Trial, result: Result) -> Result:
    journal.append({"trial": one.key, "result": result})
    journal.sync()
    return result


def _under_way(
    trials: Sequence[Trial], held: Mapping[str, Any], request: AblateRequest, observer: Observer
) -> Iterator[tuple[Trial, Result]]:
    hang_after = float(held["hang_after"])
    if held["config"]["data"] == "arrays":
        if request.data is None or request.on is not None:
            raise UsageError("an ablation on arrays runs in this process, and needs the arrays", "Pass them as data, without on.")
        return in_this_process(trials, request.data)
    if request.on is not None:
        address, lacks = request.on.partition("=")[2] or None, lacks_ray()
        if not lacks:
            return on_ray(trials, address=address, hang_after=hang_after)
        if address is not None:
            raise EnvironmentFault(f"`on={request.on!r}`: {lacks}", 'Install it with: pip install "striate[cluster]".')
        observer.say(f"`on='ray'`: {lacks}; the trials run in processes of this machine instead, with the same results")
    jobs = min(request.jobs or os.cpu_count() or 1, max(1, len(trials)))
    return in_processes(trials, jobs=jobs, hang_after=hang_after)


def _in_words(result: Result) -> str:
    if result["status"] == "done":
        return f"val accuracy {result['accuracy']:.4f}, train loss {result['train_loss']:.4f}, {result['seconds']:.1f} s"
    return f"{result['status']}: {result['message']}"


def _report(folder: Path, held: Mapping[str, Any], results: Mapping[str, Result], repeated: int, seconds: float) -> AblateReport:
    seeds = range(held["first_seed"], held["first_seed"] + held["seeds"])
    by_variant = {one["name"]: {seed: results[f"{one['name']} seed {seed}"] for seed in seeds} for one in held["variants"]}
    base = by_variant[BASELINE]
    rows = [_row(one, by_variant[one["name"]], base) for one in held["variants"]]
    corrected = holm([row.p_value for row in rows])
    numbers = {result["num_val"] for result in results.values() if "num_val" in result}
    return AblateReport(
        run=str(folder),
        network=held["network"],
        data=held["data_name"],
        budget=held["budget"],
        seeds=held["seeds"],
        variants=tuple(dataclasses.replace(row, p_corrected=p) for row, p in zip(rows, corrected, strict=True)),
        trials=len(results),
        repeated=repeated,
        seconds=round(seconds, 3),
        failed=sum(result["status"] in UNFINISHED for result in results.values()),
        num_val=numbers.pop() if len(numbers) == 1 else None,
    )


def _row(one: Mapping[str, Any], results: Mapping[int, Result], base: Mapping[int, Result]) -> VariantRow:
    done = {seed: result for seed, result in results.items() if result["status"] == "done"}
    network = Network.from_data(one["network"])
    accuracy = _accuracy(list(done.values()), "accuracy", "num_val")
    test = _accuracy([result for result in done.values() if "test_accuracy" in result], "test_accuracy", "num_test")
    pairs = [(result, base[seed]) for seed, result in done.items() if base[seed]["status"] == "done"]
    paired = _paired(pairs) if one["name"] != BASELINE else None
    curves = np.array(list(zip(*(result["curve"] for result in done.values()), strict=False)))  # (epochs, seeds, 4)
    return VariantRow(
        name=one["name"],
        edits=tuple(one["edits"]),
        params=network.params,
        macs=network.macs,
        steps=one["steps"],
        done=len(done),
        accuracy=accuracy.mean if accuracy else None,
        accuracy_interval=_bounds(accuracy),
        difference=paired.difference if paired else None,
        difference_interval=_bounds(paired),
        p_value=paired.p_value if paired else None,
        p_corrected=None,
        train_loss=_mean([result["train_loss"] for result in done.values()]),
        seconds=_mean([result["training_seconds"] for result in done.values()]),
        gradients_before=_means([result["gradients_before"] for result in done.values()]),
        gradients_after=_means([result["gradients_after"] for result in done.values()]),
        curve=tuple(map(tuple, curves.mean(1).tolist())) if len(curves) else (),
        curve_deviation=tuple(map(tuple, curves.std(1, ddof=1).tolist())) if len(curves) and len(done) > 1 else (),
        test_accuracy=test.mean if test else None,
        test_accuracy_interval=_bounds(test),
        problems=tuple(f"seed {seed}: {result['status']}: {result['message']}" for seed, result in results.items() if seed not in done),
        diff=tuple(one["diff"]),
    )


def _accuracy(done: Sequence[Result], name: str, number: str) -> Interval | None:
    """The mean accuracy and its interval; over the seeds alone where older trials do not say of how many pictures."""
    shares = [result[name] for result in done]
    if all(number in result for result in done):
        return share_interval(shares, done[0][number]) if done else None
    return t_interval(shares)


def _paired(pairs: Sequence[tuple[Result, Result]]) -> Paired | None:
    """The difference to the baseline, seed by seed and picture by picture; seed by seed alone where older trials kept no pictures."""
    if all("hits" in result for pair in pairs for result in pair) and pairs:
        ours, theirs = (np.stack([_hits(pair[side]) for pair in pairs]) for side in (0, 1))
        return paired_share_difference(ours, theirs)
    return paired_difference([ours["accuracy"] for ours, _ in pairs], [theirs["accuracy"] for _, theirs in pairs])


def _hits(result: Result) -> np.ndarray:
    """(n,) bool: the pictures of the validation split that were classified correctly."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(result["hits"]), np.uint8), count=result["num_val"]).astype(bool)


def _bounds(interval: Interval | Paired | None) -> tuple[float, float] | None:
    """The bounds of an interval that has some, inside what a share or a difference of shares can be."""
    if interval is None or interval.low is None or interval.high is None:
        return None
    return max(-1.0 if isinstance(interval, Paired) else 0.0, interval.low), min(1.0, interval.high)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _means(records: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: math.fsum(record[name] for record in records) / len(records) for name in records[0]} if records else {}


def summary(report: AblateReport) -> Lines:
    """The report as text."""
    lines = [
        terminal_table(report),
        f"{report.run}: {report.trials} trials, {report.seconds:.1f} s; tables, curves and page in {report.run}/report",
    ]
    if report.failed:
        again = command("striate", "ablate", "--resume", Path(report.run), "--retry-failed")
        lines.append(f"{report.failed} failed or hung; rerun them with: {again}")
    return in_lines([*lines, ""])
