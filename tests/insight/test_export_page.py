"""An exported page answers as what was trained: its engine step by step, its fitting to the bit, and the whole of it in a browser."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

import striate
from striate.core.calibration import Calibration, scores_of
from striate.core.errors import EnvironmentFault, NumericError, RefusedFileError, UsageError
from striate.core.images import ImageSpec
from striate.data.fitting import fit_image
from striate.insight.export import browser, page_gate, steps
from striate.insight.export.html_file import MAX_BYTES, html_bytes, plan_of
from striate.insight.export.steps import lower, steps_of
from striate.models.model import Model
from striate.networks import layers as of
from striate.networks.layers.activation import ActivationName
from striate.networks.model_file import ModelFile
from striate.networks.network import Network

ENGINE = Path(striate.__file__).parent / "insight" / "export" / "page" / "engine.js"
SIZES = [(21, 28), (42, 56), (1, 1), (2, 90), (33, 7), (100, 60), (53, 37), (24, 30), (150, 23), (31, 20)]
ANSWERING = """
import fs from "node:fs";
import {pathToFileURL} from "node:url";
const [, folder, engine] = process.argv, {Engine, fitted} = await import(pathToFileURL(engine));
const jobs = JSON.parse(fs.readFileSync(`${folder}/jobs.json`)), read = name => new Uint8Array(fs.readFileSync(`${folder}/${name}`));
const found = {answers: {}, maps: {}, fitted: []};
for (const {name, keep} of jobs.networks) {
  const {outputs, maps} = new Engine(JSON.parse(fs.readFileSync(`${folder}/${name}.json`)), read(`${name}.bin`).buffer)
    .run(read(`${name}.picture`), new Set(keep));
  found.answers[name] = Array.from(outputs);
  for (const path in maps) found.maps[`${name} ${path}`] = {shape: maps[path].shape, data: Array.from(maps[path].data)};
}
for (const {height, width, images, name} of jobs.pictures) found.fitted.push(Array.from(fitted(read(name), height, width, images)));
fs.writeFileSync(`${folder}/found.json`, JSON.stringify(found));
"""


# ---- the engine, in one process for all


def everything() -> Network:
    """One network that has what the small ones of the catalogue lack."""
    two = of.Parallel(wide=of.Conv(8, 3, padding=2, dilation=2, groups=4), mean=of.Pool("avg", 3, 1, 1, count_padding=False), merge="sum")
    gate = of.Chain(of.GlobalPool(keep_axes=True), of.Conv(8, 1), of.Activation("sigmoid"))
    stem = of.Chain(of.Conv(8, 3, stride=2, padding="tf_same", bias=False), of.BatchNorm(), of.Activation("prelu", per_channel=True))
    maps = of.Parallel(depthwise=of.Conv(16, (3, 5), padding="same", groups=8), own=of.Identity(), one=gate, merge="concat")
    return Network(
        "everything",
        (3, 13, 18),
        of.Chain(
            stem, two, of.LocalResponseNorm(4), of.Parallel(gate=gate, body=of.Identity(), merge="multiply"),
            of.Pool("max", 3, 2, 1, ceil_mode=True), of.GroupNorm(2), maps, of.ShuffleChannels(4), of.ChannelChunk(1, 2), of.BatchNorm(),
            of.PadChannels(20, stride=2), of.GlobalResponseNorm(), of.LayerNorm(), of.InstanceNorm(), of.ChannelLinear(6),
            of.AdaptivePool((3, 2)), of.Scale(0.7), of.Parallel(scale=of.Gain(0.5), body=of.Identity(), merge="multiply"),
            of.Flatten(), of.Linear(7),
        ),
    )  # fmt: skip


def attentive() -> Network:
    """A small transformer, whose steps are rows once and places once."""
    places = of.Chain(of.Conv(8, 4, stride=4), of.ToSequence("places"))
    steps = of.Parallel(token=of.ClassToken(8), steps=of.Identity(), merge="concat")
    mixed = of.Chain(of.LayerNorm(over="features"), of.Linear(24), of.SelfAttention(2), of.Linear(8))
    rows = of.Chain(of.ToSequence("rows"), of.Linear(4), of.TakeStep(2))
    read = of.Chain(places, steps, of.PositionEmbedding(), of.Parallel(body=mixed, own=of.Identity(), merge="sum"), of.TakeStep(1))
    return Network("attentive", (3, 12, 16), of.Chain(of.Parallel(places=read, rows=rows, merge="concat"), of.Linear(5)))


def active() -> Network:
    """Every activation beside the others, and a mixture of two heads."""
    acts = {name: of.Activation(name) for name in get_args(ActivationName)}
    heads = of.Parallel(one=of.Linear(3), two=of.Linear(3), merge="mixture")
    return Network("active", (1, 5, 4), of.Chain(of.Conv(3, 1), of.Parallel(**acts, merge="concat"), of.Flatten(), heads))


def model_of(network: Network, **settings: Any) -> Model:
    """A model with fresh weights, whose normalizations have learned something."""
    torch.manual_seed(1)
    module = network.build()
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.uniform_(-0.3, 0.3), part.running_var.uniform_(0.5, 1.5)
        if "Norm" in type(part).__name__:
            for values in part.parameters(recurse=False):
                torch.nn.init.uniform_(values, 0.5, 1.5)
    channels, height, width = network.input_shape
    spec = ImageSpec(height=height, width=width, channels=channels, mean=(0.4,) * channels, std=(0.2, 0.3, 0.25)[:channels], **settings)
    return Model(ModelFile(network, module, tuple(map(str, range(network.output_shape[0]))), spec, {}))


def catalogued(name: str, size: int) -> Network:
    return striate.network(name, input_size=size)


MODELS = {
    "everything": (everything, {"normalization": "per_image"}, "float32"),
    "attentive": (attentive, {"normalization": "min_max"}, "float32"),
    "active": (active, {}, "float32"),
    "lenet5_paper": (lambda: catalogued("lenet5_paper", 32), {}, "float32"),
    "resnet": (lambda: catalogued("resnet20_cifar", 16), {}, "float32"),
    "half": (lambda: catalogued("resnet20_cifar", 16), {}, "float16"),
    "whole": (lambda: catalogued("resnet20_cifar", 16), {}, "int8"),
    "lite": (lambda: catalogued("efficientnet_lite0", 32), {}, "float32"),
}
KEPT = "stage2.block1"


def node() -> str:
    """Node, of the system or the one that Playwright brings along."""
    found = shutil.which("node")
    spec = importlib.util.find_spec("playwright")
    if found is None and spec is not None and spec.origin is not None:
        found = str(Path(spec.origin).parent / "driver" / "node")
    if found is None:
        pytest.skip("needs node, of the system or of playwright")
    return found


def written(folder: Path, name: str, model: Model, precision: Any) -> tuple[np.ndarray, list[str]]:
    """A picture for the engine, which finds it with the model in `folder`, and the paths of its steps."""
    plan, weights = plan_of(model, precision)
    picture = np.random.default_rng(0).integers(0, 256, (*model.images.extent, model.images.channels), np.uint8)
    (folder / f"{name}.json").write_text(json.dumps(plan))
    (folder / f"{name}.bin").write_bytes(weights)
    (folder / f"{name}.picture").write_bytes(picture.tobytes())
    return picture, [step["path"] for step in plan["steps"]]


def answers(folder: Path, jobs: dict[str, Any]) -> dict[str, Any]:
    """What the engine finds for the jobs."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    subprocess.run([node(), "--input-type=module", "-e", ANSWERING, str(folder), str(ENGINE)], check=True)
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder, random = tmp_path_factory.mktemp("engine"), np.random.default_rng(0)
    found: dict[str, Any] = {"models": {}, "pictures": {}, "originals": []}
    jobs: dict[str, list[dict[str, Any]]] = {"networks": [], "pictures": []}
    for name, (network, settings, precision) in MODELS.items():
        model = model_of(network(), **settings)
        jobs["networks"].append({"name": name, "keep": []})
        found["models"][name], (found["pictures"][name], paths) = model, written(folder, name, model, precision)
        if name == "resnet":
            jobs["networks"][-1]["keep"] = [path for path in paths if path.startswith(KEPT)]
    for fit in ("crop", "pad", "stretch", "cut"):
        spec = ImageSpec(height=21, width=28, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3, fit=fit)
        images = {"height": 21, "width": 28, "channels": 3, "fit": fit}
        for height, width in SIZES:
            picture = random.integers(0, 256, (height, width, 3), np.uint8)
            name = f"{len(jobs['pictures'])}.pixels"
            (folder / name).write_bytes(picture.tobytes())
            jobs["pictures"].append({"height": height, "width": width, "images": images, "name": name})
            found["originals"].append((picture, spec))
    return found | answers(folder, jobs)


@pytest.mark.parametrize("name", MODELS)
def test_the_engine_computes_what_the_module_computes(answered: dict[str, Any], name: str):
    model, tolerance = answered["models"][name], {"float32": 2e-5, "float16": 5e-3, "int8": 0.1}[MODELS[name][2]]
    logits = model.outputs(answered["pictures"][name][None])[0]
    difference = np.abs(np.array(answered["answers"][name]) - logits).max() / np.abs(logits).max()
    assert difference < tolerance
    assert difference > 1e-5 or MODELS[name][2] == "float32"  # weights of fewer bits were used


@pytest.mark.classifiers("lenet1")
def test_the_engine_works_on(small_network: Callable[..., Network], tmp_path: Path, name: str):
    model = model_of(small_network(name, num_classes=3))
    precision, tolerance = ("float32", 2e-5) if 4 * model.network.params <= MAX_BYTES else ("float16", 5e-3)
    picture, _ = written(tmp_path, name, model, precision)
    found = answers(tmp_path, {"networks": [{"name": name, "keep": []}], "pictures": []})
    logits = model.outputs(picture[None])[0]
    np.testing.assert_allclose(found["answers"][name], logits, rtol=0, atol=tolerance * np.abs(logits).max())


def test_the_engine_gives_the_maps_in_between(answered: dict[str, Any]):
    ours = answered["models"]["resnet"].activations(answered["pictures"]["resnet"][None])
    theirs = {name.partition(" ")[2]: found for name, found in answered["maps"].items()}
    both = [path for path in theirs if path in ours]
    assert len(both) >= 3
    for path in both:
        np.testing.assert_allclose(np.array(theirs[path]["data"]).reshape(theirs[path]["shape"]), ours[path][0], atol=2e-5)


def test_the_page_sees_the_pixels_that_the_decoder_sees(answered: dict[str, Any]):
    for (picture, spec), fitted in zip(answered["originals"], answered["fitted"], strict=True):
        np.testing.assert_array_equal(np.array(fitted).reshape(21, 28, 3), fit_image(picture, spec), err_msg=f"{spec.fit} {picture.shape}")


def test_normalizations_behind_convolutions_are_folded_and_others_are_not():
    plain, before = (striate.network(name, input_size=32) for name in ("resnet20_cifar", "preact_resnet110_cifar"))
    assert not [step for step in steps_of(plain, plain.build()) if step.op == "affine"]
    assert [step for step in steps_of(before, before.build()) if step.op == "affine"]


def test_what_has_no_step_is_refused_by_name():
    grown = Network("grown", (3, 8, 8), of.Chain(stem=of.Conv(4, 3), up=of.ConvTranspose(4, 2), pool=of.GlobalPool(), head=of.Linear(2)))
    with pytest.raises(UsageError, match=r"up: the layer ConvTranspose is not in the HTML format"):
        plan_of(model_of(grown), "float32")
    signals = striate.network("signal_cnn")
    with pytest.raises(UsageError, match="a convolution of"):
        steps_of(signals, signals.build())


LACKING = {  # layers that a page does not compute
    "ConvTranspose", "DeformableConv", "Elman", "GRU", "Interpolate", "LSTM", "LocallyConnected", "MatchChannels", "ToSignal",
}  # fmt: skip


def test_the_engine_has_each_step_and_each_layer_has_one_or_is_known_to_lack_it():
    """A new layer, or a new step, does not slip past: it is written, or stands among those that are refused by name."""
    kinds = {name: kind for name, kind in vars(of).items() if isinstance(kind, type) and issubclass(kind, of.Layer)}
    leaves = {name: kind for name, kind in kinds.items() if kind not in (of.Layer, of.Chain, of.Parallel)}
    assert {name for name, kind in leaves.items() if lower.dispatch(kind) is lower.dispatch(object)} == LACKING
    written = set(re.findall(r'Step\(\s*"(\w+)"', Path(steps.__file__).read_text()))
    operations = ENGINE.read_text().partition("const OPS = {")[2].partition("};")[0]
    known = set(re.findall(r"^  (\w+)[:,]", operations, re.MULTILINE))
    assert written | set(steps.MERGES) == known
    assert ENGINE.stat().st_size < 60_000


def test_a_page_that_no_browser_tried_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail() -> Any:
        raise EnvironmentFault("no Chromium", "Install it.")

    monkeypatch.setattr(browser, "_playwright", fail)
    with pytest.raises(EnvironmentFault, match="no Chromium"):
        striate.export(model_of(active()), np.zeros(1), format="html", output=tmp_path / "page.html")
    with pytest.raises(UsageError, match="no place for the exported file"):
        striate.export(model_of(active()), precision="int8")
    assert not list(tmp_path.iterdir())


# ---- the page, in a browser


@pytest.fixture(scope="module")
def chromium() -> None:
    try:
        browser.need_browser()
    except EnvironmentFault as fault:
        pytest.skip(fault.message)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    """A calibrated model of two classes, and pictures of them."""
    root, random = tmp_path_factory.mktemp("page"), np.random.default_rng(0)
    for name in "01":
        (root / "val" / name).mkdir(parents=True)
        for index in range(4):
            coarse = Image.fromarray(random.integers(0, 256, (5, 4, 3), np.uint8))
            coarse.resize((30 + 9 * index, 50), Image.Resampling.BICUBIC).save(root / "val" / name / f"{index}.{'jpg' if index else 'png'}")
    body = of.Chain(of.Conv(8, 3, padding=1), of.BatchNorm(), of.Activation("relu"), of.GlobalPool(), of.Linear(2))
    model = model_of(Network("small", (3, 16, 16), body))
    scores = scores_of(model.outputs(model.read(sorted((root / "val").rglob("*.*")))), "energy", 2.0)
    return model.calibrated(Calibration(temperature=2.0, threshold=float(np.median(scores)))), root


@pytest.mark.slow
@pytest.mark.usefixtures("chromium")
def test_a_page_answers_in_a_browser_as_the_model_does(shipped: tuple[Model, Path], tmp_path: Path):
    model, data = shipped
    report = striate.export(model, data, format="html", precision="float32", output=tmp_path / "page.html")
    assert report.gate.passed and report.gate.agreement == 1 and report.gate.requests == 0
    assert report.gate.program.startswith("Chromium") and report.gate.num_images == 8 + report.gate.num_hard
    assert json.loads((tmp_path / "page.html.json").read_text())["precision"] == "float32"

    # One that asks for something, and answers otherwise, is found out.
    page = (tmp_path / "page.html").read_text().replace("default-src 'none';", "default-src 'none'; connect-src *;")
    page = page.replace("globalThis.striate =", "fetch('https://example.org/').catch(() => 0); globalThis.striate =")
    (tmp_path / "other.html").write_text(page.replace('"temperature": 2.0', '"temperature": 1.0'))
    files = sorted((data / "val" / "0").iterdir())[:2]
    found = page_gate.gate_page(model, tmp_path / "other.html", files, ["a", "b"], limit=1e-3, precision="float32")
    assert not found.passed and found.requests == 1 and found.worst

    # Nor is a page that was changed taken for the one that was written.
    unchanged = striate.verify(tmp_path / "page.html", run=model, data=data, images=2)
    assert unchanged.recorded and unchanged.gate is not None and unchanged.gate.agreement == 1 and "weights" in unchanged.facts
    with pytest.raises(NumericError, match="answers are not those of"):
        striate.verify(tmp_path / "other.html", run=model, data=data, images=2)
    (tmp_path / "page.html.json").rename(tmp_path / "other.html.json")
    with pytest.raises(RefusedFileError, match=r"is not the file that other\.html\.json tells of"):
        striate.verify(tmp_path / "other.html")
    (tmp_path / "cut.html").write_text(page.replace('id="weights">', 'id="weights">AAAA'))
    with pytest.raises(RefusedFileError, match="its weights do not match their SHA-256"):
        striate.verify(tmp_path / "cut.html")


@pytest.mark.slow
@pytest.mark.usefixtures("chromium")
def test_no_page_appears_where_the_answers_differ(shipped: tuple[Model, Path], tmp_path: Path):
    model, data = shipped
    with pytest.raises(NumericError, match="not written, because its answers are not those of small") as caught:
        striate.export(model, data, format="html", precision="int8", images=2, output=tmp_path / "page.html", max_difference=1e-9)
    assert "precision='float32'" in caught.value.remedy
    assert not list(tmp_path.iterdir())


DROP = """([name, data]) => {
  const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0)), given = new DataTransfer();
  given.items.add(new File([bytes], name, {type: "image/png"}));
  document.dispatchEvent(new DragEvent("drop", {dataTransfer: given, bubbles: true, cancelable: true}));
}"""
DONE = "n => striate.answers.length === n && striate.answers.every(answer => !answer.waits)"


@pytest.mark.slow
@pytest.mark.usefixtures("chromium")
def test_pictures_are_dropped_on_the_page_and_come_from_the_camera(shipped: tuple[Model, Path], tmp_path: Path):
    model, data = shipped
    page, picture = tmp_path / "page.html", data / "val" / "0" / "0.png"
    page.write_bytes(html_bytes(model, "float32"))
    with browser._playwright() as started:
        flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        program = started.chromium.launch(executable_path=browser._program(started), args=flags)
        tab = program.new_page()
        tab.goto(page.as_uri())
        tab.evaluate(DROP, [picture.name, base64.b64encode(picture.read_bytes()).decode()])
        tab.wait_for_function(DONE, arg=1)
        dropped = tab.evaluate("[striate.answers[0].name, striate.answers[0].values]")
        tab.click("#camera")
        tab.wait_for_function("() => document.getElementById('video').videoWidth > 0")
        tab.click("#shoot")
        tab.wait_for_function(DONE, arg=2)
        filmed = tab.evaluate("[striate.answers[1].name, striate.answers[1].values, striate.answers[1].error]")
        shades = tab.evaluate("new Set(striate.answers[1].seen).size")
        tab.click("#camera")
        assert tab.get_attribute("#camera", "aria-expanded") == "false"
        program.close()
    assert dropped[0] == "0.png"
    np.testing.assert_allclose(dropped[1], model.probabilities(model.read([picture]))[0], atol=1e-4)
    assert filmed[0] == "camera 1" and sum(filmed[1]) == pytest.approx(1, abs=1e-5) and not filmed[2]
    assert shades > 2  # a picture, not a blank one
