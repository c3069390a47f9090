"""One table of the options of a training: request, configuration, flags and Python functions agree with it."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

import striate
from striate.apps.cli import app
from striate.core.errors import UsageError
from striate.core.images import ImageSpec
from striate.data.augmentation.record import Augmentation
from striate.engine.settings import TrainSettings
from striate.workflows.ablation.ablate import AblateRequest
from striate.workflows.attack import AttackRequest
from striate.workflows.checking.record import CheckRequest
from striate.workflows.convert import ConvertRequest
from striate.workflows.diagnosis.diagnose import DiagnoseRequest
from striate.workflows.evaluation.calibrate import CalibrateRequest
from striate.workflows.evaluation.compare import CompareRequest
from striate.workflows.evaluation.evaluate import EvaluateRequest
from striate.workflows.explanation.explain import ExplainRequest
from striate.workflows.explanation.filters import FilterRequest
from striate.workflows.profiling.profile import ProfileRequest
from striate.workflows.recipes.options import OPTIONS, given
from striate.workflows.reporting.report import ReportRequest
from striate.workflows.training.repro import ReproRequest
from striate.workflows.training.request import TrainingOptions, TrainRequest

GROUPS: dict[str, Any] = {"settings": TrainSettings, "augmentation": Augmentation, "images": ImageSpec}
OTHERS_IN_PYTHON = {"run": "model", "network": "module"}  # fields that an argument of another name gives
REQUESTS = {
    "ablate": AblateRequest,
    "attack": AttackRequest,
    "calibrate": CalibrateRequest,
    "check": CheckRequest,
    "compare": CompareRequest,
    "convert": ConvertRequest,
    "diagnose": DiagnoseRequest,
    "evaluate": EvaluateRequest,
    "explain": ExplainRequest,
    "filter": FilterRequest,
    "profile": ProfileRequest,
    "report": ReportRequest,
    "repro": ReproRequest,
}


def names(record: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(record)}


def test_each_field_of_the_request_is_an_option_once():
    listed = [option.field for option in OPTIONS]

    assert len(listed) == len(set(listed))
    assert set(listed) == names(TrainRequest) - {"data"}
    assert set(TrainingOptions.__annotations__) == {*listed, "module"}


@pytest.mark.parametrize("group", GROUPS)
def test_the_group_of_an_option_has_a_field_of_its_name(group: str):
    here = {option.field for option in OPTIONS if option.group == group} - {"image_size", "target"}  # height and width; of a SignalSpec

    assert here
    assert here <= names(GROUPS[group])


def test_a_request_is_divided_into_the_groups_of_the_configuration():
    request = TrainRequest(data="digits", epochs=3, flip=False, fit="pad", image_size=20, name="mine")

    assert given(request, "settings") == {"epochs": 3}
    assert given(request, "augmentation") == {"flip": False}
    assert given(request, "images") == {"fit": "pad", "image_size": 20}


@pytest.mark.parametrize(
    ("verb", "left_out"),
    [
        ("train", set()),
        ("repeat", {"resume"}),
        (
            "ablate",
            {"network", "pretrained", "extend", "pretrain", "unlabelled", "workers", "checkpoint_every", "diagnose", "learning_curve"}
            | {"log", "name"},
        ),
    ],
)
def test_every_verb_that_trains_has_the_flags_of_all_options(verb: str, left_out: set[str]):
    from typer.main import get_command

    flags = {flag for each in get_command(app).commands[verb].params for flag in each.opts}  # type: ignore[attr-defined]

    assert {option.long for option in OPTIONS if option.field not in left_out} <= flags


@pytest.mark.parametrize("verb", REQUESTS)
def test_a_python_function_has_an_argument_for_each_field_of_its_request(verb: str):
    function = getattr(striate, verb)
    taken = set(inspect.signature(function).parameters)

    lacking = {field for field in names(REQUESTS[verb]) if field not in taken and OTHERS_IN_PYTHON.get(field) not in taken}

    assert not lacking
    assert not [each for each in inspect.signature(function).parameters.values() if each.kind is each.VAR_KEYWORD]
    assert all(f"{name}:" in (function.__doc__ or "") for name in taken)


@pytest.mark.parametrize("verb", ["train", "repeat"])
def test_the_options_of_a_training_are_explained_in_python(verb: str):
    text = getattr(striate, verb).__doc__

    assert all(f"{option.field}: {option.help}" in text for option in OPTIONS)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: striate.attack("run", eps=(0.1,)), "Striate calls it `epsilons`"),
        (lambda: striate.evaluate("run", splitt="val"), "Did you mean split"),
        (lambda: striate.ablate("lenet5", "digits", without=("norm",)), "striate.ablate\\(network, data, 'without norm'\\)"),
        (lambda: striate.ablate("lenet5", "digits", epochs=3), "Use training=\\{'epochs': 3\\}"),
        (lambda: striate.train("digits", lr=0.1), "Striate calls it `learning_rate`"),
    ],
)
def test_an_argument_by_another_name_is_told_its_own(call: Any, words: str):
    with pytest.raises(UsageError, match=words):
        call()
