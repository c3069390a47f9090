"""The Open Inference Protocol, version 2: `/v2` addresses, with pictures as tensors of uint8 or as files in base64.

Source: https://github.com/kserve/open-inference-protocol, the HTTP/REST part.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, NamedTuple

import numpy as np
from fastapi import FastAPI, Request
from starlette.responses import Response

from striate.apps.server import schemas
from striate.apps.server.bodies import MOST_PICTURES, decoded, json_of, media_type
from striate.apps.server.refused import Refused, json_response
from striate.apps.server.routes import Service
from striate.apps.server.wire import ALONE, DRAWN

PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "openvino": "openvino", "torch": "pytorch_torch"}
KINDS: dict[str, type[np.generic]] = {"UINT8": np.uint8, "FP32": np.float32}
MOST_PIXELS = 50_000_000


class Asked(NamedTuple):
    """The samples of an inference request."""

    id: str | None
    headers: list[dict[str, Any]]
    parts: list[bytes]
    outputs: list[str]


def add_inference(app: FastAPI, service: Service) -> None:
    """Give the application the addresses of the protocol."""

    @app.get("/v2", tags=["v2"], responses=schemas.OBJECT)
    async def server() -> Response:
        """The server's name and version."""
        return json_response({"name": "striate", "version": app.version, "extensions": []})

    @app.get("/v2/health/live", tags=["v2"], responses=schemas.STATE)
    async def live() -> Response:
        """200 while the server answers."""
        return json_response({"live": True})

    @app.get("/v2/health/ready", tags=["v2"], responses=schemas.STATE)
    async def ready() -> Response:
        """200 once every model answers."""
        return json_response({"ready": service.ready}, 200 if service.ready else 503)

    @app.get("/v2/models/{name}", tags=["v2"], responses=schemas.OBJECT)
    async def metadata(name: str) -> Response:
        """The inputs and outputs of a model."""
        facts = service.crew.facts[service.model(name)]
        *extent, channels = facts["input_shape"]
        is_picture = facts["input"] == "pictures"
        shape = [-1, *([-1, -1] if is_picture else extent), channels]
        outputs = [{"name": values_name(facts), "datatype": "FP32", "shape": [-1, len(facts["classes"])]}]
        if facts["task"] in DRAWN:
            outputs = [{"name": drawn_name(facts), "datatype": "BYTES", "shape": [-1] if is_picture else [-1, *extent]}]
        if facts["task"] == "classify":
            outputs.append({"name": "class", "datatype": "BYTES", "shape": [-1]})
        return json_response(
            {
                "name": name,
                "versions": [],
                "platform": PLATFORMS[facts["backend"]],
                "inputs": [{"name": "images", "datatype": "UINT8" if is_picture else "FP32", "shape": shape}],
                "outputs": outputs,
                "parameters": {"classes": facts["classes"]},
            }
        )

    @app.get("/v2/models/{name}/ready", tags=["v2"], responses=schemas.STATE)
    async def model_ready(name: str) -> Response:
        """200 once the model answers."""
        found = service.model(name)
        return json_response({"name": found, "ready": service.ready}, 200 if service.ready else 503)

    @app.post("/v2/models/{name}/infer", tags=["v2"], openapi_extra={"requestBody": schemas.INFERENCE}, responses=schemas.INFERRED)
    async def infer(request: Request, name: str) -> Response:
        """Answer pictures, or other samples, as tensors; pictures may come as files in base64 too, with the datatype BYTES."""
        facts = service.crew.facts[service.model(name)]
        if media_type(request) not in ("application/json", ""):
            raise Refused(415, f"the body is {media_type(request)}, not application/json")
        asked = await asyncio.to_thread(asked_of, await service.bodies.read(request), facts)
        if facts["task"] in DRAWN:
            rows = [row[drawn_name(facts)] for row in await service.answers(request, (name, ALONE), asked.headers, asked.parts)]
            flat = rows if facts["input"] == "pictures" else [step for row in rows for step in row]
            shape = [len(rows)] if facts["input"] == "pictures" else [len(rows), len(rows[0])]
            found = {drawn_name(facts): {"datatype": "BYTES", "shape": shape, "data": flat}}
        else:
            rows = await service.answers(request, (name, "values"), asked.headers, asked.parts)
            flat = [each for row in rows for each in row]
            found = {values_name(facts): {"datatype": "FP32", "shape": [len(rows), len(facts["classes"])], "data": flat}}
        if facts["task"] == "classify":
            best = [facts["classes"][int(np.argmax(row))] for row in rows]
            found["class"] = {"datatype": "BYTES", "shape": [len(rows)], "data": best}
        outputs = [{"name": each, **found[each]} for each in asked.outputs or found]
        return json_response({"model_name": name, **({"id": asked.id} if asked.id is not None else {}), "outputs": outputs})


def values_name(facts: dict[str, Any]) -> str:
    """The name of the output with a number for each class or target."""
    return "numbers" if facts["task"] == "regression" else "scores" if facts["scores"] else "probabilities"


def drawn_name(facts: dict[str, Any]) -> str:
    """The name of the output of a model of masks or pictures: files in base64, or of a signal the class at each step."""
    return DRAWN[facts["task"]] if facts["input"] == "pictures" else "steps"


def asked_of(body: bytes, facts: dict[str, Any]) -> Asked:
    """The samples of a body.

    Raises:
        Refused: it is not of the protocol, or no tensor that the model takes.
    """
    data = json_of(body)
    inputs = data.get("inputs") if isinstance(data, dict) else None
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused(422, 'inputs: must hold one tensor: {"inputs": [{"name", "shape", "datatype", "data"}]}')
    name, identity, wanted = inputs[0].get("name"), data.get("id"), data.get("outputs", [])
    if name != "images":
        raise Refused(422, f"inputs[0].name: must be images, got {str(name)[:100]!r}")
    if identity is not None and not isinstance(identity, str):
        raise Refused(422, "id: must be text")
    known = [values_name(facts), *(["class"] if facts["task"] == "classify" else [])]  # a list: what is asked for may be no text
    known = [drawn_name(facts)] if facts["task"] in DRAWN else known
    if not isinstance(wanted, list) or not all(isinstance(each, dict) and each.get("name") in known for each in wanted):
        raise Refused(422, f"outputs: must be a list of objects with a name of {', '.join(sorted(known))}")
    headers, parts = _samples(inputs[0], facts)
    if not 0 < len(parts) <= MOST_PICTURES:
        raise Refused(413 if parts else 422, f"inputs[0].shape: from 1 to {MOST_PICTURES} samples, got {len(parts)}")
    return Asked(identity, headers, parts, [each["name"] for each in wanted])


def _samples(tensor: dict[str, Any], facts: dict[str, Any]) -> tuple[list[dict[str, Any]], list[bytes]]:
    """A header and the bytes for each sample of a tensor."""
    shape, kind, content = tensor.get("shape"), tensor.get("datatype"), tensor.get("data")
    if not isinstance(shape, list) or not all(type(size) is int and 0 < size <= MOST_PIXELS for size in shape) or not shape:
        raise Refused(422, f"inputs[0].shape: must be a list of positive whole numbers, got {str(shape)[:100]}")
    if not isinstance(content, list):
        raise Refused(422, "inputs[0].data: must be a list")
    if kind == "BYTES" and facts["input"] == "pictures":
        if shape != [len(content)]:
            raise Refused(422, f"inputs[0].shape: must be [{len(content)}], one for each file, got {str(shape)[:100]}")
        return [{"name": f"images[{place}]"} for place in range(len(content))], [
            decoded(text, f"inputs[0].data[{place}]") for place, text in enumerate(content)
        ]
    is_picture = facts["input"] == "pictures"
    wanted, channels = ("UINT8" if is_picture else "FP32"), facts["input_shape"][-1]
    if kind != wanted:
        raise Refused(422, f"inputs[0].datatype: must be {wanted}{' or BYTES' if is_picture else ''}, got {str(kind)[:100]!r}")
    fits = len(shape) == 4 and shape[3] in (1, channels) if is_picture else shape[1:] == facts["input_shape"]
    if not fits or math.prod(shape) > MOST_PIXELS:
        axes = f"n, h, w, {channels}" if is_picture else f"n, {', '.join(map(str, facts['input_shape']))}"
        raise Refused(422, f"inputs[0].shape: must be [{axes}], got {str(shape)[:100]}")
    try:
        values = np.asarray(content, np.float64).reshape(shape)
    except (ValueError, TypeError):
        raise Refused(422, f"inputs[0].data: must be {math.prod(shape):,} numbers, in one list or nested as the shape has them") from None
    if is_picture and not ((values >= 0) & (values <= 255) & (values == np.floor(values))).all():
        raise Refused(422, "inputs[0].data: must be whole numbers from 0 to 255")
    samples = values.astype(KINDS[wanted])
    header = {"shape": shape[1:]}
    return [{"name": f"images[{place}]", **header} for place in range(len(samples))], [sample.tobytes() for sample in samples]
