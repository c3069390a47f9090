"""The release script: the lines of changes/ become an entry of the changelog, a commit and a tag."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path):
    """A small repository with the script, a version and three changes."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "release", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n## 1.1.0 (2025-01-02)\n\n### Fixed\n\n- An older line.\n")
    (tmp_path / "changes").mkdir()
    for name, text in (("b.added", "A verb.\n"), ("a.fixed", "An error,\nin two lines.\n"), ("c.added", "A flag.\n")):
        (tmp_path / "changes" / f"{name}.md").write_text(text)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "Start")
    return tmp_path


def git(folder, *words):
    names = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false")
    return subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def release(folder, *words):
    names = {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **names}
    return subprocess.run(["bash", "scripts/release", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_release_moves_the_lines_of_changes_into_the_changelog(checkout):
    done = release(checkout, "1.2.0")

    assert done.returncode == 0, done.stderr
    lines = (checkout / "CHANGELOG.md").read_text().splitlines()
    assert lines[:1] == ["# Changes"]
    assert lines[2].startswith("## 1.2.0 (20")
    assert lines[3:12] == ["", "### Added", "", "- A verb.", "- A flag.", "", "### Fixed", "", "- An error,"]
    assert lines[12:16] == ["  in two lines.", "", "## 1.1.0 (2025-01-02)", ""]
    assert not list(checkout.glob("changes/*"))
    assert git(checkout, "tag", "--list").split() == ["v1.2.0"]
    assert git(checkout, "status", "--porcelain") == ""


def test_a_draft_changes_nothing(checkout):
    done = release(checkout, "1.2.0", "--draft")

    assert "- A verb." in done.stdout
    assert git(checkout, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("spoil", "version", "said"),
    [
        (lambda folder: None, "1.3.0", "pyproject.toml has version 1.2.0, not 1.3.0"),
        (lambda folder: (folder / "changes" / "d.new.md").write_text("x"), "1.2.0", "d.new.md: must end in"),
        (lambda folder: (folder / "loose").write_text("x"), "1.2.0", "uncommitted changes"),
        (lambda folder: (folder / "CHANGELOG.md").write_text("## 1.2.0 (2025-01-02)\n"), "1.2.0", "has 1.2.0 already"),
    ],
)
def test_what_cannot_be_released_is_refused(checkout, spoil, version, said):
    spoil(checkout)

    done = release(checkout, version)

    assert done.returncode == 2
    assert said in done.stderr
    assert git(checkout, "tag", "--list") == ""
