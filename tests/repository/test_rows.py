"""Rows and golden files: the hooks of tests/conftest.py, run on a small suite of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTEXTS = {"000": 22, "001": 25, "002": 23, "003": 59, "004": 21}


def run_suite(folder: Path, tests: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tests` with our conftest in a folder apart."""
    for name in ("conftest.py", "rows.toml"):
        shutil.copy(ROOT / "tests" / name, folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "test_small.py").write_text("import pytest\n" + tests, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, str(folder / "test_small.py")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_every_row_has_one_short_line():
    rows = tomllib.loads((ROOT / "tests" / "rows.toml").read_text(encoding="utf-8"))

    assert list(rows) == [f"{notes}-{number}" for notes, count in CONTEXTS.items() for number in range(1, count + 1)]
    assert all(re.fullmatch(r"[A-Z0-9].{8,124}[^.\s]", line) for line in rows.values())


def test_an_unknown_row_stops_the_run(tmp_path):
    result = run_suite(tmp_path, '@pytest.mark.row("004-99")\ndef test_it(): pass\n')

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "test_small.py::test_it: no row 004-99 in tests/rows.toml" in result.stderr


def test_rows_lists_the_tests_that_show_each_row_and_runs_none(tmp_path):
    tests = """
@pytest.mark.row("000-2", "004-16")
@pytest.mark.parametrize("size", [3, 5])
def test_gradient(size): raise SystemExit("a test ran")
"""
    result = run_suite(tmp_path, tests, "--rows", "-qq")

    assert result.returncode == 0, result.stdout
    assert re.search(r"^004-16 +Backward through a convolution.*\n +test_small.py::test_gradient\n004-17", result.stdout, re.MULTILINE)
    listed, missing = result.stdout.split("2 of 148 rows are shown by a test; 000-22 and 001-25 have nothing to show.\nNot yet:")
    assert "000-2 " in listed
    assert "000-2 " not in missing
    assert "000-3 " in missing
    assert "000-22 " not in missing and "001-25 " not in missing


def test_a_golden_file_is_compared_and_rewritten_when_asked(tmp_path):
    tests = 'def test_table(golden): golden("nets/small.txt", "conv 12\\n")\n'
    file = tmp_path / "golden" / "nets" / "small.txt"

    absent = run_suite(tmp_path, tests)
    run_suite(tmp_path, tests, "--update-golden")
    written = file.read_text(encoding="utf-8")
    equal = run_suite(tmp_path, tests)
    file.write_text("conv 11\n", encoding="utf-8")
    other = run_suite(tmp_path, tests)

    assert (absent.returncode, equal.returncode, other.returncode) == (1, 0, 1)
    assert written == "conv 12\n"
    assert "-conv 11" in other.stdout
    assert "+conv 12" in other.stdout
    assert "--update-golden" in other.stdout


def test_data_that_is_absent_skips_with_its_path(tmp_path):
    tests = '@pytest.mark.needs("MNIST/raw")\ndef test_it(data_dir): assert (data_dir / "MNIST").is_dir()\n'
    skipped = run_suite(tmp_path, tests, STRIATE_DATA=str(tmp_path))
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    passed = run_suite(tmp_path, tests, STRIATE_DATA=str(tmp_path))

    assert "1 skipped" in skipped.stdout
    assert str(tmp_path / "MNIST" / "raw") in skipped.stdout.replace("\n", "")
    assert "1 passed" in passed.stdout
