"""The formats that a model is exported in: how each is written, and how it is tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from striate.insight.export.browser import need_browser
from striate.insight.export.bundle_file import ZIP, bundle_bytes, bundled_onnx
from striate.insight.export.gate import LIMIT, Gate, gate
from striate.insight.export.html_file import html_bytes
from striate.insight.export.onnx_file import need_exporter, onnx_bytes
from striate.insight.export.openvino_file import need_openvino, openvino_files
from striate.insight.export.page_gate import PAGE_LIMIT, gate_page
from striate.insight.export.torch_file import program_bytes
from striate.insight.export.wanted import Format, Precision, Wanted
from striate.models.runtimes import ONNX, OPENVINO, TORCH

HTML = ".html"
ANY = 1.0  # difference of a probability: such a file is judged by its accuracy
BY_ACCURACY = ("int8", "int8_weights")
AGREEMENT: dict[Precision, float] = {"float32": 1.0, "float16": 0.98, "bfloat16": 0.98, "int8": 0.0, "int8_weights": 0.0}
ONNX_LIMITS: dict[Precision, float] = {"float32": LIMIT, "float16": 0.01, "bfloat16": 0.1, "int8": ANY, "int8_weights": ANY}
OPENVINO_LIMITS = ONNX_LIMITS | {"float32": 0.005}  # it scales pictures in float32: a value of a pixel may be one step of 255 off


class Form(NamedTuple):
    """A format of exported files."""

    ending: str
    limits: dict[Precision, float]  # of a difference of probabilities, by the precision of the weights; the usual one first
    need: Callable[[], None]  # raises where what it needs is not installed
    make: Callable[[Any, Wanted], dict[str, bytes]]  # its files by their endings; the one that is named, last
    gate: Callable[..., Gate]  # as `gate`, with the precision
    inputs: tuple[str, ...] = ("uint8",)
    tasks: tuple[str, ...] = ("classify", "multilabel", "regression")
    by_accuracy: tuple[str, ...] = ()  # precisions whose files are judged by it
    needs: tuple[str, ...] = ("onnxruntime", "numpy")  # packages that run it
    pack: Callable[..., bytes] | None = None  # as `bundle_bytes`: the file in its final form, of the one that was tried and its papers

    @property
    def usual(self) -> Precision:
        """The precision where none is asked for."""
        return next(iter(self.limits))


def _gate(*compared: Any, limit: float, precision: Precision, least_agreement: float = 1.0, without_torch: bool = True) -> Gate:
    least = min(least_agreement, AGREEMENT[precision])
    return gate(*compared, limit=limit, least_agreement=least, without_torch=without_torch)


ALL_TASKS = ("classify", "multilabel", "regression", "segment")
FORMS: dict[Format, Form] = {
    "onnx": Form(
        ONNX,
        ONNX_LIMITS,
        need_exporter,
        lambda model, wanted: {ONNX: onnx_bytes(model, wanted)},
        _gate,
        inputs=("uint8", "float32"),
        tasks=ALL_TASKS,
        by_accuracy=BY_ACCURACY,
    ),
    "torch": Form(
        TORCH,
        {"float32": LIMIT},
        lambda: None,
        lambda model, wanted: {TORCH: program_bytes(model, wanted)},
        partial(_gate, without_torch=False),
        inputs=("uint8", "float32"),
        tasks=ALL_TASKS,
        needs=("torch", "numpy"),
    ),
    "openvino": Form(
        OPENVINO,
        OPENVINO_LIMITS,
        need_openvino,
        openvino_files,
        partial(_gate, least_agreement=0.995),
        inputs=("uint8", "float32"),
        tasks=ALL_TASKS,
        by_accuracy=BY_ACCURACY,
        needs=("openvino", "numpy"),
    ),
    "bundle": Form(
        ZIP,
        ONNX_LIMITS,
        need_exporter,
        bundled_onnx,
        _gate,
        tasks=("classify",),
        by_accuracy=BY_ACCURACY,
        needs=("onnxruntime", "numpy", "pillow"),
        pack=bundle_bytes,
    ),
    "html": Form(
        HTML,
        dict.fromkeys(("float16", "float32", "int8"), PAGE_LIMIT),
        need_browser,
        lambda model, wanted: {HTML: html_bytes(model, wanted.precision)},
        gate_page,
        needs=(),
    ),
}
