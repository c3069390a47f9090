"""Findings from the kept model's predictions on unaugmented training and validation pictures, and from a comparison of the two."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import median

from striate.data.signals import NETWORKS
from striate.insight.diagnose.curves import SURELY, Curves
from striate.insight.diagnose.exam import Answers, Exam
from striate.insight.diagnose.records import Finding, Kind, Severity
from striate.insight.diagnose.remedies import BALANCED, first_new
from striate.insight.diagnose.setup import Setup
from striate.insight.diagnose.statistics import gap_of, share_below, tail_probability

FEWEST = 30  # validation pictures, below which their answers tell nothing
SURE_TENTHS = 3  # of the pictures, those whose answers are the surest
LEARNED = 0.4  # of the way from a guess to no error: less is no basis for anything but underfitting
SURE_WRONG = 0.03  # share of the sure answers that contradict the label, at least, in training as in validation
FLAT = 0.5  # the same over the share of all answers: near 0 where errors are what is hard, near 1 where they are chance
WELL = 0.9  # of the way from a guess to no error: nothing is wrong that such a training would feel
DOUBTFUL, NEARLY_FLAT = 0.2, 0.35  # the same and the flatness, from which on too little learned may be wrong labels
UNDER = 0.6  # the same in training, below which a network has not learned its pictures
CLOSE = 0.1  # accuracy in training above validation: no overfitting
SHARED = 0.05  # share of the validation pictures
BY_CHANCE = 1e-4  # the probability of a distance between brightness or contrast
WORSE_BY = 0.15  # accuracy
RARE = 0.25  # of the mean number of pictures of a class
IGNORED = 0.3  # share of a rare class's pictures that are answered with it
FAR_MEAN, FAR_STD = 3.0, 8.0  # of the network's input, where 0 and 1 are usual
STRONG_DECAY = {"sgd": 5e-2}  # weight decay that holds weights down; of AdamW and its kin:
STRONG_DECOUPLED, STRONG_PENALTY, STRONG_DROPOUT, STRONG_SMOOTHING = 0.5, 1e-2, 0.8, 0.6
FALLING = 0.1  # share of the loss that the last third of the epochs still took away
STILL = 0.02  # the same, of a network that is large enough: a falling learning rate may end its training early
HARDLY_ANY, FEW = 100, 200  # updates
FEW_PARAMS = 1_000


def outcome_findings(exam: Exam, curves: Curves, setup: Setup | None) -> list[Finding]:
    """All findings from the predictions."""
    found = (
        _input_scale(exam, setup),
        _frozen(exam, setup),
        _held_down(exam, setup),
        _leak(exam),
        _val_differs(exam, curves),
        _label_noise(exam),
        _rare(exam, setup),
        _underfitting(exam, curves, setup),
    )
    return [finding for finding in found if finding is not None]


def skill(answers: Answers) -> float:
    """Skill, from 0 for guessing the most frequent class to 1 for no error."""
    guess = max(answers.counts) / answers.num_images
    return (answers.accuracy - guess) / (1 - guess) if guess < 1 else 0.0


def _input_scale(exam: Exam, setup: Setup | None) -> Finding | None:
    mean, std = exam.input_mean, exam.input_std
    is_far = abs(mean) > FAR_MEAN or not 1 / FAR_STD <= std <= FAR_STD
    if not is_far or skill(exam.val) >= WELL or (setup is not None and setup.network.norms and skill(exam.val) >= UNDER):
        return None
    return Finding(
        kind="input_scale",
        evidence=std,
        unit="standard deviation of the network's input, where 1 is usual",
        message=f"the network's input has the mean {mean:.3g} and the standard deviation {std:.3g}, where 0 and 1 are usual",
        cause="The pictures were normalized by the mean and standard deviation of other data.",
        remedy="`normalization='dataset'`",
    )


def _frozen(exam: Exam, setup: Setup | None) -> Finding | None:
    if setup is None or not setup.settings.freeze or setup.settings.unfreeze_every or not setup.is_fresh or skill(exam.val) >= WELL:
        return None
    parts = ", ".join(setup.settings.freeze)
    return Finding(
        kind="frozen_at_random",
        where=setup.settings.freeze[0],
        evidence=float(len(setup.settings.freeze)),
        unit="frozen parts",
        message=f"frozen with random initial weights: {parts}",
        cause="The frozen parts have not been trained, so what they pass on is random.",
        remedy="no `freeze`, or `pretrained` with weights that were trained",
    )


def _leak(exam: Exam) -> Finding | None:
    count = exam.val.num_images
    if exam.shared is None or exam.shared < SHARED * count:
        return None
    return Finding(
        kind="leak",
        evidence=exam.shared / count,
        unit="share of the validation pictures",
        message=f"{exam.shared:,} of the {count:,} validation pictures are also training pictures, pixel for pixel",
        cause="The network has memorized their labels: the validation accuracy says too little about new pictures.",
        remedy="a val split of other pictures: remove the copies from one of the two",
    )


def _val_differs(exam: Exam, curves: Curves) -> Finding | None:
    train, val = exam.train, exam.val
    if val.num_images < FEWEST or exam.shift.p_value is None or exam.shift.p_value > BY_CHANCE:
        return None
    known = max(train.accuracy, *curves.train_accuracy)  # the kept model may be one of before, where the validation was best
    if known - val.accuracy < WORSE_BY or gap_of(known, train.num_images, val.accuracy, val.num_images) < SURELY:
        return None
    return Finding(
        kind="val_differs",
        evidence=exam.shift.distance,
        unit="distance between the distributions of brightness or contrast, from 0 to 1",
        message=(
            f"accuracy is {100 * (known - val.accuracy):.0f} points lower in validation, whose pictures differ from the training's "
            f"in brightness or contrast: by {exam.shift.distance:.2f}, where 0 means equal and 1 nothing in common"
        ),
        cause="The validation pictures come from another source than the training pictures, or were prepared differently.",
        remedy="to compare the two; without the val split, held-out training pictures show the accuracy on pictures of the same source",
    )


def _label_noise(exam: Exam) -> Finding | None:
    """Wrong labels: confident predictions contradict labels as often as others do, if the errors are random.

    A hard picture gets an unsure answer, so that of the surest third hardly any is wrong. A wrong label has nothing to do with what its
    picture shows: it contradicts sure and unsure answers alike, in validation as in training.
    """
    if exam.val.num_images < FEWEST or skill(exam.val) < LEARNED:
        return None
    (wrong, count), (val_wrong, val_count) = sure_errors(exam.train), sure_errors(exam.val)
    rates = wrong / count, val_wrong / val_count
    val_is_right = gap_of(rates[0], count, rates[1], val_count) > 0  # somebody has looked at these labels
    if not _is_flat(exam.train) or not (_is_flat(exam.val) or val_is_right):
        return None
    return Finding(
        kind="label_noise",
        evidence=round(rates[0], 4),
        unit="share of the most confident third of the predictions that contradict the label of a training picture",
        message=(
            f"of the most confident third of the predictions, {100 * rates[0]:.0f} % contradict the label in training and "
            f"{100 * rates[1]:.0f} % in validation"
        ),
        cause="Labels that contradict confident predictions as often as others are wrong labels, not hard pictures.",
        remedy="to correct the labels in doubted-labels.csv, which `striate diagnose` writes",
    )


def _is_flat(answers: Answers, least: float = FLAT) -> bool:
    """Return whether confident predictions are wrong about as often as the others."""
    wrong, count = sure_errors(answers)
    return share_below(wrong, count) >= SURE_WRONG and wrong / count >= least * (1 - answers.accuracy)


def sure_errors(answers: Answers) -> tuple[int, int]:
    """The number of wrong predictions among the most confident, and the number of these."""
    sizes = [len(part) for part in _tenths(answers.num_images)][:SURE_TENTHS]
    wrong = sum(round(share * size) for share, size in zip(answers.errors, sizes, strict=False))
    return wrong, sum(sizes)


def _tenths(count: int) -> list[range]:
    """As `numpy.array_split` divides: the first ones are larger by one where it does not come out even."""
    size, more = divmod(count, 10)
    ends = [0]
    for place in range(10):
        ends.append(ends[-1] + size + (place < more))
    return [range(start, end) for start, end in pairwise(ends)]


def _rare(exam: Exam, setup: Setup | None) -> Finding | None:
    usual, val = sum(exam.train_counts) / len(exam.train_counts), exam.val
    ignored = []
    for place, (pictures, count, hits) in enumerate(zip(exam.train_counts, val.counts, val.hits, strict=True)):
        others = [h / n for other, (h, n) in enumerate(zip(val.hits, val.counts, strict=True)) if n and other != place]
        is_rare = pictures <= RARE * usual and count > 0 and bool(others)
        if is_rare and hits <= IGNORED * count and median(others) >= 0.6 and tail_probability(hits, count, median(others)) < 0.01:
            ignored.append((place, pictures, hits, count))
    if not ignored:
        return None
    place, pictures, hits, count = min(ignored, key=lambda one: one[2] / one[3])
    return Finding(
        kind="rare_classes",
        evidence=hits / count,
        unit="accuracy in the rarest class",
        message=(
            f"{len(ignored)} of {len(exam.train_counts)} classes have few training pictures and are hardly ever predicted: of class "
            f"{place + 1} with {pictures} training pictures, {hits} of {count} validation pictures are right"
        ),
        cause="A network that rarely sees a class loses little by never predicting it.",
        remedy=first_new(setup, BALANCED, "more pictures of the rare classes"),
    )


def _underfitting(exam: Exam, curves: Curves, setup: Setup | None) -> Finding | None:
    """Underfitting, if its cause is known."""
    learned = skill(exam.train)
    if setup is None or learned >= UNDER or exam.train.accuracy - exam.val.accuracy > CLOSE:
        return None
    if max(curves.train_accuracy, default=0.0) >= UNDER:  # of later epochs than the kept one
        return None
    if learned >= DOUBTFUL and _is_flat(exam.train, NEARLY_FLAT):  # it may be wrong labels that it cannot learn
        return None
    reason = _why(curves, setup)
    if reason is None:
        return None
    cause, remedy = reason
    return _not_learned(exam, "underfitting", "note", cause, remedy)


def _not_learned(exam: Exam, kind: Kind, severity: Severity, cause: str, remedy: str) -> Finding:
    """The finding that the training pictures themselves were not learned."""
    return Finding(
        kind=kind,
        severity=severity,
        evidence=round(exam.train.accuracy, 4),
        unit="accuracy on training pictures without augmentation",
        message=f"only {100 * exam.train.accuracy:.0f} % of its training pictures are classified correctly, without augmentation",
        cause=cause,
        remedy=remedy,
    )


def _why(curves: Curves, setup: Setup) -> tuple[str, str] | None:
    """The cause of underfitting and a remedy; None if it is not known."""
    still = curves.late_gain
    if still is None:
        return None
    is_short = curves.updates < HARDLY_ANY or (still >= FALLING and curves.updates < FEW)
    if is_short and curves.updates and (curves.gained or 0) > 0:
        settings, done = setup.settings, len(curves.train_loss)
        if settings.patience is not None and settings.steps is None and done < settings.epochs:  # more epochs would not be reached
            return f"Patience ended the training after {curves.updates} updates.", f"`patience={max(10, 4 * settings.patience)!r}`"
        times = max(2, min(20, math.ceil(FEW / curves.updates)))
        return f"The training was too short: {curves.updates} updates.", f"`epochs={len(curves.train_loss) * times!r}`"
    if still >= FALLING or setup.is_mixed or curves.updates < HARDLY_ANY:
        return None
    start = f"other first weights, with `seed={setup.settings.seed + 1}`"
    usual = NETWORKS.get(setup.network.kind, "compact_cnn")
    if setup.network.params <= FEW_PARAMS:
        return "The network is too small: its loss no longer falls.", f"`network={usual!r}`; or {start}"
    if still < STILL and setup.is_fresh and not setup.augmentation.policy:
        other = "another network" if setup.network.name == usual else f"`network={usual!r}`"
        return "The loss no longer falls: from these first weights, this network learns no more.", f"{start}; or {other}"
    return None


def _held_down(exam: Exam, setup: Setup | None) -> Finding | None:
    held = held_down(setup)
    if held is None or skill(exam.train) >= UNDER:
        return None
    cause, remedy = held
    return _not_learned(exam, "regularisation_too_strong", "warning", cause, remedy)


def held_down(setup: Setup | None) -> tuple[str, str] | None:
    """A regularisation that is many times what is usual, and the flag that loosens it."""
    if setup is None:
        return None
    settings = setup.settings
    decoupled = settings.optimizer in ("adamw", "muon", "lion")
    if settings.weight_decay >= (STRONG_DECOUPLED if decoupled else STRONG_DECAY["sgd"]):
        return (
            f"A weight decay of {settings.weight_decay:g} holds the weights near zero.",
            f"`weight_decay={0.01 if decoupled else 5e-4:g}`",
        )
    for name in ("l1", "l2", "l2_half"):
        if getattr(settings, name) >= (STRONG_PENALTY / 10 if name == "l1" else STRONG_PENALTY):
            return f"A penalty {name} of {getattr(settings, name):g} holds the weights near zero.", f"`set={{'settings.{name}': 0}}`"
    if setup.network.dropout >= STRONG_DROPOUT:
        return f"Dropout removes {100 * setup.network.dropout:.0f} % of a layer's units.", "a smaller dropout, such as 0.5"
    if settings.smoothing >= STRONG_SMOOTHING:
        return f"Label smoothing of {settings.smoothing:g} leaves little of the labels.", "`smoothing=0.1`"
    return None
