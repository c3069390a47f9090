"""The split of a training as a record: which pictures it learned from and which it held out, found again in data that has changed since."""

from __future__ import annotations

import base64
import dataclasses
import functools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from striate.core.errors import RefusedFileError
from striate.core.images import InputSpec
from striate.data.identities import DIGEST_BYTES, Identities
from striate.data.records import ImageSet
from striate.data.splits import Images, Places, Source

FORMAT = 1
SHORT_BYTES = 6  # of a digest, in a model file
MOST_HELD_OUT = 20_000  # digests of validation pictures in a model file: of more, the smallest, which are a random sample
MOST_TRAINED = 512  # digests of training pictures in a model file: the smallest
ROLES = ("train", "unused", "val")  # in the order in which copies of one picture are given out: what was trained on is never val
SHOWN = 3  # names in a sentence

Place = tuple[str, int]  # a split of a data set, and a place in it


class Found(NamedTuple):
    """The pictures of a training that a data set still holds, and where."""

    train: list[Place]  # trained on, in the order of the training
    val: list[Place]  # validated on, likewise
    trained: frozenset[Place]  # all that was trained on, copies too
    num_train: int  # that the training had
    num_val: int
    gone: dict[str, list[str]]  # role -> names; numbers of them where names are not known
    changed: dict[str, list[str]]  # role -> names of pictures with another content now
    relabelled: dict[str, list[str]]  # role -> names of pictures of another class now, each with that class; none where it is not known
    moved: int  # pictures under another name
    new: int | None  # in train and val, neither trained on, held out nor left aside; None: not known

    is_its: bool  # whether this is the training's data at all: by content, it holds half of its pictures, or half of what it holds is


@dataclass(frozen=True)
class Trained:
    """The number of given pictures that a model was trained on: exact copies of training pictures."""

    count: int
    is_exact: bool  # False: estimated from the training pictures that are known
    names: tuple[str, ...]  # of those that are known to be
    num_known: int  # training pictures whose content is known


@dataclass(frozen=True, kw_only=True)
class SplitRecord:
    """The pictures that a training learned from, validated on, and left unused of the training split, in its order.

    Attributes:
        classes: Of the data.
        own_val: The validation pictures are a split that the data had; else held out of its training split.
        train: Trained on.
        val: Validated on.
        unused: Of the training split, left aside.
        labels: role -> the places in `classes` of its pictures; None: an older version wrote it, or they have no single class.
    """

    classes: tuple[str, ...]
    own_val: bool
    train: Identities
    val: Identities
    unused: Identities
    labels: Mapping[str, tuple[int, ...]] | None = None

    @classmethod
    def of(cls, source: Source[ImageSet], places: Places, classes: tuple[str, ...]) -> Self:
        """The record of a data set as it is divided; reads the files for their digests."""
        pictures = source.identities("train")
        val = source.identities("val") if places.val is None else pictures.take(places.val)
        train, unused = pictures.take(places.train), pictures.take(places.unused)
        labels = _labels_of(source, places, classes)
        return cls(classes=classes, own_val=places.val is None, train=train, val=val, unused=unused, labels=labels)

    def to_data(self) -> dict[str, Any]:
        """Plain data; the pictures of arrays by their numbers."""
        roles = {role: _written(getattr(self, role)) for role in ("train", "val", "unused")}
        if self.labels is not None:
            roles = {role: {**roles[role], "labels": list(self.labels[role])} for role in roles}
        return {"format": FORMAT, "classes": list(self.classes), "own_val": self.own_val, **roles}

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The record that `to_data` wrote.

        Raises:
            RefusedFileError: it is not one.
        """
        try:
            if data["format"] != FORMAT or not isinstance(data["own_val"], bool):
                raise ValueError("written in another format")
            roles = {role: _read(data[role]) for role in ROLES}
            classes = tuple(map(str, data["classes"]))
            labels = {role: _read_labels(data[role]["labels"], roles[role], classes) for role in ROLES if "labels" in data[role]}
            return cls(classes=classes, own_val=data["own_val"], **roles, labels=labels if len(labels) == len(ROLES) else None)
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedFileError(f"not the record of a split: {error}", "Copy the file again from where it was written.") from None

    def brief(self) -> BriefRecord:
        """The part of it that a model file keeps."""
        val, train = (sorted(digest[:SHORT_BYTES] for digest in some.digests) for some in (self.val, self.train))
        return BriefRecord(
            own_val=self.own_val,
            num_train=len(train),
            num_val=len(val),
            val=tuple(val[:MOST_HELD_OUT]),
            trained=tuple(train[:MOST_TRAINED]),
        )

    def find(self, source: Source[ImageSet]) -> Found:
        """The pictures in train and val of a data set: by name and content, then by content, then by name alone, as changed ones."""
        places, now = _pictures_of(source)
        exact = {identity: index for index, identity in enumerate(zip(now.names, now.digests, strict=True))}
        by_digest: dict[bytes, list[int]] = defaultdict(list)
        by_name = {name: index for index, name in enumerate(now.names)}
        found: dict[tuple[str, int], int] = {}  # (role, place in it) -> index
        kept = [
            (role, place, name, digest) for role in ROLES for place, (name, digest) in enumerate(zip(*getattr(self, role), strict=True))
        ]
        for role, place, name, digest in kept:
            if (name, digest) in exact:
                found[role, place] = exact[name, digest]
        taken = set(found.values())
        for index in reversed(range(len(now.names))):
            if index not in taken:
                by_digest[now.digests[index]].append(index)
        moved, trained_contents, classes_now = 0, set(self.train.digests), _classes_now(source)
        for role, place, _, digest in kept:
            if (role, place) not in found and (alike := by_digest.get(digest)):
                index = next((index for index in reversed(alike) if classes_now[index] == self._class(role, place)), alike[-1])
                alike.remove(index)
                found[role, place] = index
                moved += 1
        taken = set(found.values())
        gone: dict[str, list[str]] = {role: [] for role in ROLES}
        changed: dict[str, list[str]] = {role: [] for role in ROLES}
        for role, place, name, _ in kept:
            if (role, place) in found:
                continue
            index = by_name.get(name, -1)
            if index < 0 or index in taken or now.digests[index] in trained_contents:
                gone[role].append(name)
            else:
                found[role, place] = index
                changed[role].append(name)
        in_order = {
            role: [places[found[role, at]] for at in range(len(getattr(self, role).names)) if (role, at) in found] for role in ROLES
        }
        relabelled: dict[str, list[str]] = {role: [] for role in ROLES}
        for role, place, name, _ in kept if self.labels is not None else ():
            now_is = classes_now[found[role, place]] if (role, place) in found else None
            if now_is != self._class(role, place) and now_is in self.classes:  # an unknown class is refused where it is read
                relabelled[role].append(f"{name}: {now_is}")
        copies_at = {index for index, digest in enumerate(now.digests) if digest in trained_contents}
        copies = {places[index] for index in copies_at}
        return Found(
            train=in_order["train"],
            val=in_order["val"],
            trained=frozenset({*in_order["train"], *copies}) - frozenset(in_order["val"]),
            num_train=len(self.train.names),
            num_val=len(self.val.names),
            gone=gone,
            changed=changed,
            relabelled=relabelled,
            moved=moved,
            new=len(places) - len(set(found.values())),
            is_its=2 * len(taken | copies_at) >= len(places) > 0 or 2 * len(taken) >= len(kept),
        )

    def _class(self, role: str, place: int) -> str | None:
        """The class that a picture of a role had; None: not recorded."""
        return self.classes[self.labels[role][place]] if self.labels is not None else None

    def trained_on(self, pictures: Identities) -> Trained:
        """The pictures among those given that were trained on, by content."""
        known = set(self.train.digests)
        names = tuple(name for name, digest in zip(*pictures, strict=True) if digest in known)
        return Trained(len(names), True, names, self.num_train)

    @property
    def num_train(self) -> int:
        """The number of pictures that were trained on."""
        return len(self.train.names)


@dataclass(frozen=True, kw_only=True)
class BriefRecord:
    """A model file's record of the split that it was trained on: digests of a bounded number of pictures, no names.

    Attributes:
        own_val: As of `SplitRecord`.
        num_train: The number of pictures trained on.
        num_val: The number validated on.
        val: Sorted digests of those; of very many, the smallest.
        trained: Sorted digests of pictures that were trained on, the smallest.
    """

    own_val: bool
    num_train: int
    num_val: int
    val: tuple[bytes, ...]
    trained: tuple[bytes, ...]

    def to_data(self) -> dict[str, Any]:
        """Plain data, for a model file."""
        digests = {name: base64.b64encode(b"".join(getattr(self, name))).decode() for name in ("val", "trained")}
        return {"own_val": self.own_val, "num_train": self.num_train, "num_val": self.num_val, **digests}

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The record that `to_data` wrote.

        Raises:
            RefusedFileError: it is not one.
        """
        try:
            digests = {name: _parts(data[name], SHORT_BYTES) for name in ("val", "trained")}
            return cls(own_val=bool(data["own_val"]), num_train=int(data["num_train"]), num_val=int(data["num_val"]), **digests)
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedFileError(f"not the record of a split: {error}", "Copy the file again from where it was trained.") from None

    def find(self, source: Source[ImageSet]) -> Found:
        """The pictures in train and val of a data set, by content. What was not held out was trained on, or is new, or was left aside."""
        places, now = _pictures_of(source)
        left, known = Counter(self.val), set(self.trained)
        val, rest, trained = [], [], []
        for place, digest in zip(places, now.digests, strict=True):
            short = digest[:SHORT_BYTES]
            if left[short] > 0:
                left[short] -= 1
                val.append(place)
            else:
                rest.append(place)
                trained += [place] if short in known else []
        none: dict[str, list[str]] = {role: [] for role in ROLES}
        gone = {**none, "val": [""] * left.total()}
        told = len(val) + self.trained_on(now).count
        is_its = 2 * told >= len(places) > 0 or 2 * len(val) >= len(self.val) > 0
        if len(self.val) < self.num_val:  # of the others it is not known whether they were held out
            digest_of = dict(zip(places, now.digests, strict=True))
            rest = [place for place in rest if digest_of[place][:SHORT_BYTES] <= self.val[-1]]
        return Found(
            train=rest if is_its else [],
            val=val,
            trained=frozenset(trained),
            num_train=self.num_train,
            num_val=len(self.val),
            gone=gone,
            changed=none,
            relabelled=none,
            moved=0,
            new=None,
            is_its=is_its,
        )

    def trained_on(self, pictures: Identities) -> Trained:
        """The given pictures that were trained on, by content; their number may be estimated from those with the smallest digests."""
        known, shorts = set(self.trained), [digest[:SHORT_BYTES] for digest in pictures.digests]
        names = tuple(name for name, short in zip(pictures.names, shorts, strict=True) if short in known)
        if self.num_train <= len(self.trained):
            return Trained(len(names), True, names, self.num_train)
        limit = self.trained[-1] if self.trained else b""
        told = [short for short in shorts if short <= limit]
        share = sum(short in known for short in told) / len(told) if told else 0.0
        return Trained(max(len(names), round(share * len(shorts))), False, names, len(self.trained))


def _pictures_of(source: Source[ImageSet]) -> tuple[list[Place], Identities]:
    """All pictures of train and val, where there are such splits."""
    places: list[Place] = []
    names: list[str] = []
    digests: list[bytes] = []
    for split in (split for split in ("train", "val") if split in source.splits):
        some = source.identities(split)
        places += [(split, place) for place in range(len(some.names))]
        names += some.names
        digests += some.digests
    return places, Identities(tuple(names), tuple(digests))


def _labels_of(source: Source[ImageSet], places: Places, classes: tuple[str, ...]) -> dict[str, tuple[int, ...]] | None:
    """role -> the labels of its pictures; None if they have no single class."""
    labels, names = source.strata("train")
    if names != classes:
        return None
    held_out = source.strata("val")[0] if places.val is None else labels[places.val]
    by_role = {"train": labels[places.train], "unused": labels[places.unused], "val": held_out}
    return {role: tuple(map(int, chosen.tolist())) for role, chosen in by_role.items()}


def _classes_now(source: Source[ImageSet]) -> list[str]:
    """The class of each of `_pictures_of`, in that order; "" where it is none that the data names."""
    found: list[str] = []
    for split in (split for split in ("train", "val") if split in source.splits):
        labels, names = source.strata(split)
        found += [names[label] if label >= 0 else "" for label in labels.tolist()]
    return found


def pictures_at(source: Source[Images], places: Sequence[Place], split: str, spec: InputSpec) -> Images:
    """The pictures at some places of train and val, in that order, as one set that is called `split`."""
    by_split = {name: np.array([place for at, place in places if at == name], np.int64) for name in dict(places)}
    sets = [source.read(name, spec=spec, places=chosen) for name, chosen in by_split.items()]
    if not sets:
        sets = [source.read(source.splits[0], spec=spec, places=np.zeros(0, np.int64))]
    whole = functools.reduce(lambda one, more: one.joined(more), sets)
    splits = list(by_split)
    order = np.argsort(np.argsort([splits.index(at) for at, _ in places], kind="stable"), kind="stable")
    whole = whole if len(sets) == 1 else whole.take(order)
    return dataclasses.replace(whole, split=split)


def differences(found: Found, role: str, words: str) -> list[str]:
    """The changes to the pictures of a role, as parts of a sentence; empty if there are none."""
    total = found.num_val if role == "val" else found.num_train
    gone, changed = found.gone[role], found.changed[role]
    parts = []
    if gone:
        parts.append(f"{len(gone):,} of {total:,} {words} {'is' if len(gone) == 1 else 'are'} gone{_names(gone)}")
    if changed:
        parts.append(f"{len(changed):,} {'has' if len(changed) == 1 else 'have'} changed{_names(changed)}")
    if relabelled := found.relabelled[role]:
        subject = f"{len(relabelled):,} of {total:,} {words} {'has' if len(relabelled) == 1 else 'have'}"
        parts.append(f"{subject} a different class now{_names(relabelled)}")
    return parts


def _names(names: Sequence[str]) -> str:
    shown = [name for name in names[:SHOWN] if name]
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f" ({', '.join(shown)}{more})" if shown else ""


def _written(pictures: Identities) -> dict[str, Any]:
    """Names, or numbers where the names are those of arrays, and the digests after one another."""
    names: list[Any] = list(pictures.names)
    numbers = [int(end) if end.isdigit() else -1 for end in (name.rpartition("/")[2] for name in names)]
    split = names[0].partition("/")[0] if names else "train"
    if names and all(name == f"{split}/{number:05d}" for name, number in zip(names, numbers, strict=True)):
        return {"of": split, "numbers": numbers, "sha256": base64.b64encode(b"".join(pictures.digests)).decode()}
    return {"names": names, "sha256": base64.b64encode(b"".join(pictures.digests)).decode()}


def _read(data: Mapping[str, Any]) -> Identities:
    names = [f"{data['of']}/{number:05d}" for number in data["numbers"]] if "numbers" in data else data["names"]
    digests = _parts(data["sha256"], DIGEST_BYTES)
    if len(names) != len(digests) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{len(names)} names for {len(digests)} digests")
    return Identities(tuple(names), digests)


def _read_labels(data: Any, pictures: Identities, classes: tuple[str, ...]) -> tuple[int, ...]:
    labels = tuple(data)
    if len(labels) != len(pictures.names) or not all(type(label) is int and 0 <= label < len(classes) for label in labels):
        raise ValueError(f"its labels are not {len(pictures.names)} places in {len(classes)} classes")
    return labels


def _parts(text: str, size: int) -> tuple[bytes, ...]:
    data = base64.b64decode(text, validate=True)
    if len(data) % size:
        raise ValueError("digests are cut short")
    return tuple(data[start : start + size] for start in range(0, len(data), size))
