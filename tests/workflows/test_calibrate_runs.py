"""`striate calibrate`: a temperature and a threshold that travel in the model file, found on the val split."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import striate
from striate.apps.cli import main
from striate.core.errors import DataError, RefusedFileError, UsageError
from striate.data.sources import open_data
from striate.workflows.evaluation.calibrate import CalibrateRequest, calibrate, summary
from striate.workflows.predict import answer_rows
from striate.workflows.subjects.labelled import DataRequest, open_labelled


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    striate.train("digits", network="lenet5", steps=60, batch_size=64, output=folder)
    return folder


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Pictures of two classes that are no digits."""
    root = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(0)
    for name in ("snow", "stripes"):
        (root / name).mkdir()
        for index in range(20):
            pixels = rng.integers(0, 256, (32, 32), dtype=np.uint8)
            Image.fromarray(pixels if name == "snow" else np.sort(pixels, 0)).save(root / name / f"{index}.png")
    return root


def test_the_calibrated_file_gives_the_same_answers_with_better_probabilities(run):
    report = calibrate(CalibrateRequest(run=run))

    plain, better = striate.load(run), striate.load(report.output)
    images = plain.read(open_data("digits").read("test").images[:40])
    logits = plain.outputs(images)
    np.testing.assert_array_equal(better.outputs(images), logits)
    scaled = np.exp(logits / report.after.temperature)
    np.testing.assert_allclose(better.probabilities(images), scaled / scaled.sum(1, keepdims=True))
    assert report.after.log_loss <= report.before.log_loss
    assert report.after.log_loss == pytest.approx(striate.evaluate(report.output, "digits", split="val").log_loss)
    assert report.before.log_loss == pytest.approx(striate.evaluate(run, split="val").log_loss)
    assert (run / "report" / "calibrate" / "reliability.png").stat().st_size > 1000
    assert json.loads((run / "report" / "calibrate" / "calibration.json").read_text())["threshold"] is None
    assert not (run / "test-openings.jsonl").exists()
    assert f"temperature {report.after.temperature:.4f}" in summary(report)
    assert f"picture: {report.picture}" in summary(report)


def test_pictures_below_the_threshold_are_unknown(run, noise, tmp_path):
    output = tmp_path / "model.safetensors"

    report = calibrate(CalibrateRequest(run=run, coverage=0.9, score="confidence", against=noise, output=output))

    model = striate.load(output)
    answers = model.predict(sorted(noise.rglob("*.png")), top=2)
    unknown = sum(item.class_name == "unknown" for item in answers)
    assert report.against.answered == pytest.approx(1 - unknown / 40)
    assert all(len(item.top) == 2 and item.top[0].class_name in model.classes for item in answers)
    assert 0.9 <= report.coverage < 0.92
    assert report.accuracy_answered >= report.accuracy
    assert set(report.against.auroc) == {"energy", "confidence", "max_logit"}
    assert report.against.num_images == 40
    words = [row[1] for row, item in zip(answer_rows(answers), answers, strict=True) if item.class_name == "unknown"]
    assert all(text.startswith("unknown (nearest: ") for text in words)


def test_strangers_may_lie_in_one_folder(run, noise, tmp_path):
    snow = calibrate(CalibrateRequest(run=run, against=noise / "snow", output=tmp_path / "a.safetensors")).against

    model, logits = striate.load(run), []
    for pictures in (open_data("digits"), sorted((noise / "snow").iterdir())):
        own = open_labelled(model, None, DataRequest(data=pictures), verb="calibrate MODEL") if not isinstance(pictures, list) else None
        images = model.read(pictures) if own is None else own.read("val", lambda _: None).images
        logits.append(model.outputs(images).max(1))
    above = np.mean(logits[0][:, None] > logits[1][None]) + np.mean(logits[0][:, None] == logits[1][None]) / 2
    assert snow.auroc["max_logit"] == pytest.approx(above)  # the share of pairs in which the digit scores above the stranger
    assert snow.num_images == 20
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no pictures"):
        calibrate(CalibrateRequest(run=run, against=tmp_path / "empty", output=tmp_path / "b.safetensors"))


def test_the_command_says_what_was_found(run, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["calibrate", str(run), "--coverage", "0.8", "--output", str(tmp_path / "m.safetensors"), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert not end.value.code
    assert report["threshold"] is not None
    assert len(report["curve"]) == 20

    with pytest.raises(SystemExit) as end:
        main(["calibrate", str(run), "--coverage", "2"])
    assert end.value.code == 2
    assert "coverage" in capsys.readouterr().err


def test_wrong_requests_say_what_is_wrong(run, tmp_path):
    copied = tmp_path / "copy.safetensors"
    shutil.copy(run / "best.safetensors", copied)

    with pytest.raises(UsageError, match="no place for the calibrated model"):
        calibrate(CalibrateRequest(run=copied, data="digits"))
    with pytest.raises(UsageError, match="is the model itself, which must not be overwritten"):
        calibrate(CalibrateRequest(run=copied, data="digits", output=copied))
    with pytest.raises(DataError, match="has the model's own classes '0', '1'"):
        calibrate(CalibrateRequest(run=run, against="digits", output=tmp_path / "m.safetensors"))


def test_a_file_with_a_bad_temperature_is_refused(run, tmp_path):
    model = striate.load(run)
    model.info = {**model.info, "calibration": {"temperature": -1.0}}
    model.save(tmp_path / "bad.safetensors")

    with pytest.raises(RefusedFileError, match="calibration: temperature: must be more than 0"):
        striate.load(tmp_path / "bad.safetensors")
