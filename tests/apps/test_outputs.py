"""stdout and stderr: no character, full disk or departed reader ends finished work, and data is UTF-8 on every console."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from striate.apps.cli.app import app
from striate.apps.cli.output import folded
from striate.data.kept import cache_size

FULL = Path("/dev/full")  # a device on which there is never space
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")


def striate(*words, **more):
    """The command line in a process of its own."""
    return subprocess.run([sys.executable, "-m", "striate", *words], check=False, **more)


def test_long_sentences_are_folded_at_blanks_and_names_stay_whole():
    long = "warning: 1 picture with two labels: roses/110472418_87b6a3aa98_m.jpg (roses) = tulips/again.jpg"
    text = folded(f"sizes    1 x 2 to 30 x 40, five different\n\nclass  train\n{long}\n  {long}\n", 40)

    assert text.split("\n") == [
        "sizes    1 x 2 to 30 x 40, five",
        "         different",
        "",
        "class  train",
        "warning: 1 picture with two labels:",
        "    roses/110472418_87b6a3aa98_m.jpg",
        "    (roses) = tulips/again.jpg",
        "  warning: 1 picture with two labels:",
        "  roses/110472418_87b6a3aa98_m.jpg",
        "  (roses) = tulips/again.jpg",
        "",
    ]


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_the_size_of_the_kept_photos_is_a_flag(verb: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STRIATE_CACHE_SIZE", "3")
    done = CliRunner().invoke(app, [verb, "no-such-place", "--cache-size", "0.5"])

    assert done.exit_code != 0 and cache_size() == 2**29


@needs_full
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["show", "lenet5"], ["datasets", "--json"], ["train", "--help"]], ids=str)
def test_a_full_disk_under_the_results_is_a_fault_of_the_machine(words):
    with FULL.open("w") as full:
        done = striate(*words, stdout=full, stderr=subprocess.PIPE, text=True)

    assert done.returncode == 4
    assert "stdout: cannot write: No space left on device" in done.stderr
    assert "Free some space, or send the output elsewhere" in done.stderr
    assert "Traceback" not in done.stderr and "report it" not in done.stderr


@needs_full
@pytest.mark.slow
def test_a_full_disk_under_the_talk_stops_no_training(tmp_path):
    with FULL.open("w") as full:
        words = ["train", "digits", "--model", "compact_cnn", "--steps", "2", "--output", str(tmp_path / "run")]
        done = striate(*words, stdout=subprocess.PIPE, stderr=full, text=True)

    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == f"next: striate evaluate {tmp_path / 'run'} --split test"
    assert (tmp_path / "run" / "best.safetensors").is_file()


@needs_full
def test_a_full_disk_under_both_keeps_the_exit_code():
    with FULL.open("w") as full:
        assert striate("networks", stdout=full, stderr=full).returncode == 4
        assert striate("networks", "nosuch", stdout=full, stderr=full).returncode == 2


@pytest.mark.parametrize("words", [["--help"], ["networks"], ["networks", "--json"]], ids=str)
def test_a_reader_that_left_is_no_fault(words):
    reading, writing = os.pipe()
    os.close(reading)

    done = striate(*words, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_console_in_another_encoding_shows_what_it_has_not(encoding):
    surroundings = os.environ | {"PYTHONIOENCODING": encoding}

    shown = striate("show", "猫", env=surroundings, capture_output=True)
    data = striate("show", "猫", "--json", env=surroundings, capture_output=True)

    assert shown.returncode == data.returncode == 2
    assert ("猫" if encoding == "utf-8" else r"\u732b").encode() in shown.stderr
    assert "猫" in json.loads(data.stderr.decode("utf-8"))["error"]["message"]


@pytest.mark.parametrize("words", [["\x1b[31mnosuch"], ["show", "\x1b[31m\nx"], ["show", "lenet5", "--\x1b[31m"]])
def test_what_was_typed_is_not_sent_to_the_terminal(words):
    done = striate(*words, capture_output=True, text=True)

    assert done.returncode == 2
    assert "\x1b" not in done.stderr and r"\x1b" in done.stderr
