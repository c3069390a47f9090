"""Parts of many pictures, answered by the workers of a Ray cluster: paths go there, and the bytes of files come back."""

from __future__ import annotations

import functools
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from striate.core.errors import EnvironmentFault, StriateError
from striate.models.model import Model
from striate.workflows.cluster import lacks_ray, ray_cluster
from striate.workflows.predicting.answering import Asked, Made, made_part
from striate.workflows.runs.hashes import file_hash
from striate.workflows.subjects.subject import open_model

AHEAD = 2  # parts for each core of the cluster that are under way
RETRIES = 3  # of a part whose worker was lost
INSTALL = 'Install it with: pip install "striate[cluster]".'


def refuse_without_ray(on: str) -> None:
    """Refuse to begin where there is no Ray.

    Raises:
        EnvironmentFault: it is not installed, or too old.
    """
    if lacks := lacks_ray():
        raise EnvironmentFault(f"`on={on!r}`: {lacks}", INSTALL)


def parts_on_ray(model: Path, digest: str, work: Iterable[tuple[Path, list[str]]], asked: Asked, on: str) -> Iterator[tuple[Path, Made]]:
    """The parts of `work`, in its order. Each runs on one core; one whose worker is lost is run again, and comes once.

    Args:
        model: The run folder or model file, which like the pictures lies at the same path on every machine.
        digest: The SHA-256 of the weights.
        work: For each part its file and its pictures.
        asked: The fields of the request.
        on: `ray`, or `ray=ADDRESS`.

    Raises:
        EnvironmentFault: there is no such cluster; a part's workers were lost time and again, or have another model at that path.
    """
    with ray_cluster(on.partition("=")[2] or None) as ray:
        remote = ray.remote(num_cpus=1, max_retries=RETRIES)(part_on_worker)
        ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        running: deque[tuple[Path, list[str], object]] = deque()

        def first() -> tuple[Path, Made]:
            file, names, reference = running.popleft()
            try:
                return file, Made(*ray.get(reference))
            except ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, StriateError) else error) from None
            except ray.exceptions.RayError as error:
                raise EnvironmentFault(
                    f"{names[0]} to {names[-1]}: their workers were lost {RETRIES + 1} times: {type(error).__name__}",
                    "Answer them without `on`, to see which picture it is. What is done is kept.",
                ) from None

        for file, names in work:
            running.append((file, names, remote.remote(str(model), digest, names, tuple(asked))))
            if len(running) >= ahead:
                yield first()
        while running:
            yield first()


def part_on_worker(model: str, digest: str, names: Sequence[str], asked: tuple[object, ...]) -> tuple[bytes, int, int]:
    """The part, on one core; raises as `parts_on_ray`."""
    os.environ["OMP_NUM_THREADS"] = "1"
    return tuple(made_part(_opened(model, digest), names, Asked(*asked)))  # type: ignore[arg-type,return-value]


@functools.lru_cache(maxsize=1)
def _opened(path: str, digest: str) -> Model:
    """The model, which a worker opens once."""
    subject = open_model(path, device="cpu")
    if subject.weights is None or file_hash(subject.weights) != digest:
        raise EnvironmentFault(f"{path}: is another model on a machine of the cluster", "Copy the same files to the same place everywhere.")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    return subject.trained
