"""Runs by recipe, runs repeated from their own configuration, and runs that find their learning rate."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import yaml

import striate
from striate.core.errors import NumericError, UsageError
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.train import train

SHORT = {"network": "compact_cnn", "steps": 4, "batch_size": 32, "device": "cpu"}


def config_of(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def rows_of(folder):
    """The metrics without the two columns of time."""
    return [line.rsplit(",", 2)[0] for line in (folder / "metrics.csv").read_text().splitlines()]


@pytest.fixture(scope="module")
def unlike_the_defaults(tmp_path_factory):
    """A run with nothing left to the defaults."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    odd = {
        "optimizer": "adamw",
        "schedule": "step",
        "seed": 5,
        "precision": "float32",
        "val_fraction": 0.2,
        "train_images": 500,
        "crop_padding": 2,
    }
    more = {"settings.step_every": 0.5, "settings.seed": 7, "augmentation.pad_mode": "reflect"}
    striate.train("digits", **{**SHORT, **odd}, image_size=12, set=more, output=folder)
    return folder


def test_a_run_is_repeated_from_its_configuration_to_the_bit(unlike_the_defaults, tmp_path):
    train(TrainRequest(recipe=unlike_the_defaults / "config.yaml", output=tmp_path / "again"))

    assert config_of(tmp_path / "again") == config_of(unlike_the_defaults)
    assert rows_of(tmp_path / "again") == rows_of(unlike_the_defaults)
    assert (tmp_path / "again" / "best.safetensors").read_bytes() == (unlike_the_defaults / "best.safetensors").read_bytes()


def test_flags_are_stronger_than_the_configuration_also_where_they_say_the_default(unlike_the_defaults, tmp_path):
    path = unlike_the_defaults / "config.yaml"
    train(TrainRequest(recipe=path, seed=0, val_fraction=0.1, network="lenet5", device="cpu", steps=1, output=tmp_path / "run"))

    before, now = config_of(unlike_the_defaults), config_of(tmp_path / "run")
    assert (now["network"], now["val_seed"], now["val_fraction"], now["settings"]["seed"]) == ("lenet5", 0, 0.1, 0)
    assert now["settings"] == {**before["settings"], "steps": 1, "seed": 0, "warmup_epochs": 0.0}  # cut to half of the training


def test_an_edited_network_is_repeated_from_its_description(tmp_path):
    net = dataclasses.replace(striate.network("resnet20_cifar", in_channels=1, input_size=8).without("shortcut"), name="mine")
    train(TrainRequest(data="digits", **{**SHORT, "network": net, "steps": 1}, output=tmp_path / "first"))

    train(TrainRequest(recipe=tmp_path / "first" / "config.yaml", output=tmp_path / "again"))

    assert (tmp_path / "again" / "network.json").read_text() == (tmp_path / "first" / "network.json").read_text()
    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "first")


def test_a_run_on_arrays_is_repeated_on_the_arrays_that_come_again(tmp_path):
    rng = np.random.default_rng(0)
    data = (rng.integers(0, 256, (40, 9, 8), dtype=np.uint8), np.arange(40) % 4)
    train(TrainRequest(data=data, **SHORT, output=tmp_path / "first"))

    train(TrainRequest(data=data, recipe=tmp_path / "first" / "config.yaml", output=tmp_path / "again"))

    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "first")


def test_a_recipe_by_name_decides_settings_and_augmentation(tmp_path):
    train(TrainRequest(data="digits", recipe="alexnet_2012", **SHORT, output=tmp_path / "run"))

    config = config_of(tmp_path / "run")
    wanted = {"schedule": "plateau", "learning_rate": 0.01, "nesterov": False, "steps": 4, "batch_size": 32}
    assert {name: config["settings"][name] for name in wanted} == wanted
    assert (config["augmentation"]["pad_mode"], config["augmentation"]["flip"]) == ("reflect", False)


def test_a_run_goes_on_without_a_recipe(unlike_the_defaults):
    with pytest.raises(UsageError, match=r"`recipe`: a run continues with the settings that it was started with"):
        train(TrainRequest(resume=unlike_the_defaults, recipe="fast"))


# ---- the learning rate


def test_a_rate_that_is_found_is_trained_with_drawn_and_kept(tmp_path):
    said = []

    class Listener(striate.workflows.training.running.QuietObserver):
        def say(self, text):
            said.append(text)

    train(TrainRequest(data="digits", learning_rate="find", **SHORT, output=tmp_path / "run"), observer=Listener())

    rate = config_of(tmp_path / "run")["settings"]["learning_rate"]
    assert 1e-3 < rate < 1
    assert any(line.startswith(f"lr find   {rate:g}: there the loss falls fastest; a tenth of where it is lowest is ") for line in said)
    assert any(f"learning rate {rate:g} (cosine)" in line for line in said)
    assert (tmp_path / "run" / "report" / "lr_find.png").read_bytes().startswith(b"\x89PNG")

    train(TrainRequest(recipe=tmp_path / "run" / "config.yaml", output=tmp_path / "again"))
    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "run")


def test_the_rate_for_numbers_does_not_depend_on_their_unit(tmp_path):
    """Numbers are learned as deviations from their mean; the test must see them as the training does."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (48, 8, 9), dtype=np.uint8)
    lengths = pictures.reshape(48, -1).mean(1).astype(np.float64)

    rates = []
    for unit in (1.0, 1024.0):  # a power of two, which changes no digit
        asked = TrainRequest(data=(pictures, lengths * unit), task="regression", learning_rate="find", **SHORT, output=tmp_path / f"{unit}")
        train(asked)
        rates.append(config_of(tmp_path / f"{unit}")["settings"]["learning_rate"])

    assert rates[0] == rates[1]


def test_where_no_rate_is_found_no_run_folder_is_left(tmp_path, monkeypatch):
    def finds_none(*_arguments, **_options):
        raise NumericError("`learning_rate='find'`: the loss falls at no learning rate")

    monkeypatch.setattr("striate.workflows.training.lr_find.learning_rate_range", finds_none)

    with pytest.raises(NumericError):
        train(TrainRequest(data="digits", learning_rate="find", **SHORT, output=tmp_path / "run"))

    assert not (tmp_path / "run").exists()
