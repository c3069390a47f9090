"""A network in its fastest form for answers, while nobody else has its module in hand."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.errors import EnvironmentFault, RefusedFileError

if TYPE_CHECKING:
    from torch import nn

CLOSE = 1e-4  # of the largest output: the difference to torch that is left to the order of sums


class Forms:
    """The answers of a module that does not change: by ONNX Runtime, where it is installed and knows the network, or by torch.

    Each form is made when it is first asked for. Models that share a module share this too: whoever takes the module may change it, train
    it or hook into it, so that from then on there is no other form than the module itself.
    """

    def __init__(self, module: nn.Module, *, described: bool) -> None:
        self.module = module
        self.is_whole = not described  # nothing is made of it: the module of a user may keep state
        self.tried = False
        self.made: Any = None  # the session
        self.folded: nn.Module | None = None

    def given_away(self) -> nn.Module:
        """The module, for whatever the caller does with it."""
        self.is_whole, self.made, self.folded = True, None, None
        return self.module

    def session(self, shape: tuple[int, ...]) -> Any | None:
        """An ONNX Runtime session that answers pictures (N, *shape) uint8, each with the same bits alone and in company; or None."""
        if not self.is_whole and not self.tried:
            self.made, self.tried = _session(self.module, shape), True
        return self.made

    def evaluated(self) -> nn.Module:
        """The module to answer with: a copy whose batch normalizations are folded into their convolutions, while there may be one."""
        if self.is_whole:
            return self.module
        if self.folded is None:
            from striate.models.features import folded

            self.folded = folded(self.module)  # type: ignore[arg-type]
        return self.folded

    def __getstate__(self) -> dict[str, Any]:
        """A session is neither copied nor written down: it is made again."""
        return self.__dict__ | {"made": None, "tried": False, "folded": None}


def _session(module: nn.Module, shape: tuple[int, ...]) -> Any | None:
    """The session, once it has shown that its answers are the module's, and do not depend on company."""
    with contextlib.suppress(ImportError, EnvironmentFault, RefusedFileError):
        from striate.models.graph import graph_of
        from striate.models.runtimes import session_of

        graph = graph_of(module, shape)
        session = None if graph is None else session_of(Path("network"), *graph)
        if session is not None and _is_true(session, module, shape):
            return session
    return None


def _is_true(session: Any, module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Return whether a session answers as the module does, and a picture alone as in company."""
    import torch

    images = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    with torch.inference_mode():
        expected = module(torch.from_numpy(images)).numpy()
    both, alone = (answered(session, given) for given in (images, images[1:]))
    return bool(np.array_equal(both[1:], alone) and np.abs(both - expected).max() <= CLOSE * np.abs(expected).max())


def answered(session: Any, images: np.ndarray) -> np.ndarray:
    """The logits (N, K) float32 of uint8 pictures (N, H, W, C)."""
    (logits,) = session.run(None, {"images": np.ascontiguousarray(images)})
    found: np.ndarray = logits
    return found
