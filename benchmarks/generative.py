"""What the generative networks reach on MNIST: `generative vae`, `generative cdcgan`."""

from __future__ import annotations

import argparse
import time

import numpy as np
from sheet import spread, write_sheet

from striate.core.images import ImageSpec
from striate.data.records import ImageSet
from striate.data.sources import open_data
from striate.estimators import ConditionalDCGAN, ImageClassifier, VariationalAutoencoder

MAX_NATS, MIN_AGREEMENT, MAX_MINUTES = 110.0, 0.95, 10.0


def mnist(split: str, size: int) -> ImageSet:
    """A split, brought to `size` x `size`."""
    return open_data("mnist").read(split, spec=ImageSpec(height=size, width=size, channels=1, mean=(0.5,), std=(0.5,)))


def vae(seeds: int, max_iter: int) -> None:
    """Minus the bound of log p(x) on the test split, in nats."""
    train, test = (mnist(split, 28).images.reshape(-1, 784) / 255 for split in ("train", "test"))
    nats, close, seconds = [], [], []
    for seed in range(seeds):
        started = time.perf_counter()
        model = VariationalAutoencoder(max_iter=max_iter, random_state=seed).fit(train)
        seconds.append(time.perf_counter() - started)
        nats.append(-model.score(test))
        close.append(-model.bound(test[:1000], num_draws=100, importance=True).mean())
        print(f"seed {seed}: {nats[-1]:.2f} nats after {seconds[-1]:.0f} s", flush=True)
    write_sheet(
        "generative_vae",
        "The variational autoencoder (784-400-20-400-784) on MNIST",
        [
            ["figure", "median (spread)", "wanted"],
            ["minus the bound on the test split, nats", spread(nats, ".2f"), f"at most {MAX_NATS:g}"],
            ["the same by 100 importance weights, 1,000 pictures", spread(close, ".2f"), ""],
            ["seconds to train", spread(seconds, ".0f"), ""],
        ],
        [f"{max_iter} epochs of 60,000 pictures; grey values in [0, 1] are taken as probabilities of a Bernoulli, as is usual."],
    )


def cdcgan(seeds: int, chosen: argparse.Namespace) -> None:
    """How many drawn digits a LeNet-5, trained on real ones, takes for the digit that was asked for."""
    train, test = mnist("train", 32), mnist("test", 32)
    started = time.perf_counter()
    judge = ImageClassifier(network="lenet5", epochs=chosen.judge_epochs, random_state=1000).fit(train.images, train.labels)
    judged = float((judge.predict(test.images) == test.labels).mean())
    print(f"judge: test accuracy {judged:.4f} after {time.perf_counter() - started:.0f} s", flush=True)
    agreements, least, covered, seconds = [], [], [], []
    settings = {name: getattr(chosen, name) for name in ("width", "batch_size", "averaging", "max_iter", "learning_rate")}
    few = np.random.default_rng(0).permutation(len(train.images))[: chosen.num_train]
    for seed in range(seeds):
        started = time.perf_counter()
        model = ConditionalDCGAN(verbose=True, random_state=seed, **settings).fit(train.images[few], train.labels[few])
        seconds.append(time.perf_counter() - started)
        report = model.diagnose(test.images, test.labels, classifier=judge, num_samples=200)
        agreements.append(report.agreement or 0.0)
        least.append(min(mode.spread for mode in report.modes))
        covered.append(report.covered_share)
        print(f"seed {seed}: agreement {agreements[-1]:.4f} after {seconds[-1]:.0f} s\n{report}", flush=True)
        if chosen.picture:
            save_grid(model, chosen.picture)
    said = ", ".join(f"{name} {value:g}" for name, value in settings.items())
    write_sheet(
        "generative_cdcgan",
        "The conditional DCGAN on MNIST",
        [
            ["figure", "median (spread)", "wanted"],
            ["share of 2,000 samples that the judge takes for their label", spread(agreements, ".4f"), f"at least {MIN_AGREEMENT:g}"],
            ["least spread of a label, real digits are 1", spread(least, ".2f"), "at least 0.5"],
            ["share of labels without a collapse", spread(covered, ".2f"), "1"],
            ["minutes to train", spread([value / 60 for value in seconds], ".1f"), f"at most {MAX_MINUTES:g}"],
        ],
        [
            f"Settings: {said}; {chosen.num_train:,} pictures.",
            f"The judge is `lenet5` after {chosen.judge_epochs} epochs of the real pictures, right about {judged:.2%} of the test split.",
        ],
    )


def save_grid(model: ConditionalDCGAN, path: str) -> None:
    """A row of samples for each label, as PNG."""
    from PIL import Image

    rows = [np.hstack(model.sample(12, label, random_state=7)) for label in model.classes_]
    Image.fromarray(np.vstack(rows)).save(path)


def main() -> None:
    """Run the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=["vae", "cdcgan"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--max-iter", type=int, help="epochs; 30 of the vae, 4 of the cdcgan")
    parser.add_argument("--width", type=int, default=24, help="of the cdcgan; 64 is the published size")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--averaging", type=float, default=0.99)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--num-train", type=int, default=60_000)
    parser.add_argument("--judge-epochs", type=int, default=5)
    parser.add_argument("--picture", help="write samples of each label to this PNG")
    chosen = parser.parse_args()
    if chosen.which == "vae":
        vae(chosen.seeds, chosen.max_iter or 30)
    else:
        chosen.max_iter = chosen.max_iter or 4
        cdcgan(chosen.seeds, chosen)


if __name__ == "__main__":
    main()
