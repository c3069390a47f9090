"""The radial basis output of LeNet-5, and the pictures that are its codes."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

WIDTH, HEIGHT = 7, 12

# Ten digits, 7 places wide and 12 high: # is +1, . is -1.
DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...#...  ..###..  ..###..  ....##.  ######.  ..####.  ######.  ..###..  ..###..
.##.##.  ..##...  .##.##.  .##.##.  ...###.  #......  .##....  #....#.  .##.##.  .##.##.
##...##  .###...  ##...##  ##...##  ..##.#.  #......  ##.....  .....##  ##...##  ##...##
##...##  ...#...  .....##  .....##  .##..#.  #......  ##.....  ....##.  ##...##  ##...##
##...##  ...#...  ....##.  ...###.  ##...#.  #####..  #####..  ....##.  .#####.  ##..###
##...##  ...#...  ...##..  ....##.  #######  .....#.  ##..##.  ...##..  .#####.  .####.#
##...##  ...#...  ..##...  .....##  .....#.  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...#...  .##....  ##...##  .....#.  .....##  ##...##  ..##...  ##...##  .....##
.##.##.  ...#...  ##.....  .##.##.  .....#.  ##..##.  .##.##.  ..##...  .##.##.  ....##.
..###..  .#####.  #######  ..###..  .....#.  .####..  ..###..  ..##...  ..###..  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def digit_codes() -> Tensor:
    """The codes (10, 84) of the ten digits, row by row."""
    rows = [line.split() for line in DIGITS.split("\n") if line]  # 12 rows of 10 pieces
    return torch.tensor([[1.0 if place == "#" else -1.0 for row in rows for place in row[digit]] for digit in range(10)])


def drawn_codes(features: int, num_classes: int, seed: int) -> Tensor:
    """Codes (K, F) of +1 and -1 drawn from `seed`: the same on every machine."""
    generator = random.Random(seed)
    return torch.tensor([[generator.choice((1.0, -1.0)) for _ in range(features)] for _ in range(num_classes)])


class EuclideanRBFModule(nn.Module):
    """The squared distance of (N, F) to each of K fixed codes: (N, K), negative where `negate`."""

    codes: Tensor

    def __init__(self, features: int, num_classes: int, *, negate: bool, seed: int) -> None:
        super().__init__()
        pictures = features == WIDTH * HEIGHT and num_classes <= 10
        self.register_buffer("codes", digit_codes()[:num_classes] if pictures else drawn_codes(features, num_classes, seed))
        self.negate = negate

    def forward(self, x: Tensor) -> Tensor:
        distances = (x[:, None] - self.codes).square().sum(dim=2)  # (N, K)
        return -distances if self.negate else distances
