"""The gate of an exported page: it gets its name once a browser, cut off from everything, answers with it as the model does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from striate.core.images import ImageSpec
from striate.insight.export.browser import Answers, answers_of_page
from striate.insight.export.gate import LIMIT, WORST, Gate, hard_pictures, reference_answers, same_answers
from striate.insight.export.wanted import Precision
from striate.models.inputs import read_pictures
from striate.models.model import Model

PAGE_LIMIT = 0.02  # of a difference of probabilities: browsers decode JPEG a little differently
LEAST_AGREEMENT = 0.995  # of the answers to the pictures of the val split


def gate_page(
    model: Model, page: Path, pictures: Sequence[Path] | np.ndarray, names: Sequence[str], *, limit: float, precision: Precision
) -> Gate:
    """Compare the answers of an exported page, in headless Chromium, with the model's.

    PNG files of 8 bits without transparency, which every browser decodes alike, may differ by no more than 1e-4 where the weights are
    float32. The class must be the
    same for 99.5 % of `pictures`; of the hard pictures that are made here, only the probabilities are held to the limit.

    Args:
        model: The model that was exported.
        page: The file.
        pictures: Files, as a user has them, or an array of pictures (N, h, w, C), which are handed over as PNG files.
        names: One of each.
        limit: The largest difference of a probability that passes.
        precision: Of the weights in the page.

    Raises:
        EnvironmentFault: there is no browser.
    """
    spec = model.images
    if not isinstance(spec, ImageSpec):
        raise TypeError("a page takes pictures")
    with tempfile.TemporaryDirectory() as folder:
        given = _as_files(pictures, Path(folder)) if isinstance(pictures, np.ndarray) else list(pictures)
        hard = hard_pictures(Path(folder), spec)
        files = [*given, *hard]
        opened = Path(folder) / "page.html"  # a browser goes by the ending
        shutil.copyfile(page, opened)
        found = answers_of_page(opened, files)
        images = read_pictures(files, spec)
        differences, same = _compared(model, images, found)
        exact = np.array([precision == "float32" and _is_plain_png(file) for file in files])
    limits = np.where(exact, min(limit, LIMIT), limit)
    judged = same[: len(given)] if len(given) else same
    beyond = differences > limits
    wrong = np.flatnonzero(beyond | ~same)
    shown = [*names, *(file.name for file in hard)]
    order = wrong[np.argsort(-differences[wrong], kind="stable")][:WORST]
    return Gate(
        num_images=len(files),
        num_hard=len(hard),
        batches=(1,),
        agreement=float(judged.mean()),
        max_difference=float(differences.max()),
        limit=limit,
        torch_imported=False,
        passed=bool(judged.mean() >= LEAST_AGREEMENT and not beyond.any() and not found.requests),
        worst=tuple(f"{shown[place]}: {found.errors[place] or format(differences[place], '.2g')}" for place in order),
        least_agreement=LEAST_AGREEMENT,
        requests=len(found.requests),
        program=found.browser,
        milliseconds=float(np.median(found.milliseconds)) if len(found.milliseconds) else None,
    )


def _is_plain_png(file: Path) -> bool:
    with Image.open(file) as image:
        return image.format == "PNG" and image.mode in ("1", "L", "P", "RGB") and not image.has_transparency_data


def _as_files(pictures: np.ndarray, folder: Path) -> list[Path]:
    """The pictures as PNG files in `folder`."""
    files = [folder / f"{place}.png" for place in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(file)
    return files


def _compared(model: Model, images: np.ndarray, found: Answers) -> tuple[np.ndarray, np.ndarray]:
    """The largest difference of each picture's answers (N,), infinite where the page gave none, and bool (N,): the same answer."""
    ours = reference_answers(model, images)
    read = np.array([values is not None for values in found.values])
    theirs = np.stack([ours.values[place] if values is None else values for place, values in enumerate(found.values)])
    deviation = np.array(model.targets.std) if model.task == "regression" and model.targets is not None else 1.0
    differences = np.where(read, (np.abs(theirs - ours.values) / deviation).max(1), np.inf)
    if model.task == "regression":
        return differences, read & (differences <= PAGE_LIMIT)
    return differences, read & same_answers(model, theirs, ours.values) & (ours.known == np.array(found.known))
