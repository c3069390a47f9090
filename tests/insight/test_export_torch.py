"""A program of torch.export answers as what was trained, and a file with anything but numbers and operations in it is not opened."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import striate
from striate.core.errors import RefusedFileError, UsageError
from striate.insight.export.torch_file import program_bytes
from striate.insight.export.wanted import Wanted
from striate.models.exported import ExportedModel
from striate.models.model import Model

MARK = Path(__file__).with_name("was_run")


class Bomb:
    def __reduce__(self):
        return (Path.touch, (MARK,))


def small_model() -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return Model.of(module, input_size=(10, 8), classes=("cat", "cow", "dog", "owl"), mean=0.4, std=0.2)


@pytest.fixture(scope="module")
def whole() -> bytes:
    return program_bytes(small_model(), Wanted(facts={"data_licence": "CC0-1.0"}))


@pytest.fixture
def file(whole: bytes, tmp_path: Path) -> Path:
    (tmp_path / "model.pt2").write_bytes(whole)
    return tmp_path / "model.pt2"


def test_verbs_and_other_programs_get_the_answers_of_the_model(file: Path, tmp_path: Path):
    model, theirs, random = small_model(), striate.load(file), np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (40, 33, 3), np.uint8)).save(tmp_path / "a.png")
    ours = model.predict([tmp_path / "a.png"]).to_data()
    assert striate.predict(file, tmp_path / "a.png").to_data()[0]["class"] == ours[0]["class"]
    assert theirs.facts["data_licence"] == "CC0-1.0"

    extra = dict.fromkeys(("classes", "outputs"), "")
    program = torch.export.load(file, extra_files=extra).module()
    pictures = random.integers(0, 256, (3, 21, 17, 3), np.uint8)
    probabilities, _ = program(torch.from_numpy(pictures))
    np.testing.assert_allclose(probabilities.detach(), model.probabilities(model.read(pictures)), atol=1e-6)
    assert json.loads(extra["classes"]) == list(model.classes) and json.loads(extra["outputs"]) == ["probabilities", "logits"]


def changed(whole: bytes, name: str, change) -> bytes:
    """The archive with one part changed, its description and its seal left as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(file, "w") as after:
        for each in before.namelist():
            after.writestr(each, change(before.read(each)) if each == f"archive/{name}" else before.read(each))
        if f"archive/{name}" not in before.namelist():
            after.writestr(f"archive/{name}", change(b""))
    return file.getvalue()


GRAPH, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("data/sample_inputs/model.pt", lambda _: pickle.dumps(Bomb()), "sample_inputs"),
        ("data/weights/model.pt", lambda _: pickle.dumps(Bomb()), r"data/weights/model\.pt"),
        ("data/constants/opaque_obj_0", lambda _: pickle.dumps(Bomb()), "opaque_obj_0"),
        (WEIGHTS, lambda data: data.replace(b'"use_pickle": false', b'"use_pickle": true', 1), "weight_0"),
        (GRAPH, lambda data: data.replace(b"torch.ops.aten.relu.default", b"torch.hub.load", 1), r"torch\.hub\.load"),
        (GRAPH, lambda data: data.replace(b"Symbol('s", b"eval('s", 1), "eval"),
        (GRAPH, lambda data: data.replace(b'"guards_code": []', b'"guards_code": ["open()"]', 1), "open"),
        (GRAPH, lambda data: data.replace(b"builtins.tuple", b"os.system", 1), r"os\.system"),
        (GRAPH, lambda _: b"{}", "not a program"),
        ("data/weights/weight_0", lambda data: bytes([data[0] ^ 1]) + data[1:], "does not match its SHA-256"),
        ("extra/data_licence", lambda _: b"mine", "metadata does not match its SHA-256"),
    ],
)
def test_a_file_with_more_than_numbers_and_operations_is_refused(file: Path, whole: bytes, name: str, change, words: str):
    data = changed(whole, name, change)
    assert data != whole
    file.write_bytes(data)
    with pytest.raises(RefusedFileError, match=rf"model\.pt2: .*{words}"):
        ExportedModel(file)
    assert not MARK.exists()


def test_a_damaged_file_and_one_of_another_program_are_refused(file: Path, whole: bytes):
    for data in (b"no zip", whole[:-200], whole[:100]):
        file.write_bytes(data)
        with pytest.raises(RefusedFileError, match=r"model\.pt2: not a whole \.pt2 file"):
            ExportedModel(file)
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), file)
    with pytest.raises(RefusedFileError, match=r"model\.pt2: holds more than numbers|without a Striate description"):
        ExportedModel(file)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_part_that_cannot_be_traced_is_named():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), Branching(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(UsageError, match=r"1 \(Branching\) cannot be traced by torch\.export: .*data"):
        program_bytes(Model.of(module, input_size=8, classes=("a", "b", "c", "d")))
