"""Trainings that are killed at random moments, or stopped by signals, and gone on with, end like one that was left in peace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="forks and sends signals")]
PROGRAM = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def counts(*words: str) -> dict:
    run = subprocess.run([sys.executable, str(PROGRAM), "--json", *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""  # it says there which run differs, and in what
    return json.loads(run.stdout)


@pytest.mark.parametrize("number", [4, pytest.param(40, marks=pytest.mark.release)])
def test_runs_that_are_killed_at_random_end_equal_to_the_bit(number):
    kills = counts("--runs", str(number), "--signals", "0", "--pairs", "0")["kills"]

    assert kills["equal"] == kills["runs"] == number
    assert kills["kills"] >= number / 2


def test_each_signal_ends_a_run_so_that_it_can_be_gone_on_with_to_the_bit():
    signals = counts("--runs", "0", "--signals", "2", "--pairs", "0")["signals"]

    assert set(signals) == {"SIGTERM", "SIGINT", "SIGINT twice", "SIGHUP", "SIGUSR1"}
    for kind, found in signals.items():
        assert found["equal"] == found["runs"] == 2, kind
        assert found["exit_6"] >= 1, kind  # on a busy machine, a signal may come when the run is over


@pytest.mark.parametrize("number", [2, pytest.param(50, marks=pytest.mark.release)])
def test_of_two_runs_that_start_in_one_folder_one_ends_as_if_alone_and_the_other_names_it(number):
    pairs = counts("--runs", "0", "--signals", "0", "--pairs", str(number))["pairs"]

    assert pairs == {"pairs": number, "named": number, "equal": number}


def test_stopped_in_validation_or_while_the_best_model_is_saved_it_ends_equal_to_the_bit(tmp_path):
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("stopped_inside.py")), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert len(found) == 6
    for place, name, code, rest, equal in found:
        assert (code, rest, equal) == ({"SIGTERM": 6, "SIGKILL": -9}[name], 0, True), (place, name, (tmp_path / "log").read_text())
