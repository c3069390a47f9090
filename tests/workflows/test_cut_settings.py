"""Settings that a training cuts are recorded as they took effect, and said; what was asked for stays known."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
import yaml

import striate
from striate.core.errors import RefusedFileError, UsageError
from striate.networks.model_file import read_model
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training.running import QuietObserver

ASKED = {"network": "lenet5", "epochs": 4, "batch_size": 50, "warmup_epochs": 100, "seed": 1, "diagnose": False, "device": "cpu"}


class Listener(QuietObserver):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines += text.splitlines()


@pytest.fixture(scope="module")
def arrays():
    """30 pictures of noise with two labels."""
    return np.random.default_rng(0).integers(0, 256, (30, 12, 12), dtype=np.uint8), np.arange(30) % 2


@pytest.fixture(scope="module")
def original(arrays, tmp_path_factory):
    """A run of which warm-up and batch were cut, and what was said."""
    listener, run = Listener(), tmp_path_factory.mktemp("cut") / "run"
    striate.train(arrays, **ASKED, output=run, observer=listener)
    return run, listener.lines


@pytest.fixture
def run(original, tmp_path):
    """A copy of the run."""
    return shutil.copytree(original[0], tmp_path / "run")


def same_weights(one, other):
    ours, theirs = (read_model(RunFolder(each).model).tensors for each in (one, other))
    return all(np.array_equal(ours[name].numpy(), theirs[name].numpy()) for name in ours)


def test_a_cut_setting_is_said_and_recorded_as_it_took_effect(original):
    run, lines = original
    config = yaml.safe_load((run / "config.yaml").read_text())

    assert "warm-up: 2 epochs instead of the requested 100, at most half of the training" in lines
    assert "batch: 26 pictures instead of the requested 50, all that the data has" in lines
    assert any(line.startswith("training  4 epochs, batch 26") for line in lines)
    assert (config["settings"]["warmup_epochs"], config["settings"]["batch_size"]) == (2, 26)
    assert config["asked"] == {"warmup_epochs": 100, "batch_size": 50}
    assert (config["num_train"], config["num_val"]) == (26, 4)


def test_a_default_that_is_cut_is_recorded_and_not_said(arrays, tmp_path):
    listener = Listener()
    striate.train(arrays, network="lenet5", epochs=1, diagnose=False, output=tmp_path / "run", observer=listener)
    settings = RunFolder(tmp_path / "run").read_config().settings

    assert (settings.warmup_epochs, settings.batch_size) == (0, 26)
    assert not any("instead of the requested" in line for line in listener.lines)


@pytest.mark.parametrize("again", [ASKED, {**ASKED, "warmup_epochs": 2, "batch_size": 26}])
def test_a_run_is_extended_with_what_was_asked_for_and_with_what_took_effect(run, arrays, tmp_path, again):
    striate.train(arrays, **{**again, "epochs": "+4"}, resume=run)
    striate.train(arrays, **{**ASKED, "epochs": 4}, output=tmp_path / "first")
    striate.train(arrays, resume=tmp_path / "first", epochs=8)

    config = RunFolder(run).read_config()
    assert (config.settings.warmup_epochs, config.asked) == (4, {"warmup_epochs": 100, "batch_size": 50})
    assert same_weights(run, tmp_path / "first")
    assert striate.evaluate(run, arrays, split="val").num_images == 4  # its files are those that it was trained with


def test_a_run_is_not_extended_with_another_setting(run, arrays):
    with pytest.raises(UsageError, match=r"settings\.warmup_epochs: 100"):
        striate.train(arrays, resume=run, epochs=8, warmup_epochs=3)


def test_a_recipe_of_a_run_asks_for_what_the_run_was_asked_for(run, arrays, tmp_path):
    striate.train(arrays, recipe=run / "config.yaml", output=tmp_path / "again", diagnose=False, device="cpu")

    assert same_weights(run, tmp_path / "again")
    assert RunFolder(tmp_path / "again").read_config().asked == {"warmup_epochs": 100, "batch_size": 50}


def test_a_recipe_that_was_edited_is_taken_at_its_word(run, arrays, tmp_path):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["settings"]["warmup_epochs"] = 1.0
    (tmp_path / "edited.yaml").write_text(yaml.safe_dump(config))
    striate.train(arrays, network="lenet5", recipe=tmp_path / "edited.yaml", output=tmp_path / "again", diagnose=False, device="cpu")

    assert RunFolder(tmp_path / "again").read_config().settings.warmup_epochs == 1


def test_an_edit_of_what_took_effect_is_refused(run, arrays):
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("warmup_epochs: 2.0", "warmup_epochs: 1.0"))

    with pytest.raises(RefusedFileError, match=r"settings.warmup_epochs is 1.0, but the recorded request gives 2.0"):
        striate.evaluate(run, arrays)


def test_a_configuration_of_an_older_version_stays_as_it_is(original):
    config = RunFolder(original[0]).read_config()
    old = {name: value for name, value in config.plain_as_asked().items() if name not in ("asked", "num_train", "num_val")}
    read = type(config).from_plain(old, "config.yaml")

    assert (read.settings.warmup_epochs, read.asked, read.num_train) == (100, {}, None)
    assert read.with_planned(dataclasses.replace(read.planned, epochs=8)).settings.warmup_epochs == 100


def test_a_share_to_hold_out_that_is_not_used_is_said(tmp_path, arrays):
    x, y = arrays
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_val=x[:4], y_val=y[:4])
    listener = Listener()
    striate.train(
        tmp_path / "d.npz", network="lenet5", epochs=1, val_fraction=0.3, diagnose=False, output=tmp_path / "r", observer=listener
    )

    assert any(line.startswith("val_fraction: nothing is held out") for line in listener.lines)
