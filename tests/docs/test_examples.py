"""The programs of examples/ run as they are, each in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# What each prints last, as a sign that it came to its end.
LAST = {
    "ablation_study": "table, curves and LaTeX: runs/",
    "own_layer": "what it looks at: runs/",
    "own_network": "my_residual_net: val accuracy 0.",
    "photos": "what it looks at: runs/",
    "pipeline": "convolutional network: 0.",
    "torchvision_module": "fgsm 0: ",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(file.stem for file in EXAMPLES.glob("*.py")))
def test_an_example_runs(name, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(LAST[name])


def test_each_example_has_a_line_in_their_list():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    assert {file.name for file in EXAMPLES.glob("*.py")} == {line.split("`")[1].split()[0] for line in text.splitlines() if "| `" in line}
