"""A bundle classifies picture files by itself, with nothing of Striate, as the model does."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from striate.core.errors import RefusedFileError, UsageError
from striate.core.images import SignalSpec
from striate.insight.export.bundle_file import bundle_bytes, bundled_onnx, is_bundle, parts_of_bundle
from striate.insight.export.gate import hard_pictures
from striate.insight.export.wanted import Wanted
from striate.models.model import Model
from striate.networks.catalog import network
from striate.networks.model_file import ModelFile

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4))
    return Model.of(module, input_size=(21, 28), classes=("cat", "cow", "dog", "owl"), mean=0.4, std=0.2)


@pytest.fixture(scope="module")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    place = tmp_path_factory.mktemp("bundle")
    (onnx,) = bundled_onnx(model, Wanted()).values()
    with zipfile.ZipFile(io.BytesIO(bundle_bytes(onnx, {"MODEL_CARD.md": b"# a card"}))) as archive:
        archive.extractall(place)
    return place / "model"


def check_answers(python: str, folder: Path, model: Model, pictures: Path) -> None:
    files = hard_pictures(pictures, model.images)
    done = subprocess.run([python, "-I", str(folder / "predict.py"), *map(str, files)], capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    ours = model.predict(files)
    assert [(row[0], row[1]) for row in rows] == [(item.path, item.class_name) for item in ours]
    np.testing.assert_allclose([float(row[2]) for row in rows], [item.probability for item in ours], atol=1e-4)


def test_its_program_answers_as_the_model(model: Model, folder: Path, tmp_path: Path):
    assert sorted(file.name for file in folder.iterdir()) == [
        "MODEL_CARD.md", "README.txt", "SHA256SUMS", "model.onnx", "predict.py", "requirements.txt",
    ]  # fmt: skip
    assert len((folder / "predict.py").read_text().splitlines()) <= 50
    check_answers(sys.executable, folder, model, tmp_path)


def test_its_packages_are_those_that_were_tested(folder: Path):
    ours = (ROOT / "requirements.lock").read_text()
    needed = (folder / "requirements.txt").read_text()
    pins = re.findall(r"^(\w+==\S+)", needed, re.MULTILINE)
    assert {pin.partition("==")[0] for pin in pins} >= {"numpy", "onnxruntime", "pillow"}
    assert all(f"{pin} " in ours for pin in pins) and needed.count("--hash=sha256:") > len(pins) and "//" not in needed


def changed(place: Path, name: str, data: bytes | None, *, inside: str = "model/") -> Path:
    """A bundle with one file changed, added or, where there is no data, left out."""
    whole = bundle_bytes(b"weights", {"MODEL_CARD.md": b"# a card"})
    with zipfile.ZipFile(io.BytesIO(whole)) as before, zipfile.ZipFile(place / "b.zip", "w") as after:
        parts = {each: before.read(each) for each in before.namelist()} | {f"{inside}{name}": data}
        for each, content in parts.items():
            if content is not None:
                after.writestr(each, content)
    return place / "b.zip"


WRONG = [
    ("predict.py", b"import os", "predict.py does not match its SHA-256"),
    ("MODEL_CARD.md", b"# another card", "MODEL_CARD.md does not match its SHA-256"),
    ("model.onnx", None, "model.onnx is missing"),
    ("SHA256SUMS", b"", "README.txt is missing, or is not listed"),
    ("SHA256SUMS", None, "holds no SHA256SUMS"),
    ("numpy.py", b"print()", "numpy.py is not listed in SHA256SUMS"),
    ("numpy/__init__.py", b"print()", "numpy.* is not listed in SHA256SUMS"),
]


@pytest.mark.parametrize(("name", "data", "words"), WRONG)
@pytest.mark.parametrize("unpacked", [False, True])
def test_a_bundle_with_a_changed_file_is_refused(tmp_path: Path, name: str, data: bytes | None, words: str, *, unpacked: bool):
    bundle = changed(tmp_path, name, data)
    if unpacked:
        with zipfile.ZipFile(bundle) as archive:
            archive.extractall(tmp_path)
        bundle = tmp_path / "model"
    if unpacked and name == "SHA256SUMS" and data is None:
        assert not is_bundle(bundle)
        return
    assert is_bundle(bundle)
    with pytest.raises(RefusedFileError, match=words):
        parts_of_bundle(bundle)


def test_a_bundle_is_read_as_it_was_written_and_a_damaged_one_is_not(tmp_path: Path):
    whole = bundle_bytes(b"weights", {"MODEL_CARD.md": b"# a card"}, sign=lambda sums: b"signed " + sums)
    file = tmp_path / "b.zip"
    file.write_bytes(whole)
    parts = parts_of_bundle(file)
    assert parts["model.onnx"] == b"weights" and parts["SHA256SUMS.sig"] == b"signed " + parts["SHA256SUMS"]
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "model" / "here" / "lib").mkdir(parents=True)  # the environment that its README makes
    assert parts_of_bundle(tmp_path / "model")["predict.py"] == parts["predict.py"]
    for data in (whole[:-30], b"no zip"):
        file.write_bytes(data)
        with pytest.raises(RefusedFileError, match="not a whole zip file"):
            parts_of_bundle(file)


@pytest.mark.release
def test_it_runs_in_an_environment_of_its_own(model: Model, folder: Path, tmp_path: Path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "here"], check=True)
    python = str(tmp_path / "here" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-qq", "--require-hashes", "-r", str(folder / "requirements.txt")], check=True)
    check_answers(python, folder, model, tmp_path)


def test_a_model_of_something_else_has_no_bundle():
    net = network("table_mlp")
    spec = SignalSpec(extent=(), channels=16, mean=(0,) * 16, std=(1,) * 16)
    with pytest.raises(UsageError, match="takes rows, and a bundle classifies picture files"):
        bundled_onnx(Model(ModelFile(net, net.build(), ("a", "b"), spec, {}, None)), Wanted())
