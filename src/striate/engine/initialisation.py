"""Initial weights of a training.

A layer's start is drawn for how many inputs reach one output (fan-in) and, where a scheme asks, for the activation that follows it.
Which one follows is read off the built modules, in the order in which they stand in the tree: this is the order of computing in every
described network, a changed activation is seen at once, and modules that no description made work as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from striate.core.errors import NumericError, UnknownNameError, UsageError
from striate.core.modes import evaluation_mode, hooked
from striate.engine.settings import InitName

SCALES = {"constant": 0.1, "normal": 0.01, "uniform": 0.05}  # the value, the deviation (Krizhevsky 2012), the half-width
CONVENTIONS: dict[type[nn.Module], float] = {nn.Tanh: 5 / 3, nn.Sigmoid: 1.0, nn.Hardsigmoid: 1.0, nn.Softmax: 1.0, nn.SELU: 1.0}
OF_IMAGES = ("lsuv", "whitened")  # schemes that look at images
WHITENING_EPS = 5e-4  # beside the variances of windows, so that faint directions are not all noise
MEASURED = (nn.ELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus, nn.Hardswish, nn.ReLU6, nn.Hardtanh, nn.Softsign)


class Kernel(NamedTuple):
    """Weights that share their fans: a view (blocks, out, in, ...) of a parameter, one block a group, gate or place."""

    weight: Tensor
    fan_in: float  # inputs that reach one output
    fan_out: float  # outputs that one input reaches


@runtime_checkable
class HasKernels(Protocol):
    """A layer whose weights have a layout of its own."""

    def kernels(self) -> list[tuple[Tensor, float, float]]:
        """As the fields of `Kernel`."""


def initialise(model: nn.Module, scheme: InitName, *, scale: float | None = None, images: Tensor | None = None) -> None:
    r"""New weights for the convolutions, linear and recurrent layers of `model`, in place; their biases become 0.

    With n fan-in, m fan-out and g the gain of the activation that follows, a weight is

        default          what the layer was built with
        zero             0
        constant         `scale` (0.1)
        normal           N(0, `scale`^2) (0.01)
        uniform          U(-`scale`, `scale`) (0.05)
        xavier           U(-b, b), b = sqrt(6 / (n + m)): the form of the paper
        xavier_normal    N(0, 2 / (n + m))
        he               N(0, g^2 / n)
        he_uniform       U(-b, b), b = g sqrt(3 / n)
        orthogonal       g times a matrix with orthonormal rows or columns, kernels flattened
        dirac            the identity: 1 from input i to output i, at the middle of a kernel
        lsuv             orthogonal, then divided by the deviation of the layer's output for `images`
        whitened         the first convolution whitens windows of `images`; later ones pass their first inputs on, as dirac, and are what
                         they were built with beyond

    Normalizations, learned slopes and gains, layers that are built with a start of their own (bilinear enlarging) and weights of any
    other kind stay as they are. The numbers are drawn on the CPU from torch's generator: one seed gives one start on every device.

    Args:
        model: Layers in the order of computing. A model that calls its activations as functions, and shows none, is taken to have
            ReLU after each layer but the last.
        scheme: One of the names above.
        scale: Of constant, normal and uniform; None is the number in brackets.
        images: One batch as the model takes it, for lsuv and whitened.

    Raises:
        UnknownNameError: there is no such scheme.
        UsageError: `scale` with another scheme; lsuv or whitened without `images`; whitened where the first layer is no convolution.
        NumericError: lsuv found a layer whose output is the same everywhere, or not finite; names the layer.

    Cost: orthogonal and lsuv decompose each matrix, cubic in its smaller side; lsuv runs the model once.

    Source: Glorot and Bengio, 2010, section 4.2.1, equation 16; He et al., 2015, arXiv:1502.01852, section 2.2; Saxe et al., 2014,
    arXiv:1312.6120; Mishkin and Matas, 2016, arXiv:1511.06422, algorithm 1; Klambauer et al., 2017, arXiv:1706.02515 (SELU); Jordan,
    2024, arXiv:2404.00498, sections 3.1 and 3.2 (whitened).
    """
    if scheme not in get_args(InitName):
        raise UnknownNameError("initialisation", scheme, get_args(InitName))
    if scale is not None and scheme not in SCALES:
        raise UsageError(f"a scale belongs to the initialisations {', '.join(SCALES)}, not to {scheme}", "Leave init_scale out.")
    if scheme in OF_IMAGES and images is None:
        raise UsageError(f"{scheme} needs a batch of images to look at")
    if scheme == "default":
        return
    with torch.no_grad():
        for layer, gain in gains(model).items():
            for kernel in kernels(layer):
                draw(kernel, scheme, gain, SCALES.get(scheme, 0.0) if scale is None else scale)
            for name, bias in layer.named_parameters(recurse=False):
                if name.startswith("bias"):
                    nn.init.zeros_(bias)
        if scheme == "lsuv" and images is not None:
            scale_to_unit_variance(model, images)
        if scheme == "whitened" and images is not None:
            whiten(next(iter(gains(model)), model), images)


def draw(kernel: Kernel, scheme: str, gain: float, scale: float) -> None:
    """New numbers for one kernel."""
    weight, fan_in, fan_out = kernel
    match scheme:
        case "zero":
            weight.zero_()
        case "constant":
            weight.fill_(scale)
        case "normal":
            weight.copy_(torch.randn(weight.shape) * scale)
        case "uniform":
            weight.copy_(uniform(weight.shape, scale))
        case "xavier":
            weight.copy_(uniform(weight.shape, math.sqrt(6 / (fan_in + fan_out))))
        case "xavier_normal":
            weight.copy_(torch.randn(weight.shape) * math.sqrt(2 / (fan_in + fan_out)))
        case "he":
            weight.copy_(torch.randn(weight.shape) * gain / math.sqrt(fan_in))
        case "he_uniform":
            weight.copy_(uniform(weight.shape, gain * math.sqrt(3 / fan_in)))
        case "orthogonal" | "lsuv":
            for block in weight:
                block.copy_(orthogonal(len(block), block[0].numel()).view(block.shape) * gain)
        case "dirac":
            weight.zero_()
            middle_taps(weight).diagonal(dim1=1, dim2=2).fill_(1)
        case "whitened" if weight.ndim > 3:
            weight[:, : weight.shape[2]] = 0
            middle_taps(weight).diagonal(dim1=1, dim2=2).fill_(1)


def middle_taps(weight: Tensor) -> Tensor:
    """(blocks, out, in): the middle of each kernel, a view."""
    for size in weight.shape[3:]:
        weight = weight.select(3, size // 2)
    return weight


def uniform(shape: torch.Size, half_width: float) -> Tensor:
    """U(-half_width, half_width)."""
    return torch.empty(shape).uniform_(-half_width, half_width)


def orthogonal(rows: int, columns: int) -> Tensor:
    """A matrix whose rows, or columns where they are fewer, are orthonormal; uniform over all such matrices."""
    decomposed = torch.linalg.qr(torch.randn(max(rows, columns), min(rows, columns)))
    tall: Tensor = decomposed.Q * decomposed.R.diagonal().sign()  # the decomposition's own choice of signs is not uniform
    return tall if rows >= columns else tall.T


# ---- which layers there are, and how they are connected


def kernels(layer: nn.Module) -> list[Kernel]:
    """The weights of `layer`, if it is one that mixes its inputs; a layer with a layout of its own has a method `kernels`."""
    if getattr(layer, "keeps_start", False):
        return []
    if isinstance(layer, HasKernels):
        return [Kernel(*kernel) for kernel in layer.kernels()]
    if isinstance(layer, nn.Linear):
        return [Kernel(layer.weight[None], layer.in_features, layer.out_features)]
    if isinstance(layer, _ConvNd):
        return [_of_convolution(layer)]
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        return list(_of_cells(layer))
    return []


def _of_convolution(layer: _ConvNd) -> Kernel:
    groups, size = layer.groups, math.prod(layer.kernel_size)
    fan_in, fan_out = layer.in_channels // groups * size, layer.out_channels // groups * size
    weight = layer.weight.view(groups, -1, *layer.weight.shape[1:])
    if isinstance(layer, _ConvTransposeNd):  # (groups, in, out, ...); a place of the output meets one in `stride` taps along each axis
        return Kernel(weight.transpose(1, 2), max(1, fan_in / math.prod(layer.stride)), fan_out)
    return Kernel(weight, fan_in, fan_out)


def _of_cells(layer: nn.RNNBase | nn.RNNCellBase) -> Iterator[Kernel]:
    for name, weight in layer.named_parameters(recurse=False):
        if name.startswith("weight"):
            gates = 1 if name.startswith("weight_hr") else len(weight) // layer.hidden_size  # weight_hr projects an LSTM's output
            gate = weight.view(gates, -1, weight.shape[1])  # (gates, out, in)
            yield Kernel(gate, gate.shape[2], gate.shape[1])


# ---- the activation that follows


def gains(model: nn.Module) -> dict[nn.Module, float]:
    """Each layer with weights to draw, in order, and the gain of the activation that follows it before the next one; 1 if none does.

    Recurrent cells have their activations inside, and 1.
    """
    found: dict[nn.Module, float] = {}
    waiting: nn.Module | None = None
    seen_activation = False
    for _, module in model.named_modules(remove_duplicate=False):
        if kernels(module):
            found.setdefault(module, 1.0)
            waiting = None if isinstance(module, nn.RNNBase | nn.RNNCellBase) else module
        elif (gain := gain_of(module)) is not None:
            seen_activation = True
            if waiting is not None:
                found[waiting], waiting = gain, None
    if not seen_activation and _has_own_code(model):
        for layer in list(found)[:-1]:
            found[layer] = math.sqrt(2)
    return found


def gain_of(module: nn.Module) -> float | None:
    """The factor of the weights before an activation f that keeps the second moment: 1 / sqrt(E f(z)^2), z normal; None for other modules.

    Tanh has the usual 5/3, sigmoid 1. A module of one's own tells its gain by a float attribute `gain`.
    """
    if isinstance(own := getattr(module, "gain", None), float):
        return own
    if isinstance(module, nn.ReLU | nn.LeakyReLU | nn.PReLU | nn.RReLU):
        return math.sqrt(2 / (1 + _slope(module) ** 2))
    if type(module) in CONVENTIONS:
        return CONVENTIONS[type(module)]
    if not isinstance(module, MEASURED):
        return None
    points = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
    density = torch.exp(-(points**2) / 2)
    moment = (module(points.clone()) ** 2 * density).sum() / density.sum()
    return float(moment**-0.5)


def _slope(module: nn.Module) -> float:
    """Below zero."""
    match module:
        case nn.LeakyReLU():
            return module.negative_slope
        case nn.PReLU():
            return float(module.weight.detach().mean())
        case nn.RReLU():
            return (module.lower + module.upper) / 2
    return 0.0


def _has_own_code(model: nn.Module) -> bool:
    """Return whether some part runs several others in a `forward` that the module tree does not show."""
    return any(len(list(part.children())) > 1 and not isinstance(part, nn.Sequential) for part in model.modules())


# ---- LSUV


def scale_to_unit_variance(model: nn.Module, images: Tensor) -> None:
    """Divide each layer's weights by the standard deviation of its output for `images`, from the first layer to the last.

    The biases are 0, so that one division is exact where the paper repeats it.
    """
    names = {module: name for name, module in model.named_modules()}
    done: set[nn.Module] = set()

    def divide(layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        if layer in done:  # it is used a second time
            return output
        done.add(layer)
        deviation = float(output.std())
        if not (math.isfinite(deviation) and deviation > 0):
            message = f"lsuv: the outputs of {names[layer]} have standard deviation {deviation:g} for the images given"
            raise NumericError(message, "Give a batch of different, finite images, or choose another init.")
        for kernel in kernels(layer):
            kernel.weight.div_(deviation)
        return output / deviation

    layers = [layer for layer in gains(model) if not isinstance(layer, nn.RNNBase | nn.RNNCellBase)]
    handles = [layer.register_forward_hook(divide) for layer in layers]
    with hooked(handles), torch.no_grad(), evaluation_mode(model):
        model(images)


# ---- whitening


def whiten(layer: nn.Module, images: Tensor) -> None:
    """Let the first 2 n filters of a convolution be plus and minus the n = in h w directions of windows of `images`, at variance 1.

    Directions are the eigenvectors of the windows' covariance, the widest first, each divided by its deviation. Filters beyond 2 n stay.

    Raises:
        UsageError: the layer is no convolution of pictures in one group.
    """
    if not isinstance(layer, nn.Conv2d) or layer.groups > 1 or layer.in_channels != images.shape[1]:
        raise UsageError("whitened needs a network whose first layer is a convolution of pictures", "Choose another init.")
    windows = nn.functional.unfold(images.float(), layer.kernel_size, layer.dilation)  # (N, n, windows)
    values = windows.movedim(1, 0).flatten(1).double()  # (n, N windows)
    variances, directions = torch.linalg.eigh(values @ values.T / values.shape[1])
    filters = (directions / (variances + WHITENING_EPS).sqrt()).T.flip(0)
    both = torch.cat([filters, -filters])[: layer.out_channels]
    layer.weight[: len(both)] = both.to(layer.weight).view(-1, *layer.weight.shape[1:])
