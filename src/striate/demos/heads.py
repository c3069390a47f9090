"""From the last maps to the classes: a dense head beside the global average and the global maximum.

Source: Lin, Chen and Yan, 2014, arXiv:1312.4400, section 3.2 (global average); Oquab et al., 2015 (global maximum).
"""

from __future__ import annotations

import numpy as np
import torch

from striate.demos.shown import Setting, Shown, Table
from striate.drawing.animation import demo_figure, numbers
from striate.drawing.style import png_bytes
from striate.networks.layers import Chain, Flatten, GlobalPool, Linear

MAPS, SIDE = (512, 7, 7), 4  # of VGG-16's last maps; of the small map that is drawn
CLASSES = 1000
MAP = np.array([[0, 0, 1, 0], [0, 3, 7, 2], [1, 8, 4, 1], [0, 2, 1, 0]], float)
HEADS = {
    "dense, 4096 hidden": Chain(flatten=Flatten(), hidden=Linear(4096), linear=Linear(CLASSES)),
    "dense": Chain(flatten=Flatten(), linear=Linear(CLASSES)),
    "global average": Chain(pool=GlobalPool("avg"), linear=Linear(CLASSES)),
    "global maximum": Chain(pool=GlobalPool("max"), linear=Linear(CLASSES)),
}


def show(setting: Setting) -> Shown:
    """The cost of each head on VGG-16's last maps, and its answer when the object moves."""
    return Shown(
        tables=(
            Table(
                title="On maps of 512 x 7 x 7, for 1,000 classes",
                heading=("head", "params", "takes other sizes", "change when the maps move by one place"),
                rows=tuple((name, head.cost(MAPS).params, other_sizes(name), moved(name, setting.seed)) for name, head in HEADS.items()),
            ),
        ),
        notes=(
            "A dense layer has a weight for each place of each map.",
            "The average and the maximum give one number a map, whatever its size: no weights, and no notice of a shift within it.",
        ),
        pictures={"heads.png": draw},
    )


def other_sizes(name: str) -> str:
    """True if the head has the same weights for maps of another size."""
    head = HEADS[name]
    return "yes" if head.cost(MAPS).params == head.cost((512, 9, 8)).params else "no"


def moved(name: str, seed: int) -> float:
    """|change of the outputs| / |outputs| when what is in the middle of the maps moves by a place; with random weights."""
    generator = torch.Generator().manual_seed(seed)
    shape = (16, *MAPS[1:])
    maps = torch.zeros(1, *shape, dtype=torch.float64)
    maps[..., 1:6, 1:6] = torch.rand(1, 16, 5, 5, generator=generator, dtype=torch.float64)
    narrow = Chain(**{part: Linear(64) if part == "hidden" else layer for part, layer in HEADS[name].children})
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        module = narrow.build(shape).double().eval()
        before, after = module(maps), module(maps.roll(1, 3))
    return float((after - before).norm() / before.norm())


def draw() -> bytes:
    """One map, and what each head passes on of it, as a PNG."""
    with demo_figure(11, 3.4) as figure:
        panels = figure.subplots(2, 4, width_ratios=(4, 16, 2, 2))
        moved_map = np.roll(MAP, 1, 1)
        for row, (name, values) in zip(panels, (("a map", MAP), ("the same, moved by one place", moved_map)), strict=True):
            numbers(row[0], values, title=name, largest=8, size=9)
            numbers(row[1], values.reshape(1, -1), title="dense: each place has a weight of its own", largest=8, size=9)
            numbers(row[2], np.array([[values.mean()]]), title="average", largest=8, size=9)
            numbers(row[3], np.array([[values.max()]]), title="maximum", largest=8, size=9)
        return png_bytes(figure)
