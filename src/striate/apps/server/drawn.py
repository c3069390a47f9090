"""Answers that are pictures themselves: masks, restored pictures. They travel as PNG files in base64."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from striate.core.errors import ShapeError
from striate.core.images import ImageSpec
from striate.data.decode import decode_image, picture_header
from striate.data.fitting import unfit_mask, with_channels
from striate.models.model import Model
from striate.models.restorer import Restorations, restoration
from striate.models.segmenter import Segmentations, segment, segmentation
from striate.workflows.tasks.overlays import mask_png
from striate.workflows.tasks.written import picture_png


def drawn(model: Model, item: dict[str, Any], data: bytes) -> dict[str, Any]:
    """The answer to a picture file, or with a `shape` to numbers: a record of `striate predict --json`, with the file in it.

    Raises:
        DataError, ShapeError, UsageError, EnvironmentFault, NumericError: as of `Model.predict`.
    """
    name, spec = item["name"], model.images
    if not isinstance(spec, ImageSpec):
        if "shape" not in item:
            raise ShapeError(f"the model takes {spec.kind}, not picture files", "Send numbers to /v2/models/NAME/infer.")
        steps = segment(model, model.read(np.frombuffer(data, np.float32).reshape(1, *item["shape"])), names=[name])[0]
        return Segmentations([segmentation(name, steps, model.classes)], model.classes).to_data()[0]
    given = np.frombuffer(data, np.uint8).reshape(item["shape"]) if "shape" in item else None
    if model.task == "restore":
        pixels = with_channels(decode_image(data, name=name) if given is None else given, spec.channels)
        found = restoration(model, name, pixels)
        record = Restorations([found]).to_data()[0]
        del record["file"]
        return record | {"picture": base64.b64encode(picture_png(found.picture, name)).decode()}
    if given is None:
        header = picture_header(data, name=name)
        seen, size = decode_image(data, spec, name=name), (header.height, header.width)
    else:
        seen, size = model.read(given[None])[0], (given.shape[0], given.shape[1])
    mask = unfit_mask(segment(model, seen[None], names=[name])[0], spec, size)
    record = Segmentations([segmentation(name, mask, model.classes)], model.classes).to_data()[0]
    return record | {"mask": base64.b64encode(mask_png(mask, len(model.classes))).decode()}
