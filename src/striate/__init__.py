"""Striate: read a convolutional network as a table, train it in minutes, take it apart, ship it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate import estimators, networks
    from striate.apps.server.face import serve
    from striate.demos.registry import demo
    from striate.estimators.pictures.classifier import ImageClassifier
    from striate.estimators.pictures.regressor import ImageRegressor
    from striate.estimators.robustness import lesion_curve, noise_curve
    from striate.models.loading import load
    from striate.models.model import Model, Prediction, Predictions
    from striate.networks.catalog import network
    from striate.networks.families.mlp import mlp
    from striate.networks.network import Network
    from striate.workflows.datasets import dataset
    from striate.workflows.face import (
        ablate,
        attack,
        calibrate,
        check,
        compare,
        convert,
        diagnose,
        evaluate,
        explain,
        export,
        filter,  # noqa: A004  # the verb's own name
        predict,
        preview,
        profile,
        repeat,
        report,
        repro,
        split,
        train,
        verify,
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
    "check",
    "compare",
    "convert",
    "dataset",
    "demo",
    "diagnose",
    "estimators",
    "evaluate",
    "explain",
    "export",
    "filter",
    "lesion_curve",
    "load",
    "mlp",
    "network",
    "networks",
    "noise_curve",
    "predict",
    "preview",
    "profile",
    "repeat",
    "report",
    "repro",
    "serve",
    "split",
    "train",
    "verify",
]

# Public names are handed on when they are first asked for, so that `striate --help` does not wait for torch.
NAMES = {  # of each module
    "striate.apps.server.face": ("serve",),
    "striate.demos.registry": ("demo",),
    "striate.estimators.pictures.classifier": ("ImageClassifier",),
    "striate.estimators.pictures.regressor": ("ImageRegressor",),
    "striate.estimators.robustness": ("lesion_curve", "noise_curve"),
    "striate.models.loading": ("load",),
    "striate.models.model": ("Model", "Prediction", "Predictions"),
    "striate.networks.catalog": ("network",),
    "striate.networks.families.mlp": ("mlp",),
    "striate.networks.network": ("Network",),
    "striate.workflows.datasets": ("dataset",),
    "striate.workflows.face": (
        "ablate",
        "attack",
        "calibrate",
        "check",
        "compare",
        "convert",
        "diagnose",
        "evaluate",
        "explain",
        "export",
        "filter",
        "predict",
        "preview",
        "profile",
        "repeat",
        "report",
        "repro",
        "split",
        "train",
        "verify",
    ),
    "striate.workflows.tasks.classify": ("EvaluateReport",),
    "striate.workflows.training.request": ("TrainReport",),
}
HOMES = {name: module for module, names in NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in ("estimators", "networks"):
        return importlib.import_module(f"striate.{name}")
    if name not in HOMES:
        raise AttributeError(f"module 'striate' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
