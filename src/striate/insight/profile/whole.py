"""A whole network timed over batch sizes, and the most memory that its tensors take."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from striate.core.modes import evaluation_mode, kept_buffers, kept_modes
from striate.insight.profile.clock import seconds_of, wait_for
from striate.insight.profile.latency import Latency

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def time_inference(module: nn.Module, images: Tensor, *, budget: float = 1.0) -> Latency:
    """The latency of `images` (N, C, H, W), in evaluation mode."""
    with evaluation_mode(module), torch.inference_mode():
        times = seconds_of(lambda: module(images), images.device, least=10, most=200, budget=budget)
    p50, p99 = np.percentile(times, (50, 99))
    return Latency(
        batch_size=len(images),
        num_runs=len(times),
        latency_ms_p50=1000 * float(p50),
        latency_ms_p99=1000 * float(p99),
        images_per_second=len(images) / float(p50),
    )


def time_training(module: nn.Module, images: Tensor, *, budget: float = 1.0) -> tuple[float, float]:
    """The median milliseconds of forward and backward of one batch in training mode.

    Buffers, modes, `.grad` and random numbers end as they came.
    """
    params = [param for param in module.parameters() if param.requires_grad]
    forwards: list[float] = []

    def step() -> None:
        start = time.perf_counter()
        output = module(images)
        wait_for(images.device)
        forwards.append(time.perf_counter() - start)
        _backward(output, params)

    with torch.random.fork_rng(), kept_modes(module), kept_buffers(module):
        module.train()
        both = seconds_of(step, images.device, least=5, most=50, budget=budget)
    forward = np.array(forwards[-len(both) :])
    return 1000 * float(np.median(forward)), 1000 * float(np.median(both - forward))


def _backward(output: Tensor, params: list[nn.Parameter]) -> None:
    if params:
        torch.autograd.grad(output.sum(), params, allow_unused=True)


def peak_memory(module: nn.Module, images: Tensor, *, training: bool) -> int:
    """The most bytes alive at once in tensors made while `images` go through, and for `training` their gradients too.

    The weights and the batch itself are not counted, nor what kernels take for themselves and give back.
    On CUDA it is what torch's allocator says, which rounds up and counts that too.
    """
    params = [param for param in module.parameters() if param.requires_grad]

    def work() -> None:
        if training:
            module.train()
            _backward(module(images), params)
        else:
            module.eval()
            with torch.inference_mode():
                module(images)

    with torch.random.fork_rng(), kept_modes(module), kept_buffers(module):
        return _peak_on_cuda(work, images.device) if images.device.type == "cuda" else _peak_of_storages(work)


def _peak_on_cuda(work: Callable[[], None], device: torch.device) -> int:
    wait_for(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    wait_for(device)
    return int(torch.cuda.max_memory_allocated(device) - before)


def _peak_of_storages(work: Callable[[], None]) -> int:
    ledger = Ledger()
    with ledger:
        work()
    return ledger.peak


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operations allocate, until each is freed."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch's compiler, which takes seconds to import, is not asked to leave this alone. Nothing is compiled here."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.alive, self.peak = 0, 0
        self.known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {x.untyped_storage().data_ptr() for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage not in self.known and storage.data_ptr() not in given:  # a view of what came in is no new one
                    self.known.add(storage)
                    self.alive += storage.nbytes()
                    weakref.finalize(storage, self._gone, storage.nbytes())
        self.peak = max(self.peak, self.alive)
        return result

    def _gone(self, size: int) -> None:
        self.alive -= size
