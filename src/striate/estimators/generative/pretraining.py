"""Training the first layers of a network on pictures without labels, one after the other, each as a denoising autoencoder.

Source: Vincent et al., 2008, Extracting and composing robust features with denoising autoencoders, ICML; with convolutions after Masci et
al., 2011, Stacked convolutional auto-encoders for hierarchical feature extraction, ICANN.
Departs from the sources: the code is what the network's own activation behind the layer gives (ReLU where there is none); the decoder has
weights of its own (not the encoder's, transposed) and works on the code brought to the size of the layer's input by repetition, so that it
fits any stride; pooling and normalization between the layers are passed as they are, and not undone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import NumericError, UsageError
from striate.core.modes import evaluation_mode, hooked
from striate.core.seeds import mixed, torch_seed

if TYPE_CHECKING:
    from striate.networks.modules.image import ImageModule

STREAM = 0x41E  # of the seed: order of the pictures, noise, decoders
WITH_WEIGHTS = (nn.Conv2d, nn.Linear)
NUM_MEASURED = 256  # pictures that the error is measured on


@dataclass(frozen=True, kw_only=True)
class LayerPretraining:
    """The result of training one layer. Errors are mean squares over the variance of the layer's input: 1 is that of its mean."""

    layer: str  # its path in the network
    error_before: float
    error_after: float


def pretrain_first_layers(
    module: ImageModule,
    images: np.ndarray,
    *,
    num_layers: int = 2,
    epochs: int = 2,
    noise: float = 0.3,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> tuple[LayerPretraining, ...]:
    r"""Train the first convolutions or dense layers of `module` in place, without labels; returns how well each learned to reconstruct.

    For layer l with input x, that of the network as its layers before l are by now, and m a mask that is 0 for a share `noise` of x:

        h = a_l(W_l (m x) + b_l)         error = mean over x of (decoder(h) - x)^2

    Args:
        module: Takes uint8 images (N, H, W, C); on any device. Its other weights and its statistics stay as they are.
        images: (N, H, W, C) uint8, of the network's own size.
        num_layers: The number of layers, in the order in which they run.
        epochs: Passes over the images for each layer.
        noise: Share of a layer's inputs that is set to 0.
        batch_size: Images an update.
        learning_rate: Of Adam.
        seed: Of the order of the images, the noise and the decoders; torch's own generators stay as they are.

    Raises:
        UsageError: the network has no such layers, there are no images, or a number is out of range.
        NumericError: an error is not finite.

    Cost: for layer l, `epochs` passes through the layers up to l and back through l alone.
    """
    if num_layers < 1 or epochs < 1 or batch_size < 1 or not 0 <= noise < 1 or len(images) == 0:
        message = f"pretraining needs images, layers, epochs and a noise in [0, 1), got {len(images)}, {num_layers}, {epochs} and {noise}"
        raise UsageError(message)
    layers = first_layers(module, images[:1], num_layers)
    if not layers:
        raise UsageError("the network has no convolution or dense layer to train without labels")
    device = next(module.parameters()).device
    found = []
    with torch_seed(mixed(seed, STREAM), device), evaluation_mode(module):
        for path, layer, activation in layers:
            example = input_of(layer, module, images[:1])
            decoder = decoder_of(layer, example).to(device)
            measured = images[np.linspace(0, len(images) - 1, min(len(images), NUM_MEASURED)).astype(np.int64)]
            before = _relative_error(layer, activation, decoder, input_of(layer, module, measured))
            optimizer = torch.optim.Adam([*layer.parameters(), *decoder.parameters()], lr=learning_rate)
            for _ in range(epochs):
                order = torch.randperm(len(images)).numpy()
                for start in range(0, len(images), batch_size):
                    x = input_of(layer, module, images[order[start : start + batch_size]])  # (N, C, H, W) or (N, F)
                    kept = x * (torch.rand_like(x) >= noise)
                    loss = F.mse_loss(reconstructed(layer, activation, decoder, kept), x)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
            after = _relative_error(layer, activation, decoder, input_of(layer, module, measured))
            if not np.isfinite(after):
                raise NumericError(f"the reconstruction error of {path} is not finite", "Take a smaller learning rate.")
            layer.zero_grad(set_to_none=True)
            found.append(LayerPretraining(layer=path, error_before=before, error_after=after))
    return tuple(found)


class _ReachedError(Exception):
    """The layer's input is known: the rest of the network need not run."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.x = x


def input_of(layer: nn.Module, module: nn.Module, images: np.ndarray) -> Tensor:
    """The input of `layer` when `module` is given uint8 images (N, H, W, C)."""

    def stop(_: nn.Module, inputs: Any) -> None:
        raise _ReachedError(inputs[0])

    try:
        with layer.register_forward_pre_hook(stop), torch.no_grad():
            module(torch.from_numpy(np.array(images)).to(next(module.parameters()).device))
    except _ReachedError as reached:
        return reached.x.detach()
    raise UsageError("a layer does not run")


class FirstLayer(NamedTuple):
    """A layer to train: its path in the network, and the activation that follows it."""

    path: str
    layer: nn.Module
    activation: nn.Module


def first_layers(module: ImageModule, images: np.ndarray, num_layers: int) -> list[FirstLayer]:
    """The first convolutions and dense layers, in the order in which they run; not the last, the head."""
    order: list[tuple[str, nn.Module]] = []
    named = [(path, part) for path, part in module.network.named_modules() if isinstance(part, WITH_WEIGHTS) or _is_activation(part)]
    handles = [part.register_forward_pre_hook(lambda part, _, path=path: order.append((path, part))) for path, part in named]
    with hooked(handles), torch.no_grad(), evaluation_mode(module):
        module(torch.from_numpy(np.array(images)).to(next(module.parameters()).device))
    found: dict[str, FirstLayer] = {}
    for place, (path, part) in enumerate(order):
        if isinstance(part, WITH_WEIGHTS):
            following = order[place + 1][1] if place + 1 < len(order) else part
            found.setdefault(path, FirstLayer(path, part, following if _is_activation(following) else nn.ReLU()))
    return list(found.values())[:-1][:num_layers]


def _is_activation(part: nn.Module) -> bool:
    """Return whether a module without weights is one of torch's or of our own activations."""
    return type(part).__module__.endswith(".activation") and next(part.parameters(), None) is None


def decoder_of(layer: nn.Module, x: Tensor) -> nn.Module:
    """A fresh layer back from the code of `layer` to an input like `x`: as wide a window, without stride."""
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.out_features, x.shape[-1])
    if not isinstance(layer, nn.Conv2d):
        raise UsageError(f"a {type(layer).__name__} cannot be trained as an autoencoder")
    height, width = layer.kernel_size
    return nn.Conv2d(layer.out_channels, x.shape[1], (height | 1, width | 1), padding=(height // 2, width // 2))


def reconstructed(layer: nn.Module, activation: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    """The decoder's answer to the code of `x`, in the shape of `x`."""
    code: Tensor = activation(layer(x))
    if code.ndim == 4 and code.shape[2:] != x.shape[2:]:
        code = F.interpolate(code, size=x.shape[2:])
    answer: Tensor = decoder(code)
    return answer


def _relative_error(layer: nn.Module, activation: nn.Module, decoder: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        error = F.mse_loss(reconstructed(layer, activation, decoder, x), x)
        return float(error / x.var(correction=0).clamp(min=1e-12))
