"""The answers of several models to the same pictures, or the reason why theirs are not the same."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from striate.core.errors import DataError, UsageError
from striate.workflows.runs.behind import config_behind, data_of
from striate.workflows.subjects.openings import count_opening, say_opening

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from striate.data.records import ImageSet
    from striate.models.model import Model
    from striate.workflows.evaluation.compare import CompareRequest
    from striate.workflows.runs.config import RunConfig
    from striate.workflows.subjects.subject import Subject

DIVISION = ("val_fraction", "val_seed", "data")  # what decides which pictures a run held out
SAME = "Train them with the same `val_fraction` and split, or compare on `split='test'`."


class Answers(NamedTuple):
    """The same pictures, answered by several models."""

    data: str
    images: ImageSet  # labelled by the first model's classes
    given: np.ndarray  # (n, N): the class that each model gives them, by the first one's order of classes


def answers_of(found: Sequence[Subject], request: CompareRequest, say: Callable[[str], None]) -> Answers:
    """The answers of the models to the data of the request, or to that of the first run that tells; of test, the opening is counted.

    Raises:
        UsageError: one gives no single class, or held out other pictures than the first.
        DataError: one has other classes than the first, or as `Labelled.read`.
    """
    models = [_like_the_first(one, found[0]) for one in found]
    configs = [config_behind(one.path or model, model) for one, model in zip(found, models, strict=True)]
    divided = [(one.run, config) for one, config in zip(found, configs, strict=True) if config is not None]
    if request.data is None:
        request = dataclasses.replace(request, data=data_of(None, divided[0][1] if divided else None, "compare A B"))
    sets: list[ImageSet] = []
    given = []
    for one, model in zip(found, models, strict=True):
        tell = say if not sets else _nothing  # of the data, the first has told
        labelled = one.open_data(request, "compare A B", tell)
        request = dataclasses.replace(request, data=labelled.source)
        if not sets and labelled.record is None and request.split != "test" and "val" not in labelled.source.splits:
            _refuse_other_divisions(divided)
        images = labelled.read(request.split, tell)
        if sets and (words := labelled.trained_in_words(images.split, len(images))):
            say(f"{one.name}: {words}")
        if sets and set(images.paths) != set(sets[0].paths):
            _refuse_other_divisions(divided)
            raise UsageError(f"{one.name}: held out different pictures of {labelled.source.name} from {found[0].name}", SAME)
        sets.append(images)
        order = {path: place for place, path in enumerate(images.paths)}
        classes = np.array([models[0].classes.index(name) for name in model.classes])
        answers = classes[model.outputs(images.images, batch_size=request.batch_size).argmax(1)]
        given.append(answers[[order[path] for path in sets[0].paths]])
    if sets[0].split == "test":
        own = {one.run: images for one, its, images in zip(found, configs, sets, strict=True) if its is not None}
        for run, images in own.items():
            if run is not None:
                say_opening(count_opening(run, "compare", images), say)
    return Answers(labelled.source.name, sets[0], np.stack(given))


def _nothing(_text: str) -> None:
    """Take a line that was said before."""


def _like_the_first(one: Subject, first: Subject) -> Model:
    """The model, if it is a classifier of the same classes as the first."""
    model = one.classifier(
        f"{one.name}: does not give one class per picture", "Compare classifiers, or measure each with striate evaluate."
    )
    if other := sorted(set(model.classes) ^ set(first.trained.classes))[:5]:
        message = f"{one.name}: has different classes from {first.name}: {', '.join(map(repr, other))}"
        raise DataError(message, "Compare models of the same task.")
    return model


def _refuse_other_divisions(divided: Sequence[tuple[Path | None, RunConfig]]) -> None:
    """Refuse a val split that one run held out and another trained on."""
    for run, config in divided:
        first, of_first = divided[0]
        for field in DIVISION:
            ours, theirs = getattr(config, field), getattr(of_first, field)
            if ours != theirs:
                raise UsageError(f"{run}: {field} is {ours!r}, of {first} {theirs!r}: they held out different pictures", SAME)
