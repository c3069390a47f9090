"""Going on with a run whose checkpoints are damaged, whose folder is taken, or whose disk is gone."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest

from striate.core.errors import EnvironmentFault, RefusedFileError, UnknownNameError, UsageError
from striate.core.locks import RunLock
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train


class Notes(QuietObserver):
    """What was said; at update `at`, `then` is done."""

    def __init__(self, at: int = 0, then=lambda: None) -> None:
        self.at, self.then, self.steps, self.said = at, then, 0, []

    def say(self, text: str) -> None:
        self.said.append(text)

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        self.steps += 1
        if self.steps == self.at:
            self.then()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def straight_and_cut(tmp_path_factory) -> tuple[Path, Path]:
    """A run of 6 updates, and one that was cut off after the 5th, with checkpoints of updates 2 and 4."""
    folder = tmp_path_factory.mktemp("runs")
    values = np.random.default_rng(0)
    images, labels = values.integers(0, 256, (40, 8, 10), dtype=np.uint8), np.arange(40) % 3
    np.savez(folder / "data.npz", x_train=images, y_train=labels, x_val=images[:9], y_val=labels[:9])
    given = {"data": folder / "data.npz", "network": "compact_cnn", "epochs": 3, "batch_size": 20, "checkpoint_every": 2}
    train(TrainRequest(**given, output=folder / "straight"))
    with pytest.raises(KeyboardInterrupt):
        train(TrainRequest(**given, output=folder / "cut"), observer=Notes(5, interrupt))
    return folder / "straight", folder / "cut"


@pytest.fixture
def run(straight_and_cut, tmp_path) -> Path:
    return shutil.copytree(straight_and_cut[1], tmp_path / "run")


def checkpoints(run: Path) -> list[Path]:
    return sorted(run.glob("checkpoints/ckpt-*"))


def damage(checkpoint: Path) -> None:
    path = checkpoint / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def test_from_a_damaged_newest_checkpoint_the_run_goes_back_one_and_ends_the_same(straight_and_cut, run):
    damage(checkpoints(run)[-1])
    notes = Notes()

    train(TrainRequest(resume=run), observer=notes)

    (warning,) = [text for text in notes.said if text.startswith("WARNING")]
    assert f"{checkpoints(straight_and_cut[1])[-1].name}/optimizer.safetensors: damaged" in warning
    assert (run / "best.safetensors").read_bytes() == (straight_and_cut[0] / "best.safetensors").read_bytes()


def test_two_damaged_checkpoints_are_named_and_the_run_is_left_as_it_is(run):
    for checkpoint in checkpoints(run):
        damage(checkpoint)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"}

    with pytest.raises(RefusedFileError) as error:
        train(TrainRequest(resume=run))

    assert len(checkpoints(run)) == 2
    assert all(f"{checkpoint}/optimizer.safetensors: damaged" in error.value.message for checkpoint in checkpoints(run))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "run.lock"} == before


@pytest.mark.skipif(os.name == "nt", reason="the lock's file cannot be read there")
def test_a_run_that_is_at_work_is_not_gone_on_with_and_is_named(run):
    with RunLock(run), pytest.raises(EnvironmentFault, match=f"{run}: another run is using this folder: process {os.getpid()} on "):
        train(TrainRequest(resume=run))


def test_what_cannot_be_trained_leaves_a_folder_that_the_next_try_may_have(tmp_path):
    given = {"data": (np.zeros((20, 8, 10), np.uint8), np.arange(20) % 2), "network": "compact_cnn", "steps": 1, "diagnose": False}
    with pytest.raises(UnknownNameError, match="unknown part of the network 'stern'"):
        train(TrainRequest(**given, freeze=("stern",), output=tmp_path / "run"))

    report = train(TrainRequest(**given, output=tmp_path / "run"))

    assert report.steps == 1


def test_a_folder_at_work_is_named_to_a_new_run_and_one_that_is_done_is_left_alone(run):
    given = {"data": (np.zeros((20, 8, 10), np.uint8), np.arange(20) % 2), "network": "compact_cnn", "steps": 1, "output": run}
    (run / "run.lock").write_text(json.dumps({"pid": os.getppid(), "host": socket.gethostname(), "started": "2026-01-01"}))

    with pytest.raises(EnvironmentFault, match=f"another run is using this folder: process {os.getppid()} on "):
        train(TrainRequest(**given))

    (run / "run.lock").write_text("")
    with pytest.raises(UsageError, match="run: exists already\nChoose another `output`, or move the old run away"):
        train(TrainRequest(**given))


def test_a_run_whose_folder_is_taken_away_says_so_and_stops(run):
    with pytest.raises(EnvironmentFault, match=r"run.*: cannot write: No such file or directory"):
        train(TrainRequest(resume=run), observer=Notes(1, lambda: shutil.rmtree(run)))
