"""Several processes that train one network: each computes its part of every batch, and all make the same update.

`torchrun` starts the processes, on one machine or several, and says in the environment which is which. Gradients are summed here,
between the gradient and the update, and not by DistributedDataParallel: it weights each process alike, which is wrong where a batch
cannot be divided into equal parts, and it leaves NaN, too little memory and requests to stop to each process alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import secrets
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from striate.core.devices import choose_device
from striate.core.errors import DataError, EnvironmentFault, NumericError, RefusedFileError, StriateError, UsageError, is_out_of_memory
from striate.core.text import in_lines
from striate.engine.step import LossNotFiniteError

SECONDS = 120.0  # that a process waits for the others, unless STRIATE_PROCESS_TIMEOUT says otherwise
SECONDS_TO_ANSWER = 5.0  # after a failure, within which a process that lives says so
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux
ERRORS: dict[str, type[StriateError]] = {
    kind.kind: kind for kind in (UsageError, DataError, EnvironmentFault, NumericError, RefusedFileError)
}


class ProcessGroup:
    """The processes of one training. Each method that waits is called by all of them, in the same order.

    Args:
        rank: Which one this is, from 0.
        size: The number of processes.
        store: The store through which they exchange short texts.
        timeout: Seconds that one waits for the others.

    Raises (each method that waits):
        EnvironmentFault: a process has ended or does not answer; names it.
    """

    def __init__(self, rank: int, size: int, store: Store, timeout: float = SECONDS) -> None:
        self.rank, self.size, self.store, self.timeout = rank, size, store, timeout
        self._told = 0

    @property
    def is_first(self) -> bool:
        """True for the process that writes the files and reports to the user."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum `tensor` over the processes, in place; the same bits for each."""
        with self._waiting():
            distributed.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Return whether it is true for any of them."""
        return bool(self.sum(torch.tensor([float(flag)])).item())

    @torch.no_grad()
    def take_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Give each tensor the values that the first process has."""
        with self._waiting():
            for tensor in tensors:
                whole = tensor.contiguous()
                distributed.broadcast(whole, 0)
                if whole is not tensor:
                    tensor.copy_(whole)

    def from_first(self, make: Callable[[], str]) -> str:
        """The result of `make` in the first process, or its error, for all of them; the others do not call it."""
        self._told += 1
        key = f"first/{self._told}"
        if self.is_first:
            try:
                text = make()
            except StriateError as error:
                self.store.set(key, json.dumps({"kind": error.kind, "message": error.message, "remedy": error.remedy}))
                raise
            self.store.set(key, json.dumps({"text": text}))
            return text
        with self._waiting():
            told = json.loads(self.store.get(key))
        if "text" in told:
            return str(told["text"])
        raise ERRORS.get(told["kind"], UsageError)(told["message"], told["remedy"])

    def gathered(self, text: str) -> list[str]:
        """The text of each process."""
        self._told += 1
        self.store.set(f"all/{self._told}/{self.rank}", text)
        with self._waiting():
            return [self.store.get(f"all/{self._told}/{rank}").decode() for rank in range(self.size)]

    def check_same(self, facts: Mapping[str, Any]) -> None:
        """Continue only if `facts`, as JSON, are the same in each process.

        Raises:
            UsageError: they are not; names the fields and both values.
        """
        found = [json.loads(text) for text in self.gathered(json.dumps(facts, default=str))]
        first = found[0]
        lines = [
            f"  {name}: {first.get(name)!r} in process 0, {other.get(name)!r} in process {rank}"
            for rank, other in enumerate(found)
            for name in sorted({*first, *other})
            if first.get(name) != other.get(name)
        ]
        if lines:
            raise UsageError(in_lines(["the processes were not started alike:", *lines]), "Start each with the same command and data.")

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise self._lost(error) from error

    def _lost(self, error: RuntimeError) -> EnvironmentFault:
        """The error that names the processes that have ended or hang: those that do not report back within a few seconds."""
        silent = {rank for rank in range(self.size) if rank != self.rank}
        end = time.monotonic() + SECONDS_TO_ANSWER
        with contextlib.suppress(RuntimeError):  # who keeps the store may be the one who ended
            self.store.set(f"lives/{self.rank}", "")
            while silent and time.monotonic() < end:
                silent = {rank for rank in silent if not self.store.check([f"lives/{rank}"])}
                time.sleep(0.05)
        who = ", ".join(map(str, sorted(silent)))
        names = f"process {who} of {self.size} (from 0)" if silent else f"the connection of process {self.rank}"
        what = "has ended or does not answer" if silent else "was lost"
        first_line = str(error).strip().partition("\n")[0][:200]
        message = f"{names} {what}, within {self.timeout:g} s; process {self.rank} waited for it ({first_line})"
        return EnvironmentFault(message, "Look for the first error above; then continue with: striate train --resume RUN.")


@contextlib.contextmanager
def joined(device: str) -> Iterator[ProcessGroup | None]:
    """Context in which this process has joined the group of the environment (RANK, WORLD_SIZE, LOCAL_RANK); None if there is none.

    Tensors on a processor travel by gloo, those on GPUs by NCCL. Without MASTER_ADDR the processes meet on 127.0.0.1, and where all of
    them are on one machine, they listen there only. The process dies with the `torchrun` that started it, on Linux.

    Args:
        device: The device that the user chose: auto, cpu or cuda.

    Raises:
        UsageError: the environment is not understood, or `device` is one GPU for all.
        EnvironmentFault: the others do not come, the port is taken, or there are fewer GPUs than processes.
    """
    size = number_of("WORLD_SIZE", 1)
    if size < 2:
        yield None
        return
    rank, local_rank = number_of("RANK", None), number_of("LOCAL_RANK", 0)
    _claim_device(device, local_rank)
    _die_with_parent()
    address = os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    port = os.environ.setdefault("MASTER_PORT", "29500")
    if number_of("LOCAL_WORLD_SIZE", size if address == "127.0.0.1" else 1) == size and platform.system() == "Linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    timeout = _seconds()
    backend = "cpu:gloo,cuda:nccl" if choose_device(device).type == "cuda" else "gloo"
    try:
        shared, rank, size = next(rendezvous("env://", rank, size, timeout=timedelta(seconds=timeout)))
        store = store_of_this_start(shared, rank, size, timeout)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timedelta(seconds=timeout))
    except (RuntimeError, ValueError) as error:
        message = f"process {rank} of {size} cannot connect to the others at {address}:{port}: {str(error).partition(chr(10))[0]}"
        raise EnvironmentFault(message, "Start them with torchrun, and choose a free port with --master-port.") from error
    try:
        yield ProcessGroup(rank, size, PrefixStore("striate", store), timeout)
    finally:
        distributed.destroy_process_group()


def store_of_this_start(shared: Store, rank: int, size: int, timeout: float) -> Store:
    """A part of `shared` for the currently running processes only.

    The store of `torchrun` outlives a start again, and with it the addresses that dead processes have left there. So the first process
    draws a name for what follows and leaves it for whoever shows a call sign, until each of the others has thanked for it.

    Raises:
        RuntimeError: the others do not come within `timeout` seconds.
    """
    if rank != 0:
        call_sign = secrets.token_hex(8)
        shared.set(f"striate/call/{rank}", call_sign)
        name = shared.get(f"striate/name/{rank}/{call_sign}").decode()
        shared.set(f"striate/thanks/{name}/{rank}", "")
        return PrefixStore(name, shared)
    name = secrets.token_hex(8)
    others = list(range(1, size))
    end = time.monotonic() + timeout
    while others := [other for other in others if not shared.check([f"striate/thanks/{name}/{other}"])]:
        for other in others:
            if shared.check([f"striate/call/{other}"]):
                shared.set(f"striate/name/{other}/{shared.get(f'striate/call/{other}').decode()}", name)
        if time.monotonic() > end:
            raise RuntimeError(f"process {', '.join(map(str, others))} did not join within {timeout:g} s")
        time.sleep(0.01)
    return PrefixStore(name, shared)


def number_of(name: str, default: int | None) -> int:
    """The whole number that the environment variable `name` holds."""
    text = os.environ.get(name, "" if default is None else str(default))
    if not text.isdigit():
        raise UsageError(f"the environment variable {name} must be a whole number, got {text!r}", "Start the processes with torchrun.")
    return int(text)


def _seconds() -> float:
    text = os.environ.get("STRIATE_PROCESS_TIMEOUT", str(SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"STRIATE_PROCESS_TIMEOUT must be seconds above 0, got {text!r}", "For example 600.")
    return seconds


def _claim_device(device: str, local_rank: int) -> None:
    """Each process of a machine computes on its own GPU."""
    chosen = choose_device(device)
    if chosen.type == "mps":
        raise UsageError("`device='mps'`: has one GPU, which processes cannot share", "Use `device='cpu'`, or one process.")
    if chosen.type != "cuda":
        return
    if ":" in device:
        raise UsageError(f"`device={device!r}`: each process takes a GPU of its own", "Use `device='cuda'`.")
    if local_rank >= torch.cuda.device_count():
        message = f"process {local_rank} of this machine has no GPU of its own: the machine has {torch.cuda.device_count()}"
        raise EnvironmentFault(message, "Use as many processes as GPUs (--nproc-per-node), or `device='cpu'`.")
    torch.cuda.set_device(local_rank)


def _die_with_parent() -> None:
    """End when `torchrun` ends, however it ends; the last checkpoint stays."""
    if platform.system() == "Linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        ctypes.CDLL(None, use_errno=True).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


class SharedGradient:
    """Computes the gradient of a whole batch, of which each process has a part.

    In the sum over the processes each picture weighs the same, as if one process computed the batch in parts. NaN and too little
    memory in one process are such in all. With `each_has_some`, no process may be without pictures.
    """

    def __init__(self, group: ProcessGroup, model: nn.Module, *, each_has_some: bool = False) -> None:
        self.group, self.model, self.each_has_some = group, model, each_has_some

    def __call__(self, compute: Callable[[float], tuple[Tensor, Tensor]], size: int) -> tuple[Tensor, Tensor, int]:
        """Mean loss, hits and number of pictures of the whole batch, whose gradient the parameters have now.

        Args:
            compute: Adds the gradient of the part's mean loss times its argument; gives that loss, scaled too, and the hits.
            size: Pictures of this process's part.

        Raises:
            LossNotFiniteError: a process's loss is NaN or Inf.
            MemoryError: a process has too little memory.
            UsageError: batch norms look at the whole batch, and a process has none of it.
        """
        if self.each_has_some and self.group.any(size == 0):
            message = f"sync_norm: a batch is too small for {self.group.size} processes, which need 2 pictures each"
            raise UsageError(message, "Choose a `batch_size` that leaves no small last batch, or fewer processes.")
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        device = weights[0].device
        sums = torch.zeros(2, device=device, dtype=torch.float64)  # loss, hits
        not_finite = no_memory = False
        if size:
            try:
                sums += torch.stack([value.double() for value in compute(float(size))])
            except LossNotFiniteError:
                not_finite = True
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                no_memory = True
        has_gradient = [float(weight.grad is not None) for weight in weights]
        said = self.group.sum(torch.tensor([size, not_finite, no_memory, *has_gradient], dtype=torch.float64)).tolist()
        if said[2]:
            raise MemoryError("out of memory in one of the processes")
        if said[1]:
            raise LossNotFiniteError
        number = int(said[0])
        self._sum_gradients([weight for weight, having in zip(weights, said[3:], strict=True) if having], number)
        loss, hits = self.group.sum(sums)
        return loss / number, hits, number

    @torch.no_grad()
    def _sum_gradients(self, weights: Sequence[nn.Parameter], number: int) -> None:
        """Sum the gradients over the processes, all of one dtype at once, and divide them by the number of pictures."""
        for dtype in dict.fromkeys(weight.dtype for weight in weights):
            alike = [weight for weight in weights if weight.dtype == dtype]
            gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in alike]
            together = self.group.sum(torch.cat([gradient.reshape(-1) for gradient in gradients])).div_(number)
            pieces = torch.split(together, [gradient.numel() for gradient in gradients])
            for weight, gradient, piece in zip(alike, gradients, pieces, strict=True):
                weight.grad = gradient.copy_(piece.view(gradient.shape))
