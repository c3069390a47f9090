"""Training the first layers of a network on pictures without labels, one after the other, each as a restricted Boltzmann machine.

Sources: Hinton, Osindero and Teh, 2006, "A fast learning algorithm for deep belief nets"; windows of pictures as the visible units of a
convolution after Krizhevsky, 2009, "Learning multiple layers of features from tiny images".
Departs from the sources: hidden units are 0 or 1 while they learn, whatever activation the network has behind the layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.core.errors import UsageError
from striate.core.modes import evaluation_mode
from striate.core.seeds import mixed
from striate.estimators.generative.contrastive import Contrast, Machine, first_machine
from striate.estimators.generative.pretraining import NUM_MEASURED, LayerPretraining, first_layers, input_of

if TYPE_CHECKING:
    from striate.networks.modules.image import ImageModule

STREAM = 0x2B3  # of the seed: places of the windows, weights, orders, draws
BINARY_RATE, GAUSSIAN_RATE = 0.05, 0.001  # of visible units that are shares, and of those that are any numbers
MAX_VALUES = 2**25  # of a layer's inputs that are kept at a time
WINDOWS = 4  # of each picture, for a convolution
PICTURES_AT_ONCE = 256


def pretrain_as_machines(
    module: ImageModule, images: np.ndarray, *, num_layers: int = 2, epochs: int = 5, batch_size: int = 100, seed: int = 0
) -> tuple[LayerPretraining, ...]:
    r"""Train the first convolutions or dense layers of `module` in place, without labels; returns how well each learned to reconstruct.

    For layer l with inputs x (of a convolution, random windows of them), m their mean and s their deviation over all:

        v = (x - m) / s      p(h | v) = sigmoid(c + W v), learned by CD-1      weight = W / s      bias = c - W m / s

    Inputs that are all from 0 to 1 are shares of binary units, and stay as they are.

    Args:
        module: Takes uint8 images (N, H, W, C); on any device. Its other weights and its statistics stay as they are.
        images: (N, H, W, C) uint8, of the network's own size.
        num_layers: The number of layers, in the order in which they run.
        epochs: Passes over the inputs of each layer.
        batch_size: Inputs an update.
        seed: Of windows, weights and draws; torch's own generators stay as they are.

    Raises:
        UsageError: the network has no such layers, there are no images, a number is out of range, or a convolution has groups.
        NumericError: weights are not finite.

    Cost: for layer l, one pass through the layers up to l, and `epochs` through a machine of its size.
    """
    if num_layers < 1 or epochs < 1 or batch_size < 1 or len(images) == 0:
        raise UsageError(f"pretraining needs images, layers and epochs, got {len(images)}, {num_layers} and {epochs}")
    layers = first_layers(module, images[:1], num_layers)
    if not layers:
        raise UsageError("the network has no convolution or dense layer to train without labels")
    generator = torch.Generator(next(module.parameters()).device).manual_seed(mixed(seed, STREAM))
    found = []
    with evaluation_mode(module), torch.no_grad():
        for path, layer, _ in layers:
            rows = inputs_of(path, layer, module, images, generator)
            gaussian = bool((rows < 0).any() or (rows > 1).any())
            mean = rows.mean(0) if gaussian else torch.zeros_like(rows[0])
            scale = rows.std().clamp(min=1e-6) if gaussian else torch.ones_like(rows[0, 0])
            rows.sub_(mean).div_(scale)
            machine = first_machine(rows, len(weight_of(layer)), generator, gaussian=gaussian)
            contrast = Contrast(
                learning_rate=GAUSSIAN_RATE if gaussian else BINARY_RATE, momentum=0.9, weight_decay=2e-4, batch_size=batch_size
            )
            measured = rows[:: max(1, len(rows) // NUM_MEASURED)]
            before = relative_error(machine, measured)
            for _ in range(epochs):
                contrast.epoch(machine, rows, generator)
            weights = machine.weights / scale
            weight_of(layer).copy_(weights.view_as(weight_of(layer)))
            if layer.bias is not None:
                layer.bias.copy_(machine.hidden - weights @ mean)  # type: ignore[operator]
            found.append(LayerPretraining(layer=path, error_before=before, error_after=relative_error(machine, measured)))
    return tuple(found)


def inputs_of(path: str, layer: nn.Module, module: ImageModule, images: np.ndarray, generator: torch.Generator) -> Tensor:
    """The input windows of a unit of `layer` for `images`: (rows, inputs). Too many pictures are sampled evenly."""
    size = weight_of(layer)[0].numel()
    count = min(len(images), max(1, MAX_VALUES // (size * (WINDOWS if isinstance(layer, nn.Conv2d) else 1))))
    chosen = np.linspace(0, len(images) - 1, count).astype(np.int64)
    parts = []
    for start in range(0, count, PICTURES_AT_ONCE):
        x = input_of(layer, module, images[chosen[start : start + PICTURES_AT_ONCE]])  # (N, C, H, W) or (N, F)
        parts.append(windows(path, layer, x, generator) if isinstance(layer, nn.Conv2d) else x.reshape(-1, size))
    return torch.cat(parts).float()


def weight_of(layer: nn.Module) -> Tensor:
    """The weight of a convolution or a dense layer, (units, ...)."""
    weight: Tensor = layer.weight  # type: ignore[assignment]  # a module may hold anything
    return weight


def windows(path: str, layer: nn.Conv2d, x: Tensor, generator: torch.Generator) -> Tensor:
    """Some random windows of x (N, C, H, W), as large as the kernel: (N * windows, C * kernel height * kernel width)."""
    if layer.groups != 1:
        raise UsageError(f"{path}: a convolution in {layer.groups} groups cannot be trained as a machine", "Take `pretrain='autoencoder'`.")
    reach = [(kernel - 1) * dilation for kernel, dilation in zip(layer.kernel_size, layer.dilation, strict=True)]
    short = [max(0, far + 1 - size) for far, size in zip(reach, x.shape[2:], strict=True)]
    x = F.pad(x, (0, short[1], 0, short[0]))  # a map that is smaller than the kernel
    tops = torch.randint(x.shape[2] - reach[0], (len(x), WINDOWS), generator=generator, device=x.device)
    lefts = torch.randint(x.shape[3] - reach[1], (len(x), WINDOWS), generator=generator, device=x.device)
    down = torch.arange(layer.kernel_size[0], device=x.device) * layer.dilation[0]
    right = torch.arange(layer.kernel_size[1], device=x.device) * layer.dilation[1]
    pictures = torch.arange(len(x), device=x.device)[:, None, None, None]
    found = x.permute(0, 2, 3, 1)[pictures, (tops[..., None] + down)[..., None], (lefts[..., None] + right)[:, :, None]]
    return found.permute(0, 1, 4, 2, 3).reshape(len(x) * WINDOWS, -1)  # (N, windows, C, kernel height, kernel width) before


def relative_error(machine: Machine, x: Tensor) -> float:
    """The mean square of x less its reconstruction, over the variance of x."""
    error = (machine.visible_means(machine.hidden_means(x)) - x).square().mean()
    return float(error / x.var(correction=0).clamp(min=1e-12))
