"""Does a second task help where labels are few? The same network alone, with rotations and with coarser classes.

Run: ./scripts/bench auxiliary [--data NAME] [--seeds N] [--images N ...] [--epochs N]. All of a seed start from the same weights of the
network, and see the same pictures in the same order; the second task has 0.5 of the loss.
"""

from __future__ import annotations

import argparse

import numpy as np
from sheet import spread, write_sheet

from striate.core.images import ImageSpec
from striate.core.intervals import paired_difference
from striate.data.augmentation.record import Augmentation
from striate.data.records import ImageSet
from striate.data.sources import open_data
from striate.models.fitting import Fitting, channel_statistics, default_settings, fit_images
from striate.models.model import Model
from striate.networks.catalog import network as catalog_network
from striate.networks.model_file import ModelFile

NUM_TEST = 1000


def tasks_of(classes: tuple[str, ...]) -> dict[str, object]:
    """The second tasks: none, rotations, and two groups of every other class."""
    groups = {name: str(place % 2) for place, name in enumerate(classes)}
    return {"none": None, "rotation": "rotation", "two groups of classes": groups}


def accuracies(train: ImageSet, val: ImageSet, test: ImageSet, task: object, seed: int, epochs: int) -> tuple[float, float]:
    """The accuracy on the test split, and that of the second task on held-out pictures; NaN without one."""
    height, width, channels = train.images.shape[1:]
    network = catalog_network("compact_cnn", len(train.classes), channels, (height, width))
    mean, std = channel_statistics(train.images)
    spec = ImageSpec(height=height, width=width, channels=channels, mean=mean, std=std)
    settings = default_settings(network, len(train), seed=seed, epochs=epochs, precision="float32", device="cpu", auxiliary=task)
    fitting = Fitting(network=network, images=spec, classes=train.classes, settings=settings, augmentation=Augmentation())
    run = fit_images(fitting, train, val)
    rows = [event.row for event in run.events if event.row is not None]
    trained = network.build().eval()
    trained.load_state_dict(run.state())
    model = Model(ModelFile(network, trained, train.classes, spec, {}))
    second = rows[-1].val_auxiliary_accuracy
    return float((model.outputs(test.images).argmax(1) == test.labels).mean()), float("nan") if second is None else second


def main() -> None:
    """Train each from each seed, for each number of pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--epochs", type=int, default=30)
    chosen = parser.parse_args()
    source = open_data(chosen.data)
    whole, test = source.read("train"), source.read("test")
    test = test.take(np.arange(min(NUM_TEST, len(test))))
    table = [["pictures", "second task", "its accuracy", "test accuracy", "with less without: mean (95 % interval)"]]
    for count in chosen.images:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks_of(whole.classes)}
        for seed in range(chosen.seeds):
            order = np.random.default_rng(seed).permutation(len(whole))
            train, val = whole.take(order[:count]), whole.take(order[count : count + 200])
            for name, task in tasks_of(whole.classes).items():
                found[name].append(accuracies(train, val, test, task, seed, chosen.epochs))
                print(f"{count} pictures, seed {seed}, {name}: {found[name][-1]}", flush=True)
        for name, pairs in found.items():
            tests, seconds = ([pair[place] for pair in pairs] for place in (0, 1))
            difference = None if name == "none" else paired_difference(tests, [alone for alone, _ in found["none"]])
            told = f"{difference.difference:+.4f} ({difference.low:+.4f} to {difference.high:+.4f})" if difference else ""
            table.append([f"{count}", name, "" if name == "none" else spread(seconds, ".3f"), spread(tests, ".4f"), told])
    notes = [f"{chosen.data}, compact_cnn, {chosen.epochs} epochs, {len(test):,} test pictures, no augmentation; weight of the task 0.5"]
    write_sheet(f"auxiliary_{chosen.data}", "A second task beside the classes, with few labels", table, notes)


if __name__ == "__main__":
    main()
