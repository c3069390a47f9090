"""Files that are left out when data is read, and why: recorded in one place, reported in one form by every verb."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from striate.core.errors import DataError
from striate.data.kinds import EXTENSIONS
from striate.data.pieces import PictureFile

SHOWN = 5  # names in one message
KEPT = 20  # names in a report

# Why something is left out; each stands after how many files or folders there are.
UNREADABLE = "unreadable and left out"
CLOSED = "that cannot be opened, left out"
DROPPED = "left out, as the list of what to drop says"
ABSENT = "not found and left out"
NO_LABEL = "without a label beside them, left out"
NO_PICTURE = "ignored, no pictures"
NO_CLASS = "ignored, in no class folder"
NO_MATCH = "ignored, in whose path `class_from` finds no class"
NO_SPLIT = "ignored, in a folder that is not a split"
NO_PAIR = "in masks/ without a picture, ignored"
NO_LABELS = "ignored, in neither images/ nor masks/"
NO_SIDE = "ignored, in neither input/ nor target/"
OF_SYSTEMS = "left out, hidden or in system folders such as thumbnails and trash"
OF_OURS = "left out, written by Striate"
LOOP = "not followed, to a parent folder"
TWICE = "not followed, to files that were read already"
NOWHERE = "ignored, broken"
NOUNS = {
    **dict.fromkeys((CLOSED, OF_OURS), "folder"),
    **dict.fromkeys((NO_CLASS, NO_LABEL, NO_MATCH, NO_SPLIT, NO_LABELS, NO_SIDE, OF_SYSTEMS), "picture"),
    **dict.fromkeys((LOOP, TWICE, NOWHERE), "link"),
}  # what there are so many of; else files


@dataclass(frozen=True)
class Omission:
    """Files or folders that were left out for one reason.

    Attributes:
        why: The reason.
        count: Their number.
        paths: The first of them.
    """

    why: str
    count: int
    paths: tuple[str, ...]

    @property
    def words(self) -> str:
        """Number, reason and names in a line."""
        return f"{count_of(range(self.count), NOUNS.get(self.why, 'file'))} {self.why}: {_some(self.paths, self.count)}"


@dataclass
class Ledger:
    """The files left out of a reading, recorded as it goes.

    Attributes:
        paths: Files and folders by the reason why they are left out.
        unreadable: Pictures that cannot be read, with the reason; they stop a reading that is not to skip them.
        closed: Folders that cannot be listed, likewise.
    """

    paths: dict[str, list[PictureFile]] = field(default_factory=dict)
    unreadable: dict[Path, DataError] = field(default_factory=dict)
    closed: dict[Path, DataError] = field(default_factory=dict)

    def leave_out(self, why: str, paths: Iterable[PictureFile]) -> None:
        """Record that `paths` are left out."""
        if some_paths := list(paths):
            self.paths.setdefault(why, []).extend(some_paths)

    def forget(self, path: Path) -> None:
        """Remove `path` from the files left out: it is read, but not as a picture."""
        kept = {why: [one for one in paths if one != path] for why, paths in self.paths.items()}
        self.paths = {why: paths for why, paths in kept.items() if paths}

    def refuse_or_skip(self, bad: Mapping[Any, DataError], *, skip: bool) -> None:
        """Stop at what cannot be read, `bad` and what was found before; or leave it out.

        Raises:
            DataError: there is such a file or folder, and it is not to be skipped.
        """
        bad = {**self.unreadable, **bad}
        if not skip and self.closed:
            raise next(iter(self.closed.values()))
        if not skip and bad:
            raise unreadable(bad)
        self.leave_out(UNREADABLE, bad)
        self.leave_out(CLOSED, self.closed)
        self.unreadable, self.closed = {}, {}

    def omissions(self) -> tuple[Omission, ...]:
        """The files left out so far."""
        ordered = {why: sorted(paths, key=lambda path: os.fsencode(str(path))) for why, paths in self.paths.items()}
        return tuple(Omission(why, len(paths), tuple(map(str, paths[:KEPT]))) for why, paths in ordered.items())


def say_omissions(left_out: Iterable[Omission], say: Callable[[str], None]) -> None:
    """Report what was left out, one line per reason."""
    for omission in left_out:
        say(omission.words)


def unreadable(bad: Mapping[Any, DataError], more: str = "") -> DataError:
    """The error that names the files, with the reasons of the first."""
    reasons: dict[str, list[PictureFile]] = {}
    for path, error in bad.items():
        reason = error.message.removeprefix(f"{path}: ").removeprefix("cannot be read as a picture: ")
        reasons.setdefault(reason, []).append(path)
    words = next(iter(reasons)) if len(reasons) == 1 else "; ".join(f"{paths[0].name}: {reason}" for reason, paths in _first(reasons))
    remedy = "Remove or repair them, or leave them out with `skip_unreadable=True`."
    if foreign := [error.remedy for error in bad.values() if "pictures are not supported" in error.message]:
        remedy = foreign[0]
    if any("channels, the model takes" in reason for reason in reasons):
        remedy = "Give pictures of the kind that the model was trained on, grey or coloured."
    return DataError(f"{count_of(bad)} cannot be read as pictures: {some(bad)} ({words}){more}", remedy)


def _first(reasons: Mapping[str, list[PictureFile]]) -> Iterable[tuple[str, list[PictureFile]]]:
    return itertools.islice(reasons.items(), 3)


def no_pictures(where: str, ledger: Ledger, remedy: str, more: str = "") -> DataError:
    """The error if there is nothing to read, with what was found instead."""
    instead = f"; {'; '.join(omission.words for omission in ledger.omissions())}" if ledger.paths else ""
    return DataError(f"{where}: no pictures{more}{instead}", f"{remedy}; endings: {' '.join(EXTENSIONS)}.")


def some(names: Collection[object]) -> str:
    """The first few, and how many more."""
    return _some(list(itertools.islice(names, SHOWN)), len(names))


def _some(names: Collection[object], count: int) -> str:
    more = f" and {count - SHOWN:,} more" if count > SHOWN else ""
    return ", ".join(map(str, itertools.islice(names, SHOWN))) + more


def count_of(paths: Collection[object], noun: str = "file") -> str:
    """The number of files, in words."""
    return f"1 {noun}" if len(paths) == 1 else f"{len(paths):,} {noun}s"
