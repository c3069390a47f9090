"""Splits and folds that keep the pictures of a group together: of a person, a scene, a day."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from striate.core.errors import DataError
from striate.data.omissions import some

REMEDY = "Choose a `group` of which there are more, or give the splits."


def refuse_spanning(where: str, groups: Mapping[str, np.ndarray]) -> None:
    """Refuse groups (n,) of the pictures of each split of which there are pictures in two splits.

    Raises:
        DataError: there are such groups; counts and names them.
    """
    found: dict[str, list[str]] = {}
    for split, names in groups.items():
        for name in np.unique(names).tolist():
            found.setdefault(str(name), []).append(split)
    if spanning := [name for name, splits in found.items() if len(splits) > 1]:
        numbers = f"{len(spanning):,} of {len(found):,} groups have pictures in more than one split"
        message = f"{where}: {numbers}: {some(spanning)} ({spanning[0]}: {' and '.join(found[spanning[0]])})"
        raise DataError(message, "Make new splits with `striate split`, or leave `group` out.")


def hash_of(seed: int, name: str) -> bytes:
    """A number that orders names at random, the same everywhere."""
    return hashlib.blake2b(f"{seed}\n{name}".encode(errors="surrogateescape"), digest_size=8).digest()


def held_out_groups(labels: np.ndarray, groups: np.ndarray, *, fraction: float, seed: int) -> np.ndarray:
    """(N,) bool: whole groups, taken as long as they bring the counts c_k of the classes nearer to `fraction` of all n_k.

    A group is taken where that lowers the sum over the classes of |c_k - fraction n_k|, in the order of the hash of its name with the
    seed, and where it leaves a picture of each of its classes to train on. Without any such, the group that raises that sum least is.

    Raises:
        DataError: there is one group.
    """
    counts, places = counts_of(labels, groups)
    if len(counts) < 2:
        raise DataError("all training pictures are of one group, so that none can be held out", REMEDY)
    names = np.unique(groups)
    order = sorted(range(len(names)), key=lambda place: hash_of(seed, str(names[place])))
    left, wanted = counts.sum(0), fraction * counts.sum(0)  # (K,) both: pictures to train on, and still to be held out
    chosen = np.zeros(len(names), bool)
    for place in order:
        group = counts[place]
        leaves_some = (left[group > 0] > group[group > 0]).all()
        if leaves_some and np.abs(wanted - group).sum() < np.abs(wanted).sum():
            chosen[place], left, wanted = True, left - group, wanted - group
    if not chosen.any():
        able = [place for place in order if (left[counts[place] > 0] > counts[place][counts[place] > 0]).all()] or order
        chosen[min(able, key=lambda place: float(np.abs(wanted - counts[place]).sum()))] = True
    return np.asarray(chosen[places])


def grouped_folds(labels: np.ndarray, groups: np.ndarray, *, count: int, seed: int) -> np.ndarray:
    """(N,) int: the fold of each picture. Groups, the largest first, go where the folds' counts of each class stay most equal.

    The measure is the sum over the classes of the variance over the folds of their share of the class, as in scikit-learn's
    StratifiedGroupKFold; equal ones go to the fold with fewer pictures. Groups of one size come in the order of a hash with the seed. A
    group with a class that no other has is in no fold, -1: the class would be lacking where that is held out.

    Raises:
        DataError: there are fewer groups than folds.
    """
    counts, places = counts_of(labels, groups)
    shared = (counts[:, (counts > 0).sum(0) == 1] == 0).all(1)  # (G,) bool
    if shared.sum() < count:
        remedy = f"Use fewer folds. {REMEDY}"
        raise DataError(f"the training pictures are of {shared.sum():,} groups whose classes others have too, for {count} folds", remedy)
    names = np.unique(groups)
    order = sorted(np.flatnonzero(shared).tolist(), key=lambda place: (-float(np.std(counts[place])), hash_of(seed, str(names[place]))))
    shares = counts / counts.sum(0)  # (G, K)
    filled = np.zeros((count, counts.shape[1]))  # share of each class
    sizes, fold_of = np.zeros(count, np.int64), np.full(len(names), -1)
    for number, place in enumerate(order):
        open_folds = range(count) if len(order) - number > (sizes == 0).sum() else np.flatnonzero(sizes == 0).tolist()  # none stays empty
        fold = min(open_folds, key=lambda fold: (_spread(filled, fold, shares[place]), sizes[fold], fold))
        fold_of[place] = fold
        filled[fold] += shares[place]
        sizes[fold] += counts[place].sum()
    return np.asarray(fold_of[places])


def _spread(filled: np.ndarray, fold: int, more: np.ndarray) -> float:
    """The variance over the folds, summed over the classes, once a fold has more."""
    with_it = filled.copy()
    with_it[fold] += more
    return round(float(with_it.var(0).sum()), 12)


def counts_of(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(G, K) the pictures of each class in each group, of the classes that there are; and (N,) each picture's group, in sorted order."""
    names, places = np.unique(groups, return_inverse=True)
    kinds, labels = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(kinds)), np.int64)
    np.add.at(counts, (places, labels), 1)
    return counts, places
