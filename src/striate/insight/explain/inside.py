"""Access to the inside of a network: its logits, the output of a part, and the part that a heat map is best taken from.

Nothing of the network is changed: hooks are taken off again, each part gets its own mode back, and no parameter's `.grad` is touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from striate.core.errors import ShapeError, UnknownNameError, UsageError
from striate.core.images import Kind
from striate.core.modes import evaluation_mode, hooked
from striate.insight.explain.grids import as_map, is_line, is_map
from striate.networks.modules.recurrent import ToSequenceModule


@contextlib.contextmanager
def open_network(model: nn.Module) -> Iterator[nn.Module]:
    """`model` in evaluation mode and with gradients, whatever the caller's context; the random state is restored."""
    parameters = next(model.parameters(), None)
    devices = [parameters.device] if parameters is not None and parameters.device.type == "cuda" else []
    with evaluation_mode(model), torch.random.fork_rng(devices=devices), torch.inference_mode(mode=False), torch.enable_grad():
        yield model


@contextlib.contextmanager
def taking_pictures(model: nn.Module, kind: Kind) -> Iterator[None]:
    """Context in which a model of signals also takes (N, C, 1, L), and one of rows (N, 1, 1, F), as if they were pictures."""
    if kind == "pictures":
        yield
        return
    first = 2 if kind == "signals" else 1  # axis of those that become one

    def flat(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (x,) = inputs
        return (x.flatten(first),) if x.ndim == 4 else inputs  # (N, C, L), (N, F)

    with model.register_forward_pre_hook(flat):
        yield


def as_pictures(inputs: Tensor, kind: Kind) -> Tensor:
    """Normalized signals (N, C, L) as (N, C, 1, L), rows (N, F) as (N, 1, 1, F), and pictures as they are."""
    return inputs[:, :, None] if kind == "signals" else inputs[:, None, None] if kind == "rows" else inputs


def checked_images(images: Tensor, target_classes: Tensor | None = None) -> Tensor:
    """A copy of the images outside of any autograd graph.

    Raises:
        ShapeError: not (N, C, H, W) floating point, or not as many target classes as images.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ShapeError(f"images must be (N, C, H, W) of a floating dtype, got {images.dtype} {tuple(images.shape)}")
    if target_classes is not None and target_classes.shape != (len(images),):
        raise ShapeError(f"target_classes must be ({len(images)},), one per image, got {tuple(target_classes.shape)}")
    return images.detach().clone()


def scores(model: nn.Module, images: Tensor, target_classes: Tensor) -> Tensor:
    """The logits (N,) of the target classes.

    Raises:
        ShapeError: the model does not give logits (N, K).
        UsageError: a target class is not one of K.
    """
    logits = logits_of(model, images)  # (N, K)
    classes = target_classes.to(logits.device, torch.int64)
    if len(classes) and not (int(classes.min()) >= 0 and int(classes.max()) < logits.shape[1]):
        raise UsageError(f"target_classes must be in 0 to {logits.shape[1] - 1}, got {int(classes.min())} to {int(classes.max())}")
    return logits.gather(1, classes[:, None])[:, 0]


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """The logits (N, K).

    Raises:
        ShapeError: the model gives something else; it may label pixels.
    """
    logits = model(images)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ShapeError(f"the model must give logits (N, K), gave {came}", "Wrap it in a module that does.")
    return logits


@contextlib.contextmanager
def recording(layer: nn.Module, *, copied: bool = False) -> Iterator[list[Tensor]]:
    """The outputs of `layer`, one for each time that it runs.

    With `copied`, what follows works on a copy, so that it cannot overwrite the recorded one (an in-place ReLU does).

    Raises:
        ShapeError: an output is not a tensor.
    """
    seen: list[Tensor] = []

    def record(_layer: nn.Module, _inputs: object, output: object) -> Tensor | None:
        if not isinstance(output, Tensor):
            raise ShapeError(f"the layer must give a tensor, gave {type(output).__name__}", "Choose a layer inside of it.")
        seen.append(output)
        return output.clone() if copied else None

    with layer.register_forward_hook(record):
        yield seen


def outputs_of(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """The output of `layer` for images (N, C, H, W), without gradients; the last one where the layer runs several times.

    Raises:
        UsageError: the layer does not run.
    """
    with open_network(model), torch.no_grad(), recording(layer, copied=True) as seen:
        model(checked_images(images))
    if not seen:
        raise UsageError(f"the layer {type(layer).__name__} does not run when the model does", "Choose another.")
    return seen[-1].detach()


def maps_of(model: nn.Module, layer: nn.Module, images: Tensor) -> Tensor:
    """The output of `layer` as a feature map (N, C, h, w), where it is channels first, channels last, or tokens of patches.

    Raises:
        ShapeError: the layer gives no feature map.
        UsageError: the layer does not run.
    """
    return checked_map(outputs_of(model, layer, images), images)


def checked_map(output: Tensor, images: Tensor) -> Tensor:
    """A layer's output for images (N, C, H, W) as a feature map.

    Raises:
        ShapeError: it is none.
    """
    maps = as_map(output, images.shape[2:])
    if maps.ndim != 4:
        raise ShapeError(f"the layer must give a feature map (N, C, h, w), gave {tuple(output.shape)}", "Choose one before the head.")
    return maps


def part(model: nn.Module, path: str) -> nn.Module:
    """The part of `model` at `path`, such as `stage3.block1.body`.

    Raises:
        UnknownNameError: there is no such part; gives the nearest names.
    """
    parts: dict[str, nn.Module] = dict(model.named_modules())
    if not path or path not in parts:
        raise UnknownNameError("layer", path, [name for name in parts if name], "`striate show NETWORK` lists the paths.")
    return parts[path]


def last_map(model: nn.Module, images: Tensor, *, within: str = "") -> str:
    """The path of the part whose output is the last feature map (N, C, h, w) with more than one place, before it is pooled.

    With `within`, of the parts inside of that one.

    What only makes a map smaller, without parameters of its own, is passed over: its input shows more. Of parts that give the same
    tensor, the outermost is named. In a transformer this is the last norm or block of whose patches the logits make use: what follows
    may be read at the class token alone.

    Raises:
        ShapeError: no part gives a feature map.
    """
    found: list[str] = []
    tokens: list[str] = []  # of those found, what gives tokens
    passed: list[Tensor] = []
    extent = images.shape[2:]
    steps_first = False  # inside a part that reads a signal as a sequence (N, L, C)

    def look(name: str, layer: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal steps_first
        steps_first ^= isinstance(layer, ToSequenceModule)
        is_block = "norm" in type(layer).__name__.lower() or any(True for _ in layer.children())
        if is_line(extent) and steps_first:
            return
        if is_block and not is_line(extent) and isinstance(output, Tensor) and output.ndim == 3 and is_map(output, extent):
            found.append(name)
            tokens.append(name)
            return
        if not isinstance(output, Tensor) or output.ndim != (3 if is_line(extent) else 4) or not is_map(output, extent):
            return
        came = inputs[0] if inputs and isinstance(inputs[0], Tensor) else output
        smaller = output.numel() < came.numel() and not any(True for _ in layer.parameters())
        if smaller:
            passed.append(output)  # held, so that its memory is not used again
        if not smaller and all(output.data_ptr() != other.data_ptr() for other in passed):
            found.append(name)

    handles = [
        layer.register_forward_hook(lambda layer, inputs, output, name=name: look(name, layer, inputs, output))
        for name, layer in model.named_modules()
        if name and (not within or name.startswith(f"{within}."))
    ]
    with hooked(handles), open_network(model), torch.no_grad():
        model(checked_images(images[:1]))
    if found and found[-1] in tokens:
        return next((name for name in reversed(tokens) if _is_used(model, part(model, name), images[:1])), found[-1])
    if not found:
        raise ShapeError(f"{type(model).__name__}: no part gives a feature map (N, C, h, w) of more than one place", "Name a layer.")
    return found[-1]


def _is_used(model: nn.Module, layer: nn.Module, images: Tensor) -> bool:
    """Return whether the logits depend on the map of a layer."""
    with open_network(model), recording(layer, copied=True) as seen:
        logits = logits_of(model, checked_images(images).requires_grad_())
        weights = torch.arange(1, logits.shape[1] + 1).to(logits)  # not all alike: probabilities add up to 1 whatever the map
        (slopes,) = torch.autograd.grad((logits * weights).sum(), seen[-1], materialize_grads=True)
    return bool(as_map(slopes, images.shape[2:]).any())


def features(model: nn.Module, images: Tensor) -> Tensor:
    """The features that the classifier reads: the input of the last part that ran, (N, D); a feature map is averaged over its places.

    Raises:
        ShapeError: the model has no parts.
    """
    seen: list[Tensor] = []

    def look(_layer: nn.Module, inputs: tuple[object, ...], _output: object) -> None:
        if inputs and isinstance(inputs[0], Tensor):
            seen[:] = [inputs[0].detach()]

    leaves = [layer for layer in model.modules() if not any(True for _ in layer.children()) and layer is not model]
    handles = [layer.register_forward_hook(look) for layer in leaves]
    with hooked(handles), open_network(model), torch.no_grad():
        model(checked_images(images))
    if not seen:
        raise ShapeError(f"{type(model).__name__}: has no parts whose input could be recorded")
    read = seen[0].clone()
    return read.mean(tuple(range(2, read.ndim))) if read.ndim > 2 else read  # (N, D)
