"""The parts of a batch computed side by side on a CPU: a thread for each, instead of threads that share each operation.

Threads that share an operation meet at its end, a hundred times in an update. That costs a third of a quiet machine's speed, and more than
half where another program takes a core away now and then. Here they meet where a batch is normalized, and at the end.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.core.seeds import mixed
from striate.engine.accelerate import pool_before_activation
from striate.engine.fused import FusedNorm, GivenUpError, Seat, Team, can_fuse, fused_layers
from striate.engine.native import kernels

MOST_THREADS = 8  # more would wait for each other in Python
FEWEST_SAMPLES = 8  # of a part

Part = TypeVar("Part")
Result = TypeVar("Result")


class SideBySide:
    """Replicas of a model, which share its weights and buffers, and a thread for each.

    Batch norms normalize over the whole batch, and gradients are summed in the order of the parts: the same number of threads gives the
    same bits, and another number the same but for the last digits. Modules with an attribute `generator` draw from it, where it is not
    None; no other may draw random numbers, and none may combine samples of a batch.

    Args:
        model: The model; its parameters get the gradients.
        count: The number of threads, the caller's among them.
    """

    def __init__(self, model: nn.Module, count: int) -> None:
        self.model, self.count = model, count
        self.replicas = [replica_of(model) for _ in range(count - 1)]
        self.channels = max((norm.num_features for norm in model.modules() if isinstance(norm, _BatchNorm)), default=1)
        self.norms: list[list[FusedNorm]] = []  # of the model and its replicas, while `prepared`
        self.threads: ThreadPoolExecutor | None = None

    @contextlib.contextmanager
    def prepared(self, of_model: Sequence[Any]) -> Iterator[None]:
        """Context in which parts can be computed; `of_model` are the fused layers of the model itself."""
        with (
            contextlib.ExitStack() as stack,
            ThreadPoolExecutor(self.count - 1, initializer=torch.set_num_threads, initargs=(1,)) as self.threads,
        ):
            for replica in self.replicas:
                stack.enter_context(pool_before_activation(replica))
            fused = [of_model, *(stack.enter_context(fused_layers(replica)) for replica in self.replicas)]
            self.norms = [[each for each in layers if isinstance(each, FusedNorm)] for layers in fused]
            yield
        self.threads = None

    def each(self, parts: Sequence[Part], compute: Callable[[nn.Module, Part], Result]) -> list[Result]:
        """The results for each of `count` parts, each by a model and a thread of its own; the model's gradients are the sum of all.

        Raises:
            Exception: that of the first part which could not be computed.
        """
        if self.threads is None:
            raise RuntimeError("parts are computed while `prepared` only")
        self._follow()
        team = Team(self.count, self.channels)
        before, seed = torch.get_num_threads(), torch.initial_seed()
        torch.set_num_threads(1)
        try:
            others = [self.threads.submit(self._one, rank, team, parts[rank], compute, seed) for rank in range(1, self.count)]
            found = [self._one(0, team, parts[0], compute, seed), *(other.result() for other in others)]
        finally:
            torch.set_num_threads(before)
            for norm in self.norms[0]:
                norm.seat = Seat()
        failures = [each for each in found if isinstance(each, BaseException)]
        if failures:
            self._forget()
            raise next((each for each in failures if not isinstance(each, GivenUpError)), failures[0])
        self._add_up()
        return found  # type: ignore[return-value]  # no exception is left

    def _one(self, rank: int, team: Team, part: Part, compute: Callable[[nn.Module, Part], Result], seed: int) -> Result | BaseException:
        """The result of a part, or the exception; the others are told that nobody will meet them any more."""
        seat, model = Seat(team, rank), self.replicas[rank - 1] if rank else self.model
        for norm in self.norms[rank]:
            norm.seat = seat
        if rank:
            for module in model.modules():
                if hasattr(module, "generator"):
                    vars(module)["generator"] = torch.Generator().manual_seed(mixed(seed, rank))
        try:
            return compute(model, part)
        except BaseException as error:  # noqa: BLE001  # raised by the caller
            return error
        finally:
            team.give_up()

    def _follow(self) -> None:
        """Let the replicas be as the model is now: its weights, what of it is trained, and its modes."""
        for replica in self.replicas:
            for own, weight in zip(replica.parameters(), self.model.parameters(), strict=True):
                own.data = weight.data
                own.requires_grad_(weight.requires_grad)
            for part, original in zip(replica.modules(), self.model.modules(), strict=True):
                part.training = original.training

    def _add_up(self) -> None:
        """Add the replicas' gradients to the model's."""
        for replica in self.replicas:
            for own, weight in zip(replica.parameters(), self.model.parameters(), strict=True):
                if own.grad is not None:
                    weight.grad = own.grad if weight.grad is None else weight.grad.add_(own.grad)
        self._forget()

    def _forget(self) -> None:
        """Let the replicas' gradients go."""
        for replica in self.replicas:
            for own in replica.parameters():
                own.grad = None


def replica_of(model: nn.Module) -> nn.Module:
    """A copy with the model's own weights and buffers; gradients of the weights are its own."""
    known: dict[int, Any] = {id(weight): nn.Parameter(weight.data, weight.requires_grad) for weight in model.parameters()}
    known |= {id(buffer): buffer for buffer in model.buffers()}
    return copy.deepcopy(model, known)


def is_worth_dividing(batch_size: int, threads: int) -> bool:
    """Return whether threads that have a part each are faster than threads that share each operation."""
    return 1 < threads <= MOST_THREADS and batch_size >= FEWEST_SAMPLES * threads


def can_be_divided(model: nn.Module) -> bool:
    """Return whether the batch norms of a model can normalize over the parts of a batch."""
    return kernels() is not None and all(can_fuse(part) for part in model.modules() if isinstance(part, _BatchNorm))
