"""The README's table of speed, from the sheets of the benchmarks: `speed_table [--check]`.

Each cell is a median from a sheet; nothing is measured here. With --check nothing is written, and a table that differs exits with 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sheet import RESULTS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- speed: written by ./scripts/bench speed_table -->", "<!-- end of speed -->"
PEERS = {  # as the sheet of trainings has them, and their names; in this order
    "usual": "usual PyTorch loop",
    "tuned": "PyTorch tuned by hand",
    "tuned_bfloat16": "PyTorch tuned by hand, both in bfloat16",
    "timm": "timm",
    "lightning": "Lightning",
    "fastai": "fastai",
    "keras": "Keras on TensorFlow",
    "keras_bfloat16": "Keras on TensorFlow, both in bfloat16",
    "keras_jax": "Keras on JAX",
}
WAYS = ("torch", "ONNX Runtime", "OpenVINO")


def main() -> None:
    """Write the table into the README, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the table is not as the sheets have it")
    arguments = parser.parse_args()
    before = README.read_text(encoding="utf-8")
    after = with_table(before, speed_table(RESULTS))
    if arguments.check and before != after:
        sys.exit("README.md: the table of speed is not as benchmarks/results has it. Run ./scripts/bench speed_table.")
    if not arguments.check:
        README.write_text(after, encoding="utf-8")


def with_table(readme: str, table: str) -> str:
    """The text with the table between its marks.

    Raises:
        ValueError: the text has no such marks.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md has no place for the table of speed, between {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{table}{END}{tail}"


def speed_table(results: Path) -> str:
    """A row for each peer, in Markdown: how many times as fast Striate is, as it comes, and in float32 beside those in float32."""
    trainings = rows_of(results / "throughput_peers.md")
    answers = rows_of(results / "inference.md")
    networks = list(dict.fromkeys(row[0] for row in trainings))
    ratios: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)  # of a peer and a network
    for network, ours, _, peer, _, ratio, *_ in trainings:
        ratios[peer, network][ours] = middle(ratio)
    lines = [*heading(["training, times as fast as", *(f"`{name}`" for name in networks)])]
    for peer, words in PEERS.items():
        if any((peer, network) in ratios for network in networks):
            lines.append(line([words, *(cell(ratios.get((peer, network), {})) for network in networks)]))
    networks = list(dict.fromkeys(row[0] for row in answers))
    found = {(way, network): middle(of_batch) for network, way, _, of_batch, *_ in answers}
    lines += ["", *heading(["answers to 64 pictures, times as fast as", *(f"`{name}`" for name in networks)])]
    lines += [line([way, *(found.get((way, network), "") for network in networks)]) for way in WAYS]
    return "\n".join(["", *lines, ""]) + "\n"


def rows_of(sheet: Path) -> list[list[str]]:
    """The cells of a sheet's table, without its heading."""
    rows = [row for row in sheet.read_text(encoding="utf-8").splitlines() if row.startswith("| ")]
    return [[each.strip() for each in row[1:-1].split(" | ")] for row in rows[1:] if not row.startswith("| ---")]


def middle(spread: str) -> str:
    """The median of a spread, of two digits."""
    found = re.match(r"\**([\d.]+)", spread)
    if found is None:
        return ""
    median = float(found[1])
    return f"{median:.{2 if median < 1 else 1 if median < 10 else 0}f}"


def cell(ratios: dict[str, str]) -> str:
    """The ratio as Striate comes, and that in float32 where there is one."""
    as_it_comes, float32 = ratios.get("as it comes", ""), ratios.get("float32", "")
    return f"{as_it_comes} ({float32})" if float32 else as_it_comes


def heading(cells: Sequence[str]) -> list[str]:
    """The first two lines of a table."""
    return [line(cells), "|" + " --- |" * len(cells)]


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
