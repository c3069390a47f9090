"""The features that a head was fitted to, kept in its run folder: a run with more classes replays them where the pictures are gone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from striate.core.errors import RefusedFileError, UsageError
from striate.core.tensor_files import check_seal, described, numpy_arrays, read_tensor_file, sealed, write_tensor_file
from striate.data.identities import DIGEST_BYTES
from striate.models.linear_head import views_of
from striate.workflows.runs.config import Replayed, RunConfig
from striate.workflows.runs.folder import RunFolder

if TYPE_CHECKING:
    from torch import Tensor

    from striate.core.tensor_files import TensorFile

ENTRY = "striate"  # of the metadata
MOST_KEPT = 20_000  # pictures that were trained on, and as many that were held out; of more, some drawn at random
REMEDY = "Copy the run folder again from where it was trained, or restore its pictures and remove the file."
PICTURES_NEEDED = "Restore the pictures, or leave out `epochs`."


class Seen(NamedTuple):
    """Pictures as the network sees them."""

    digests: np.ndarray  # (N, DIGEST_BYTES) uint8, of their contents
    labels: np.ndarray  # (N,) int64, places in the classes of the run
    views: np.ndarray  # (N, V, F) float16

    @classmethod
    def of(cls, digests: Sequence[bytes], labels: np.ndarray, views: np.ndarray, *, seed: int) -> Seen:
        """At most `MOST_KEPT` of some pictures."""
        every = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES)
        kept = np.sort(np.random.default_rng(seed).permutation(len(labels))[:MOST_KEPT])
        return cls(every[kept], labels[kept], views_of(views)[kept].astype(np.float16))

    def without(self, known: set[bytes]) -> Seen:
        """Those whose contents are not `known`."""
        left = np.array([digest.tobytes() not in known for digest in self.digests], bool)
        return Seen(*(each[left] for each in self))

    def joined(self, other: Seen) -> Seen:
        """These, and then those of `other`, by as many views as both have."""
        views = min(self.views.shape[1], other.views.shape[1])
        digests, labels = (np.concatenate(pair) for pair in ((self.digests, other.digests), (self.labels, other.labels)))
        return Seen(digests, labels, np.concatenate([self.views[:, :views], other.views[:, :views]]))

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each, by its content."""
        return tuple(digest.tobytes().hex() for digest in self.digests)


class SeenSets(NamedTuple):
    """Those that a head was fitted to, and those that were held out; many of these by one view."""

    train: Seen
    val: Seen


def write_seen(path: Path, seen: SeenSets) -> None:
    """Write them into a run folder, at `path`."""
    import safetensors.numpy

    arrays = {f"{role}.{name}": array for role, some in seen._asdict().items() for name, array in some._asdict().items()}
    write_tensor_file(path, safetensors.numpy.save(arrays, {ENTRY: json.dumps(sealed({}, arrays))}), _opened)


def read_seen(run: Path, config: RunConfig) -> SeenSets | None:
    """Those of a run; None where it keeps none, or was trained further since.

    Raises:
        RefusedFileError: the file is damaged.
    """
    path = RunFolder(run).features
    if not path.exists() or config.settings.epochs or config.settings.steps is not None:
        return None
    seen = _opened(read_tensor_file(path, remedy=REMEDY))
    for some in seen:
        if len({len(each) for each in some}) != 1 or not (some.labels >= 0).all() or not (some.labels < config.num_classes).all():
            raise RefusedFileError(f"{path}: is not of the pictures of the run", REMEDY)
    return seen


def _opened(file: TensorFile) -> SeenSets:
    arrays = numpy_arrays(file)
    check_seal(file.path, described(file, ENTRY) or {}, arrays)
    return SeenSets(*(Seen(*(arrays[f"{role}.{name}"] for name in Seen._fields)) for role in SeenSets._fields))


def refuse_updates(run: str | Path) -> None:
    """Refuse to train the network of a run whose pictures are known by their features alone.

    Raises:
        UsageError: always.
    """
    message = f"`epochs`: pictures of {run} are not at hand, and the features that it keeps of them serve a new head alone"
    raise UsageError(message, PICTURES_NEEDED)


def replayed(seen: SeenSets, before: Mapping[str, Tensor], after: Mapping[str, Tensor], head: str) -> Replayed:
    """The answers for held-out pictures that are not at hand, by their features.

    Args:
        seen: The pictures that are not at hand.
        before: The weights of the extended run.
        after: Those of the run with more classes.
        head: The path of the head.
    """

    def answers(weights: Mapping[str, Tensor]) -> np.ndarray:
        weight, bias = (weights[f"{head}.{name}"].cpu().numpy() for name in ("weight", "bias"))
        chosen: np.ndarray = (seen.val.views[:, 0].astype(np.float32) @ weight.T + bias).argmax(1)
        return chosen

    now = answers(after)
    return Replayed(
        num_train=len(seen.train.labels),
        num_val=len(now),
        correct=int((answers(before) == seen.val.labels).sum()),
        correct_now=int((now == seen.val.labels).sum()),
        taken_for_new=int((now >= len(before[f"{head}.bias"])).sum()),
    )
