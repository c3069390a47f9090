"""The numbers of an ONNX file: its weights in fewer bits, or all that the network computes in int8."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.models.runtimes import silent_runtime

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

NETWORK = "module.network."  # before the names of the network's weights
AT_ONCE = 16  # pictures of a step of the calibration
STEPS = 127  # of an int8 weight, on either side of 0
TYPES = {"float16": "FLOAT16", "bfloat16": "BFLOAT16"}


def with_small_weights(proto: ModelProto, precision: str) -> ModelProto:
    """The same graph, its convolutions' and products' weights stored in float16, bfloat16, or as int8 with a scale an output.

    They become float32 again when a program opens the file; what is computed is computed in float32.
    """
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    users = {name: node for node in graph.node for name in node.input}
    for weight in [each for each in graph.initializer if _is_weight(each)]:
        values, stored = onnx.numpy_helper.to_array(weight), f"{weight.name}.stored"
        graph.initializer.remove(weight)
        if precision == "int8_weights":
            axis = _outputs_axis(users[weight.name])
            scales = np.maximum(np.abs(values).max(tuple(each for each in range(values.ndim) if each != axis)) / STEPS, 1e-12)
            shape = [-1 if each == axis else 1 for each in range(values.ndim)]
            rounded = np.rint(values / scales.reshape(shape)).clip(-STEPS, STEPS).astype(np.int8)
            named = [
                onnx.numpy_helper.from_array(rounded, stored),
                onnx.numpy_helper.from_array(scales.astype(np.float32), f"{stored}.scale"),
            ]
            node = onnx.helper.make_node("DequantizeLinear", [each.name for each in named], [weight.name], f"{stored}.read", axis=axis)
        else:
            kind = getattr(onnx.TensorProto, TYPES[precision])
            halves = values.astype(np.float16) if precision == "float16" else _first_halves(values)
            named = [onnx.helper.make_tensor(stored, kind, values.shape, halves.tobytes(), raw=True)]
            node = onnx.helper.make_node("Cast", [stored], [weight.name], f"{stored}.read", to=onnx.TensorProto.FLOAT)
        graph.initializer.extend(named)
        graph.node.insert(0, node)
    return result


def in_int8(proto: ModelProto, batches: list[np.ndarray], *, per_channel: bool) -> ModelProto:
    """The same graph, its network computed in int8 by ranges found on `batches` of its input; what stands before and after it is left.

    Weights are signed and of 7 bits, activations unsigned: sums then overflow on no processor, with or without instructions for it.
    """
    import onnx

    silent_runtime()
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Batches(CalibrationDataReader):  # type: ignore[misc]  # it carries no types
        def __init__(self) -> None:
            self.left = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return None if batch is None else {proto.graph.input[0].name: batch}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        before, after = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        onnx.save(proto, before)
        quantize_static(
            before, after, Batches(), per_channel=per_channel, reduce_range=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, nodes_to_exclude=_outside(proto),
        )  # fmt: skip
        found: ModelProto = onnx.load(after)
    del found.metadata_props[:]  # a note of the quantizer
    return found


def _first_halves(values: np.ndarray) -> np.ndarray:
    """uint16: the bfloat16 nearest to each float32, which is its first half; halfway, the even one."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    nearest: np.ndarray = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return nearest


def _is_weight(tensor: TensorProto) -> bool:
    """Return whether it is a weight of the network with two axes or more."""
    return bool(tensor.name.startswith(NETWORK) and len(tensor.dims) > 1)


def _outputs_axis(node: Any) -> int:
    """The axis of a node's weight along which its outputs lie."""
    turned = node.op_type == "Gemm" and any(each.name == "transB" and each.i for each in node.attribute)
    return 0 if node.op_type == "Conv" or turned else 1


def _outside(proto: ModelProto) -> list[str]:
    """The names of the nodes before the first with a weight of the network, and behind the last."""
    weights = {each.name for each in proto.graph.initializer if _is_weight(each)}
    users = [place for place, node in enumerate(proto.graph.node) if weights & set(node.input)]
    return [node.name for place, node in enumerate(proto.graph.node) if not users[0] <= place <= users[-1]]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The advice of the quantizer on the root logger is left out."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
