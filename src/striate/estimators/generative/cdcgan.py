"""The conditional deep convolutional GAN: pictures of a given label.

Sources: Mirza and Osindero, 2014, arXiv:1411.1784v1; Radford, Metz and Chintala, 2016, arXiv:1511.06434v2. The layers are in
`cdcgan_players.py`.
Departs from the sources: a batch's generated pictures have the labels of its real ones; samples may come from averaged weights.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from striate.core.devices import choose_device
from striate.core.errors import DataError, ShapeError, UnknownNameError, UsageError
from striate.core.images import ImageSpec
from striate.core.seeds import mixed, torch_seed
from striate.core.settings import check_betas, check_counts, check_numbers, check_rate
from striate.data.arrays import as_images, as_labels
from striate.data.fitting import fit_images
from striate.estimators.described import unpacked
from striate.estimators.generative.adversarial import CollapseReport, Game, Mode, row_of, spread_of
from striate.estimators.generative.cdcgan_players import SIZE, Conditional, begun, describe_discriminator, describe_generator, kept
from striate.estimators.numbers import need_units
from striate.estimators.persistence import Saved
from striate.estimators.randomness import random_state_of, seed_of

GROUP = 250  # pictures that run together


@dataclass(kw_only=True, eq=False, repr=False)
class ConditionalDCGAN(Saved, BaseEstimator):  # type: ignore[misc]  # scikit-learn carries no types
    """Draws 32 x 32 pictures of a label, after pictures X with labels y.

        the discriminator climbs  E[log D(x, y)] + E[log(1 - D(G(z, y), y))]         the generator climbs  E[log D(G(z, y), y)]

    Args:
        latent_size: Numbers in z, drawn from N(0, 1).
        width: Of the layers; 64 is the published size, and half as wide is four times as quick.
        learning_rate: Of both Adams; a tenth from half of the epochs on, and a hundredth from three quarters on.
        betas: Of both Adams.
        averaging: The decay of the average of the generator's weights, from which samples come; 0 is the generator as it is, as published.
        batch_size: Pictures a turn, real and generated.
        max_iter: Epochs.
        verbose: Print a line per epoch to stderr.
        device: The device to train and sample on: "auto", "cpu", "cuda" or "mps".
        random_state: Seed of the first weights, the orders and the noise.

    Attributes:
        generator_, discriminator_: Their three networks each: descriptions as JSON text, and arrays by name.
        classes_: The labels.
        history_: Of each epoch: both losses in nats, and the shares that the discriminator has right.
        n_iter_: Epochs.

    Example:
        >>> X = np.random.default_rng(0).integers(0, 256, (8, 28, 28), dtype=np.uint8)
        >>> gan = ConditionalDCGAN(width=2, max_iter=1, batch_size=4, random_state=0).fit(X, ["a", "b"] * 4)
        >>> gan.sample(3, "b").shape
        (3, 32, 32)
    """

    latent_size: int = 100
    width: int = 64
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    averaging: float = 0.0
    batch_size: int = 128
    max_iter: int = 20
    verbose: bool = False
    device: str = "auto"
    random_state: Any = None

    def fit(self, X: Any, y: Any) -> Self:
        """Train on pictures X (n, h, w) or (n, h, w, c), uint8 or in [0, 1], with a label each.

        Raises:
            DataError: the pictures have another shape or range, there are fewer than a batch, or not one label each.
            UsageError: a setting is out of its range.
            NumericError: a loss left the finite numbers.
        """
        check_counts(latent_size=self.latent_size, width=self.width, max_iter=self.max_iter)
        check_rate(self.learning_rate)
        check_betas(self.betas)
        check_counts(batch_size=self.batch_size)
        check_numbers(averaging=self.averaging)
        if self.batch_size < 2:
            raise UsageError(f"batch_size must be at least 2, for the statistics of a batch, got {self.batch_size}")
        if not 0 <= self.averaging < 1:
            raise UsageError(f"averaging must be from 0 to below 1, got {self.averaging}")
        images = self._images(X)
        self.classes_, places = np.unique(as_labels(y, len(images), "y"), return_inverse=True)
        if len(images) < self.batch_size:
            raise DataError(f"X has {len(images)} pictures, fewer than a batch of {self.batch_size}", "Lower batch_size.")
        self.channels_ = images.shape[3]
        num = len(self.classes_)
        players = (
            describe_generator(num, channels=self.channels_, latent_size=self.latent_size, width=self.width),
            describe_discriminator(num, channels=self.channels_, width=self.width),
        )
        need_units(self, sum(player.params for player in players))
        device, seed = choose_device(self.device), seed_of(self.random_state)
        with torch_seed(mixed(seed), device):
            generator, discriminator = (
                begun(player, extent).to(device).to(memory_format=torch.channels_last)
                for player, extent in zip(players, (1, SIZE), strict=True)
            )
            game = Game(generator, discriminator, learning_rate=self.learning_rate, betas=self.betas, averaging=self.averaging)
            shares = F.one_hot(torch.from_numpy(places.reshape(-1)), num).float()
            pictures = torch.from_numpy(images).permute(0, 3, 1, 2)  # (N, C, H, W)
            self.history_ = [self._epoch(game, epoch, pictures, shares, device) for epoch in range(1, self.max_iter + 1)]
        self.generator_, self.discriminator_ = kept(players[0], game.average), kept(players[1], discriminator)
        self.n_iter_ = self.max_iter
        return self

    def _epoch(self, game: Game, epoch: int, pictures: Tensor, shares: Tensor, device: torch.device) -> dict[str, float]:
        """One pass over whole batches in a new order."""
        game.set_rate(self.learning_rate * (1.0 if 2 * epoch <= self.max_iter + 1 else 0.1 if 4 * epoch <= 3 * self.max_iter else 0.01))
        turns = []
        for rows in torch.randperm(len(pictures)).split(self.batch_size):  # type: ignore[no-untyped-call]
            if len(rows) == self.batch_size:
                real = (pictures[rows].to(device).float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
                noise = torch.randn(len(rows), self.latent_size, 1, 1).to(device)
                turns.append(game.play(real, noise, (shares[rows].to(device),)))
        row = row_of(turns, "epoch", epoch, self.learning_rate)
        if self.verbose:
            values = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in row.items() if name != "epoch")
            sys.stderr.write(f"epoch {epoch} of {self.max_iter}: {values}\n")
        return row

    def noise(self, n: int, *, random_state: Any = None) -> np.ndarray:
        """`n` draws of z: (n, latent_size). None for `random_state` takes the estimator's own.

        Raises:
            UsageError: n is less than 1.
        """
        check_counts(n=n)
        generator = random_state_of(self.random_state if random_state is None else random_state)
        drawn: np.ndarray = generator.normal(size=(n, self.latent_size))
        return drawn

    def generate(self, noise: Any, shares: Any) -> np.ndarray:
        """Generate pictures from noise (N, latent_size) and (N, K) shares of the labels, such as a 1 at one of them.

        Returns:
            uint8 (N, 32, 32), or (N, 32, 32, C) where the pictures had colours.

        Raises:
            ShapeError: the rows have other widths, or differ in number.
        """
        check_is_fitted(self)
        z, told = np.asarray(noise, dtype=np.float32), np.asarray(shares, dtype=np.float32)
        wanted = (self.generator_["content"]["weights"]["conv.weight"].shape[0], len(self.classes_))
        if z.ndim != 2 or told.ndim != 2 or (z.shape[1], told.shape[1]) != wanted or len(z) != len(told):
            raise ShapeError(f"noise and shares must be (N, {wanted[0]}) and (N, {wanted[1]}), got {z.shape} and {told.shape}")
        generator = self._player("generator_", self.generator_, 1)
        device = next(generator.parameters()).device
        made = []
        with torch.no_grad():
            for start in range(0, len(z), GROUP):
                some, of = (torch.from_numpy(array[start : start + GROUP]).to(device) for array in (z, told))
                made.append(generator(some[:, :, None, None], of).cpu())
        pictures: np.ndarray = ((torch.cat(made) + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        return pictures[..., 0] if self.channels_ == 1 else pictures

    def sample(self, n: int = 1, label: Any = None, *, random_state: Any = None) -> np.ndarray:
        """`n` pictures of `label`, or of one label each; without one, of all labels in turn: uint8 (n, 32, 32[, C]).

        Raises:
            UnknownNameError: a label was not among those fitted.
            UsageError: n is less than 1.
        """
        check_is_fitted(self)
        return self.generate(self.noise(n, random_state=random_state), self._shares(n, label))

    def interpolate_labels(self, first: Any, last: Any, *, steps: int = 8, random_state: Any = None) -> np.ndarray:
        """One draw of noise, told to be less and less `first` and more and more `last`: uint8 (steps, 32, 32[, C])."""
        check_is_fitted(self)
        check_counts(steps=steps)
        ends = self._shares(2, [first, last])
        return self.generate(self.noise(1, random_state=random_state).repeat(steps, axis=0), np.linspace(ends[0], ends[1], steps))

    def interpolate_noise(self, label: Any, *, steps: int = 8, random_state: Any = None) -> np.ndarray:
        """One label, from one draw of noise to another along the great circle between them: uint8 (steps, 32, 32[, C])."""
        check_is_fitted(self)
        check_counts(steps=steps)
        first, last = self.noise(2, random_state=random_state)
        angle = np.arccos(first @ last / np.linalg.norm(first) / np.linalg.norm(last))
        t = np.linspace(0, 1, steps)[:, None]
        noise = (np.sin((1 - t) * angle) * first + np.sin(t * angle) * last) / np.sin(angle)
        return self.generate(noise, self._shares(steps, label))

    def discriminate(self, X: Any, y: Any) -> np.ndarray:
        """D(x, y), the probability of each picture to be a real one of its label: (N,) float64."""
        check_is_fitted(self)
        images = self._images(X)
        if images.shape[3] != self.channels_:
            raise ShapeError(f"X has pictures of {images.shape[3]} channels, the network was fitted to {self.channels_}")
        shares = torch.from_numpy(self._shares(len(images), np.asarray(y))).float()
        discriminator = self._player("discriminator_", self.discriminator_, SIZE)
        device = next(discriminator.parameters()).device
        answers = []
        with torch.no_grad():
            for g in range(0, len(images), GROUP):
                real = torch.from_numpy(images[g : g + GROUP]).permute(0, 3, 1, 2).to(device).float() / 127.5 - 1
                answers.append(discriminator(real, shares[g : g + GROUP].to(device)).double().sigmoid().cpu())
        probabilities: np.ndarray = torch.cat(answers).numpy()
        return probabilities

    def diagnose(self, X: Any, y: Any, *, classifier: Any = None, num_samples: int = 100, random_state: Any = None) -> CollapseReport:
        """Diagnose the samples: their variety for each label, their labels, and the balance with the discriminator.

        Args:
            X: Real pictures.
            y: Their labels.
            classifier: Tells the label of uint8 pictures (n, 32, 32[, C]) by `predict`; it must not have learned from this network.
            num_samples: For each label.
            random_state: Seed of the noise; None takes the estimator's own.
        """
        check_is_fitted(self)
        check_counts(num_samples=num_samples)
        labels = np.repeat(self.classes_, num_samples)
        samples = self.sample(len(labels), labels, random_state=random_state)
        images, known = self._images(X), as_labels(y, len(X), "y")
        told = np.asarray(classifier.predict(samples)) == labels if classifier is not None else None
        modes = []
        for label in self.classes_:
            real, mine = (array.reshape(len(array), -1) / 255 for array in (images[known == label], samples[labels == label]))
            modes.append(
                Mode(
                    name=str(label),
                    real_share=len(real) / len(images),
                    generated_share=len(real) / len(images),  # as many as are asked for
                    spread=spread_of(mine, real),
                    agreement=float(told[labels == label].mean()) if told is not None else None,
                )
            )
        return CollapseReport(
            modes=tuple(modes),
            real_right=float((self.discriminate(X, y) > 0.5).mean()),
            generated_right=float((self.discriminate(samples, labels) < 0.5).mean()),
            agreement=float(told.mean()) if told is not None else None,
        )

    def _images(self, X: Any) -> np.ndarray:
        """Pictures checked, brought to 32 x 32: uint8 (N, 32, 32, C)."""
        images = as_images(X, "X")
        channels = images.shape[3]
        spec = ImageSpec(height=SIZE, width=SIZE, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels, fit="pad")
        return images if images.shape[1:3] == (SIZE, SIZE) else fit_images(images, spec)

    def _shares(self, n: int, label: Any) -> np.ndarray:
        """A 1 at the label of each of `n` rows: (n, K)."""
        wanted = np.resize(self.classes_, n) if label is None else np.asarray(label)
        wanted = np.broadcast_to(wanted, n) if wanted.ndim == 0 else wanted
        if wanted.shape != (n,):
            raise ShapeError(f"label must be one label, or one for each of {n} pictures, got shape {wanted.shape}")
        unknown = [value for value in wanted.tolist() if value not in self.classes_.tolist()]
        if unknown:
            names = [str(value) for value in self.classes_]
            raise UnknownNameError("label", str(unknown[0]), names, f"The labels are {', '.join(names[:20])}.")
        shares: np.ndarray = (wanted[:, None] == self.classes_).astype(np.float64)
        return shares

    def _player(self, name: str, content: Mapping[str, Any], extent: int) -> Conditional:
        """A fitted player, in evaluation mode, on the device."""
        parts = {part: unpacked(f"{name}.{part}", weights) for part, weights in content.items()}
        return Conditional(parts, extent).to(choose_device(self.device)).to(memory_format=torch.channels_last).eval()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        return tags
