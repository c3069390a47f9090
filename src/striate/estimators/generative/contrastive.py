"""The two-layer machine behind the restricted Boltzmann machine and the deep belief network, trained by contrastive divergence.

Sources: Smolensky, 1986, "Information processing in dynamical systems", for the machine; Hinton, 2002, "Training products of experts by
minimizing contrastive divergence", for CD-k; Tieleman, 2008, "Training restricted Boltzmann machines using approximations to the likelihood
gradient", for persistent chains; Hinton, 2010, "A practical guide to training restricted Boltzmann machines", for Gaussian and softmax
visibles and the first biases; Salakhutdinov and Murray, 2008, "On the quantitative analysis of deep belief networks", for estimating Z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from striate.core.errors import DataError, NumericError, UsageError

MAX_ENUMERATED = 20  # units whose states are all gone through
GAUSSIAN_SHARE = (
    0.01  # of the rate of binary visibles, for those without bounds: Hinton, 2010, section 13.2, has it 10 to 100 times smaller
)
NUM_MEASURED = 1000  # samples that the reconstruction error is measured on
ROUNDING = 1e-6  # beyond 0 and 1, that scaling may leave on shares


@dataclass
class Machine:
    """Visible units v (V,) and hidden units h (H,) of 0 and 1, with weights between the layers and none within.

    binary:    E(v, h) = -b v - c h - h W v                    gaussian:  E(v, h) = |v - b|^2 / 2 - c h - h W v

    The last `num_labels` visibles are one group of which exactly one is on.
    """

    weights: Tensor  # W, (H, V)
    hidden: Tensor  # c, (H,)
    visible: Tensor  # b, (V,)
    gaussian: bool = False
    num_labels: int = 0

    def hidden_means(self, v: Tensor, out: Tensor | None = None) -> Tensor:
        """p(h = 1 | v) of v (N, V): (N, H)."""
        return torch.addmm(self.hidden, v, self.weights.t(), out=out).sigmoid_()

    def visible_means(self, h: Tensor) -> Tensor:
        """The expected visibles for h (N, H): (N, V)."""
        inputs = torch.addmm(self.visible, h, self.weights)
        plain, labels = inputs.split([inputs.shape[1] - self.num_labels, self.num_labels], 1)  # type: ignore[no-untyped-call]
        return torch.cat([plain if self.gaussian else plain.sigmoid(), labels.softmax(1)], 1)

    def visible_sample(self, h: Tensor, generator: torch.Generator, out: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """Visibles drawn for h (N, H): (N, V). `noise` is room for random numbers, of the same shape."""
        inputs = torch.addmm(self.visible, h, self.weights, out=out)
        noise = torch.empty_like(inputs) if noise is None else noise
        if self.num_labels:
            labels = inputs[:, -self.num_labels :]
            gumbel = torch.empty_like(labels).exponential_(generator=generator).log_()
            winners = (labels - gumbel).argmax(1, keepdim=True)  # drawn by the softmax
        if self.gaussian:
            inputs.add_(noise.normal_(generator=generator))
        else:
            drawn_(inputs.sigmoid_(), noise, generator)
        if self.num_labels:
            labels.zero_().scatter_(1, winners, 1.0)
        return inputs

    def free_energy(self, v: Tensor, heat: float = 1.0) -> Tensor:
        """-log of the sum over h of e^-E for v (N, V): (N,). `heat` scales all but the visible biases: at 0 the layers are apart."""
        if self.gaussian:
            num_plain = v.shape[1] - self.num_labels
            own = (v - self.visible)[:, :num_plain].square().sum(1) / 2 - v[:, num_plain:] @ self.visible[num_plain:]
        else:
            own = -(v @ self.visible)
        return own - F.softplus(heat * torch.addmm(self.hidden, v, self.weights.t())).sum(1)

    def hidden_sample(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """Hidden states drawn for v (N, V): (N, H)."""
        means = self.hidden_means(v)
        return drawn_(means, torch.empty_like(means), generator)

    def gibbs(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """One draw of all hidden units from v (N, V), and one of all visibles from those: (N, V)."""
        return self.visible_sample(self.hidden_sample(v, generator), generator)


def drawn_(probs: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    """0 and 1 drawn with `probs`, in their place."""
    return probs.gt_(noise.uniform_(generator=generator))


def first_machine(data: Tensor, num_hidden: int, generator: torch.Generator, *, gaussian: bool = False, num_labels: int = 0) -> Machine:
    """An initial machine: small weights, and visible biases that give each unit of `data` (N, V) its mean."""
    num_visible = data.shape[1]
    weights = torch.empty(num_hidden, num_visible, device=data.device).normal_(0, 0.3 / num_visible**0.5, generator=generator)
    on = data.sum(0)
    visible = data.mean(0) if gaussian else torch.log((on + 0.5) / (len(data) - on + 0.5))
    if num_labels:
        visible[-num_labels:] = torch.log((on[-num_labels:] + 0.5) / len(data))
    return Machine(weights, torch.zeros(num_hidden, device=data.device), visible, gaussian, num_labels)


@dataclass(kw_only=True)
class Contrast:
    """The training of a machine: the rates, and the state between updates.

        W += learning_rate (<h v> of the data - <h v> of the machine)

    The machine's own mean is taken after `num_steps` draws of both layers: from the data (CD-k), or, where there are `chains`, from where
    they stand (PCD).
    """

    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    batch_size: int = 100
    num_steps: int = 1
    chains: Tensor | None = None  # hidden states (chains, H)
    velocity: Tensor | None = None  # the last change of W

    def epoch(self, machine: Machine, data: Tensor, generator: torch.Generator, *, shuffle: bool = True) -> None:
        """Teach `machine` in place on `data` (N, V), once.

        Raises:
            NumericError: a weight left the finite numbers.
        """
        shuffled = data[torch.randperm(len(data), generator=generator, device=data.device)] if shuffle else data
        space = None
        with torch.no_grad():
            for batch in shuffled.split(self.batch_size):  # type: ignore[no-untyped-call]
                if space is None or len(batch) != len(space.data):
                    space = Space(machine, len(batch), self)
                space.data.copy_(batch)
                self.update(machine, space, generator)
        if not torch.isfinite(machine.weights).all():
            raise NumericError("the weights are not finite", f"Lower learning_rate, which is {self.learning_rate:g}.")

    def update(self, machine: Machine, space: Space, generator: torch.Generator) -> None:
        """Teach `machine` in place on the batch that is in `space.data`."""
        noise_v, noise_h = space.noise_v, space.noise_h
        if self.chains is None:
            h = space.states
            torch.gt(machine.hidden_means(space.data, out=space.of_data), noise_h.uniform_(generator=generator), out=h)
        else:
            h = self.chains
        for step in range(self.num_steps):
            if step:
                drawn_(machine.hidden_means(space.own, out=h), noise_h, generator)
            machine.visible_sample(h, generator, out=space.own, noise=noise_v)
        if self.chains is None:
            machine.hidden_means(space.own, out=space.of_own)
        else:
            machine.hidden_means(space.both, out=space.means)  # both at once: the weights are read once
            torch.gt(space.of_own, noise_h.uniform_(generator=generator), out=h)
        space.means.mul_(space.rates)
        machine.hidden.addmv_(space.means_t, space.ones)
        machine.visible.addmv_(space.both_t, space.rates_of_rows)
        if self.weight_decay:
            machine.weights.mul_(1 - self.learning_rate * self.weight_decay)
        if self.momentum:
            if self.velocity is None:
                self.velocity = torch.zeros_like(machine.weights)
            machine.weights.add_(self.velocity.mul_(self.momentum).addmm_(space.means_t, space.both))
        else:
            machine.weights.addmm_(space.means_t, space.both)


class Space:
    """The buffers of an update: the data and the sampled visibles, stacked, so that one product gives both statistics.

    Small machines spend most of an update on calls, so what does not change from batch to batch is made here, once.
    """

    def __init__(self, machine: Machine, num_rows: int, contrast: Contrast) -> None:
        num_hidden, num_visible = machine.weights.shape
        num_own = num_rows if contrast.chains is None else len(contrast.chains)
        room = machine.weights.new_empty
        self.both, self.means = room(num_rows + num_own, num_visible), room(num_rows + num_own, num_hidden)
        self.data, self.own = self.both[:num_rows], self.both[num_rows:]
        self.of_data, self.of_own = self.means[:num_rows], self.means[num_rows:]
        self.states, self.noise_h, self.noise_v = room(num_own, num_hidden), room(num_own, num_hidden), room(num_own, num_visible)
        self.rates = room(num_rows + num_own, 1)  # of each row: the learning rate over how many there are; less for the machine's own
        self.rates[:num_rows] = contrast.learning_rate / num_rows
        self.rates[num_rows:] = -contrast.learning_rate / num_own
        self.rates_of_rows, self.ones = self.rates[:, 0], torch.ones_like(self.rates[:, 0])
        self.both_t, self.means_t = self.both.t(), self.means.t()


class LogPartition(NamedTuple):
    """An estimate of log Z, and its standard error."""

    value: float
    error: float


def estimated_log_partition(machine: Machine, generator: torch.Generator, *, num_chains: int, num_steps: int) -> LogPartition:
    """log Z by annealed importance sampling: from a machine whose layers are apart, in `num_steps` equal steps of heat, to this one."""
    b, num_visible, num_hidden = machine.visible, len(machine.visible), len(machine.hidden)
    own = num_visible / 2 * math.log(2 * math.pi) if machine.gaussian else float(F.softplus(b).sum())
    apart = Machine(torch.zeros_like(machine.weights), machine.hidden, b, machine.gaussian)
    v = apart.visible_sample(torch.zeros(num_chains, num_hidden, dtype=b.dtype, device=b.device), generator)
    ratios = torch.zeros(num_chains, dtype=b.dtype, device=b.device)
    for step in range(1, num_steps + 1):
        heat = step / num_steps
        ratios += machine.free_energy(v, (step - 1) / num_steps) - machine.free_energy(v, heat)
        if step < num_steps:
            warm = Machine(heat * machine.weights, heat * machine.hidden, b, machine.gaussian)
            v = warm.gibbs(v, generator)
    shares = torch.exp(ratios - ratios.max())
    value = own + num_hidden * math.log(2) + float(ratios.max() + shares.mean().log())
    return LogPartition(value, float(shares.std() / shares.mean()) / math.sqrt(num_chains))


def exact_log_partition(machine: Machine) -> float:
    """log Z by going through all states of the smaller layer; of the hidden one where the visibles are Gaussian.

    Raises:
        UsageError: that layer has more than 20 units.
    """
    over_visible = not machine.gaussian and len(machine.visible) <= len(machine.hidden)
    num_units = len(machine.visible) if over_visible else len(machine.hidden)
    if num_units > MAX_ENUMERATED:
        message = f"log Z over all states: at most {MAX_ENUMERATED} units in the smaller layer, got {num_units}"
        raise UsageError(message, "Estimate it: log_partition().")
    states = all_states(num_units).to(machine.weights)
    parts = []
    for part in states.split(2**14):  # type: ignore[no-untyped-call]
        if over_visible:
            parts.append(torch.logsumexp(-machine.free_energy(part), 0))
            continue
        inputs = torch.addmm(machine.visible, part, machine.weights)  # (states, V)
        if machine.gaussian:
            own = (inputs.square() - machine.visible.square()).sum(1) / 2 + inputs.shape[1] / 2 * math.log(2 * math.pi)
        else:
            own = F.softplus(inputs).sum(1)
        parts.append(torch.logsumexp(part @ machine.hidden + own, 0))
    return float(torch.logsumexp(torch.stack(parts), 0))


def all_states(num_units: int) -> Tensor:
    """(2^n, n) int64 of 0 and 1."""
    return (torch.arange(2**num_units)[:, None] >> torch.arange(num_units)) & 1


def reconstruction_error(machine: Machine, x: Tensor) -> float:
    """The mean squared reconstruction error of x from its hidden probabilities, over at most 1,000 rows."""
    x = x[:NUM_MEASURED]
    return float((machine.visible_means(machine.hidden_means(x)) - x).square().mean())


def no_shares(X: np.ndarray) -> np.ndarray:
    """The values of X outside [0, 1], by more than rounding leaves."""
    odd: np.ndarray = X[(X < -ROUNDING) | (X > 1 + ROUNDING)]
    return odd


def require_shares(X: np.ndarray, *, fitted: bool) -> None:
    """Refuse values outside [0, 1] where visible units are binary; `fitted`: they were so when the machine learned.

    Raises:
        DataError: there is one.
    """
    odd = no_shares(X)
    if len(odd) and fitted:
        remedy = "Scale it as the data that was learned; MinMaxScaler(clip=True) keeps new data within."
        raise DataError(f"X must be from 0 to 1 as in fit, got {odd[0]:g}", remedy)
    if len(odd):
        remedy = "Make it binary first (X > threshold) or scale it, or take visible='gaussian'."
        raise DataError(f"X must be from 0 to 1 where the visible units are binary, got {odd[0]:g}", remedy)
