"""What is exported answers as what was trained: the same pixels, the same probabilities, or there is no file."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from torch import nn

import striate
from striate.core.calibration import Calibration, Score, scores_of
from striate.core.errors import EnvironmentFault, NumericError, RefusedFileError, UsageError
from striate.core.images import Fit, ImageSpec
from striate.data.fitting import fit_image
from striate.insight.export import onnx_file
from striate.insight.export.bundle_file import bundle_bytes
from striate.insight.export.gate import gate
from striate.insight.export.onnx_file import onnx_bytes
from striate.insight.export.program import FittedPictures, Program
from striate.models.exported import ExportedModel
from striate.models.model import Model
from striate.workflows.shipping import export as verb
from striate.workflows.shipping.bom import bom_text
from striate.workflows.shipping.card import Card, card_of, card_text
from striate.workflows.shipping.export import ExportRequest, export
from striate.workflows.shipping.verify import VerifyRequest, verify
from striate.workflows.shipping.words import summary
from striate.workflows.subjects.subject import open_model

SIZES = [(32, 32), (64, 64), (16, 48), (31, 32), (1, 1), (2, 90), (33, 7), (100, 60), (53, 37), (240, 30), (150, 230), (40, 39)]


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch", "cut"])
@pytest.mark.parametrize("extent", [(32, 32), (21, 28)])
def test_the_graph_sees_the_pixels_that_the_decoder_sees(fit: Fit, extent: tuple[int, int]):
    random = np.random.default_rng(0)
    spec = ImageSpec(height=extent[0], width=extent[1], channels=1, mean=(0.5,), std=(0.5,), fit=fit)
    for height, width in SIZES:
        picture = random.integers(0, 256, (height, width, 1), np.uint8)
        seen = FittedPictures(spec)(torch.from_numpy(picture)[None])
        np.testing.assert_array_equal(seen[0].numpy(), fit_image(picture, spec))


@pytest.mark.parametrize("score", ["energy", "confidence", "max_logit"])
def test_the_graph_knows_what_is_unknown(score: Score):
    logits = np.random.default_rng(1).normal(size=(40, 5)) * 3
    found = Calibration(temperature=1.7, score=score, threshold=float(np.median(scores_of(logits, score, 1.7))))
    scores = Program(small_model().calibrated(found))._scores(torch.from_numpy(logits))
    np.testing.assert_allclose(scores.numpy(), scores_of(logits, score, 1.7), rtol=1e-12)


# ---- one file, exported once


def small_model(seed: int = 0) -> Model:
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    return Model.of(module, input_size=16, classes=("cat", "cow", "dog", "owl"), mean=0.4, std=0.2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated run on photos of many sizes; `run/calibrated.safetensors` answers "unknown" too."""
    root, random = tmp_path_factory.mktemp("export"), np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 120)):
        (root / "photos" / name).mkdir(parents=True)
        for index in range(20):
            height, width = random.integers(12, 60, 2)
            pixels = random.integers(low, low + 130, (height, width, 3), np.uint8)
            Image.fromarray(pixels).save(root / "photos" / name / f"{index}.{'jpg' if index % 2 else 'png'}")
    striate.train(root / "photos", network="compact_cnn", steps=30, image_size=16, output=root / "run", val_fraction=0.5, device="cpu")
    striate.calibrate(root / "run", coverage=0.9)
    return root / "run"


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    report = export(ExportRequest(run=run / "calibrated.safetensors", output=run / "export" / "model.onnx"))
    assert report.gate.passed and report.gate.agreement == 1 and not report.gate.torch_imported
    assert report.gate.num_images == 20 + report.gate.num_hard
    assert "the same answers" in summary(report)
    return Path(report.output)


def test_other_programs_run_it_on_pictures_of_any_size(run: Path, exported: Path):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    model = striate.load(run / "calibrated.safetensors")
    pictures = np.random.default_rng(2).integers(0, 256, (3, 50, 31, 3), np.uint8)
    probabilities, logits, known = session.run(None, {session.get_inputs()[0].name: pictures})
    images = model.read(pictures)
    np.testing.assert_allclose(logits, model.outputs(images), atol=1e-4)
    np.testing.assert_allclose(probabilities, model.probabilities(images), atol=1e-5)
    scores = scores_of(model.outputs(images), model.calibration.score, model.calibration.temperature)
    np.testing.assert_array_equal(known, scores >= model.calibration.threshold)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["dark", "light"]


def test_verbs_that_need_answers_take_it_like_the_run(run: Path, exported: Path):
    data = run.parent / "photos"
    ours, theirs = (striate.evaluate(model, data) for model in (run / "calibrated.safetensors", exported))
    assert theirs.accuracy == ours.accuracy and theirs.log_loss == pytest.approx(ours.log_loss, rel=1e-5)
    pictures = sorted((data / "dark").iterdir())
    answers = [[item.class_name for item in striate.predict(model, pictures)] for model in (run / "calibrated.safetensors", exported)]
    assert answers[0] == answers[1]
    assert striate.compare(run / "calibrated.safetensors", exported, data=data) is not None
    settings = {"num_images": 8, "output": run.parent / "attack"}
    moved = striate.attack(exported, data, attacks=("flip", "shift", "fgsm"), **settings)
    same = striate.attack(run / "calibrated.safetensors", data, attacks=("flip", "shift"), **settings)
    assert [(each.attack, each.accuracies) for each in moved.results] == [(each.attack, each.accuracies) for each in same.results]
    with pytest.raises(UsageError, match="pgd: needs the network's module, and an exported file gives answers only"):
        striate.attack(exported, data, attacks=("pgd",))
    calibrated, ours = striate.calibrate(exported, data), striate.calibrate(run, data, output=run.parent / "c.safetensors")
    assert calibrated.output is None and calibrated.accuracy == ours.accuracy
    assert calibrated.fitted.value == pytest.approx(ours.fitted.value, rel=1e-3)
    with pytest.raises(UsageError, match="is an exported file, which is read only"):
        striate.calibrate(exported, data, output=run.parent / "c.safetensors")
    with pytest.raises(UsageError, match="an exported file gives answers only"):
        striate.explain(exported, pictures[0])
    with pytest.raises(UsageError, match="exported file already"):
        striate.export(exported)


WITHOUT_TORCH = """
import contextlib, sys
from striate.apps.cli import main
for words in (["predict", FILE, DATA], ["evaluate", FILE, "--data", DATA, "--split", "val"], ["compare", FILE, FILE, "--data", DATA]):
    with contextlib.suppress(SystemExit):
        main([*words, "--json"])
    print("----")
print("torch" in sys.modules)
"""


def test_verbs_that_need_answers_run_it_where_there_is_no_torch(run: Path, exported: Path):
    data = run.parent / "photos"
    code = WITHOUT_TORCH.replace("FILE", repr(str(exported))).replace("DATA", repr(str(data)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    *parts, has_torch = done.stdout.split("----\n")
    rows, measures, compared = map(json.loads, parts)
    assert has_torch == "False\n"
    ours = striate.predict(run / "calibrated.safetensors", data).to_data()
    assert [(row["path"], row["class"]) for row in rows] == [(row["path"], row["class"]) for row in ours]
    np.testing.assert_allclose([row["probability"] for row in rows], [row["probability"] for row in ours], atol=1e-5)
    assert measures["accuracy"] == striate.evaluate(run / "calibrated.safetensors", data, split="val").accuracy
    assert compared["differences"] == []


def test_a_changed_file_is_refused(exported: Path, tmp_path: Path):
    whole = exported.read_bytes()
    weight = bytearray(whole)
    weight[len(whole) // 3] ^= 1
    for name, data in {
        "renamed": whole.replace(b"light", b"right"),  # a class in the description
        "weight": weight,
        "cut": whole[:-100],
        "text": b"no model",
    }.items():
        (tmp_path / name).with_suffix(".onnx").write_bytes(data)
        with pytest.raises(RefusedFileError, match=rf"{name}\.onnx: .*(damaged|cannot open)"):
            ExportedModel(tmp_path / f"{name}.onnx")


def test_a_file_of_another_program_is_refused(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value], [onnx.ValueInfoProto(name="y")])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(RefusedFileError, match="without a Striate description"):
        ExportedModel(tmp_path / "other.onnx")


def test_a_file_is_verified_by_its_hashes_and_its_answers(run: Path, exported: Path, tmp_path: Path):
    report = striate.verify(exported, images=4)
    assert report.recorded and report.gate is not None and report.gate.passed and report.run == str(run / "calibrated.safetensors")
    assert report.facts["model_sha256"] == hashlib.sha256((run / "calibrated.safetensors").read_bytes()).hexdigest()

    moved = Path(shutil.copy(exported, tmp_path / "model.onnx"))
    assert striate.verify(moved).gate is None  # neither report nor run is named
    other = striate.load(run)
    with torch.no_grad():
        next(other.module.parameters()).mul_(1.5)
    with pytest.raises(NumericError, match=r"model.onnx: its answers are not those of"):
        striate.verify(moved, run=other, data=run.parent / "photos", images=4)
    record = json.loads(exported.with_suffix(".json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(record | {"gate": record["gate"] | {"limit": 1e-15}}))
    with pytest.raises(NumericError, match=r"model.onnx: its answers are not those of") as caught:
        striate.verify(moved, images=2)  # is held to the limit that it was exported with
    assert "max_difference" not in caught.value.remedy
    (tmp_path / "model.json").write_text(json.dumps(record | {"sha256": "0" * 64}))
    with pytest.raises(RefusedFileError, match=r"is not the file that model.json tells of"):
        striate.verify(moved)
    with pytest.raises(UsageError, match=r"only exported files are verified"):
        striate.verify(run / "best.safetensors")


def test_the_card_and_the_bill_of_materials_are_verified_too(run: Path, exported: Path, tmp_path: Path):
    here = shutil.copytree(exported.parent, tmp_path / "export") / exported.name
    said: list[str] = []
    record = here.with_suffix(".json")
    record.write_text(record.read_text().replace(json.dumps(str(run))[1:-1], "/nowhere"))  # its answers are not compared
    assert verify(VerifyRequest(file=here), say=said.append).recorded and len(said) == 1
    for name, right, wrong in (("MODEL_CARD.md", "not calibrated", "right"), ("model.onnx.cdx.json", "SHA-256", "MD5")):
        text = (here.parent / name).read_text()
        (here.parent / name).write_text(text.replace(right, wrong) + " ")
        with pytest.raises(RefusedFileError, match=rf"{name}: was changed since it was written with model\.onnx"):
            striate.verify(here)
        (here.parent / name).write_text("of another export")
        verify(VerifyRequest(file=here), say=said.append)
        assert said[-2] == f"{here.parent / name}: tells of another file"
        (here.parent / name).write_text(text)
    record.write_text('{"sha256": 3}')
    with pytest.raises(RefusedFileError, match=r"model\.json: (sha256|lacks|model)"):
        striate.verify(here)


@pytest.mark.slow
def test_a_bundle_is_verified_with_its_answers(run: Path, exported: Path, tmp_path: Path):
    (tmp_path / "b.zip").write_bytes(bundle_bytes(exported.read_bytes(), {}))
    report = striate.verify(tmp_path / "b.zip", run=run / "calibrated.safetensors", images=4)
    assert report.gate is not None and report.gate.passed and not report.recorded
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        archive.extractall(tmp_path)
    assert striate.verify(tmp_path / "model").facts == report.facts
    other = exported.read_bytes().replace(b"light", b"right")
    (tmp_path / "b.zip").write_bytes(bundle_bytes(other, {}))  # its list of hashes is right
    with pytest.raises(RefusedFileError, match="damaged or edited"):
        striate.verify(tmp_path / "b.zip")


def test_other_answers_do_not_pass_the_gate(run: Path, exported: Path):
    other = striate.load(run / "calibrated.safetensors")
    with torch.no_grad():
        next(other.module.parameters()).mul_(1.5)
    pictures = sorted((run.parent / "photos" / "dark").iterdir())[:4]
    found = gate(other, exported, pictures, [file.name for file in pictures])
    assert not found.passed and found.max_difference > 1e-4 and len(found.worst) == 5


def test_a_process_of_the_gate_that_ends_early_is_one_clear_error(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = striate.load(run)
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(NumericError, match="the exported file does not run: ONNX Runtime cannot open it"):
        gate(model, tmp_path / "model.onnx", [], [])
    killed = subprocess.CompletedProcess([], -9, "", "")
    monkeypatch.setattr("striate.insight.export.gate.subprocess.run", lambda *_, **__: killed)
    with pytest.raises(EnvironmentFault, match="was ended by SIGKILL, as when memory runs out"):
        gate(model, tmp_path / "model.onnx", [], [])


def test_no_file_appears_where_the_answers_differ(run: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(verb.FORMS, "onnx", verb.FORMS["onnx"]._replace(make=lambda *_: {".onnx": exported.read_bytes()}))
    with pytest.raises(NumericError, match=r"not written, because its answers are not those of .*worst: "):
        export(ExportRequest(run=run / "calibrated.safetensors", output=tmp_path / "model.onnx", images=4, max_difference=1e-15))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_says_so(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(UsageError, match=r"must end in \.onnx"):
        striate.export(run, output=tmp_path / "model.pt")
    with pytest.raises(UsageError, match="no place for the exported file"):
        striate.export(run / "best.safetensors")
    with pytest.raises(UsageError, match="`precision`: html has no precision bfloat16"):
        striate.export(run, format="html", precision="bfloat16")
    with pytest.raises(UsageError, match="`input`: html has no input float32"):
        striate.export(run, format="html", input="float32")
    monkeypatch.setattr(onnx_file, "EXPORTERS", ("onnx", "no_such_package"))
    with pytest.raises(EnvironmentFault, match="no_such_package"):
        striate.export(run)


def test_a_module_of_the_user_is_exported_and_runs_without_it(tmp_path: Path):
    model = small_model()
    (tmp_path / "own.onnx").write_bytes(onnx_bytes(model))
    images = np.random.default_rng(3).integers(0, 256, (5, 16, 16, 3), np.uint8)
    np.testing.assert_allclose(ExportedModel(tmp_path / "own.onnx").probabilities(images), model.probabilities(images), atol=1e-6)


# ---- the card


def test_a_card_tells_what_the_model_is_good_for(run: Path, exported: Path):
    text = (exported.parent / "MODEL_CARD.md").read_text(encoding="utf-8")
    card = json.loads(exported.with_suffix(".json").read_text())["card"]
    measured = striate.evaluate(run / "calibrated.safetensors", split="val")

    assert card["val"]["accuracy"] == measured.accuracy and card["num_train"] == 20
    low, high = measured.classes["dark"].recall_interval
    assert f"| dark | 10 | {measured.classes['dark'].recall:.3f} ({low:.3f} to {high:.3f}) |" in text
    assert "pictures that fit no class are answered `unknown`" in text and "temperature" in text
    assert "There were fewer than 20 pictures to measure on of dark, light" in text
    assert "Its accuracy under noise, shifts, turns and attacks was not measured." in text
    assert f"| SHA-256 | {hashlib.sha256(exported.read_bytes()).hexdigest()} |" in text
    weights = hashlib.sha256((run / "calibrated.safetensors").read_bytes()).hexdigest()
    assert f"| SHA-256 of the model file | {weights} |" in text


def test_a_bill_of_materials_names_the_file_its_data_and_what_it_needs(exported: Path):
    data = json.loads(exported.with_name("model.onnx.cdx.json").read_text())
    assert (data["bomFormat"], data["specVersion"]) == ("CycloneDX", "1.6")
    model = data["metadata"]["component"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(exported.read_bytes()).hexdigest()}]
    card = json.loads(exported.with_suffix(".json").read_text())["card"]
    assert float(model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"]) == pytest.approx(
        card["val"]["accuracy"], 1e-5
    )
    parts = {each["bom-ref"]: each for each in data["components"]}
    assert parts["training-data"]["name"] == "photos" and data["dependencies"] == [{"ref": "model", "dependsOn": list(parts)}]
    assert parts["package-onnxruntime"]["purl"] == f"pkg:pypi/onnxruntime@{importlib.metadata.version('onnxruntime')}"

    known = {"data_licence": "CC BY 4.0", "pretrained": "builtin:lite", "pretrained_licence": "Apache-2.0"}
    licensed = TypeAdapter(Card).validate_python(card | known)
    files = {"m.xml": "ab" * 32, "m.bin": "cd" * 32}
    found = {each["name"]: each for each in json.loads(bom_text(licensed, "m.xml", files, ()))["components"]}
    assert found["photos"]["licenses"] == [{"license": {"name": "CC BY 4.0"}}]
    assert found["builtin:lite"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert found["m.bin"]["hashes"][0]["content"] == "cd" * 32


def test_a_card_has_what_other_verbs_measured_and_refuses_their_damaged_reports(run: Path, tmp_path: Path):
    here = shutil.copytree(run, tmp_path / "run")
    found = striate.attack(here, attacks=("noise",), epsilons=(0.1,), num_images=10).results[0]
    subject, request = open_model(here, device="cpu"), ExportRequest(run=here)
    images = subject.pictures(request, "val", "export", lambda _text: None)

    text = card_text(card_of(subject, images), "model.onnx", {})
    assert f"| noise | eps (linf) | 0.1: {found.accuracies[-1]:.3f} |" in text and "was not measured" not in text
    report = here / "report" / "attack" / "attack.json"
    report.write_text(report.read_text().replace('"accuracies"', '"accuracy"'))
    with pytest.raises(RefusedFileError, match=r"attack.json: lacks results.0.accuracies"):
        card_of(subject, images)
