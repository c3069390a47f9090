"""The main job on real pictures: train leaves a run folder, evaluate measures it, predict uses it, in this process and in another."""

import csv
import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import striate
from striate.apps.cli import main
from striate.core.errors import DataError, NumericError, RefusedFileError, UsageError
from striate.core.images import ImageSpec
from striate.data.sources import open_data
from striate.data.splits import Division
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate
from striate.workflows.predict import PredictRequest, predict
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training.continuing import read_train_and_val
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    """A run on the embedded digits, long enough to know them."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    report = striate.train("digits", network="compact_cnn", epochs=4, output=folder)
    return folder, report


@pytest.fixture(scope="module")
def picture_folder(tmp_path_factory):
    """Two classes of 12 x 10 pictures that differ in colour, with a test split in which one class is missing."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("test", 4)):
        for name, colour in (("green", (30, 200, 40)), ("red", (200, 30, 40))):
            if (split, name) == ("test", "green"):
                continue
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                noise = rng.integers(0, 30, (12, 10, 3))
                Image.fromarray((np.array(colour) + noise).astype(np.uint8)).save(root / split / name / f"{index}.png")
    return root


def test_a_run_folder_holds_what_the_design_names(digits_run):
    folder, report = digits_run

    wanted = {"config.yaml", "env.json", "classes.json", "metrics.csv", "best.safetensors", "report"}
    assert {path.name for path in folder.iterdir()} >= wanted
    assert json.loads((folder / "classes.json").read_text()) == list("0123456789")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["network"] == "compact_cnn"
    assert config["settings"]["epochs"] == 4
    with (folder / "metrics.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    wanted = {"epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate", "seconds", "images_per_second"}
    assert wanted <= set(rows[0])
    best = max(float(row["val_accuracy"]) for row in rows)
    assert report.val.accuracy == pytest.approx(best)
    with Image.open(folder / "report" / "curves.png") as picture:
        assert picture.size[0] > 300
    assert report.run == str(folder)


def test_the_digits_are_learned_and_evaluate_agrees_with_counting_by_hand(digits_run):
    folder, _ = digits_run
    test = open_data("digits").read("test")

    report = striate.evaluate(folder, split="test")
    answers = striate.load(folder).predict(test.images)

    right = sum(answer.class_name == str(label) for answer, label in zip(answers, test.labels, strict=True))
    assert report.accuracy == pytest.approx(right / len(test))
    assert report.accuracy > 0.93
    assert report.num_images == len(test) == 359
    for name in ("confusion.csv", "confusion.png", "classes.csv", "predictions.csv", "mistakes.png", "measures.json"):
        assert (folder / "report" / "evaluate-test" / name).stat().st_size > 100
    with (folder / "report" / "evaluate-test" / "predictions.csv").open() as lines:
        assert len(list(csv.reader(lines))) == 360


def test_pictures_say_which_run_they_are_of(tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr("striate.workflows.tasks.classify.confusion_picture", lambda *_, title: titles.append(title) or b"")
    monkeypatch.setattr("striate.drawing.curves.curves_picture", lambda _, *, title: titles.append(title) or b"")

    striate.train("digits", network="lenet5", steps=2, output=tmp_path / "run")
    striate.evaluate(tmp_path / "run", split="val")

    assert titles == ["lenet5 on digits", f"{tmp_path / 'run'} on digits, val split"]


def test_val_is_divided_again_as_the_training_divided_it(digits_run):
    folder, report = digits_run

    assert striate.evaluate(folder, split="val").accuracy == pytest.approx(report.val.accuracy)


def test_val_is_divided_by_the_seed_of_the_request_whatever_seed_trains(tmp_path):
    report = striate.train("digits", network="compact_cnn", steps=20, seed=1, set={"settings.seed": 2}, output=tmp_path / "run")

    assert striate.evaluate(tmp_path / "run", split="val").log_loss == pytest.approx(report.val.loss, rel=1e-4)


def test_the_model_file_alone_predicts_in_another_process(digits_run, forked, tmp_path):
    folder, _ = digits_run
    shutil.copy(folder / "best.safetensors", tmp_path / "model.safetensors")
    test = open_data("digits").read("test")
    for index in range(3):
        Image.fromarray(test.images[index, ..., 0]).save(tmp_path / f"{index}.png")
    here = striate.load(folder).predict(test.images[:3])

    done = forked.start(tmp_path, command=["predict", "model.safetensors", ".", "--top", "2", "--json"])
    assert done.wait() == 0, done.errors

    there = json.loads(done.output)
    assert [item["path"] for item in there] == ["0.png", "1.png", "2.png"]
    assert [item["class"] for item in there] == [item.class_name for item in here]
    assert [item["probability"] for item in there] == pytest.approx([item.probability for item in here], abs=1e-6)
    assert len(there[0]["top"]) == 2


@pytest.mark.row("001-23")
def test_the_first_test_pictures_are_drawn_with_their_classes_without_a_screen(digits_run, forked, tmp_path):
    """Each picture is enlarged in whole squares: its grey values are there, in a file made in a process that has no DISPLAY."""
    test = open_data("digits").read("test")
    for index in range(4):
        Image.fromarray(test.images[index, ..., 0]).save(tmp_path / f"{index}.png")
    command = ["predict", str(digits_run[0]), *(f"{index}.png" for index in range(4)), "--plot", "four.png"]

    done = forked.start(tmp_path, command=command, setting={"DISPLAY": None, "WAYLAND_DISPLAY": None})
    assert done.wait() == 0, done.errors

    answers = striate.load(digits_run[0]).predict(test.images[:4])
    lines = [line.split() for line in done.output.splitlines()]
    for index, answer in enumerate(answers):
        assert any(f"{index}.png" in line and answer.class_name in line for line in lines)
    with Image.open(tmp_path / "four.png") as picture:
        shown = set(np.unique(np.asarray(picture.convert("L"))))
    assert set(np.unique(test.images[:4])) <= shown


@pytest.mark.row("001-23")
def test_the_first_pictures_of_a_split_are_answered_and_drawn(digits_run, tmp_path, capsys):
    """Of a named set, of an .npz file and of a folder alike; the use of test is counted."""
    test = open_data("digits").read("test")
    expected = [item.class_name for item in striate.load(digits_run[0]).predict(test.images[:4])]
    np.savez(tmp_path / "some.npz", x_train=test.images[4:], y_train=test.labels[4:], x_test=test.images[:9], y_test=test.labels[:9])
    for split, images in (("train", test.images[4:9]), ("test", test.images[:4])):
        for index, image in enumerate(images):
            folder = tmp_path / "photos" / split / str(test.labels[index] if split == "test" else index % 2)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(folder / f"{index}.png")
    before = len(RunFolder(digits_run[0]).read_openings())

    with pytest.raises(SystemExit) as end:
        main(f"predict {digits_run[0]} digits --split test --first 4 --json --plot {tmp_path}/four.png".split())

    out, err = capsys.readouterr()
    assert not end.value.code and "drawn" in err
    assert [item["class"] for item in json.loads(out)] == expected
    assert [item["path"] for item in json.loads(out)] == [f"digits/test/0000{index}" for index in range(4)]
    assert len(RunFolder(digits_run[0]).read_openings()) == before + 1
    with Image.open(tmp_path / "four.png") as picture:
        assert set(np.unique(test.images[:4])) <= set(np.unique(np.asarray(picture.convert("L"))))
    arrays = striate.predict(digits_run[0], tmp_path / "some.npz", split="test", first=4)
    assert [item.class_name for item in arrays] == expected
    files = striate.predict(digits_run[0], tmp_path / "photos", split="test")
    assert len(files) == 4 and all(Path(item.path).is_file() for item in files)


def test_a_split_is_of_one_data_set(digits_run):
    with pytest.raises(UsageError, match="digits, mnist: a split is of one data set"):
        predict(PredictRequest(run=digits_run[0], pictures=["digits", "mnist"]))
    with pytest.raises(UsageError, match="split, first: are of a data set"):
        striate.predict(digits_run[0], np.zeros((3, 8, 8), np.uint8), first=2)


@pytest.mark.row("001-21")
def test_answers_come_one_by_one_and_pictures_are_read_as_they_are_asked_for(digits_run, tmp_path):
    """The third file is no picture: the first two answers come all the same, as it lies in the second group."""
    test = open_data("digits").read("test")
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for index, path in enumerate(paths):
        Image.fromarray(test.images[index, ..., 0]).save(path)
    paths[2].write_bytes(b"none")
    model = striate.load(digits_run[0])

    answers = model.answers(paths, batch_size=2)

    expected = model.predict(test.images[:2])
    assert [next(answers).class_name for _ in range(2)] == [item.class_name for item in expected]
    with pytest.raises(DataError, match=r"2\.png"):
        next(answers)
    with pytest.raises(UsageError, match="top must be at least 1, got 0"):
        model.answers(paths, top=0)


def test_a_picture_gets_the_same_answer_alone_and_in_any_batch(digits_run):
    import torch

    model = striate.load(digits_run[0])
    images = open_data("digits").read("test").images[:50]

    together = model.probabilities(images)
    alone = np.concatenate([model.probabilities(images[i : i + 1]) for i in range(50)])
    in_sevens = model.probabilities(images, batch_size=7)

    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(in_sevens, together)
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(model.probabilities(images), together)
    torch.set_num_threads(before)


def test_predicting_leaves_the_random_numbers_and_the_mode_alone(digits_run):
    import torch

    model = striate.load(digits_run[0])
    before = torch.get_rng_state()

    model.predict(open_data("digits").read("test").images[:2])

    assert torch.equal(torch.get_rng_state(), before)
    assert not model.module.training


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    files = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        striate.train("digits", network="compact_cnn", steps=3, seed=seed, output=tmp_path / name)
        files.append((tmp_path / name / "best.safetensors").read_bytes())

    assert files[0] == files[1]
    assert files[0] != files[2]


@pytest.mark.row("001-21")
def test_steps_trains_exactly_so_many_updates(tmp_path):
    report = striate.train("digits", network="compact_cnn", steps=7, batch_size=300, output=tmp_path / "run")

    assert report.steps == 7
    assert report.epochs == 2  # 5 batches of 300 cover 1,295 pictures
    assert striate.load(report.run).info["epoch"] in (1, 2)
    measured = striate.evaluate(report.run, split="val")
    assert (measured.accuracy, measured.log_loss) == (pytest.approx(report.val.accuracy), pytest.approx(report.val.loss, rel=1e-5))


def test_a_split_without_some_classes_is_scored_by_name(picture_folder, tmp_path):
    report = striate.train(picture_folder, network="compact_cnn", epochs=6, output=tmp_path / "run")

    measured = striate.evaluate(report.run, split="test")

    assert measured.num_images == 4
    assert measured.classes["red"].support == 4
    assert measured.classes["green"].support == 0
    assert measured.accuracy == 1.0


def test_a_class_that_the_model_does_not_know_is_an_error(digits_run, picture_folder):
    with pytest.raises(DataError, match=r"class 'green', 'red' is not known to the model"):
        striate.evaluate(digits_run[0], picture_folder, split="test")


def test_a_coloured_picture_is_refused_by_a_model_of_grey_ones(digits_run, picture_folder):
    path = picture_folder / "train" / "red" / "0.png"

    with pytest.raises(DataError, match=r"0\.png: has 3 channels, the model takes 1"):
        striate.load(digits_run[0]).predict([path])


def test_an_existing_run_folder_is_not_touched(tmp_path):
    (tmp_path / "note.txt").write_text("mine")

    with pytest.raises(UsageError, match="exists already"):
        striate.train("digits", network="compact_cnn", steps=1, output=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    reports = [striate.train("digits", network="compact_cnn", steps=1) for _ in range(2)]

    assert [report.run for report in reports] == [str(Path("runs/train") / f"digits-compact_cnn-00{i}") for i in (1, 2)]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_nothing_bad(tmp_path):
    with pytest.raises(NumericError, match=r"the loss is not finite at step \d+"):
        striate.train("digits", network="compact_cnn", learning_rate=1e30, epochs=2, precision="float32", output=tmp_path / "run")
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_a_network_with_other_outputs_than_classes_is_refused(tmp_path):
    net = striate.network("compact_cnn", num_classes=7, in_channels=1, input_size=8)

    with pytest.raises(UsageError, match=r"outputs of shape \(7,\), but digits has 10 classes"):
        striate.train("digits", network=net, output=tmp_path / "run")


def test_an_unknown_field_is_refused_by_name():
    with pytest.raises(UsageError, match="epoch"):
        striate.train("digits", epoch=3)


def test_auxiliary_heads_train_with_the_network_and_stay_out_of_the_model_file(tmp_path):
    """GoogLeNet's heads are parts of the loss, not of the model: the file holds the network's parameters alone."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 255, (6, 96, 96, 3), dtype=np.uint8), np.array([0, 1, 0, 1, 0, 1])

    request = TrainRequest(data=(X, y), network="googlenet", image_size=96, steps=1, batch_size=2, output=tmp_path / "run")
    report = train(request, observer=QuietObserver())

    model = striate.load(report.run)
    assert sum(p.numel() for p in model.module.parameters()) == model.network.params
    assert len(model.network.heads) == 2


def test_ctrl_c_leaves_a_usable_run_and_says_so(forked, tmp_path):
    """A real process is sent a real SIGINT after its first epoch."""
    command = ["train", "digits", "--model", "compact_cnn", "--epochs", "5000", "--output", "run"]
    process = forked.start(tmp_path, command=command)
    while "\nepoch" not in process.errors:
        assert process.poll() is None, process.errors
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)

    assert process.wait() == 6
    assert "stopped before its end" in process.errors
    assert striate.evaluate(tmp_path / "run", split="test").accuracy > 0.3


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(RefusedFileError, match=r"holds no best\.safetensors"):
        striate.load(tmp_path)


def test_a_run_on_few_pictures_validates_on_the_same_ones_and_is_asked_about_those_it_learned_from(digits_run, tmp_path, capsys):
    words = ["train", "digits", "--model", "lenet5", "--steps", "2", "--train-images", "100", "--device", "cpu", "--no-diagnose"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--output", str(tmp_path / "run"), "--json"])
    out, said = capsys.readouterr()

    assert not end.value.code
    assert (json.loads(out)["num_train"], json.loads(out)["num_val"]) == (100, 143)
    assert "train: 100 of the 1,295 training pictures, the same share of each class, seed 0" in said
    whole, few = (evaluate(EvaluateRequest(run=run, split="val", output=tmp_path / run.name)) for run in (digits_run[0], tmp_path / "run"))
    assert whole.num_images == few.num_images == 143
    assert evaluate(EvaluateRequest(run=tmp_path / "run", split="train", output=tmp_path / "train")).num_images == 100
    with pytest.raises(UsageError, match=r"train_images must be 10 \(one of each class\) to 1,295 of digits, got 5"):
        striate.train("digits", network="lenet5", steps=1, train_images=5, output=tmp_path / "five")


def test_a_class_that_the_val_split_lacks_is_said(tmp_path):
    X, said = np.random.default_rng(0).integers(0, 256, (16, 8, 9), dtype=np.uint8), []
    y = np.array(["ant", "bee", "cow", "dog"] * 4)
    np.savez(tmp_path / "a.npz", x_train=X, y_train=y, x_val=X[1::2] // 2, y_val=y[1::2])
    source = open_data(tmp_path / "a.npz")

    read_train_and_val(source, ImageSpec(height=8, width=9, channels=1, mean=(0.5,), std=(0.5,)), Division(), said.append)

    assert said == ["val has no picture of class 'ant', 'cow': it does not measure how well that is learned"]
