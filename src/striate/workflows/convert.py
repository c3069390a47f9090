"""Convert a trained classifier: its dense head becomes convolutions, so that it maps samples larger than those of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.images import ImageSpec, InputSpec
from striate.core.reports import shown_short
from striate.core.text import Lines, command, in_lines
from striate.workflows.subjects.subject import open_model

NAME = "fully_convolutional.safetensors"  # of a run folder
NUM_SAMPLES = 16  # of noise, on which the two forms are compared


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", arbitrary_types_allowed=True))
class ConvertRequest:
    """The model, its new form, and the file for it."""

    run: Any  # a run folder, a .safetensors file, or a Model
    fully_convolutional: bool = False
    output: Path | None = None  # RUN/fully_convolutional.safetensors by default


@shown_short
@dataclass(frozen=True, kw_only=True)
class ConvertReport:
    """The converted model, and how far its logits are from those of the model before."""

    model: str
    output: str
    network: str
    changes: str  # the parts that were replaced and removed
    params: int
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]  # of an input of that size: (K, 1, 1)
    larger_input: tuple[int, ...]
    larger_output: tuple[int, ...]  # (K, h, w), of the larger input
    num_samples: int  # of noise, compared
    max_difference: float  # of their logits


def convert(request: ConvertRequest) -> ConvertReport:
    """Write a model file of the same weights in another form; the model that was read stays as it is.

    Raises:
        UsageError: no form is asked for, a model that gives no classes, a head without a convolutional form, or no place for the file.
        RefusedFileError: the model file is damaged or not a model.
    """
    if not request.fully_convolutional:
        remedy = "Give `fully_convolutional=True`: its dense head becomes convolutions."
        raise UsageError("no form to convert the model to", remedy)
    subject = open_model(request.run, device="cpu")
    model = subject.classifier(f"{subject.name}: does not give one class per sample, and has no head to convert", "Convert a classifier.")
    output = subject.model_file(NAME, "converted model", request.output)
    after = model.fully_convolutional()
    samples = noise(model.images)
    difference = float(np.abs(after.outputs(samples) - model.outputs(samples)).max())
    after.save(output)
    channels, *extent = model.network.input_shape
    larger = (channels, *(2 * size for size in extent))
    return ConvertReport(
        model=subject.name,
        output=str(output),
        network=after.network.name,
        changes=after.network.provenance[-1],
        params=after.network.params,
        kind=model.images.kind,
        input_shape=model.network.input_shape,
        output_shape=after.network.output_shape,
        larger_input=larger,
        larger_output=after.network.with_input(larger).output_shape,
        num_samples=len(samples),
        max_difference=difference,
    )


def noise(spec: InputSpec) -> np.ndarray:
    """Samples (N, ..., C) of noise, the same at each call: pixels of equal chance, or numbers of the mean and deviation of each channel."""
    generator = np.random.default_rng(0)
    shape = (NUM_SAMPLES, *spec.array_shape)
    if isinstance(spec, ImageSpec):
        return generator.integers(0, 256, shape, dtype=np.uint8)
    return generator.normal(spec.mean, spec.std, shape).astype(np.float32)


def summary(report: ConvertReport) -> Lines:
    """The report as text."""
    before, after, larger, maps = (
        " x ".join(map(str, shape)) for shape in (report.input_shape, report.output_shape, report.larger_input, report.larger_output)
    )
    drawing = command("striate", "predict", Path(report.output), "PICTURE", "--maps", "maps.png")
    lines = [
        f"{report.model}: {report.changes}",
        f"logits differ by at most {report.max_difference:.2g} on {report.num_samples} {report.kind} of noise",
        f"an input of {before} gives {after}, one of {larger} gives {maps}",
        f"model: {report.output}",
    ]
    return in_lines([*lines, *([f"next: {drawing}"] if report.kind == "pictures" else []), ""])
