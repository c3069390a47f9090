"""A process that holds models and answers pictures: `python -m striate.apps.server.worker`, driven over its stdin and stdout.

It reads what strangers sent, with decoders written in C. If one crashes, hangs or takes all memory, this process ends, not the server.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from striate.apps.server import wire
from striate.apps.server.drawn import drawn
from striate.core.devices import available_cores
from striate.core.errors import DataError, EnvironmentFault, ShapeError, StriateError, UsageError, is_out_of_memory
from striate.core.images import ImageSpec
from striate.core.text import in_lines
from striate.data.decode import REMEDY as FOR_FILES
from striate.data.decode import decode_image
from striate.models.exported import ExportedModel
from striate.models.inputs import Given
from striate.models.loading import load
from striate.models.model import Model
from striate.models.runtimes import ENDINGS, leave_cores_to_others

FAULTS: tuple[tuple[type[BaseException], int], ...] = (  # what went wrong with a picture, as HTTP says it
    (DataError, 422),
    (ShapeError, 422),
    (UsageError, 422),
    (EnvironmentFault, 503),
)


def open_served(path: Path, device: str) -> Model:
    """A model to serve; raises as `load`."""
    if path.suffix.lower() in ENDINGS:
        return ExportedModel(path)
    from striate.core.devices import choose_device

    return load(path, device=str(choose_device(device)))


def facts_of(model: Model, batch_size: int) -> dict[str, Any]:
    """The facts that clients ask for, once the model has answered a batch of empty samples."""
    most = 1 if model.task in wire.DRAWN else batch_size
    empty = np.zeros((most, *model.images.array_shape), np.uint8 if isinstance(model.images, ImageSpec) else np.float32)
    for count in {1, most}:
        model.outputs(empty[:count])
    return {
        "task": model.task,
        "classes": list(model.classes),
        "network": model.network.name,
        "input": model.images.kind,
        "input_shape": list(model.images.array_shape),
        "backend": model.backend if isinstance(model, ExportedModel) else "torch",
        "device": model.device,
        "calibrated": "calibration" in model.info,
        "scores": model.gives_scores,
    }


def samples_of(model: Model, items: list[dict[str, Any]], parts: list[bytes], pool: ThreadPoolExecutor) -> list[np.ndarray | Exception]:
    """Each item as the model takes it, or what is wrong with it. An item is a picture file, or with a `shape` the numbers of a sample."""

    def one(item: dict[str, Any], data: bytes) -> np.ndarray | Exception:
        try:
            if "shape" not in item:
                if not isinstance(model.images, ImageSpec):
                    raise ShapeError(f"the model takes {model.images.kind}, not picture files", "Send numbers to /v2/models/NAME/infer.")
                return decode_image(data, model.images, name=item["name"])
            kind = np.uint8 if isinstance(model.images, ImageSpec) else np.float32
            return model.read(np.frombuffer(data, kind).reshape(1, *item["shape"]))[0]  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001  # of this picture alone: the others are answered
            return error

    return list(pool.map(one, items, parts))


def answers_of(model: Model, kind: str, items: list[dict[str, Any]], samples: np.ndarray) -> list[Any]:
    """The answer for each sample: a record as `striate predict --json` prints it, or with `values` the numbers of the output."""
    if kind == "values":
        found = model.outputs(samples) if model.task == "regression" or model.gives_scores else model.shares(samples)
        return list(found.tolist())
    names = [item["name"] for item in items]
    predicted = model.predict(Given(names, samples), top=max(item["top"] for item in items))
    records = predicted.to_data()
    for record, item in zip(records, items, strict=True):
        if "top" in record:
            record["top"] = record["top"][: item["top"]]
    return records


def fault(error: Exception) -> dict[str, Any]:
    """An error as the server passes it on."""
    status = next((status for kind, status in FAULTS if isinstance(error, kind)), 503 if is_out_of_memory(error) else 500)
    if isinstance(error, StriateError):
        remedy = "Send another file." if error.remedy == FOR_FILES else error.remedy
        return {"status": status, "kind": error.kind, "message": error.message, "remedy": remedy}
    if status == 500:
        sys.stderr.write(in_lines("".join(traceback.format_exception(error)).split("\n")))  # which may hold names of strangers
    return {"status": status, "kind": "internal", "message": "the model failed" if status == 500 else "out of memory", "remedy": ""}


def answered(model: Model, header: dict[str, Any], parts: list[bytes], pool: ThreadPoolExecutor) -> list[Any]:
    """For each item its answer, or {"fault": ...}. What fails in company is tried alone, so that one picture harms no other."""
    items = header["items"]
    if header["kind"] == wire.ALONE:
        return [alone(model, item, part) for item, part in zip(items, parts, strict=True)]
    samples = samples_of(model, items, parts, pool)
    found: list[Any] = [{"fault": fault(sample)} if isinstance(sample, Exception) else None for sample in samples]

    def run(places: list[int]) -> None:
        if not places:
            return
        try:
            group = np.stack([np.asarray(samples[place]) for place in places])
            answers = answers_of(model, header["kind"], [items[place] for place in places], group)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told
            if len(places) == 1:
                found[places[0]] = {"fault": fault(error)}
            else:
                for place in places:
                    run([place])
            return
        for place, answer in zip(places, answers, strict=True):
            found[place] = answer

    run([place for place, sample in enumerate(samples) if not isinstance(sample, Exception)])
    return found


def alone(model: Model, item: dict[str, Any], data: bytes) -> dict[str, Any]:
    """The answer that is a picture, or {"fault": ...}."""
    try:
        return drawn(model, item, data)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told
        return {"fault": fault(error)}


def main() -> None:
    """Open the models that the first message names, say how that went, and answer until stdin ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server ends this process, once it has its last answers
    source, out = sys.stdin.buffer, io.FileIO(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints, prints to the log
    leave_cores_to_others()

    def send(header: Any) -> None:
        for piece in wire.packed(header):
            view = memoryview(piece)
            while view:
                view = view[out.write(view) :]

    with contextlib.suppress(BrokenPipeError, EOFError):  # the server ended first
        job, _ = wire.read(source)
        opened(job, send, source)


def opened(job: dict[str, Any], send: Callable[[Any], None], source: Any) -> None:
    """Serve the models of `job`; raises EOFError at the end of `source`."""
    models, facts = {}, {}
    try:
        for name, path in job["models"].items():
            models[name] = open_served(Path(path), job["device"])
            facts[name] = facts_of(models[name], job["batch_size"])
    except StriateError as error:
        send({"refused": {"kind": error.kind, "message": error.message, "remedy": error.remedy, "name": name}})
        return
    send({"ready": facts, "torch": "torch" in sys.modules})
    with ThreadPoolExecutor(available_cores()) as pool:
        while True:
            header, parts = wire.read(source)
            send({"answers": answered(models[header["model"]], header, parts, pool)})


if __name__ == "__main__":
    main()
