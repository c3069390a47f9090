"""The workflow and the verbs: files, report, words of errors, on a tiny model of two classes of stripes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

import striate
from striate.apps.cli import app
from striate.core.errors import DataError, EnvironmentFault, ShapeError, UnknownNameError, UsageError
from striate.core.images import ImageSpec
from striate.insight.explain import METHODS
from striate.networks.model_file import ModelFile
from striate.workflows.explanation.explain import ExplainRequest, explain
from striate.workflows.explanation.page import shaded
from striate.workflows.explanation.words import summary


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on stripes: class 0 across, class 1 down, at random places in noise."""
    folder = tmp_path_factory.mktemp("explain")
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 60, (80, 16, 12, 3), dtype=np.uint8), np.arange(80) % 2
    for image, label in zip(images, labels, strict=True):
        start = rng.integers(2, 9)
        image[(slice(start, start + 2), slice(2, 10)) if label == 0 else (slice(2, 14), slice(start, start + 2))] = 230
    np.savez(folder / "stripes.npz", x_train=images, y_train=labels)
    network = striate.network("cifar_notes", num_classes=2, input_size=(16, 12))
    striate.train(folder / "stripes.npz", network=network, epochs=4, batch_size=16, output=folder / "run")
    return folder / "run"


@pytest.mark.row("004-18")
def test_every_method_draws_its_maps_and_says_how_far_it_can_be_trusted(run: Path, tmp_path: Path):
    report = explain(ExplainRequest(run=run, methods=METHODS, num_pictures=3, output=tmp_path))

    assert report.layer == "block3.act" and report.methods == METHODS and len(report.pictures) == 3
    for item in report.pictures:
        assert set(item.deletion) == set(item.insertion) == set(METHODS)
        assert all(0 <= value <= 1 for value in (*item.deletion.values(), *item.insertion.values()))
        assert item.target == item.answer and item.label is not None
    assert all(-1 <= value <= 1 for value in report.randomisation.values())
    assert json.loads((tmp_path / "explain.json").read_text())["layer"] == "block3.act"
    with Image.open(tmp_path / "heat-maps.png") as picture:
        assert picture.width > picture.height > 300
    page = (tmp_path / "index.html").read_text()
    assert "data:image/png;base64," in page and "http:" not in page and "https:" not in page
    assert "grad_cam_plus_plus" in summary(report)


@pytest.mark.row("003-15", "003-19")
def test_views_of_the_network_are_drawn(run: Path, tmp_path: Path):
    views = ("filters", "maps", "classes", "channels", "units", "by_class", "pca")
    report = explain(ExplainRequest(run=run, views=views, methods=(), num_pictures=2, split="train", output=tmp_path))
    assert set(report.files) == {
        *("filters.png", "filters.csv", "norms.png", "maps.png", "classes.png", "channels.png", "units.png"),
        *("by-class.png", "by-class.csv", "pca.png", "pca.csv", "index.html"),
    }
    assert all((tmp_path / name).stat().st_size > 100 for name in report.files)
    assert len((tmp_path / "filters.csv").read_text().splitlines()) == 33  # 32 filters and the header


def test_the_class_token_of_a_vision_transformer_is_among_the_values_inside(tmp_path: Path):
    network = striate.network("vit_tiny", num_classes=2, input_size=32).depth(0.1)
    spec = ImageSpec(height=32, width=32, channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
    model = striate.Model(ModelFile(network, network.build(), ("a", "b"), spec, {}))
    picture = tmp_path / "a.png"
    Image.new("RGB", (32, 32), "green").save(picture)

    report = explain(ExplainRequest(run=model, pictures=(picture,), methods=(), views=("activations",), output=tmp_path / "out"))

    assert report.files[0] == "activations.npz"
    with np.load(tmp_path / "out" / "activations.npz") as file:
        assert {*file} <= {*model.activations(picture)} and any("token" in path for path in file)


@pytest.mark.row("003-46")
def test_every_value_inside_a_network_is_written_as_numbers_and_given_in_python(run: Path, tmp_path: Path):
    """Each layer's recorded output is what it gives for the recorded output of the layer before it."""
    picture = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 12, 3), dtype=np.uint8)).save(picture)
    asked = ["explain", str(run), str(picture), "--view", "activations", "--no-sanity", "--output", str(tmp_path / "out")]
    assert CliRunner().invoke(app, asked).exit_code == 0

    model = striate.load(run)
    given = model.activations(picture)
    with np.load(tmp_path / "out" / "activations.npz") as file:
        written = dict(file)

    layers = [row.path for row in model.network.rows]
    assert set(layers) <= set(written) <= set(given) and given["block1"].shape == (1, *model.network.shapes_at(["block1"])["block1"])
    assert all(np.allclose(written[path], given[path], atol=1e-5) for path in written)
    np.testing.assert_allclose(given[layers[-1]], model.outputs(model.read(picture)), rtol=1e-4, atol=1e-5)
    for before, path in itertools.pairwise(layers):
        with torch.no_grad():
            output = model.module.network.get_submodule(path)(torch.from_numpy(given[before]))
        np.testing.assert_allclose(given[path], output, rtol=1e-4, atol=1e-5, err_msg=path)


def test_each_map_and_view_is_said_before_the_work(run: Path, tmp_path: Path):
    said: list[str] = []
    request = ExplainRequest(run=run, views=("maps",), methods=("saliency",), num_pictures=2, sanity=False, output=tmp_path)

    explain(request, say=said.append)

    assert said[-2:] == ["saliency: 2 pictures", "maps: drawing"]


def test_a_split_that_the_data_has_not_is_answered_with_the_one_that_was_held_out(run: Path):
    with pytest.raises(DataError, match="has no test split") as refused:
        striate.evaluate(run, split="test")

    assert refused.value.remedy == "Choose --split val: the pictures that the training held out."


def test_pictures_of_files_are_explained_for_any_class(run: Path, tmp_path: Path):
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(tmp_path / "a <b>.png")
    report = explain(ExplainRequest(run=run, pictures=(tmp_path,), target="1", sanity=False, output=tmp_path / "out"))
    assert [(item.path, item.target, item.label, item.deletion) for item in report.pictures] == [("a <b>.png", "1", None, {})]
    assert (tmp_path / "out" / "index.html").is_file()


def test_a_module_of_the_users_own_is_explained_and_attacked_and_left_as_it_was(tmp_path: Path):
    """Its logits are its means of red and blue, in units of their normalization: the answers are known by hand."""

    class Colours(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 3, 1, bias=False)
            self.stem.weight.data = torch.eye(3)[:, :, None, None]

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.stem(images).mean((2, 3))[:, [0, 2]]

    module = Colours().train()
    pictures = np.zeros((4, 12, 9, 3), np.uint8)
    pictures[:2, ..., 0], pictures[2:, ..., 2] = 150, 140  # red, red, blue, blue
    model = striate.Model.of(module, input_size=(12, 9), classes=("red", "blue"), mean=(0.5, 0.4, 0.3), std=0.25)

    logits = [[(150 / 255 - 0.5) / 0.25, -0.3 / 0.25], [-0.5 / 0.25, (140 / 255 - 0.3) / 0.25]]
    np.testing.assert_allclose(model.outputs(pictures[1:3]), logits, atol=1e-5)
    for place, picture in enumerate(pictures):
        folder = tmp_path / "data" / ("red" if place < 2 else "blue")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{place}.png")
    report = striate.explain(model, tmp_path / "data" / "blue", methods=("grad_cam", "saliency"), output=tmp_path / "out")
    assert [item.answer for item in report.pictures] == ["blue", "blue"] and report.layer == "model.stem"
    attacked = striate.attack(model, tmp_path / "data", attacks=("fgsm",), split="train", epsilons=(0.0, 0.2, 0.4))
    assert attacked.results[0].accuracies == (1.0, 0.5, 0.0)  # 2 eps against leads of 150 / 255 - 0.2 and of 140 / 255 + 0.2
    assert module.training and all(weight.grad is None for weight in module.parameters())


def test_what_is_no_model_is_refused_with_the_way_to_make_one():
    with pytest.raises(UsageError, match=r"got a Flatten\nWrap a torch module with striate\.Model\.of"):
        striate.explain(nn.Flatten())
    with pytest.raises(UsageError, match="classes must be 12 distinct names, one per logit, got 2 of which 1 differ"):
        striate.Model.of(nn.Flatten(), input_size=2, classes=("a", "a"))


def test_a_damaged_picture_of_a_folder_is_named_with_a_remedy_that_the_verb_has(run: Path, tmp_path: Path):
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match=r"b\.png: .*\nRepair it, or give the pictures to explain one by one") as caught:
        explain(ExplainRequest(run=run, pictures=(tmp_path,), output=tmp_path / "out"))
    assert "skip_" not in str(caught.value)


def test_a_file_in_place_of_the_output_is_told_before_the_pictures_are_read(run, tmp_path):
    (tmp_path / "file").touch()
    said = []

    for output in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(EnvironmentFault, match=r"cannot write: .*file is not a folder"):
            explain(ExplainRequest(run=run, output=output), say=said.append)
    assert said == []


def test_the_layout_by_t_sne_is_drawn_and_umap_where_it_is_not_installed_is_refused_before_the_work(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    report = explain(ExplainRequest(run=run, views=("tsne",), methods=(), num_pictures=2, output=tmp_path))
    assert set(report.files) == {"tsne.png", "tsne.csv", "index.html"}
    assert len((tmp_path / "tsne.csv").read_text().splitlines()) == 1 + 8  # the val split, and the header

    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(EnvironmentFault, match=r"UMAP is not installed\nInstall it, pip install umap-learn, or use t-SNE"):
        explain(ExplainRequest(run=run, views=("umap",), output=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_errors_say_what_was_wanted(run: Path, tmp_path: Path):
    for fields, error, words in (
        ({"target": "seven"}, UnknownNameError, r"unknown class 'seven'\nKnown: 0, 1"),
        ({"layer": "block9"}, UnknownNameError, "unknown layer 'block9'"),
        ({"pictures": (tmp_path,)}, DataError, "no pictures"),
        ({"pictures": (tmp_path,), "mistakes": True}, UsageError, "known only for a split, which has labels"),
        ({"layer": "head.linear", "views": ("maps",), "methods": ()}, ShapeError, "must give a feature map"),
    ):
        with pytest.raises(error, match=words):
            explain(ExplainRequest(run=run, output=tmp_path / "out", **fields))


def test_the_verbs_print_their_reports(run: Path, tmp_path: Path):
    call = CliRunner().invoke
    result = call(app, ["explain", str(run), "-m", "saliency", "-n", "2", "--output", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["methods"] == ["saliency"]
    every = call(
        app, ["explain", str(run), "-m", "all", "-m", "saliency", "-n", "1", "--no-sanity", "--output", str(tmp_path / "all"), "--json"]
    )
    assert json.loads(every.stdout)["methods"] == list(METHODS)
    assert isinstance(call(app, ["explain", str(run), "-m", "guess"]).exception, UsageError)

    Image.fromarray(np.full((4, 5, 3), 90, np.uint8)).save(tmp_path / "a.png")
    words = ["filter", str(tmp_path / "a.png"), "-k", "blur", "-k", "[[2]]", "--exposure", "0.5", "--output", str(tmp_path / "b.png")]
    result = call(app, [*words, "--convolve", "--json"])
    assert [step["name"] for step in json.loads(result.stdout)["steps"]] == ["blur", "kernel", "exposure=0.5"]
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.getpixel((0, 0)) == (90, 90, 90)
    assert "sobel" in call(app, ["filter", str(tmp_path / "a.png"), "-k", "sobel", "--output", str(tmp_path / "c.png")]).stdout


def test_heat_is_dark_where_there_is_none_and_nothing_stays_dark():
    heat = np.zeros((5, 6))
    assert (shaded(heat) == shaded(heat)[0, 0]).all()
    heat[2, 3] = 4
    bright = shaded(heat).sum(2)
    assert bright[2, 3] == bright.max() and (bright == bright.min()).sum() == 29


@pytest.mark.slow
def test_all_gives_every_map_and_every_view_and_says_what_there_is_not(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    result = CliRunner().invoke(
        app, ["explain", str(run), "-m", "all", "-n", "2", "--no-sanity", "--split", "train", "--output", str(tmp_path)]
    )
    assert result.exit_code == 0, result.output
    for name in ("heat-maps", "filters", "norms", "maps", "classes", "channels", "units", "by-class", "pca", "tsne"):
        assert (tmp_path / f"{name}.png").is_file(), name
    assert "umap: left out: " in result.stderr and "Left out" in (tmp_path / "index.html").read_text()


def linear_classifier() -> striate.Model:
    """Two classes by the sums of the red and of the blue values: no convolution, no feature map, no ReLU."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 5, 2, bias=False))
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]).repeat_interleave(30, 1))
    return striate.Model.of(module, input_size=(6, 5), classes=("red", "blue"))


def test_all_of_a_network_without_convolutions_is_what_it_has(tmp_path: Path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 5, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    report = striate.explain(linear_classifier(), tmp_path / "a.png", methods=("all",), sanity=False, output=tmp_path / "out")

    assert report.layer == "" and report.methods == METHODS[2:] and "classes.png" in report.files
    for name in ("grad_cam", "grad_cam_plus_plus", "maps", "channels", "units", "by_class"):
        assert report.left_out[name] == "the network has no feature map"
    assert report.left_out["filters"] == "the network has no two-dimensional convolution"
    assert report.left_out["pca"] == "the model does not record its data"
    with pytest.raises(ShapeError, match=r"grad_cam: .*no part gives a feature map.*\nName a `layer`, or take another method"):
        striate.explain(linear_classifier(), tmp_path / "a.png", output=tmp_path / "out")


def test_methods_that_give_the_same_maps_say_so_and_why(run: Path, tmp_path: Path):
    """Without a ReLU, guided backpropagation and the deconvnet are the gradient; with one, they are not."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (6, 5, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    three = ("saliency", "guided_backprop", "deconvnet")
    report = striate.explain(linear_classifier(), tmp_path / "a.png", methods=three, sanity=False, output=tmp_path / "out")
    names, why = (
        "saliency, guided_backprop and deconvnet",
        "they differ only in the backward pass through a ReLU, and this network has none",
    )
    assert report.notes == (f"{names} give the same maps: {why}",)
    assert report.notes[0] in summary(report) and report.notes[0][1:] in (tmp_path / "out" / "index.html").read_text()
    assert explain(ExplainRequest(run=run, methods=three, num_pictures=2, sanity=False, output=tmp_path / "other")).notes == ()
