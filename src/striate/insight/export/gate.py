"""The gate: an exported file gets its name once its answers are those of the model, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pydantic.dataclasses import dataclass

from striate.core.calibration import scores_of
from striate.core.errors import EnvironmentFault, NumericError
from striate.core.images import ImageSpec
from striate.insight.export.answering import BATCHES
from striate.models.inputs import read_pictures
from striate.models.meanings import MEANINGS
from striate.models.model import Model

LIMIT = 1e-4  # of a difference of probabilities in float32
SIDES = ((1, 1), (3, 5), (40, 900), (700, 60))  # (h, w) of hard pictures: tiny, wide, tall
WORST = 5  # pictures that are named


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The findings of the gate."""

    num_images: int
    num_hard: int  # of these, pictures of odd sizes and kinds that were made for it
    batches: tuple[int, ...]
    agreement: float  # share of pictures whose answer is the same, alone and in every batch
    max_difference: float  # of any probability, or of numbers in units of their deviation
    limit: float
    torch_imported: bool  # by the process that ran the file
    passed: bool
    worst: tuple[str, ...]  # the pictures that differ most, worst first, of those beyond the limit or with another answer
    least_agreement: float = 1.0  # that passes
    requests: int = 0  # to other places, that a page made; each was refused
    program: str = ""  # that ran a page
    milliseconds: float | None = None  # that the network took there for a picture, the median


def gate(
    model: Model,
    artefact: Path,
    pictures: Sequence[Path] | np.ndarray,
    names: Sequence[str],
    *,
    limit: float = LIMIT,
    least_agreement: float = 1.0,
    without_torch: bool = True,
) -> Gate:
    """Compare the answers of an exported file with the model's.

    Args:
        model: The model that was exported.
        artefact: The file.
        pictures: Files, as a user has them, or an array of pictures (N, h, w, C) or samples (N, ..., C).
        names: One of each.
        limit: The largest difference of a probability that passes.
        least_agreement: The least share of equal answers to `pictures` that passes.
        without_torch: Whether the process that runs the file may not import torch.

    Raises:
        NumericError: the file does not run.
        EnvironmentFault: the process that runs it was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        hard = hard_pictures(Path(folder), model.images) if isinstance(model.images, ImageSpec) else []
        parts = [_compared(model, artefact, pictures, limit)] if len(pictures) else []
        parts += [_compared(model, artefact, hard, limit)] if hard else []
    names = [*names, *(file.name for file in hard)]
    differences, same = (np.concatenate(found) for found in list(zip(*parts, strict=True))[:2])
    torch_imported = any(part[2] for part in parts)
    judged = same if least_agreement == 1 else same[: len(pictures)]
    beyond = differences > limit
    wrong = np.flatnonzero(~same | beyond)
    order = wrong[np.argsort(-differences[wrong], kind="stable")][:WORST]
    return Gate(
        num_images=len(names),
        num_hard=len(hard),
        batches=BATCHES,
        agreement=float(judged.mean()),
        max_difference=float(differences.max()),
        limit=limit,
        torch_imported=torch_imported,
        passed=bool(judged.mean() >= least_agreement and not beyond.any() and not (torch_imported and without_torch)),
        worst=tuple(f"{names[place]}: {differences[place]:.2g}" for place in order),
        least_agreement=least_agreement,
    )


def _compared(model: Model, artefact: Path, pictures: Sequence[Path] | np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray, bool]:
    """The largest difference of each picture's answers (N,), whether the answers are the same (N,), and whether torch was imported."""
    ours = reference_answers(model, read_pictures(pictures, model.images))
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder)
        if isinstance(pictures, np.ndarray):
            np.save(job / "pictures.npy", pictures)
        else:
            (job / "pictures.json").write_text(json.dumps([str(file.resolve()) for file in pictures]))
        _answer_elsewhere(artefact, job)
        with np.load(job / "answers.npz") as found:
            answers = {name: found[name] for name in found.files}
    torch_imported, known = bool(answers.pop("torch_imported")), answers.pop("known")
    if model.task == "regression":
        deviation = np.array(model.targets.std if model.targets is not None else 1.0)
        differences = [np.abs(theirs - ours.values) / deviation for theirs in answers.values()]
        same = [difference.max(1) <= limit for difference in differences]
    else:
        differences = [np.abs(theirs - ours.values) for theirs in answers.values()]
        same = [same_answers(model, theirs, ours.values, limit) & (known == ours.known) for theirs in answers.values()]
    largest = np.max([difference.reshape(len(ours.values), -1).max(1) for difference in differences], 0)
    return largest, np.all(same, 0), torch_imported


def _answer_elsewhere(artefact: Path, job: Path) -> None:
    """Run the file in a process of its own on the pictures in the folder `job`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "striate.insight.export.answering", str(artefact.resolve()), str(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        killed = signal.Signals(-done.returncode).name
        raise EnvironmentFault(
            f"the process that tries the exported file was ended by {killed}, as when memory runs out",
            "Free some memory, or compare fewer pictures: `images=16`.",
        )
    if done.returncode:
        said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "nothing was said")
        words = said.replace(f"{artefact.resolve()}: ", "")[:300]
        raise NumericError(f"not written, because the exported file does not run: {words}", "Export it in another format, or keep the run.")


class Reference(NamedTuple):
    """The answers of the model itself."""

    values: np.ndarray  # (N, K) probabilities, or its scores or numbers; (N, K, H, W) of pixels
    known: np.ndarray  # (N,) bool; False where the answer is "unknown"


def reference_answers(model: Model, images: np.ndarray) -> Reference:
    """The answers of the model to pictures as it takes them."""
    outputs, found, shares = model.outputs(images), model.calibration, MEANINGS[model.task].shares
    values = outputs if shares is None or model.gives_scores else shares(outputs, found.temperature)
    judges = found.threshold is not None and model.task == "classify" and not model.gives_scores
    known = scores_of(outputs, found.score, found.temperature) >= found.threshold if judges else np.ones(len(images), bool)
    return Reference(values, known)


def same_answers(model: Model, theirs: np.ndarray, ours: np.ndarray, limit: float = 0.0) -> np.ndarray:
    """(N,) bool: the same class, the same labels, or the same class of each pixel, for each picture.

    A pixel whose two best classes are no further apart than two differences of `limit` may have either.
    """
    if model.task == "multilabel":
        found: np.ndarray = ((theirs >= 0.5) == (ours >= 0.5)).all(1)
        return found
    same: np.ndarray = theirs.argmax(1) == ours.argmax(1)
    if model.task == "segment":
        best = np.sort(ours, 1)[:, -2:]
        same = (same | (best[:, -1] - best[:, 0] <= 2 * limit)).reshape(len(ours), -1).all(1)
    return same


def hard_pictures(folder: Path, spec: ImageSpec) -> list[Path]:
    """Pictures of odd sizes and kinds, written into `folder`: tiny, wide, tall, grey, of 16 bits, CMYK, with a palette, turned by EXIF."""
    random = np.random.default_rng(0)

    def noise(height: int, width: int, channels: int = spec.channels) -> Image.Image:
        coarse = random.integers(0, 256, (max(1, height // 8), max(1, width // 8), channels), np.uint8)
        return Image.fromarray(coarse[..., 0] if channels == 1 else coarse).resize((width, height), Image.Resampling.BICUBIC)

    files: list[Path] = []

    def write(image: Image.Image, name: str, **options: Any) -> None:
        files.append(folder / name)
        image.save(files[-1], **options)

    for height, width in SIDES:
        write(noise(height, width), f"{height}x{width}.png")
    write(noise(61, 47, 1), "grey.png")
    write(Image.fromarray(random.integers(0, 65536, (50, 70), np.uint16)), "16-bit.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    write(noise(90, 64), "turned.jpg", exif=turned, quality=95)
    write(noise(640, 480), "large.jpg", quality=90)
    if spec.channels == 3:
        write(noise(64, 80).convert("CMYK"), "cmyk.jpg", quality=95)
        write(noise(64, 80).convert("P"), "palette.png")
    return files
