"""Ablate a network: train it with and without its parts, on one budget, and compare."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import InterruptedRun, UsageError
from striate.core.files import write_json
from striate.core.journal import Journal
from striate.core.locks import RunLock
from striate.core.reports import shown_short
from striate.core.text import command
from striate.workflows.ablation.planning import laid_out, trials_of
from striate.workflows.ablation.record import JOURNAL, PLAN, Result, in_words, read_plan, read_result, read_results
from striate.workflows.ablation.report import write_tables
from striate.workflows.ablation.rows import VariantRow, rows_of
from striate.workflows.ablation.trials import Trial, under_way
from striate.workflows.cluster import check_cluster
from striate.workflows.info import info
from striate.workflows.runs.folder import RunFolder
from striate.workflows.runs.split import write_record
from striate.workflows.training.running import Observer, QuietObserver
from striate.workflows.training.runs import new_run_folder

UNFINISHED = ("failed", "hung")  # what may go better another time; a trial that diverged would do so again


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
    check_cluster(request.on)
    if request.retry_failed and request.resume is None:
        raise UsageError("`retry_failed=True` needs an existing ablation", "Name it: striate ablate --resume RUN --retry-failed.")
    if request.resume is None:
        held, record = laid_out(request, observer)
        folder = new_run_folder("ablate", f"{held['data_name']}-{held['network']}", request.output)
    elif not (folder := request.resume).joinpath(PLAN).exists() and not (folder / PLAN).is_symlink():
        raise UsageError(f"{folder}: holds no ablation to continue", f"Name the folder with {PLAN}.")
    with RunLock(folder):
        if request.resume is None:
            write_json(RunFolder(folder).env, info())
            write_record(folder, record)
            write_json(folder / PLAN, held)
        else:
            held = read_plan(folder)
        results, repeated = _run(folder, held, request, observer)
        report = _report(folder, held, results, repeated, time.monotonic() - started)
        write_tables(folder / "report", report)
    return report


def _run(folder: Path, held: Mapping[str, Any], request: AblateRequest, observer: Observer) -> tuple[dict[str, Result], int]:
    """The result of each trial by its key, and the number that existed before."""
    trials, again = trials_of(folder, held), UNFINISHED if request.retry_failed else ()
    results = {key: result for key, result in read_results(folder / JOURNAL).items() if result["status"] not in again}
    with Journal(folder / JOURNAL) as journal:

        def note(one: Trial, result: Result) -> None:
            journal.append({"trial": one.key, "result": result})
            journal.sync()
            results[one.key] = result

        for one in trials:  # one that ended as the ablation was stopped
            result = read_result(one.folder) if one.key not in results else None
            if result is not None and result["status"] not in again:
                note(one, result)
        repeated = len(results)
        if repeated:
            left = f"; {len(trials) - repeated} are to be trained, including those that failed or hung" if again else ""
            observer.say(f"{repeated} of {len(trials)} trials are finished{left}")
        try:
            for one, result in under_way([one for one in trials if one.key not in results], held, request, observer.say):
                note(one, result)
                observer.say(f"{len(results)}/{len(trials)}  {one.key}: {in_words(result)}")
        except InterruptedRun:
            message = f"{folder}: stopped; {len(results)} of {len(trials)} trials are finished and kept"
            raise InterruptedRun(message, f"Continue with: {command('striate', 'ablate', '--resume', folder)}") from None
    return results, repeated


def _report(folder: Path, held: Mapping[str, Any], results: Mapping[str, Result], repeated: int, seconds: float) -> AblateReport:
    numbers = {result["num_val"] for result in results.values() if "num_val" in result}
    return AblateReport(
        run=str(folder),
        network=held["network"],
        data=held["data_name"],
        budget=held["budget"],
        seeds=held["seeds"],
        variants=tuple(rows_of(held, results)),
        trials=len(results),
        repeated=repeated,
        seconds=round(seconds, 3),
        failed=sum(result["status"] in UNFINISHED for result in results.values()),
        num_val=numbers.pop() if len(numbers) == 1 else None,
    )
