"""The bodies and answers of the OpenAPI description, with examples."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

DESCRIPTION = (
    "Answers pictures with models that Striate trained. A picture gets the same answer as from `striate predict`. "
    "Every error has the form {error: {kind, message, remedy}, request_id}."
)
Top = Annotated[int, Query(ge=1, le=1000, description="How many of the most probable classes to list.")]
WORDS: dict[int, str] = {
    400: "The request is malformed.", 401: "The token is missing or wrong.", 403: "A page of another site asked.",
    404: "There is no such model.", 408: "The body came too slowly.", 413: "The body is too large, or holds too many pictures.",
    415: "The body is of another type, or compressed.", 421: "The Host header names another server.",
    422: "A picture cannot be read or answered; the message names it.",
    429: "Too many pictures wait; Retry-After says when to come again.", 500: "The model failed.",
    503: "The server stops, or its models start again; Retry-After says when to come again.",
}  # fmt: skip
ERROR = {
    "type": "object",
    "required": ["error", "request_id"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["kind", "message", "remedy"],
            "properties": {name: {"type": "string"} for name in ("kind", "message", "remedy")},
        },
        "request_id": {"type": "string"},
    },
}


def content(schema: dict[str, Any], example: Any = None, kind: str = "application/json") -> dict[str, Any]:
    """The content of a body, with an example where there is one."""
    return {"content": {kind: {"schema": schema, **({"example": example} if example is not None else {})}}}


REFUSALS: dict[int | str, dict[str, Any]] = {status: {"description": words, **content(ERROR)} for status, words in WORDS.items()}
ANSWER = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": {"type": "string", "description": "The name that the picture came with."},
        "class": {"type": "string"},
        "probability": {"type": "number"},
        "score": {"type": "number", "description": "In place of a probability, of a network that was trained with a hinge loss."},
        "top": {"type": "array", "items": {"type": "object"}, "description": "The most probable classes, best first."},
        "values": {"type": "object", "description": "Of a model of numbers."},
        "labels": {"type": "array", "items": {"type": "string"}, "description": "Of a model of several labels."},
        "probabilities": {"type": "object", "description": "Of a model of several labels."},
        "mask": {
            "type": "string",
            "description": "Of a model of masks: a PNG file in base64, the number of a class at each pixel, 255 for none.",
        },
        "classes": {"type": "object", "description": "Of a model of masks: the share of the pixels of each class."},
        "picture": {"type": "string", "description": "Of a model that restores pictures: a PNG file in base64."},
    },
}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "An answer for each picture, in order.",
        **content(
            {"type": "array", "items": ANSWER},
            [{"path": "rose.jpg", "class": "rose", "probability": 0.97, "top": [{"class": "rose", "probability": 0.97}]}],
        ),
    }
}
ANSWERS[200]["content"] |= content({"type": "string", "format": "binary"}, kind="image/png")["content"]  # of one mask or picture
FILE = {"type": "string", "format": "binary", "description": "A picture file: JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF."}
PICTURES: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {"files": {"type": "array", "minItems": 1, "maxItems": 64, "items": FILE}},
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "additionalProperties": False,
                "properties": {
                    "files": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 64,
                        "items": {
                            "type": "object",
                            "required": ["data"],
                            "additionalProperties": False,
                            "properties": {"name": {"type": "string"}, "data": {"type": "string", "description": "The file, in base64."}},
                        },
                    }
                },
            },
            "example": {
                "files": [
                    {
                        "name": "dot.png",
                        "data": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==",
                    }
                ]
            },
        },
        "application/octet-stream": {"schema": FILE},
        "image/*": {"schema": FILE},
    },
}
MODEL = {
    "name": "flowers", "task": "classify", "classes": ["daisy", "rose"], "input_shape": [224, 224, 3], "backend": "onnxruntime",
    "ready": True,
}  # fmt: skip
MODELS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The models.", **content({"type": "array", "items": {"type": "object", "required": list(MODEL)}}, [MODEL])}
}
STATE: dict[int | str, dict[str, Any]] = {
    200: {"description": "Yes.", **content({"type": "object"})},
    503: {"description": "Not now.", **content({"type": "object"})},
}
TEXT: dict[int | str, dict[str, Any]] = {200: {"description": "The metrics.", **content({"type": "string"}, kind="text/plain")}}
OBJECT: dict[int | str, dict[str, Any]] = {200: {"description": "The facts.", **content({"type": "object"})}}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype", "data"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1}},
        "datatype": {"type": "string", "enum": ["UINT8", "FP32", "BYTES"]},
        "data": {"type": "array"},
    },
}
INFERENCE: dict[str, Any] = {
    "required": True,
    **content(
        {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string"},
                "inputs": {"type": "array", "minItems": 1, "maxItems": 1, "items": TENSOR},
                "outputs": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
            },
        },
        {"inputs": [{"name": "images", "shape": [1, 2, 2, 1], "datatype": "UINT8", "data": [0, 255, 128, 64]}]},
    ),
}
INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The outputs.",
        **content(
            {
                "type": "object",
                "required": ["model_name", "outputs"],
                "properties": {"model_name": {"type": "string"}, "id": {"type": "string"}, "outputs": {"type": "array", "items": TENSOR}},
            }
        ),
    }
}
