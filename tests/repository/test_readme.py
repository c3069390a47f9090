"""The README's programs do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from striate.apps.cli import app
from striate.data.masks import open_masks
from striate.demos.registry import DEMOS
from striate.networks.catalog import networks

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_folder_of_pictures_and_masks_that_it_makes_is_one_that_trains(tmp_path):
    program = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "masks" in block)

    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)

    source = open_masks(tmp_path / "ink")
    assert (source.classes, len(source.pairs["train"])) == (("paper", "ink"), 300)
    assert source.image_size == (32, 32)


def test_the_networks_that_it_names_are_in_the_catalogue():
    named = {name for line in README.splitlines() for name in re.findall(r"--model ([\w:]+)", line)}

    assert named and named <= {entry.name for entry in networks()}


def test_each_demo_is_named():
    """Those of the registry and no others, where it lists the systems and the building blocks."""
    listed = README.partition("The classical networks: ")[2].partition("Each runs on")[0]

    assert set(re.findall(r"`([\w-]+)`", listed)) == {demo.name for demo in DEMOS}


def test_each_verb_has_a_line():
    """What `striate --help` lists stands in the text as a command or a word of its own."""
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}

    assert {verb for verb in verbs if not re.search(rf"striate {verb}\b|`{verb}`", README)} == set()
