"""Export every classifier of the catalogue as ONNX, gate it, run it back, and time it beside ONNX Runtime by hand.

onnx_files [NAME...] [--precision float32] [--small] [--untimed]

Weights are fresh. Each network has a process of its own. By hand is `torch.onnx.export` of the bare network, run on float pictures that
are prepared already; our file takes decoded pictures, brings them to size and normalizes them, which its times include.
--small takes each network at the smallest input it knows; --untimed leaves out times, for a machine that is busy.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sheet import write_sheet

if TYPE_CHECKING:
    from striate.models.model import Model

AT_ONCE = 64
PICTURES = 4  # that the gate compares, beside its hard ones
BUDGET = 2.0  # seconds of a timing
LEFT_OUT = ("dcgan_generator",)  # answers with pictures
OTHER_TASKS = ("compact_cnn regression", "compact_cnn multilabel", "signal_cnn regression")


def main() -> None:
    """One process a network; then the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--precision", default="float32", choices=("float32", "float16", "bfloat16", "int8_weights"))
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--untimed", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measured(asked.one, asked.precision, small=asked.small, timed=not asked.untimed)))
        return
    rows, good = [], 0
    for name in asked.names or cases():
        words = [sys.executable, __file__, "--one", name, "--precision", asked.precision]
        words += ["--small"] * asked.small + ["--untimed"] * asked.untimed
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            rows.append([name, "", "", done.stderr.strip().splitlines()[-1][:120] if done.stderr.strip() else f"exit {done.returncode}"])
        else:
            found = json.loads(done.stdout.splitlines()[-1])
            good += found["passed"]
            rows.append([name, found["input"], f"{found['bytes'] / 1e6:.1f}", f"{found['difference']:.1g}", *found["times"]])
        print(rows[-1], file=sys.stderr, flush=True)
    heading = ["network", "input", "MB", "largest difference of a probability"]
    if not asked.untimed:
        heading += ["latency at 1, ms", "by hand, ms", f"pictures/s at {AT_ONCE}", "by hand"]
    width = len(heading)
    notes = [f"{good}/{len(rows)} exported, gated and run back, {asked.precision}, fresh weights"]
    write_sheet(
        "catalogue_onnx", "Every classifier of the catalogue as ONNX", [heading, *((row + [""] * width)[:width] for row in rows)], notes
    )


def cases() -> list[str]:
    """The networks of the catalogue that answer with classes, of a sample or of each of its places; then numbers and several labels."""
    from striate.networks.catalog import CATALOG

    return [name for name, entry in CATALOG.items() if entry.num_classes > 1 and name not in LEFT_OUT] + list(OTHER_TASKS)


def model_of(name: str, *, small: bool) -> Model:
    """The network with fresh weights, as a model of ten classes, or of three labels or numbers."""
    import torch

    from striate.core.images import ImageSpec, SignalSpec
    from striate.core.targets import TargetSpec
    from striate.models.model import Model
    from striate.networks.catalog import network
    from striate.networks.model_file import ModelFile

    torch.manual_seed(0)
    name, _, task = name.partition(" ")
    published = network(name)
    channels, *size = published.input_shape
    sides = range(32, min(size), 32) if small and len(size) == 2 else ()
    side = next((side for side in sides if published.fits((channels, side, side))), None)
    net = network(name, num_classes=3 if task else 10, input_size=side)
    targets = None
    if task == "multilabel":
        targets = TargetSpec(task="multilabel")
    elif task == "regression":
        targets = TargetSpec(task="regression", mean=(40, 170, 3), std=(20, 10, 1))
    channels, *extent = net.input_shape
    mean, std = (0.5,) * channels, (0.25,) * channels
    if len(extent) == 2:
        spec = ImageSpec(height=extent[0], width=extent[1], channels=channels, mean=mean, std=std)
    else:
        spec = SignalSpec(extent=tuple(extent), channels=channels, mean=mean, std=std)
    module = net.build()
    with torch.no_grad():
        for each in module.parameters():
            if not each.any():  # zeros to start with would hide what they multiply
                each.normal_(std=0.05)
    return Model(ModelFile(net, module, tuple(map(str, range(net.output_shape[0]))), spec, {}, targets))


def measured(name: str, precision: str, *, small: bool, timed: bool) -> dict[str, object]:
    """What became of one network."""
    from striate.insight.export.forms import FORMS
    from striate.insight.export.wanted import Wanted
    from striate.models.exported import ExportedModel

    model, random = model_of(name, small=small), np.random.default_rng(0)
    shape = (AT_ONCE if timed else PICTURES, *model.images.array_shape)
    is_pictures = model.images.kind == "pictures"
    images = random.integers(0, 256, shape, np.uint8) if is_pictures else random.normal(size=shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        form = FORMS["onnx"]
        file = Path(folder) / f"model{form.ending}"
        file.write_bytes(form.make(model, Wanted(precision=precision)))  # type: ignore[arg-type]  # of argparse's choices
        limit = form.limits[precision]  # type: ignore[index]
        found = form.gate(model, file, images[:PICTURES], [str(place) for place in range(PICTURES)], limit=limit, precision=precision)
        return {
            "input": model.images.words,
            "bytes": file.stat().st_size,
            "difference": found.max_difference,
            "agreement": found.agreement,
            "passed": found.passed,
            "times": timings(model, ExportedModel(file), images, Path(folder)) if timed else [],
        }


def timings(model: object, ours: object, images: np.ndarray, folder: Path) -> list[str]:
    """Latency of one picture and pictures a second of many, of our file and by hand."""
    import onnxruntime
    import torch

    bare = model.module.get_submodule("network")  # type: ignore[attr-defined]
    given = np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255
    path = folder / "by_hand.onnx"
    shapes = {"x": {0: torch.export.Dim("batch", min=1)}}
    torch.onnx.export(bare, (torch.from_numpy(given[:2]),), path, dynamo=True, dynamic_shapes=tuple(shapes.values()), verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    one, hand_one = (
        1000 * median_seconds(call)
        for call in (lambda: ours.run(images[:1]), lambda: session.run(None, {name: given[:1]}))  # type: ignore[attr-defined]
    )
    many, hand_many = (
        AT_ONCE / median_seconds(call)
        for call in (lambda: ours.run(images), lambda: session.run(None, {name: given}))  # type: ignore[attr-defined]
    )
    return [f"{one:.2f}", f"{hand_one:.2f}", f"{many:,.0f}", f"{hand_many:,.0f}"]


def median_seconds(call: Callable[[], object]) -> float:
    """The median of some calls, after one that is not counted."""
    call()
    times: list[float] = []
    while len(times) < 3 or (len(times) < 50 and sum(times) < BUDGET):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


if __name__ == "__main__":
    main()
