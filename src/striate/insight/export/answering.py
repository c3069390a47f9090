"""A process of its own that answers pictures with an exported file, for the gate: `python -m striate.insight.export.answering`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from striate.core.errors import StriateError
from striate.core.images import ImageSpec
from striate.data.decode import decode_image
from striate.data.fitting import fit_image
from striate.models.exported import ExportedModel

BATCHES = (1, 2, 3, 8)


def answer(artefact: Path, job: Path) -> None:
    """Write `answers.npz` into the folder `job`: the answers to the pictures of `job`/pictures.json or pictures.npy.

    `alone` (N, K): each picture as it was decoded, in its own size, where the file takes those. `batch_1`, `batch_2`, ... (N, K): brought
    to the network's size first, so many at a time. All are probabilities where the file gives them. `known` (N,): False for "unknown".
    """
    model = ExportedModel(artefact)
    spec = model.images
    listed = job / "pictures.json"
    pictures = [Path(name) for name in json.loads(listed.read_text())] if listed.exists() else list(np.load(job / "pictures.npy"))
    output = model.answers_output
    decoded = [
        decode_image(picture, spec, fit=False) if isinstance(picture, Path) and isinstance(spec, ImageSpec) else np.asarray(picture)
        for picture in pictures
    ]
    stacked = np.stack([fit_image(pixels, spec) if isinstance(spec, ImageSpec) else pixels for pixels in decoded])
    found: dict[str, np.ndarray] = {}
    if not model.takes_prepared:
        found["alone"] = np.concatenate([model.run(pixels[None], output) for pixels in decoded])
    for size in BATCHES:
        found[f"batch_{size}"] = np.concatenate(
            [model.run(stacked[start : start + size], output) for start in range(0, len(stacked), size)]
        )
    found["known"] = model.knows(stacked)
    found["torch_imported"] = np.array("torch" in sys.modules)
    np.savez(job / "answers.npz", **found)  # type: ignore[arg-type]  # its types take any further name for a flag


if __name__ == "__main__":
    try:
        answer(Path(sys.argv[1]), Path(sys.argv[2]))
    except StriateError as error:
        sys.exit(error.message)
