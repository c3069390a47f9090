"""The record of a training that a diagnosis rests on: its curves, what was seen while it trained, and its model on its data again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from striate.core.errors import DataError
from striate.insight.diagnose import Record, Sample
from striate.insight.diagnose.examining import examine
from striate.insight.diagnose.replay import replay
from striate.insight.diagnose.setup import Setup, facts_of
from striate.insight.diagnose.states import STARTED
from striate.workflows.diagnosis.probing import counts_in_nats, exam_of
from striate.workflows.runs.config import ARRAYS
from striate.workflows.tasks.registry import task_of

if TYPE_CHECKING:
    from striate.data.records import ImageSet
    from striate.insight.diagnose.exam import Exam
    from striate.models.model import Model
    from striate.workflows.diagnosis.diagnose import DiagnoseRequest
    from striate.workflows.runs.config import RunConfig
    from striate.workflows.runs.folder import RunFolder
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
    counts = (sum(exam.train_counts), sum(exam.val_counts)) if exam is not None else (None, None)
    return Setup(config.settings, config.augmentation, facts_of(folder.read_network()), is_fresh, *counts)
