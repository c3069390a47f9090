"""A classifier's calibration after its training: its temperature, and the score below which it answers `unknown`."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from striate.core.errors import UnknownNameError

Score = Literal["energy", "confidence", "max_logit"]
SCORES: tuple[Score, ...] = get_args(Score)
UNKNOWN = "unknown"  # the answer to a picture that fits no class well enough


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", allow_inf_nan=False))
class Calibration:
    """A model file holds it as `calibration` in its `info`."""

    temperature: Annotated[float, Field(gt=0)] = 1.0  # of the logits, before the softmax
    score: Score = "energy"
    threshold: float | None = None  # pictures that score less are unknown; None: every picture is answered


def scores_of(logits: np.ndarray, score: Score, temperature: float = 1.0) -> np.ndarray:
    """The score of each picture, (N,): how well it fits the classes, higher is better.

        energy       T log sum_k exp(z_k / T), the negative of Liu's free energy
        confidence   max_k softmax(z / T)_k
        max_logit    max_k z_k

    Source: Liu et al., 2020, arXiv:2010.03759, equation 4; Hendrycks and Gimpel, 2017, arXiv:1610.02136; Hendrycks et al., 2022,
    arXiv:1911.11132.
    """
    if score not in SCORES:
        raise UnknownNameError("score", score, SCORES)
    largest = logits.max(1)
    if score == "max_logit":
        return np.asarray(largest)
    summed = np.exp((logits - largest[:, None]) / temperature).sum(1)
    return np.asarray(largest + temperature * np.log(summed) if score == "energy" else 1 / summed)
