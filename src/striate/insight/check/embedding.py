"""Features of pictures by the trained network that is installed with Striate, for comparisons and for a classifier of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from striate.core.images import ImageSpec
from striate.models.builtin import MEAN, STD, WHEELS, builtin_tensors
from striate.models.features import features
from striate.networks.catalog import network
from striate.networks.modules.image import ImageModule

if TYPE_CHECKING:
    from striate.core.images import Fit

NETWORK = next(iter(WHEELS))
SIDES = (96, 224)  # pixels of the input, least and most
GROWTH = 3  # of small pictures: those of 32 pixels are shown at 96
STRIDE = 32


def side_for(typical: int) -> int:
    """The side of the input for pictures whose shorter side is `typical`."""
    return min(max(SIDES[0], STRIDE * -(-GROWTH * typical // STRIDE)), SIDES[1])


class Embedding:
    """The network, ready for pictures of `spec`."""

    def __init__(self, side: int, fit: Fit) -> None:
        self.spec = ImageSpec(height=side, width=side, channels=3, mean=MEAN, std=STD, fit=fit)
        described = network(NETWORK, input_size=side)
        built = described.build()
        built.load_state_dict(builtin_tensors(NETWORK))
        self.head = [row.path for row in described.rows if row.cost.params][-1]
        self.module = ImageModule(built, self.spec)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """(N, F) float32, of pictures (N, H, W, 3) uint8 that were fitted to `spec`."""
        return features(self.module, self.head, images).astype(np.float32)
