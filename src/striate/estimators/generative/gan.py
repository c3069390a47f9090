"""Generative adversarial networks on rows of numbers.

Source: Goodfellow et al., 2014, arXiv:1406.2661v1, algorithm 1 with k = 1, and the loss of section 3 that does not saturate.
Departs from the source: Adam in place of momentum; dense layers with leaky ReLU in place of maxout and dropout; rows are standardized;
noise that fades blurs what the discriminator sees (Arjovsky and Bottou, 2017, arXiv:1701.04862v1, section 3); samples come from the
generator's weights averaged over time (Yazici et al., 2019).
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from striate.core.devices import choose_device
from striate.core.errors import ShapeError, UsageError
from striate.core.seeds import mixed, torch_seed
from striate.core.settings import check_betas, check_counts, check_numbers, check_rate, check_word, sizes_of
from striate.estimators.described import dense, packed, unpacked
from striate.estimators.generative.adversarial import CollapseReport, Game, Mode, Turn, row_of, spread_of
from striate.estimators.numbers import finite_answers, need_units, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of, seed_of
from striate.models.threads import threads_for
from striate.networks.network import Network

ROWS_OF_HISTORY = 50
BLURRED = 0.75  # of the turns, after which the discriminator sees all as it is
FAR = 0.99  # share of a mode's own rows that lie nearer to its centre than what counts as far


@dataclass(eq=False, repr=False)
class GAN(Saved, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """A generator of rows like those of X, trained against a discriminator that learns to distinguish them.

        min over G, max over D:  E[log D(x)] + E[log(1 - D(G(z)))]         the generator climbs E[log D(G(z))]

    The best answer to a fixed generator is D(x) = p(x) / (p(x) + p_g(x)); where p_g = p, D is 1/2 and its loss 2 ln 2 = 1.386.

    Args:
        latent_size: Numbers in z.
        latent: The distribution of z: "normal" (0, 1), or "uniform" (-1, 1).
        hidden_layer_sizes: Units of each hidden layer, of the generator and of the discriminator.
        activation: Behind each hidden layer, by its name in the vocabulary of layers.
        learning_rate: Of both Adams; it falls to 0 along the second half of the turns.
        betas: Of both Adams.
        blur: Deviation of noise on all that the discriminator sees, in units of scale_; it falls to 0 over three quarters of the turns.
            It keeps modes from being lost early on; 0 is the published game.
        averaging: The decay of the average of the generator's weights, from which samples come; 0 is the generator as it is.
        batch_size: Rows a turn, real and generated.
        max_iter: Turns: an update of the discriminator, and one of the generator.
        device: The device to train on: "auto", "cpu", "cuda" or "mps".
        random_state: Seed of the first weights, the rows and the noise.

    Attributes:
        generator_, discriminator_: The networks: descriptions as JSON text, and arrays by name.
        mean_, scale_: Of each feature.
        history_: Means of some turns each: both losses in nats, and the shares that the discriminator has right.
        n_iter_: Turns.

    Example:
        >>> X = np.random.default_rng(0).normal(4.0, 1.25, (500, 1))
        >>> gan = GAN(hidden_layer_sizes=(16,), max_iter=100, random_state=0).fit(X)
        >>> gan.sample(3).shape
        (3, 1)
    """

    latent_size: int = 8
    _: KW_ONLY
    latent: str = "normal"
    hidden_layer_sizes: int | tuple[int, ...] = (128, 128)
    activation: str = "leaky_relu"
    learning_rate: float = 2e-3
    betas: tuple[float, float] = (0.5, 0.999)
    blur: float = 0.5
    averaging: float = 0.995
    batch_size: int = 256
    max_iter: int = 3000
    device: str = "auto"
    random_state: Any = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on the rows X (N, n).

        Raises:
            UsageError: a setting is out of its range.
            NumericError: a loss left the finite numbers.
        """
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self._check()
        inner = sizes_of("hidden_layer_sizes", self.hidden_layer_sizes)
        networks = (
            Network("generator", (self.latent_size,), dense((*inner, X.shape[1]), self.activation)),
            Network("discriminator", (X.shape[1],), dense((*inner, 1), self.activation)),
        )
        need_units(self, sum(network.params for network in networks))
        self.mean_, deviations = X.mean(0), X.std(0)
        self.scale_ = np.where(deviations > 0, deviations, 1.0)
        device, seed = choose_device(self.device), seed_of(self.random_state)
        with torch_seed(mixed(seed), device), threads_for(self.batch_size * sum(network.macs for network in networks)):
            generator, discriminator = (network.build().to(device) for network in networks)
            game = Game(
                generator,
                nn.Sequential(discriminator, nn.Flatten(0)),
                learning_rate=self.learning_rate,
                betas=self.betas,
                averaging=self.averaging,
            )
            self.history_ = self._play(game, torch.tensor((X - self.mean_) / self.scale_, dtype=torch.float32, device=device))
        self.generator_, self.discriminator_ = packed(networks[0], game.average), packed(networks[1], discriminator)
        self.n_iter_ = self.max_iter
        return self

    def _check(self) -> None:
        check_counts(latent_size=self.latent_size, batch_size=self.batch_size, max_iter=self.max_iter)
        check_rate(self.learning_rate)
        check_betas(self.betas)
        check_numbers(blur=self.blur, averaging=self.averaging)
        check_word(latent=self.latent, known=("normal", "uniform"))
        if not self.blur >= 0:
            raise UsageError(f"blur must not be negative, got {self.blur}")
        if not 0 <= self.averaging < 1:
            raise UsageError(f"averaging must be from 0 to below 1, got {self.averaging}")

    def _play(self, game: Game, X: Tensor) -> list[dict[str, float]]:
        """All turns; a row of history after every so many."""
        every, turns, history = max(1, self.max_iter // ROWS_OF_HISTORY), list[Turn](), list[dict[str, float]]()
        for turn in range(1, self.max_iter + 1):
            game.set_rate(self.learning_rate * min(1.0, 2 - 2 * (turn - 1) / self.max_iter))
            game.blur = self.blur * max(0.0, 1 - turn / (BLURRED * self.max_iter))
            rows, size = torch.randint(len(X), (self.batch_size,)), (self.batch_size, self.latent_size)
            noise = torch.randn(size) if self.latent == "normal" else torch.rand(size) * 2 - 1
            turns.append(game.play(X[rows.to(X.device)], noise.to(X.device)))
            if turn % every == 0 or turn == self.max_iter:
                history.append(row_of(turns, "turn", turn, self.learning_rate))
                turns = []
        return history

    def noise(self, n: int, *, random_state: Any = None) -> np.ndarray:
        """`n` draws of z: (n, latent_size). None for `random_state` takes the estimator's own.

        Raises:
            UsageError: n is less than 1.
        """
        check_counts(n=n)
        generator = random_state_of(self.random_state if random_state is None else random_state)
        size = (n, self.latent_size)
        drawn: np.ndarray = generator.normal(size=size) if self.latent == "normal" else generator.uniform(-1, 1, size=size)
        return drawn

    def generate(self, noise: Any) -> np.ndarray:
        """Generate rows from noise (N, latent_size): (N, n) float64, in the units of X.

        Raises:
            ShapeError: the noise has another shape.
        """
        check_is_fitted(self)
        z = np.asarray(noise, dtype=np.float64)
        if z.ndim != 2 or z.shape[1] != self.latent_size:
            raise ShapeError(f"noise must be (N, {self.latent_size}), got {z.shape}")
        with torch.no_grad():
            rows = unpacked("generator_", self.generator_).double()(torch.from_numpy(z))
        made: np.ndarray = rows.numpy() * self.scale_ + self.mean_
        return made

    def sample(self, n: int = 1, *, random_state: Any = None) -> np.ndarray:
        """`n` rows: (n, features). None for `random_state` takes the estimator's own.

        Raises:
            UsageError: n is less than 1.
        """
        check_is_fitted(self)
        return self.generate(self.noise(n, random_state=random_state))

    def interpolate(self, *, steps: int = 8, random_state: Any = None) -> np.ndarray:
        """Rows along the line between two draws of z: (steps, n)."""
        check_is_fitted(self)
        check_counts(steps=steps)
        first, last = self.noise(2, random_state=random_state)
        return self.generate(np.linspace(first, last, steps))

    def discriminate(self, X: Any) -> np.ndarray:
        """D(x), the probability of each row to be real: (N,) float64."""
        check_is_fitted(self)
        rows = (validate_data(self, X, dtype=np.float64, reset=False) - self.mean_) / self.scale_
        with torch.no_grad():
            logits = unpacked("discriminator_", self.discriminator_).double()(torch.from_numpy(rows))
        return finite_answers(logits.sigmoid().flatten().numpy())

    def diagnose(self, X: Any, *, num_modes: int = 8, num_samples: int = 2000, random_state: Any = None) -> CollapseReport:
        """Diagnose the samples: their coverage of the modes of X, found by k-means, and the balance with the discriminator.

        A sample is good when it is no farther from its nearest centre than 99 % of that mode's own rows, and a half.

        Raises:
            UsageError: num_modes is less than 1, or more than there are different rows.
        """
        check_is_fitted(self)
        check_counts(num_modes=num_modes, num_samples=num_samples)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        different = len(np.unique(X, axis=0))
        if num_modes > different:
            raise UsageError(f"num_modes must be at most the {different} different rows of X, got {num_modes}")
        samples = self.sample(num_samples, random_state=random_state)
        rows, made = ((array - self.mean_) / self.scale_ for array in (X, samples))
        clusters = KMeans(num_modes, n_init=10, random_state=0).fit(rows)
        of_rows, of_made = clusters.labels_, clusters.predict(made)
        far_rows, far_made = clusters.transform(rows).min(1), clusters.transform(made).min(1)
        modes, good = [], np.zeros(len(made), bool)
        for k, centre in enumerate(clusters.cluster_centers_):
            limit = 1.5 * np.quantile(far_rows[of_rows == k], FAR)
            near = (of_made == k) & (far_made <= limit)
            good |= near
            where = ", ".join(f"{value:.3g}" for value in (centre * self.scale_ + self.mean_)[:3])
            name = f"({where}{', ...' if len(centre) > 3 else ''})"
            shares = float((of_rows == k).mean()), float(near.mean())
            modes.append(Mode(name=name, real_share=shares[0], generated_share=shares[1], spread=spread_of(made[near], rows[of_rows == k])))
        return CollapseReport(
            modes=tuple(modes),
            good_share=float(good.mean()),
            real_right=float((self.discriminate(X) > 0.5).mean()),
            generated_right=float((self.discriminate(samples) < 0.5).mean()),
        )
