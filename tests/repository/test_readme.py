"""The README's commands and links are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from striate.apps.cli import app
from striate.networks.catalog import networks

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_networks_that_it_names_are_in_the_catalogue():
    named = {name for line in README.splitlines() for name in re.findall(r"--model ([\w:]+)|striate (?:show|profile) (\w+)", line)}
    names = {name for pair in named for name in pair if name}

    assert len(names) >= 3
    assert names <= {entry.name for entry in networks()}


def test_each_verb_has_a_line():
    """What `striate --help` lists stands in the text as a command or a word of its own."""
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}

    assert {verb for verb in verbs if not re.search(rf"striate {verb}\b|`{verb}`", README)} == set()


def test_its_links_lead_to_files():
    linked = set(re.findall(r"\]\(([^)#:]+)\)", README))

    assert len(linked) > 10
    assert {name for name in linked if not (ROOT / name).exists()} == set()


@pytest.mark.slow
def test_its_program_runs(forked, tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    code, written = forked(tmp_path, program=program)

    assert code == 0, written
    assert "stage2.block1" in written
