"""The files of a run folder: one record of the configuration, one reader a file, and what a damaged file says."""

import dataclasses
import os
import shutil
from pathlib import Path

import pytest
import yaml

from striate.core.errors import DataError, RefusedFileError
from striate.workflows.runs.config import RunConfig
from striate.workflows.runs.folder import RunFolder
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(TrainRequest(data="digits", network="lenet5", image_size=32, train_images=40, epochs=2, output=folder, device="cpu"))
    return folder


@pytest.fixture
def copy(run, tmp_path):
    return RunFolder(Path(shutil.copytree(run, tmp_path / "run")))


def test_the_configuration_reads_back_as_it_was_written(run, tmp_path):
    config = RunFolder(run).read_config()

    again = RunFolder(tmp_path)
    again.write_config(config)

    assert again.read_config() == config
    assert (config.data, config.val_seed, config.train_images, config.settings.epochs) == ("digits", 0, 40, 2)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
DAMAGES = {  # of config.yaml: what stands in place of a line, and the words of the refusal
    "a word for a share": ("val_fraction: 0.1", "val_fraction: x", "val_fraction: must be a number.*got 'x'"),
    "a list for a seed": ("val_seed: 0", "val_seed: [1]", r"val_seed: must be a whole number, got \[1\]"),
    "no line for the seed": ("val_seed: 0\n", "", "lacks val_seed"),
    "nothing for a list": ("extended_by: []", "extended_by: null", "extended_by: must be a list, got None"),
    "a word for a count": ("train_images: 40", "train_images: x", "train_images: must be a whole number"),
    "a field nobody knows": ("val_seed: 0", "val_sed: 0\nval_seed: 0", "unknown field val_sed"),
    "a setting nobody knows": ("  epochs: 2", "  epochs: 2\n  epoch: 3", "unknown field settings.epoch"),
    "more epochs than any run": ("  epochs: 2", "  epochs: 1.0e+29", r"settings.epochs: .* got 1e\+29"),
    "a number of 30 digits": ("  epochs: 2", f"  epochs: {'9' * 30}", "epochs is out of range: a whole number of (29|30) digits"),
    "a number of 6,000 digits": ("  epochs: 2", f"  epochs: {'9' * 6000}", "invalid YAML"),
    "a month that is none": ("val_seed: 0", "val_seed: 2001-13-01", "invalid YAML: month must be in 1..12"),
    "a bomb of aliases": ("val_seed: 0\n", f"val_seed: 0\n{BOMB}", "anchors and aliases"),
    "depth": ("val_seed: 0", f"val_seed: {'[' * 100_000}", "levels deep"),
    "a tag": ("val_seed: 0", "val_seed: !!python/name:os.system", "tags"),
    "no section": ("images:\n", "#", ""),
    "a range that is none": ("crop_padding: 1", "crop_padding: -1", "augmentation: .*crop_padding must not be negative, got -1"),
}


@pytest.mark.parametrize(("held", "damage", "words"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_configuration_is_refused_with_file_and_field(copy, held, damage, words):
    text = copy.config.read_text()
    assert held in text
    copy.config.write_text(text.replace(held, damage, 1))

    with pytest.raises(RefusedFileError, match=rf"(?s)config\.yaml.*{words}"):
        copy.read_config()


def read_all(folder):
    """Every reader in turn."""
    for read in (
        folder.read_config,
        folder.read_network,
        folder.read_classes,
        folder.read_env,
        folder.read_metrics,
        folder.read_events,
        folder.read_history,
        folder.read_openings,
        folder.hashes,
    ):
        read()


NAMES = ["config.yaml", "network.json", "classes.json", "env.json", "metrics.csv", "events.jsonl", "probe.jsonl", "test-openings.jsonl"]
BYTES = {
    "other bytes": lambda _: b"\xff\xfe\x00other",
    "a last byte that is no text": lambda data: data + b"\xff\n",
    "100,000 levels": lambda _: b"[" * 100_000 + b"\n",
    "a number of 6,000 digits": lambda _: b'{"a": ' + b"9" * 6000 + b"}\n",
    "infinity": lambda _: b'{"a": 1e999}\n',
    "not a number": lambda _: b'{"a": NaN}\n',
    "a list": lambda _: b"[1]\n",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", BYTES.values(), ids=BYTES)
def test_a_damaged_file_is_refused_with_its_name(copy, name, damage):
    path = copy.path / name
    path.write_bytes(damage(path.read_bytes() if path.exists() else b""))

    with pytest.raises(RefusedFileError, match=name.replace(".", r"\.")) as caught:
        read_all(copy)
    assert caught.value.exit_code == 7


@pytest.mark.skipif(os.name == "nt", reason="no pipes in folders there")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_plain_file_is_refused_and_not_waited_for(copy, name, kind):
    path = copy.path / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")

    with pytest.raises(RefusedFileError, match=name.replace(".", r"\.")):
        read_all(copy)


def test_a_byte_order_mark_changes_nothing(copy):
    before = copy.hashes()
    for name in NAMES:
        path = copy.path / name
        if path.exists():
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    read_all(copy)

    assert (copy.hashes(), len(copy.read_metrics())) == (before, 2)


def test_metrics_of_which_a_row_is_missing_are_refused(copy):
    head, _, last = copy.metrics.read_text().splitlines(keepends=True)
    copy.metrics.write_text(head + last)

    with pytest.raises(RefusedFileError, match=r"metrics\.csv: row 1 has the epoch 2: rows are missing or out of order"):
        copy.read_metrics()


def test_a_journal_that_a_kill_cut_is_read_to_its_last_whole_line(copy):
    whole = copy.read_events()
    copy.events.write_bytes(copy.events.read_bytes()[:-5])

    assert copy.read_events() == whole[:-1]


@pytest.mark.parametrize(
    ("held", "damage", "words"),
    [
        ('"source"', '"provenance": 5, "source"', "provenance must be a list of lines, got 5"),
        ('"source"', '"heads": 5, "source"', "heads must be a list, got 5"),
        ('"source": "', '"source": 5, "so": "', "unknown field 'so'"),
        ('["c1"', '["self"', "a part cannot be called 'self'"),
        ('["c1"', '["forward"', "a part cannot be called 'forward'"),
        ('"out_channels": 6', '"out_channels": "x"', "c1"),
    ],
)
def test_a_damaged_description_of_a_network_is_refused_with_the_place(copy, held, damage, words):
    text = copy.network.read_text()
    assert held in text
    copy.network.write_text(text.replace(held, damage, 1))

    with pytest.raises(RefusedFileError, match=rf"network\.json: .*{words}"):
        copy.read_network()


def test_a_folder_without_configuration_is_no_run(tmp_path):
    with pytest.raises(DataError, match=r"config\.yaml: cannot read the run's configuration: No such file or directory"):
        RunFolder(tmp_path).read_config()


def test_what_a_configuration_says_is_hashed_not_how(copy):
    before = copy.hashes()
    data = yaml.safe_load(copy.config.read_text())
    data["settings"]["momentum"] = 0.9
    copy.config.write_text("# mine\n" + yaml.safe_dump(dict(reversed(data.items())), default_flow_style=True))
    assert copy.hashes() == before

    copy.config.write_text(yaml.safe_dump({**data, "data": "/moved/elsewhere", "extended_by": [3]}))
    assert copy.hashes() == before  # data may move, and a run may grow

    copy.config.write_text(yaml.safe_dump({**data, "val_seed": 1}))
    assert copy.differing(before) == [f"{copy.config}: is not the file that the run was trained with"]
    copy.classes.unlink()
    assert copy.differing(before)[1] == f"{copy.classes}: is missing"


def test_a_field_of_a_later_version_changes_no_hash_when_a_run_is_extended(copy):
    """An older version's configuration lacks it; what is written is how far the run is extended, and no more."""
    data = yaml.safe_load(copy.config.read_text())
    del data["settings"]["focal_gamma"]
    copy.config.write_text(yaml.safe_dump(data))
    before, config = copy.hashes(), copy.read_config()

    settings = dataclasses.replace(config.settings, epochs=5)
    copy.write_extension(dataclasses.replace(config, settings=settings, extended_by=(3,)))

    assert (copy.hashes(), copy.read_config().settings.epochs) == (before, 5)
    assert "focal_gamma" not in copy.config.read_text()


def test_plain_data_of_a_configuration_is_checked_wherever_it_comes_from():
    with pytest.raises(RefusedFileError, match="the checkpoint: must hold names and values, got list"):
        RunConfig.from_plain([], "the checkpoint")
