"""An ablation of 100 stand-ins for trials, of 0.2 s each, whose driver is killed 20 times: quick_trials.py RUN. Prints what came of it.

A trial adds its name to RUN/starts.txt; some raise, die as of too little memory, hang or go NaN whenever they are started. What is
between is the program's own: plan, journal, locks, processes. The drivers are forked, so that the kills fall into their work.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from striate.core.files import write_json
from striate.core.journal import read_journal
from striate.networks.layers import Chain, Flatten, Linear
from striate.networks.network import Network
from striate.workflows.ablation import ablate, trials
from striate.workflows.ablation.variants import slug

VARIANTS, SEEDS, KILLS = ("baseline", "without norm", "swap activation=tanh", "width 0.5"), 25, 20
TRIAL = """
import json, os, sys, time
run, folder, name = sys.argv[1:]
with open(run + "/starts.txt", "a") as starts:
    starts.write(name + "\\n")
time.sleep(0.2)
if name.endswith("norm/seed-3"):
    sys.exit("ValueError: a bad trial")
if name.endswith("norm/seed-7"):
    os.kill(os.getpid(), 9)
if name.endswith("tanh/seed-5"):
    time.sleep(60)
result = {"status": "done", "accuracy": 0.5, "train_loss": 1.0, "seconds": 0.2, "training_seconds": 0.2,
          "gradients_before": {}, "gradients_after": {}, "curve": [[1, 1.0, 1.0, 0.5]]}
if name.endswith("tanh/seed-11"):
    result = {"status": "diverged", "message": "the loss is not finite at step 3"}
with open(folder + "/.result", "w") as file:
    json.dump(result, file)
os.rename(folder + "/.result", folder + "/result.json")
"""


def start(one: trials.Trial, threads: int) -> subprocess.Popen[bytes]:
    """In place of a training."""
    folder = trials.prepare(one)
    with (folder / "output.txt").open("wb") as output:
        words = [sys.executable, "-S", "-c", TRIAL, str(RUN), str(folder), "/".join(folder.parts[-2:])]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)


def plan() -> dict[str, object]:
    net = Network("tiny", (1, 4, 5), Chain(flatten=Flatten(), linear=Linear(3)))
    fixed = {"network": "tiny", "data_name": "nothing", "budget": "epochs", "seeds": SEEDS, "first_seed": 0, "hang_after": 5.0}
    variants = [{"name": name, "edits": [], "steps": 1, "augmented": True, "network": net.to_data(), "diff": []} for name in VARIANTS]
    return {**fixed, "config": {"data": "nothing", "settings": {}}, "variants": variants}


def driver() -> int:
    """The number of a process that goes on with the ablation."""
    child = os.fork()
    if child:
        return child
    ablate.ablate(ablate.AblateRequest(resume=RUN, jobs=2))
    os._exit(0)


def finished() -> list[str]:
    return [record["trial"] for record in read_journal(JOURNAL)] if JOURNAL.exists() else []


def note(kept: dict[str, int]) -> None:
    """Into `kept`: each trial that is finished for the first time, and how often it had been started by then."""
    begun = Counter((RUN / "starts.txt").read_text().splitlines())
    for trial in finished():
        kept.setdefault(trial, begun[folder_of(trial)])


def folder_of(trial: str) -> str:
    variant, _, seed = trial.rpartition(" seed ")
    return f"{slug(variant)}/seed-{seed}"


def main() -> dict[str, object]:
    RUN.mkdir(parents=True)
    write_json(RUN / ablate.PLAN, plan())
    trials._start = start
    kept: dict[str, int] = {}
    lost, kills, chance = 0, 0, random.Random(0)
    for _ in range(KILLS):
        child, seen = driver(), len(kept)
        while len(finished()) <= seen and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        lost += len(set(kept) - set(finished()))
        note(kept)
    report = ablate.ablate(ablate.AblateRequest(resume=RUN, jobs=2))
    lost += len(set(kept) - set(finished()))
    begun = Counter((RUN / "starts.txt").read_text().splitlines())
    return {
        "kills": kills,
        "finished before the last start": len(kept),
        "lost": lost,
        "started again": [trial for trial, times in kept.items() if begun[folder_of(trial)] > times],
        "trials": len(finished()),
        "names": len(set(finished())),
        "rows": {row.name: [row.done, *row.problems] for row in report.variants},
    }


if __name__ == "__main__":
    RUN = Path(sys.argv[1])
    JOURNAL = RUN / ablate.JOURNAL
    print(json.dumps(main()))
