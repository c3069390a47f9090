"""Looking again: the kept model runs some training batches beside a probe, and its answers are held against their labels."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch

from striate.core.seeds import torch_seed
from striate.engine.losses import loss_of
from striate.insight.diagnose.probe import Probe
from striate.models.fitting import batches_of

if TYPE_CHECKING:
    from striate.data.augmentation.record import Augmentation
    from striate.data.records import ImageSet
    from striate.engine.settings import TrainSettings
    from striate.insight.diagnose.records import Sample
    from striate.models.model import Model

SURE = 0.9  # probability of another class, from which a label is doubted


def replay(model: Model, pictures: ImageSet, settings: TrainSettings, augmentation: Augmentation, num_batches: int) -> list[Sample]:
    """The samples of a probe while the model runs some training batches again, in training mode and without an update."""
    batches = batches_of(
        pictures,
        settings.batch_size,
        seed=settings.seed,
        shuffle=True,
        augmentation=augmentation,
        device=torch.device(model.device),
    )
    module = copy.deepcopy(model.module)  # its batch norms go on counting
    loss_fn = loss_of(settings)
    probe = Probe(every=1, updating=False, kept=True)
    with torch_seed(settings.seed), probe.watch(module.train().get_submodule("network")):
        for step, batch in enumerate(itertools.islice(batches.epoch(1), num_batches), start=1):
            loss = loss_fn(module(batch.images), batch.labels)
            module.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            probe.after_step(step, loss.detach(), learning_rate=settings.learning_rate)
    return probe.samples


def doubted_labels(model: Model, pictures: ImageSet) -> list[list[str]]:
    """The pictures whose labels the model confidently contradicts, the most confident first: path, label, answer, probability."""
    probabilities = model.shares(np.asarray(pictures.images))  # (N, K)
    answers, sure = probabilities.argmax(1), probabilities.max(1)
    doubted = np.flatnonzero((answers != pictures.labels) & (sure >= SURE))
    order = doubted[np.argsort(-sure[doubted], kind="stable")].tolist()
    return [[pictures.paths[i], model.classes[pictures.labels[i]], model.classes[answers[i]], f"{sure[i]:.4f}"] for i in order]
