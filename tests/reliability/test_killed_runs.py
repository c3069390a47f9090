"""Trainings that are killed at random moments, or stopped by signals, and gone on with, end like one that was left in peace."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),  # a minute of one processor, and longer on a busy machine
    pytest.mark.skipif(os.name == "nt", reason="forks and sends signals"),
]
PROGRAM = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.fixture(scope="module", params=[pytest.param((4, 1, 2), id="few"), pytest.param((40, 5, 50), id="many", marks=pytest.mark.release)])
def found(request, forked, tmp_path_factory) -> dict:
    """What the program counted: of so many killed runs, runs for each signal, and pairs of runs in one folder."""
    runs, signals, pairs = map(str, request.param)
    words = ["--json", "--side", "8", "--runs", runs, "--signals", signals, "--pairs", pairs]
    run = forked.start(tmp_path_factory.mktemp("kills"), file=str(PROGRAM), words=words)
    assert run.wait(3000) == 0, run.errors
    assert run.errors == ""  # it says there which run differs, and in what
    return json.loads(run.output)


def test_runs_that_are_killed_at_random_end_equal_to_the_bit(found):
    kills = found["kills"]

    assert kills["equal"] == kills["runs"] >= 4
    assert kills["kills"] >= kills["runs"] / 2


def test_each_signal_ends_a_run_so_that_it_can_be_gone_on_with_to_the_bit(found):
    signals = found["signals"]

    assert set(signals) == {"SIGTERM", "SIGINT", "SIGINT twice", "SIGHUP", "SIGUSR1"}
    for kind, told in signals.items():
        assert told["equal"] == told["runs"] == told["exit_6"] + told["over"] >= 1, kind
    assert sum(told["exit_6"] for told in signals.values()) >= 3  # on a busy machine, a signal may come when the run is over


def test_of_two_runs_that_start_in_one_folder_one_ends_as_if_alone_and_the_other_names_it(found):
    pairs = found["pairs"]

    assert pairs["named"] == pairs["equal"] == pairs["pairs"] >= 2


def test_stopped_in_validation_or_while_the_best_model_is_saved_it_ends_equal_to_the_bit(forked, tmp_path):
    run = forked.start(tmp_path, file=str(Path(__file__).with_name("stopped_inside.py")), words=[str(tmp_path)])

    assert run.wait() == 0, run.errors
    found = json.loads(run.output)
    assert len(found) == 6
    for place, name, code, rest, equal in found:
        assert (code, rest, equal) == ({"SIGTERM": 6, "SIGKILL": -9}[name], 0, True), (place, name, (tmp_path / "log").read_text())
