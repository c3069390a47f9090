"""The list of what to drop: what is certain says yes, what is a matter of looking says no until the user decides."""

from __future__ import annotations

from collections.abc import Sequence

from striate.core.targets import Task
from striate.data.dropped import DropRow
from striate.insight.check.quality import BLANK
from striate.workflows.checking.record import LabelError
from striate.workflows.checking.same import Same, labels_of
from striate.workflows.checking.surveying import Picture, Survey


def rows_to_drop(seen: Survey, groups: Sequence[Same], errors: Sequence[tuple[int, LabelError]], task: Task) -> list[DropRow]:
    """A row for each picture that something was found about, each picture once, by the first reason of these.

    Yes: files that cannot be read; of a picture in several splits, or nearly the same one, that which is trained on; of one with several
    labels all; of other copies all but the first; blank pictures. No: pictures that are nearly the same in one split or have several
    labels, those that are alike by the network alone, and labels that are probably wrong.

    Args:
        seen: All pictures.
        groups: Those that are the same, by places among the readable ones.
        errors: Those whose labels are probably wrong, likewise.
        task: That of the data.
    """
    rows: dict[tuple[str, int], DropRow] = {}

    def add(picture: Picture, reason: str, beside: str = "", *, drop: bool = True) -> None:
        key = picture.split, picture.place
        if key not in rows or (drop and not rows[key].drop):
            rows[key] = DropRow(drop, picture.name, picture.digest, reason, beside)

    for picture in seen.pictures:
        if picture.error:
            add(picture, "unreadable", picture.error)
    readable = seen.readable
    for group in groups:
        members, sure = [readable[place] for place in group.places], group.by == "pixels"
        kind = "" if group.by == "pixels" else "near "
        labels = set(labels_of(group, readable, task))
        if len(labels) > 1:
            named = ", ".join(f"{member.name} ({member.said})" for member in members)
            for member in members:
                add(member, f"{kind}copy with another label", named, drop=sure)
            continue
        kept = min(members, key=lambda member: ("test", "val", "train").index(member.split))
        for member in members:
            if member is not kept:
                is_leak = member.split != kept.split
                word = "leak" if is_leak else "duplicate"
                add(member, f"{kind}{word}", kept.name, drop=sure or (is_leak and group.by == "hash"))
    for picture in readable:
        if picture.measures.spread <= BLANK:
            add(picture, "blank")
    for place, error in errors:
        add(readable[place], "label", error.suggested, drop=False)
    return list(rows.values())
