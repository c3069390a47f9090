"""Learning-rate schedules: the factor of the peak rate at each update.

All but one are functions of the update's number alone; `Plateau` follows the validation losses that it receives. In the formulas t counts
updates from 0 after the warm-up, T is how many there are, p = t / T, and m is `min_factor`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from striate.core.errors import UsageError
from striate.engine.settings import TrainSettings

Shape = Callable[[int], float]  # t -> factor
OWN_RISE = ("one_cycle", "triangular")  # they begin with a rise of their own
ONE_CYCLE_RISE = 0.3  # share of the updates
ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 1e4


class Schedule:
    """The factor of the peak rate for each update, from 0: a linear warm-up, then a shape.

    Each schedule accepts validation losses, and has a state to continue from, so that a loop need not know which one it has.
    """

    def __init__(self, shape: Shape, warmup: int = 0) -> None:
        self.shape, self.warmup = shape, warmup

    def __call__(self, step: int) -> float:
        """The factor at update `step`, from 0; the warm-up of w updates is 1/w, 2/w, .. 1."""
        return (step + 1) / self.warmup if step < self.warmup else self.shape(step - self.warmup)

    def observe(self, val_loss: float) -> None:
        """Record the validation loss after an epoch."""

    def state(self) -> dict[str, float | int]:
        """The state for a checkpoint; finite numbers."""
        return {}

    def load_state(self, state: dict[str, float | int]) -> None:
        """Restore a state from `state`."""


class Plateau(Schedule):
    """Multiplies by `gamma` after each `patience` epochs in a row without a lower validation loss than ever before; not below `floor`.

    The same as torch's ReduceLROnPlateau with patience - 1 and threshold 0: torch counts the epochs that it still tolerates.
    Source: the common practice of Krizhevsky et al., 2012, section 5: divide by 10 when the validation error stops improving.
    """

    def __init__(self, gamma: float, patience: int, floor: float, warmup: int = 0) -> None:
        super().__init__(lambda _t: self.factor, warmup)
        self.gamma, self.patience, self.floor = gamma, patience, floor
        self.factor, self.bad_epochs = 1.0, 0
        self.best: float | None = None

    def observe(self, val_loss: float) -> None:
        """Record the validation loss after an epoch.

        Raises:
            UsageError: it is NaN, because there is no validation split.
        """
        if math.isnan(val_loss):
            raise UsageError(
                "the schedule plateau needs a validation loss, got NaN", "Train with a validation split, or another `schedule`."
            )
        if self.best is None or val_loss < self.best:
            self.best, self.bad_epochs = val_loss, 0
        else:
            self.bad_epochs += 1
        if self.bad_epochs == self.patience:
            self.factor, self.bad_epochs = max(self.factor * self.gamma, self.floor), 0

    def state(self) -> dict[str, float | int]:
        """Factor, epochs without a lower loss, and the lowest loss once there is one."""
        best = {} if self.best is None else {"best": self.best}
        return {"factor": self.factor, "bad_epochs": self.bad_epochs, **best}

    def load_state(self, state: dict[str, float | int]) -> None:
        """Restore a state from `state`."""
        self.factor, self.bad_epochs, self.best = float(state["factor"]), int(state["bad_epochs"]), state.get("best")


def constant() -> Shape:
    """1 throughout."""
    return lambda _t: 1.0


def step(every: int, gamma: float, floor: float) -> Shape:
    """max(m, gamma^floor(t / every)). Source: Huang et al., 2017, arXiv:1608.06993, section 4.2: ImageNet, 30 epochs."""
    return lambda t: max(floor, gamma ** (t // every))


def multi_step(places: tuple[float, ...], total: int, gamma: float, floor: float) -> Shape:
    """max(m, gamma^n), with n the number of `places` that p has reached. Source: Huang et al., 2017, section 4.2: CIFAR, 1/2, 3/4."""
    return lambda t: max(floor, gamma ** sum(t / total >= place for place in places))


def exponential(every: float, gamma: float, floor: float) -> Shape:
    """max(m, gamma^(t / every)): the same decay as `step`, spread over all updates."""
    return lambda t: max(floor, gamma ** (t / every))


def cosine(total: int, floor: float) -> Shape:
    """m + (1 - m) (1 + cos(pi p)) / 2. Source: Loshchilov and Hutter, 2017, arXiv:1608.03983, equation 5, without restarts."""
    return lambda t: between(floor, 1, (1 + math.cos(math.pi * t / total)) / 2)


def cosine_restarts(cycle: float, longer: float, floor: float) -> Shape:
    """A cosine from 1 to m over `cycle` updates, again and again; each cycle is `longer` times the last.

    Source: Loshchilov and Hutter, 2017, arXiv:1608.03983, equation 5, with T_0 = cycle and T_mult = longer.
    """

    def factor(t: int) -> float:
        place, length = float(t), cycle
        if longer == 1:
            place %= length
        while place >= length:
            place, length = place - length, length * longer
        return between(floor, 1, (1 + math.cos(math.pi * place / length)) / 2)

    return factor


def one_cycle(total: int, floor: float) -> Shape:
    """Half a cosine up from 1/25 to 1 over 30 % of the updates, then half a cosine down to 1/250,000; not below m.

    Departs from the source: cosines in place of straight lines, as common implementations have them; the momentum stays as it is.
    Source: Smith and Topin, 2018, arXiv:1708.07120, section 3.
    """
    start, end = max(floor, ONE_CYCLE_START), max(floor, ONE_CYCLE_END)
    peak, last = ONE_CYCLE_RISE * total - 1, total - 1  # places of the highest and of the last factor

    def factor(t: int) -> float:
        if t <= peak:
            return between(start, 1, (1 - math.cos(math.pi * t / peak)) / 2) if peak > 0 else 1.0
        return between(end, 1, (1 + math.cos(math.pi * (t - max(peak, 0)) / max(1, last - max(peak, 0)))) / 2)

    return factor


def polynomial(total: int, power: float, floor: float) -> Shape:
    """m + (1 - m) (1 - p)^power. Source: Liu, Rabinovich and Berg, 2016, arXiv:1506.04579, section 3.1 ("poly")."""
    return lambda t: between(floor, 1, (1 - t / total) ** power)


def triangular(cycle: float, floor: float) -> Shape:
    """Straight up from m to 1 over half a cycle, and down again. Source: Smith, 2017, arXiv:1506.01186, section 3.1 ("triangular")."""
    return lambda t: between(floor, 1, 1 - abs(2 * (t / cycle % 1) - 1))


def between(low: float, high: float, share: float) -> float:
    """`low` at share 0, `high` at 1."""
    return low + (high - low) * share


def warmup_steps(settings: TrainSettings, steps_per_epoch: int, num_steps: int) -> int:
    """The number of warm-up updates: at most half of them."""
    return min(round(settings.warmup_epochs * steps_per_epoch), num_steps // 2)


def schedule_of(settings: TrainSettings, num_steps: int, steps_per_epoch: int) -> Schedule:
    """The schedule that `settings` name, over `num_steps` updates, after a linear warm-up.

    The warm-up takes at most half of the updates; what `settings` count in epochs or shares is counted from its end. `one_cycle` and
    `triangular` begin with a rise of their own, so that a warm-up does not go before it: it damps the first updates of it.

    What falls to zero by itself ends at `min_factor`; what is multiplied again and again stops there.
    """
    warmup = warmup_steps(settings, steps_per_epoch, num_steps)
    damped = settings.schedule in OWN_RISE
    total = max(1, num_steps - (0 if damped else warmup))
    gamma, floor = settings.step_gamma, settings.min_factor
    every = settings.step_every * steps_per_epoch
    cycle = max(1.0, settings.cycle_epochs * steps_per_epoch if settings.cycle_epochs else total / 4)
    if settings.schedule == "plateau":
        return Plateau(gamma, settings.plateau_epochs, floor, warmup)
    shapes: dict[str, Callable[[], Shape]] = {
        "constant": constant,
        "step": lambda: step(max(1, round(every)), gamma, floor),
        "multi_step": lambda: multi_step(settings.step_at, total, gamma, floor),
        "exponential": lambda: exponential(every, gamma, floor),
        "cosine": lambda: cosine(total, floor),
        "cosine_restarts": lambda: cosine_restarts(cycle, settings.cycle_factor, floor),
        "one_cycle": lambda: one_cycle(total, floor),
        "polynomial": lambda: polynomial(total, settings.power, floor),
        "linear": lambda: polynomial(total, 1.0, floor),
        "triangular": lambda: triangular(max(2.0, cycle), floor),
    }
    shape = shapes[settings.schedule]()
    if damped:
        return Schedule(lambda t: shape(t) * min(1.0, (t + 1) / max(1, warmup)))
    return Schedule(shape, warmup)


def extended(settings: TrainSettings, extra_epochs: int, steps_per_epoch: int | None = None) -> TrainSettings:
    """The settings of a finished run that is extended by `extra_epochs`.

    The rule: the updates that were made keep their rates, and each added one has the rate that it would have had in a run which was
    planned with the new total. A cosine over 10 epochs that is given 10 more thus goes on at 1/2 of the peak, and given 2 more at 1/15;
    schedules that count epochs or watch the loss just go on. The rate of an update depends on its number and on the total alone, so
    that an extended run can be interrupted, continued and extended again. Shares of the training (`swa_start`) are of the new total.

    Args:
        settings: Of the finished run.
        extra_epochs: At least 1.
        steps_per_epoch: Of the training set; needed for a run that was planned in updates.

    Raises:
        UsageError: `extra_epochs` is less than 1, or the run was planned in updates and `steps_per_epoch` is None.
    """
    if extra_epochs < 1:
        raise UsageError(f"a run can be extended by 1 epoch or more, got {extra_epochs}", "For example `epochs='+20'`.")
    return replanned(settings, extra_epochs, steps_per_epoch)


def replanned(settings: TrainSettings, change: int, steps_per_epoch: int | None = None) -> TrainSettings:
    """The settings with so many epochs more, or fewer, as where a run that stopped early is extended by less than it was planned for.

    Raises:
        UsageError: the run was planned in updates and `steps_per_epoch` is None.
    """
    if settings.steps is not None:
        if steps_per_epoch is None:
            raise UsageError(f"the run was planned as {settings.steps} steps, which cannot be extended by epochs", "Start a new run.")
        return dataclasses.replace(settings, steps=settings.steps + change * steps_per_epoch)
    return dataclasses.replace(settings, epochs=settings.epochs + change)
