"""The cost of attacks: passes through the network, estimated before they begin and counted as they go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from striate.core.modes import evaluation_mode
from striate.insight.attack.corruptions import NAMES as CORRUPTIONS
from striate.insight.attack.inside import loss_gradient
from striate.insight.attack.moves import DIRECTIONS

if TYPE_CHECKING:
    from striate.workflows.attack import Attack, AttackRequest

ProgressCallback = Callable[[str, int, int], None]  # an attack, pictures that passed through the network for it, and how many do at most
DEEPFOOL_STEPS, CW_PASSES = 51, 6 * 200


class Passes(NamedTuple):
    """The most passes through the network that an attack makes with each picture."""

    forward: int  # alone
    back: int  # forward and backward

    @property
    def both(self) -> int:
        """Of either kind."""
        return self.forward + self.back


def passes_of(name: Attack, request: AttackRequest) -> Passes:
    """The most passes of an attack; fewer where pictures are fooled early, as those are not attacked again."""
    sizes = sum(eps > 0 for eps in request.eps_tried)
    return {
        "noise": Passes(sizes + 1, 0),
        "fgsm": Passes(sizes + 1, sizes),
        "pgd": Passes(sizes + 1, sizes * ((request.restarts + 1) * (request.steps + 1) + 1)),
        "deepfool": Passes(2, DEEPFOOL_STEPS),
        "cw": Passes(2, CW_PASSES),
        "rotation": Passes(len(request.degrees), 0),
        "shift": Passes(len(DIRECTIONS) * len(request.pixels), 0),
        "flip": Passes(4, 0),
        "corruptions": Passes(6 * len(CORRUPTIONS), 0),
    }[name]


def seconds_of(passes: Iterable[Passes], model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int) -> float:
    """The most seconds that attacks on images (N, C, H, W) take, from the second of two measurements of a batch."""
    some, classes = images[:batch_size], labels[:batch_size]
    with evaluation_mode(model):
        for _ in range(2):
            start = time.perf_counter()
            with torch.no_grad():
                model(some)
            forward = time.perf_counter() - start
            start = time.perf_counter()
            loss_gradient(model, some, classes)
            back = time.perf_counter() - start
    return len(images) / len(some) * sum(one.forward * forward + one.back * back for one in passes)


def time_in_words(seconds: float) -> str:
    """A rough time as text."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextlib.contextmanager
def counted(module: nn.Module, name: str, most: int, follow: ProgressCallback) -> Iterator[None]:
    """Context in which `follow` receives the number of pictures that passed through `module` for the attack of that name."""
    done = 0

    def count(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal done
        done += len(inputs[0])
        follow(name, min(done, most), most)

    handle = module.register_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()
