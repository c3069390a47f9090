"""A built network as an ONNX graph, in memory, for ONNX Runtime to answer with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from striate.models.graph_parts import Sizes, UnknownPartError, Writer, written
from striate.networks.modules.image import ImageModule

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

OPSET, IR = 20, 9  # which ONNX Runtime has known since 1.17
MOST_BYTES = 2**30  # of weights, which the session holds a second time in an order of its own
IMAGES, LOGITS = "images", "logits"


class Graph(NamedTuple):
    """An ONNX model, and its weights by name."""

    data: bytes
    weights: dict[str, np.ndarray]


def graph_of(module: nn.Module, shape: tuple[int, ...]) -> Graph | None:
    """The ONNX model of a network behind its normalization: uint8 pictures (N, *shape) to logits (N, K). None: a part is not known to it.

    A dense layer is written as a convolution of one place: a product of matrices is summed in another order for one row than for many,
    and a picture is to have the same answer, bit for bit, alone and in any company.
    """
    if type(module) is not ImageModule or module.normalization in ("per_image", "min_max") or module.scale.ndim != 4:
        return None
    if sum(tensor.nbytes for tensor in module.state_dict().values()) > MOST_BYTES:
        return None
    writer = Writer(_sizes(module, shape))
    helper, float32, uint8 = writer.helper, 1, 2
    x = writer.node("Cast", writer.node("Transpose", IMAGES, perm=[0, 3, 1, 2]), to=float32)  # (N, C, H, W)
    x = writer.node("Add", writer.node("Mul", x, writer.number(module.scale)), writer.number(module.offset))
    try:
        logits = written(writer, module.network, x)
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
    return Graph(model.SerializeToString(), writer.weights)


def _sizes(module: nn.Module, shape: tuple[int, ...]) -> Sizes:
    """Of pictures (N, *shape)."""
    sizes = Sizes({}, {})

    def note(part: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        sizes.taken[part] = tuple(given[0].shape[1:])
        if isinstance(made, torch.Tensor):
            sizes.made[part] = tuple(made.shape[1:])

    hooks = [part.register_forward_hook(note) for part in module.modules()]
    try:
        with torch.inference_mode():
            module(torch.zeros(1, *shape, dtype=torch.uint8))
    finally:
        for hook in hooks:
            hook.remove()
    return sizes
