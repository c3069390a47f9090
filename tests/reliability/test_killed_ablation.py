"""An ablation whose driver is killed goes on where it was: finished trials are kept, and none is repeated."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from striate.core.journal import read_journal


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX systems do")
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.release)])
def test_a_killed_driver_keeps_what_is_finished(forked, tmp_path: Path, how: signal.Signals) -> None:
    run = tmp_path / "run"
    words = ["mnist_notes", "digits", "--without", "augmentation", "--seeds", "1", "--steps", "10", "-b", "32", "--jobs", "1"]
    driver = forked.start(tmp_path, command=["ablate", *words, "--output", str(run)])
    journal = run / "trials.jsonl"
    while not (journal.exists() and read_journal(journal)):
        assert driver.poll() is None, driver.errors
        time.sleep(0.05)
    driver.send_signal(how)
    driver.wait(600)
    kept = read_journal(journal)
    times = {path: path.stat().st_mtime_ns for path in run.glob("trials/*/*/result.json")}

    done = forked.start(tmp_path, command=["ablate", "--resume", str(run), "--json"])

    assert done.wait() == 0, done.errors
    report = json.loads(done.output)
    records = read_journal(journal)
    assert records[: len(kept)] == kept
    assert len({record["trial"] for record in records}) == len(records) == 2
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())
    assert report["repeated"] >= len(kept)
    assert [row["done"] for row in report["variants"]] == [1, 1]
    if how == signal.SIGTERM:
        assert driver.returncode == 6
        assert f"striate ablate --resume {run}" in driver.errors


@pytest.mark.release
@pytest.mark.timeout(3600)
@pytest.mark.skipif(os.name == "nt", reason="kills as POSIX systems do")
def test_a_hundred_trials_are_kept_over_twenty_kills_of_their_driver_and_bad_ones_are_rows(tmp_path: Path) -> None:
    """Once a trial stands in the journal it is never started again."""
    program = [sys.executable, str(Path(__file__).with_name("quick_trials.py")), str(tmp_path / "run")]
    done = subprocess.run(program, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 20
    assert 20 <= found["finished before the last start"] < 100
    assert (found["lost"], found["started again"]) == (0, [])
    assert (found["trials"], found["names"]) == (100, 100)
    assert found["rows"] == {
        "baseline": [25],
        "without norm": [23, "seed 3: failed: ended with exit code 1 ValueError: a bad trial", "seed 7: failed: ended by signal 9"],
        "swap activation=tanh": [23, "seed 5: hung: no update for 5 s", "seed 11: diverged: the loss is not finite at step 3"],
        "width 0.5": [25],
    }
