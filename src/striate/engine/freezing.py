"""Freezing parts of a network, and unfreezing them one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from striate.core.errors import UnknownNameError


def parts_named(model: nn.Module, path: str) -> list[tuple[str, nn.Module]]:
    """The parts of `model` at `path`, which may have `*`; a wrapper around the network need not be named.

    Raises:
        UnknownNameError: there is no such part; gives the nearest names.
    """
    found = [(name, part) for name, part in model.named_modules() if fnmatchcase(name, path) or fnmatchcase(name, f"*.{path}")]
    if not found:
        names = [name for name, _ in model.named_modules()]
        known = {each for name in names for each in (name, name.partition(".")[2]) if each}
        raise UnknownNameError("part of the network", path, known, f"Its parts are {', '.join(_outermost(model))}.")
    depth = min(name.count(".") for name, _ in found)
    return [(name, part) for name, part in found if name.count(".") == depth]


def _outermost(model: nn.Module) -> list[str]:
    """The names of the parts of `model`, without those of a wrapper around them."""
    names = [name for name, _ in model.named_children()]
    return _outermost(model.get_submodule(names[0])) or names if len(names) == 1 else names


class Freezer:
    """The parts that are frozen, in the order of `paths`.

    A frozen part gets no gradient, and its normalization keeps its running statistics. Every `every` epochs the last of those that are
    still frozen is unfrozen: unfreezing from the head down (Howard and Ruder, 2018, arXiv:1801.06146).
    """

    def __init__(self, model: nn.Module, paths: Sequence[str], every: int | None = None) -> None:
        self.parts = [[part for _, part in parts_named(model, path)] for path in paths]
        self.own = {param: param.requires_grad for group in self.parts for part in group for param in part.parameters()}
        self.every = every

    def begin(self, epoch: int) -> None:
        """Freeze the parts that are frozen in `epoch` (from 1), and unfreeze the rest."""
        kept = max(0, len(self.parts) - (epoch - 1) // self.every) if self.every else len(self.parts)
        for group in self.parts[kept:]:
            for part in group:
                part.train()
                for param in part.parameters():
                    param.requires_grad_(self.own[param])
        for group in self.parts[:kept]:
            for part in group:
                part.eval()
                part.requires_grad_(False)

    def close(self) -> None:
        """Restore each parameter's `requires_grad`; modes are the caller's."""
        for param, trained in self.own.items():
            param.requires_grad_(trained)
