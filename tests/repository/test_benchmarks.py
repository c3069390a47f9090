"""The table of speed is the sheets', and what the sheet of trainings is calculated from."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch):
    """A benchmark's module by its name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def test_the_readme_has_the_speed_that_the_sheets_have(benchmark):
    table = benchmark("speed_table")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert table.with_table(readme, table.speed_table(table.RESULTS)) == readme, "run ./scripts/bench speed_table"


def test_a_stale_table_of_speed_is_told_and_written_anew(benchmark, monkeypatch, tmp_path, capsys):
    table = benchmark("speed_table")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\n| old |\n{table.END}\nafter\n")
    monkeypatch.setattr(table, "README", readme)

    monkeypatch.setattr(sys, "argv", ["speed_table", "--check"])
    with pytest.raises(SystemExit, match=r"not as benchmarks/results has it. Run ./scripts/bench speed_table"):
        table.main()
    monkeypatch.setattr(sys, "argv", ["speed_table"])
    table.main()

    text = readme.read_text()
    assert "| old |" not in text and "Keras on TensorFlow" in text
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    with pytest.raises(ValueError, match="no place for the table of speed"):
        table.with_table("no marks", "")


def test_a_cell_is_the_median_as_it_comes_and_in_float32(benchmark, tmp_path):
    head = "| network | Striate | img/s | beside | img/s | ratio | wanted |\n| --- | --- | --- | --- | --- | --- | --- |\n"
    rows = (
        "| net | float32 | 1 | usual | 1 | **1.26** (1.00 to 2.00) |  |\n| net | as it comes | 1 | usual | 1 | **12.6** (9 to 20) | 5 |\n"
    )
    (tmp_path / "throughput_peers.md").write_text(f"# Title\n\n{head}{rows}")
    answers = "| net | Striate | 9 |  | 1 |  |\n| net | OpenVINO | 10 | 0.93 (0.92 to 1.01, n=3) times as fast | 1 |  |\n"
    (tmp_path / "inference.md").write_text(f"| network | way | a | b | c | d |\n| --- |\n{answers}")

    table = benchmark("speed_table").speed_table(tmp_path)

    assert "| usual PyTorch loop | 13 (1.3) |\n" in table
    assert "| OpenVINO | 0.93 |\n" in table


@pytest.mark.parametrize("name", ["mnist_notes", "resnet20_cifar"])
def test_the_work_of_a_training_is_what_torch_counts(benchmark, name):
    """Forward and backward, where the pictures need no gradient."""
    net = benchmark("throughput").network_of(name)
    with FlopCounterMode(display=False) as counter:
        net.build()(torch.zeros(2, *net.input_shape)).sum().backward()

    assert 2 * benchmark("throughput").training_flops(name) == counter.get_total_flops()


def test_ratios_are_of_a_round_and_the_best_peer_has_the_goal(benchmark):
    throughput = benchmark("throughput")
    speeds = {"striate float32": (20, 40, 90), "striate as it comes": (40, 80, 90), "usual": (10, 10, 30), "keras": (16, 20, 30)}
    found = {loop: [throughput.Measured(speed, 1.0, 1.0) for speed in values] for loop, values in speeds.items()}
    peaks = {"float32": 400 * throughput.training_flops("cifar_notes"), "bfloat16": 0.0}

    rows = {(row[3], row[1]): row[5:] for row in throughput.rows_of("cifar_notes", found, peaks)}

    assert rows["usual", "float32"] == ["**3.00** (2.00 to 4.00)", "", "10%, 2%"]
    assert rows["usual", "as it comes"][:2] == ["**4.00** (3.00 to 8.00)", "5"]
    assert rows["keras", "float32"][0] == "**2.00** (1.25 to 3.00)"
    assert rows["keras", "float32"][1].endswith(", the best in float32")
    assert rows["keras", "as it comes"][1] == ""


def test_the_time_to_an_accuracy_is_of_the_first_epoch_that_has_it(benchmark):
    timed = benchmark("time_to_accuracy")
    curves = {
        "Striate": [[timed.Point(4, 0.90), timed.Point(6, 0.95), timed.Point(8, 0.94)], [timed.Point(5, 0.91), timed.Point(9, 0.93)]],
        "other": [[timed.Point(50, 0.80)], [timed.Point(70, 0.84)]],
    }

    _, ours, other = timed.sheet_of("cifar10", curves).table

    assert ours == ["Striate", "0.9350 (0.9300 to 0.9400, n=2)", "8.5", "4.5", "6.0, 1 of 2 seeds"]
    assert other == ["other", "0.8200 (0.8000 to 0.8400, n=2)", "60.0", "not reached", "not reached"]
    assert timed.curves_picture(curves, (0.9, 0.94), title="cifar10").startswith(b"\x89PNG")


def test_a_row_that_is_half_written_waits(benchmark, tmp_path):
    rows_of = benchmark("time_to_accuracy").rows_of
    file = tmp_path / "metrics.csv"

    assert rows_of(file) == []
    file.write_text("epoch,val_accuracy\n1,0.5\n2,0.6")
    assert rows_of(file) == [{"epoch": "1", "val_accuracy": "0.5"}]
