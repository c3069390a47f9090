"""Pictures unlike any class of a model, and how well their scores tell them apart from those that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic.dataclasses import dataclass

from striate.core.calibration import SCORES, Calibration, scores_of
from striate.core.errors import DataError
from striate.data.folder import readable_pictures
from striate.data.listing import subfolders_of
from striate.data.sources import open_data
from striate.insight.calibrate.abstain import auroc
from striate.models.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from striate.workflows.evaluation.calibrate import CalibrateRequest


@dataclass(frozen=True, kw_only=True)
class OutOfDistribution:
    """Detection of out-of-distribution pictures, which belong to no class of the model."""

    data: str
    num_images: int
    auroc: dict[str, float]  # by score: the probability that a picture of val scores above a strange one
    answered: float | None  # share that would still be answered; None: no threshold was asked for


def strangers(
    request: CalibrateRequest, model: Model, logits: np.ndarray, found: Calibration, say: Callable[[str], None]
) -> OutOfDistribution:
    """The scores of the pictures of `against`, of its test split if it has one, beside those that gave `logits`."""
    name, images = _pictures(request, model, say)
    strange = model.outputs(images, batch_size=request.batch_size)
    both = {score: [scores_of(rows, score, found.temperature) for rows in (logits, strange)] for score in SCORES}
    answered = None if found.threshold is None else float((both[found.score][1] >= found.threshold).mean())
    areas: dict[str, float] = {score: auroc(*scores) for score, scores in both.items()}
    return OutOfDistribution(data=name, num_images=len(images), auroc=areas, answered=answered)


def _pictures(request: CalibrateRequest, model: Model, say: Callable[[str], None]) -> tuple[str, np.ndarray]:
    """Their name, and the pictures (N, H, W, C) uint8 as the model takes them: a data set's, or those that lie in one folder."""
    folder = Path(request.against) if isinstance(request.against, str | Path) else None
    if folder is not None and folder.is_dir() and not subfolders_of(folder):
        return str(folder), model.read(readable_pictures([folder], skip_unreadable=request.skip_unreadable, say=say))
    where: dict[str, Any] = {"data_dir": request.data_dir, "download": request.download, "skip_unreadable": request.skip_unreadable}
    source = open_data(request.against, **where, to_train=False, say=say)
    if common := sorted(set(source.classes) & set(model.classes)):
        message = f"{source.name}: has the model's own classes {', '.join(map(repr, common[:5]))}, so it is not out of distribution"
        raise DataError(message, "Give pictures of other objects.")
    return source.name, source.read("test" if "test" in source.splits else source.splits[0], spec=model.images).images
