"""How long heat maps of 64 pictures take, by method: `explain [--rounds N] [--networks NAME,...]`."""

from __future__ import annotations

import argparse
import time

import torch
from sheet import spread, write_sheet

from striate.insight.explain import METHODS, attribute, last_map
from striate.networks.catalog import network

NUM_PICTURES = 64
WANTED = {"grad_cam": 2.0}  # seconds


def main() -> None:
    """Time each method on each network, with fresh weights; what it costs does not depend on them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", default="cifar_notes,resnet20_cifar,resnet110_cifar")
    parser.add_argument("--methods", default=",".join(METHODS))
    arguments = parser.parse_args()
    table = [["network", "method", "seconds for 64 pictures", "wanted"]]
    for name in arguments.networks.split(","):
        torch.manual_seed(0)
        module = network(name, num_classes=10, in_channels=3, input_size=32).build()
        images, classes = torch.randn(NUM_PICTURES, 3, 32, 32), torch.arange(NUM_PICTURES) % 10
        layer = last_map(module, images[:1])
        for method in METHODS:
            if method not in arguments.methods.split(","):
                continue
            attribute(method, module, layer, images[:2], classes[:2])  # warm up
            times = []
            for _ in range(arguments.rounds):
                started = time.perf_counter()
                attribute(method, module, layer, images, classes)
                times.append(time.perf_counter() - started)
            table.append([name, method, spread(times), f"under {WANTED[method]:g}" if method in WANTED else "-"])
            print(f"{name} {method}: {spread(times)} s", flush=True)
    write_sheet("explain", "Heat maps", table, ["3 x 32 x 32 pictures in memory; reading and drawing are not counted"])


if __name__ == "__main__":
    main()
