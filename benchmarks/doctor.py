"""Whether the training doctor is right: its findings on planted faults and on healthy runs: `doctor [--half 1] [--runs FOLDER]`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from doctor_cases import FAST, STATES, TOO_LARGE, Case, healthy, planted, split_of
from sheet import write_sheet

from striate.core.errors import StriateError
from striate.core.journal import read_journal
from striate.insight.diagnose import KINDS
from striate.insight.diagnose.statistics import share_below
from striate.workflows.diagnosis.diagnose import DiagnoseRequest, diagnose
from striate.workflows.training.planning import planned as plan_for
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver, run
from striate.workflows.training.runs import new_run_folder
from striate.workflows.training.train import begin

HEARD = "heard.json"  # of a run: what was said while it trained
UNJUDGED = {"loader_bound"}
SEVERAL = {  # faults that show in several ways, of which one is to be named
    FAST: "a learning rate that is too high: itself, or NaN",
    STATES: "depth without norms: a state of the network that it brings",
    TOO_LARGE: "an exploding loss: any of what it brings",
}


class Heard(QuietObserver):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def train_case(case: Case, half: int, seed: int, folder: Path) -> float:
    """Train a case into `folder`; gives the seconds."""
    started = time.perf_counter()
    split = split_of(case, half, seed)
    folder.mkdir(parents=True)
    data = folder / "data.npz"
    np.savez(data, x_train=split.train.images, y_train=split.train.labels, x_val=split.val.images, y_val=split.val.labels)
    shape = (split.train.images.shape[3], *split.train.images.shape[1:3])
    network = case.net(shape, int(split.train.labels.max()) + 1)
    fields = {"data": str(data), "network": network, "seed": seed, "output": folder / "run", **case.fields}
    if case.pretrain:
        other = split_of(dataclasses.replace(case, change=None), half, seed + 500)
        arrays = folder / "before.npz"
        np.savez(arrays, x_train=other.train.images, y_train=other.train.labels, x_val=other.val.images, y_val=other.val.labels)
        before = {"data": str(arrays), "network": network, "epochs": 6, "output": folder / "before"}
        train_quickly(TrainRequest(**before), None, Heard(), diagnose=False)
        fields["pretrained"] = folder / "before"
    heard = Heard()
    try:
        train_quickly(TrainRequest(**fields), case.normalized, heard)
    except StriateError as error:
        heard.lines.append(f"error: {error.message}")
    (folder / HEARD).write_text(json.dumps(heard.lines))
    return time.perf_counter() - started


def train_quickly(request: TrainRequest, by: tuple[float, float] | None, heard: Heard, *, diagnose: bool = True) -> None:
    """What `train` does, without drawing curves; with another mean and deviation than those of the pictures, where some are given."""
    plan = plan_for(request, heard)
    if by is not None:
        channels = plan.fitting.images.channels
        images = dataclasses.replace(plan.fitting.images, mean=(by[0],) * channels, std=(by[1],) * channels)
        config = dataclasses.replace(plan.config, images=images)
        plan = dataclasses.replace(plan, fitting=dataclasses.replace(plan.fitting, images=images), config=config)
    folder = new_run_folder("train", "case", request.output)
    plan = begin(folder, plan, None, again=False)
    run(plan, folder, heard, diagnose=diagnose)


def cases(half: int) -> list[tuple[str, int, Case]]:
    """Name of the folder, seed and case, of one half."""
    found = [*(("planted", case) for case in planted()), *(("healthy", case) for case in healthy())]
    return [(f"{half}-{place:03d}-{group}", 100 * half + place, case) for place, (group, case) in enumerate(found)]


class Judged(NamedTuple):
    """What was said of a case: while it trained, and by `striate diagnose` afterwards."""

    case: Case
    said: list[str]
    found: list[str]
    brought: list[str]  # that one of the findings explains
    withdrawn: list[str]

    def has(self, kind: str) -> bool:
        """Whether it was said at either time."""
        return kind in self.said or kind in self.found

    @property
    def is_named(self) -> bool:
        """Whether the fault is."""
        return any(self.has(kind) for kind in self.case.wanted)

    @property
    def stray(self) -> set[str]:
        """What was said and is wrong."""
        return {*self.said, *self.found} - UNJUDGED - {*self.case.wanted, *self.case.allowed}


def judged(case: Case, folder: Path) -> Judged:
    """Diagnose a trained case."""
    run = folder / "run"
    if not (run / "config.yaml").is_file():
        raise RuntimeError(f"{folder}: {(folder / HEARD).read_text()}")
    journal = read_journal(run / "events.jsonl")
    said = [line["kind"] for line in journal if line["event"] == "finding"]
    if any(line["event"] == "diverged" for line in journal):
        said.append("not_finite")
    report = diagnose(DiagnoseRequest(run=run, batches=3, output=folder / "diagnosis"))
    brought = [kind for finding in report.findings for kind in finding.consequences]
    return Judged(case, said, [finding.kind for finding in report.findings], brought, [one.kind for one in report.withdrawn])


def share(hits: int, count: int) -> str:
    """hits / count with Wilson's 95 % interval."""
    if not count:
        return "-"
    low, high = share_below(hits, count, 1.96), 1 - share_below(count - hits, count, 1.96)
    return f"{hits}/{count} ({100 * low:.0f} to {100 * high:.0f} %)"


def table_of(results: Sequence[Judged]) -> list[list[str]]:
    """For each kind of finding how often it is said where it was planted, and how often it is not where it would be wrong."""
    table = [["finding", "said where it was planted", "not said where it would be wrong", "of these, healthy runs"]]
    for kind in (kind for kind in KINDS if kind not in UNJUDGED):
        mine = [one for one in results if one.case.wanted == (kind,)]
        wrong = [one for one in results if kind not in (*one.case.wanted, *one.case.allowed)]
        well = [one for one in wrong if not one.case.wanted]
        quiet, quiet_well = (sum(not one.has(kind) for one in part) for part in (wrong, well))
        row = share(sum(one.has(kind) for one in mine), len(mine)), share(quiet, len(wrong)), share(quiet_well, len(well))
        table.append([kind.replace("_", " "), *row])
    for wanted, words in SEVERAL.items():
        mine = [one for one in results if one.case.wanted == wanted]
        table.append([words, share(sum(one.is_named for one in mine), len(mine)), "-", "-"])
    return table


def notes_of(results: Sequence[Judged]) -> list[str]:
    """What the table does not tell: runs as wholes, and which went wrong."""
    faults, well = [one for one in results if one.case.wanted], [one for one in results if not one.case.wanted]
    missed, wrong = [one for one in faults if not one.is_named], [one for one in results if one.stray]
    agreed = sum({*one.said} <= {*one.withdrawn, *one.found, *one.brought} for one in results)
    return [
        f"planted faults: the fault is named in {share(len(faults) - len(missed), len(faults))}",
        f"planted faults: something else, which is wrong, is said in {share(sum(bool(one.stray) for one in faults), len(faults))}",
        f"healthy runs: nothing is said in {share(sum(not one.stray for one in well), len(well))}",
        f"what was said while training is confirmed afterwards, or withdrawn with a reason, in {share(agreed, len(results))}",
        "which findings are right for which fault stands in `doctor_cases.py`; overfitting is right wherever it was measured on few photos",
        "loader bound is not judged: it depends on what else the machine does",
        f"missed: {'; '.join(map(_name, missed)) or 'none'}",
        f"wrong: {'; '.join(f'{_name(one)}: {sorted(one.stray)}' for one in wrong) or 'none'}",
    ]


def _name(one: Judged) -> str:
    return f"{one.case.name} ({one.case.data})"


def main() -> None:
    """Train all cases of a half, diagnose them, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", type=int, choices=(0, 1), default=1, help="0: that the thresholds were set on; 1: that is reported")
    parser.add_argument("--runs", type=Path, help="keep the runs there, and train only those that it lacks")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        runs = arguments.runs or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        results = []
        for name, seed, case in cases(arguments.half):
            folder = runs / name
            if not (folder / HEARD).exists():
                shutil.rmtree(folder, ignore_errors=True)
                print(name, case.data, case.name, f"{train_case(case, arguments.half, seed, folder):.1f} s", flush=True)
            results.append(judged(case, folder))
    write_sheet(
        "doctor" if arguments.half else "doctor_tuning",
        "How often the training doctor is right",
        table_of(results),
        [
            *notes_of(results),
            "the thresholds were set on the other half of pictures and seeds" if arguments.half else "the half that thresholds were set on",
        ],
    )


if __name__ == "__main__":
    main()
