"""Pictures that are there more than once: the same pixels, nearly the same by a difference hash, or the same subject by embeddings.

The hash of a picture has a bit for each of 8 x 8 places, whether it is darker than the place right of it, and as many for the places
below (dHash: Krawetz, 2013; both directions: Hoyt, 2017, the package dhash). A picture is compared in its eight orientations, turned and
mirrored, so that a rotated copy is found. Pairs whose hashes are near are kept if their small grids are alike too, after brightness and
contrast are taken out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

SIZE = 8  # of the hash: SIZE x SIZE bits in each of two directions
MOST_BITS = 24  # of 128 that may differ
LEAST_ALIKE = 0.95  # correlation of the grids, brightness and contrast taken out; see `benchmarks/results/check_duplicates.md`
LEAST_COSINE = 0.88  # of embeddings: 100 flower photos had no other pairs above 0.79; 9 of 10 cropped to 90 % of each side were above
BANDS = 8  # parts of a hash; pairs that differ in BANDS - 1 bits at most are equal in one of them
MOST_ALIKE = 256  # pictures with an equal part that one is compared with
BLOCK = 2**20  # pairs compared at a time
FLAT = 4.0  # grey levels: the deviation below which a grid shows nothing to compare


class Pairs(NamedTuple):
    """Pairs of pictures by their places, and how alike they are, at most 1."""

    first: np.ndarray  # (P,) int64, less than `second`
    second: np.ndarray
    likeness: np.ndarray  # (P,) float

    def groups(self) -> list[tuple[list[int], float]]:
        """The places that pairs connect, group by group in order, and the least likeness of the pairs in each."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not len(self.first):
            return []
        places, numbers = np.unique(np.concatenate([self.first, self.second]), return_inverse=True)
        one, two = numbers[: len(self.first)], numbers[len(self.first) :]
        edges = coo_array((np.ones(len(one), np.int8), (one, two)), shape=(len(places), len(places)))
        count, members = connected_components(edges, directed=False)
        least = np.ones(count)
        np.minimum.at(least, members[one], self.likeness)
        ordered = np.split(places[np.argsort(members, kind="stable")], np.cumsum(np.bincount(members))[:-1])
        return sorted(([int(place) for place in group], float(value)) for group, value in zip(ordered, least, strict=True))


def groups_of(keys: Sequence[bytes | None]) -> list[list[int]]:
    """The places of equal keys, of those that occur more than once; None equals nothing."""
    found: dict[bytes, list[int]] = {}
    for place, key in enumerate(keys):
        if key is not None:
            found.setdefault(key, []).append(place)
    return [places for places in found.values() if len(places) > 1]


def orientations(grids: np.ndarray) -> Iterator[np.ndarray]:
    """`grids` (N, n, n, ...) turned by 0, 90, 180 and 270 degrees, each as it is and mirrored."""
    for turns in range(4):
        turned = np.rot90(grids, turns, (1, 2))
        yield turned
        yield turned[:, :, ::-1]


def hashes(grids: np.ndarray) -> np.ndarray:
    """(N, 2) uint64: the difference hashes of `grids` (N, 2 (SIZE + 1), 2 (SIZE + 1), 3) uint8, to the right and down."""
    grey = grids.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)  # (N, 18, 18)
    cells = grey.reshape(len(grey), SIZE + 1, 2, SIZE + 1, 2).mean((2, 4))  # (N, 9, 9)
    right = cells[:, :-1, :-1] < cells[:, :-1, 1:]
    down = cells[:, :-1, :-1] < cells[:, 1:, :-1]
    bits = np.stack([right, down], 1).reshape(len(grey), 2, SIZE * SIZE)
    packed: np.ndarray = np.packbits(bits, axis=2).view(np.uint64)[..., 0]
    return packed


def near_pairs(grids: np.ndarray, *, most_bits: int = MOST_BITS, least_alike: float = LEAST_ALIKE) -> Pairs:
    """The pairs of pictures that are nearly the same, in any orientation, with the correlation of their grids.

    All pairs whose hashes differ in seven bits at most are found, and most of those that differ in more: pictures are compared if one of
    eight parts of their hashes is equal.

    Args:
        grids: (N, 18, 18, 3) uint8.
        most_bits: Of 128, by which the hashes may differ.
        least_alike: The least correlation.
    """
    telling = np.flatnonzero(grids.astype(np.float32).mean(3).std((1, 2)) >= FLAT)
    chosen = grids[telling]
    plain, vectors = hashes(chosen), _standardized(chosen)
    found: list[tuple[np.ndarray, ...]] = [(np.zeros(0, np.int64),) * 2 + (np.zeros(0, np.float32),)]
    for turned in orientations(chosen):
        others, turned_vectors = hashes(turned), _standardized(turned)
        for first, second in _candidates(plain, others, most_bits):
            likeness = np.einsum("nd,nd->n", vectors[first], turned_vectors[second])
            kept = likeness >= least_alike
            found.append((telling[first[kept]], telling[second[kept]], likeness[kept]))
    first, second, likeness = (np.concatenate(each) for each in zip(*found, strict=True))
    return _once(np.minimum(first, second), np.maximum(first, second), likeness)


def _once(first: np.ndarray, second: np.ndarray, likeness: np.ndarray) -> Pairs:
    """Each pair once, with its largest likeness."""
    order = np.lexsort((-likeness, second, first))
    first, second, likeness = first[order], second[order], likeness[order]
    new = np.ones(len(first), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return Pairs(first[new], second[new], likeness[new])


def _standardized(grids: np.ndarray) -> np.ndarray:
    """(N, D) float32 of length 1: the 9 x 9 cells in three colours, without their mean."""
    cells = grids.reshape(len(grids), SIZE + 1, 2, SIZE + 1, 2, 3).mean((2, 4), dtype=np.float32)
    flat = cells.reshape(len(grids), (SIZE + 1) ** 2, 3)
    centred = (flat - flat.mean(1, keepdims=True)).reshape(len(grids), 3 * (SIZE + 1) ** 2)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6))


def _bands(packed: np.ndarray) -> np.ndarray:
    """(BANDS, N) uint16: the parts of hashes (N, 2), each of bits from all over the picture, which differ more than neighbours do."""
    bits = np.unpackbits(packed.view(np.uint8), axis=1)[:, np.random.default_rng(0).permutation(128)]
    parts: np.ndarray = np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint16).T.copy()
    return parts


def _candidates(ones: np.ndarray, others: np.ndarray, most_bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The places (first, second), which differ, at which two hashes (N, 2) have an equal part and differ in `most_bits` at most."""
    for part, other in zip(_bands(ones), _bands(others), strict=True):
        order = np.argsort(part, kind="stable")
        left, right = (np.searchsorted(part[order], other, side=side) for side in ("left", "right"))
        ends = np.cumsum(np.minimum(right - left, MOST_ALIKE))
        start = 0
        while start < len(others):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + BLOCK, side="right")))
            counts = np.diff(ends[start:stop], prepend=before)
            second = np.repeat(np.arange(start, stop), counts)
            within = np.arange(len(second)) - np.repeat(np.cumsum(counts) - counts, counts)
            first = order[np.repeat(left[start:stop], counts) + within]
            kept = first != second
            first, second = first[kept], second[kept]
            near = np.bitwise_count(ones[first] ^ others[second]).sum(1) <= most_bits
            if near.any():
                yield first[near], second[near]
            start = stop


def near_by_embedding(embeddings: np.ndarray, *, least: float = LEAST_COSINE, block: int = 512) -> Pairs:
    """The pairs of pictures whose `embeddings` (N, F), centred, have a cosine of at least `least`."""
    vectors = embeddings.astype(np.float32) - embeddings.mean(0, dtype=np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    found: list[tuple[np.ndarray, ...]] = [(np.zeros(0, np.int64),) * 2 + (np.zeros(0, np.float32),)]
    for top in range(0, len(vectors), block):
        cosines = vectors[top : top + block] @ vectors[top:].T
        first, second = np.nonzero(cosines >= least)
        kept = first < second
        found.append((first[kept] + top, second[kept] + top, cosines[first[kept], second[kept]]))
    return Pairs(*(np.concatenate(each) for each in zip(*found, strict=True)))
