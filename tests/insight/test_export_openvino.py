"""An OpenVINO model answers as what was trained, without torch and without a word to its maker."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.insight.export.forms import FORMS
from striate.insight.export.openvino_file import openvino_files
from striate.insight.export.wanted import Wanted
from striate.models.exported import ExportedModel
from striate.models.model import Model
from striate.models.openvino_file import openvino_core


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return Model.of(module, input_size=(10, 8), classes=("cat", '<cow> -- "moo"', "dog", "owl"), mean=0.4, std=0.2)


@pytest.fixture(scope="module")
def file(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("openvino") is None:  # importing it here would have it report to its maker
        pytest.skip("needs OpenVINO: pip install striate[openvino]")
    folder = tmp_path_factory.mktemp("openvino")
    for ending, data in openvino_files(model, Wanted(facts={"data_licence": "CC0-1.0"})).items():
        (folder / f"model{ending}").write_bytes(data)
    return folder / "model.xml"


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 5, 4, 3), np.uint8).repeat(2, 1).repeat(2, 2)


ELSEWHERE = """
import json, sys
told = []
sys.addaudithook(lambda event, _: told.append(event) if event.startswith("socket.") else None)
from striate.apps.cli import main
try:
    main(["predict", FILE, PICTURE, "--json"])
except SystemExit:
    print(told, "torch" in sys.modules, file=sys.stderr)
"""


def test_it_answers_as_the_model_without_torch_and_tells_nobody(model: Model, file: Path, tmp_path: Path):
    from PIL import Image

    found = FORMS["openvino"].gate(model, file, pictures(5), list("abcde"), limit=0.005, precision="float32")
    assert found.passed and found.max_difference < 0.005 and not found.torch_imported
    theirs = striate.load(file)
    np.testing.assert_allclose(theirs.probabilities(pictures(5)), model.probabilities(pictures(5)), atol=1e-5)
    assert theirs.classes == model.classes and theirs.facts["data_licence"] == "CC0-1.0"

    Image.fromarray(pictures(1)[0]).save(tmp_path / "a.png")
    code = ELSEWHERE.replace("FILE", repr(str(file))).replace("PICTURE", repr(str(tmp_path / "a.png")))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[] False" and '"class"' in done.stdout


def test_a_changed_file_is_refused_and_so_is_one_without_its_weights(file: Path, tmp_path: Path):
    xml, weights = file.read_bytes(), file.with_suffix(".bin").read_bytes()
    changed = bytes([weights[0] ^ 1]) + weights[1:]
    for name, text, numbers, words in (
        ("weights", xml, changed, "the graph does not match its SHA-256"),
        ("class", xml.replace(b"owl", b"elk"), weights, "does not match its SHA-256"),
        ("cut", xml[: len(xml) // 2], weights, "OpenVINO cannot open it"),
        ("other", xml.partition(b"<!-- striate")[0], weights, "without a Striate description"),
        ("alone", xml, None, r"its weights, alone\.bin, do not stand beside it"),
    ):
        (tmp_path / f"{name}.xml").write_bytes(text)
        if numbers is not None:
            (tmp_path / f"{name}.bin").write_bytes(numbers)
        with pytest.raises(RefusedFileError, match=rf"{name}\.xml: .*{words}"):
            ExportedModel(tmp_path / f"{name}.xml")


def test_where_it_is_not_installed_one_error_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EnvironmentFault, match=r"model\.xml: needs OpenVINO, which is not installed"):
        openvino_core("model.xml")
    assert "openvino_telemetry" not in sys.modules or sys.modules["openvino_telemetry"] is not None
