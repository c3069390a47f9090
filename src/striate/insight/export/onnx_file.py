"""Writing a model as an ONNX file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from striate.core.errors import EnvironmentFault, UsageError
from striate.core.images import ImageSpec
from striate.core.modes import evaluation_mode
from striate.core.tensor_files import sealed
from striate.insight.export.program import Program
from striate.models.exported import GRAPH, MAX_BYTES
from striate.networks.model_file import ENTRY, description_of

if TYPE_CHECKING:
    from striate.models.model import Model

OPSET = 20
TRACED = 2  # pictures of the example: with 1, an exporter takes the batch for fixed
EXPORTERS = ("onnx", "onnxscript", "onnxruntime")


def onnx_bytes(model: Model) -> bytes:
    """The ONNX file of a model, its weights and its preprocessing inside.

    Input `images`: uint8 (N, h, w, C), N, h and w of any size, of a model of pictures; else float32 samples (N, ..., C), N of any size. The
    outputs are those of `Program`. The description of the model stands in the metadata, behind the graph, whose SHA-256 it holds.

    Raises:
        EnvironmentFault: what exports is not installed.
        UsageError: a part of the network has no form in ONNX, or the file would be larger than the format allows.
    """
    need_exporter()
    if 4 * model.network.params > MAX_BYTES:
        raise UsageError(
            f"{model.network.name}: {model.network.params:,} parameters are too many for one ONNX file", "Use a smaller network."
        )
    graph = _graph(model)
    description = description_of(model.network, classes=model.classes, images=model.images, info=model.info, targets=model.targets) | {
        GRAPH: {"bytes": len(graph), "sha256": hashlib.sha256(graph).hexdigest()}
    }
    return graph + _metadata({ENTRY: json.dumps(sealed(description, {}), allow_nan=False), "classes": json.dumps(list(model.classes))})


def need_exporter() -> None:
    """Refuse to begin where a package is missing.

    Raises:
        EnvironmentFault: one is.
    """
    import importlib.util

    missing = [name for name in EXPORTERS if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentFault(f"export needs {', '.join(missing)}, not installed", "Install it: pip install striate[export].")


def _graph(model: Model) -> bytes:
    """The serialized ModelProto of the program, checked, without a description."""
    import onnx

    program, example = Program(model).eval(), _example(model)
    axes = ("batch", "height", "width") if isinstance(model.images, ImageSpec) else ("batch",)
    sizes = {axis: torch.export.Dim(name, min=1) for axis, name in enumerate(axes)}
    with _quiet(), evaluation_mode(program), torch.no_grad():
        try:
            exported = torch.onnx.export(
                program, (example,), dynamo=True, dynamic_shapes={"images": sizes}, input_names=["images"],
                output_names=list(program.outputs), opset_version=OPSET, verbose=False,
            )  # fmt: skip
        except torch.onnx.errors.OnnxExporterError as error:
            raise UsageError(f"{model.network.name}: {_cause(error)}", "Export it in another format.") from error
    if exported is None:
        raise RuntimeError("nothing was exported")
    proto = exported.model_proto
    onnx.checker.check_model(proto, full_check=True)
    graph: bytes = proto.SerializeToString(deterministic=True)
    return graph


def _example(model: Model) -> torch.Tensor:
    """Pictures, or samples, to trace with."""
    *extent, channels = model.images.array_shape
    if not isinstance(model.images, ImageSpec):
        return torch.zeros(TRACED, *extent, channels)
    height, width = extent
    noise = np.random.default_rng(0).integers(0, 256, (TRACED, height + 3, width + 5, channels), np.uint8)
    return torch.from_numpy(noise)


def _metadata(entries: dict[str, str]) -> bytes:
    """A ModelProto of metadata alone: written behind another one, its entries join that one's."""
    import onnx

    proto = onnx.ModelProto()
    for key, value in entries.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    tail: bytes = proto.SerializeToString(deterministic=True)
    return tail


def _cause(error: BaseException) -> str:
    """The innermost cause of a failed export, in a line."""
    while error.__cause__ is not None:
        error = error.__cause__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"a part has no form in ONNX: {line[:300]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's progress and warnings are left out: what matters is raised, or found by the gate."""
    loggers: list[Any] = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
