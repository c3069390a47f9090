"""Runs against an attack: continued and repeated to the bit, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import striate
from striate.apps.cli import main
from striate.core.errors import UnknownNameError, UsageError
from striate.networks.layers import Activation, Chain, Conv, Dropout, Flatten, Linear
from striate.networks.network import Network
from striate.workflows.recipes.checked import with_checked_fields
from striate.workflows.training.repro import ReproRequest, repro
from striate.workflows.training.request import TrainRequest, summary
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train

NET = Network("tiny", (1, 8, 8), Chain(Conv(4, 3), Activation("relu"), Flatten(), Dropout(0.2), Linear(10)))
ATTACK = {"adversarial": "pgd", "adversarial_eps": 0.1, "adversarial_steps": 2}
SHORT = {"network": NET, "batch_size": 64, "epochs": 2, "device": "cpu", "diagnose": False, **ATTACK}  # 21 updates an epoch


class Cut(QuietObserver):
    """Ends the program at an update, as a kill would."""

    def __init__(self, at: int) -> None:
        self.left = at

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


class Listening(QuietObserver):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    train(TrainRequest(data="digits", mixup=0.3, ema=0.9, **SHORT, output=run))
    return run


def rows_of(run: Path) -> list[list[str]]:
    """metrics.csv without the two columns of time."""
    lines = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]
    kept = [place for place, name in enumerate(lines[0]) if name not in ("seconds", "images_per_second")]
    return [[line[place] for place in kept] for line in lines]


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(finished, tmp_path):
    run = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        train(TrainRequest(data="digits", mixup=0.3, ema=0.9, checkpoint_every=5, **SHORT, output=run), observer=Cut(33))

    report = train(TrainRequest(resume=run))

    assert report.steps == 42
    assert rows_of(run) == rows_of(finished)
    assert (run / "best.safetensors").read_bytes() == (finished / "best.safetensors").read_bytes()


def test_a_run_is_repeated_to_the_bit_from_its_folder_and_from_its_configuration(finished, tmp_path):
    assert repro(ReproRequest(run=finished)).equal
    train(TrainRequest(recipe=finished / "config.yaml", diagnose=False, output=tmp_path / "again"))

    assert rows_of(tmp_path / "again") == rows_of(finished)
    assert (tmp_path / "again" / "best.safetensors").read_bytes() == (finished / "best.safetensors").read_bytes()


def test_the_run_says_what_it_trains_against_and_how_it_withstands_it(finished):
    settings = yaml.safe_load((finished / "config.yaml").read_text())["settings"]
    assert {name: settings[name] for name in ATTACK} == ATTACK and settings["adversarial_norm"] == "linf"
    header, *rows = rows_of(finished)
    robust, plain = header.index("val_robust_accuracy"), header.index("val_accuracy")
    assert all(0 <= float(row[robust]) <= float(row[plain]) for row in rows)

    observer = Listening()
    run = finished.parent / "said"
    report = train(TrainRequest(data="digits", **{**SHORT, "epochs": None}, steps=2, output=run), observer=observer)

    assert any("against   pgd, linf eps 0.1 of a pixel's range; val: pgd of 2 steps" in text for text in observer.said)
    assert f"robust accuracy {report.val.measures['robust_accuracy']:.4f}" in summary(report)


def test_a_plain_run_has_no_robust_accuracy(tmp_path):
    striate.train("digits", network=NET, steps=2, device="cpu", output=tmp_path / "run")

    assert "robust" not in (tmp_path / "run" / "metrics.csv").read_text()


def test_a_run_goes_on_with_no_other_attack(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    with pytest.raises(UsageError, match=r"settings.adversarial_eps: 0.1 in the checkpoint, now 0.2"):
        train(TrainRequest(resume=run, adversarial_eps=0.2))


def test_the_flags_and_a_recipe_file_say_the_same(tmp_path, capsys):
    flags = ["--adversarial", "fgsm", "--adversarial-eps", "1/20", "--adversarial-steps", "3", "--set", "settings.adversarial_norm=l2"]
    words = ["train", "digits", "--model", "lenet5", "--steps", "2", "--device", "cpu", "--no-diagnose"]
    (tmp_path / "recipe.yaml").write_text(
        "settings: {adversarial: fgsm, adversarial_eps: 0.05, adversarial_steps: 3, adversarial_norm: l2, steps: 2, device: cpu}\n"
    )

    with pytest.raises(SystemExit) as end:
        main([*words, *flags, "--output", str(tmp_path / "flags"), "--json"])
    report = json.loads(capsys.readouterr().out)
    train(TrainRequest(data="digits", network="lenet5", recipe=tmp_path / "recipe.yaml", diagnose=False, output=tmp_path / "file"))

    assert not end.value.code
    assert 0 <= report["val"]["measures"]["robust_accuracy"] <= 1
    assert rows_of(tmp_path / "flags") == rows_of(tmp_path / "file")
    configs = [yaml.safe_load((tmp_path / name / "config.yaml").read_text()) for name in ("flags", "file")]
    assert configs[0] == configs[1]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"adversarial": None}, "adversarial_eps: no attack to train against"),
        ({"adversarial_eps": 0.0}, "`adversarial_eps`: must be more than 0, got 0.0"),
        ({"adversarial_eps": 8.0}, "`adversarial_eps`: must be at most 1, got 8.0"),
        ({"adversarial_steps": 0}, "`adversarial_steps`: must be at least 1, got 0"),
        ({"set": {"settings.adversarial_norm": "l1"}}, "`adversarial_norm`: must be linf or l2, got 'l1'\nDid you mean l2?"),
    ],
)
def test_bad_values_are_refused_before_anything_is_written(tmp_path, chosen, words):
    with pytest.raises(UsageError, match=words):
        train(with_checked_fields(TrainRequest, data="digits", **{**SHORT, **chosen}, output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_unknown_setting_of_the_attack_names_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="adversarial_step"):
        train(TrainRequest(data="digits", **SHORT, set={"settings.adversarial_step": 3}, output=tmp_path / "run"))


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_what_gives_no_single_class_is_not_trained_against_an_attack(tmp_path, task):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (40, 9, 8), dtype=np.uint8)
    y = rng.normal(size=(40, 2)) if task == "regression" else rng.integers(0, 2, (40, 3))

    with pytest.raises(
        UsageError, match=f"only a network that gives one class per picture can be trained against an attack, not `task={task!r}`"
    ):
        train(TrainRequest(data=(X, y), task=task, network="lenet5", adversarial="pgd", output=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
