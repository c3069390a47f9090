"""The programs of examples/ run as they are, each in an empty folder."""

from __future__ import annotations

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
    "sensor": "dense: accuracy 0.",
    "torchvision_module": "fgsm 0: ",
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("name", sorted(file.stem for file in EXAMPLES.glob("*.py")))
def test_an_example_runs(name, forked, tmp_path):
    """With warnings as errors."""
    code, written = forked(tmp_path, file=str(EXAMPLES / f"{name}.py"), strict=True)

    assert code == 0, written
    assert written.splitlines()[-1].startswith(LAST[name])


def test_each_example_has_a_line_in_their_list():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    assert {file.name for file in EXAMPLES.glob("*.py")} == {line.split("`")[1].split()[0] for line in text.splitlines() if "| `" in line}
