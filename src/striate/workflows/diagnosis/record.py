"""The record of a training that a diagnosis rests on: its curves, what was seen while it trained, and its model on its data again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch

from striate.core.errors import DataError, RefusedFileError
from striate.core.files import read_plain
from striate.core.modes import evaluation_mode
from striate.data.archives import npz_arrays
from striate.engine.failures import first_part_not_finite
from striate.insight.diagnose import Finding, Record, Sample
from striate.insight.diagnose.examining import examine
from striate.insight.diagnose.replay import replay
from striate.insight.diagnose.setup import Setup, facts_of
from striate.insight.diagnose.states import STARTED
from striate.models.fitting import usual_rate
from striate.workflows.diagnosis.probing import counts_in_nats, exam_of
from striate.workflows.runs.config import ARRAYS
from striate.workflows.runs.folder import REMOVE, RunFolder
from striate.workflows.tasks.registry import task_of

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from striate.data.records import ImageSet
    from striate.insight.diagnose.exam import Exam
    from striate.models.model import Model
    from striate.workflows.diagnosis.diagnose import DiagnoseRequest
    from striate.workflows.runs.config import RunConfig
    from striate.workflows.subjects.subject import Subject


class OwnPictures(NamedTuple):
    """The pictures of a run, as its model takes them; None if they are not available or not requested."""

    train: ImageSet | None = None
    val: ImageSet | None = None


def own_pictures(subject: Subject, request: DiagnoseRequest, config: RunConfig, say: Callable[[str], None]) -> OwnPictures:
    """The training pictures, and those of val where the run kept no verdict of its own; none where they cannot be had."""
    data = request.data if request.data is not None else config.data
    if isinstance(data, str) and data == ARRAYS:
        say("the run was trained on arrays: only its curves and the observations during training are examined")
        return OwnPictures()
    labelled = subject.open_data(request, f"diagnose {subject.where}", say)
    if not labelled.is_own:
        message = f"{labelled.source.name}: not the data that {request.run} was trained on"
        raise DataError(message, "Name the data of the run, or leave DATA out.")
    with_val = exam_of(request.run) is None and task_of(subject.trained).single_class
    return OwnPictures(labelled.read("train", say), labelled.read("val", say) if with_val else None)


def record_of(
    folder: RunFolder, config: RunConfig, model: Model | None, own: OwnPictures, num_batches: int, say: Callable[[str], None]
) -> tuple[Record, list[Sample]]:
    """The record of the run in `folder`, and its last samples: those of `num_batches` that the model computes again."""
    rows, history = folder.read_metrics(say), folder.read_history(say)
    steps = int(rows[-1].get("step") or 0) if rows else 0
    exam, again = exam_of(folder.path), list[Sample]()
    if model is not None and own.train is not None:
        if exam is None and own.val is not None:
            seen = steps * config.settings.batch_size
            exam = examine(model, own.train, own.val, seen=seen, known=folder.read_data_findings())
        done = max(STARTED, history[-1].step if history else 0, steps)
        for sample in replay(model, own.train, config.settings, config.augmentation, num_batches):
            wait = None if history else sample.wait_share
            again.append(dataclasses.replace(sample, step=done + sample.step, wait_share=wait))
    record = Record(
        samples=[*history, *again],
        rows=rows,
        num_classes=config.num_classes if counts_in_nats(config.settings) else None,
        setup=_setup(folder, config, exam),
        exam=exam,
        is_finished=folder.last_event() != "interrupted",
    )
    return record, again


def _setup(folder: RunFolder, config: RunConfig, exam: Exam | None) -> Setup | None:
    """The set-up of the training, from the run folder; None if it holds no description of the network."""
    if not folder.has_network:
        return None
    is_fresh = config.pretrained is None and config.start_sha256 is None
    network = folder.read_network()
    rate = usual_rate(network, config.num_train or config.settings.batch_size, config.settings)
    return Setup(
        config.settings,
        config.augmentation,
        facts_of(network),
        is_fresh,
        num_train=sum(exam.train_counts) if exam is not None else None,
        num_val=sum(exam.val_counts) if exam is not None else None,
        usual_rate=rate,
    )


def stopped_at(run: Path, model: Model | None) -> list[Finding]:
    """The finding of a run that stopped at NaN or Inf and kept the batch of it."""
    path = RunFolder(run).not_finite
    if not path.exists():
        return []
    images = _stopping_batch(path, model)
    part = ""
    if model is not None:
        with evaluation_mode(model.module):
            part = first_part_not_finite(model.module, lambda: model.module(torch.from_numpy(images).to(model.device)))
    finite = "the kept model, which is from an earlier epoch, gives finite numbers for it"
    now = "the kept model gives NaN or Inf for it too" if part else finite
    return [
        Finding(
            kind="not_finite",
            severity="error",
            where=part,
            evidence=float(len(images)),
            unit="pictures in the batch",
            message=f"the training stopped at NaN or Inf, and its batch is in {path.name}; {now}",
            cause="Numbers overflowed, mostly after updates that were too large.",
            remedy="`max_grad_norm=1`, or a smaller `learning_rate`",
        )
    ]


def _stopping_batch(path: Path, model: Model | None) -> np.ndarray:
    """The pictures (N, H, W, C) of the batch at which a run stopped.

    Raises:
        RefusedFileError: the file is damaged.
    """
    read_plain(path, limit=2**32, remedy=REMOVE)
    try:
        images = npz_arrays(path).get("images")
    except DataError as error:
        raise RefusedFileError(error.message, REMOVE) from None
    wanted = None if model is None else model.images.array_shape
    if images is None or images.ndim < 2 or (wanted is not None and images.shape[1:] != wanted):
        raise RefusedFileError(f"{path}: images are not a batch of pictures of the model's size", REMOVE)
    return images
