"""What is imported when: answers that need no tensors do not wait for torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
HEAVY = ("torch", "numpy", "scipy", "sklearn", "matplotlib", "PIL", "torchvision", "timm", "pandas", "pydantic")


def imported_by(code: str) -> list[str]:
    """Which of the heavy packages a fresh interpreter has after running `code`."""
    probe = f"{code}\nimport sys\nprint('loaded', *(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1].split()[1:]


def light_modules() -> list[str]:
    """Every module of core and of networks, but for the torch modules that the leaves build."""
    files = [*(SOURCE / "striate/core").rglob("*.py"), *(SOURCE / "striate/networks").rglob("*.py")]
    names = {".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__") for file in files}
    return sorted(name for name in names if not name.startswith("striate.networks.modules"))


def test_the_probe_sees_what_is_imported():
    assert imported_by("import numpy") == ["numpy"]


@pytest.mark.parametrize("module", ["striate", "striate.apps.cli"])
def test_importing_the_package_or_the_command_line_loads_nothing_heavy(module):
    assert imported_by(f"import {module}") == []


@pytest.mark.parametrize(
    ("words", "allowed"),
    [("--help", set()), ("--version", {"pydantic"}), ("train --help", {"pydantic"}), ("demo", {"pydantic", "numpy", "PIL"})],
)
def test_help_and_the_list_of_demos_load_nothing_heavy(words, allowed):
    code = f"""
import sys
from striate.apps.cli import main
sys.argv = ["striate", *{words.split()!r}]
try:
    main()
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
"""
    assert set(imported_by(code)) <= allowed


def test_the_scanned_digits_are_read_without_importing_scikit_learn():
    code = "from striate.data.sources import open_data; open_data('digits').read('train')"

    assert not {"sklearn", "scipy", "pandas"} & set(imported_by(code))


def test_describing_networks_loads_no_torch():
    modules = light_modules()

    assert "striate.networks.catalog" in modules
    assert "torch" not in imported_by("\n".join(f"import {module}" for module in modules))


def test_help_names_the_verbs():
    result = subprocess.run([sys.executable, "-m", "striate", "--help"], capture_output=True, text=True, check=False)

    assert result.returncode == 0
    assert result.stderr == ""
    assert all(f" {verb} " in result.stdout for verb in ("train", "evaluate", "predict", "show", "networks", "datasets", "info", "demo"))
