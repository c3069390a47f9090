"""Autoencoders, dense and convolutional: a code from which the input can be reconstructed.

Sources: Hinton and Salakhutdinov, 2006, "Reducing the dimensionality of data with neural networks"; Vincent et al., 2008, "Extracting and
composing robust features with denoising autoencoders"; with convolutions after Masci et al., 2011, "Stacked convolutional auto-encoders".
Departs from the sources: all layers are trained together from the start, by Adam; the output is linear.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from striate.core.devices import choose_device
from striate.core.errors import DataError, ShapeError, UsageError
from striate.core.seeds import mixed, torch_seed
from striate.core.settings import check_counts, check_numbers, check_rate, sizes_of
from striate.estimators.described import dense, descend, packed, unpacked
from striate.estimators.numbers import finite_answers, need_units, validate_data
from striate.estimators.persistence import Saved
from striate.estimators.randomness import seed_of
from striate.models.threads import threads_for
from striate.networks.layers import Activation, Chain, Conv, ConvTranspose, Layer
from striate.networks.network import Network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HIDDEN = (128, 64)  # units between input and code by default
MIN_EPOCHS, MIN_UPDATES = 100, 1000  # by default: small data has few updates an epoch


@dataclass(eq=False, repr=False)
class Autoencoder(Saved, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn's
    """A code of few numbers, and the way back.

        code = encoder(x)         error = mean (decoder(code) - x)^2

    With `hidden_layer_sizes=()` both are linear, and the codes span what the components of PCA span. With `noise`, the encoder sees x with
    of its values set to 0, and has to rebuild the whole.

    Args:
        n_components: Numbers in a code.
        hidden_layer_sizes: Units between input and code, of each layer; the decoder has them in the other order; None: 128 and 64,
            or none for pictures, with `channels`; (): none.
        channels: Maps of each convolution with stride 2; X is then pictures (N, H, W) or (N, H, W, C). Empty: X is rows (N, n).
        activation: Behind each hidden layer, by its name in the vocabulary of layers.
        noise: Share of the input that is set to 0 while training.
        learning_rate: Adam's; it falls to 0 along a cosine.
        batch_size: Samples an update.
        max_iter: Epochs; None: 100, or as many as 1,000 updates take.
        device: The device to train on: "auto", "cpu", "cuda" or "mps".
        random_state: Seed of the first weights, the orders and the noise.

    Attributes:
        encoder_, decoder_: The networks: descriptions as JSON text, and arrays by name.
        mean_: Of each feature; taken off before the encoder, added behind the decoder.
        scale_: One number for all features: their root mean square around the mean.
        loss_curve_: The mean error of each epoch, in units of scale_ squared.
        n_iter_: Epochs.

    Example:
        >>> X = [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 8.0]]
        >>> ae = Autoencoder(n_components=1, random_state=0).fit(X)
        >>> ae.inverse_transform(ae.transform(X)).round(1).tolist()
        [[1.0, 2.0], [2.0, 4.0], [3.0, 6.0], [4.0, 8.0]]
    """

    n_components: int = 2
    _: KW_ONLY
    hidden_layer_sizes: int | tuple[int, ...] | None = None
    channels: int | tuple[int, ...] = ()
    activation: str = "relu"
    noise: float = 0.0
    learning_rate: float = 3e-3
    batch_size: int = 64
    max_iter: int | None = None
    device: str = "auto"
    random_state: Any = None

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn to rebuild X: rows (N, n), or with `channels` pictures (N, H, W) or (N, H, W, C), uint8 or float.

        Raises:
            DataError: the pictures are not numbers, or not finite.
            ShapeError: X does not hold pictures, though `channels` are given, or they are too small.
            UsageError: a setting is out of its range.
            NumericError: the error left the finite numbers.
        """
        check_counts(n_components=self.n_components, batch_size=self.batch_size)
        check_counts(max_iter=1 if self.max_iter is None else self.max_iter)
        check_rate(self.learning_rate)
        check_numbers(noise=self.noise)
        Activation(self.activation)  # type: ignore[arg-type]  # the leaf checks the name, also where there is no hidden layer
        if not 0 <= self.noise < 1:
            raise UsageError(f"noise must be from 0 to below 1, got {self.noise}")
        if self.channels and self.hidden_layer_sizes:
            raise UsageError("hidden_layer_sizes is for rows and channels is for pictures, got both", "Leave one of them empty.")
        rows = self._rows(X, reset=True)
        updates = -(-len(rows) // self.batch_size)  # an epoch
        self.n_iter_ = max(MIN_EPOCHS, -(-MIN_UPDATES // updates)) if self.max_iter is None else self.max_iter
        self.mean_ = rows.mean(0)
        self.scale_ = float(np.sqrt(((rows - self.mean_) ** 2).mean())) or 1.0
        networks = self._networks()
        need_units(self, sum(network.params for network in networks))
        device, seed = choose_device(self.device), seed_of(self.random_state)
        with torch_seed(mixed(seed), device), threads_for(self.batch_size * sum(network.macs for network in networks)):
            encoder, decoder = (network.build().to(device) for network in networks)
            nothing = torch.tensor(self._shaped(-self.mean_[None] / self.scale_), dtype=torch.float32, device=device)

            def error(batch: Tensor) -> Tensor:
                seen = torch.where(torch.rand_like(batch) >= self.noise, batch, nothing) if self.noise else batch
                return F.mse_loss(decoder(encoder(seen)), batch)

            self.loss_curve_ = descend(
                [*encoder.parameters(), *decoder.parameters()],
                error,
                torch.tensor(self._shaped((rows - self.mean_) / self.scale_), dtype=torch.float32, device=device),
                epochs=self.n_iter_,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
            )
        self.encoder_, self.decoder_ = packed(networks[0], encoder), packed(networks[1], decoder)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The code of each sample: (N, n_components) float64."""
        check_is_fitted(self)
        encoder = unpacked("encoder_", self.encoder_).double()
        with torch.no_grad():
            seen = torch.from_numpy(self._shaped((self._rows(X) - self.mean_) / self.scale_))
            codes: np.ndarray = encoder(seen).flatten(1).numpy()
        return finite_answers(codes)

    def inverse_transform(self, codes: Any) -> np.ndarray:
        """Decode codes (N, n_components) to samples shaped as those that were fitted, float64.

        Raises:
            ShapeError: the codes have another width.
        """
        check_is_fitted(self)
        codes = np.asarray(codes, dtype=np.float64)
        if codes.ndim != 2 or codes.shape[1] != self._n_features_out:
            raise ShapeError(f"codes must be (N, {self._n_features_out}), got {codes.shape}")
        decoder = unpacked("decoder_", self.decoder_).double()
        with torch.no_grad():
            answer = decoder(torch.from_numpy(codes if len(self.shape_) == 1 else codes[:, :, None, None])).numpy()
        if len(self.shape_) > 1:
            answer = np.moveaxis(answer, 1, -1)  # (N, H, W, C)
        samples: np.ndarray = (answer.reshape(len(codes), -1) * self.scale_ + self.mean_).reshape(-1, *self.shape_)
        return finite_answers(samples, "codes")

    def reconstruct(self, X: Any) -> np.ndarray:
        """Each sample, reconstructed from its code; denoised, if it was trained with `noise`."""
        return self.inverse_transform(self.transform(X))

    def interpolate(self, first: Any, last: Any, *, steps: int = 8) -> np.ndarray:
        """From one sample to another along the straight line between their codes: (steps, ...), both ends rebuilt."""
        check_counts(steps=steps)
        ends = self.transform([first, last])
        return self.inverse_transform(np.linspace(ends[0], ends[1], steps))

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
        """The share of the variance of X around the fitted mean that the reconstruction keeps: 1 is all, 0 that of the mean.

        Where X is the mean, and nothing else: 1 if it is rebuilt without an error, or 0.
        """
        rebuilt = self.reconstruct(X)
        rows = self._rows(X)
        missed, whole = ((rebuilt.reshape(len(rows), -1) - rows) ** 2).sum(), ((rows - self.mean_) ** 2).sum()
        return float(1 - missed / whole) if whole > 0 else float(missed == 0)

    def _rows(self, X: Any, *, reset: bool = False) -> np.ndarray:
        """X checked, as float64 (N, n), a picture's channels last."""
        if not (self.channels if reset else len(self.shape_) > 1):
            rows: np.ndarray = validate_data(self, X, dtype=np.float64, reset=reset)
            self.shape_: tuple[int, ...] = rows.shape[1:] if reset else self.shape_
            return rows
        pictures = np.asarray(X)
        if pictures.ndim not in (3, 4) or 0 in pictures.shape:
            raise ShapeError(f"with channels, X must be pictures (N, H, W) or (N, H, W, C), got {pictures.shape}")
        if pictures.dtype.kind not in "uifb" or not np.isfinite(pictures).all():
            raise DataError("X must hold finite numbers", "Remove pictures with NaN or Inf.")
        if reset:
            self.shape_, self.n_features_in_ = pictures.shape[1:], int(np.prod(pictures.shape[1:]))
        if pictures.shape[1:] != self.shape_:
            raise ShapeError(f"X has pictures of shape {pictures.shape[1:]}, the autoencoder was fitted to {self.shape_}")
        return pictures.reshape(len(pictures), -1).astype(np.float64)

    def _shaped(self, rows: np.ndarray) -> np.ndarray:
        """Rows as the encoder takes them: (N, n), or (N, C, H, W)."""
        if len(self.shape_) == 1:
            return rows
        height, width = self.shape_[:2]
        return np.ascontiguousarray(np.moveaxis(rows.reshape(len(rows), height, width, -1), 3, 1))

    def _networks(self) -> tuple[Network, Network]:
        """The descriptions of the encoder and the decoder."""
        if len(self.shape_) == 1:
            inner = HIDDEN if self.hidden_layer_sizes is None else sizes_of("hidden_layer_sizes", self.hidden_layer_sizes)
            width = self.shape_[0]
            encoder = Network("encoder", (width,), dense((*inner, self.n_components), self.activation))
            return encoder, Network("decoder", (self.n_components,), dense((*inner[::-1], width), self.activation))
        height, width = self.shape_[:2]
        depth = self.shape_[2] if len(self.shape_) == 3 else 1
        return convolutional((depth, height, width), sizes_of("channels", self.channels), self.n_components, self.activation)

    @property
    def _n_features_out(self) -> int:
        return len(self.decoder_["weights"]["linear1.weight"][0]) if len(self.shape_) == 1 else len(self.decoder_["weights"]["code.weight"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = not self.channels
        tags.input_tags.three_d_array = bool(self.channels)
        return tags


def convolutional(shape: tuple[int, int, int], channels: tuple[int, ...], n_components: int, activation: str) -> tuple[Network, Network]:
    """Halving 3x3 convolutions and one over all that is left; and the same way back, to the same sizes.

    Args:
        shape: (C, H, W) of the pictures.
        channels: Maps of each convolution.
        n_components: Numbers in a code.
        activation: Behind each convolution but the code's and the picture's.
    """
    act = Activation(activation)  # type: ignore[arg-type]  # the leaf checks the name
    sizes = [shape[1:]]
    for _ in channels:
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    down: dict[str, Layer] = {}
    for place, maps in enumerate(channels, start=1):
        down |= {f"conv{place}": Conv(maps, 3, stride=2, padding=1), f"act{place}": act}
    down |= {"code": Conv(n_components, sizes[-1])}
    up: dict[str, Layer] = {"code": ConvTranspose(channels[-1], sizes[-1])}
    for place in range(len(channels), 0, -1):
        extra = (1 - sizes[place - 1][0] % 2, 1 - sizes[place - 1][1] % 2)  # an odd size came out of the convolution as an even one did
        maps = channels[place - 2] if place > 1 else shape[0]
        up |= {f"act{place}": act, f"conv{place}": ConvTranspose(maps, 3, stride=2, padding=1, output_padding=extra)}
    return Network("encoder", shape, Chain(**down)), Network("decoder", (n_components, 1, 1), Chain(**up))
