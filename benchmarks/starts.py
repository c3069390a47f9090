"""Installed weights or a start from scratch: test accuracy by the number of training pictures, in equal processor time.

starts [--counts N ...] [--times X ...] [--side PIXELS]: pictures of CIFAR-10, enlarged as photos. The installed network stays as it is and
gets a fitted last layer, as `striate train` does with photos; beside it the default network for such pictures, at their own 32 pixels, from
scratch for X times the processor seconds that this took.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from sheet import write_sheet

from striate.core.images import ImageSpec
from striate.core.intervals import wilson_interval
from striate.data.augmentation.record import Augmentation
from striate.data.fitting import fit_images as fitted_images
from striate.data.named import open_named
from striate.data.records import ImageSet
from striate.insight.check.embedding import NETWORK, Embedding
from striate.models.fitting import Fitting, channel_statistics, default_settings, described, fit_images, network_for, shift_for
from striate.models.linear_head import fit_linear_head, head_folds, out_of_fold
from striate.models.model import Model
from striate.networks.catalog import network
from striate.networks.model_file import ModelFile
from striate.networks.network import Network
from striate.workflows.training.heads import MOST_ASKED

NUM_TEST, PART = 2_000, 500  # test pictures; pictures that are enlarged at a time
TIMED = 1_000  # pictures of an epoch that tells how long an epoch takes
MOST_EPOCHS = 100


def main() -> None:
    """Measure, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 5_000, 20_000, 50_000])
    parser.add_argument("--times", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--most", type=float, default=400, help="processor seconds of a training from scratch")
    asked = parser.parse_args()
    torch.set_num_threads(1)  # so that processor seconds are seconds
    source = open_named("cifar10")
    order = np.random.default_rng(0).permutation(source.num_images("train"))[: max(asked.counts)]
    train, test = source.read("train").take(order), source.read("test").take(np.arange(NUM_TEST))
    embedding = Embedding(asked.side, "stretch")
    seen, seconds = seen_by(embedding, train)
    of_test, _ = seen_by(embedding, test)
    table = [["pictures", "start", "processor seconds", "test accuracy (95 % interval)", "epochs"]]
    for count in asked.counts:
        some, started = train.take(np.arange(count)), time.process_time()
        right = right_of_head(seen[:count], some, of_test, test)
        used = time.process_time() - started + seconds * count / len(train)
        table.append([f"{count:,}", f"{NETWORK}, last layer fitted", f"{used:.0f}", in_words(right), ""])
        print(table[-1], flush=True)
        for times in asked.times:
            if times * used <= asked.most:
                table.append([f"{count:,}", f"scratch, {times:g} times as long", *from_scratch(some, test, times * used)])
                print(table[-1], flush=True)
    notes = [
        f"{NUM_TEST:,} test pictures; {NETWORK} sees them enlarged to {asked.side} pixels, one view; all on one core",
        "from scratch: compact_cnn at 32 pixels with the default settings, and as many epochs as the time allows",
    ]
    write_sheet("starts", "Installed weights, or a start from scratch", table, notes)


def seen_by(embedding: Embedding, pictures: ImageSet) -> tuple[np.ndarray, float]:
    """(N, F) the features of pictures, and the processor seconds that they took."""
    started, parts = time.process_time(), range(0, len(pictures), PART)
    images = np.asarray(pictures.images)
    found = [embedding(fitted_images(images[start : start + PART], embedding.spec)) for start in parts]
    return np.concatenate(found), time.process_time() - started


def right_of_head(seen: np.ndarray, train: ImageSet, of_test: np.ndarray, test: ImageSet) -> int:
    """The test pictures that a last layer names right which is fitted as in training."""
    labels, classes = np.asarray(train.labels), len(train.classes)
    asked = min(MOST_ASKED, len(labels))
    folds = head_folds(labels[:asked], [], train.classes, seed=0, groups=np.arange(asked))
    if folds is None:
        raise SystemExit("each class needs two pictures")
    strength = out_of_fold(seen[:asked], labels[:asked], classes, folds=folds).strength
    head = fit_linear_head(seen, labels, classes, strength=strength)
    logits = of_test @ head.weight.numpy().T + head.bias.numpy()
    return int((logits.argmax(1) == test.labels).sum())


def from_scratch(train: ImageSet, test: ImageSet, seconds: float) -> list[str]:
    """Processor seconds, test accuracy and epochs of as many epochs as take about `seconds`."""
    height, width, channels = train.images.shape[1:]
    net = network(network_for((height, width)), len(train.classes), channels, (height, width))
    timed = train.take(np.arange(min(TIMED, len(train))))
    _, once = trained(net, timed, test, 1)
    epochs = min(MOST_EPOCHS, max(1, round(seconds / (once * len(train) / len(timed)))))
    right, used = trained(net, train, test, epochs)
    return [f"{used:.0f}", in_words(right), str(epochs)]


def trained(net: Network, train: ImageSet, test: ImageSet, epochs: int) -> tuple[int, float]:
    """The test pictures that it names right after so many epochs, and the processor seconds of the training."""
    height, width, channels = train.images.shape[1:]
    mean, std = channel_statistics(np.asarray(train.images))
    spec = ImageSpec(height=height, width=width, channels=channels, mean=mean, std=std)
    settings = default_settings(net, len(train), epochs=epochs, device="cpu")
    augmentation = Augmentation(crop_padding=shift_for(net, channels), flip=True)
    fitting = Fitting(network=net, images=spec, classes=train.classes, settings=settings, augmentation=augmentation)
    started = time.process_time()
    run = fit_images(fitting, train, test.take(np.arange(10)))
    for _ in run.events:
        pass
    used = time.process_time() - started
    module = net.build().eval()
    module.load_state_dict(described(run.module).state_dict())
    model = Model(ModelFile(net, module, train.classes, spec, {}))
    return int((model.outputs(np.asarray(test.images)).argmax(1) == test.labels).sum()), used


def in_words(right: int) -> str:
    """A share of the test pictures with its interval."""
    low, high = wilson_interval(right, NUM_TEST)
    return f"{right / NUM_TEST:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
