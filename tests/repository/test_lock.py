"""The lock, and what no tracked file may hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
# Registry hosts and the paths of one machine, written so that this file does not hold them itself.
UNWANTED = re.compile(r"p[y]pi\.org|python[h]osted|npm[j]s\.|deb[.]debian|/wor[k]/|/far[m]/|/roo[t]/|/hom[e]/\w+/|/User[s]/\w+/")


def sections() -> list[str]:
    """What the lock holds to run, and what it holds beside that to test."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return re.split(r"^# (?:run|test): .*\n", text, flags=re.MULTILINE)[1:]


def locked(text: str | None = None) -> list[tuple[Requirement, list[str]]]:
    """Each pin of the lock, or of a section of it, with its hashes."""
    lines = (text or "".join(sections())).replace("\\\n", " ").splitlines()
    return [(Requirement(line.split(" --hash")[0]), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)) for line in lines]


def declared() -> list[Requirement]:
    """Everything that pyproject.toml asks for: to run, as an extra, or to develop."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"].values()
    groups = project["dependency-groups"].values()
    return [Requirement(line) for lines in (project["project"]["dependencies"], *extras, *groups) for line in lines]


def test_every_pin_is_one_version_with_hashes():
    for pin, hashes in locked():
        assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), pin
        assert hashes, f"{pin} has no hash"


def test_the_lock_holds_no_address():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")

    assert not re.search(r"://|--index-url|--find-links| @ ", text)


def test_the_lock_satisfies_what_the_project_asks_for():
    pins = locked()
    for wanted in declared():
        versions = [str(pin.specifier)[2:] for pin, _ in pins if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
        assert versions, f"{wanted} is not in requirements.lock; run scripts/lock"
        assert all(wanted.specifier.contains(version) for version in versions), f"{wanted} but the lock has {versions}; run scripts/lock"


def test_what_the_demo_needs_stands_first_and_nothing_else_does():
    """`scripts/setup run` reads the first section alone: what striate imports to run, and what builds it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    run, test = ({canonicalize_name(pin.name) for pin, _ in locked(section)} for section in sections())
    needed = {Requirement(line).name for line in (*project["project"]["dependencies"], *project["build-system"]["requires"])}

    assert needed <= run
    assert {"pytest", "mkdocs", "mlflow", "ray", "torchvision", "minisom"} <= test
    assert not run & test


@pytest.mark.row("000-1", "001-24")
def test_the_environment_declared_is_the_one_that_runs():
    """Current Python and PyTorch, and none of what the founding notes needed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {canonicalize_name(pin.name) for pin, _ in locked()}

    assert Requirement(f"python{project['requires-python']}").specifier.contains(sys.version.split()[0])
    assert "torch" in names
    assert not names & {"tensorflow", "jupyter"}


def test_no_tracked_file_names_a_registry_or_a_machine():
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("not a git checkout, so there is no list of tracked files")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = []
    for name in filter(None, listing.split("\0")):
        file = ROOT / name
        text = file.read_bytes().decode("utf-8", "ignore") if file.is_file() else ""
        found += [f"{name}: {match[0]}" for match in UNWANTED.finditer(text)]

    assert "pyproject.toml" in listing
    assert found == []


def test_every_script_says_what_it_does_and_can_be_run():
    scripts = [*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"]

    assert {script.name for script in scripts} >= {"setup", "demo", "test", "check", "bench", "lock", "rows", "run"}
    for script in scripts:
        first, second, *_ = script.read_text(encoding="utf-8").splitlines()
        assert first == "#!/usr/bin/env bash", script
        assert second.startswith("# "), script
        assert script.stat().st_mode & 0o111, f"{script} is not executable"
