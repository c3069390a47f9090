"""`--mixup`, `--cutmix`, `--aa`, `--reprob`, `--normalization` and `--workers` on the command line."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest
import yaml

from striate.apps.cli import main

TINY = ("train", "digits", "--model", "lenet5", "--steps", 4, "--batch-size", 32, "--device", "cpu", "--no-diagnose")
CHANGES = ("--mixup", 0.2, "--cutmix", 1, "--aa", "trivial", "--reprob", 0.25, "--set", "augmentation.rotation=10")
PICTURES = ("--normalization", "per_image", "--set", "augmentation.resized_crop=[0.5,1]")


@pytest.fixture
def run_striate(capsys):
    """Run the command line in this process: gives exit code, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


def weights_of(run: Path) -> str:
    return hashlib.sha256((run / "best.safetensors").read_bytes()).hexdigest()


def losses_of(run: Path) -> list[tuple[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [(row["train_loss"], row["val_loss"]) for row in csv.DictReader(file)]


@pytest.mark.row("003-59")
def test_a_run_says_its_changes_keeps_them_and_is_the_same_with_any_number_of_workers(run_striate, tmp_path):
    for workers in (0, 2):
        code, _, err = run_striate(*TINY, *CHANGES, *PICTURES, "--workers", workers, "--output", tmp_path / f"w{workers}")
        assert code == 0, err

    assert "rotation 10" in err and "policy trivial" in err and "mixup 0.2" in err and "resized_crop (0.5, 1.0)" in err
    config = yaml.safe_load((tmp_path / "w2" / "config.yaml").read_text())
    got = {name: config["augmentation"][name] for name in ("mixup", "cutmix", "policy", "erasing", "rotation", "resized_crop")}
    assert got == {"mixup": 0.2, "cutmix": 1.0, "policy": "trivial", "erasing": 0.25, "rotation": 10, "resized_crop": [0.5, 1.0]}
    assert config["images"]["normalization"] == "per_image"
    assert losses_of(tmp_path / "w0") == losses_of(tmp_path / "w2")
    assert weights_of(tmp_path / "w0") == weights_of(tmp_path / "w2")


def test_a_run_with_workers_continues_and_a_run_repeats_from_its_configuration(run_striate, tmp_path):
    first, again = tmp_path / "first", tmp_path / "again"
    words = ("--epochs", 1, "--model", "lenet5", "--batch-size", 512, "--device", "cpu", "--no-diagnose")
    assert run_striate("train", "digits", *words, *CHANGES, *PICTURES, "--workers", 1, "--output", first)[0] == 0
    code, _, err = run_striate("train", "--recipe", first / "config.yaml", "--output", again, "--no-diagnose", "--device", "cpu")
    assert code == 0, err
    assert weights_of(first) == weights_of(again)
    code, _, err = run_striate("train", "--resume", first, "--normalization", "min_max")
    assert code == 2 and "images.normalization: 'per_image' in the checkpoint, now 'min_max'" in err
    code, _, err = run_striate("train", "--resume", first, "--mixup", 0.3)
    assert code == 2 and "augmentation.mixup: 0.2 in the checkpoint, now 0.3" in err
    code, _, err = run_striate("train", "--resume", first, "--epochs", "+1", "--workers", 2)
    assert code == 0, err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--aa", "rand"), "--aa: must be trivial, got 'rand'"),
        (("--mixup", -1), "mixup must not be negative, got -1"),
        (("--normalization", "zca"), "--normalization: must be dataset, per_image, min_max, imagenet, half or unit, got 'zca'"),
        (("--set", "augmentation.hue=3"), "hue must be at most 0.5, got 3"),
        (("--set", "augmentation.mixupp=1"), "unknown name in --set augmentation 'mixupp'\n  Did you mean mixup"),
    ],
)
def test_wrong_words_come_with_what_is_right(run_striate, words, text):
    code, out, err = run_striate("train", "digits", *words)

    assert (code, out) == (2, "")
    assert text in err
