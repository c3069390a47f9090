"""A built network as an ONNX graph, in memory, for ONNX Runtime to answer with: of convolutional classifiers, by a short vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from striate.networks.modules.channels import PadChannelsModule, ScaleModule
from striate.networks.modules.convolution import AsymmetricConv2d
from striate.networks.modules.dropout import DropoutModule, StochasticDepthModule
from striate.networks.modules.image import ImageModule
from striate.networks.modules.joins import ChainModule, ParallelModule
from striate.networks.modules.pooling import AsymmetricPool, GlobalPoolModule

if TYPE_CHECKING:
    from torch import Tensor

OPSET, IR = 18, 9  # which ONNX Runtime has known since 1.14
MOST_BYTES = 2**30  # of weights: the graph holds them a second time, and a file of this kind ends at twice as many
IMAGES, LOGITS = "images", "logits"
MERGES = {"sum": "Sum", "concat": "Concat", "multiply": "Mul"}
KEPT = (nn.Identity, DropoutModule, StochasticDepthModule, nn.Dropout2d)  # in evaluation


class UnknownPartError(Exception):
    """The network has a part that the vocabulary lacks."""


class Writer:
    """The nodes of a graph, in the order in which they are written, and its numbers."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.numpy = helper, numpy_helper
        self.nodes: list[Any] = []
        self.numbers: list[Any] = []

    def number(self, values: Tensor | np.ndarray) -> str:
        """The name of an array of the graph."""
        name = f"n{len(self.numbers)}"
        array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
        self.numbers.append(self.numpy.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The name of the output of an operation."""
        name = f"x{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def shape(self, x: str, *sizes: int) -> str:
        """`x` in another shape; 0 keeps an axis."""
        return self.node("Reshape", x, self.number(np.array(sizes, np.int64)))


def graph_of(module: nn.Module) -> bytes | None:
    """The ONNX model of a network behind its normalization: uint8 pictures (N, H, W, C) to logits (N, K). None: a part is not known to it.

    A dense layer is written as a convolution of one place: a product of matrices is summed in another order for one row than for many,
    and a picture is to have the same answer, bit for bit, alone and in any company.
    """
    if type(module) is not ImageModule or module.normalization in ("per_image", "min_max") or module.scale.ndim != 4:
        return None
    if sum(tensor.nbytes for tensor in module.state_dict().values()) > MOST_BYTES:
        return None
    writer = Writer()
    helper, float32, uint8 = writer.helper, 1, 2
    x = writer.node("Cast", writer.node("Transpose", IMAGES, perm=[0, 3, 1, 2]), to=float32)  # (N, C, H, W)
    x = writer.node("Add", writer.node("Mul", x, writer.number(module.scale)), writer.number(module.offset))
    try:
        logits = _written(writer, module.network, x)
    except UnknownPartError:
        return None
    writer.nodes.append(helper.make_node("Identity", [logits], [LOGITS]))
    channels = module.scale.shape[1]
    graph = helper.make_graph(
        writer.nodes,
        "answers",
        [helper.make_tensor_value_info(IMAGES, uint8, ["n", "h", "w", channels])],
        [helper.make_tensor_value_info(LOGITS, float32, ["n", "k"])],
        writer.numbers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return bytes(model.SerializeToString())


def _written(writer: Writer, part: nn.Module, x: str) -> str:
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
        x = _written(writer, child, x)
    return x


def _parallel(writer: Writer, part: Any, x: str) -> str:
    if part.merge_by not in MERGES or part.crop is not None or part.trunk is not None:
        raise UnknownPartError(part.merge_by)
    branches = [_written(writer, branch, x) for branch in part.children()]
    if part.merge_by == "concat":
        return writer.node("Concat", *branches, axis=1)
    merged = branches[0]
    for branch in branches[1:]:
        merged = writer.node("Add" if part.merge_by == "sum" else "Mul", merged, branch)
    return merged


def _convolution(writer: Writer, part: Any, x: str) -> str:
    if part.padding_mode != "zeros" or isinstance(part.padding, str):
        raise UnknownPartError("padding")
    pads = _pads(part) if isinstance(part, AsymmetricConv2d) else {"pads": list(part.padding) * 2}
    numbers = [writer.number(part.weight), *([writer.number(part.bias)] if part.bias is not None else [])]
    strides, dilations = list(part.stride), list(part.dilation)
    return writer.node("Conv", x, *numbers, **pads, strides=strides, dilations=dilations, group=part.groups)


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


def _pool(writer: Writer, part: Any, x: str) -> str:
    kernel, stride, padding = (
        [extent, extent] if isinstance(extent, int) else list(extent) for extent in (part.kernel_size, part.stride, part.padding)
    )
    if getattr(part, "return_indices", False) or getattr(part, "dilation", 1) not in (1, (1, 1)):
        raise UnknownPartError("pooling")
    window: dict[str, Any] = {"kernel_shape": kernel, "strides": stride, "pads": padding * 2, "ceil_mode": int(part.ceil_mode)}
    if isinstance(part, nn.MaxPool2d):
        return writer.node("MaxPool", x, **window)
    if part.divisor_override is not None or part.ceil_mode:
        raise UnknownPartError("pooling")
    return writer.node("AveragePool", x, count_include_pad=int(part.count_include_pad), **window)


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


def _dense(writer: Writer, part: Any, x: str) -> str:
    numbers = [writer.number(part.weight[:, :, None, None]), *([writer.number(part.bias)] if part.bias is not None else [])]
    return writer.shape(writer.node("Conv", writer.shape(x, 0, part.in_features, 1, 1), *numbers), 0, part.out_features)


def _wider(writer: Writer, part: Any, x: str) -> str:
    """Every `stride`-th place, by windows of one place, and maps of zeros behind the last."""
    channels = np.array([0, 0, 0, 0, 0, part.count, 0, 0], np.int64)
    if len(part.stride) != 2:
        raise UnknownPartError("rank")
    places = writer.node("MaxPool", x, kernel_shape=[1, 1], strides=list(part.stride)) if set(part.stride) != {1} else x
    return writer.node("Pad", places, writer.number(channels))


def _plain(kind: str, **attributes: Any) -> Callable[[Writer, Any, str], str]:
    return lambda writer, _, x: writer.node(kind, x, **attributes)


def _relu6(writer: Writer, _: Any, x: str) -> str:
    return writer.node("Clip", x, writer.number(np.array(0, np.float32)), writer.number(np.array(6, np.float32)))


WRITERS: dict[type[nn.Module], Callable[[Writer, Any, str], str]] = {
    ChainModule: _chain,
    ParallelModule: _parallel,
    nn.Conv2d: _convolution,
    AsymmetricConv2d: _convolution,
    nn.BatchNorm2d: _norm,
    nn.MaxPool2d: _pool,
    nn.AvgPool2d: _pool,
    AsymmetricPool: _uneven_pool,
    GlobalPoolModule: _everywhere,
    nn.Linear: _dense,
    PadChannelsModule: _wider,
    nn.Flatten: lambda writer, _, x: writer.shape(x, 0, -1),
    ScaleModule: lambda writer, part, x: writer.node("Mul", x, writer.number(np.array(part.factor, np.float32))),
    nn.ReLU: _plain("Relu"),
    nn.ReLU6: _relu6,
    nn.Sigmoid: _plain("Sigmoid"),
    nn.Tanh: _plain("Tanh"),
    nn.SiLU: lambda writer, _, x: writer.node("Mul", x, writer.node("Sigmoid", x)),
    nn.Hardswish: _plain("HardSwish"),
    nn.Hardsigmoid: _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    **{kind: (lambda _writer, _part, x: x) for kind in KEPT},
}
