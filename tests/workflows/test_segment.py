"""A class for each pixel, end to end: drawn scenes with exact masks are learned, measured, and given as masks and overlays."""

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
from striate.core.errors import DataError, ShapeError, UsageError
from striate.core.images import ImageSpec
from striate.data.masks import MaskSource, open_masks
from striate.engine.losses import balanced_weights
from striate.models.fitting import class_counts
from striate.models.model import Model
from striate.models.segmenter import Segmentations, segment
from striate.networks.families.fcn import enlarge
from striate.networks.families.parts import conv_norm
from striate.networks.layers import Chain, Conv, ConvTranspose, Identity, Layer, Parallel, Pool
from striate.networks.model_file import save_model
from striate.networks.network import Network
from striate.workflows.tasks.overlays import borders, class_colours, mask_png, overlaid, overlays_picture
from striate.workflows.tasks.segment import native_size
from striate.workflows.training.running import QuietObserver

HEIGHT, WIDTH = 48, 64
CLASSES = ("ground", "disc", "rectangle")


def scene(seed: int, height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) of one to three discs and rectangles on textured ground, and its mask (H, W).

    Discs are greenish and rectangles bluish, each of another brightness, and so are some grounds.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    waves = np.sin(rows / rng.uniform(2, 6) + columns / rng.uniform(2, 6))[..., None]
    picture = rng.uniform(60, 200, 3) + 18 * waves + rng.normal(0, 8, (height, width, 3))
    for _ in range(rng.integers(1, 4)):
        kind = int(rng.integers(1, 3))
        y, x, half = rng.uniform(8, height - 8), rng.uniform(8, width - 8), rng.uniform(6, 11)
        if kind == 1:
            inside = (rows - y) ** 2 + (columns - x) ** 2 <= half**2
        else:
            inside = (abs(rows - y) <= half * rng.uniform(0.7, 1)) & (abs(columns - x) <= half)
        colour = rng.uniform(40, 120, 3) + np.array([0, 120 * (kind == 1), 120 * (kind == 2)])  # greenish or bluish
        picture[inside] = colour + rng.normal(0, 8, (int(inside.sum()), 3))
        mask[inside] = kind
    return picture.clip(0, 255).astype(np.uint8), mask


def draw_scenes(root: Path, count: int, first_seed: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """`count` scenes in images/ and masks/ of `root`; a band of pixels at the lower edge of every third has no class."""
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture, mask = scene(first_seed + number, height, width)
        if number % 3 == 0:
            mask[-2:] = 255
        Image.fromarray(picture).save(root / "images" / f"{number:03}.png")
        (root / "masks" / f"{number:03}.png").write_bytes(mask_png(mask, len(CLASSES)))
    return root


def small_unet(width: int = 12, shape: tuple[int, ...] = (3, HEIGHT, WIDTH), num_classes: int = 3) -> Network:
    """U-Net of four levels with few maps."""

    def two(maps: int) -> Chain:
        return Chain(unit1=conv_norm(maps, 3), unit2=conv_norm(maps, 3))

    def level(number: int) -> dict[str, Layer]:
        maps = width * 2 ** min(number, 2)
        if number == 3:
            return {"encode": two(maps)}
        up = ConvTranspose(maps, 2, stride=2)
        join = Parallel(skip=Identity(), coarser=Chain(pool=Pool("max", 2), **level(number + 1), up=up), merge="concat")
        return {"encode": two(maps), "join": join, "decode": two(maps)}

    return Network("small_unet", shape, Chain(**level(0), head=Conv(num_classes, 1)))


def command(words: list[str]) -> int:
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 scenes to train on, 6 to test on."""
    root = tmp_path_factory.mktemp("data") / "scenes"
    draw_scenes(root / "train", 30)
    draw_scenes(root / "test", 6, first_seed=1000)
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root


@pytest.fixture(scope="module")
def run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training: it knows little."""
    folder = tmp_path_factory.mktemp("runs") / "scenes"
    striate.train(scenes, task="segment", network=small_unet(6), epochs=6, batch_size=4, output=folder)
    return folder


def test_a_run_folder_carries_the_task(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    with (run / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))

    assert config["task"] == "segment"
    assert json.loads((run / "classes.json").read_text()) == list(CLASSES)
    assert len(rows) == 6
    assert all(0 < float(row["val_accuracy"]) <= 1 and 0 < float(row["train_accuracy"]) <= 1 for row in rows)
    assert "val_mean_iu" in rows[0]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"]) < 2 * np.log(3)
    model = striate.load(run)
    assert (model.classes, model.network.output_shape) == (CLASSES, (3, HEIGHT, WIDTH))


def test_evaluate_agrees_with_counting_pixels_by_hand(run: Path, scenes: Path) -> None:
    report = striate.evaluate(run, split="test")

    model = striate.load(run)
    hits, pixels, unions = np.zeros(3), np.zeros(3), np.zeros(3)
    for number in range(6):
        picture = np.array(Image.open(scenes / "test" / "images" / f"{number:03}.png"))
        true = np.array(Image.open(scenes / "test" / "masks" / f"{number:03}.png"))
        with torch.no_grad():
            answer = model.module(torch.from_numpy(picture)[None])[0].argmax(0).numpy()
        for k in range(3):
            hits[k] += ((true == k) & (answer == k)).sum()
            pixels[k] += (true == k).sum()
            unions[k] += ((true == k) | ((answer == k) & (true != 255))).sum()
    assert report.num_images == 6
    assert report.num_pixels == pixels.sum() == 6 * HEIGHT * WIDTH - 2 * 2 * WIDTH
    assert report.pixel_accuracy == pytest.approx(hits.sum() / pixels.sum(), abs=1e-12)
    assert report.mean_accuracy == pytest.approx((hits / pixels).mean(), abs=1e-12)
    assert report.mean_iu == pytest.approx((hits / unions).mean(), abs=1e-12)
    assert report.frequency_weighted_iu == pytest.approx((pixels * hits / unions).sum() / pixels.sum(), abs=1e-12)
    assert (report.size, report.split) == ((HEIGHT, WIDTH), "test")


def test_evaluate_leaves_tables_and_the_worst_pictures(run: Path) -> None:
    report = striate.evaluate(run, split="test")

    output = run / "report" / "evaluate-test"
    assert report.output == str(output)
    assert json.loads((output / "measures.json").read_text())["mean_iu"] == report.mean_iu
    with (output / "pictures.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [Path(row["path"]).name for row in rows] == [f"{number:03}.png" for number in range(6)]
    weights = [int(row["pixels"]) for row in rows]
    assert np.average([float(row["pixel_accuracy"]) for row in rows], weights=weights) == pytest.approx(report.pixel_accuracy, abs=1e-5)
    with (output / "classes.csv").open() as lines:
        assert [row["class"] for row in csv.DictReader(lines)] == list(CLASSES)
    with (output / "confusion.csv").open() as lines:
        table = [[int(cell) for cell in row[1:]] for row in list(csv.reader(lines))[1:]]
    assert table == report.confusion_matrix
    for name in ("worst.png", "confusion.png"):
        with Image.open(output / name) as picture:
            assert min(picture.size) > 200


def test_val_is_divided_again_and_the_kept_weights_have_the_best_mean_iu(run: Path) -> None:
    with (run / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    best = max(rows, key=lambda row: float(row["val_mean_iu"]))

    report = striate.evaluate(run, split="val")

    assert report.num_images == 3
    assert report.mean_iu == pytest.approx(float(best["val_mean_iu"]), abs=1e-3)
    with (run / "report" / "evaluate-val" / "pictures.csv").open() as lines:
        shares = [float(row["pixel_accuracy"]) for row in csv.DictReader(lines)]
    assert np.mean(shares) == pytest.approx(float(best["val_accuracy"]), abs=1e-3)  # the mean over pictures


def test_the_report_of_a_training_has_the_four_measures(scenes: Path, tmp_path: Path) -> None:
    report = striate.train(scenes, task="segment", network=small_unet(2), steps=2, batch_size=8, output=tmp_path / "run")

    measured = striate.evaluate(tmp_path / "run", split="val")

    names = ("mean_iu", "frequency_weighted_iu", "pixel_accuracy", "mean_accuracy")
    assert report.val.measures == {name: getattr(measured, name) for name in names}


def test_predict_writes_masks_in_the_pictures_own_size(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = tmp_path / "in"
    pictures.mkdir()
    for name, (height, width) in {"a": (HEIGHT, WIDTH), "b": (30, 70)}.items():
        Image.fromarray(scene(5, height, width)[0]).save(pictures / f"{name}.png")

    code = command(["predict", str(run), str(pictures), "--output", str(tmp_path / "out"), "--plot", str(tmp_path / "o.png"), "--json"])

    assert code == 0
    records = json.loads(capsys.readouterr().out)
    assert [Path(record["path"]).name for record in records] == ["a.png", "b.png"]
    for record, size in zip(records, ((HEIGHT, WIDTH), (30, 70)), strict=True):
        with Image.open(record["mask"]) as image:
            mask = np.array(image)
            assert image.mode == "P"
        assert (record["height"], record["width"]) == mask.shape == size
        assert mask.max() < 3
        shares = [(mask == k).mean() for k in range(3)]
        assert list(record["classes"].values()) == pytest.approx(shares)
        assert list(record["classes"]) == list(CLASSES)
    model = striate.load(run)
    np.testing.assert_array_equal(np.array(Image.open(records[0]["mask"])), segment(model, model.read([pictures / "a.png"]))[0])
    with Image.open(tmp_path / "o.png") as picture:
        assert picture.size[0] > 200


def test_predict_in_words_and_as_csv(run: Path, scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = str(scenes / "test" / "images" / "000.png")
    assert command(["predict", str(run), picture]) == 0
    words = capsys.readouterr().out
    assert command(["predict", str(run), picture, "--csv"]) == 0
    table = capsys.readouterr().out.splitlines()

    assert "%" in words and "000.png" in words
    assert table[0] == "path,height,width,mask,ground,disc,rectangle"
    assert sum(map(float, table[1].split(",")[4:])) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_the_same_from_the_command_line(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small.json").write_text(small_unet().to_json())
    arguments = ["--task", "segment", "--model", str(tmp_path / "small.json"), "--img-size", "16", "--steps", "1", "-b", "2"]
    arguments += ["--output", str(tmp_path / "run")]

    assert command(["train", str(scenes), *arguments, "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert command(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert command(["evaluate", str(tmp_path / "run")]) == 0
    words = capsys.readouterr().out

    assert trained["val"]["measures"]["mean_iu"] >= 0
    assert (trained["network"], trained["num_train"], trained["num_val"]) == ("small_unet", 27, 3)
    assert measured["size"] == [16, 16]
    assert set(measured["classes"]) == set(CLASSES)
    assert f"mean IU {measured['mean_iu']:.4f}" in words and "compared at 16 x 16 pixels" in words


@pytest.mark.release
def test_drawn_scenes_are_learned_in_a_minute(tmp_path: Path) -> None:
    """Trained on 180 of 200 drawn scenes: mean IU above 0.8 on the 20 that are held out."""
    draw_scenes(tmp_path / "scenes", 200)
    striate.train(
        tmp_path / "scenes",
        task="segment",
        network=small_unet(),
        epochs=7,
        batch_size=8,
        learning_rate=0.05,
        crop_padding=4,
        output=tmp_path / "run",
    )

    report = striate.evaluate(tmp_path / "run", split="val")

    assert report.num_images == 20
    assert report.mean_iu > 0.8
    assert min(region.iu for region in report.classes.values()) > 0.65


# ---- what is refused


def test_a_network_for_whole_pictures_cannot_be_trained_on_masks(scenes: Path) -> None:
    with pytest.raises(
        UsageError, match=r"resnet18 gives \(3,\) for a picture, expected a score for each of 3 classes at each pixel"
    ) as caught:
        striate.train(scenes, task="segment", network="resnet18")
    assert caught.value.remedy == "Suitable networks: unet, fcn32s_vgg16, fcn16s_vgg16, fcn8s_vgg16, segnet, deeplabv3_resnet50."
    with pytest.raises(UsageError, match=r"small_unet gives \(5, 48, 64\) for a picture"):
        striate.train(scenes, task="segment", network=small_unet(num_classes=5))


def test_what_is_no_folder_of_masks_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mnist: no such folder of pictures and masks"):
        striate.train("mnist", task="segment")
    with pytest.raises(DataError, match="arrays cannot be used with `task='segment'`\nGive a folder of images/ and masks/"):
        striate.train((np.zeros((4, 8, 8), np.uint8), np.zeros(4, int)), task="segment")
    with pytest.raises(DataError, match="no pictures in images/"):
        striate.train(tmp_path, task="segment")


def test_who_forgets_the_task_is_told(scenes: Path) -> None:
    with pytest.raises(DataError, match="train: holds images/ and masks/: pictures with a class for each pixel") as caught:
        striate.train(scenes)
    assert caught.value.remedy.startswith("Train with `task='segment'`")


def test_other_classes_than_the_models_are_named(run: Path, tmp_path: Path) -> None:
    draw_scenes(tmp_path / "other", 2)
    (tmp_path / "other" / "classes.txt").write_text("ground\nball\nbox")

    with pytest.raises(DataError, match="other: has the classes ground, ball, box, but the model knows ground, disc, rectangle"):
        striate.evaluate(run, tmp_path / "other", split="train")


def test_numbered_masks_have_the_models_classes(run: Path, tmp_path: Path) -> None:
    draw_scenes(tmp_path / "other", 2)

    assert tuple(striate.evaluate(run, tmp_path / "other", split="train", output=tmp_path / "report").classes) == CLASSES


def test_masks_do_not_overwrite_pictures_or_each_other(run: Path, tmp_path: Path) -> None:
    picture = scene(0)[0]
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        Image.fromarray(picture).save(tmp_path / folder / "a.png")
    before = (tmp_path / "x" / "a.png").read_bytes()

    assert command(["predict", str(run), str(tmp_path / "x"), "--output", str(tmp_path / "x")]) == 2
    assert command(["predict", str(run), str(tmp_path / "x"), str(tmp_path / "y"), "--output", str(tmp_path / "z")]) == 2
    assert (tmp_path / "x" / "a.png").read_bytes() == before


def test_images_of_another_size_are_refused(run: Path) -> None:
    with pytest.raises(ShapeError, match=r"images must be uint8 \(N, 48, 64, 3\), got uint8 \(2, 48, 60, 3\)"):
        segment(striate.load(run), np.zeros((2, 48, 60, 3), np.uint8))


# ---- models and pictures


def plain_model(path: Path, fit: str = "pad") -> Model:
    """A model that answers the brighter of two channels: class 0 where red is stronger, class 1 where green is."""
    net = Network("channels", (3, 8, 12), Chain(head=Conv(2, 1, bias=False)))
    weight = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).view(2, 3, 1, 1)
    spec = ImageSpec(height=8, width=12, channels=3, mean=(0.0,) * 3, std=(1.0,) * 3, fit=fit)
    save_model(path, net, {"head.weight": weight}, classes=("red", "green"), images=spec, info={})
    return striate.load(path)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_a_mask_comes_back_where_its_picture_is(tmp_path: Path, fit: str) -> None:
    """A red picture with a green block, as large as twice the network's input and of another shape."""
    picture = np.zeros((16, 20, 3), np.uint8)
    picture[..., 0] = 200
    picture[4:12, 8:16] = (0, 200, 0)
    Image.fromarray(picture).save(tmp_path / "p.png")

    found = striate.predict(plain_model(tmp_path / "m.safetensors", fit), tmp_path / "p.png")

    assert isinstance(found, Segmentations)
    mask, expected = found[0].mask, (picture[..., 1] > 0).astype(int)
    assert mask.shape == (16, 20)
    seen = mask != 255
    assert seen.mean() > (0.8 if fit == "crop" else 0.99)
    assert ((mask == expected) | ~seen).mean() > 0.9  # a tenth lies on the border of the block
    assert sum(found[0].shares.values()) == pytest.approx(1)


def test_a_picture_has_the_same_mask_alone_and_in_company(run: Path, scenes: Path) -> None:
    model = striate.load(run)
    images = open_masks(scenes).read("test", spec=model.images).images

    alone = np.concatenate([segment(model, images[i : i + 1]) for i in range(len(images))])

    np.testing.assert_array_equal(segment(model, images), alone)


@pytest.mark.parametrize(("factor", "kernel"), [(2, 4), (16, 32), (32, 64)])
def test_the_networks_start_from_bilinear_kernels(factor: int, kernel: int) -> None:
    """w[i, j] = (1 - |i / f - c|) (1 - |j / f - c|) with f = ceil(k / 2) and c = (2 f - 1 - f % 2) / (2 f), as in Caffe."""
    weight = enlarge(3, factor).build((3, 5, 6)).weight.detach()

    half = -(-kernel // 2)
    centre = (2 * half - 1 - half % 2) / (2 * half)
    line = np.array([1 - abs(i / half - centre) for i in range(kernel)])
    assert weight.shape == (3, 3, kernel, kernel)
    for row in range(3):
        for column in range(3):
            expected = np.outer(line, line) if row == column else np.zeros((kernel, kernel))
            np.testing.assert_allclose(weight[row, column].numpy(), expected, atol=1e-6)


def test_overlays_mix_the_colours_and_draw_borders() -> None:
    images = np.full((1, 4, 5, 1), 100, np.uint8)
    masks = np.zeros((1, 4, 5), np.uint8)
    masks[0, :, 3:] = 1
    masks[0, 3, 4] = 255

    shown = overlaid(images, masks, 2)[0]

    ground, other = class_colours(2).astype(float)
    np.testing.assert_array_equal(shown[0, 0], np.rint(100 + 0.45 * (ground - 100)))
    np.testing.assert_array_equal(shown[0, 4], np.rint(100 + 0.45 * (other - 100)))
    np.testing.assert_array_equal(shown[1, 3], other)  # on the border
    np.testing.assert_array_equal(shown[3, 4], [100, 100, 100])  # no class
    np.testing.assert_array_equal(borders(masks)[0], np.eye(5, dtype=bool)[3] & np.ones((4, 1), bool))


def test_colours_of_many_classes_differ() -> None:
    assert len(np.unique(class_colours(60), axis=0)) == 60


def test_an_overlay_needs_a_caption_for_each_picture() -> None:
    with pytest.raises(UsageError, match="captions must have 4 entries, 2 per image, got 1"):
        overlays_picture(np.zeros((2, 4, 5, 3), np.uint8), [np.zeros((2, 4, 5), np.uint8)], ("a", "b"), captions=["x"], title="t")


def test_a_model_of_masks_gives_no_single_class(run: Path, scenes: Path) -> None:
    model, picture = striate.load(run), scenes / "test" / "images" / "001.png"

    assert isinstance(model.predict(picture), Segmentations)
    np.testing.assert_array_equal(model.predict([picture])[0].mask, striate.predict(run, picture)[0].mask)
    with pytest.raises(UsageError, match="gives a class to each pixel, not one per picture"):
        model.classify([picture])


def test_sizes_that_the_network_takes_are_found() -> None:
    """U-Net halves four times: 50 x 70 becomes 64 x 80. FCN takes any size."""
    for size, name, expected in (
        ((50, 70), "unet", (64, 80)),
        ((48, 64), "unet", (48, 64)),
        ((50, 70), "fcn8s_vgg16", (50, 70)),
        (None, "unet", None),
    ):
        source = MaskSource("x", CLASSES, 3, size, parts={})
        assert native_size(name, source) == expected


def test_a_rare_class_weighs_more_when_classes_are_balanced(scenes: Path) -> None:
    """n / (K n_k) over the pixels that have a class."""
    train_set = open_masks(scenes).read("train", spec=ImageSpec(height=HEIGHT, width=WIDTH, channels=3, mean=(0.5,) * 3, std=(0.5,) * 3))

    counts = class_counts(train_set)

    assert counts.tolist() == [int((train_set.labels == k).sum()) for k in range(3)]
    assert counts.sum() < train_set.labels.size
    assert balanced_weights(counts)[1] > 3


def test_a_run_that_was_cut_off_goes_on_bit_for_bit(scenes: Path, tmp_path: Path) -> None:
    """Cut off in the middle of the second of three epochs, which have 4 updates each."""

    class Cut(QuietObserver):
        def __init__(self) -> None:
            self.steps = 0

        def step(self, epoch: int, step: int, num_steps: int) -> None:
            self.steps += 1
            if self.steps > 5:
                raise KeyboardInterrupt

    asked = {"task": "segment", "network": small_unet(2), "epochs": 3, "batch_size": 8, "crop_padding": 3, "checkpoint_every": 1}
    striate.train(scenes, output=tmp_path / "straight", **asked)
    with pytest.raises(KeyboardInterrupt):
        striate.train(scenes, output=tmp_path / "cut", observer=Cut(), **asked)
    striate.train(None, resume=tmp_path / "cut")

    assert (tmp_path / "cut" / "best.safetensors").read_bytes() == (tmp_path / "straight" / "best.safetensors").read_bytes()


def test_a_run_on_masks_can_be_diagnosed(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["diagnose", str(run), "--json", "--output", str(tmp_path / "report")]) == 0

    report = json.loads(capsys.readouterr().out)
    assert (report["epochs"], report["batches"] > 0) == (6, True)


@pytest.mark.parametrize("name", ["unet", "fcn8s_vgg16", "segnet"])
def test_a_network_that_answers_at_each_pixel_is_refused_for_pictures_with_one_class(name: str, tmp_path: Path):
    with pytest.raises(UsageError, match=rf"{name} has outputs of shape \(10, .*\), but digits has 10 classes for a whole picture"):
        striate.train("digits", network=name, image_size=64, output=tmp_path / "run")
