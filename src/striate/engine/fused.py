"""Pooling and batch normalization on a CPU together with the ReLU that follows them, by kernels of our own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules import module as hooks_of_all

from striate.engine.accelerate import followed_alone
from striate.engine.native import kernels

TYPES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
LAST = torch.channels_last


@contextlib.contextmanager
def fused_layers(model: nn.Module) -> Iterator[list[Fused]]:
    """Context in which a layer and the ReLU that alone takes its output are computed at once on a CPU; yields these.

    They are batch norms, also those without a ReLU, max poolings of 2 x 2, and sums, which are rectified in place. Modules, hooks and state
    dicts stay as they are. Where a hook wants to see what is between the two, they are computed one after the other, to the same bits.
    Other inputs than maps channels last in float32 or bfloat16 on a CPU, and evaluation, go the usual way.
    """
    parts, followers = (model.modules(), followed_alone(model)) if kernels() is not None else ((), {})
    fused = [each for part in parts if (each := _fused_with(part, followers.get(part))) is not None]
    with contextlib.ExitStack() as stack:
        for each in fused:
            stack.callback(each.part.__dict__.pop, "forward")
            each.part.__dict__["forward"] = each.forward
            if each.relu is not None:
                stack.callback(each.relu.__dict__.pop, "forward")
                each.relu.__dict__["forward"] = each.rest
        yield fused


def _fused_with(part: nn.Module, follower: nn.Module | None) -> Fused | None:
    """`part` and what follows it as one, if there is a way."""
    relu = follower if type(follower) is nn.ReLU else None
    if "forward" in part.__dict__:
        return None  # somebody else's
    if type(part) is nn.BatchNorm2d:
        return FusedNorm(part, relu)
    if relu is not None and type(part) is nn.MaxPool2d and _is_two_by_two(part):
        return _Pool(part, relu)
    if relu is not None and getattr(part, "merge_by", None) == "sum":
        return _Sum(part, relu)
    return None


def _is_two_by_two(pool: nn.MaxPool2d) -> bool:
    extents = [(extent, extent) if isinstance(extent, int) else tuple(extent) for extent in (pool.kernel_size, pool.stride, pool.padding)]
    return extents == [(2, 2), (2, 2), (0, 0)] and pool.dilation in (1, (1, 1)) and not (pool.ceil_mode or pool.return_indices)


class Team:
    """Threads that have a part of a batch each, and normalize over all parts."""

    def __init__(self, size: int, channels: int) -> None:
        self.library = cast("Any", kernels())
        self.address = self.library.team_new(size, channels)

    def give_up(self) -> None:
        """Let those that wait for the others go on, with an error."""
        self.library.team_give_up(self.address)

    def __del__(self) -> None:
        self.library.team_free(self.address)


class GivenUpError(RuntimeError):
    """Another thread of the team failed, or did not normalize where this one did."""


class Seat:
    """The place of a thread in a team, or alone; it counts the meetings."""

    def __init__(self, team: Team | None = None, rank: int = 0) -> None:
        self.team, self.rank, self.meetings = team, rank, 0

    def next_meeting(self) -> tuple[int | None, int, int]:
        """Team, rank and number of the next meeting, as the kernels take them."""
        self.meetings += 1
        return (self.team.address if self.team is not None else None), self.rank, self.meetings


class Fused:
    """A layer, a sum or a pooling, and the ReLU that alone takes its output."""

    def __init__(self, part: Any, relu: nn.ReLU | None) -> None:
        self.part, self.relu = part, relu
        self.is_rectified = False  # the output that the ReLU will get

    def forward(self, x: Tensor) -> Tensor:
        """The output of the part, rectified where `is_rectified`."""
        usual: Tensor = type(self.part).forward(self.part, x)
        return usual

    def takes(self, x: Tensor) -> bool:
        """Return whether the kernels compute `x`."""
        return x.device.type == "cpu" and x.dtype in TYPES and x.ndim == 4 and x.numel() > 0 and x.is_contiguous(memory_format=LAST)

    def is_seen_between(self) -> bool:
        """Return whether a hook sees the output before it is rectified, or its gradient."""
        inner: list[nn.Module] = [self.part] if self.relu is None else [self.part, self.relu]
        of_parts = [part.__dict__[f"_{name}_hooks"] for part in inner for name in ("forward", "backward", "backward_pre")]
        before = [] if self.relu is None else [self.relu.__dict__["_forward_pre_hooks"]]
        of_all = [vars(hooks_of_all)[f"_global_{name}_hooks"] for name in ("forward", "forward_pre", "backward", "backward_pre")]
        return any([*of_parts, *before, *of_all])

    def rest(self, x: Tensor) -> Tensor:
        """The ReLU of what the layer gave."""
        return x if self.is_rectified else F.relu(x)


class _Sum(Fused):
    """A sum, whose ReLU takes its place: nothing else needs it."""

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the branches, rectified."""
        total = super().forward(x)
        self.is_rectified = type(total.grad_fn).__name__ == "AddBackward0" and not self.is_seen_between()
        return total.relu_() if self.is_rectified else total


class _Pool(Fused):
    """Windows of 2 x 2, and the ReLU of their maxima."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H/2, W/2)."""
        self.is_rectified = self.takes(x) and min(x.shape[2:]) > 1 and not self.is_seen_between()
        pooled: Tensor = _MaxPool.apply(x) if self.is_rectified else super().forward(x)
        return pooled


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        count, channels, height, width = ctx.shape = x.shape
        y = torch.empty((count, channels, height // 2, width // 2), dtype=x.dtype, memory_format=LAST)
        at = torch.empty((count, height // 2, width // 2, channels), dtype=torch.uint8)
        _call("max_pool", x.dtype, x, y, at, count, height, width, channels, torch.get_num_threads())
        ctx.save_for_backward(at)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        count, channels, height, width = ctx.shape
        dy = gradients[0].contiguous(memory_format=LAST)
        dx = torch.empty(ctx.shape, dtype=dy.dtype, memory_format=LAST)
        sizes = (count, height, width, channels, torch.get_num_threads())
        _call("max_pool_back", dy.dtype, dy, ctx.saved_tensors[0], dx, *sizes)
        return dx


class FusedNorm(Fused):
    """A batch normalization, with or without a ReLU; over the parts of a team where its seat is in one."""

    seat = Seat()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        norm = self.part
        self.is_rectified = False
        if self.seat.team is not None and norm.training:
            x = x.contiguous(memory_format=LAST)  # there is no other way
        if not (norm.training and can_fuse(norm) and self.takes(x) and (self.seat.team is not None or x.numel() > x.shape[1])):
            return super().forward(x)
        self.is_rectified = self.relu is not None and not self.is_seen_between()
        if self.seat.rank == 0:
            norm.num_batches_tracked.add_(1)
        fixed = (norm.running_mean, norm.running_var, norm.momentum, norm.eps)
        normalized: Tensor = _BatchNorm.apply(x, norm.weight, norm.bias, fixed, self.is_rectified, self.seat)
        return normalized


def can_fuse(norm: nn.Module) -> bool:
    """Return whether a batch norm of maps is one that the kernels compute."""
    tracked = type(norm) is nn.BatchNorm2d and norm.track_running_stats and norm.momentum is not None
    return tracked and bool(norm.affine) and norm.weight.dtype is torch.float32


class _BatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, *more: Any) -> Tensor:
        fixed, rectified, seat = more
        channels = x.shape[1]
        y, mean, inverse, whole = torch.empty_like(x), torch.empty(channels), torch.empty(channels), torch.empty(1, dtype=torch.float64)
        places = x.numel() // channels
        sizes = (places, channels, int(rectified), torch.get_num_threads())
        _call("norm", x.dtype, x, weight, bias, *fixed, y, mean, inverse, whole, *sizes, *seat.next_meeting())
        ctx.save_for_backward(x, weight, bias, mean, inverse)
        ctx.whole, ctx.rectified, ctx.seat = whole.item(), rectified, seat
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, inverse = ctx.saved_tensors
        channels, dy = x.shape[1], gradients[0].to(x.dtype).contiguous(memory_format=LAST)
        dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias)
        sizes = (x.numel() // channels, channels, int(ctx.rectified), torch.get_num_threads())
        found = (weight, bias, mean, inverse, ctx.whole, dx, dweight, dbias)
        _call("norm_back", x.dtype, dy, x, *found, *sizes, *ctx.seat.next_meeting())
        return dx, dweight, dbias, None, None, None


def _call(name: str, dtype: torch.dtype, *arguments: Any) -> None:
    """Run a kernel on tensors and numbers.

    Raises:
        GivenUpError: another thread of the team failed.
    """
    values = [each.data_ptr() if isinstance(each, Tensor) else each for each in arguments]
    if getattr(kernels(), f"{name}_{TYPES[dtype]}")(*values) == 0:
        raise GivenUpError
