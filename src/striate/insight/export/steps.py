"""A trained network as a list of steps, for the engine in JavaScript: sizes and paddings worked out, normalizations folded away.

The description says what is computed, and the module holds the weights; each leaf becomes one step, or none. A step has an `op` that the
engine knows (`page/engine.js`), the steps whose outputs it reads, and plain numbers. Shapes are those of one sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.core.errors import UsageError
from striate.networks import layers as vocabulary
from striate.networks.layers.base import Layer, Shape, per_axis
from striate.networks.layers.windows import pads_of, window_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.networks.network import Network

FOLDS_INTO = ("conv", "linear")  # a scale and shift of their channels goes into their weights
MERGES = ("sum", "multiply", "concat", "mixture")


@dataclass(eq=False)
class Step:
    """One operation: `op` on the outputs of `inputs`, with plain `fields` and `tensors`; its output has `shape`."""

    op: str
    path: str  # of the layer in the description; of the last of those that were folded together
    inputs: list[Step]
    shape: Shape
    fields: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, np.ndarray] = field(default_factory=dict)


def steps_of(network: Network, module: nn.Module) -> list[Step]:
    """The steps of a network (C, H, W) -> (K,), in the order of computation; the first is the normalized input.

    Args:
        network: The description.
        module: Its torch module, trained.

    Raises:
        UsageError: a layer has no step; names its kind and its path.
    """
    start = Step("input", "", [], network.input_shape)
    last = _lowered(network.root, module, "", start)
    if last is start:
        raise UsageError(f"{network.name}: has no layers", "Export a network that computes something.")
    return _folded(_in_order(last))


def _lowered(layer: Layer, module: nn.Module, path: str, source: Step) -> Step:
    """The step that gives the output of `layer` for the output of `source`; `source` itself where the layer changes nothing."""
    if isinstance(layer, vocabulary.Chain):
        for name, child in layer.children:
            source = _lowered(child, module.get_submodule(name), f"{path}.{name}" if path else name, source)
        return source
    if isinstance(layer, vocabulary.Parallel):
        return _merged(layer, module, path, source)
    found = lower(layer, module, path, source)
    if found is not source:
        found.shape = layer.output_shape(source.shape)
    return found


def _merged(layer: vocabulary.Parallel, module: nn.Module, path: str, source: Step) -> Step:
    if layer.merge not in MERGES or layer.crop is not None:
        raise _lacking(f"a join by {layer.merge!r}" if layer.crop is None else "a join that crops", path)
    if layer.trunk is not None:
        source = _lowered(dict(layer.children)[layer.trunk], module.get_submodule(layer.trunk), f"{path}.{layer.trunk}", source)
    outputs = [_lowered(child, module.get_submodule(name), f"{path}.{name}", source) for name, child in layer.branches]
    return Step(layer.merge, path, outputs, layer.merged([output.shape for output in outputs]))


def _lacking(what: str, path: str) -> UsageError:
    return UsageError(f"{path}: {what} is not in the HTML format", "Export it in another format, such as onnx.")


def _array(tensor: Tensor | None) -> np.ndarray:
    if tensor is None:
        raise ValueError("a parameter that is not there")
    return tensor.detach().double().cpu().numpy()


def _weights(module: nn.Module) -> dict[str, np.ndarray]:
    """Weight, and bias where there is one."""
    return {name: _array(getattr(module, name)) for name in ("weight", "bias") if getattr(module, name, None) is not None}


# ---- one function for each leaf: (layer, module, path, source) -> step


@singledispatch
def lower(layer: Any, module: nn.Module, path: str, source: Step) -> Step:
    """The step of a leaf.

    Raises:
        UsageError: there is none.
    """
    raise _lacking(f"the layer {type(layer).__name__}", path)


Lowering = Callable[[Any, Any, str, Step], Step]


def _nothing(_layer: Layer, _module: nn.Module, _path: str, source: Step) -> Step:
    return source


for _kind in (vocabulary.Identity, vocabulary.Dropout, vocabulary.SpatialDropout, vocabulary.StochasticDepth):
    lower.register(_kind, _nothing)


@lower.register
def _(layer: vocabulary.Conv, module: Any, path: str, source: Step) -> Step:
    if len(source.shape) != 3:
        raise _lacking(f"a convolution of {source.shape}", path)
    window = window_of(source.shape[1:], layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    tensors = _weights(module)
    if layer.connections is not None:
        tensors["weight"] = _array(module.dense_weight())
    fields = {"kernel": window.kernel, "stride": window.stride, "dilation": window.dilation, "pads": window.pads, "groups": layer.groups}
    return Step("conv", path, [source], (), fields, tensors)


@lower.register
def _(layer: vocabulary.ChannelLinear, module: Any, path: str, source: Step) -> Step:
    if len(source.shape) != 3:
        raise _lacking(f"a linear layer over the channels of {source.shape}", path)
    tensors = _weights(module)
    tensors["weight"] = tensors["weight"][..., None, None]
    fields = {"kernel": (1, 1), "stride": (1, 1), "dilation": (1, 1), "pads": ((0, 0), (0, 0)), "groups": 1}
    return Step("conv", path, [source], (), fields, tensors)


@lower.register
def _(layer: vocabulary.Linear, module: Any, path: str, source: Step) -> Step:
    return Step("linear", path, [source], (), {}, _weights(module))


@lower.register
def _(layer: vocabulary.Activation, module: Any, path: str, source: Step) -> Step:
    if layer.name == "identity":
        return source
    fields: dict[str, Any] = {"name": layer.name}
    tensors = {"slope": _array(module.weight)} if layer.name == "prelu" else {}
    if layer.name == "leaky_relu":
        fields["slope"] = 0.01 if layer.slope is None else layer.slope
    return Step("act", path, [source], (), fields, tensors)


@lower.register
def _(layer: vocabulary.BatchNorm, module: Any, path: str, source: Step) -> Step:
    scale = _array(module.weight) / np.sqrt(_array(module.running_var) + layer.eps)
    shift = _array(module.bias) - _array(module.running_mean) * scale
    return Step("affine", path, [source], (), {}, {"scale": scale, "shift": shift})


@lower.register
def _(layer: vocabulary.LayerNorm, module: Any, path: str, source: Step) -> Step:
    return Step("layer_norm", path, [source], (), {"eps": layer.eps, "over": layer.over}, _weights(module))


@lower.register
def _(layer: vocabulary.GroupNorm, module: Any, path: str, source: Step) -> Step:
    return Step("group_norm", path, [source], (), {"eps": layer.eps, "groups": layer.groups}, _weights(module))


@lower.register
def _(layer: vocabulary.InstanceNorm, module: Any, path: str, source: Step) -> Step:
    return Step("group_norm", path, [source], (), {"eps": layer.eps, "groups": source.shape[0]}, _weights(module))


@lower.register
def _(layer: vocabulary.GlobalResponseNorm, module: Any, path: str, source: Step) -> Step:
    return Step("global_response_norm", path, [source], (), {"eps": layer.eps}, _weights(module))


@lower.register
def _(layer: vocabulary.LocalResponseNorm, module: Any, path: str, source: Step) -> Step:
    alpha = layer.alpha / layer.size if layer.divide_alpha else layer.alpha  # of the sum of squares
    return Step("local_response_norm", path, [source], (), {"size": layer.size, "alpha": alpha, "beta": layer.beta, "k": layer.k})


@lower.register
def _(layer: vocabulary.Pool, module: Any, path: str, source: Step) -> Step:
    if len(source.shape) != 3:
        raise _lacking(f"pooling of {source.shape}", path)
    kernel = per_axis(layer.kernel_size, 2, "kernel_size")
    stride = kernel if layer.stride is None else per_axis(layer.stride, 2, "stride")
    pads = pads_of(layer.padding, source.shape[1:], kernel, stride, (1, 1))
    fields = {"how": layer.how, "kernel": kernel, "stride": stride, "pads": pads, "count_padding": layer.count_padding}
    return Step("pool", path, [source], (), fields)


@lower.register
def _(layer: vocabulary.Subsample, module: Any, path: str, source: Step) -> Step:
    kernel = per_axis(layer.kernel_size, 2, "kernel_size")
    fields = {"how": "avg", "kernel": kernel, "stride": kernel, "pads": ((0, 0), (0, 0)), "count_padding": True}
    means = Step("pool", path, [source], layer.output_shape(source.shape), fields)
    tensors = _weights(module)
    return Step("affine", path, [means], (), {}, {"scale": tensors["weight"] * kernel[0] * kernel[1], "shift": tensors["bias"]})


@lower.register
def _(layer: vocabulary.AdaptivePool, module: Any, path: str, source: Step) -> Step:
    return Step("adaptive_pool", path, [source], ())


@lower.register
def _(layer: vocabulary.GlobalPool, module: Any, path: str, source: Step) -> Step:
    return Step("global_pool", path, [source], (), {"how": layer.how})


@lower.register
def _(layer: vocabulary.PadChannels, module: Any, path: str, source: Step) -> Step:
    return Step("pad_channels", path, [source], (), {"stride": per_axis(layer.stride, len(source.shape) - 1, "stride")})


@lower.register
def _(layer: vocabulary.ChannelChunk, module: Any, path: str, source: Step) -> Step:
    return Step("chunk", path, [source], (), {"index": layer.index})


@lower.register
def _(layer: vocabulary.ShuffleChannels, module: Any, path: str, source: Step) -> Step:
    return Step("shuffle", path, [source], (), {"groups": layer.groups})


@lower.register
def _(layer: vocabulary.Scale, module: Any, path: str, source: Step) -> Step:
    factor = np.full(source.shape[0], layer.factor)
    return Step("affine", path, [source], (), {}, {"scale": factor, "shift": np.zeros_like(factor)})


@lower.register(vocabulary.Gain)
@lower.register(vocabulary.ClassToken)
def _(layer: Layer, module: Any, path: str, source: Step) -> Step:
    return Step("constant", path, [], (), {}, {"values": _array(module.weight)})


@lower.register
def _(layer: vocabulary.PositionEmbedding, module: Any, path: str, source: Step) -> Step:
    values = Step("constant", path, [], source.shape, {}, {"values": _array(module.weight)})
    return Step("sum", path, [source, values], ())


@lower.register
def _(layer: vocabulary.Flatten, module: Any, path: str, source: Step) -> Step:
    return Step("reshape", path, [source], ())


@lower.register
def _(layer: vocabulary.ToSequence, module: Any, path: str, source: Step) -> Step:
    return Step("sequence", path, [source], (), {"of": layer.of})


@lower.register
def _(layer: vocabulary.SelfAttention, module: Any, path: str, source: Step) -> Step:
    return Step("attention", path, [source], (), {"heads": layer.heads})


@lower.register
def _(layer: vocabulary.TakeStep, module: Any, path: str, source: Step) -> Step:
    return Step("take", path, [source], (), {"index": layer.index})


@lower.register
def _(layer: vocabulary.EuclideanRBF, module: Any, path: str, source: Step) -> Step:
    return Step("distances", path, [source], (), {"negate": layer.negate}, {"codes": _array(module.codes)})


# ---- from the tree of steps to their list


def _in_order(last: Step) -> list[Step]:
    """All steps that `last` needs, each after its inputs."""
    order: list[Step] = []
    seen: set[Step] = set()
    stack = [(last, False)]
    while stack:
        step, ready = stack.pop()
        if ready:
            order.append(step)
        elif step not in seen:
            seen.add(step)
            stack.append((step, True))
            stack.extend((source, False) for source in reversed(step.inputs))
    return order


def _folded(steps: list[Step]) -> list[Step]:
    """The same with each scale and shift of channels inside the convolution or dense layer before it, where nothing else reads that."""
    readers = Counter(source for step in steps for source in step.inputs)
    instead: dict[Step, Step] = {}
    kept = []
    for step in steps:
        step.inputs = [instead.get(source, source) for source in step.inputs]
        source = step.inputs[0] if step.inputs else None
        if step.op == "affine" and source is not None and source.op in FOLDS_INTO and readers[source] == 1 and len(step.shape) != 2:
            scale, shift = step.tensors["scale"], step.tensors["shift"]
            weight = source.tensors["weight"]
            source.tensors["weight"] = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1))
            source.tensors["bias"] = source.tensors.get("bias", np.zeros(len(scale))) * scale + shift
            source.path, readers[source] = step.path, readers[step]
            instead[step] = source
        else:
            kept.append(step)
    return kept
