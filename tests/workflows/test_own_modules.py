"""What the report, profile, compare and diagnose make of a module of the user's own, at hand and not."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import striate
from striate.core.errors import UsageError
from striate.workflows.ablation.lesion import LesionRequest, lesion_model
from striate.workflows.evaluation.compare import CompareRequest, compare
from striate.workflows.evaluation.comparison import summary as compared_in_words
from striate.workflows.evaluation.comparison import table as compared
from striate.workflows.profiling.profile import ProfileRequest, profile
from striate.workflows.profiling.words import summary

EVERY = ("Summary", "Training", "Results on val", "What it looks at", "Calibration", "Network", "Cost", "Diagnosis", "Environment")


class Own(nn.Module):
    """Three classes of grey pictures of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.max_pool2d(torch.relu(self.first(x)), 2)))  # (N, 6, H / 2, W / 2)
        return self.head(x.mean((2, 3)))


MACS = 4 * 9 * 12 * 10 + 6 * 36 * 6 * 5 + 18  # of a picture of 12 x 10


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.integers(0, 60, (60, 12, 10), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 150
    np.savez(folder / "bands.npz", x_train=images, y_train=labels)
    striate.train(folder / "bands.npz", network=Own(), epochs=1, batch_size=10, output=folder / "run")
    return folder / "run"


def test_with_its_module_a_run_has_every_section(run: Path, tmp_path: Path):
    found = striate.report(run, module=Own(), measure=False, split="train", output=tmp_path / "page.html")

    assert set(EVERY) < set(found.sections) and "Results on train" in found.sections and found.left_out == {}
    page = Path(found.output).read_text(encoding="utf-8")
    assert "Grad-CAM at model.second" in page
    assert f"{MACS:,} MACs = {2 * MACS:,} FLOPs" in page
    data, recipe = run.parent / "bands.npz", run / "config.yaml"
    assert html.escape(f"striate.train('{data}', network=Own(), recipe='{recipe}')") in page
    again = striate.train(str(data), network=Own(), recipe=str(recipe), output=tmp_path / "again")
    assert again.epochs == 1 and again.params == sum(weight.numel() for weight in Own().parameters())


def test_without_it_the_rest_is_shown_and_the_page_says_how_to_hand_it_in(run: Path, tmp_path: Path):
    found = striate.report(run, output=tmp_path / "page.html")

    assert found.sections == ("Summary", "Training", "Network", "Cost", "Diagnosis", "Environment", "Repeat it", "Left out")
    assert list(found.left_out) == ["Model", "Results on val", "What it looks at", "Calibration", "Measured cost"]
    assert "striate.report(run, module=...)" in Path(found.output).read_text(encoding="utf-8")
    assert striate.diagnose(run, output=tmp_path / "diagnose").batches == 0


def test_without_it_a_run_is_counted_not_measured(run: Path):
    said: list[str] = []
    report = profile(ProfileRequest(network=run), say=said.append)

    assert report.measured is None and report.totals.macs == MACS
    assert "Own is the user's own module, and a file holds only its weights: counted, not measured" in said
    assert "activations       not known training" in summary(report) and "receptive field   not known" in summary(report)


def test_modules_stand_beside_named_networks_at_one_size(run: Path):
    report = compare(CompareRequest(subjects=(Own(), Own(), "mnist_notes"), in_channels=1, input_size=28, num_classes=3))
    heading, rows, _ = compared(report)

    assert [row[0] for row in rows] == ["Own (1)", "Own (2)", "mnist_notes"]
    assert {row[heading.index("input")] for row in rows} == {"1x28x28"}
    assert [row[heading.index("field")] for row in rows[:2]] == ["-", "-"]
    with pytest.raises(UsageError, match="a Own does not define the size of its input"):
        compare(CompareRequest(subjects=(Own(), "lenet5")))


def test_a_run_whose_module_is_not_at_hand_is_compared_by_its_counts(run: Path):
    said: list[str] = []
    report = compare(CompareRequest(subjects=(run, "mnist_notes"), measure=True), say=said.append)

    assert said == [f"{run} is the user's own module and was not passed: only counts are compared"]
    assert report.subjects[0].latency is None and report.subjects[1].latency is not None
    assert compared(report)[1][0][-2:] == ["-", "-"]
    model = striate.load(run, module=Own())
    again = compare(CompareRequest(subjects=(model, model), data=run.parent / "bands.npz", split="train"))
    assert again.pairs[0].p_value == 1
    assert "Own (1) 0, Own (2) 0" in compared_in_words(again)


def test_a_module_that_labels_pixels_is_trained_measured_and_profiled(tmp_path: Path):
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for number in range(12):
        image = rng.integers(0, 256, (10, 8, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{number}.png")
        Image.fromarray((image[..., 0] > 128).astype(np.uint8)).save(tmp_path / "data" / "masks" / f"{number}.png")
    pixels = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 1))

    striate.train(tmp_path / "data", network=pixels, task="segment", epochs=1, batch_size=4, output=tmp_path / "run")
    found = striate.report(tmp_path / "run", module=pixels, measure=False)

    assert "Results on val" in found.sections and set(found.left_out) == {"What it looks at", "Calibration"}
    assert f"{80 * (27 * 5 + 10):,} MACs" in Path(found.output).read_text(encoding="utf-8")
    assert striate.profile(pixels, input_size=(10, 8), measure=False).output_shape == (2, 10, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(lambda run, out: striate.evaluate(run, split="val", module=Own()).num_images == 6, id="evaluate"),
        pytest.param(lambda run, out: len(striate.predict(run, np.zeros((2, 12, 10), np.uint8), module=Own())) == 2, id="predict"),
        pytest.param(lambda run, out: striate.explain(run, num_pictures=2, module=Own(), output=out).pictures, id="explain"),
        pytest.param(lambda run, out: striate.attack(run, attacks=("fgsm",), module=Own(), output=out).results, id="attack"),
        pytest.param(lambda run, out: striate.calibrate(run, module=Own(), output=out / "model.safetensors").output, id="calibrate"),
        pytest.param(lambda run, out: striate.compare(run, run, split="val", module=Own()).pairs[0].p_value == 1, id="compare"),
        pytest.param(lambda run, out: striate.diagnose(run, module=Own(), batches=3, output=out).batches == 3, id="diagnose"),
        pytest.param(lambda run, out: striate.profile(run, module=Own(), measure=False).totals.macs == MACS, id="profile"),
        pytest.param(lambda run, out: lesion_model(LesionRequest(run=run, module=Own(), output=out)).points, id="lesion"),
    ],
)
def test_every_verb_takes_the_module_of_a_run_in_the_same_way_and_finds_its_data(run: Path, tmp_path: Path, verb):
    (tmp_path / "out").mkdir()
    assert verb(run, tmp_path / "out")


def test_a_model_has_its_module(run: Path):
    with pytest.raises(UsageError, match="module: a Model has its module"):
        striate.evaluate(striate.load(run, module=Own()), run.parent / "bands.npz", split="train", module=Own())
