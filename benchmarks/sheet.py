"""What the benchmarks share: the machine in words, spreads, and the sheet that each writes. Run by itself it prints the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

RESULTS = Path(__file__).parent / "results"


class Sheet(NamedTuple):
    """What a benchmark found: the arguments of `write_sheet`."""

    name: str
    title: str
    table: Sequence[Sequence[str]]  # the first row is the heading
    notes: Sequence[str] = ()


def machine() -> list[str]:
    """Processor, cores, versions and commit, one a line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
    flags = next((line for line in lines if line.startswith("flags")), "")
    extra = " with AVX512_BF16" if "avx512_bf16" in flags else ""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchvision", "numpy"))
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=RESULTS.parent
    ).stdout.strip()
    return [
        f"{processor}{extra}, {os.cpu_count()} cores",
        f"Python {platform.python_version()}, {versions}",
        f"commit {commit or 'unknown'}",
    ]


def spread(values: Sequence[float], form: str = ".3g") -> str:
    """Median, smallest and largest, and how many."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}}, n={len(values)})"


def write_sheet(name: str, title: str, table: Sequence[Sequence[str]], notes: Sequence[str] = (), *, folder: Path = RESULTS) -> None:
    """Print the table, and write it with machine, command and date to NAME.md in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    heading, *rows = table
    lines = [f"# {title}", "", "| " + " | ".join(heading) + " |", "|" + " --- |" * len(heading)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", *(f"- {note}" for note in notes), *(f"- {line}" for line in machine())]
    command = " ".join(["./scripts/bench", Path(sys.argv[0]).stem, *sys.argv[1:]])
    lines += [f"- `{command}`, {datetime.now(UTC):%Y-%m-%d}"]
    (folder / f"{name}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    print("\n".join(machine()))
