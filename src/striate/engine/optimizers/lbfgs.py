"""L-BFGS: steps along the gradient, corrected by the curvature of the last steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from striate.core.errors import UsageError
from striate.engine.optimizers.base import Closure, Optimizer, ParamGroup, unfit

LISTS = ("old_dirs", "old_stps", "ro")  # as torch names what it remembers
TENSORS = ("d", "t", "H_diag", "prev_flat_grad", "prev_loss")
COUNTS = ("n_iter", "func_evals")


class LBFGS(Optimizer):
    """torch's, up to 20 times along the direction within each step, each time with the gradient computed anew on the same batch.

    The decay w^2 / 2 is part of loss and gradient. With `line_search` the length is found by strong Wolfe conditions and the learning
    rate is only where that begins.

    Source: Liu and Nocedal, 1989.

    Raises:
        UsageError: groups have rates of their own; the one direction is that of all parameters together.
    """

    needs_closure = True

    def __init__(self, groups: Iterable[ParamGroup], *, line_search: bool = True) -> None:
        super().__init__(groups)
        if any(group.rate != 1 for group in self.groups):
            raise UsageError("lbfgs has one learning rate for all parameters, got some for parts", "Leave out layer_rates and layer_decay.")
        from torch.optim import lbfgs

        self.ordered = [param for group in self.groups for param in group.params]
        search = "strong_wolfe" if line_search else None
        self.torchs = lbfgs.LBFGS(self.ordered, line_search_fn=search) if self.ordered else None
        self.sizes = sum(param.numel() for param in self.ordered)

    def step(self, learning_rate: float, closure: Closure | None = None) -> None:
        if closure is None:
            raise UsageError("lbfgs computes the gradient several times per step", "Pass the function that does so as `closure`.")

        def decayed_loss() -> float:
            loss = float(closure().detach())
            with torch.no_grad():
                for group in self.groups:
                    for param in group.params:
                        if param.grad is None:
                            continue
                        if group.weight_decay:
                            param.grad.add_(param, alpha=group.weight_decay)
                            loss += group.weight_decay / 2 * float(param.square().sum())
                        param.grad = param.grad.contiguous()  # torch sees all gradients as one line of numbers
            return loss

        if self.torchs is not None:
            self.torchs.param_groups[0]["lr"] = learning_rate
            self.torchs.step(decayed_loss)  # type: ignore[no-untyped-call]

    @property
    def remembered(self) -> dict[str, Any]:
        """The dict in which torch keeps the state."""
        kept: dict[str, Any] = self.torchs.state[self.ordered[0]] if self.torchs is not None else {}
        return kept

    def state(self) -> dict[str, Tensor]:
        """The state for a checkpoint: the directions are those of all parameters, one after the other."""
        kept = self.remembered
        if not kept.get("n_iter"):
            return {}
        state = {f"lbfgs.{name}": torch.tensor(kept[name]) for name in COUNTS}
        for name in TENSORS:
            value = kept[name]
            state[f"lbfgs.{name}"] = value if isinstance(value, Tensor) else torch.tensor(float(value), dtype=torch.float64)
        for name in LISTS:
            state |= {f"lbfgs.{name}.{index}": tensor for index, tensor in enumerate(kept[name])}
        return state

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        kept = self.remembered
        kept.clear()
        if not state:
            return
        known = {f"lbfgs.{name}" for name in (*TENSORS, *COUNTS)}
        length = max(sum(key.startswith(f"lbfgs.{name}.") for key in state) for name in LISTS)
        known |= {f"lbfgs.{name}.{index}" for name in LISTS for index in range(length)}
        for key in sorted(known ^ set(state)):
            raise unfit(f"{key} is missing" if key in known else f"{key} belongs to another optimizer")
        for key, tensor in state.items():
            shape = (self.sizes,) if key.split(".")[1] in ("old_dirs", "old_stps", "d", "prev_flat_grad") else ()
            if tuple(tensor.shape) != shape:
                raise unfit(f"{key} must have shape {shape}, got {tuple(tensor.shape)}")
        for name in COUNTS:
            kept[name] = int(state[f"lbfgs.{name}"])
        device = self.ordered[0].device
        for name in TENSORS:
            tensor = state[f"lbfgs.{name}"]
            kept[name] = float(tensor) if tensor.dtype == torch.float64 and not tensor.ndim else tensor.to(device, copy=True)
        for name in LISTS:
            kept[name] = [state[f"lbfgs.{name}.{index}"].to(device, copy=True) for index in range(length)]
