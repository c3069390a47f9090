"""Averages of the weights along a training: exponential (EMA), or equal (SWA)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from striate.core.errors import DataError, RefusedFileError, UsageError
from striate.core.modes import evaluation_mode
from striate.engine.settings import TrainSettings
from striate.engine.step import Batch

COUNT = "num_averaged"
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class WeightAverage:
    """The average of a model's weights over the updates passed to it.

    With a `decay`, a = decay a + (1 - decay) w, from a = w the first time, without a warm-up of the decay: early averages lean on the
    first weights, as torch's do and timm's do by default. Without one, a is the equal mean of all, for which call `update` at the ends
    of epochs (Izmailov et al., 2018, arXiv:1803.05407).

    Args:
        model: Its parameters are averaged.
        decay: Of an exponential mean, each update; None for an equal one.
        use_buffers: Average floating buffers too, such as a norm's running statistics; else they are those of the last update. Whole
            numbers are always those of the last update.
    """

    def __init__(self, model: nn.Module, decay: float | None = None, *, use_buffers: bool = False) -> None:
        self.model, self.decay, self.use_buffers = model, decay, use_buffers
        self.averages: dict[str, Tensor] = {}
        self.num_averaged = 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights of the model to the average."""
        now = _tensors_of(self.model)
        if not self.averages:
            self.averages = {name: tensor.detach().clone() for name, tensor in now.items()}
        else:
            averaged = [name for name, tensor in now.items() if self._is_averaged(tensor)]
            share = 1 / (self.num_averaged + 1) if self.decay is None else 1 - self.decay
            torch._foreach_lerp_([self.averages[name] for name in averaged], [now[name] for name in averaged], share)
            for name in now.keys() - averaged:
                self.averages[name].copy_(now[name])
        self.num_averaged += 1

    def _is_averaged(self, tensor: Tensor) -> bool:
        return isinstance(tensor, nn.Parameter) or (self.use_buffers and tensor.is_floating_point())

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the model holds the average; on leaving it has its own weights and buffers again, bit for bit.

        Before the first update it keeps its own.
        """
        now = _tensors_of(self.model)
        own = {name: tensor.detach().clone() for name, tensor in now.items()}
        try:
            if self.averages:
                _copy(self.averages, now)
            yield
        finally:
            _copy(own, now)

    def keep_buffers(self) -> None:
        """Use the model's current buffers, such as refreshed norms, as those of the average."""
        _copy(dict(self.model.named_buffers()), self.averages)

    def state(self) -> dict[str, Tensor]:
        """The state for a checkpoint, by the model's names; not copies. Empty before the first update."""
        return self.averages | {COUNT: torch.tensor(self.num_averaged)} if self.averages else {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Restore a state from `state`, exactly.

        Raises:
            RefusedFileError: it is that of another model; names the first tensor that does not fit.
        """
        if not state:
            self.averages, self.num_averaged = {}, 0
            return
        now = _tensors_of(self.model)
        for name in sorted((now.keys() | {COUNT}) ^ state.keys()):
            raise _unfit(f"{name} is missing" if name not in state else f"the model has no {name}")
        for name, tensor in now.items():
            kept = state[name]
            if kept.shape != tensor.shape or kept.dtype != tensor.dtype:
                found = f"{kept.dtype} of shape {tuple(kept.shape)}"
                raise _unfit(f"{name} must be {tensor.dtype} of shape {tuple(tensor.shape)}, got {found}")
        self.averages = {name: torch.empty_like(tensor).detach() for name, tensor in now.items()}
        _copy({name: state[name] for name in now}, self.averages)
        self.num_averaged = int(state[COUNT])


def average_of(settings: TrainSettings, model: nn.Module) -> WeightAverage | None:
    """The average that `settings` ask for: EMA with the buffers in it, or SWA, after which `refresh_norms` is due; else None.

    Raises:
        UsageError: they ask for both.
    """
    if settings.ema is not None and settings.swa_start is not None:
        raise UsageError("ema and swa_start are both given, but only one average can be kept", "Leave out one of them.")
    if settings.ema is not None:
        return WeightAverage(model, settings.ema, use_buffers=True)
    return WeightAverage(model) if settings.swa_start is not None else None


def refresh_norms(model: nn.Module, batches: Iterable[Batch]) -> None:
    """Recompute the statistics of batch norms on `batches` with the current weights: the mean over all batches.

    An average of weights has other activations than any of those that it is an average of. All but the norms is in evaluation mode,
    so dropout does not widen the statistics; a norm frozen in evaluation mode inside a training model keeps its own.

    Raises:
        DataError: there are no batches; nothing was changed.
    """
    norms = [part for part in model.modules() if isinstance(part, BATCH_NORMS) and part.track_running_stats]
    norms = [norm for norm in norms if norm.training or not model.training]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    try:
        with torch.no_grad(), evaluation_mode(model):
            for index, batch in enumerate(batches):
                if index == 0:
                    for norm in norms:
                        norm.reset_running_stats()
                        norm.momentum = None  # torch's word for an equal mean over all batches
                        norm.train()
                model(batch.images)
            if norms[0].momentum is not None:
                raise DataError("no pictures to estimate the statistics of the norms from")
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return dict(model.named_parameters()) | dict(model.named_buffers())


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    for name, tensor in source.items():
        target[name].copy_(tensor)


def _unfit(what: str) -> RefusedFileError:
    return RefusedFileError(f"state of the averaged weights: {what}", "Continue with the network that it was saved with.")
