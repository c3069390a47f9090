"""Common parts of adversarial networks: the two losses, the alternating training, and the diagnosis of mode collapse.

Sources: Goodfellow et al., 2014, arXiv:1406.2661v1, equation 1 and section 3 (the generator's loss that does not saturate); bins of
k-means to count modes: Richardson and Weiss, 2018, arXiv:1805.12462v2; averaged generators: Yazici et al., 2019, arXiv:1806.04498v2.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import NumericError
from striate.core.reports import shown_short

MIN_SHARE = 0.25  # of what the data has of a mode; below, the mode is missed
MIN_SPREAD = 0.5  # of the data's own; below, a mode has shrunk to few samples
MAX_RIGHT = 0.98  # of real and of generated samples told apart; above, the generator learns nothing more


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """-(mean log D(x) + mean log(1 - D(G(z)))) of the discriminator's logits (N,) each, in nats; 2 ln 2 if it only guesses."""
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """-mean log D(G(z)) of the discriminator's logits (N,), in nats; ln 2 if it only guesses."""
    return F.softplus(-generated).mean()


class Turn(NamedTuple):
    """The losses of one turn, as tensors () on the device."""

    discriminator_loss: Tensor
    generator_loss: Tensor
    real_right: Tensor  # share of real samples that the discriminator takes for real
    generated_right: Tensor  # share of generated ones that it takes for generated


class Game:
    """A generator and a discriminator trained against each other, one turn at a time.

    Args:
        generator: Called with the parts of a `condition` and noise in `play`; see there.
        discriminator: Maps samples, and the parts of a condition, to logits (N,).
        learning_rate: Of both Adams.
        betas: Of both Adams.
        averaging: The decay of `average`, the moving average of the generator's weights; 0 follows at once.

    Attributes:
        blur: Deviation of the noise on all that the discriminator sees.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, *, learning_rate: float, betas: tuple[float, float], averaging: float
    ) -> None:
        self.generator, self.discriminator, self.averaging = generator, discriminator, averaging
        self.average = copy.deepcopy(generator).requires_grad_(False)
        pairs = list(zip(self.average.state_dict().values(), generator.state_dict().values(), strict=True))
        self._means, self._nows = zip(*[pair for pair in pairs if pair[0].is_floating_point()], strict=True)
        self.optimizers = [
            torch.optim.Adam(player.parameters(), lr=learning_rate, betas=betas, fused=True) for player in (generator, discriminator)
        ]
        self.turns, self.blur = 0, 0.0

    def play(self, real: Tensor, noise: Tensor, condition: Sequence[Tensor] = ()) -> Turn:
        """One update of the discriminator, then one of the generator with the same noise.

        Args:
            real: (N, ...) samples of the data.
            noise: (M, J) for the generator.
            condition: Further inputs of both players.
        """
        of_generator, of_discriminator = self.optimizers
        generated = self.generator(noise, *condition)
        on_real, on_generated = (self.discriminator(self._blurred(x), *condition) for x in (real, generated.detach()))
        loss = discriminator_loss(on_real, on_generated)
        of_discriminator.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        of_discriminator.step()

        self.discriminator.requires_grad_(False)
        answer = generator_loss(self.discriminator(self._blurred(generated), *condition))
        of_generator.zero_grad(set_to_none=True)
        answer.backward()  # type: ignore[no-untyped-call]
        of_generator.step()
        self.discriminator.requires_grad_(True)

        self.turns += 1
        self._follow()
        right = (on_real > 0).float().mean(), (on_generated < 0).float().mean()
        return Turn(loss.detach(), answer.detach(), *right)

    def _blurred(self, samples: Tensor) -> Tensor:
        """The discriminator's input for them."""
        return samples + self.blur * torch.randn_like(samples) if self.blur else samples

    @torch.no_grad()
    def _follow(self) -> None:
        """Bring the averaged generator closer to the generator; early on, faster."""
        kept = min(self.averaging, self.turns / (self.turns + 10))
        torch._foreach_lerp_(self._means, self._nows, 1 - kept)

    def set_rate(self, learning_rate: float) -> None:
        """Another learning rate, for both, from now on."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate


def row_of(turns: Sequence[Turn], what: str, number: int, learning_rate: float) -> dict[str, float]:
    """The means of several turns by name, and `what` (an epoch, a turn) they end with.

    Raises:
        NumericError: a loss is not finite.
    """
    means = torch.stack([torch.stack(turn) for turn in turns]).mean(0).tolist()
    if not np.isfinite(means).all():
        raise NumericError(f"a loss is not finite in {what} {number}", f"Lower learning_rate, which is {learning_rate:g}.")
    return {what: number, **dict(zip(Turn._fields, means, strict=True))}


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A mode of the data, and how a generator covers it."""

    name: str
    real_share: float  # of the data that lies here
    generated_share: float  # of the generated samples
    spread: float  # deviation of the generated samples around their mean, over that of the data; 0 if there are fewer than two
    agreement: float | None = None  # share of the samples of a label that a classifier gives that label

    @property
    def covered(self) -> bool:
        """True if it has enough samples, with enough spread, that are classified as they should be."""
        recognised = self.agreement is None or self.agreement >= MIN_SPREAD
        return self.generated_share >= MIN_SHARE * self.real_share and self.spread >= MIN_SPREAD and recognised


@shown_short
@dataclass(frozen=True, kw_only=True)
class CollapseReport:
    """The diagnosis of a generator: coverage of the data, and the balance with its discriminator.

    Attributes:
        modes: The parts of the data.
        good_share: Share of generated samples that lie as near to the data as its own samples do; None if that was not measured.
        real_right: Share of real samples that the discriminator takes for real.
        generated_right: Share of generated ones that it takes for generated; in balance both tend to 0.5.
        agreement: Share of all samples that a classifier gives the label they were generated for; None without a classifier.
        findings: The problems, each in a sentence with a remedy; empty if there are none.
    """

    modes: tuple[Mode, ...]
    real_right: float
    generated_right: float
    good_share: float | None = None
    agreement: float | None = None

    @property
    def covered_share(self) -> float:
        """Share of the modes that are covered."""
        return sum(mode.covered for mode in self.modes) / len(self.modes)

    @property
    def findings(self) -> tuple[str, ...]:
        found = []
        missed = [mode.name for mode in self.modes if mode.generated_share < MIN_SHARE * mode.real_share]
        if missed:
            found.append(
                f"{len(missed)} of {len(self.modes)} modes are missed: {', '.join(missed)}. "
                "Lower learning_rate, raise batch_size, or start from another random_state."
            )
        narrow = [mode.name for mode in self.modes if mode.name not in missed and mode.spread < MIN_SPREAD]
        if narrow:
            found.append(
                f"within {', '.join(narrow)} samples vary less than half as much as the data: a collapse. "
                "Lower learning_rate, or train for fewer turns."
            )
        unlike = [mode.name for mode in self.modes if mode.agreement is not None and mode.agreement < MIN_SPREAD]
        if unlike:
            found.append(
                f"samples of {', '.join(unlike)} are mostly classified as another label. Raise max_iter, or give more samples of these."
            )
        if min(self.real_right, self.generated_right) > MAX_RIGHT:
            found.append(
                f"the discriminator is right about {self.real_right:.0%} of real and {self.generated_right:.0%} of generated samples: "
                "it has won, and no longer teaches the generator. Lower learning_rate, or give more data."
            )
        return tuple(found)

    def __str__(self) -> str:
        width = max(4, *(len(mode.name) for mode in self.modes))
        lines = [f"{'mode':<{width}}    real  generated  spread" + ("  agreement" if self.agreement is not None else "")]
        for mode in self.modes:
            line = f"{mode.name:<{width}}  {mode.real_share:6.1%}  {mode.generated_share:9.1%}  {mode.spread:6.2f}"
            lines.append(line + (f"  {mode.agreement:9.1%}" if mode.agreement is not None else ""))
        words = f"covered {self.covered_share:.0%}, discriminator right about {self.real_right:.1%} of real and "
        lines.append(f"{words}{self.generated_right:.1%} of generated samples")
        return "\n".join([*lines, *(self.findings or ("no problem found",))])


def spread_of(generated: np.ndarray, real: np.ndarray) -> float:
    """The deviation of rows around their mean, over that of the real rows: 1 is as varied; 0 if there are fewer than two."""
    if len(generated) < 2 or len(real) < 2:
        return 0.0
    own = float(np.sqrt(real.var(0).sum()))
    return float(np.sqrt(generated.var(0).sum())) / own if own > 0 else 1.0
