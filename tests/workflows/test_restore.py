"""Pictures made of pictures, end to end: learned from a folder and an effect, measured, written in their own size."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import striate
from striate.apps.cli import main
from striate.core.errors import DataError, UsageError
from striate.models.model import Model
from striate.models.restorer import Restorations, as_pictures, restore
from striate.networks.families.parts import residual
from striate.networks.layers import Activation, Chain, Conv, ConvTranspose, Interpolate, Pool
from striate.networks.network import Network
from striate.workflows.tasks.restore import network_name
from striate.workflows.training.repro import ReproRequest, repro
from striate.workflows.training.running import QuietObserver

HEIGHT, WIDTH = 12, 16


def waves(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth grey picture (H, W) uint8."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    return np.rint(128 + 90 * np.sin(rows / rng.uniform(2, 6) + columns / rng.uniform(2, 6))).astype(np.uint8)


def tiny(channels: int = 1, outputs: int = 1) -> Network:
    """Two convolutions, whose result is added to the picture where the channels are the same."""
    body = Chain(unit=Conv(4, 5, padding="same"), act=Activation("leaky_relu"), head=Conv(outputs, 5, padding="same"))
    return Network("tiny", (channels, HEIGHT, WIDTH), Chain(body=residual(body) if channels == outputs else body))


def halving(scale: int = 1) -> Network:
    """Down to a quarter and up again: sides must be multiples of 4."""
    up = {"up": ConvTranspose(4, 4, stride=4), "head": Conv(1, 1), **({"resize": Interpolate(scale)} if scale > 1 else {})}
    return Network("halving", (1, HEIGHT, WIDTH), Chain(unit=Conv(4, 3, padding="same"), pool=Pool("max", 4), **up))


def command(words: list[str]) -> int:
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


def psnr(made: np.ndarray, target: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((made.astype(float) - target) ** 2)))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 pictures to train on, 5 to test on."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for split, count, first in (("train", 30, 0), ("test", 5, 1000)):
        (root / split).mkdir(parents=True)
        for place in range(count):
            Image.fromarray(waves(first + place)).save(root / split / f"{place:02}.png")
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training of a denoiser."""
    folder = tmp_path_factory.mktemp("runs") / "photos"
    given = {"epochs": 40, "batch_size": 9, "learning_rate": 0.01, "precision": "float32"}  # the same on every processor, nearly
    striate.train(photos, input_effect="noise:25", network=tiny(), output=folder, **given)
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> Model:
    return striate.load(run)


def untrained(network: Network, tmp_path: Path, scale: int = 1) -> Model:
    """A model of fresh weights, from a training of one step."""
    x = np.stack([waves(seed) for seed in range(8)])
    y = x.repeat(scale, 1).repeat(scale, 2)
    return striate.load(striate.train((x, y), task="restore", network=network, steps=1, output=tmp_path / "run").run)


# ---- a run


def test_a_run_folder_carries_the_task_and_the_effect(run: Path, model: Model) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    with (run / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))

    assert (config["task"], config["input_effect"]) == ("restore", "noise:25")
    assert (config["settings"]["loss"], config["settings"]["monitor"], config["augmentation"]["flip"]) == ("mse", "loss", True)
    assert (config["images"]["mean"], config["images"]["std"], config["images"]["fit"]) == ([0.0], [1.0], "cut")
    assert not {"val_accuracy", "train_accuracy", "val_mean_iu"} & rows[0].keys()
    assert float(rows[-1]["val_loss"]) < float(rows[0]["val_loss"])
    assert (model.task, model.classes, model.form.effect) == ("restore", ("grey",), "noise:25")


def test_evaluate_agrees_with_the_psnr_by_hand_and_beats_the_noisy_pictures(run: Path, photos: Path, model: Model) -> None:
    report = striate.evaluate(run, split="test")

    data = striate.dataset(photos, task="restore", input_effect="noise:25").read("test")
    after, before, absolute = [], [], []
    for noisy, target in zip(data.images, data.labels, strict=True):
        with torch.no_grad():
            outputs = model.module(torch.from_numpy(noisy)[None])[0].double().numpy()  # (1, H, W), from 0 to 1
        made = np.rint(255 * outputs.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)
        after.append(psnr(made, target))
        before.append(psnr(noisy, target))
        absolute.append(np.abs(made.astype(float) - target).mean())
    assert report.psnr == pytest.approx(np.mean(after), abs=1e-9)
    assert report.psnr_before == pytest.approx(np.mean(before), abs=1e-9)
    assert report.mae == pytest.approx(np.mean(absolute), abs=1e-9)
    assert report.better == sum(a > b for a, b in zip(after, before, strict=True))
    assert report.psnr > report.psnr_before + 2
    assert 20 < report.psnr_before < 21.5  # 20 log10(255 / 25) = 20.17, and what is cut off at black and white counts less
    assert (report.num_images, report.size, report.effect, report.split) == (5, (HEIGHT, WIDTH), "noise:25", "test")


def test_evaluate_writes_each_picture_and_a_sheet(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["evaluate", str(run), "--split", "test", "--output", str(tmp_path)]) == 0

    said = capsys.readouterr().out
    with (tmp_path / "pictures.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    measures = json.loads((tmp_path / "measures.json").read_text())
    assert np.mean([float(row["psnr"]) for row in rows]) == pytest.approx(measures["psnr"], abs=1e-4)
    assert f"PSNR {measures['psnr']:.2f} dB   of the input {measures['psnr_before']:.2f} dB   gain +" in said
    assert "compared at 12 x 16 pixels, inputs made by noise:25" in said
    with Image.open(tmp_path / "worst.png") as sheet:
        assert sheet.width > sheet.height


def test_the_same_data_again_is_measured_the_same(run: Path, photos: Path) -> None:
    """Of other data the effect makes the inputs too, by the names of the pictures alone."""
    own, named = striate.evaluate(run, split="test"), striate.evaluate(run, photos, split="test")
    assert (own.psnr, own.psnr_before) == (named.psnr, named.psnr_before)
    alone = striate.evaluate(run, photos / "test")
    assert alone.num_images == 5
    assert alone.psnr != own.psnr  # another name below the folder, and other noise


# ---- answers


def test_a_picture_is_answered_in_its_own_size_as_the_network_answers_it(model: Model) -> None:
    picture = waves(7, 21, 9)

    answer = model.predict(picture)[0]

    with torch.no_grad():
        outputs = model.module(torch.from_numpy(picture)[None, ..., None])[0, 0].double().numpy()
    np.testing.assert_array_equal(answer.picture[..., 0], np.rint(255 * outputs.clip(0, 1)))
    np.testing.assert_array_equal(answer.before[..., 0], picture)
    assert answer.words == "21 x 9 x 1 to 21 x 9 x 1"


@pytest.mark.parametrize("scale", [1, 2])
def test_a_size_that_the_network_does_not_take_is_padded_by_its_edge_and_cut_back(scale: int, tmp_path: Path) -> None:
    model, picture = untrained(halving(scale), tmp_path, scale), waves(7, 14, 9)

    answer = model.predict(picture)[0].picture

    padded = np.pad(picture, ((0, 2), (0, 3)), mode="edge")
    with torch.no_grad():
        outputs = model.module(torch.from_numpy(padded)[None, ..., None])[0, 0].double().numpy()
    assert answer.shape == (14 * scale, 9 * scale, 1)
    np.testing.assert_array_equal(answer[..., 0], np.rint(255 * outputs.clip(0, 1))[: 14 * scale, : 9 * scale])


def test_outputs_are_rounded_to_levels_and_cut_off_at_black_and_white() -> None:
    outputs = np.array([-0.3, 0.0, 100.4 / 255, 100.6 / 255, 1.0, 1.7]).reshape(1, 2, 1, 3)  # (N, C, H, W)
    np.testing.assert_array_equal(as_pictures(outputs), np.uint8([[[[0, 101], [0, 255], [100, 255]]]]))


def test_what_a_network_does_not_change_comes_out_bit_for_bit(tmp_path: Path) -> None:
    """All 256 values, of a network whose body gives 0."""
    model = untrained(tiny(), tmp_path)
    torch.nn.init.zeros_(model.module.get_parameter("network.body.body.head.weight"))
    torch.nn.init.zeros_(model.module.get_parameter("network.body.body.head.bias"))
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)

    np.testing.assert_array_equal(model.predict(picture)[0].picture[..., 0], picture)


def test_a_saved_model_answers_bit_for_bit(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "copy.safetensors")
    copy, pictures = striate.load(tmp_path / "copy.safetensors"), np.stack([waves(seed) for seed in range(20)])[..., None]

    np.testing.assert_array_equal(restore(copy, pictures), restore(model, pictures))
    np.testing.assert_array_equal(restore(model, pictures[3:4])[0], restore(model, pictures)[3])  # alone as in company
    np.testing.assert_array_equal(copy.predict(waves(3, 31, 8))[0].picture, model.predict(waves(3, 31, 8))[0].picture)


def test_predict_writes_pictures_and_a_plot(run: Path, model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, size in (("a", (20, 30)), ("b", (12, 16))):
        Image.fromarray(waves(1, *size)).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in "ab"]

    code = command(["predict", str(run), *files, "--output", str(tmp_path / "out"), "--plot", str(tmp_path / "plot.png"), "--json"])

    records = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [(record["height"], record["width"], record["channels"]) for record in records] == [(20, 30, 1), (12, 16, 1)]
    for record, file in zip(records, files, strict=True):
        with Image.open(record["file"]) as written:
            np.testing.assert_array_equal(np.asarray(written), model.predict(file)[0].picture[..., 0])
    assert json.loads((tmp_path / "out" / "restored.json").read_text()) == records
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.width > plot.height


def test_no_picture_is_overwritten_by_its_answer_or_by_that_of_another(run: Path, tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp"):
        Image.fromarray(waves(1)).save(tmp_path / name)
    before = (tmp_path / "a.png").read_bytes()

    for files, words in (("a.png",), "would overwrite its picture"), (("a.bmp", "a.png"), "would both be written to"):
        assert command(["predict", str(run), *(str(tmp_path / name) for name in files), "--output", str(tmp_path)]) == 2, words
    assert (tmp_path / "a.png").read_bytes() == before


def test_answers_are_records_rows_and_a_table(model: Model) -> None:
    answers = model.predict([waves(1), waves(2, 20, 8)])

    assert isinstance(answers, Restorations)
    assert answers.to_data()[1] == {"path": "1", "height": 20, "width": 8, "channels": 1, "file": None}
    assert answers.to_csv().splitlines() == ["path,height,width,channels,file", "0,12,16,1,", "1,20,8,1,"]


def test_a_picture_of_other_channels_is_refused(model: Model) -> None:
    with pytest.raises(DataError, match="0: has 3 channels, the model takes 1"):
        model.predict(np.random.default_rng(0).integers(0, 256, (1, 12, 16, 3), np.uint8))


# ---- the other verbs


def test_a_run_that_was_cut_off_goes_on_bit_for_bit_and_comes_out_again(photos: Path, tmp_path: Path) -> None:
    """Cut off in the middle of the second of two epochs, which have 3 updates each; noise and mirroring depend on the epoch."""

    class Cut(QuietObserver):
        def __init__(self) -> None:
            self.steps = 0

        def step(self, epoch: int, step: int, num_steps: int) -> None:
            self.steps += 1
            if self.steps > 4:
                raise KeyboardInterrupt

    asked = {"input_effect": "noise:25", "network": tiny(), "epochs": 2, "batch_size": 9, "crop_padding": 2, "checkpoint_every": 1}
    asked |= {"learning_rate": 0.003}  # with which the second epoch is better, and thus kept
    assert striate.train(photos, output=tmp_path / "straight", **asked).best_epoch == 2
    with pytest.raises(KeyboardInterrupt):
        striate.train(photos, output=tmp_path / "cut", observer=Cut(), **asked)
    striate.train(None, resume=tmp_path / "cut")

    assert (tmp_path / "cut" / "best.safetensors").read_bytes() == (tmp_path / "straight" / "best.safetensors").read_bytes()
    assert repro(ReproRequest(run=tmp_path / "straight")).equal


def test_a_training_is_repeated_from_several_seeds(photos: Path, tmp_path: Path) -> None:
    report = striate.repeat(photos, seeds=2, input_effect="noise:9", network=tiny(), steps=2, batch_size=9, output=tmp_path / "repeat")
    assert len(report.repetitions) == 2
    assert report.accuracy is None or report.accuracy.mean is None
    assert report.loss.mean > 0


@pytest.mark.parametrize("asked", ["ensemble", "test"])
def test_what_needs_classes_is_refused_before_a_seed_trains(asked: str, photos: Path, tmp_path: Path) -> None:
    given = {"input_effect": "noise:9", "network": tiny(), "steps": 2, "seeds": 2, "output": tmp_path / "repeat", asked: True}
    with pytest.raises(UsageError, match=f"`{asked}=True`: needs one class per sample, and photos is of the task restore"):
        striate.repeat(photos, **given)
    assert not (tmp_path / "repeat").exists()


def test_a_report_shows_what_was_gained(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert command(["report", str(run), "--output", str(page)]) == 0

    text, report = page.read_text(), striate.evaluate(run, split="val", output=tmp_path / "val")
    for words, value in {"PSNR (dB)": report.psnr, "PSNR before (dB)": report.psnr_before, "SSIM": report.ssim}.items():
        assert f"<dt>val {words}</dt><dd>{value:.4f}</dd>" in text
    assert "The worst pictures" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "RUN"], "explain works on models that give one class per picture"),
        (["attack", "RUN"], "only a model that gives one class per picture can be attacked"),
        (["calibrate", "RUN"], "photos: does not give one class per picture, and has no temperature"),
        (["ablate", "--lesion", "RUN"], "photos: lesions are measured on classifiers of pictures"),
        (["compare", "RUN", "RUN"], "photos (1): does not give one class per picture"),
    ],
)
def test_verbs_for_classes_refuse_a_model_that_gives_pictures(
    words: list[str], message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([str(run) if word == "RUN" else word for word in words]) == 2
    said, remedy = capsys.readouterr().err.strip().splitlines()
    assert said.endswith(message)
    assert remedy.startswith("  ") and "classif" in remedy


def test_verbs_that_need_no_classes_work(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["profile", str(run), "--json"]) == 0
    assert command(["diagnose", str(run), "--json", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out


# ---- wrong requests


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"loss": "cross_entropy"}, r"`task='restore'` cannot be trained on the cross_entropy loss\nTake one of mse, l1, huber"),
        ({"monitor": "macro_f1"}, r"`task='restore'` cannot be trained with `monitor='macro_f1'`"),
        (
            {"network": "compact_cnn"},
            r"compact_cnn gives \(1,\) for a picture \(1, 12, 16\), expected \(1, 12, 16\), the form of the targets",
        ),
        ({"network": "fsrcnn_x2"}, r"fsrcnn_x2 gives \(1, 24, 32\) for a picture \(1, 12, 16\)"),
        ({"network": tiny(1, 3)}, r"tiny gives \(3, 12, 16\) for a picture \(1, 12, 16\)"),
        ({"normalization": "per_image"}, r"`normalization`: a network that gives pictures sees them as they are"),
        ({"task": "segment"}, r"`input_effect='noise:25'` makes pictures to restore, which `task='segment'` cannot use"),
        ({"input_effect": "fog"}, r"`input_effect='fog'` is no effect"),
        ({"adversarial": "fgsm"}, r"adversarial: only a network that gives one class"),
        ({"set": {"augmentation.hue": 0.1}}, r"augmentation of pictures with targets: hue cannot be used"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_written(asked: dict, words: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        striate.train(photos, **{"input_effect": "noise:25", "network": tiny(), "steps": 1, "output": tmp_path / "run", **asked})
    assert not (tmp_path / "run").exists()


def test_inputs_and_targets_are_not_taken_for_two_classes(tmp_path: Path) -> None:
    for side in ("input", "target"):
        (tmp_path / side).mkdir()
        for place in range(4):
            Image.fromarray(waves(place)).save(tmp_path / side / f"{place}.png")
    with pytest.raises(DataError, match="holds input/ and target/: pictures with those that are to be made of them") as caught:
        striate.train(tmp_path, steps=1, output=tmp_path / "run")
    assert "`task='restore'`" in caught.value.remedy


def test_a_network_that_gives_pictures_is_refused_for_classes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dncnn_light has outputs of shape \(10, .*\), but digits has 10 classes for a whole picture"):
        striate.train("digits", network="dncnn_light", output=tmp_path / "run")


# ---- networks


@pytest.mark.parametrize(
    ("effect", "channels", "name"),
    [("noise:9", 3, "dncnn_light"), ("noise:9", 1, "dncnn_light"), ("downscale:3", 3, "fsrcnn_x3"), ("grey", 3, "dncnn_light")],
)
def test_the_network_is_chosen_by_what_is_to_become_of_a_picture(effect: str, channels: int, name: str) -> None:
    pictures = np.zeros((2, 12, 12, channels), np.uint8)
    assert network_name(striate.dataset(pictures, task="restore", input_effect=effect)) == name  # type: ignore[arg-type]


@pytest.mark.row("000-16")
@pytest.mark.parametrize(("name", "scale"), [("fsrcnn_x2", 2), ("fsrcnn_x3", 3), ("fsrcnn_x4", 4), ("srcnn_x2", 2)])
def test_transposed_convolution_or_resizing_enlarges_a_picture_by_its_factor(name: str, scale: int) -> None:
    for size in ((5, 8), (11, 4)):
        net = striate.network(name, num_classes=3, in_channels=3, input_size=size)
        assert net.output_shape == (3, scale * size[0], scale * size[1])
        assert net.build()(torch.zeros(1, 3, *size)).shape == (1, *net.output_shape)
    assert any(isinstance(row.layer, ConvTranspose) for row in net.rows) == name.startswith("fsrcnn")


def test_networks_have_the_parameters_of_their_papers() -> None:
    """Weights as published: SRCNN 9-1-5 8,032 and FSRCNN(56, 12, 4) 12,464; DnCNN by hand."""

    def weights(name: str) -> int:
        return sum(p.numel() for path, p in striate.network(name).build().named_parameters() if p.ndim == 4)

    assert weights("srcnn_x2") == 8_032
    assert weights("fsrcnn_x3") == 12_464
    assert striate.network("dncnn").params == (9 * 64 + 64) + 15 * (9 * 64 * 64 + 2 * 64) + (9 * 64 + 1)
    assert sum(row.layer.role == "conv" for row in striate.network("dncnn").rows) == 17


def test_an_upscaler_learns_from_arrays(tmp_path: Path) -> None:
    """Pictures and their halves: the loss falls, and what comes out is twice as large."""
    y = np.stack([waves(seed, 16, 24) for seed in range(24)])
    x = np.stack([np.asarray(Image.fromarray(picture).resize((12, 8), Image.Resampling.BICUBIC)) for picture in y])

    report = striate.train((x, y), task="restore", loss="l1", epochs=4, batch_size=8, output=tmp_path / "run")

    with (tmp_path / "run" / "metrics.csv").open() as lines:
        losses = [float(row["val_loss"]) for row in csv.DictReader(lines)]
    assert report.network == "fsrcnn_x2"
    assert losses[-1] < losses[0]
    assert striate.load(report.run).predict(x[0])[0].picture.shape == (16, 24, 1)
