"""The set-up, where the checkout's .venv is a link."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="a script of bash")
@pytest.mark.parametrize("there", [True, False])
def test_an_environment_shared_by_a_link_is_left_as_it_is(tmp_path, there):
    """Another checkout made it: made again from here, it would first be emptied."""
    shared = tmp_path / "shared"
    (shared / "bin").mkdir(parents=True)
    if there:
        (shared / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts")
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    (tmp_path / ".venv").symlink_to(shared)

    done = subprocess.run([tmp_path / "scripts" / "setup"], capture_output=True, text=True, check=False)

    assert done.returncode == (0 if there else 4), done.stderr
    assert ("remove the link" in done.stderr) == (not there)
    assert sorted(path.name for path in shared.rglob("*")) == (["bin", "python"] if there else ["bin"])
