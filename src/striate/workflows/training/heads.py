"""Training a new head on installed weights: logistic regression on their features, and its accuracy by cross-validation."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from striate.core.devices import choose_device
from striate.core.errors import UsageError
from striate.core.intervals import wilson_interval
from striate.models.builtin import is_builtin
from striate.models.features import kept_features, kept_views
from striate.models.fitting import Fitting, begun
from striate.models.learning_curve import CurvePoint, extrapolated, learning_curve
from striate.models.linear_head import USUAL_STRENGTH, OutOfFold, fit_linear_head, head_folds, out_of_fold, takes_long
from striate.workflows.recipes.choices import NOT_OF_UPDATES, chosen_augmentation, chosen_settings
from striate.workflows.training.replaying import Seen, SeenSets, refuse_updates
from striate.workflows.training.request import CrossValidation, LearningPoint, cross_validation_in_words

if TYPE_CHECKING:
    from striate.data.recorded import SplitRecord
    from striate.data.records import ImageSet
    from striate.workflows.recipes.choices import Choices
    from striate.workflows.training.request import TrainRequest
    from striate.workflows.training.running import Observer

FEW_TO_MEASURE = 100  # pictures of a validation split, below which its accuracy says little
MOST_ASKED = 2_000  # pictures that choose the strength of the penalty
MEASURED = 0.7  # accuracy of a head, from which on training the whole network after it gained nothing (docs/log.md)


class FittedHead(NamedTuple):
    """A planned training whose head is fitted.

    The accuracy by cross-validation is over all training pictures, those that are held out among them; None where there are enough of
    these to measure it.
    """

    fitting: Fitting
    cross_validation: CrossValidation | None = None
    learning_curve: tuple[LearningPoint, ...] = ()  # where it is asked for
    seen: SeenSets | None = None  # the pictures by their features, where the head is all that is trained


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


def with_fitted_head(  # the pictures, what is asked for, and who is told
    fitting: Fitting,
    train_set: ImageSet,
    val_set: ImageSet,
    request: TrainRequest,
    observer: Observer,
    *,
    record: SplitRecord,
    replay: SeenSets | None = None,
) -> FittedHead:
    """`fitting` whose new head begins as logistic regression on what the installed weights make of the training pictures.

    Args:
        fitting: The planned training.
        train_set: The pictures that the head is fitted to.
        val_set: Those that it is validated on.
        request: The request.
        observer: Is told of the choices.
        record: Of which pictures these are.
        replay: Pictures of the extended run that are not at hand.

    Raises:
        UsageError: a learning curve is asked for, and no head is fitted; or the whole network is to be trained, and pictures are not at
            hand.
    """
    if not fits_head(fitting, request) or fitting.start is None:
        if request.learning_curve:
            message = "`learning_curve`: is measured with heads on the features of installed weights, and this training has none"
            raise UsageError(message, "Train with `pretrained='builtin'` on pictures of one class each, or leave it out.")
        return FittedHead(fitting)
    is_all = fitting.settings.steps is None and fitting.settings.epochs == 0
    if replay is not None and not is_all:
        refuse_updates(request.extend or "the run")
    path = [row for row in fitting.network.rows if row.cost.params][-1].path
    module = begun(fitting, train_set).to(choose_device(fitting.settings.device))
    few = not record.own_val and len(val_set) < FEW_TO_MEASURE
    seen = train_set.joined(val_set) if few else train_set
    num_train, num_classes, seed = len(train_set), len(fitting.classes), fitting.settings.seed
    views = kept_views(module, path, seen.images, observer.say, done=lambda done, total: observer.step(0, done, total))
    known = _Known(views, seen.labels, seen.paths, seen.facts.groups, seen.facts.weights)
    fitted = np.arange(num_train)
    if replay is not None:
        fitted = np.append(fitted, len(seen) + np.arange(len(replay.train.labels)))
        known = known.with_replayed(replay.train)
        if few and replay.val.views.shape[1] >= known.views.shape[1]:
            known = known.with_replayed(replay.val)
    folds = head_folds(known.labels, known.names, fitting.classes, seed=seed, groups=known.groups)
    many = takes_long(known.views[fitted], num_classes)
    found = None if folds is None or many else _out_of_fold(known, num_classes, folds, seed)
    strength = USUAL_STRENGTH if found is None else found.strength
    weights = None if known.weights is None else known.weights[fitted]
    head = fit_linear_head(known.views[fitted], known.labels[fitted], num_classes, strength=strength, weights=weights)
    how = f"linear discriminant of {num_classes:,} classes, too many for logistic regression," if many else "logistic regression"
    observer.say(f"head      {how} on {len(fitted):,} pictures{'' if many else f', C = {strength:g}'}")
    measured = _measured(found) if found is not None and few else None
    if measured is not None:
        observer.say(f"accuracy  {cross_validation_in_words(measured)}")
    if is_all and replay is None:
        observer.say(f"tuning    {tuning_in_words(None if found is None else _measured(found))}")
    start = {**fitting.start, f"{path}.weight": head.weight, f"{path}.bias": head.bias}
    curve: tuple[LearningPoint, ...] = ()
    if request.learning_curve and folds is not None:
        points = learning_curve(known.views, known.labels, num_classes, folds=folds, strength=strength, seed=seed, weights=known.weights)
        curve = _learning(points)
    kept = None
    if is_all:
        val_views = views[num_train:] if few else kept_features(module, path, val_set.images, lambda _text: None)
        kept = SeenSets(
            Seen.of(record.train.digests, train_set.labels, views[:num_train], seed=seed),
            Seen.of(record.val.digests, val_set.labels, val_views, seed=seed),
        )
        kept = kept if replay is None else SeenSets(*(one.joined(other) for one, other in zip(kept, replay, strict=True)))
    return FittedHead(dataclasses.replace(fitting, start=start), measured, curve, kept)


def tuning_in_words(found: CrossValidation | None) -> str:
    """The decision whether the whole network is trained after its head, by the head's accuracy out of fold.

    It is not, unless the user asks for it: nothing was gained where it was measured, and less accurate heads were not measured.
    """
    if found is None:
        return "none: nothing tells how good the head is; `epochs=5` trains the whole network"
    low, high = found.accuracy_interval
    head = f"out of fold the head names {found.accuracy:.2f} right, between {low:.2f} and {high:.2f}"
    if found.accuracy >= MEASURED:
        return f"none: {head}; from {MEASURED:g} on, training the whole network has gained nothing beyond chance; `epochs=5` does it"
    return f"none yet: {head}; below {MEASURED:g}, training the whole network may pay, which takes longer: `epochs=5` does it"


class _Known(NamedTuple):
    """Pictures by their features, and what else is known of them."""

    views: np.ndarray  # (N, V, F)
    labels: np.ndarray
    names: tuple[str, ...]
    groups: np.ndarray | None
    weights: np.ndarray | None

    def with_replayed(self, old: Seen) -> _Known:
        """These and pictures that are not at hand, each its own group, of weight 1."""
        views = min(self.views.shape[1], old.views.shape[1])
        return _Known(
            np.concatenate([self.views[:, :views], old.views[:, :views].astype(np.float32)]),
            np.concatenate([self.labels, old.labels]),
            self.names + old.names,
            None if self.groups is None else np.concatenate([self.groups, np.array(old.names)]),
            None if self.weights is None else np.concatenate([self.weights, np.ones(len(old.labels))]),
        )


def _learning(points: list[CurvePoint]) -> tuple[LearningPoint, ...]:
    """The points for the report, with what twice the pictures would bring."""
    double, expected = extrapolated(points)
    found = [
        LearningPoint(num_images=size, accuracy=right / asked, accuracy_interval=wilson_interval(right, asked))
        for size, right, asked in points
    ]
    return (*found, LearningPoint(num_images=double, accuracy=expected, accuracy_interval=None))


def _out_of_fold(known: _Known, num_classes: int, folds: np.ndarray, seed: int) -> OutOfFold:
    """The answers by cross-validation, of at most `MOST_ASKED` pictures."""
    places = np.sort(np.random.default_rng(seed).permutation(len(folds))[:MOST_ASKED])
    some = None if known.weights is None else known.weights[places]
    return out_of_fold(known.views[places], known.labels[places], num_classes, folds=folds[places], weights=some)


def _measured(found: OutOfFold) -> CrossValidation:
    """The accuracy of the answers."""
    right, asked = int(found.right.sum()), len(found.asked)
    return CrossValidation(accuracy=right / asked, accuracy_interval=wilson_interval(right, asked), folds=found.folds, num_images=asked)
