"""The parts of built networks as operations of ONNX: the vocabulary of `graph_of`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from striate.networks.modules.activation import ScaledTanh
from striate.networks.modules.attention import ClassTokenModule, PositionEmbeddingModule, SelfAttentionModule, TakeStepModule
from striate.networks.modules.channels import ChannelChunkModule, ChannelLinearModule, GainModule, PadChannelsModule, ScaleModule
from striate.networks.modules.convolution import AsymmetricConv2d, PartialConv2d
from striate.networks.modules.dropout import DropoutModule, StochasticDepthModule
from striate.networks.modules.joins import ChainModule, ParallelModule
from striate.networks.modules.normalization import ChannelLayerNorm, GlobalResponseNormModule
from striate.networks.modules.pooling import AdaptivePoolModule, AsymmetricPool, GlobalPoolModule, SubsampleModule, adaptive_windows
from striate.networks.modules.recurrent import ToSequenceModule

if TYPE_CHECKING:
    from torch import Tensor

LARGE = 2**14  # bytes of a number that is handed to the session beside the graph: writing and reading it would take longer than using it
MERGES = {"sum": "Sum", "concat": "Concat", "multiply": "Mul"}
KEPT = (nn.Identity, DropoutModule, StochasticDepthModule, nn.Dropout2d)  # in evaluation


class UnknownPartError(Exception):
    """The network has a part that the vocabulary lacks."""


class Sizes(NamedTuple):
    """The shapes of what each part takes and of what it makes, without N."""

    taken: dict[nn.Module, tuple[int, ...]]
    made: dict[nn.Module, tuple[int, ...]]


class Writer:
    """The nodes of a graph, in the order in which they are written, and its numbers."""

    def __init__(self, sizes: Sizes) -> None:
        import onnx
        from onnx import helper, numpy_helper

        self.sizes = sizes
        self.onnx, self.helper, self.numpy = onnx, helper, numpy_helper
        self.nodes: list[Any] = []
        self.numbers: list[Any] = []
        self.weights: dict[str, np.ndarray] = {}  # those of them that the graph only names

    def number(self, values: Tensor | np.ndarray | float | Sequence[int]) -> str:
        """The name of an array of the graph."""
        name = f"n{len(self.numbers)}"
        array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
        array = np.asarray(array, np.float32 if array.dtype == np.float64 else None, order="C")
        if array.nbytes < LARGE:
            self.numbers.append(self.numpy.from_array(array, name))
            return name
        tensor = self.helper.np_dtype_to_tensor_dtype(array.dtype)
        self.numbers.append(self.onnx.TensorProto(name=name, dims=array.shape, data_type=tensor, data_location="EXTERNAL"))
        self.numbers[-1].external_data.add(key="location", value=name)
        self.weights[name] = array
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The name of the output of an operation."""
        name = f"x{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def shape(self, x: str, *sizes: int) -> str:
        """`x` in another shape; 0 keeps an axis."""
        return self.node("Reshape", x, self.number(sizes))


def written(writer: Writer, part: nn.Module, x: str) -> str:
    """The name of the output of a module on `x`.

    Raises:
        UnknownPartError: it, or one in it, is not in the vocabulary.
    """
    write = WRITERS.get(type(part))
    if write is None or vars(part)["_forward_hooks"] or vars(part)["_forward_pre_hooks"] or "forward" in vars(part):
        raise UnknownPartError(type(part).__name__)
    return write(writer, part, x)


def _chain(writer: Writer, part: Any, x: str) -> str:
    for child in part:
        x = written(writer, child, x)
    return x


def _parallel(writer: Writer, part: Any, x: str) -> str:
    if part.merge_by not in MERGES or part.crop is not None:
        raise UnknownPartError(part.merge_by)
    if part.trunk is not None:
        x = written(writer, part.get_submodule(part.trunk), x)
    parts = [branch for name, branch in part.named_children() if name != part.trunk]
    branches = [written(writer, branch, x) for branch in parts]
    if part.merge_by == "concat":
        extents = [writer.sizes.made[branch][1:] for branch in parts]
        largest = max(extents, key=math.prod)  # a map of one place stands for any
        for place, extent in enumerate(extents):
            if extent != largest:
                branches[place] = writer.node("Expand", branches[place], writer.number([1, 1, *largest]))
        return writer.node("Concat", *branches, axis=1)
    merged = branches[0]
    for branch in branches[1:]:
        merged = writer.node("Add" if part.merge_by == "sum" else "Mul", merged, branch)
    return merged


def _convolution(writer: Writer, part: Any, x: str) -> str:
    if part.padding_mode != "zeros" or isinstance(part.padding, str):
        raise UnknownPartError("padding")
    pads = _pads(part) if isinstance(part, AsymmetricConv2d) else {"pads": list(part.padding) * 2}
    weight = part.dense_weight() if isinstance(part, PartialConv2d) else part.weight
    numbers = [writer.number(weight), *([writer.number(part.bias)] if part.bias is not None else [])]
    strides, dilations = list(part.stride), list(part.dilation)
    return writer.node("Conv", x, *numbers, **pads, strides=strides, dilations=dilations, group=part.groups)


def _transposed(writer: Writer, part: Any, x: str) -> str:
    numbers = [writer.number(part.weight), *([writer.number(part.bias)] if part.bias is not None else [])]
    window = {"strides": list(part.stride), "pads": list(part.padding) * 2, "output_padding": list(part.output_padding)}
    return writer.node("ConvTranspose", x, *numbers, **window, dilations=list(part.dilation), group=part.groups)


def _resized(writer: Writer, part: Any, x: str) -> str:
    _, height, width = writer.sizes.taken[part]
    if part.mode not in ("nearest", "bilinear") or part.align_corners:
        raise UnknownPartError("interpolation")
    scales = part.scale_factor or (part.size[0] / height, part.size[1] / width)
    how = (
        {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        if part.mode == "nearest"
        else {"mode": "linear"}
    )
    return writer.node("Resize", x, "", writer.number(np.array((1, 1, *scales), np.float32)), **how)


def _pads(part: Any) -> dict[str, Any]:
    """The padding of a module that pads one side more than the other, as ONNX names it."""
    if part.tf_same:
        return {"auto_pad": "SAME_UPPER"}
    return {"pads": [pair[0] for pair in part.pads] + [pair[1] for pair in part.pads]}


def _norm(writer: Writer, part: Any, x: str) -> str:
    if not part.track_running_stats or not part.affine:
        raise UnknownPartError("norm")
    numbers = [writer.number(values) for values in (part.weight, part.bias, part.running_mean, part.running_var)]
    return writer.node("BatchNormalization", x, *numbers, epsilon=part.eps)


def _local_response(writer: Writer, part: Any, x: str) -> str:
    return writer.node("LRN", x, alpha=part.alpha, beta=part.beta, bias=part.k, size=part.size)


def _layer_norm(writer: Writer, part: Any, x: str) -> str:
    if len(part.normalized_shape) != 1 or part.weight is None or part.bias is None:
        raise UnknownPartError("norm")
    return writer.node("LayerNormalization", x, writer.number(part.weight), writer.number(part.bias), axis=-1, epsilon=part.eps)


def _channel_norm(writer: Writer, part: Any, x: str) -> str:
    if len(writer.sizes.taken[part]) == 1:
        return _layer_norm(writer, part, x)
    last = writer.node("Transpose", x, perm=[0, 2, 3, 1])
    return writer.node("Transpose", _layer_norm(writer, part, last), perm=[0, 3, 1, 2])


def _response_norm(writer: Writer, part: Any, x: str) -> str:
    channels, height, width = writer.sizes.taken[part]
    squares = writer.node("GlobalAveragePool", writer.node("Mul", x, x))
    norms = writer.node("Sqrt", writer.node("Mul", squares, writer.number(float(height * width))))
    share = np.full((1, channels, 1, 1), 1 / channels, np.float32)  # ReduceMean sums in another order for one picture than for two
    mean = writer.node("Add", writer.node("Conv", norms, writer.number(share)), writer.number(part.eps))
    scaled = writer.node("Mul", x, writer.node("Mul", writer.node("Div", norms, mean), writer.number(part.weight[:, None, None])))
    return writer.node("Add", x, writer.node("Add", scaled, writer.number(part.bias[:, None, None])))


def _pool(writer: Writer, part: Any, x: str) -> str:
    kernel, stride, padding = (
        [extent, extent] if isinstance(extent, int) else list(extent) for extent in (part.kernel_size, part.stride, part.padding)
    )
    if getattr(part, "return_indices", False) or getattr(part, "dilation", 1) not in (1, (1, 1)):
        raise UnknownPartError("pooling")
    window: dict[str, Any] = {"kernel_shape": kernel, "strides": stride}
    if isinstance(part, nn.MaxPool2d):
        return writer.node("MaxPool", x, pads=padding * 2, ceil_mode=int(part.ceil_mode), **window)
    sizes = zip(writer.sizes.taken[part][1:], kernel, stride, padding, strict=True)
    more = [_overhang(*each) if part.ceil_mode else 0 for each in sizes]
    if part.divisor_override is not None or (any(more) and any(padding) and part.count_include_pad):
        raise UnknownPartError("pooling")
    pads = padding + [before + after for before, after in zip(padding, more, strict=True)]
    return writer.node("AveragePool", x, pads=pads, count_include_pad=int(part.count_include_pad and not any(more)), **window)


def _overhang(places: int, kernel: int, stride: int, padding: int) -> int:
    """The places that the last window reaches beyond the padding, where sizes are rounded up; it starts before the padding."""
    last = -(-(places + 2 * padding - kernel) // stride) * stride
    if last >= places + padding:
        last -= stride
    return max(0, last + kernel - places - 2 * padding)


def _uneven_pool(writer: Writer, part: Any, x: str) -> str:
    if len(part.kernel) != 2:
        raise UnknownPartError("rank")
    window = {"kernel_shape": list(part.kernel), "strides": list(part.stride), **_pads(part)}
    if part.how == "max":
        return writer.node("MaxPool", x, **window)
    return writer.node("AveragePool", x, count_include_pad=int(part.count_padding), **window)


def _everywhere(writer: Writer, part: Any, x: str) -> str:
    pooled = writer.node("GlobalMaxPool" if part.how == "max" else "GlobalAveragePool", x)
    return pooled if part.keep_axes else writer.shape(pooled, 0, -1)


def _adaptive_pool(writer: Writer, part: Any, x: str) -> str:
    """Windows that stand side by side, or read one place each."""
    kernel = [1, 1]
    for axis, (places, wanted) in enumerate(zip(writer.sizes.taken[part][1:], part.size, strict=True)):
        windows = adaptive_windows(places, wanted, torch.zeros(()))
        if places % wanted == 0:
            kernel[axis] = places // wanted
        elif (windows.sum(1) == 1).all():
            x = writer.node("Gather", x, writer.number(windows.argmax(1)), axis=2 + axis)
        else:
            raise UnknownPartError("pooling")
    return x if kernel == [1, 1] else writer.node("AveragePool", x, kernel_shape=kernel, strides=kernel)


def _subsample(writer: Writer, part: Any, x: str) -> str:
    means = writer.node("AveragePool", x, kernel_shape=list(part.kernel), strides=list(part.kernel))
    sums = writer.node("Mul", means, writer.number(math.prod(part.kernel) * part.weight[:, None, None]))
    return writer.node("Add", sums, writer.number(part.bias[:, None, None]))


def _dense(writer: Writer, part: Any, x: str) -> str:
    rank = len(writer.sizes.taken[part])
    if rank == 3 and isinstance(part, ChannelLinearModule):
        return _point(writer, part, x)
    if rank == 1:
        return writer.shape(_point(writer, part, writer.shape(x, 0, part.in_features, 1, 1)), 0, part.out_features)
    if rank != 2 or isinstance(part, ChannelLinearModule):
        raise UnknownPartError("rank")
    product = writer.node("MatMul", x, writer.number(part.weight.T))
    return product if part.bias is None else writer.node("Add", product, writer.number(part.bias))


def _point(writer: Writer, part: Any, x: str) -> str:
    """A dense layer over the channels of (N, C, H, W)."""
    numbers = [writer.number(part.weight[:, :, None, None]), *([writer.number(part.bias)] if part.bias is not None else [])]
    return writer.node("Conv", x, *numbers)


def _attention(writer: Writer, part: Any, x: str) -> str:
    steps, features = writer.sizes.taken[part]
    each = features // 3 // part.heads
    parts = writer.node("Transpose", writer.shape(x, 0, steps, 3, part.heads, each), perm=[2, 0, 3, 1, 4])
    queries, keys, values = (writer.node("Gather", parts, writer.number(place), axis=0) for place in range(3))  # (N, heads, T, each)
    queries = writer.node("Mul", queries, writer.number(each**-0.5))
    seen = writer.node("Softmax", writer.node("MatMul", queries, writer.node("Transpose", keys, perm=[0, 1, 3, 2])), axis=-1)
    read = writer.node("Transpose", writer.node("MatMul", seen, values), perm=[0, 2, 1, 3])
    return writer.shape(read, 0, steps, features // 3)


def _class_token(writer: Writer, part: Any, x: str) -> str:
    sizes = writer.node("Concat", writer.node("Shape", x, end=1), writer.number(part.weight.shape[1:]), axis=0)
    return writer.node("Expand", writer.number(part.weight), sizes)


def _to_sequence(writer: Writer, part: Any, x: str) -> str:
    if len(writer.sizes.taken[part]) != 3:
        raise UnknownPartError("rank")
    channels, height, _ = writer.sizes.taken[part]
    if part.of == "places":
        return writer.node("Transpose", writer.shape(x, 0, channels, -1), perm=[0, 2, 1])
    return writer.shape(writer.node("Transpose", x, perm=[0, 2, 1, 3]), 0, height, -1)


def _shuffle(writer: Writer, part: Any, x: str) -> str:
    order = np.arange(writer.sizes.taken[part][0]).reshape(part.groups, -1).T.reshape(-1)
    return writer.node("Gather", x, writer.number(order), axis=1)


def _chunk(writer: Writer, part: Any, x: str) -> str:
    size = writer.sizes.taken[part][0] // part.chunks
    return writer.node("Slice", x, *(writer.number([value]) for value in (part.index * size, (part.index + 1) * size, 1)))


def _wider(writer: Writer, part: Any, x: str) -> str:
    """Every `stride`-th place, and maps of zeros behind the last, by a convolution: padding would leave the layout of those around it."""
    if len(part.stride) != 2:
        raise UnknownPartError("rank")
    channels = writer.sizes.taken[part][0]
    chosen = np.eye(channels + part.count, channels, dtype=np.float32)[:, :, None, None]
    return writer.node("Conv", x, writer.number(chosen), strides=list(part.stride))


def _plain(kind: str, **attributes: Any) -> Callable[[Writer, Any, str], str]:
    return lambda writer, _, x: writer.node(kind, x, **attributes)


def _relu6(writer: Writer, _: Any, x: str) -> str:
    return writer.node("Clip", x, writer.number(0.0), writer.number(6.0))


def _scaled_tanh(writer: Writer, _: Any, x: str) -> str:
    return writer.node("Mul", writer.node("Tanh", writer.node("Mul", x, writer.number(2 / 3))), writer.number(1.7159))


WRITERS: dict[type[nn.Module], Callable[[Writer, Any, str], str]] = {
    ChainModule: _chain,
    ParallelModule: _parallel,
    nn.Conv2d: _convolution,
    AsymmetricConv2d: _convolution,
    PartialConv2d: _convolution,
    nn.ConvTranspose2d: _transposed,
    nn.Upsample: _resized,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.LocalResponseNorm: _local_response,
    nn.LayerNorm: _layer_norm,
    ChannelLayerNorm: _channel_norm,
    GlobalResponseNormModule: _response_norm,
    nn.MaxPool2d: _pool,
    nn.AvgPool2d: _pool,
    AsymmetricPool: _uneven_pool,
    GlobalPoolModule: _everywhere,
    AdaptivePoolModule: _adaptive_pool,
    SubsampleModule: _subsample,
    nn.Linear: _dense,
    ChannelLinearModule: _dense,
    SelfAttentionModule: _attention,
    ClassTokenModule: _class_token,
    PositionEmbeddingModule: lambda writer, part, x: writer.node("Add", x, writer.number(part.weight)),
    ToSequenceModule: _to_sequence,
    TakeStepModule: lambda writer, part, x: writer.node("Gather", x, writer.number(np.array(part.index)), axis=1),
    nn.ChannelShuffle: _shuffle,
    ChannelChunkModule: _chunk,
    GainModule: lambda writer, part, _: writer.number(part.weight[None]),
    PadChannelsModule: _wider,
    nn.Flatten: lambda writer, _, x: writer.shape(x, 0, -1),
    ScaleModule: lambda writer, part, x: writer.node("Mul", x, writer.number(float(part.factor))),
    nn.ReLU: _plain("Relu"),
    nn.ReLU6: _relu6,
    nn.LeakyReLU: lambda writer, part, x: writer.node("LeakyRelu", x, alpha=part.negative_slope),
    nn.ELU: lambda writer, part, x: writer.node("Elu", x, alpha=part.alpha),
    nn.PReLU: lambda writer, part, x: writer.node("PRelu", x, writer.number(part.weight[:, None, None])),
    nn.GELU: lambda writer, part, x: writer.node("Gelu", x, approximate=part.approximate),
    ScaledTanh: _scaled_tanh,
    nn.Sigmoid: _plain("Sigmoid"),
    nn.Tanh: _plain("Tanh"),
    nn.SiLU: lambda writer, _, x: writer.node("Mul", x, writer.node("Sigmoid", x)),
    nn.Hardswish: _plain("HardSwish"),
    nn.Hardsigmoid: _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    **{kind: (lambda _writer, _part, x: x) for kind in KEPT},
}
