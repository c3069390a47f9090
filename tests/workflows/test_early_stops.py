"""Runs that stop early: what is said, what is kept, and where an extension goes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

import striate
from striate.core.errors import UsageError
from striate.workflows.training.running import QuietObserver

PLANNED = 40  # epochs; the accuracy of six val pictures can rise six times


class Listener(QuietObserver):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines += text.splitlines()


@pytest.fixture(scope="module")
def arrays():
    """60 pictures of noise with three labels that have nothing to do with them."""
    return np.random.default_rng(0).integers(0, 256, (60, 12, 10), dtype=np.uint8), np.arange(60) % 3


@pytest.fixture
def stopped(arrays, tmp_path):
    """A run that stopped early, its report, and what was said."""
    listener = Listener()
    report = striate.train(arrays, network="lenet5", epochs=PLANNED, patience=3, output=tmp_path / "run", observer=listener)
    return tmp_path / "run", report, listener.lines


def config_of(run):
    return yaml.safe_load((run / "config.yaml").read_text())


def test_an_early_stop_is_said_and_reported(stopped):
    run, report, lines = stopped

    assert report.stopped_early
    assert report.epochs < PLANNED
    assert "stops     after 3 epochs without a better val accuracy" in lines
    assert lines[-1].removesuffix(", of equal epochs that with the lowest loss") == (
        f"stopped   early, after epoch {report.epochs} of {PLANNED}: no better val accuracy in 3 epochs; "
        f"kept: epoch {report.best_epoch}, {report.val.accuracy:.4f}"
    )
    assert lines[-1].endswith("lowest loss") == (report.best_epoch > report.epochs - 3)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events[-2:]] == ["stopped_early", "closed"]


@pytest.mark.parametrize("as_total", [False, True])
def test_an_extension_of_a_stopped_run_trains_so_many_epochs_after_those_that_were_trained(arrays, stopped, as_total):
    run, report, _ = stopped
    total = report.epochs + 2
    listener = Listener()

    longer = striate.train(arrays, resume=run, epochs=total if as_total else "+2", observer=listener)

    assert longer.epochs == total
    assert not longer.stopped_early
    assert config_of(run)["settings"]["epochs"] == total
    assert any(line.startswith(f"training  {total} epochs") for line in listener.lines)
    assert striate.repro(run, arrays).equal


def test_a_stopped_run_is_done_unless_it_is_extended(arrays, stopped):
    run, report, _ = stopped

    with pytest.raises(UsageError, match=r"the run is done\nExtend it with `epochs='\+N'`"):
        striate.train(arrays, resume=run)
    with pytest.raises(UsageError, match=rf"has {report.epochs} epochs, `epochs` says 1"):
        striate.train(arrays, resume=run, epochs=1)


@pytest.mark.parametrize(
    ("monitor", "column"), [("macro_f1", "val_macro_f1"), ("balanced_accuracy", "val_balanced_accuracy"), ("loss", "val_loss")]
)
def test_the_kept_epoch_is_the_best_by_the_monitored_measure(arrays, tmp_path, monitor, column):
    report = striate.train(arrays, network="lenet5", epochs=6, monitor=monitor, learning_rate=0.3, output=tmp_path / "run")

    header, *rows = ((tmp_path / "run" / "metrics.csv").read_text().splitlines()[i].split(",") for i in range(7))
    values = [float(row[header.index(column)]) * (-1 if monitor == "loss" else 1) for row in rows]
    assert values[report.best_epoch - 1] == max(values)
    assert config_of(tmp_path / "run")["settings"]["monitor"] == monitor


def test_numbers_are_monitored_by_their_loss(arrays, tmp_path):
    X, _ = arrays
    run = tmp_path / "run"

    striate.train((X, X.mean((1, 2))), task="regression", network="lenet5", epochs=1, output=run)

    assert config_of(run)["settings"]["monitor"] == "loss"
    with pytest.raises(UsageError, match=r"`task='regression'` cannot be trained with `monitor='macro_f1'`\nTake one of loss\."):
        striate.train((X, X.mean((1, 2))), task="regression", monitor="macro_f1", epochs=1, output=tmp_path / "other")
