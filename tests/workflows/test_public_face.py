"""The Python side of what the command line has, and words that suit the samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.apps.cli import main
from striate.core.errors import DataError, UsageError
from striate.core.images import of_kind
from striate.networks.layers import Activation, Chain, Conv, GlobalPool, Linear
from striate.networks.network import Network

SMALL = Chain(conv=Conv(6, 3, padding=1), act=Activation("relu"), pool=GlobalPool("avg"), linear=Linear(2))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs from different seeds on pictures (n, 8, 8) that are dark or bright."""
    folder, rng = tmp_path_factory.mktemp("face"), np.random.default_rng(0)
    y = np.arange(40) % 2
    data = (rng.integers(0, 90, (40, 8, 8), dtype=np.uint8) + 120 * y[:, None, None].astype(np.uint8), y)
    net = Network("small", (1, 8, 8), SMALL)
    how = {"epochs": 2, "crop_padding": 0, "flip": False, "diagnose": False}
    return [Path(striate.train(data, network=net, set={"settings.seed": seed}, output=folder / f"run{seed}", **how).run) for seed in (0, 1)]


def test_predict_draws_answers_and_maps_from_python(runs, tmp_path):
    pictures = np.arange(3 * 16 * 16, dtype=np.uint8).reshape(3, 16, 16)

    answers = striate.predict(runs[0], pictures, plot=tmp_path / "plot.png", maps=tmp_path / "maps.png")

    assert len(answers) == 3
    for name in ("plot.png", "maps.png"):
        with Image.open(tmp_path / name) as picture:
            assert min(picture.size) > 100
    with pytest.raises(UsageError, match=r"must end in \.png"):
        striate.predict(runs[0], pictures, plot=tmp_path / "plot.jpg")


def test_augmentation_is_previewed_from_python(tmp_path):
    striate.preview("digits", tmp_path / "seen.png", policy="trivial")

    with Image.open(tmp_path / "seen.png") as picture:
        assert picture.size[0] > 400
    with pytest.raises(UsageError, match="Did you mean policy"):
        striate.preview("digits", tmp_path / "seen.png", polici="trivial")


def test_grad_cam_of_an_ensemble_is_the_mean_over_its_members(runs, tmp_path):
    """By the linear heads: at member m it is the slope of the ensemble's score by m's logits times w_m A_m / places."""
    import torch

    from striate.insight.explain import attribute, grad_cam, part

    model = striate.Model.ensemble([striate.load(run) for run in runs])
    report = striate.explain(model, data=(np.zeros((2, 8, 8), np.uint8), np.array([0, 1])), output=tmp_path, sanity=False)
    network = model.module.get_submodule("network")
    images, classes = torch.randn(2, 1, 8, 8), torch.tensor([0, 1])

    layers = report.layer.split(", ")
    maps = [grad_cam(network, part(network, layer), images, classes) for layer in layers]

    assert layers == ["ensemble.member1.act", "ensemble.member2.act"]
    torch.testing.assert_close(attribute("grad_cam", network, layers, images, classes), (maps[0] + maps[1]) / 2)


def test_samples_are_called_what_they_are():
    text = "31 pictures: of my/pictures/a.npz, one picture per class; 'pictures.npz'."
    assert of_kind(text, "signals") == "31 signals: of my/pictures/a.npz, one signal per class; 'pictures.npz'."
    assert of_kind(text, None) == of_kind(text, "pictures") == text


@pytest.mark.row("004-1")
def test_no_verb_calls_the_rows_of_a_table_pictures(tmp_path, capsys):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2
    X[:, 0] += 3 * y
    np.savez(tmp_path / "rows.npz", x_train=X, y_train=y)
    data, run = str(tmp_path / "rows.npz"), str(tmp_path / "run")
    for words in (
        ["train", data, "--epochs", "1", "--output", run, "--no-diagnose"],
        ["evaluate", run],
        ["calibrate", run],
        ["compare", run, run],
        ["repeat", data, "--seeds", "2", "--epochs", "1", "--no-diagnose", "--output", str(tmp_path / "repeated")],
    ):
        with pytest.raises(SystemExit) as end:
            main(words)
        out, err = capsys.readouterr()
        text = (out + err).replace("tables and pictures:", "")
        assert not end.value.code, text
        assert "picture" not in text.replace("\npicture: ", ""), text
        assert "rows" in text or words[0] == "compare"


def test_signals_of_different_lengths_name_the_remedy(tmp_path):
    signals = [np.zeros((5, 2)), np.zeros((7, 2))] * 3
    with pytest.raises(DataError, match="its items differ in shape") as caught:
        striate.train((signals, [0, 1] * 3), network="signal_cnn", output=tmp_path / "run")
    assert "numpy.pad(x, ((0, longest - len(x)), (0, 0)))" in caught.value.remedy
