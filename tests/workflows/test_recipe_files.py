"""Recipe files: plain data in, and whatever could run, grow or hide refused with the line it stands in."""

from __future__ import annotations

import contextlib
import re

import pytest

import striate
from striate.core.errors import RefusedFileError, UnknownNameError, UsageError
from striate.workflows.recipes.choices import network_of_run
from striate.workflows.recipes.files import MAX_BYTES, read_recipe_file


@pytest.fixture
def file(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "mine.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_a_file_gives_its_groups(file):
    path = file("recipe: modern\nsettings:\n  epochs: 7\n  step_at: [0.2, 0.6]\n  layer_rates: {stem: 0.1}\naugmentation:\n  flip: no\n")

    assert read_recipe_file(path) == {
        "recipe": "modern",
        "settings": {"epochs": 7, "step_at": [0.2, 0.6], "layer_rates": {"stem": 0.1}},
        "augmentation": {"flip": False},
        "images": {},
    }


@pytest.mark.parametrize("text", ["\ufeffsettings:\n  epochs: 7\n", "---\nsettings: {epochs: 7}\n...\n", "settings:\r\n  epochs: 7\r\n"])
def test_marks_of_files_and_lines_do_not_matter(file, text):
    assert read_recipe_file(file(text))["settings"] == {"epochs": 7}


def test_empty_groups_say_nothing(file):
    assert read_recipe_file(file("settings:\naugmentation:\n"))["settings"] == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("settings:\n  epoch: 7\n", r"unknown name in .*mine.yaml: 'settings.epoch'\nDid you mean settings.epochs"),
        ("settings:\n  lr: 7\n", r"'settings.lr'\n.*Known: epochs, steps, "),
        ("augmentations:\n  flip: true\n", r"'augmentations'\nDid you mean augmentation "),
        ("augmentation:\n  flipp: true\n", r"'augmentation.flipp'\nDid you mean augmentation.flip"),
        ("settings:\n  _target_: os.system\n", r"'settings._target_'"),
        ("_instantiator: os.system\n", r"'_instantiator'"),
        ("7: 8\n", r"unknown name in .*mine.yaml: '7'"),
    ],
)
def test_unknown_names_come_with_the_nearest(file, text, words):
    with pytest.raises(UnknownNameError) as caught:
        read_recipe_file(file(text))

    assert re.search(words, str(caught.value)), caught.value
    assert caught.value.exit_code == 2


HOSTILE = {
    "a tag that makes objects": (
        "settings: !!python/object/apply:os.system ['true']\n",
        r"line 1: tags \(!\) are not supported: .*os.system",
    ),
    "a tag of plain data": ("settings:\n  epochs: !!int '7'\n", r"line 2: tags"),
    "a tag of one's own": ("settings: !mine {}\n", r"line 1: tags"),
    "an anchor": ("settings: &a\n  epochs: 7\n", r"line 1: anchors and aliases"),
    "a bomb of aliases": (
        "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        r"line 1: anchors",
    ),
    "a merge": ("settings:\n  <<: {epochs: 7}\n", r"line 2: a name must be a word"),
    "a list for a name": ("? [a, b]\n: 7\n", r"line 1: a name must be a word"),
    "a name twice": ("settings:\n  epochs: 7\n  seed: 1\n  epochs: 8\n", r"line 4: epochs appears twice"),
    "a group twice": ("settings: {epochs: 7}\nsettings: {seed: 1}\n", r"line 2: settings appears twice"),
    "depth": ("settings: " + "[" * 100_000, r"line 1: more than 6 levels deep"),
    "depth by lines": ("".join("  " * i + "a:\n" for i in range(50)), r"line 7: more than 6 levels deep"),
    "size": ("#" * (MAX_BYTES + 1), r"262,145 bytes, more than the limit of 262,144"),
    "not a number": ("settings:\n  learning_rate: .nan\n", r"learning_rate must be a finite number, got nan"),
    "infinite": ("settings:\n  step_at: [0.5, -.inf]\n", r"step_at must be a finite number, got -inf"),
    "infinite when read": ("settings:\n  learning_rate: 1.0e+400\n", r"learning_rate must be a finite number, got inf"),
    "a day that is none": ("settings:\n  epochs: 2001-99-99\n", r"invalid YAML: month must be in 1..12"),
    "a number of 5,000 digits": ("settings:\n  epochs: " + "9" * 5000, r"invalid YAML: a whole number of more than 4,300 digits"),
    "two documents": ("settings: {epochs: 7}\n---\nsettings: {epochs: 8}\n", r"line 2: a second YAML document begins"),
    "tabs": ("settings:\n\tepochs: 7\n", r"invalid YAML: .*found character '\\t'.*line 2"),
    "a broken list": ("settings: [1, 2\n", r"invalid YAML"),
    "bytes": (b"settings: \xff\xfe", r"is not text in UTF-8"),
    "NUL": ("settings: \x00", r"invalid YAML: .*special characters are not allowed"),
    "a word": ("modern\n", r"must hold names and values, got str"),
    "nothing": ("", r"must hold names and values, got NoneType"),
}


@pytest.mark.parametrize(("text", "words"), HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_plain_data_is_refused(file, text, words):
    with pytest.raises(RefusedFileError, match=words) as caught:
        read_recipe_file(file(text))

    assert caught.value.exit_code == 7
    assert "mine.yaml" in caught.value.message


def test_a_group_that_holds_no_names_is_an_error(file):
    with pytest.raises(UsageError, match=r"mine.yaml: settings must hold names and values, got \[1, 2\]"):
        read_recipe_file(file("settings: [1, 2]\n"))


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(UsageError, match=r"no such file") as caught:
            read_recipe_file(path)
        assert "`recipe` takes the name of a recipe or a YAML file" in caught.value.remedy


def test_no_byte_of_a_good_file_can_be_changed_into_a_crash(file):
    """Each byte in turn replaced by each of some awkward ones: read, or one of our errors."""
    good = b"recipe: fast\nsettings:\n  epochs: 7\n  step_at: [0.5, 0.75]\n"

    for place in range(len(good)):
        for awkward in b"\x00\xff&!{:":
            changed = bytearray(good)
            changed[place] = awkward
            with contextlib.suppress(UsageError, RefusedFileError):
                read_recipe_file(file(bytes(changed)))


def test_the_network_of_a_run_is_what_was_trained_not_what_bears_its_name(tmp_path):
    """An edit keeps the catalogue's name; the plain network is named, so that it can be made for other data."""
    plain = striate.network("lenet5", num_classes=3, in_channels=2, input_size=(32, 36))
    edited = plain.swap(activation="relu")
    found = []
    for net in (plain, edited):
        (tmp_path / "network.json").write_text(net.to_json(), encoding="utf-8")
        found.append(network_of_run("lenet5", tmp_path))

    assert found == ["lenet5", edited]
