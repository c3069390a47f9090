"""Kill one of two processes that train together, again and again, and compare how the run ends: `rank_kills [--runs N] [--json]`.

`torchrun` starts the processes again, and they go on from the last whole checkpoint. With --json, print the counts only. Ctrl-C or SIGTERM
end the counting; the sheet then tells of the runs that are over.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from kills import FLAGS, result
from sheet import spread, write_sheet

RANKS, MOST_KILLS, SECONDS_TO_END = 2, 2, 10.0
WORDS = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(RANKS), "--max-restarts", "3", "--monitor-interval", "0.1"]
SETTING = {**os.environ, "OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "10000"}
EQUAL = (
    "the same SHA-256 of best.safetensors and of the last checkpoint's weights, mean weights and optimizer, and the same metrics.csv "
    "without its times"
)
MOMENTS = {
    "at its beginning": lambda run: (run / "run.lock").exists(),
    "before its first update": lambda run: (run / "checkpoints" / "latest").exists(),
    "while it writes a file": lambda run: any(run.rglob(".*.tmp-*")),
    "at random": lambda run: (run / "events.jsonl").exists(),
}


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="rank-kills-") as name:
        counts, seconds = Bench(Path(name), random.Random(asked.seed)).counted(asked.runs)
    if asked.json:
        print(json.dumps(counts))
        return
    rows = [[moment, str(counts[f"killed {moment}"])] for moment in MOMENTS]
    rows.append(["in all", str(sum(counts[f"killed {moment}"] for moment in MOMENTS))])
    notes = [
        f"**{counts['equal']}/{counts['runs']}** runs ended equal to the undisturbed one: {EQUAL}.",
        f"Processes that outlived their run by {SECONDS_TO_END:g} s: **{counts['orphans']}**.",
        f"Seconds a run, kills and restarts included: {spread(seconds)}.",
        f"Each run: `torchrun --nproc-per-node {RANKS} --max-restarts 3 -m striate train DATA {' '.join(FLAGS)}`",
        f"on 200 made-up pictures of 12 x 12; one of its processes is killed, up to {MOST_KILLS} times.",
    ]
    write_sheet("rank_kills", "Processes that train together, of which one is killed", [["killed", "times"], *rows], notes)


class Bench:
    """A data set, and what a run of two processes on it gives that is left in peace."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance, self.data = folder, chance, folder / "data.npz"
        values = np.random.default_rng(0)
        labels = values.integers(0, 4, 200)
        images = (values.integers(0, 180, (200, 12, 12, 3)) + 20 * labels[:, None, None, None]).astype(np.uint8)
        np.savez(self.data, x_train=images, y_train=labels)
        code, errors = self.ended(self.started(folder / "straight"))
        if code:
            raise SystemExit(f"the undisturbed run ended with {code}:\n{errors}")
        self.wanted = result(folder / "straight")

    def counted(self, runs: int) -> tuple[Counter[str], list[float]]:
        """Kill in each of up to `runs` runs, up to twice; and the seconds that each took."""
        counts: Counter[str] = Counter(runs=0, equal=0, orphans=0, **{f"killed {moment}": 0 for moment in MOMENTS})
        seconds: list[float] = []
        for number in range(runs):
            started = time.monotonic()
            agent = self.started(self.folder / f"run-{number}")
            try:
                counts.update(self.disturbed(self.folder / f"run-{number}", agent))
            except KeyboardInterrupt:
                agent.terminate()
                agent.wait()
                break
            seconds.append(time.monotonic() - started)
            sys.stderr.write(f"{number + 1} of {runs} runs, {counts['equal']} equal\n")
        return counts, seconds

    def disturbed(self, run: Path, agent: subprocess.Popen[str]) -> Counter[str]:
        """What came of one run, some of whose processes are killed."""
        counts: Counter[str] = Counter(runs=1)
        everyone: set[int] = set()
        for _ in range(self.chance.randint(1, MOST_KILLS)):
            moment = self.chance.choice(list(MOMENTS))
            counts[f"killed {moment}"] += self.killed(agent, run, moment, everyone)
        code, errors = self.ended(agent)
        different = [f"exit {code}:\n{errors}"] if code else []
        different += [] if code else [name for name, value in result(run).items() if self.wanted[name] != value]
        if different:
            sys.stderr.write(f"{run.name}: differs in {', '.join(different)}\n")
        counts["equal"] += not different
        counts["orphans"] += not waited(lambda: not any(map(is_running, everyone)), SECONDS_TO_END)
        shutil.rmtree(run, ignore_errors=True)
        return counts

    def started(self, run: Path) -> subprocess.Popen[str]:
        """The `torchrun` of a new run."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        words = [*WORDS, "--master-port", port, "-m", "striate", "train", str(self.data), "--output", str(run), "--device", "cpu", *FLAGS]
        log = (self.folder / f"{run.name}.log").open("w+")
        return subprocess.Popen(words, env=SETTING, stdout=subprocess.DEVNULL, stderr=log, text=True)

    def ended(self, agent: subprocess.Popen[str]) -> tuple[int, str]:
        """The exit code and the end of the errors."""
        code = agent.wait(timeout=600)
        log = max(self.folder.glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
        return code, log.read_text()

    def killed(self, agent: subprocess.Popen[str], run: Path, moment: str, everyone: set[int]) -> bool:
        """Kill one of the processes at that moment; False where the run was over before. `everyone` gets their numbers."""
        before = set(everyone)

        def is_due() -> bool:
            everyone.update(workers_of(agent.pid))
            fresh = [each for each in workers_of(agent.pid) if each not in before]
            return agent.poll() is not None or (len(fresh) == RANKS and MOMENTS[moment](run))

        if not waited(is_due, 300) or agent.poll() is not None:
            return False
        if moment == "at random":
            time.sleep(self.chance.uniform(0, 2))
        victims = [each for each in workers_of(agent.pid) if each not in before]
        if not victims:
            return False
        os.kill(self.chance.choice(victims), signal.SIGKILL)
        return True


def waited(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def workers_of(agent: int) -> list[int]:
    """The processes that `agent` has started and that train, in the order of their numbers."""
    found = []
    try:
        children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    except OSError:
        return []
    for child in children:
        try:
            if b"striate" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
        except OSError:
            continue
    return sorted(found)


def is_running(process: int) -> bool:
    """Whether there is such a process that is not a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    main()
