"""How long each network of the catalogue takes to describe: shapes, cost, receptive fields: `describe [--runs N] [NAME ...]`."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from sheet import spread, write_sheet

from striate.networks.catalog import CATALOG

MAX_LAYERS, WANTED_MS = 200, 20.0  # convolutions and linear layers; milliseconds for networks of up to so many
SHOWN = 10  # the slowest

# One network in a process of its own, so that nothing is remembered from another; prints layers with weights, rows, milliseconds.
CHILD = """
import sys, time
from striate.networks.catalog import network
started = time.perf_counter()
net = network(sys.argv[1])
asked = (net.output_shape, net.params, net.macs, net.flops, net.receptive_field, [row.view for row in net.rows])
milliseconds = 1000 * (time.perf_counter() - started)
weighted = [row for row in net.rows if row.cost.params and row.layer.role != "norm"]
print(len(weighted), len(net.rows), milliseconds)
"""


def describe(name: str) -> tuple[int, int, float]:
    """Layers with weights, rows of the table, and milliseconds of the first description in a new process."""
    printed = subprocess.run([sys.executable, "-c", CHILD, name], check=True, capture_output=True, text=True).stdout
    layers, rows, milliseconds = printed.split()
    return int(layers), int(rows), float(milliseconds)


def main() -> None:
    """Describe every network, and show the slowest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CATALOG))
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    table = []
    for name in arguments.names:
        found = [describe(name) for _ in range(arguments.runs)]
        times = [milliseconds for _, _, milliseconds in found]
        table.append((statistics.median(times), name, *found[0][:2], times))
    table.sort(reverse=True)
    small = [row for row in table if row[2] <= MAX_LAYERS]
    over = [row[1] for row in small if row[0] >= WANTED_MS]
    rows = [[name, str(layers), str(rows), spread(times, ".1f")] for _, name, layers, rows, times in table[:SHOWN]]
    verdict = (
        f"over {WANTED_MS:g} ms: {', '.join(over)}"
        if over
        else f"all under {WANTED_MS:g} ms, the slowest {small[0][1]}, {small[0][0]:.1f} ms"
    )
    write_sheet(
        "describe",
        f"Describing a network: the {SHOWN} slowest of {len(table)}",
        [["network", "layers with weights", "rows of the table", "ms, median (spread)"], *rows],
        [
            f"Networks of up to {MAX_LAYERS} layers with weights ({len(small)} of {len(table)}): {verdict}.",
            "Construction, shapes, parameters, MACs and receptive fields of all layers; the first in a new process, imports not counted.",
        ],
    )


if __name__ == "__main__":
    main()
