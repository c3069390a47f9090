"""Striate: read a convolutional network as a table, train it in minutes, take it apart, ship it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate import estimators, networks
    from striate.demos.registry import demo
    from striate.estimators.pictures.classifier import ImageClassifier
    from striate.estimators.pictures.regressor import ImageRegressor
    from striate.models.model import Model, Prediction, Predictions, load
    from striate.networks.catalog import network
    from striate.networks.network import Network
    from striate.workflows.face import (
        ablate,
        attack,
        calibrate,
        compare,
        diagnose,
        evaluate,
        explain,
        filter,  # noqa: A004  # the verb's own name
        predict,
        profile,
        repeat,
        report,
        repro,
        train,
    )
    from striate.workflows.tasks.classify import EvaluateReport
    from striate.workflows.training.request import TrainReport

__all__ = [
    "EvaluateReport",
    "ImageClassifier",
    "ImageRegressor",
    "Model",
    "Network",
    "Prediction",
    "Predictions",
    "TrainReport",
    "ablate",
    "attack",
    "calibrate",
    "compare",
    "demo",
    "diagnose",
    "estimators",
    "evaluate",
    "explain",
    "filter",
    "load",
    "network",
    "networks",
    "predict",
    "profile",
    "repeat",
    "report",
    "repro",
    "train",
]

# Public names are handed on when they are first asked for, so that `striate --help` does not wait for torch.
HOMES = {
    "EvaluateReport": "striate.workflows.tasks.classify",
    "ImageClassifier": "striate.estimators.pictures.classifier",
    "ImageRegressor": "striate.estimators.pictures.regressor",
    "Model": "striate.models.model",
    "Network": "striate.networks.network",
    "Prediction": "striate.models.model",
    "Predictions": "striate.models.model",
    "TrainReport": "striate.workflows.training.request",
    "ablate": "striate.workflows.face",
    "attack": "striate.workflows.face",
    "calibrate": "striate.workflows.face",
    "compare": "striate.workflows.face",
    "demo": "striate.demos.registry",
    "diagnose": "striate.workflows.face",
    "evaluate": "striate.workflows.face",
    "explain": "striate.workflows.face",
    "filter": "striate.workflows.face",
    "load": "striate.models.model",
    "network": "striate.networks.catalog",
    "predict": "striate.workflows.face",
    "profile": "striate.workflows.face",
    "repeat": "striate.workflows.face",
    "report": "striate.workflows.face",
    "repro": "striate.workflows.face",
    "train": "striate.workflows.face",
}


def __getattr__(name: str) -> Any:
    if name in ("estimators", "networks"):
        return importlib.import_module(f"striate.{name}")
    if name not in HOMES:
        raise AttributeError(f"module 'striate' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
