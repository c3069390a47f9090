"""Some pictures of a training as they are, and as its first epochs will show them to the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from striate.core.errors import UsageError
from striate.core.files import write_atomically
from striate.core.places import check_file
from striate.data.batches import Batches
from striate.drawing.pictures import montage
from striate.workflows.training.planning import resolve
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import Observer, QuietObserver

PICTURES, EPOCHS = 6, 5


def preview(request: TrainRequest, picture: Path, *, observer: Observer | None = None) -> None:
    """Draw pictures of the training split, each in a row with what the first epochs make of it; nothing is trained.

    What mixes two pictures (mix-up, CutMix) is not shown.

    Raises:
        UsageError: the training is to be resumed, its data are no pictures, or `picture` is no PNG; and what `train` raises of the request.
    """
    if request.resume is not None:
        raise UsageError("`preview`: a run that is resumed shows what it has shown before", "Preview a new run.")
    check_file(picture, "preview", (".png",), makes_folder=True)
    plan = resolve(request, observer or QuietObserver())
    images, fitting = plan.train_set, plan.fitting
    if images.kind != "pictures":
        raise UsageError(f"`preview`: the data has {images.kind}, which are not changed", "Leave it out.")
    places = torch.from_numpy(np.linspace(0, len(images) - 1, min(PICTURES, len(images))).round().astype(np.int64))
    batches = Batches(images, fitting.settings.batch_size, seed=fitting.settings.seed, augmentation=fitting.augmentation)
    originals = torch.from_numpy(np.array(images.images[places.numpy()]))
    columns = [originals, *(batches.augmented(originals, places, epoch) for epoch in range(1, EPOCHS + 1))]
    shown = torch.stack(columns, 1).flatten(0, 1).numpy()  # (N * columns, H, W, C), a row for each picture
    captions = [word for _ in places for word in ("as it is", *(f"epoch {epoch}" for epoch in range(1, EPOCHS + 1)))]
    title = f"{images.name}: training pictures as they are, and as the first epochs show them"
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(picture, montage(shown, captions, title=title, columns=len(columns)), field="preview")
