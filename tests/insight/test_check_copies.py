"""Copies are found in any orientation, format and brightness, and nothing else is taken for one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image

from striate.insight.check.copies import groups_of, hashes, near_by_embedding, near_pairs
from striate.insight.check.looks import GRID, look_at


def scene(seed: int, side: int = 72) -> np.ndarray:
    """A smooth picture by chance, (side, side, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (7, 7, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))


def grid(pixels: np.ndarray) -> np.ndarray:
    return look_at(np.ascontiguousarray(pixels)).grid


def test_the_hash_is_that_of_the_package_dhash_by_hand():
    """A ramp to the right is darker at the left everywhere, and equal downwards: 64 ones, then 64 zeros."""
    ramp = np.broadcast_to(np.arange(GRID, dtype=np.uint8)[None, :, None] * 10, (GRID, GRID, 3))
    right, down = hashes(ramp[None])[0]
    assert right == 2**64 - 1 and down == 0


def test_turned_mirrored_smaller_and_brighter_copies_are_found_and_other_pictures_are_not():
    others = [scene(seed) for seed in range(1, 40)]
    one = scene(0)
    copies = [np.rot90(one, turns)[:, ::step] for turns, step in itertools.product(range(4), (1, -1))]
    small = np.asarray(Image.fromarray(one).resize((41, 41), Image.Resampling.LANCZOS))
    bright = np.clip(one.astype(float) * 0.8 + 40, 0, 255).astype(np.uint8)
    pairs = near_pairs(np.stack([grid(picture) for picture in [*copies, small, bright, *others]]))

    assert {(int(one), int(two)) for one, two in zip(pairs.first, pairs.second, strict=True)} == set(itertools.combinations(range(10), 2))
    assert [places for places, _ in pairs.groups()] == [list(range(10))]
    assert pairs.likeness.min() > 0.95


def test_pictures_that_show_nothing_are_no_copies_of_each_other():
    """Faint ramps of 9 levels, of which two are equal but for their brightness: as noise may make of a lens cap."""
    ramp = np.broadcast_to(np.arange(GRID)[:, None, None] // 2, (GRID, GRID, 3))
    faint = np.stack([ramp + level for level in (10, 12, 200)]).astype(np.uint8)
    assert len(near_pairs(faint).first) == 0
    assert len(near_pairs((faint - 10) % 180 * 12).first) > 0  # the same, with contrast


def test_the_search_by_parts_finds_what_comparing_all_pairs_finds():
    """Of hashes that differ in 7 bits at most, all; counted here one by one, in one orientation."""
    rng = np.random.default_rng(0)
    grids = np.repeat(np.stack([grid(scene(seed)) for seed in range(30)]), 4, 0).astype(int)
    grids = np.clip(grids + rng.integers(-6, 7, grids.shape), 0, 255).astype(np.uint8)
    bits = np.bitwise_count(hashes(grids)[:, None] ^ hashes(grids)[None]).sum(2)
    first, second = np.nonzero(np.triu(bits <= 7, 1))

    found = near_pairs(grids, most_bits=7, least_alike=-1)

    assert len(first) > 20
    assert set(zip(first.tolist(), second.tolist(), strict=True)) <= set(zip(found.first.tolist(), found.second.tolist(), strict=True))


def test_groups_by_key_leave_out_what_has_none():
    assert groups_of([b"a", None, b"b", b"a", None, b"b", b"a", b"c"]) == [[0, 3, 6], [2, 5]]


def test_embeddings_are_compared_by_the_cosine_of_what_differs_from_the_mean():
    vectors = np.array([[5.0, 0], [5, 1], [5, -1], [6, 1.1]])  # cosines of 0.86 and 0.48, else negative
    pairs = near_by_embedding(vectors, least=0.8, block=3)
    centred = vectors - vectors.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)

    def cosine(one: int, two: int) -> float:
        return float(unit[one] @ unit[two])

    expected = [(i, j) for i, j in itertools.combinations(range(4), 2) if cosine(i, j) >= 0.8]
    assert len(expected) == 1
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == expected
    assert pairs.likeness == pytest.approx([cosine(i, j) for i, j in expected], rel=1e-5)
