"""The formats that a model is exported in: how each is written, and how it is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from striate.insight.export.browser import need_browser
from striate.insight.export.gate import LIMIT, Gate, gate
from striate.insight.export.html_file import html_bytes
from striate.insight.export.onnx_file import need_exporter, onnx_bytes
from striate.insight.export.page_gate import PAGE_LIMIT, gate_page
from striate.insight.export.wanted import Precision, Wanted
from striate.models.exported import ONNX

ANY = 1.0  # difference of a probability: such a file is judged by its accuracy
BY_ACCURACY = ("int8", "int8_weights")
ONNX_AGREEMENT: dict[Precision, float] = {"float32": 1.0, "float16": 0.98, "bfloat16": 0.98, "int8": 0.0, "int8_weights": 0.0}
ONNX_LIMITS: dict[Precision, float] = {"float32": LIMIT, "float16": 0.01, "bfloat16": 0.1, "int8": ANY, "int8_weights": ANY}


class Form(NamedTuple):
    """A format of exported files."""

    ending: str
    limits: dict[Precision, float]  # of a difference of probabilities, by the precision of the weights; the usual one first
    need: Callable[[], None]  # raises where what it needs is not installed
    make: Callable[[Any, Wanted], bytes]
    gate: Callable[..., Gate]  # as `gate`, with the precision
    inputs: tuple[str, ...] = ("uint8",)
    tasks: tuple[str, ...] = ("classify", "multilabel", "regression")
    by_accuracy: tuple[str, ...] = ()  # precisions whose files are judged by it

    @property
    def usual(self) -> Precision:
        """The precision where none is asked for."""
        return next(iter(self.limits))


def _gate_onnx(*compared: Any, limit: float, precision: Precision) -> Gate:
    return gate(*compared, limit=limit, least_agreement=ONNX_AGREEMENT[precision])


FORMS: dict[str, Form] = {
    "onnx": Form(
        ONNX,
        ONNX_LIMITS,
        need_exporter,
        onnx_bytes,
        _gate_onnx,
        inputs=("uint8", "float32"),
        tasks=("classify", "multilabel", "regression", "segment"),
        by_accuracy=BY_ACCURACY,
    ),
    "html": Form(
        ".html",
        dict.fromkeys(("float16", "float32", "int8"), PAGE_LIMIT),
        need_browser,
        lambda model, wanted: html_bytes(model, wanted.precision),
        gate_page,
    ),
}
