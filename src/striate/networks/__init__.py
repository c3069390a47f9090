"""Networks as data: the vocabulary of layers, the tree, the families, the catalogue.

The room is also a function: `striate.networks()` lists the catalogue, as the verb of the same name does.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from striate.networks.catalog import Catalogue


class _Room(ModuleType):
    """This module, callable."""

    def __call__(self, pattern: str = "*") -> Catalogue:
        from striate.networks.catalog import networks

        return networks(pattern)


sys.modules[__name__].__class__ = _Room
