"""The base of all optimizers: parameter groups, their state, and its export to a checkpoint and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from striate.core.errors import RefusedFileError

Closure = Callable[[], Tensor]  # computes the gradient anew; gives the loss, ()


class ParamGroup(NamedTuple):
    """Parameters that share their weight decay and learning rate."""

    name: str
    params: list[nn.Parameter]
    weight_decay: float
    rate: float = 1.0  # factor of the learning rate
    names: tuple[str, ...] = ()  # of the parameters, as the model has them; needed for a checkpoint that outlives the model


class Memory(dict[nn.Parameter, Tensor]):
    """One tensor for each parameter, zero at first."""

    def __missing__(self, param: nn.Parameter) -> Tensor:
        self[param] = torch.zeros_like(param)
        return self[param]

    def of(self, params: list[nn.Parameter]) -> list[Tensor]:
        """The tensors of `params`."""
        return [self[param] for param in params]

    def saved(self, param: nn.Parameter) -> Tensor:
        """The tensors for a checkpoint; not copies."""
        return self[param]

    def put(self, param: nn.Parameter, tensor: Tensor) -> None:
        """Restore the value from a checkpoint."""
        self[param] = torch.empty_like(param).copy_(tensor)  # laid out in memory as the parameter is

    def wanted(self, param: nn.Parameter) -> tuple[tuple[int, ...], torch.dtype]:
        """Shape and dtype of the checkpointed tensor."""
        return tuple(param.shape), param.dtype


class Numbers(dict[nn.Parameter, float]):
    """One number for each parameter: whole ones are saved as int64, others as float64."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.start, self.dtype = start, torch.int64 if isinstance(start, int) else torch.float64

    def __missing__(self, param: nn.Parameter) -> float:
        return self.start

    def saved(self, param: nn.Parameter) -> Tensor:
        """The tensor for a checkpoint, ()."""
        return torch.tensor(self[param], dtype=self.dtype)

    def put(self, param: nn.Parameter, tensor: Tensor) -> None:
        """Restore the value from a checkpoint."""
        self[param] = tensor.item()

    def wanted(self, param: nn.Parameter) -> tuple[tuple[int, ...], torch.dtype]:
        """Shape and dtype of the checkpointed tensor."""
        return (), self.dtype


class Optimizer:
    """Groups of parameters, each of one dtype on one device, as CUDA's kernels need it.

    A parameter without a gradient stands still, and so does what is remembered of it.
    """

    needs_closure = False  # whether `step` computes the gradient itself, by calling a function

    def __init__(self, groups: Iterable[ParamGroup]) -> None:
        self.groups = [part for group in groups for part in _by_dtype(group)]
        self.slots: dict[str, Memory | Numbers] = {}
        self.params: dict[str, nn.Parameter] = {}
        for group in self.groups:
            names = group.names or [f"{group.name}.{len(self.params) + index}" for index in range(len(group.params))]
            self.params |= zip(names, group.params, strict=True)

    def memory(self, slot: str) -> Memory:
        """A tensor for each parameter, which checkpoints keep as `slot`."""
        self.slots[slot] = memory = Memory()
        return memory

    def numbers(self, slot: str, start: float = 0) -> Numbers:
        """A number for each parameter, which checkpoints keep as `slot`."""
        self.slots[slot] = numbers = Numbers(start)
        return numbers

    def slots_of(self, param: nn.Parameter) -> list[str]:
        """The slots of a parameter that was updated."""
        return list(self.slots)

    def zero_grad(self) -> None:
        """Clear the gradients."""
        for group in self.groups:
            for param in group.params:
                param.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float, closure: Closure | None = None) -> None:
        """Update each parameter that has a gradient.

        Args:
            learning_rate: Of this step; a group's own is this times its `rate`.
            closure: Only for an optimizer that `needs_closure`.
        """
        for group in self.groups:
            params = [param for param in group.params if param.grad is not None]
            if params:
                self.update(params, [_gradient(param) for param in params], learning_rate * group.rate, group.weight_decay)

    def update(self, params: list[nn.Parameter], grads: list[Tensor], learning_rate: float, weight_decay: float) -> None:
        """One step of one group."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """The state for a checkpoint: "<parameter>.<slot>" -> tensor. Not copies; nothing for parameters never updated."""
        return {
            f"{name}.{slot}": memory.saved(param)
            for name, param in self.params.items()
            for slot, memory in self.slots.items()
            if param in memory
        }

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state from `state`, exactly. The previous state is discarded.

        Raises:
            RefusedFileError: it is that of another optimizer or another model; names the first tensor that does not fit.
        """
        taken: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for key, tensor in state.items():
            name, _, slot = key.rpartition(".")
            if name not in self.params or slot not in self.slots_of(self.params[name]):
                raise unfit(f"{key} belongs to no parameter of this model, or to another optimizer")
            shape, dtype = self.slots[slot].wanted(self.params[name])
            if tuple(tensor.shape) != shape or tensor.dtype != dtype:
                raise unfit(f"{key} must be {dtype} of shape {shape}, got {tensor.dtype} of shape {tuple(tensor.shape)}")
            taken[name][slot] = tensor
        for name, slots in taken.items():
            missing = [slot for slot in self.slots_of(self.params[name]) if slot not in slots]
            if missing:
                raise unfit(f"{name}.{missing[0]} is missing")
        for memory in self.slots.values():
            memory.clear()
        for name, slots in taken.items():
            for slot, tensor in slots.items():
                self.slots[slot].put(self.params[name], tensor)


def unfit(what: str) -> RefusedFileError:
    """The error for a state that does not fit."""
    return RefusedFileError(f"state of the optimizer: {what}", "Continue with the network and the settings that it was saved with.")


def _by_dtype(group: ParamGroup) -> list[ParamGroup]:
    parts: dict[tuple[torch.dtype, torch.device], list[int]] = defaultdict(list)
    for index, param in enumerate(group.params):
        parts[param.dtype, param.device].append(index)
    return [
        group._replace(params=[group.params[index] for index in part], names=tuple(group.names[index] for index in part if group.names))
        for part in parts.values()
    ]


def _gradient(param: nn.Parameter) -> Tensor:
    """The gradient laid out in memory as its parameter is: the kernels go through both as through one line of numbers."""
    grad = param.grad
    if grad is None or grad.stride() != param.stride():
        grad = torch.empty_like(param).copy_(torch.zeros_like(param) if grad is None else grad)
    return grad


def decayed(params: list[nn.Parameter], grads: list[Tensor], weight_decay: float) -> list[Tensor]:
    """g + decay w: decay as an L2 term of half its square."""
    return list(torch._foreach_add(grads, list(params), alpha=weight_decay)) if weight_decay else grads
