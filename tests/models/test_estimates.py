"""Models that give numbers, or several labels a picture: their answers, and their files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from striate.core.errors import RefusedFileError, UsageError
from striate.core.images import ImageSpec
from striate.core.targets import TargetSpec
from striate.models.estimates import Estimates, sigmoid
from striate.models.model import Model
from striate.networks.layers import Chain, Flatten, Linear
from striate.networks.model_file import ModelFile, load_model, save_model
from striate.networks.network import Network

SPEC = ImageSpec(height=3, width=4, channels=1, mean=(0.5,), std=(0.25,), fit="pad")
NUMBERS = TargetSpec(task="regression", mean=(100.0, -2.0), std=(50.0, 0.5))
LABELS = TargetSpec(task="multilabel")


def network() -> Network:
    return Network("tiny", (1, 3, 4), Chain(flatten=Flatten(), classifier=Linear(2)))


def model_of(targets: TargetSpec | None) -> Model:
    torch.manual_seed(0)
    net = network()
    return Model(ModelFile(net, net.build().eval(), ("left", "top"), SPEC, {}, targets))


def pictures(count: int = 5) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, 3, 4), dtype=np.uint8)


def by_hand(model: Model, images: np.ndarray) -> np.ndarray:
    """W ((x / 255 - mean) / std) + b, in float64."""
    layer = model.module.get_submodule("network.classifier")
    weight, bias = (tensor.detach().double().numpy() for tensor in (layer.weight, layer.bias))
    return (images.reshape(len(images), -1) / 255 - 0.5) / 0.25 @ weight.T + bias


def test_numbers_come_in_the_users_units():
    model = model_of(NUMBERS)
    expected = by_hand(model, pictures()) * [50.0, 0.5] + [100.0, -2.0]

    answers = model.predict(pictures())

    assert isinstance(answers, Estimates)
    np.testing.assert_allclose([list(item.values.values()) for item in answers], expected, rtol=1e-5)
    assert answers[3].path == "3" and answers[0].labels is None
    with torch.inference_mode():
        np.testing.assert_allclose(model.module(torch.from_numpy(pictures()[..., None])), expected, rtol=1e-5)


def test_labels_are_those_above_one_half_each_for_itself():
    model = model_of(LABELS)
    expected = 1 / (1 + np.exp(-by_hand(model, pictures())))

    answers = model.predict(pictures())

    for item, row in zip(answers, expected, strict=True):
        assert list(item.values.values()) == pytest.approx(row.tolist(), rel=1e-5)
        assert item.labels == tuple(name for name, p in zip(("left", "top"), row, strict=True) if p > 0.5)
    np.testing.assert_allclose(model.probabilities(model.read(pictures())), expected, rtol=1e-5)


def test_no_pictures_give_no_answers():
    assert len(model_of(NUMBERS).estimate([])) == 0


def test_answers_as_tables_and_as_json():
    numbers = Estimates.of_outputs(["a.png", "=b.png"], np.array([[1.5, -2.0], [1e9, 0.25]]), ["left", "top"], NUMBERS)
    assert numbers.to_csv().splitlines() == ["path,left,top", "a.png,1.5,-2", "=b.png,1e+09,0.25"]
    assert numbers.to_csv(spreadsheet=True).splitlines()[2] == "'=b.png,1e+09,0.25"
    assert json.loads(numbers.to_json())[0] == {"path": "a.png", "values": {"left": 1.5, "top": -2.0}}
    assert numbers[0].words == "left 1.5, top -2"

    labels = Estimates.of_outputs(["a.png", "b.png", "c.png"], np.array([[2.0, -2.0], [3.0, 4.0], [-1.0, -1.0]]), ["sea", "sky"], LABELS)
    assert labels.to_csv().splitlines()[:3] == [
        "path,labels,sea,sky",
        "a.png,sea,0.880797,0.119203",
        "b.png,sea; sky,0.952574,0.982014",
    ]
    assert json.loads(labels.to_json())[2]["labels"] == []
    assert [item.words for item in labels] == ["sea 88.1%", "sea 95.3%, sky 98.2%", "none"]


def test_the_sigmoid_neither_overflows_nor_loses_its_tail():
    np.testing.assert_allclose(sigmoid(np.array([-800.0, -40.0, 0.0, 40.0, 800.0])), [0, np.exp(-40.0), 0.5, 1, 1], rtol=1e-12)


def test_what_a_model_does_not_give_is_said():
    with pytest.raises(UsageError, match=r"the model was trained for regression, and does not give a single class\nUse model.predict"):
        model_of(NUMBERS).classify(pictures())
    with pytest.raises(UsageError, match="the model gives numbers, which have no probabilities"):
        model_of(NUMBERS).probabilities(pictures()[..., None])
    with pytest.raises(UsageError, match="the model gives one class per picture, not numbers or labels"):
        model_of(None).estimate(pictures())


@pytest.mark.parametrize("targets", [NUMBERS, LABELS])
def test_a_model_file_carries_what_the_outputs_mean(targets: TargetSpec, tmp_path: Path):
    model = model_of(targets)
    model.save(tmp_path / "model.safetensors")
    again = striate.load(tmp_path / "model.safetensors")
    assert again.targets == targets
    np.testing.assert_array_equal(again.outputs(again.read(pictures())), model.outputs(model.read(pictures())))


def test_a_file_with_targets_that_do_not_fit_is_refused(tmp_path: Path, monkeypatch):
    net, path = network(), tmp_path / "model.safetensors"
    one = TargetSpec(task="regression", mean=(0.0,), std=(1.0,))
    monkeypatch.setattr("striate.networks.model_file.write_tensor_file", lambda path, data, _: path.write_bytes(data))
    save_model(path, net, net.build().state_dict(), classes=("left", "top"), images=SPEC, info={}, targets=one)
    with pytest.raises(RefusedFileError, match="the network has 2 outputs for 1 targets"):
        load_model(path)
