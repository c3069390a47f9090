"""Each verb is one file that reads from top to bottom."""

from __future__ import annotations

import ast
from pathlib import Path

import striate

WORKFLOWS = Path(striate.__file__).parent / "workflows"
MOST = 150  # lines


def verbs() -> dict[str, Path]:
    """The function of each verb that the Python interface calls, and the file that it is in."""
    tree = ast.parse((WORKFLOWS / "face.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    names = {alias.asname: (str(node.module), alias.name) for node in imports for alias in node.names if alias.asname}
    found = {name: WORKFLOWS.parents[1] / f"{module.replace('.', '/')}.py" for name, (module, _) in names.items()}
    return {name: path for name, path in found.items() if name.endswith("_request")}


def test_a_verb_is_under_150_lines():
    lengths = {name: len(path.read_text().splitlines()) for name, path in verbs().items()}
    assert {"train_request", "explain_request", "ablate_request", "report_request"} <= lengths.keys()
    assert {name: length for name, length in lengths.items() if length > MOST} == {}
