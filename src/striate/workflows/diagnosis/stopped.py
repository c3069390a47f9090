"""A training that stopped at NaN or Inf: the batch that it kept, and what the kept model gives for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from striate.core.errors import DataError, RefusedFileError
from striate.core.files import read_plain
from striate.core.modes import evaluation_mode
from striate.data.archives import npz_arrays
from striate.engine.failures import first_part_not_finite
from striate.insight.diagnose import Finding
from striate.workflows.runs.folder import REMOVE, RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from striate.models.model import Model


def stopped_at(run: Path, model: Model | None) -> list[Finding]:
    """The finding of a run that stopped at NaN or Inf and kept the batch of it."""
    path = RunFolder(run).not_finite
    if not path.exists():
        return []
    images = _stopping_batch(path, model)
    part = ""
    if model is not None:
        with evaluation_mode(model.module):
            part = first_part_not_finite(model.module, lambda: model.module(torch.from_numpy(images).to(model.device)))
    finite = "the kept model, which is from an earlier epoch, gives finite numbers for it"
    now = "the kept model gives NaN or Inf for it too" if part else finite
    return [
        Finding(
            kind="not_finite",
            severity="error",
            where=part,
            evidence=float(len(images)),
            unit="pictures in the batch",
            message=f"the training stopped at NaN or Inf, and its batch is in {path.name}; {now}",
            cause="Numbers overflowed, mostly after updates that were too large.",
            remedy="`max_grad_norm=1`, or a smaller `learning_rate`",
        )
    ]


def _stopping_batch(path: Path, model: Model | None) -> np.ndarray:
    """The pictures (N, H, W, C) of the batch at which a run stopped.

    Raises:
        RefusedFileError: the file is damaged.
    """
    read_plain(path, limit=2**32, remedy=REMOVE)
    try:
        images = npz_arrays(path).get("images")
    except DataError as error:
        raise RefusedFileError(error.message, REMOVE) from None
    wanted = None if model is None else (model.images.height, model.images.width, model.images.channels)
    if images is None or images.ndim != 4 or (wanted is not None and images.shape[1:] != wanted):
        raise RefusedFileError(f"{path}: images are not a batch of pictures of the model's size", REMOVE)
    return images
