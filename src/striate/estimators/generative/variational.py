"""The variational autoencoder: an encoder that gives means and deviations, and a decoder that samples are drawn with.

Source: Kingma and Welling, 2014, arXiv:1312.6114v10, equation 10 and appendices B and C; the bound by importance weights: Burda et al.,
2016, arXiv:1509.00519v4, equation 8.
Departs from the source: Adam in place of Adagrad, ReLU in place of tanh; values that are not in [0, 1] are standardized, and are normal
around the decoder's answer with one deviation that is learned.
Known size: 652,824 parameters with 784 inputs, 400 hidden units and 20 components.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.devices import choose_device
from striate.core.errors import DataError, ShapeError, UsageError
from striate.core.seeds import mixed, torch_seed
from striate.core.settings import check_counts, check_rate, sizes_of
from striate.estimators.described import dense, descend, packed, unpacked
from striate.estimators.numbers import finite_answers, need_units, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of, seed_of
from striate.models.threads import threads_for
from striate.networks.network import Network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIKELIHOODS = ("auto", "bernoulli", "gaussian")


def divergence_from_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""KL(N(mean, variance) || N(0, 1)) of each row, summed over its components, in nats.

        KL = -1/2 sum_j (1 + log s_j^2 - m_j^2 - s_j^2)

    Args:
        mean: m (N, J).
        log_variance: log s^2 (N, J).

    Returns:
        (N,).

    Source: Kingma and Welling, 2014, appendix B.
    """
    return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)


def reparametrized(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Samples z = m + s e of N(m, s^2), through which gradients reach m and s; `noise` e is standard normal."""
    return mean + (0.5 * log_variance).exp() * noise


@dataclass(eq=False, repr=False)
class VariationalAutoencoder(Saved, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn's
    """A generative model of rows: z from a standard normal, then x from the decoder's distribution given z.

        log p(x) >= E[log p(x|z)] - KL(q(z|x) || p(z))         q(z|x) = N(m(x), s(x)^2)         z = m + s e

    Args:
        n_components: Components of z.
        hidden_layer_sizes: Units between x and z; the decoder has them in the other order.
        activation: Behind each hidden layer, by its name in the vocabulary of layers.
        likelihood: "bernoulli" for values in [0, 1], "gaussian" for others; "auto" looks at X.
        learning_rate: Adam's; it falls to 0 along a cosine.
        batch_size: Samples an update.
        max_iter: Epochs.
        device: The device to train on: "auto", "cpu", "cuda" or "mps".
        random_state: Seed of the first weights, the orders and the draws.

    Attributes:
        encoder_, decoder_: The networks: descriptions as JSON text, and arrays by name. The encoder gives m, then log s^2.
        likelihood_: "bernoulli" or "gaussian".
        mean_, scale_: Of each feature, where it is gaussian.
        deviation_: Of x around the decoder's answer, in units of scale_, where it is gaussian.
        loss_curve_: Minus the bound, in nats a sample, the mean of each epoch.
        n_iter_: Epochs.

    Example:
        >>> X = [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]] * 10
        >>> vae = VariationalAutoencoder(1, learning_rate=0.01, max_iter=200, random_state=0).fit(X)
        >>> vae.reconstruct(X[:2]).round().tolist()
        [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """

    n_components: int = 20
    _: KW_ONLY
    hidden_layer_sizes: int | tuple[int, ...] = (400,)
    activation: str = "relu"
    likelihood: str = "auto"
    learning_rate: float = 2e-3
    batch_size: int = 128
    max_iter: int = 30
    device: str = "auto"
    random_state: Any = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Maximise the bound over the rows X (N, n).

        Raises:
            DataError: the likelihood is bernoulli, and a value is outside [0, 1].
            UsageError: a setting is out of its range.
            NumericError: the bound left the finite numbers.
        """
        X = validate_data(self, X, dtype=np.float64)
        self._check(X)
        width, inner = X.shape[1], sizes_of("hidden_layer_sizes", self.hidden_layer_sizes)
        encoder_network = Network("encoder", (width,), dense((*inner, 2 * self.n_components), self.activation))
        decoder_network = Network("decoder", (self.n_components,), dense((*inner[::-1], width), self.activation))
        need_units(self, encoder_network.params + decoder_network.params)
        gaussian = self.likelihood_ == "gaussian"
        self.mean_ = X.mean(0) if gaussian else np.zeros(width)
        deviations = X.std(0) if gaussian else np.ones(width)
        self.scale_ = np.where(deviations > 0, deviations, 1.0)
        device, seed = choose_device(self.device), seed_of(self.random_state)
        with torch_seed(mixed(seed), device), threads_for(self.batch_size * (encoder_network.macs + decoder_network.macs)):
            encoder, decoder = encoder_network.build().to(device), decoder_network.build().to(device)
            log_deviation = nn.Parameter(torch.zeros((), device=device), requires_grad=gaussian)

            def minus_bound(batch: Tensor) -> Tensor:
                mean, log_variance = encoder(batch).chunk(2, dim=1)  # (N, J) each
                z = reparametrized(mean, log_variance, torch.randn_like(mean))
                seen = log_likelihood(batch, decoder(z), log_deviation if gaussian else None)
                return (divergence_from_normal(mean, log_variance) - seen).mean()

            self.loss_curve_ = descend(
                [*encoder.parameters(), *decoder.parameters(), *([log_deviation] if gaussian else [])],
                minus_bound,
                torch.tensor((X - self.mean_) / self.scale_, dtype=torch.float32, device=device),
                epochs=self.max_iter,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
            )
        self.encoder_, self.decoder_ = packed(encoder_network, encoder), packed(decoder_network, decoder)
        self.deviation_ = math.exp(float(log_deviation.detach()))
        self.n_iter_ = self.max_iter
        return self

    def _check(self, X: np.ndarray) -> None:
        """Refuse settings out of range; decide what the likelihood is."""
        check_counts(n_components=self.n_components, batch_size=self.batch_size, max_iter=self.max_iter)
        check_rate(self.learning_rate)
        if self.likelihood not in LIKELIHOODS:
            raise UsageError(f"likelihood must be one of {', '.join(LIKELIHOODS)}, got {self.likelihood!r}")
        within = bool(X.min() >= 0 and X.max() <= 1)
        self.likelihood_ = self.likelihood if self.likelihood != "auto" else "bernoulli" if within else "gaussian"
        self._refuse_beyond(X)

    def _refuse_beyond(self, X: np.ndarray) -> None:
        if self.likelihood_ == "bernoulli" and not (X.min() >= 0 and X.max() <= 1):
            remedy = "Divide pixels by 255, or take likelihood='gaussian'."
            raise DataError(f"X must be in [0, 1] for a bernoulli likelihood, got values from {X.min():g} to {X.max():g}", remedy)

    def transform(self, X: Any) -> np.ndarray:
        """The mean of q(z|x) of each row: (N, n_components) float64."""
        return self.posterior(X)[0]

    def posterior(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """q(z|x) of each row: its means and its deviations, (N, n_components) float64 each."""
        with torch.no_grad():
            mean, log_variance = self._encoded(self._rows(X))
        return finite_answers(mean.numpy()), finite_answers((0.5 * log_variance).exp().numpy())

    def inverse_transform(self, codes: Any) -> np.ndarray:
        """The mean of p(x|z) of each row of codes (N, n_components): (N, n) float64, in the units of X.

        Raises:
            ShapeError: the codes have another width.
        """
        check_is_fitted(self)
        codes = np.asarray(codes, dtype=np.float64)
        if codes.ndim != 2 or codes.shape[1] != self._n_features_out:
            raise ShapeError(f"codes must be (N, {self._n_features_out}), got {codes.shape}")
        with torch.no_grad():
            answer = unpacked("decoder_", self.decoder_).double()(torch.from_numpy(codes))
        if self.likelihood_ == "bernoulli":
            answer = answer.sigmoid()
        rows: np.ndarray = answer.numpy() * self.scale_ + self.mean_
        return rows

    def reconstruct(self, X: Any) -> np.ndarray:
        """Each row as the decoder makes it of the mean of its q(z|x)."""
        return self.inverse_transform(self.transform(X))

    def sample(self, n: int = 1, *, random_state: Any = None) -> np.ndarray:
        """The means of p(x|z) of `n` draws of z: (n, features). None for `random_state` takes the estimator's own.

        Raises:
            UsageError: n is less than 1.
        """
        check_is_fitted(self)
        check_counts(n=n)
        generator = random_state_of(self.random_state if random_state is None else random_state)
        return self.inverse_transform(generator.normal(size=(n, self._n_features_out)))

    def interpolate(self, first: Any, last: Any, *, steps: int = 8) -> np.ndarray:
        """From one row to another along the straight line between their codes: (steps, n), both ends rebuilt."""
        check_counts(steps=steps)
        ends = self.transform([first, last])
        return self.inverse_transform(np.linspace(ends[0], ends[1], steps))

    def bound(self, X: Any, *, num_draws: int = 1, importance: bool = False, random_state: Any = None) -> np.ndarray:
        """A lower bound of log p(x) of each row, in nats: (N,).

        The mean over `num_draws` draws of z of log p(x|z), minus the exact divergence; or, with `importance`, the log of the mean
        weight p(x, z) / q(z|x), which comes closer to log p(x) the more draws there are.

        Args:
            X: (N, n).
            num_draws: Draws for each row.
            importance: Weigh them.
            random_state: Seed of the draws; None takes the estimator's own.

        Raises:
            DataError: the likelihood is bernoulli, and a value is outside [0, 1].
            UsageError: num_draws is less than 1.

        Cost: one pass of the encoder and `num_draws` of the decoder.
        """
        rows = self._rows(X)
        check_counts(num_draws=num_draws)
        generator = random_state_of(self.random_state if random_state is None else random_state)
        decoder = unpacked("decoder_", self.decoder_).double()
        log_deviation = torch.tensor(self.deviation_).double().log() if self.likelihood_ == "gaussian" else None
        terms = []
        with torch.no_grad():
            mean, log_variance = self._encoded(rows)
            divergence, x = divergence_from_normal(mean, log_variance), torch.from_numpy(rows)
            for _ in range(num_draws):
                noise = torch.from_numpy(generator.normal(size=mean.shape))
                z = reparametrized(mean, log_variance, noise)
                exact = -divergence if not importance else 0.5 * (noise**2 + log_variance - z**2).sum(1)  # log p(z) / q(z|x)
                terms.append(log_likelihood(x, decoder(z), log_deviation) + exact)
        several = torch.stack(terms)  # (draws, N)
        found = several.logsumexp(0) - math.log(num_draws) if importance else several.mean(0)
        nats: np.ndarray = found.numpy() - np.log(self.scale_).sum()
        return nats

    def plot(self, X: Any, y: Any = None) -> Figure:
        """The codes of samples X, the first two numbers of each, coloured by the labels y (N,) where given; a matplotlib figure.

        Raises:
            NotFittedError: nothing was fitted yet.
            UsageError: y does not fit X.
        """
        from striate.drawing.classical import codes_figure, labels_for

        codes = self.transform(X)
        return codes_figure(codes, labels_for(codes, y), f"Codes of {len(codes):,} samples")

    def score(self, X: Any, y: Any = None) -> float:
        """The mean bound of log p(x), in nats: more is better."""
        return float(self.bound(X).mean())

    def _rows(self, X: Any) -> np.ndarray:
        """X checked, in the units of the networks."""
        check_is_fitted(self)
        rows: np.ndarray = validate_data(self, X, dtype=np.float64, reset=False)
        self._refuse_beyond(rows)
        return (rows - self.mean_) / self.scale_

    def _encoded(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """The means and the log variances of q(z|x): (N, J) float64 each."""
        mean, log_variance = unpacked("encoder_", self.encoder_).double()(torch.from_numpy(rows)).chunk(2, dim=1)
        return mean, log_variance

    @property
    def _n_features_out(self) -> int:
        return int(self.decoder_["weights"]["linear1.weight"].shape[1])


def log_likelihood(x: Tensor, answer: Tensor, log_deviation: Tensor | None) -> Tensor:
    """log p(x|z) of each row (N,), in nats: of a normal with that deviation around `answer`, or without it of a Bernoulli of its logits."""
    if log_deviation is None:
        return -F.binary_cross_entropy_with_logits(answer, x, reduction="none").sum(1)
    return -0.5 * (((x - answer) / log_deviation.exp()) ** 2 + 2 * log_deviation + math.log(2 * math.pi)).sum(1)
