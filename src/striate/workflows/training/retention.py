"""The accuracy of a run with more classes on the pictures that the run which it extends had held out, before and after."""

from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass

from striate.core.intervals import share_in_words, wilson_interval
from striate.core.text import counted
from striate.data.records import ImageSet
from striate.models.loading import load
from striate.workflows.runs.config import Extended

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Share:
    """The accuracy on some pictures, with its 95 % interval."""

    num_images: int
    accuracy: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class Retention:
    """The kept model on the pictures that the extended run held out, and on the others of val; None where there are none."""

    run: str
    before: Share | None  # of the extended run's model on what it held out
    after: Share | None  # of the new model on the same pictures; of those that are not at hand, on their features
    taken_for_new: int  # of these, answered with a class that was added
    added: Share | None  # of the new model on the other pictures of val


def retention(extended: Extended, folder: Path, val_set: ImageSet) -> Retention:
    """The kept model of the run in `folder` on the pictures that the run which it extends had held out, and on the others."""
    answers = load(folder).outputs(val_set.images).argmax(1)
    right, old, gone = answers == val_set.labels, extended.num_val, extended.replayed
    correct, now, taken = extended.correct, int(right[:old].sum()), int((answers[:old] >= extended.num_classes).sum())
    total = old
    if gone is not None:
        correct, now, taken, total = correct + gone.correct, now + gone.correct_now, taken + gone.taken_for_new, old + gone.num_val
    return Retention(
        run=extended.run,
        before=_share(correct, total),
        after=_share(now, total),
        taken_for_new=taken,
        added=_share(int(right[old:].sum()), len(right) - old),
    )


def _share(correct: int, total: int) -> Share | None:
    return Share(num_images=total, accuracy=correct / total, interval=wilson_interval(correct, total)) if total else None


def retention_in_words(found: Retention) -> list[str]:
    """The measures as lines."""
    lines = []
    if found.before is not None and found.after is not None:
        before, after = _in_words(found.before), _in_words(found.after)
        taken = f"; {found.taken_for_new} {'is' if found.taken_for_new == 1 else 'are'} taken for a new class"
        lines.append(f"kept: of {_pictures(found.before)} that the extended run held out, it named {before} right; now {after}{taken}")
    if found.added is not None:
        lines.append(f"added: of {_pictures(found.added)} held out of the new ones, {_in_words(found.added)} are named right")
    return lines


def _pictures(share: Share) -> str:
    return counted(share.num_images, "picture")


def _in_words(share: Share) -> str:
    return share_in_words(share.accuracy, share.num_images)
