"""Other forms of the same file: weights in fewer bits, int8, prepared pictures, masks, numbers and labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import striate
from striate.core.errors import NumericError, RefusedFileError, UsageError
from striate.core.images import ImageSpec
from striate.core.targets import TargetSpec
from striate.insight.export.gate import gate
from striate.insight.export.onnx_file import onnx_bytes
from striate.insight.export.onnx_numbers import with_small_weights
from striate.insight.export.wanted import Wanted
from striate.models.exported import ExportedModel
from striate.models.model import Model
from striate.networks.foreign import own_network
from striate.networks.model_file import ModelFile

CLASSES = ("cat", "cow", "dog", "owl")
FACTS = {"data_licence": "CC0-1.0", "model_sha256": "ab" * 32}


def small_module(outputs: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, outputs))


def model_of(module: nn.Module, names: tuple[str, ...], targets: TargetSpec | None = None) -> Model:
    spec = ImageSpec(height=10, width=8, channels=3, mean=(0.4,) * 3, std=(0.2,) * 3, fit="stretch")
    network = own_network(module, (3, 10, 8))
    return Model(ModelFile(network, network.build(), names, spec, {}, targets))


def pictures(count: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 5, 4, 3), np.uint8)
    return coarse.repeat(2, 1).repeat(2, 2)


def exported(model: Model, folder: Path, **wanted: object) -> Path:
    (folder / "model.onnx").write_bytes(onnx_bytes(model, Wanted(**wanted)))  # type: ignore[arg-type]
    return folder / "model.onnx"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A model, and its file of prepared pictures with facts."""
    model = model_of(small_module(4), CLASSES)
    return model, exported(model, tmp_path_factory.mktemp("plain"), input="float32", facts=FACTS)


def test_a_file_takes_pictures_that_were_prepared(plain: tuple[Model, Path]):
    model, file = plain
    images = pictures(5)
    session = pytest.importorskip("onnxruntime").InferenceSession(file, providers=["CPUExecutionProvider"])
    given = torch.from_numpy(images).movedim(-1, 1).float().numpy() / 255  # as torchvision's ToTensor
    np.testing.assert_allclose(session.run(["probabilities"], {"images": given})[0], model.probabilities(images), atol=1e-5)
    left = json.loads(session.get_modelmeta().custom_metadata_map["preprocessing"])["left_to_you"]
    assert left == {"decode": True, "resize": True, "divide_by_255": True, "normalize": False}

    found = gate(model, file, images, list("abcde"))
    assert found.passed and found.num_images == 5 + found.num_hard


def test_facts_stand_in_the_file_and_cannot_be_changed(plain: tuple[Model, Path], tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    file = plain[1]
    assert FACTS.items() <= ExportedModel(file).facts.items()
    (tmp_path / "bytes.onnx").write_bytes(file.read_bytes().replace(b"CC0-1.0", b"CC0-2.0"))
    proto = onnx.load(file)
    proto.metadata_props.add(key="licence", value="mine")
    onnx.save(proto, tmp_path / "added.onnx")
    for name in ("bytes", "added"):
        with pytest.raises(RefusedFileError, match=rf"{name}\.onnx: the metadata does not match its SHA-256"):
            ExportedModel(tmp_path / f"{name}.onnx")


def test_weights_in_another_file_are_refused(plain: tuple[Model, Path], tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    onnx.save(onnx.load(plain[1]), tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(RefusedFileError, match=r"model\.onnx: ONNX Runtime cannot open it"):
        ExportedModel(tmp_path / "model.onnx")


# ---- fewer bits


@pytest.mark.parametrize(("precision", "step"), [("float16", 2**-10), ("bfloat16", 2**-7), ("int8_weights", 1 / 127)])
def test_small_weights_are_the_nearest_ones(plain: tuple[Model, Path], precision: str, step: float):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    proto = onnx.load(plain[1])
    small = with_small_weights(proto, precision)
    name = next(each.name for each in proto.graph.initializer if each.name.startswith("module.network.") and len(each.dims) == 4)
    small.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = runtime.InferenceSession(small.SerializeToString(), providers=["CPUExecutionProvider"])
    read = session.run([name], {"images": np.zeros((1, 3, 10, 8), np.float32)})[0]
    weights = onnx.numpy_helper.to_array(next(each for each in proto.graph.initializer if each.name == name))
    unit = np.abs(weights).max((1, 2, 3), keepdims=True) if precision == "int8_weights" else np.abs(weights)
    assert np.abs(read - weights).max() > 0 and (np.abs(read - weights) <= step / 2 * unit * 1.001).all()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("int8") / "run"
    striate.train("digits", network="lenet5", steps=60, output=run, device="cpu")
    return run


@pytest.mark.slow
def test_int8_keeps_the_accuracy_and_says_what_it_costs(digits: Path, tmp_path: Path):
    report = striate.export(digits, precision="int8", output=tmp_path / "int8.onnx")
    kept = report.accuracy
    assert kept is not None and abs(kept.before - kept.after) <= 0.01 and kept.num_images == 143
    assert kept.test.both_right + kept.test.first_only == round(kept.before * 143)
    assert "McNemar's exact p" in (tmp_path / "MODEL_CARD.md").read_text()
    model = ExportedModel(tmp_path / "int8.onnx")
    assert striate.evaluate(model, "digits", split="test").accuracy > 0.8


@pytest.mark.slow
def test_a_file_that_loses_too_much_is_not_written(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("striate.insight.export.onnx_numbers.STEPS", 1)  # weights of -1, 0 and 1
    with pytest.raises(NumericError, match=r"int8_weights costs more than `max_loss` 0.01: accuracy on 143 pictures of val .* after"):
        striate.export(digits, precision="int8_weights", output=tmp_path / "int8.onnx")
    assert not list(tmp_path.iterdir())


# ---- other tasks


@pytest.mark.parametrize(
    ("module", "names", "targets"),
    [
        (nn.Conv2d(3, 2, 3, padding=1), ("sky", "sea"), None),
        pytest.param(
            small_module(2), ("age", "height"), TargetSpec(task="regression", mean=(40, 170), std=(20, 10)), marks=pytest.mark.slow
        ),
        pytest.param(small_module(3), ("red", "green", "blue"), TargetSpec(task="multilabel"), marks=pytest.mark.slow),
    ],
    ids=["masks", "numbers", "labels"],
)
def test_masks_numbers_and_labels_are_exported_too(module: nn.Module, names: tuple[str, ...], targets: TargetSpec | None, tmp_path: Path):
    model = model_of(module, names, targets)
    file = exported(model, tmp_path)
    images = pictures(5)
    assert gate(model, file, images, list("abcde")).passed
    with torch.no_grad():
        next(iter(model.module.parameters())).mul_(1.2)
    found = gate(model, file, images, list("abcde"))
    assert not found.passed and found.max_difference > 1e-4

    theirs = ExportedModel(file)
    assert theirs.task == model.task
    if model.task == "segment":
        np.testing.assert_array_equal(theirs.predict(images[:1]).items[0].mask.shape, (10, 8))


class Wild(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x.flatten(2) @ x.flatten(2).mT).real[..., None]


@pytest.mark.slow
def test_a_part_without_a_form_is_named(tmp_path: Path):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), Wild(), nn.Flatten(), nn.LazyLinear(2))
    module(torch.zeros(1, 3, 10, 8))
    with pytest.raises(UsageError, match=r"1 \(Wild\) has no form in ONNX"):
        onnx_bytes(model_of(module, ("a", "b")))
