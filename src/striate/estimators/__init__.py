"""Networks behind scikit-learn's `fit` and `predict`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.estimators.classifier import ImageClassifier
    from striate.estimators.regressor import ImageRegressor

__all__ = ["ImageClassifier", "ImageRegressor"]
HOMES = {"ImageClassifier": "striate.estimators.classifier", "ImageRegressor": "striate.estimators.regressor"}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'striate.estimators' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)
