"""Training a new head on installed weights: logistic regression on their features, and its accuracy by cross-validation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.core.intervals import wilson_interval
from striate.models.builtin import is_builtin
from striate.models.features import kept_views
from striate.models.fitting import Fitting, begun
from striate.models.learning_curve import CurvePoint, extrapolated, learning_curve
from striate.models.linear_head import USUAL_STRENGTH, OutOfFold, fit_linear_head, head_folds, out_of_fold
from striate.workflows.recipes.choices import chosen_augmentation, chosen_settings
from striate.workflows.training.request import CrossValidation, LearningPoint, cross_validation_in_words

if TYPE_CHECKING:
    from striate.data.records import ImageSet
    from striate.workflows.recipes.choices import Choices
    from striate.workflows.training.request import TrainRequest
    from striate.workflows.training.running import Observer

FEW_TO_MEASURE = 100  # pictures of a validation split, below which its accuracy says little
MOST_ASKED = 2_000  # pictures that choose the strength of the penalty
NOT_OF_UPDATES = ("seed", "device", "deterministic", "precision", "monitor", "patience")  # settings that ask for no training


class FittedHead(NamedTuple):
    """A planned training whose head is fitted.

    The accuracy by cross-validation is over all training pictures, those that are held out among them; None where there are enough of
    these to measure it.
    """

    fitting: Fitting
    cross_validation: CrossValidation | None = None
    learning_curve: tuple[LearningPoint, ...] = ()  # where it is asked for


def fits_head(fitting: Fitting, request: TrainRequest) -> bool:
    """Return whether the training begins with installed weights and a new dense layer for one class a picture.

    A run of nothing but a head that is taken to more classes gets a new one, too, fitted to old and new pictures alike.
    """
    if not is_builtin(request.pretrained) or fitting.start is None or fitting.task != "classify":
        return False
    head = [row for row in fitting.network.rows if row.cost.params][-1]
    is_all = fitting.settings.steps is None and fitting.settings.epochs == 0
    return head.layer.role == "linear" and (is_all or f"{head.path}.weight" not in fitting.start)


def without_updates(fitting: Fitting, request: TrainRequest, choices: Choices) -> Fitting:
    """`fitting` with no epochs of training after a fitted head, unless the request says anything that only a training can obey."""
    said = set(chosen_settings(request, choices)) - set(NOT_OF_UPDATES) | set(chosen_augmentation(request, choices))
    if said or not fits_head(fitting, request):
        return fitting
    return dataclasses.replace(fitting, settings=dataclasses.replace(fitting.settings, epochs=0))


def with_fitted_head(
    fitting: Fitting, train_set: ImageSet, held_out: ImageSet | None, request: TrainRequest, observer: Observer
) -> FittedHead:
    """`fitting` whose new head begins as logistic regression on what the installed weights make of the training pictures.

    Args:
        fitting: The planned training.
        train_set: The pictures that the head is fitted to.
        held_out: Those of the training split that it is validated on, if there are any.
        request: The request.
        observer: Is told of the choices.

    Raises:
        UsageError: a learning curve is asked for, and no head is fitted.
    """
    if not fits_head(fitting, request) or fitting.start is None:
        if request.learning_curve:
            message = "`learning_curve`: is measured with heads on the features of installed weights, and this training has none"
            raise UsageError(message, "Train with `pretrained='builtin'` on pictures of one class each, or leave it out.")
        return FittedHead(fitting)
    path = [row for row in fitting.network.rows if row.cost.params][-1].path
    module = begun(fitting, train_set).to(choose_device(fitting.settings.device))
    few = held_out is not None and len(held_out) < FEW_TO_MEASURE
    seen = train_set.joined(held_out) if held_out is not None and few else train_set
    num_train, num_classes, seed = len(train_set), len(fitting.classes), fitting.settings.seed
    features = kept_views(module, path, seen.images, observer.say, done=lambda done, total: observer.step(0, done, total))
    folds = head_folds(seen.labels, seen.paths, fitting.classes, seed=seed, groups=seen.facts.groups)
    found = None if folds is None else _out_of_fold(features, seen, num_classes, folds, seed)
    strength = USUAL_STRENGTH if found is None else found.strength
    head = fit_linear_head(features[:num_train], train_set.labels, num_classes, strength=strength, weights=train_set.facts.weights)
    observer.say(f"head      logistic regression on {num_train:,} pictures, C = {strength:g}")
    measured = _measured(found) if found is not None and few else None
    if measured is not None:
        observer.say(f"accuracy  {cross_validation_in_words(measured)}")
    start = {**fitting.start, f"{path}.weight": head.weight, f"{path}.bias": head.bias}
    curve: tuple[LearningPoint, ...] = ()
    if request.learning_curve and folds is not None:
        weights = seen.facts.weights
        points = learning_curve(features, seen.labels, num_classes, folds=folds, strength=strength, seed=seed, weights=weights)
        curve = _learning(points)
    return FittedHead(dataclasses.replace(fitting, start=start), measured, curve)


def _learning(points: list[CurvePoint]) -> tuple[LearningPoint, ...]:
    """The points for the report, with what twice the pictures would bring."""
    double, expected = extrapolated(points)
    found = [
        LearningPoint(num_images=size, accuracy=right / asked, accuracy_interval=wilson_interval(right, asked))
        for size, right, asked in points
    ]
    return (*found, LearningPoint(num_images=double, accuracy=expected, accuracy_interval=None))


def _out_of_fold(features: np.ndarray, seen: ImageSet, num_classes: int, folds: np.ndarray, seed: int) -> OutOfFold:
    """The answers by cross-validation, of at most `MOST_ASKED` pictures."""
    places = np.sort(np.random.default_rng(seed).permutation(len(folds))[:MOST_ASKED])
    weights = seen.facts.weights
    some = None if weights is None else weights[places]
    return out_of_fold(features[places], seen.labels[places], num_classes, folds=folds[places], weights=some)


def _measured(found: OutOfFold) -> CrossValidation:
    """The accuracy of the answers."""
    right, asked = int(found.right.sum()), len(found.asked)
    return CrossValidation(accuracy=right / asked, accuracy_interval=wilson_interval(right, asked), folds=found.folds, num_images=asked)
