"""`--recipe` and `--lr find` on the command line."""

from __future__ import annotations

import json

import pytest
import yaml

from striate.apps.cli import main
from striate.workflows.recipes.book import RECIPES


@pytest.fixture
def run_striate(capsys):
    """Run the command line in this process: gives exit code, stdout and stderr."""

    def run(*words):
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


def test_help_lists_the_recipes(run_striate):
    code, out, _ = run_striate("train", "--help")

    assert code == 0
    words = set(out.replace(",", " ").split())
    assert set(RECIPES) <= words
    assert {"--recipe", "NAME|FILE", "RATE|find"} <= words


def test_flags_are_over_a_file_is_over_its_recipe(run_striate, tmp_path):
    (tmp_path / "mine.yaml").write_text("recipe: resnet_2015\nsettings: {momentum: 0.8, smoothing: 0.1, steps: 3}\n")

    words = ("--model", "lenet5", "--smoothing", 0.2, "--device", "cpu", "--output", tmp_path / "run", "--json")
    code, out, _ = run_striate("train", "digits", "--recipe", tmp_path / "mine.yaml", *words)

    assert code == 0
    assert json.loads(out)["steps"] == 3
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["settings"]
    assert [settings[name] for name in ("schedule", "momentum", "smoothing")] == ["multi_step", 0.8, 0.2]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--lr", "fast"), 2, "--lr: must be a number or find, got 'fast'"),
        (("--lr", "0"), 2, "--lr: must be more than 0"),
        (("--sched", "cosin"), 2, "got 'cosin'\n  Did you mean cosine or cosine_restarts?"),
        (("--recipe", "resnet2015"), 2, "unknown recipe 'resnet2015'\n  Did you mean resnet_2015"),
        (("--recipe", "none.yaml"), 2, "none.yaml: no such file"),
    ],
)
def test_wrong_words_come_with_what_is_right(run_striate, words, code, text):
    ended, out, err = run_striate("train", "digits", *words)

    assert (ended, out) == (code, "")
    assert text in err


def test_a_file_that_could_run_something_is_refused(run_striate, tmp_path):
    (tmp_path / "mine.yaml").write_text("settings: !!python/object/apply:os.mkdir [ran]\n")

    code, _, err = run_striate("train", "digits", "--recipe", tmp_path / "mine.yaml", "--output", tmp_path / "run")

    assert code == 7
    assert "line 1: tags (!) are not supported" in err
    assert not (tmp_path / "run").exists()
