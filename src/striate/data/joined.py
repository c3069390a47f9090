"""Several data sets as one: the pictures of a run, and those that were added to it later."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from striate.data.identities import Identities
from striate.data.packing import take_rows
from striate.data.records import SPLITS, DataSource, Facts, Images, Part

if TYPE_CHECKING:
    from striate.core.images import InputSpec


class _Piece(NamedTuple):
    """Some pictures of a split of one data set."""

    labels: np.ndarray
    paths: tuple[str, ...]
    images: Images
    known: Identities
    facts: Facts

    def take(self, places: np.ndarray) -> _Piece:
        """Those at `places`."""
        if len(places) == len(self.labels):
            return self

        def images(spec: InputSpec | None, some: np.ndarray | None = None) -> np.ndarray:
            return self.images(spec, places if some is None else places[some])

        paths = tuple(self.paths[place] for place in places)
        return _Piece(self.labels[places], paths, images, self.known.take(places), self.facts.take(places))


def joined(sources: Sequence[DataSource], classes: tuple[str, ...]) -> DataSource:
    """The pictures of all `sources`, each split in their order, labelled by `classes` by name; named as the last.

    A picture of train or val that an earlier source has in train or val, by its content, is left out.
    """
    if len(sources) == 1:
        return sources[0].with_classes(classes)
    pieces: dict[str, list[_Piece]] = {}
    seen: set[bytes] = set()
    for place, source in enumerate(sources):
        same = sum(earlier.name == source.name for earlier in sources[:place])
        name = f"{source.name}-{same + 1}" if same else source.name  # in a picture's name: two sets may have the same ones
        of_all: set[bytes] = set()
        for split in source.splits:
            piece = _piece(source.with_classes(classes), split, name)
            if split != "test":
                of_all.update(piece.known.digests)
                piece = piece.take(np.flatnonzero([digest not in seen for digest in piece.known.digests]))
            pieces.setdefault(split, []).append(piece)
        seen |= of_all
    sizes = {source.image_size for source in sources}
    return DataSource(
        name=sources[-1].name,
        classes=classes,
        channels=max(source.channels for source in sources),
        image_size=sizes.pop() if len(sizes) == 1 else None,
        parts={split: functools.partial(_together, pieces[split]) for split in SPLITS if split in pieces},
        notes=tuple(note for source in sources for note in source.notes),
        left_out=tuple(found for source in sources for found in source.left_out),
    )


def _piece(source: DataSource, split: str, name: str) -> _Piece:
    part, known = source.parts[split](), source.identities(split)
    names = tuple(f"{name}/{each}" for each in known.names)
    return _Piece(part.labels, part.paths, part.images, Identities(names, known.digests), part.facts)


def _together(pieces: Sequence[_Piece]) -> Part:
    """The pieces after one another."""
    ends = np.cumsum([len(piece.labels) for piece in pieces])

    def images(spec: InputSpec | None, places: np.ndarray | None = None) -> np.ndarray:
        chosen = np.arange(ends[-1]) if places is None else places
        owner = np.searchsorted(ends, chosen, side="right")  # (n,) the piece of each
        starts = ends - [len(piece.labels) for piece in pieces]
        groups = [np.flatnonzero(owner == place) for place in range(len(pieces))]
        read = [piece.images(spec, chosen[group] - start) for piece, group, start in zip(pieces, groups, starts, strict=True) if len(group)]
        if len(read) < 2:
            return read[0] if read else pieces[0].images(spec, np.zeros(0, np.int64))
        return take_rows(np.concatenate(read), np.argsort(np.concatenate(groups)))

    names, digests = (tuple(each for piece in pieces for each in getattr(piece.known, field)) for field in ("names", "digests"))
    return Part(
        np.concatenate([piece.labels for piece in pieces]),
        tuple(path for piece in pieces for path in piece.paths),
        images,
        names,
        lambda: digests,
        facts=functools.reduce(Facts.joined, (piece.facts for piece in pieces)),
    )
