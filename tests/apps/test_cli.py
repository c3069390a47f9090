"""The command line: results on stdout, talk on stderr, one clear error with its exit code for each wrong input."""

import csv
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

import striate
from striate.apps.cli import app, main
from striate.apps.cli.progress import epoch_line
from striate.data.sources import open_data
from striate.engine.epochs import EpochRow
from striate.networks import catalog
from striate.networks.layers import Activation, Chain, Conv, GlobalPool, Linear


@pytest.fixture
def run_striate(capsys):
    """Run the command line in this process: gives exit code, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    striate.train("digits", network="compact_cnn", steps=40, batch_size=64, output=folder)
    return folder


@pytest.fixture
def pictures(tmp_path):
    """root/{a,b}/*.png, six each, 9 x 8 pixels in colour."""
    rng = np.random.default_rng(1)
    for name in "ab":
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for index in range(6):
            Image.fromarray(rng.integers(0, 255, (9, 8, 3), dtype=np.uint8)).save(tmp_path / "pictures" / name / f"{index}.png")
    return tmp_path / "pictures"


def test_show_prints_the_table_of_the_sheet(run_striate):
    code, out, _ = run_striate("show", "cifar_notes")

    assert code == 0
    assert "24,522 parameters, 3,838,976 MACs = 7,677,952 FLOPs" in out
    assert "block3.pool" in out
    assert max(map(len, out.splitlines())) <= 120


def test_show_as_json_has_the_fields_that_scripts_rely_on(run_striate):
    _, out, err = run_striate("show", "cifar_notes", "--num-classes", 7, "--json")

    report = json.loads(out)
    assert report["name"] == "cifar_notes"
    assert report["input_shape"] == [3, 32, 32]
    assert report["output_shape"] == [7]
    assert (report["macs"], report["flops"]) == (3_837_440, 7_674_880)
    assert report["receptive_field"] == 22
    assert {"path", "kind", "output_shape", "params", "macs"} <= set(report["layers"][0])
    assert sum(layer["params"] for layer in report["layers"]) == report["params"]
    assert err == ""


def test_show_draws_an_svg(run_striate, tmp_path):
    import xml.etree.ElementTree as ET

    code, _, _ = run_striate("show", "lenet5", "--svg", tmp_path / "lenet5.svg")

    assert code == 0
    assert ET.parse(tmp_path / "lenet5.svg").getroot().tag.endswith("svg")


def test_networks_lists_the_catalogue(run_striate):
    _, out, _ = run_striate("networks", "*notes*", "--json")

    entries = {entry["name"]: entry for entry in json.loads(out)}
    assert set(entries) == {"cifar_notes", "mnist_notes", "mnist_notes_fixed"}
    assert entries["mnist_notes"]["params"] == 1_669_002
    assert {"macs", "input_shape", "source"} <= set(entries["mnist_notes"])


def test_datasets_says_what_is_here(run_striate, tmp_path):
    _, out, _ = run_striate("datasets", "--data-dir", tmp_path, "--json")

    here = {entry["name"]: entry["present"] for entry in json.loads(out)}
    assert here == {name: name == "digits" for name in ("digits", "mnist", "fashion_mnist", "kmnist", "cifar10", "cifar100", "svhn")}


def test_info_says_versions_devices_threads_and_precision(run_striate):
    import torch

    _, out, _ = run_striate("info", "--json")

    report = json.loads(out)
    assert report["versions"]["torch"] == torch.__version__.partition("+")[0] or report["versions"]["torch"] == torch.__version__
    assert report["threads"] == torch.get_num_threads()
    assert "float32" in report["devices"]["cpu"]
    told = dict(line.split(maxsplit=1) for line in run_striate("info")[1].splitlines())
    assert told["memory"] == f"{report['memory_bytes'] / 2**30:.1f} GiB"


def test_train_evaluate_and_predict_talk_on_stderr_and_answer_on_stdout(run_striate, tmp_path):
    code, out, err = run_striate("train", "digits", "--model", "compact_cnn", "--steps", 5, "--output", tmp_path / "run", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["run"] == str(tmp_path / "run")
    assert set(report["val"]) == {"accuracy", "accuracy_interval", "loss"}
    assert report["steps"] == 5
    assert "no val split: 143 of the 1,438" in err
    assert sum(line.startswith("epoch") for line in err.splitlines()) == 1
    assert "\r" not in err

    code, out, _ = run_striate("evaluate", tmp_path / "run", "--json")
    report = json.loads(out)
    wanted = {"split", "num_images", "accuracy", "accuracy_interval", "top5_accuracy", "balanced_accuracy", "macro_f1"}
    assert wanted | {"log_loss", "ece", "classes"} <= set(report)
    assert report["split"] == "test"
    assert set(report["classes"]) == set("0123456789")

    code, out, _ = run_striate("evaluate", tmp_path / "run", "--split", "val")
    assert "95 % interval" in out


def test_set_reaches_every_setting_and_the_run_keeps_it(run_striate, tmp_path):
    import yaml

    words = [
        "--set",
        "settings.nesterov=false",
        "--set",
        "settings.seed=3",
        "--set",
        "settings.step_at=[0.3, 0.6]",
        "--set",
        "augmentation.pad_mode=reflect",
    ]
    run_striate("train", "digits", "--model", "compact_cnn", "--steps", 1, *words, "--output", tmp_path / "run")

    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["settings"]["nesterov"] is False
    assert config["settings"]["seed"] == 3
    assert config["settings"]["step_at"] == [0.3, 0.6]
    assert config["augmentation"]["pad_mode"] == "reflect"


def test_predict_gives_csv_json_and_a_picture(run_striate, run_folder, tmp_path):
    test = open_data("digits").read("test")
    for index in range(3):
        Image.fromarray(test.images[index, ..., 0]).save(tmp_path / f"digit {index}.png")
    (tmp_path / ".hidden.png").write_text("not a picture")

    _, out, err = run_striate("predict", run_folder, tmp_path, "--top", 3, "--csv", "--plot", tmp_path / "answers.png")

    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["path", "class", "probability", "class2", "probability2", "class3", "probability3"]
    assert [Path(row[0]).name for row in rows[1:]] == ["digit 0.png", "digit 1.png", "digit 2.png"]
    assert sum(map(float, rows[1][2::2])) <= 1.000001
    with Image.open(tmp_path / "answers.png") as picture:
        assert min(picture.size) > 100
    assert "drawn" in err

    _, out, _ = run_striate("predict", run_folder, tmp_path / "digit 1.png", "--json")
    (answer,) = json.loads(out)
    assert answer["class"] == rows[2][1]
    assert answer["probability"] == pytest.approx(float(rows[2][2]), abs=1e-5)


def wrong_inputs():
    """(words of the command line, exit code, words of the error); {pictures}, {run} and {tmp} are filled in."""
    return [
        ("train mnits", 2, "unknown data set 'mnits'|Did you mean mnist"),
        ("train digits --model lenet50", 2, "unknown network 'lenet50'|Did you mean lenet5"),
        ("train digits --model compact_cnn --img-size 3", 2, "compact_cnn: stage3.pool|The smallest input of compact_cnn is 4 x 4"),
        ("train {tmp}/nowhere", 3, "nowhere: no such folder or file"),
        ("train {tmp}/empty", 3, "empty: no pictures"),
        ("train {tmp}/one", 3, "at least two classes, got only"),
        ("train {tmp}/cut", 3, "cut.png|cannot be read|--skip-unreadable"),
        ("train {tmp}/stray", 3, "class 'c' is not in the training split"),
        ("train {pictures} --output {run}", 2, "exists already"),
        ("train digits --opt lbfgs2", 2, "--opt: must be|Did you mean lbfgs"),
        ("train digits --lr nan", 2, "--lr: must be"),
        ("train digits --lr 0", 2, "--lr: must be more than 0"),
        ("train digits --batch-size 0", 2, "--batch-size|-b"),
        ("train digits --colour red", 2, "--colour"),
        ("train digits --set settings.nestrov=false", 2, "unknown name in --set settings 'nestrov'|Did you mean nesterov"),
        ("train digits --set setings.nesterov=false", 2, "unknown group of --set 'setings'|settings"),
        ("train digits --set images.height=9", 2, "unknown name in --set images 'height'|Known: mean, std, fit, normalization"),
        ("train digits --set images.mean=123.7", 2, "--set images.mean: expected one number per channel|divided by 255"),
        ("train digits --set images.mean=[0.1,0.2]", 2, "--set images.mean: the network takes 1 channel, got 2 numbers"),
        ("train digits --set images.fit=croop", 2, "fit: must be|Did you mean crop"),
        ("train digits --normalization min_max --set images.std=0.2", 2, "--set images.std: has no effect"),
        ("train digits --set settings.momentum=2", 2, "momentum: must be less than 1"),
        ("train digits --set nesterov", 2, "must be NAME=VALUE"),
        ("train digits --device tpu", 2, "unknown device 'tpu'"),
        ("train mnist --data-dir {tmp}", 3, "mnist is not on this machine|--download"),
        ("show vgg16 --img-size 31", 2, "vgg16: stage5.pool|The smallest input of vgg16 is 32 x 32"),
        ("show nothing_like_it_at_all", 2, "unknown network"),
        ("evaluate {tmp}/nowhere", 2, "no such run folder or model file"),
        ("evaluate {run} --split test --data-dir {tmp} mnist", 3, "mnist is not on this machine"),
        ("evaluate {tmp}/model.pt digits", 7, "pickle or PyTorch archive"),
        ("evaluate {tmp}/short.safetensors digits", 7, "short.safetensors"),
        ("predict {run} {tmp}/nowhere.png", 3, "nowhere.png"),
        ("predict {run} {tmp}/empty", 3, "no pictures"),
        ("predict {run} {pictures}/a/0.png", 3, "0.png: has 3 channels, the model takes 1"),
        ("predict {run} {pictures}/a/0.png --top 0", 2, "--top"),
        ("fly", 2, "fly"),
    ]


def absent_names() -> list[tuple[str, int, str]]:
    """(words of the command line, exit code, the name that is meant)."""
    return [
        ("predict holiday/run holiday/cat1.jpg", 3, "holiday/cat.jpg"),
        ("predict holiday/run Holidays/cat.jpg", 3, "holiday/cat.jpg"),
        ("explain holiday/run holiday/CAT.JPG", 3, "holiday/cat.jpg"),
        ("filter holiday/cta.jpg --kernel sobel", 3, "holiday/cat.jpg"),
        ("train ./holliday", 3, "holiday"),
        ("train digits --recipe holiday/recipes.yaml", 2, "holiday/recipe.yaml"),
        ("train digits --pretrained holiday/runn", 2, "holiday/run"),
        ("train ./holliday --task segment", 2, "holiday"),
        ("train --resume holiday/runn", 2, "holiday/run"),
        ("evaluate holiday/runn", 2, "holiday/run"),
        ("evaluate holiday/run --data ./holliday", 3, "holiday"),
        ("show holiday/runn", 2, "holiday/run"),
        ("profile holiday/runn", 2, "holiday/run"),
        ("compare lenet5 holiday/runn", 2, "holiday/run"),
        ("ablate holiday/runn --lesion", 2, "holiday/run"),
        ("attack holiday/runn", 2, "holiday/run"),
        ("calibrate holiday/runn", 2, "holiday/run"),
        ("diagnose holiday/runn", 2, "holiday/run"),
        ("report holiday/runn", 2, "holiday/run"),
        ("repro holiday/runn", 2, "holiday/run"),
        ("repeat ./holliday --seeds 2", 3, "holiday"),
    ]


@pytest.mark.parametrize(("command", "code", "meant"), absent_names(), ids=[command for command, *_ in absent_names()])
def test_a_name_of_nothing_is_told_with_the_names_like_it(command, code, meant, run_striate, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday" / "run").symlink_to(run_folder)
    for name in ("cat.jpg", "recipe.yaml"):
        (tmp_path / "holiday" / name).touch()
    found, _, stderr = run_striate(*command.split())
    assert found == code, stderr
    assert "no such" in stderr and f"Did you mean {meant}" in stderr


@pytest.mark.parametrize(("command", "code", "words"), wrong_inputs(), ids=[command for command, *_ in wrong_inputs()])
@pytest.mark.parametrize("as_json", [False, True])
def test_wrong_input_is_one_clear_error_with_its_exit_code(
    command, code, words, as_json, run_striate, run_folder, pictures, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "one" / "only").mkdir(parents=True)
    picture = (pictures / "a" / "0.png").read_bytes()
    (tmp_path / "one" / "only" / "0.png").write_bytes(picture)
    for name, data in (("a/0.png", picture), ("a/1.png", picture), ("b/cut.png", picture[:150]), ("b/0.png", picture)):
        (tmp_path / "cut" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cut" / name).write_bytes(data)
    for name in ("train/a", "train/b", "val/a", "val/c"):
        (tmp_path / "stray" / name).mkdir(parents=True)
        (tmp_path / "stray" / name / "0.png").write_bytes(picture)
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "short.safetensors").write_bytes((run_folder / "best.safetensors").read_bytes()[:-100])
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}

    filled = [word.format(tmp=tmp_path, run=run_folder, pictures=pictures) for word in command.split()]
    got, out, err = run_striate(*filled, *(["--json"] if as_json else []))

    assert got == code, err
    assert out == ""
    assert "Traceback" not in err
    if as_json:
        error = json.loads(err.splitlines()[-1])["error"]
        assert set(error) == {"kind", "message", "remedy"}
        err = f"{error['message']} {error['remedy']}"
    for word in words.split("|"):
        assert word in err
    assert not (tmp_path / "runs").exists()
    assert {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_said_with_the_file_and_the_older_model_stays(forked, tmp_path):
    """A real file system with 600 KB left: the second training does not fit beside the first."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount a file system")
    try:
        command = ["train", "digits", "--model", "compact_cnn", "--steps", "2", "--output"]
        code, written = forked(tmp_path, command=[*command, str(disk / "first")])
        assert code == 0, written
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free - 600_000))
        code, written = forked(tmp_path, command=[*command, str(disk / "second")])
        assert code == 4, written
        assert "error: " in written and "no space left on the device" in written.rpartition("error: ")[2]
        assert str(disk / "second") in written.rpartition("error: ")[2]
        assert not list((disk / "second").glob(".*tmp*"))
        assert striate.load(disk / "first").classes == tuple("0123456789")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_reader_that_goes_away_ends_it_quietly():
    done = subprocess.run(f"{sys.executable} -m striate networks | head -1", shell=True, capture_output=True, text=True, check=False)

    assert done.stdout.startswith("network")
    assert done.stderr == ""


def test_predict_leaves_unreadable_pictures_out_where_it_is_told_to(run_striate, run_folder, pictures):
    """The answers to the others are those that they get without the broken ones, and the broken ones are named."""
    grey = pictures / "grey"
    grey.mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(grey / "good.png")
    _, alone, _ = run_striate("predict", run_folder, grey, "--csv")
    whole = (grey / "good.png").read_bytes()
    (grey / "cut.png").write_bytes(whole[: len(whole) // 2])
    (grey / "text.jpg").write_text("no picture")

    code, out, err = run_striate("predict", run_folder, grey, "--csv", "--skip-unreadable")

    assert (code, out) == (0, alone)
    assert f"2 files unreadable and left out: {grey / 'cut.png'}, {grey / 'text.jpg'}" in err
    assert run_striate("predict", run_folder, grey)[0] == 3
    code, _, err = run_striate("predict", run_folder, grey / "cut.png", "--skip-unreadable")
    assert code == 3
    assert "no pictures are left" in err


def test_an_empty_word_for_a_file_is_one_clear_error(run_striate):
    code, _, err = run_striate("show", "lenet5", "--svg", "")

    assert code == 4
    assert err == "error: --svg .: cannot write a file: this is a folder\n  Give the name of a file in it.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--lr", -1), "--lr: must be more than 0, got -1.0"),
        (("--epochs", 0), "--epochs: must be at least 1, got 0"),
        (("--mixup", -1), "mixup must not be negative, got -1.0"),
        (("--set", "settings.momentum=2"), "--momentum: must be less than 1, got 2"),
        (("--epochs", "+3"), "--epochs +3: must be a whole number for a new run"),
        (("--epochs", "many"), "--epochs many: must be a whole number for a new run"),
    ],
)
def test_a_wrong_value_is_refused_before_any_picture_is_looked_at(run_striate, tmp_path, words, said):
    """The folder of pictures is not even there."""
    code, _, err = run_striate("train", tmp_path / "photos", *words)

    assert (code, err.splitlines()[0]) == (2, f"error: {said}")


def test_a_run_folder_that_exists_is_refused_before_any_picture_is_looked_at(run_striate, run_folder, tmp_path):
    code, _, err = run_striate("train", tmp_path / "photos", "--output", run_folder)

    assert code == 2
    assert f"{run_folder}: exists already" in err


@pytest.mark.parametrize("words", [(), ("",)])
def test_train_without_pictures_says_what_to_name(run_striate, words):
    code, _, err = run_striate("train", *words)

    assert code == 2
    assert err.startswith("error: no pictures to train on\n  Name them: striate train photos, or striate train digits;")


def test_a_lack_of_memory_is_an_error_of_the_environment_with_a_remedy(run_striate, monkeypatch, tmp_path):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("striate.workflows.info.info", fail)
    monkeypatch.setattr("striate.workflows.training.finishing.info", fail)

    code, _, err = run_striate("info")
    assert code == 4
    assert err.startswith(
        "error: out of memory\n  Compute less at once (a smaller --batch-size or --img-size, a smaller network), or close"
    )
    code, _, err = run_striate("train", "digits", "--model", "compact_cnn", "--steps", "1", "--output", tmp_path / "run")
    assert code == 4
    assert "error: out of memory\n  Train with a smaller --batch-size or --img-size, with a smaller network, or close" in err


def test_show_reads_runs_model_files_and_descriptions(run_striate, run_folder):
    """The folder, the model file and the description beside it show the same table."""
    tables = [run_striate("show", path)[1] for path in (run_folder, run_folder / "best.safetensors", run_folder / "network.json")]

    assert tables[0].startswith("compact_cnn   input 1x8x8\n")
    assert tables[0] == tables[1] == tables[2]
    code, _, err = run_striate("show", run_folder, "--num-classes", 3)
    assert code == 2
    assert "a trained network has its own classes and input" in err


def test_show_draws_svg_alone(run_striate, tmp_path):
    code, _, err = run_striate("show", "lenet5", "--svg", tmp_path / "lenet5.png")

    assert code == 2
    assert f"Name it {tmp_path / 'lenet5.svg'}; no other format is supported." in err
    assert not (tmp_path / "lenet5.png").exists()


def test_a_description_of_one_s_own_is_trained(run_striate, pictures, tmp_path):
    """Conv of 3 x 3 x 3 x 4 + 4 and dense of 4 x 2 + 2: 122 parameters by hand; pictures of 9 x 8 are fitted to its 11 x 10."""
    net = striate.Network("mine", (3, 11, 10), Chain(Conv(4, 3), Activation("relu"), GlobalPool(), Linear(2)))
    (tmp_path / "mine.json").write_text(net.to_json())

    code, out, err = run_striate("train", pictures, "--model", tmp_path / "mine.json", "--steps", 2, "--output", tmp_path / "run", "--json")

    assert code == 0, err
    assert (json.loads(out)["network"], json.loads(out)["params"]) == ("mine", 122)
    assert striate.load(tmp_path / "run").network == net


def test_the_list_of_verbs_fits_80_columns_and_is_cut_nowhere(run_striate, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    code, out, _ = run_striate("--help")

    listed = out.partition("Commands:\n")[2].splitlines()
    assert code == 0
    assert len(listed) == len(app.registered_commands)  # one line each
    assert all(len(line) <= 80 and line.rstrip().endswith((".", "edges, ...")) for line in listed)


def test_every_flag_says_what_it_does():
    verbs = get_command(app).commands

    assert [(name, flag.name) for name, verb in verbs.items() for flag in verb.params if not flag.help] == []


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_fault_of_its_own_ends_with_70_and_asks_to_be_reported(flags):
    code = f"""import striate.networks.catalog as catalog
from striate.apps.cli import main
catalog.networks = lambda pattern: 1 / 0
main(["networks", *{flags}])"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    *before, last = done.stderr.rstrip().splitlines() if flags else done.stderr.partition("\nerror: ")[::2]
    assert (done.returncode, done.stdout) == (70, "")
    assert "Traceback" in "\n".join(before)
    message, remedy = "a bug in Striate: ZeroDivisionError: division by zero", "Please report it with the command and the lines above."
    assert last.rstrip() == (
        json.dumps({"error": {"kind": "internal", "message": message, "remedy": remedy}}) if flags else f"{message}\n  {remedy}"
    )


def test_networks_of_a_pattern_are_alone_described(run_striate, monkeypatch):
    """A name that nothing fits costs no description; the names that fit come in the catalogue's order."""
    described = []
    whole = catalog.network
    monkeypatch.setattr(catalog, "network", lambda name: (described.append(name), whole(name))[1])

    assert run_striate("networks", "nothing*")[0] == 2
    _, out, _ = run_striate("networks", "vgg1[13]")

    assert described == ["vgg11", "vgg13"]
    assert [line.split()[0] for line in out.splitlines()] == ["network", "vgg11", "vgg13"]


@pytest.mark.skipif(os.name == "nt", reason="a folder that is in use stays there")
def test_a_command_in_a_folder_that_was_removed_says_so(run_striate, tmp_path, monkeypatch):
    """There, a library of torch would end the process with words of its own."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    code, _, err = run_striate("show", "lenet5")

    assert (code, err.splitlines()[0]) == (4, "error: the folder that this command was started in is gone")


def test_a_folder_that_is_no_run_is_named_with_what_to_do(run_striate, tmp_path):
    code, _, err = run_striate("diagnose", tmp_path)

    assert code == 3
    assert err == (
        f"error: {tmp_path / 'config.yaml'}: cannot read the run's configuration: No such file or directory\n"
        "  Name the folder of a training run; for a model file alone, also give the data set.\n"
    )


@pytest.mark.parametrize(("rate", "words"), [(0.3141, "0.31"), (4.0, "4"), (9.96, "10"), (10.4, "10"), (12345.6, "12,346")])
def test_the_line_of_an_epoch_says_how_fast_also_where_it_is_slow(rate, words):
    row = EpochRow(1, 2, 1.25, 0.5, 1.5, 0.25, 0.1, 3.0, rate)

    assert epoch_line(row) == f"epoch   1  train loss 1.2500  val loss 1.5000  val accuracy 0.2500  {words} images/s"
