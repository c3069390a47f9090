"""A probe that observes a model while it trains, and changes nothing.

It looks at few updates. Before one of these it hangs hooks on the parts of the model and copies the weights; after it, it reads what
the hooks saw and takes them off again. Between them the model is as it was. No random number is drawn and no mode is touched, so a
training gives the same bits with and without it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from striate.insight.diagnose.exam import Exam
from striate.insight.diagnose.records import Finding, Kind, LayerSample, Sample
from striate.insight.diagnose.rules import Record, causes, judge
from striate.insight.diagnose.setup import Setup
from striate.networks.modules.activation import ScaledTanh

EARLY = (1, 2, 5, 10, 20, 50)  # steps that are looked at besides each `every`-th: much goes wrong at the beginning
SLICE = 16  # samples of a batch that the numbers of a layer's outputs are taken from
FIRST, LAST = 10, 20  # samples from which news is read
REMEMBERED = 3  # samples over which a unit must be silent to count as dead
RELUS = (nn.ReLU, nn.ReLU6)
RANGES: dict[type[nn.Module], tuple[float, float]] = {nn.Sigmoid: (0, 1), nn.Tanh: (-1, 1), ScaledTanh: (-1.7159, 1.7159)}
SLOW = 0.005  # momentum of a batch norm below which it may never arrive
SETTLED = 200  # updates after which running statistics count all the same
NEAR = 0.01  # of its range: where an output counts as saturated
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Probe:
    """Observes a model during training: `with probe.watch(model): ...`, and `probe.after_step(...)` after each update.

    Attributes:
        samples: The samples so far.
        said: The kinds of the findings that `news` has given.
    """

    def __init__(
        self, *, every: int = 100, num_classes: int | None = None, inside: bool = True, updating: bool = True, kept: bool = False
    ) -> None:
        """Sample every `every`-th update and some of the first.

        Args:
            every: Updates from one look to the next.
            num_classes: Of a classifier, which says what loss a guess has.
            inside: Register hooks on the parts; without them (a compiled model) only weights and time are observed.
            updating: The weights are updated between two steps; else the size of updates is not reported.
            kept: The model is what a training kept, so that statistics which are slow to arrive count as they are.
        """
        self.every, self.num_classes, self.inside, self.updating = every, num_classes, inside, updating
        self.slow = 0 if kept else SETTLED
        self.samples: list[Sample] = []
        self.said: set[Kind] = set()
        self._model: nn.Module | None = None
        self._look: _Look | None = None
        self._silent: dict[str, deque[Tensor]] = defaultdict(lambda: deque(maxlen=REMEMBERED))

    @contextlib.contextmanager
    def watch(self, model: nn.Module) -> Iterator[Probe]:
        """Observe `model` until the end of the block. Each of its parts is restored afterwards."""
        self._model, self._look = (
            model,
            _Look(model, inside=self.inside, timed=False, slow=self.slow),
        )  # the start of the first update is unknown
        try:
            yield self
        finally:
            self._stop()
            self._model = None

    def is_due(self, step: int) -> bool:
        """Return whether update `step` is sampled."""
        return step in EARLY or step % self.every == 0

    def after_step(self, step: int, loss: Tensor | float | None = None, learning_rate: float | None = None) -> Sample | None:
        """Record that update `step` is done; returns its sample, if it was sampled.

        Args:
            step: Updates since the start, from 1.
            loss: Of the update; a tensor is waited for only if the update is sampled.
            learning_rate: That the schedule has at its peak.
        """
        sample = None
        if self._look is not None:
            sample = self._look.sample(
                step, loss.item() if isinstance(loss, Tensor) else loss, learning_rate, self._silent, updating=self.updating
            )
            self._stop()
            self.samples.append(sample)
        if self._model is not None and self.is_due(step + 1):
            self._look = _Look(self._model, inside=self.inside, timed=True, slow=self.slow)
        return sample

    def after_epoch(self) -> None:
        """Record that something other than training was done since the last update, such as saving: it does not count as waiting."""
        if self._look is not None:
            self._look.timed = False

    def _stop(self) -> None:
        if self._look is not None:
            self._look.close()
            self._look = None

    def findings(
        self, rows: Sequence[Mapping[str, Any]] = (), *, finished: bool = False, setup: Setup | None = None, exam: Exam | None = None
    ) -> list[Finding]:
        """The findings from the samples so far, the epochs in `rows` (as in `metrics.csv`), and the final predictions."""
        samples = self.samples
        shown = samples if len(samples) <= FIRST + LAST else samples[:FIRST] + samples[-LAST:]  # so that long trainings cost no more
        return judge(Record(shown, rows, self.num_classes, setup, exam, finished))

    def news(self, rows: Sequence[Mapping[str, Any]] = (), **known: Any) -> list[Finding]:
        """The `findings` of kinds that were not given before, and that none of those explains."""
        found = [finding for finding in self.findings(rows, **known) if self.said.isdisjoint((finding.kind, *causes(finding.kind)))]
        self.said.update(finding.kind for finding in found)
        self.said.update(kind for finding in found for kind in finding.consequences)
        return found


class _Look:
    """The hooks and copies of one update."""

    def __init__(self, model: nn.Module, *, inside: bool, timed: bool, slow: int) -> None:
        self.slow = slow  # updates after which slow running statistics count
        self.parts = {path: part for path, part in model.named_modules() if not any(part.children())}
        self.before = {path: weight.detach().clone() for path, weight in _weights(self.parts) if weight.requires_grad}
        self.seen: dict[str, dict[str, Tensor]] = {}  # in the order of computing; tensors stay on the device
        self.silent: dict[str, Tensor] = {}
        self.signals: dict[str, Tensor] = {}
        self.handles = [part.register_forward_pre_hook(self._begin) for part in self.parts.values() if inside]
        self.handles += [part.register_forward_hook(self._after(path)) for path, part in self.parts.items() if inside]
        self.began: float | None = None
        self.timed, self.armed = timed, time.perf_counter()

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self.handles:
            handle.remove()

    def _begin(self, _part: nn.Module, _inputs: Any) -> None:
        if not torch.is_grad_enabled():
            self.timed = False  # a validation came in between
        elif self.began is None:
            self.began = time.perf_counter()

    def _after(self, path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def after(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not torch.is_grad_enabled() or not isinstance(output, Tensor) or output.ndim < 2:
                return  # a validation in between, or what has no units
            with torch.no_grad():
                self._read(path, part, inputs, output.detach()[:SLICE])
            if path in self.before and output.requires_grad:
                output.register_hook(self._signal(path, len(output)))  # type: ignore[no-untyped-call]

        return after

    def _read(self, path: str, part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        seen = self.seen.setdefault(path, {})
        seen["total"] = output.sum(dtype=torch.float32)  # NaN or Inf where one of them is
        units = output.movedim(-1 if isinstance(part, nn.Linear) else 1, 0).flatten(1)  # (units, places)
        if isinstance(part, RELUS):
            silent = (units <= 0).all(1)  # (units,)
            self.silent[path] = silent & self.silent[path] if path in self.silent else silent
        elif type(part) in RANGES:
            low, high = RANGES[type(part)]
            margin = NEAR * (high - low)
            seen["saturated"] = ((output < low + margin) | (output > high - margin)).float().mean()
        elif isinstance(part, BATCH_NORMS) and part.running_mean is not None and part.running_var is not None:
            seen |= self._norm(part, inputs[0].detach()[:SLICE])
        elif _weight(part) is not None and units.shape[1] > 1:
            wide, size = units.amax(1) - units.amin(1), units.abs().amax()
            seen["constant"] = (wide <= 1e-6 * size).float().mean()

    def _norm(self, part: Any, inputs: Tensor) -> dict[str, Tensor]:
        """The distance of a batch from the running statistics: of normal distributions with mean m and variance v,

            KL(batch | running) = (v_b / v_r - 1 - log(v_b / v_r) + (m_b - m_r)^2 / v_r) / 2    nats

        of the median channel, less what chance alone gives: 2 / N of N independent samples.
        """
        variance, mean = torch.var_mean(inputs.float(), [0, *range(2, inputs.ndim)])  # (C,), (C,)
        running_mean, running_variance = part.running_mean.float(), part.running_var.float() + part.eps
        ratio = (variance + part.eps) / running_variance
        distance = (ratio - 1 - ratio.log() + (mean - running_mean).square() / running_variance) / 2  # (C,)
        drift = (distance.median() - 2 / len(inputs)).clamp(min=0)
        if part.training and part.num_batches_tracked is not None:  # running statistics that are still on their way tell nothing
            settled = 5 / part.momentum if part.momentum is not None and part.momentum >= SLOW else self.slow
            drift = torch.where(part.num_batches_tracked >= settled, drift, math.nan)
        return {"drift": drift}

    def _signal(self, path: str, count: int) -> Callable[[Tensor], None]:
        def read(gradient: Tensor) -> None:
            part = gradient.detach()[:SLICE].float()
            self.signals[path] = part.flatten(1).norm(dim=1).square().mean().sqrt() * count  # the loss is a mean over the batch

        return read

    def sample(
        self, step: int, loss: float | None, learning_rate: float | None, remembered: dict[str, deque[Tensor]], *, updating: bool
    ) -> Sample:
        """The sample, as numbers."""
        if torch.cuda.is_available() and any(weight.is_cuda for weight in self.before.values()):
            torch.cuda.synchronize()
        ended = time.perf_counter()
        for path, silent in self.silent.items():
            remembered[path].append(silent)
            self.seen[path]["dead"] = torch.stack([mask for mask in remembered[path] if mask.shape == silent.shape]).all(0).float().mean()
        for path, weight in _weights(self.parts):
            if path in self.before:
                seen, before = self.seen.setdefault(path, {}), self.before[path]
                seen["alike"] = share_alike(self.parts[path])
                if updating:
                    seen["update_ratio"] = (weight.detach() - before).norm() / before.norm()  # NaN or Inf of zero weights: left out
        for path, signal in self.signals.items():
            self.seen[path]["signal"] = signal
        wait = (self.began - self.armed) / (ended - self.armed) if self.timed and self.began is not None else None
        return Sample(step=step, layers=self._layers(), learning_rate=learning_rate, loss=loss, wait_share=wait)

    def _layers(self) -> tuple[LayerSample, ...]:
        """The numbers of all parts, waited for once."""
        places = [(path, name) for path, seen in self.seen.items() for name in seen]
        if not places:
            return ()
        device = self.seen[places[0][0]][places[0][1]].device
        values = torch.stack([self.seen[path][name].float().to(device) for path, name in places]).tolist()
        numbers: dict[str, dict[str, float]] = {path: {} for path in self.seen}
        for (path, name), value in zip(places, values, strict=True):
            numbers[path][name] = value
        layers = []
        for path, seen in numbers.items():
            finite = math.isfinite(seen.pop("total", 0.0))
            layers.append(LayerSample(path=path, finite=finite, **{name: value for name, value in seen.items() if math.isfinite(value)}))
        return tuple(layers)


def share_alike(part: nn.Module) -> Tensor:
    """(), the share of a layer's units whose weights and bias equal those of another unit, up to rounding."""
    weight = _weight(part)
    if weight is None or len(weight) < 2:
        return torch.zeros(())
    rows = weight.detach().flatten(1).float()  # (units, weights)
    bias = getattr(part, "bias", None)
    if isinstance(bias, Tensor) and bias.shape == (len(rows),):
        rows = torch.cat([rows, bias.detach().float()[:, None]], 1)
    mixed = (rows @ torch.cos(torch.arange(1.0, rows.shape[1] + 1, device=rows.device) ** 2)).sort().values  # (units,): equal of equal ones
    near = mixed.diff() <= 1e-6 * mixed.abs().amax()  # (units - 1,): as the next one; hardly ever by chance
    alike = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    alike[1:] |= near
    alike[:-1] |= near
    return alike.float().mean()


def _weight(part: nn.Module) -> Tensor | None:
    """The weights (units, ...) of a layer that multiplies by some."""
    weight = getattr(part, "weight", None)
    return weight if isinstance(weight, Tensor) and weight.ndim >= 2 and not isinstance(part, nn.Embedding) else None


def _weights(parts: Mapping[str, nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for path, part in parts.items():
        weight = _weight(part)
        if weight is not None:
            yield path, weight
