"""Runs on the digits that are changed, extended, killed, repeated or gone wrong: what is refused, what goes on, and what stays."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import striate
from striate.apps.cli import main
from striate.core.images import ImageSpec, InputSpec, SignalSpec
from striate.core.journal import read_journal
from striate.core.targets import TargetSpec
from striate.data.archives import npz_arrays
from striate.data.augmentation.record import Augmentation
from striate.data.pairs import PairSet
from striate.data.records import ImageSet
from striate.data.sources import open_data
from striate.engine.settings import TrainSettings
from striate.models.fitting import Fitting, fit_images
from striate.models.restorer import scale_of_network
from striate.networks.catalog import network, networks
from striate.networks.network import Network
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train

pytestmark = pytest.mark.slow
FLAGS = ("train", "digits", "--model", "compact_cnn", "--batch-size", "64", "--no-diagnose")  # 21 updates an epoch


class Cut(QuietObserver):
    """Ends the program at an update, as a kill would."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise KeyboardInterrupt


@pytest.fixture
def command_line(capsys):
    """Run the command line: its exit code, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return int(end.value.code or 0), *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run of two epochs."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.raises(SystemExit) as end:
        main([*FLAGS, "--epochs", "2", "--output", str(run)])
    assert not end.value.code
    return run


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory) -> Path:
    """The same run, which ended at update 30, with a checkpoint of update 25."""
    run = tmp_path_factory.mktemp("runs") / "cut"
    request = TrainRequest(data="digits", network="compact_cnn", batch_size=64, epochs=2, checkpoint_every=5, diagnose=False, output=run)
    with pytest.raises(KeyboardInterrupt):
        train(request, observer=Cut(29))
    return run


@pytest.fixture
def cut_run(cut_off, tmp_path) -> Path:
    return shutil.copytree(cut_off, tmp_path / "run")


def metrics(run: Path) -> list[dict[str, str]]:
    """metrics.csv without its times."""
    with (run / "metrics.csv").open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")} for row in csv.DictReader(file)
        ]


def same(run: Path, other: Path) -> bool:
    return metrics(run) == metrics(other) and (run / "best.safetensors").read_bytes() == (other / "best.safetensors").read_bytes()


# ---- changes


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("--lr", "0.3"), r"settings.learning_rate: 0\.05 in the checkpoint, now 0\.3"),
        (("--set", "settings.momentum=0.5"), r"settings.momentum: 0\.9 in the checkpoint, now 0\.5"),
        (("--model", "lenet5"), "network: 'compact_cnn' in the checkpoint, now 'lenet5'"),
        (("--crop-padding", "2"), "augmentation.crop_padding: 1 in the checkpoint, now 2"),
        (("--seed", "3"), "settings.seed: 0 in the checkpoint, now 3"),
    ],
)
def test_a_run_goes_on_with_no_other_setting_and_the_difference_is_shown(command_line, cut_run, flags, line):
    code, out, err = command_line("train", "--resume", cut_run, *flags)

    assert (code, out) == (2, "")
    assert re.search(rf"cannot be continued with different settings:\n  {line}\n", err)
    assert "Continue with the settings it has, or start a new run." in err


def test_an_edited_configuration_is_refused_with_the_difference(command_line, cut_run):
    config = yaml.safe_load((cut_run / "config.yaml").read_text())
    config["settings"]["weight_decay"] = 0.25
    (cut_run / "config.yaml").write_text(yaml.safe_dump(config))

    code, _, err = command_line("train", "--resume", cut_run)

    assert code == 2
    assert "  settings.weight_decay: 0.0005 in the checkpoint, now 0.25\n" in err


def test_other_pictures_are_refused(command_line, cut_run, tmp_path):
    digits = open_data("digits").read("train")
    images = digits.images.copy()
    images[5, 2, 3] ^= 1  # one bit of one pixel
    np.savez(tmp_path / "other.npz", x_train=images, y_train=digits.labels)

    code, _, err = command_line("train", tmp_path / "other.npz", "--resume", cut_run)

    assert code == 2
    assert "the pictures or labels of other have changed since the checkpoint" in err


def test_without_a_change_it_ends_as_the_straight_run(command_line, cut_run, finished):
    code, _, _ = command_line("train", "--resume", cut_run)

    assert code == 0
    assert same(cut_run, finished)


def test_arrays_are_asked_for_again_and_must_be_the_same(command_line, tmp_path):
    digits = open_data("digits").read("train")
    images, labels = digits.images[:200], digits.labels[:200]
    request = TrainRequest(
        data=(images, labels), network="compact_cnn", batch_size=50, epochs=2, checkpoint_every=2, diagnose=False, output=tmp_path / "run"
    )
    with pytest.raises(KeyboardInterrupt):
        train(request, observer=Cut(3))
    train(dataclasses.replace(request, output=tmp_path / "straight"))

    code, _, err = command_line("train", "--resume", tmp_path / "run")
    assert code == 2
    assert "was trained on arrays, which it does not store" in err
    with pytest.raises(ValueError, match="have changed since the checkpoint"):
        train(TrainRequest(resume=tmp_path / "run", data=(images, labels[::-1].copy())))
    train(TrainRequest(resume=tmp_path / "run", data=(images, labels)))
    assert same(tmp_path / "run", tmp_path / "straight")


# ---- extension


def test_a_run_that_is_done_says_how_to_extend_it(command_line, finished):
    code, _, err = command_line("train", "--resume", finished)

    assert code == 2
    assert "the run is done" in err and "Extend it with --epochs +N." in err


def test_a_kill_at_any_time_of_an_extension_leaves_it_to_be_gone_on_with(command_line, forked, finished, tmp_path):
    straight, early, late = (shutil.copytree(finished, tmp_path / name) for name in ("straight", "early", "late"))
    assert command_line("train", "--resume", straight, "--epochs", "+1", "--no-diagnose")[0] == 0
    assert [row["epoch"] for row in metrics(straight)] == ["1", "2", "3"]

    with pytest.raises(KeyboardInterrupt):  # before the extension has a checkpoint of its own
        train(TrainRequest(resume=early, epochs="+1", diagnose=False), observer=Cut(3))
    words = ("train", "--resume", str(late), "--epochs", "+1", "--no-diagnose", "--checkpoint-every", "4")
    process = forked.start(tmp_path, command=words)
    while not any(line["event"] == "checkpoint" and line["step"] >= 48 for line in read_journal(late / "events.jsonl")):
        assert process.poll() is None, process.errors
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()

    for run in (early, late):
        assert command_line("train", "--resume", run, "--no-diagnose")[0] == 0
        assert same(run, straight)
    report = json.loads(command_line("repro", straight, "--json")[1])
    assert (report["equal"], report["epochs"]) == (True, 3)


# ---- numbers that are not finite


def test_a_run_that_diverges_keeps_its_batch_and_no_number_that_is_not_finite(command_line, tmp_path):
    run = tmp_path / "run"

    code, _, err = command_line(*FLAGS, "--lr", "1e38", "--warmup-epochs", "0", "--output", run)

    assert code == 5
    kept = npz_arrays(run / "report" / "not-finite.npz")
    train_set = open_data("digits").read("train")
    assert f"is kept in {run / 'report' / 'not-finite.npz'}" in err
    assert kept["images"].shape[1:] == (8, 8, 1) and len(kept["images"]) == len(kept["labels"]) == len(kept["indices"]) == 64
    named = re.search(r"its batch \((\S+), (\S+), (\S+) and 61 more\)", err)
    assert named and set(named.groups()) <= set(train_set.paths)
    texts = [path for path in run.rglob("*") if path.suffix in (".csv", ".json", ".jsonl", ".yaml")]
    assert {path.name for path in texts} >= {"config.yaml", "events.jsonl", "state.json"}
    for path in texts:
        assert not re.search(r"(?<![\w.-])[-.]?(nan|inf|infinity)(?![\w.-])", path.read_text(), re.IGNORECASE), path
    arrays = [load_file(path) for path in run.rglob("*.safetensors")]
    assert arrays
    assert all(np.isfinite(array).all() for file in arrays for array in file.values())


# ---- repeating


def test_a_run_is_repeated_bit_for_bit_and_an_edited_one_is_not(command_line, finished, tmp_path):
    code, out, _ = command_line("repro", finished, "--json")
    report = json.loads(out)
    assert code == 0
    assert (report["equal"], report["epochs"], report["first_different_epoch"], report["different_weights"]) == (True, 2, None, 0)

    edited = shutil.copytree(finished, tmp_path / "edited")
    text = (edited / "config.yaml").read_text()
    (edited / "config.yaml").write_text(text.replace("weight_decay: 0.0005", "weight_decay: 0.001"))
    report = json.loads(command_line("repro", edited, "--json")[1])
    assert not report["equal"]
    assert (report["first_different_epoch"], report["different_weights"] > 0) == (1, True)
    assert report["largest_weight_difference"] > 0


def test_the_number_of_workers_changes_no_bit(tmp_path):
    models = set()
    for workers in (0, 1, 2, 4):
        run = tmp_path / str(workers)
        train(TrainRequest(data="digits", network="compact_cnn", steps=12, workers=workers, mixup=0.2, diagnose=False, output=run))
        models.add((run / "best.safetensors").read_bytes())

    assert len(models) == 1


# ---- averages of weights


@pytest.mark.parametrize("more", [{"ema": 0.9}, {"set": {"settings.swa_start": 0.4}}])
def test_the_averaged_weights_are_kept_and_score_what_their_row_says(tmp_path, more):
    run = tmp_path / "run"

    report = train(TrainRequest(data="digits", network="compact_cnn", batch_size=64, epochs=3, diagnose=False, output=run, **more))

    row = metrics(run)[report.best_epoch - 1]
    measured = striate.evaluate(run, split="val")
    assert measured.accuracy == float(row["val_accuracy"])
    assert math.isclose(measured.log_loss, float(row["val_loss"]), rel_tol=1e-5)
    kept, last = load_file(run / "best.safetensors"), load_file(max(run.glob("checkpoints/ckpt-*")) / "model.safetensors")
    assert {f"network.{name}" for name in kept} <= set(last)
    assert any(not np.array_equal(array, last[f"network.{name}"]) for name, array in kept.items())


# ---- determinism


SMALL = [entry.name for entry in networks() if entry.macs < 60e6 and entry.params < 3e6]


def samples_for(net: Network) -> tuple[ImageSet, InputSpec]:
    """Four pictures of noise, or samples of another kind, with as many classes as the network has outputs, or with larger pictures."""
    channels, *extent = net.input_shape
    classes, *places = net.output_shape
    if places and scale_of_network(net) > 1:
        pictures = np.random.default_rng(0).integers(0, 256, (4, *places, classes), dtype=np.uint8)
        given = pictures[:, :: places[0] // extent[0], :: places[1] // extent[1], :channels]
        source = open_data((given, pictures), task="restore")
        unit = ImageSpec(height=extent[0], width=extent[1], channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
        return source.read("train", spec=unit), unit
    labels = np.broadcast_to((np.arange(4) % classes).reshape(-1, *(1,) * len(places)), (4, *places))
    values, half = np.random.default_rng(0), (0.5,) * channels
    spec: InputSpec
    if len(extent) == 2:
        spec = ImageSpec(height=extent[0], width=extent[1], channels=channels, mean=half, std=half)
        data = values.integers(0, 256, (4, *extent, channels), dtype=np.uint8)
    else:
        spec = SignalSpec(extent=tuple(extent), channels=channels, mean=half, std=half)
        data = values.random((4, *extent, channels), np.float32)
    read = open_data((data, labels), task="segment" if places else "classify", form=spec.form).read("train", spec=spec)
    return dataclasses.replace(read, classes=tuple(map(str, range(classes)))), spec


@pytest.mark.parametrize("name", SMALL)
def test_every_small_network_trains_with_operations_that_repeat_their_bits(name):
    net = network(name)
    samples, spec = samples_for(net)
    enlarges = isinstance(samples, PairSet)
    fitting = Fitting(
        network=net,
        images=spec,
        classes=samples.classes,
        settings=TrainSettings(steps=1, batch_size=4, deterministic=True, **({"loss": "mse", "monitor": "loss"} if enlarges else {})),
        augmentation=Augmentation(),
        targets=TargetSpec(task="restore") if enlarges else None,
    )
    states = []
    for _ in range(2):
        training = fit_images(fitting, samples, None)
        for _ in training.events:
            pass
        states.append(training.state())

    assert all((states[0][key] == states[1][key]).all() for key in states[0])
