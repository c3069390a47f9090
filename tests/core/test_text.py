"""Names of strangers: shown without being obeyed, exact in JSON, whole in a shell."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from striate.core.tables import aligned
from striate.core.text import Lines, command, counted, encodable, in_lines, json_text, printable, shown

HOSTILE = "\x1b[31m\x07\r\n\x9b2J\u202egpj.\u2066\x7f"
NO_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("name", ["cat", "猫", "Zürich", "🐈", "👩\u200d🔬", "می\u200cخواهم", "5.00\u202fPM", "", "a b", r"a\nb"])
def test_names_that_no_terminal_obeys_are_shown_as_they_are(name):
    assert printable(name) == name


def test_what_a_terminal_obeys_is_shown_as_python_writes_it():
    assert printable(HOSTILE) == r"\x1b[31m\x07\r\n\x9b2J\u202egpj.\u2066\x7f"
    assert printable("a\tb\u2028c\U000e0041") == r"a\tb\u2028c\U000e0041"
    assert printable(NO_UTF8) == r"caf\xe9"


def test_line_breaks_of_names_do_not_become_lines():
    text = in_lines(["one\ntwo", in_lines(["three", "four\x1b"]), ""])

    assert text == "one\\ntwo\nthree\nfour\\x1b\n"
    assert isinstance(text, Lines) and shown(text) == text
    assert shown("one\ntwo") == r"one\ntwo"


def test_columns_are_as_wide_as_what_is_shown():
    assert aligned(["a", "b"], [["x\n", "1"], ["yy", "2"]], right=set()) == "a    b\nx\\n  1\nyy   2\n"


@pytest.mark.parametrize("name", [HOSTILE, NO_UTF8, "猫🐈", '"\\'])
def test_json_is_utf8_that_gives_the_name_back(name):
    data = json_text({"name": name}).encode()

    assert json.loads(data.decode()) == {"name": name}
    assert data.decode().isprintable()


def test_json_has_no_number_that_json_has_not():
    text = json_text({"a": [float("nan"), 1.5], "b": (float("inf"),), "c": {"d": -float("inf")}})
    assert json.loads(text, parse_constant=pytest.fail) == {"a": [None, 1.5], "b": [None], "c": {"d": None}}


def test_text_for_files_loses_only_what_utf8_has_not():
    assert encodable(f"{HOSTILE}{NO_UTF8}") == rf"{HOSTILE}caf\xe9"


@pytest.mark.parametrize("name", ["run", "my run; x", "it's", "$HOME", "a\nb'\\", NO_UTF8, "-run", "猫", "\x1b[31m"])
def test_a_command_line_gives_the_shell_the_path_that_was_meant(name):
    line = command("printf", "%s", Path(name))

    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)

    assert done.stdout.decode(errors="surrogateescape").removeprefix("./") == name
    assert printable(line) == line


def test_one_picture_is_no_pictures():
    assert [counted(1, "picture"), counted(0, "row"), counted(2_000, "signal")] == ["1 picture", "0 rows", "2,000 signals"]
