"""Writing a model as an ONNX file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from striate.core.errors import EnvironmentFault, UsageError
from striate.core.modes import evaluation_mode
from striate.insight.export.onnx_numbers import AT_ONCE, in_int8, with_small_weights
from striate.insight.export.program import Program
from striate.insight.export.tracing import cause_of, culprit_in, description_in, example_of, facts_in, quiet, sizes_of
from striate.insight.export.wanted import Wanted
from striate.models.exported import MAX_BYTES
from striate.networks.model_file import ENTRY

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from striate.models.model import Model

OPSET = 20
AS_USUAL = Wanted()
OTHERS = "Predict with the run itself, which takes every network."
EXPORTERS = ("onnx", "onnxscript", "onnxruntime")


def onnx_bytes(model: Model, wanted: Wanted = AS_USUAL) -> bytes:
    """The ONNX file of a model, its weights and its preprocessing inside.

    Input `images`: uint8 (N, h, w, C), N, h and w of any size, of a model of pictures; float32 (N, C, H, W) in [0, 1], N of any size, where
    that is wanted; else float32 samples (N, ..., C), N of any size. The outputs are those of `Program`. The description of the model and
    the facts stand in the metadata, behind the graph; the description holds the SHA-256 of both.

    Raises:
        EnvironmentFault: what exports is not installed.
        UsageError: a part of the network has no form in ONNX, the file would be larger than the format allows, or there is no other input.
    """
    need_exporter()
    if 4 * model.network.params > MAX_BYTES:
        raise UsageError(
            f"{model.network.name}: {model.network.params:,} parameters are too many for one ONNX file", "Use a smaller network."
        )
    graph = graph_bytes(model, wanted)
    facts = facts_in(model, wanted)
    description = description_in(model, facts, hashlib.sha256(graph).hexdigest(), len(graph))
    return graph + _metadata({ENTRY: description, **facts})


def graph_bytes(model: Model, wanted: Wanted) -> bytes:
    """The graph of a model in the precision that is wanted, without a description.

    Raises:
        UsageError: a part of the network has no form in ONNX, or there is no other input.
    """
    found: bytes = _in_precision(_graph(model, wanted), model, wanted).SerializeToString(deterministic=True)
    return found


def _in_precision(proto: ModelProto, model: Model, wanted: Wanted) -> ModelProto:
    """The graph with its numbers as they are wanted; of int8 the better of one scale a channel and one a tensor, on training pictures."""
    if wanted.precision == "float32":
        return proto
    if wanted.precision != "int8":
        return with_small_weights(proto, wanted.precision)
    if wanted.training is None:
        raise RuntimeError("int8 without pictures of the training split")
    from striate.models.exported import prepared
    from striate.models.runtimes import session_of

    given = prepared(wanted.training, model.images) if wanted.input == "float32" else wanted.training
    batches = [np.ascontiguousarray(given[start : start + AT_ONCE]) for start in range(0, len(given), AT_ONCE)]

    def logits(found: ModelProto) -> np.ndarray:
        session = session_of(Path("int8"), found.SerializeToString())
        return np.concatenate([session.run(["logits"], {"images": batch})[0] for batch in batches])

    aims = logits(proto)
    tried = [in_int8(proto, batches, per_channel=per_channel) for per_channel in (True, False)]
    return min(tried, key=lambda found: float(np.abs(logits(found) - aims).mean()))


def need_exporter() -> None:
    """Refuse to begin where a package is missing.

    Raises:
        EnvironmentFault: one is.
    """
    import importlib.util

    missing = [name for name in EXPORTERS if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentFault(f"export needs {', '.join(missing)}, not installed", "Install it: pip install striate[export].")


def _graph(model: Model, wanted: Wanted) -> ModelProto:
    """The program, checked, without a description."""
    import onnx

    program, example = Program(model, wanted.input).eval(), example_of(model, wanted)
    with quiet(), evaluation_mode(program), torch.no_grad():
        try:
            exported = _exported(program, example, {"images": sizes_of(example)}, program.outputs)
        except torch.onnx.errors.OnnxExporterError as error:
            culprit = culprit_in(model, _fails)
            raise UsageError(f"{model.network.name}: {culprit}has no form in ONNX: {cause_of(error)}", OTHERS) from error
    proto: ModelProto = exported.model_proto
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _exported(module: nn.Module, example: torch.Tensor, sizes: Any, outputs: Sequence[str]) -> Any:
    exported = torch.onnx.export(
        module, (example,), dynamo=True, dynamic_shapes=sizes, input_names=["images"], output_names=list(outputs), opset_version=OPSET,
        verbose=False,
    )  # fmt: skip
    if exported is None:
        raise RuntimeError("nothing was exported")
    return exported


def _fails(part: nn.Module, given: torch.Tensor) -> bool:
    try:
        _exported(part, given, None, ["found"])
    except torch.onnx.errors.OnnxExporterError:
        return True
    return False


def _metadata(entries: dict[str, str]) -> bytes:
    """A ModelProto of metadata alone: written behind another one, its entries join that one's."""
    import onnx

    proto = onnx.ModelProto()
    for key, value in entries.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    tail: bytes = proto.SerializeToString(deterministic=True)
    return tail
