"""Labels as a network and small classifiers see them: those that are probably wrong, and what gives them away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.intervals import wilson_interval
from striate.insight.check.embedding import Embedding, side_for
from striate.insight.check.labels import suspects
from striate.insight.check.shortcuts import Shortcut, shortcuts
from striate.models.linear_head import head_folds, out_of_fold
from striate.workflows.checking.opening import typical_side
from striate.workflows.checking.record import Judged, LabelError
from striate.workflows.checking.same import Same
from striate.workflows.checking.surveying import Picture

if TYPE_CHECKING:
    from striate.data.records import DataSource
    from striate.workflows.checking.record import CheckRequest

CONTENT = frozenset({"colour cast", "brightness", "grey or coloured", "sharpness"})  # that the subject may have by its nature
GAIN = 0.25  # of the way from guessing to always right, below which a classifier knows too little to judge
FEWEST = 2  # pictures of a class, below which its labels are not judged


MOST_SHOWN = 2_000  # pictures of FULL_SIDE pixels a side, up to which a network judges labels without being asked to
FULL_SIDE = 224
MOST_ANSWERS = 10**7  # pictures times classes that are judged, in minutes; of 30,000 and 10,000 the answers alone would fill 10 GB


class Verdict(NamedTuple):
    """The suspected labels by places, and what is said of them."""

    errors: list[tuple[int, LabelError]]
    judged: Judged | None
    not_judged: tuple[str, str] | None = None  # why not, and the remedy


def network_to_judge(request: CheckRequest, source: DataSource) -> tuple[Embedding | None, tuple[str, str] | None]:
    """The network that labels are judged by; or why there is none, where one would serve, and the remedy.

    Raises:
        EnvironmentFault, RefusedFileError: it is asked for, and its weights are not installed or damaged.
    """
    side, total = side_for(typical_side(source)), sum(source.num_images(split) for split in source.splits)
    many = total * (side / FULL_SIDE) ** 2 > MOST_SHOWN
    if not request.deep and (many or not source.has_classes):
        words = f"labels were not judged by a network: {total:,} pictures are many"
        return None, (words, "Judge them with `deep=True`.") if source.has_classes else None
    try:
        return Embedding(side, request.fit), None
    except (EnvironmentFault, RefusedFileError) as error:
        if request.deep:
            raise
        return None, (f"labels were not judged by a network: {error.message}", error.remedy)


def judge(pictures: Sequence[Picture], features: np.ndarray, classes: Sequence[str], same: Sequence[Same], seed: int) -> Verdict:
    """The pictures whose labels are probably wrong, the most certain first."""
    labels = np.array([picture.label if picture.label is not None else -1 for picture in pictures])
    one_of = together(pictures, [group.places for group in same if group.by != "network"])
    kinds = [label for label in range(len(classes)) if len(np.unique(one_of[labels == label])) >= FEWEST]
    kept = np.flatnonzero(np.isin(labels, kinds))
    folds = head_folds(labels[kept], [pictures[place].path for place in kept.tolist()], classes, seed=seed, groups=one_of[kept])
    if folds is None:
        return Verdict([], None)
    if len(kept) * len(kinds) > MOST_ANSWERS:
        words = f"labels were not judged: {len(kept):,} pictures of {len(kinds):,} classes are too many"
        return Verdict([], None, (words, "Check fewer classes at a time."))
    found = out_of_fold(features[kept], labels[kept], len(classes), folds=folds)
    kept, correct = kept[found.asked], int(found.right.sum())
    low, high = wilson_interval(correct, len(kept))
    judged = Judged(accuracy=correct / len(kept), accuracy_interval=(low, high), num_images=len(kept))
    most = float(np.bincount(labels[kept]).max() / len(kept))  # right by guessing always the same
    if low < most + GAIN * (1 - most):
        why = f"labels were not judged: a classifier names {judged.accuracy:.0%} right, hardly more than guessing"
        return Verdict([], judged, (why, "Add pictures, or look whether the classes can be told apart."))
    errors = []
    for suspect in suspects(found.shares, labels[kept]):
        place = int(kept[suspect.place])
        label = classes[labels[place]]
        error = LabelError(path=pictures[place].path, label=label, suggested=classes[suspect.suggested], score=round(suspect.margin, 4))
        errors.append((place, error))
    return Verdict(errors, judged)


def together(pictures: Sequence[Picture], copies: Sequence[Sequence[int]]) -> np.ndarray:
    """(N,) a number for each picture, the same for those of one group of the data and for copies: they are never judged by each other."""
    first: dict[str, int] = {}
    one_of = np.array([first.setdefault(picture.group, place) if picture.group else place for place, picture in enumerate(pictures)])
    for places in copies:
        one_of[np.isin(one_of, one_of[list(places)])] = one_of[places[0]]
    return one_of


def giveaways(pictures: Sequence[Picture], seed: int) -> list[Shortcut]:
    """The properties of training pictures that predict the class by themselves."""
    train = [picture for picture in pictures if picture.split == "train" and picture.label is not None]
    if not train:
        return []
    looks = [picture.measures for picture in train]
    size = np.array([(picture.height, picture.width) for picture in train], np.float64)
    colour = np.array([look.colour for look in looks])
    border = np.array([look.border for look in looks])
    wide = (border.max(1) > 0)[:, None]
    properties = {
        "size": size,
        "shape": size[:, :1] / size[:, 1:],
        "file format": np.concatenate([_flags([picture.format for picture in train]), _flags([picture.mode for picture in train])], 1),
        "file size": np.array([[picture.num_bytes or 0] for picture in train]) / size.prod(1, keepdims=True),
        "border": np.concatenate([border, wide * np.array([look.edge for look in looks])], 1),
        "colour cast": colour - colour.mean(1, keepdims=True),
        "brightness": np.array([(look.dark, look.bright) for look in looks], np.float64),
        "grey or coloured": np.array([[look.is_grey] for look in looks], np.float64),
        "sharpness": np.log1p(np.array([[look.sharpness] for look in looks])),
    }
    return shortcuts(properties, np.array([picture.label for picture in train]), CONTENT, seed=seed)


def _flags(words: Sequence[str]) -> np.ndarray:
    """(N, kinds) 1 where a picture has the word."""
    kinds = sorted(set(words))
    return np.array([[word == kind for kind in kinds] for word in words], np.float64)
