"""What `striate train` runs, an update at a time: `striate_training NAME DATA STEPS WARMUP BATCH float32|auto`, for `throughput`.

DATA is a named set, or a folder with a folder of JPEG files for each class. Prints what the peers' programs print.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import striate
from striate.core.images import STATISTICS, ImageSpec
from striate.data.batches import Augmentation
from striate.data.sources import open_data
from striate.engine.settings import TrainSettings
from striate.models.fitting import Fitting, fit_images

if TYPE_CHECKING:
    from striate.data.records import ImageSet

SIDE, AREA = 224, (0.35, 1.0)  # of photos


def main() -> None:
    """Train for the steps that are asked for."""
    name, data, steps, warmup, batch, precision = sys.argv[1:]
    if Path(data).is_dir():
        mean, std = STATISTICS["imagenet"]
        spec = ImageSpec(height=SIDE, width=SIDE, channels=3, mean=mean, std=std)
        pictures, augmentation = open_data(Path(data)).read("train", spec=spec), Augmentation(resized_crop=AREA, flip=True)
    else:
        pictures = open_data(data).read("train")
        height, width, channels = pictures.images.shape[1:]
        mean, std = statistics_of(pictures)
        spec = ImageSpec(height=height, width=width, channels=channels, mean=mean, std=std)
        augmentation = Augmentation(crop_padding=4, flip=True) if channels == 3 else Augmentation()
    net = striate.network(name, num_classes=len(pictures.classes), in_channels=spec.channels, input_size=spec.height)
    settings = TrainSettings(
        steps=int(steps) + int(warmup),
        batch_size=int(batch),
        optimizer="adam",
        weight_decay=0.0,
        learning_rate=1e-3,
        schedule="constant",
        warmup_epochs=0.0,
        precision=precision,  # type: ignore[arg-type]  # checked by the settings
    )
    fitting = Fitting(network=net, images=spec, classes=pictures.classes, settings=settings, augmentation=augmentation)
    times: list[float] = []
    first = 0.0
    for event in fit_images(fitting, pictures, None).events:
        if event.row is None:
            times.append(time.perf_counter())
            first = first or time.time() - float(os.environ["STARTED"])
        if len(times) == settings.steps:
            break
    speed = int(steps) * int(batch) / (times[-1] - times[int(warmup) - 1])
    print(json.dumps({"parameters": net.params, "images_per_second": speed, "first_step_seconds": first}))


def statistics_of(pictures: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel over every fiftieth picture, in [0, 1]."""
    pixels = pictures.images[::50].reshape(-1, pictures.images.shape[3]) / 255
    return tuple(pixels.mean(0).tolist()), tuple(pixels.std(0).tolist())


if __name__ == "__main__":
    main()
