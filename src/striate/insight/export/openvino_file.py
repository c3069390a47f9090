"""Writing a model as an OpenVINO model, from its ONNX graph."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from striate.core.errors import UsageError
from striate.insight.export.onnx_file import graph_bytes, need_exporter
from striate.insight.export.tracing import description_in, facts_in
from striate.insight.export.wanted import Wanted
from striate.models.openvino_file import AFTER, BEFORE, FACTS, WEIGHTS, digest_of_files, openvino_core
from striate.models.runtimes import OPENVINO

if TYPE_CHECKING:
    from striate.models.model import Model

AS_USUAL = Wanted()


def need_openvino() -> None:
    """Refuse to begin where a package is missing.

    Raises:
        EnvironmentFault: one is.
    """
    need_exporter()
    openvino_core("export")


def openvino_files(model: Model, wanted: Wanted = AS_USUAL) -> dict[str, bytes]:
    """The two files of a model by their endings, .bin and .xml; inputs, outputs and facts are those of the ONNX file.

    The facts stand in the model's `rt_info`, under `striate`; the description behind the model, in a comment.

    Raises:
        UsageError: as of `onnx_bytes`, or OpenVINO lacks an operation.
    """
    graph, facts, core = graph_bytes(model, wanted), facts_in(model, wanted), openvino_core("export")
    try:
        converted = core.read_model(graph)
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1][:300]
        raise UsageError(f"{model.network.name}: OpenVINO cannot read its ONNX graph: {why}", "Export it as onnx.") from None
    for name, value in facts.items():
        converted.set_rt_info(value, [FACTS, name])
    with tempfile.TemporaryDirectory() as folder:
        import openvino

        file = Path(folder) / f"model{OPENVINO}"
        openvino.save_model(converted, file, compress_to_fp16=False)
        xml, weights = file.read_bytes(), file.with_suffix(WEIGHTS).read_bytes()
    description = description_in(model, facts, digest_of_files(xml, weights), len(xml))
    return {WEIGHTS: weights, OPENVINO: xml + BEFORE + description.replace("--", r"-\u002d").encode() + AFTER}
