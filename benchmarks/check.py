"""Check data sets: photos per second and memory, copies between CIFAR-10's splits, and flipped labels found again.

check speed|duplicates|labels [--count N] [--seeds N]

speed: N files, made of the flower photos: each in five re-encoded forms, and those repeated; `striate check` from start to exit, with its
processor seconds and largest memory, beside a quarter and a tenth of the files. duplicates: CIFAR-10's test pictures with a twin in train,
of which 3.3 % are published (Barz and Denzler, 2020, arXiv:1902.00423): by the hash, and by the network of `--deep`. labels: labels of
pictures changed to another class at random, and how many of the pictures with the largest margins, as many as were changed, are those.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sheet import write_sheet

from striate.data.fitting import fit_images
from striate.data.named import open_named
from striate.data.packing import data_directory
from striate.data.sources import open_data
from striate.insight.check.copies import LEAST_ALIKE, LEAST_COSINE, near_pairs
from striate.insight.check.embedding import Embedding, side_for
from striate.insight.check.labels import suspects
from striate.insight.check.looks import GRID
from striate.models.linear_head import head_folds, out_of_fold

FORMS = ((95, 1.0), (80, 1.0), (60, 0.9), (90, 0.8), (75, 0.7))  # quality and size of the re-encoded forms
ALIKE, MOST_BITS = (0.97, 0.95, 0.93, 0.9), 24  # correlations, and bits of the hash, at which copies are counted
PART = 500  # pictures that are embedded at a time
SHARES = (0.01, 0.05, 0.2)  # of labels that are flipped
COSINES = (0.9, 0.88, 0.86, 0.84, 0.82)  # of embeddings, at which copies are counted
PUBLISHED = 330  # test pictures of CIFAR-10 with a twin in train
OF_CIFAR = 1_500  # pictures of CIFAR-10 whose labels are judged


def main() -> None:
    """Measure one of the three, and write its sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("speed", "duplicates", "labels"))
    parser.add_argument("--count", type=int, default=10_000, help="files of speed")
    parser.add_argument("--seeds", type=int, default=3, help="draws of flipped labels")
    asked = parser.parse_args()
    {"speed": lambda: speed(asked.count), "duplicates": duplicates, "labels": lambda: labels(asked.seeds)}[asked.what]()


def speed(count: int) -> None:
    """Seconds and memory of a check of `count` photos, of a quarter and of a tenth of them."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="check-") as name:
        for number in (count // 10, count // 4, count):
            folder = Path(name) / str(number)
            repeated_photos(folder, number)
            start = time.monotonic()
            command = [sys.executable, "-m", "striate", "check", str(folder), "--output", f"{name}/page.html"]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)  # of this process alone
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds, used = time.monotonic() - start, usage.ru_utime + usage.ru_stime
            row = [
                f"{number:,}",
                f"{seconds:.0f}",
                f"{used:.0f}",
                f"{1000 * used / number:.1f}",
                f"{usage.ru_maxrss / 1024:,.0f}",
                str(process.returncode),
            ]
            rows.append(row)
            shutil.rmtree(folder)
    heading = ["files", "seconds", "processor seconds", "processor ms a file", "largest memory, MiB", "exit code"]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    notes = [
        "`striate check` from its start to its exit: reading, full decoding, measures, comparison of all pairs in eight orientations, page",
        f"load of the machine over 1, 5 and 15 minutes at the end: {load}; above 2 the seconds are more than those of a quiet machine",
        "labels of up to 2,000 photos are judged by a network, which takes more time and memory a file than what is compared here",
        "memory grows with the measures of each file, 1 KiB for its grid, not with the pictures, which are let go",
    ]
    write_sheet("check_speed", "Checking photos, repeated and re-encoded", [heading, *rows], notes)


def repeated_photos(folder: Path, count: int) -> None:
    """`count` JPEG files in class folders: the flower photos in five re-encoded forms, each repeated as often as needed."""
    photos = sorted((data_directory() / "flowers").glob("*/*.jpg"))
    made = 0
    for photo in photos[: max(1, count // len(FORMS))]:
        place = folder / photo.parent.name
        place.mkdir(parents=True, exist_ok=True)
        image = Image.open(photo).convert("RGB")
        copies = -(-count // (len(photos) * len(FORMS)))
        for form, (quality, scale) in enumerate(FORMS):
            if made >= count:
                return
            first = place / f"{photo.stem}-{form}-0.jpg"
            image.resize((round(image.width * scale), round(image.height * scale))).save(first, quality=quality)
            made += 1
            for copy in range(1, min(copies, count - made + 1)):
                shutil.copy(first, place / f"{photo.stem}-{form}-{copy}.jpg")
                made += 1


def duplicates() -> None:
    """The test pictures of CIFAR-10 with a twin in train, by exact pixels, by the hash and by embeddings, at several likenesses."""
    source = open_named("cifar10")
    images = np.concatenate([source.parts[split]().images(None) for split in ("train", "test")])
    count = source.num_images("train")
    keys = [image.tobytes() for image in images]
    exact = len(set(keys[:count]) & set(keys[count:]))
    grids = np.stack([np.asarray(Image.fromarray(image).resize((GRID, GRID), Image.Resampling.BOX)) for image in images])
    start = time.process_time()
    pairs = near_pairs(grids, most_bits=MOST_BITS, least_alike=min(ALIKE))
    used = time.process_time() - start
    crossing = (pairs.first < count) != (pairs.second < count)
    by_hash = {alike: set(pairs.second[crossing & (pairs.likeness >= alike)].tolist()) for alike in ALIKE}
    start = time.process_time()
    nearest = nearest_of_test(images, count)
    used_deep = time.process_time() - start
    by_network = {cosine: set((count + np.flatnonzero(nearest >= cosine)).tolist()) for cosine in COSINES}
    counts = {
        "the same pixels": exact,
        **{f"hash, correlation at least {alike:g}": len(found) for alike, found in by_hash.items()},
        **{f"network, cosine at least {cosine:g}": len(found) for cosine, found in by_network.items()},
        f"`check --deep`: hash {LEAST_ALIKE:g} or network {LEAST_COSINE:g}": len(by_hash[LEAST_ALIKE] | by_network[LEAST_COSINE]),
        f"hash {LEAST_ALIKE:g} or network {COSINES[-1]:g}": len(by_hash[LEAST_ALIKE] | by_network[COSINES[-1]]),
    }
    rows = [[how, str(number), f"{number / 100:.2f} %", f"{number / PUBLISHED:.2f}"] for how, number in counts.items()]
    heading = ["compared by", "test pictures with a twin in train", "share", "of the published count"]
    published = (
        "published: 3.3 % of the test pictures have a duplicate or near-duplicate in train (Barz and Denzler, 2020, who looked at the "
        "nearest pairs of a trained network's features; their list is not at hand, so that recall is the quotient of counts)"
    )
    cost = (
        f"hashes that differ in {MOST_BITS} of 128 bits at most; the search takes {used:.0f} processor seconds; embeddings at "
        f"{side_for(32)} pixels and their comparison {used_deep:.0f}"
    )
    seen = (
        "looked at, 24 pairs each, drawn from those with 24,000 of the training pictures: the same scene are 23 of correlations 0.95 to "
        "0.97, 21 of 0.93 to 0.95 and 15 of 0.9 to 0.93; of 0.97 and more, 96 of 96"
    )
    deep = (
        "looked at, 24 test pictures each beside the nearest of train by the network: the same scene are 24 of cosines of 0.9 and more, 21 "
        "of 0.88 to 0.9, 18 of 0.86 to 0.88, 16 of 0.84 to 0.86 and 15 of 0.82 to 0.84"
    )
    title = "CIFAR-10's test pictures in its training split, 60,000 pictures compared"
    write_sheet("check_duplicates", title, [heading, *rows], [cost, published, seen, deep])


def nearest_of_test(images: np.ndarray, count: int) -> np.ndarray:
    """The largest cosine of each picture from `count` on with those before, by the network that `check --deep` compares by."""
    embedding = Embedding(side_for(images.shape[1]), "crop")
    parts = (embedding(fit_images(images[start : start + PART], embedding.spec)) for start in range(0, len(images), PART))
    vectors = np.concatenate(list(parts))
    vectors -= vectors.mean(0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return np.concatenate([(part @ vectors[:count].T).max(1) for part in np.array_split(vectors[count:], 20)])


def labels(seeds: int) -> None:
    """Precision and recall at the number of flipped labels, of flower photos and of CIFAR-10."""
    rows = []
    for name, embedded, truth in (flowers(), cifar()):
        for share in SHARES:
            draws = [found_again(embedded, truth, share, seed) for seed in range(seeds)]
            for way in draws[0]:
                hits, flagged, flipped = zip(*(draw[way] for draw in draws), strict=True)
                n = flipped[0]
                kept = [min(n, each) for each in flagged]
                precision = f"{np.mean([hit / max(1, most) for hit, most in zip(hits, kept, strict=True)]):.2f}"
                rows.append([name, f"{share:.0%}", str(n), way, f"{np.mean(flagged):.0f}", precision, f"{np.mean(hits) / n:.2f}"])
    heading = ["data", "flipped", "labels", "suspected by", "suspected in all", "precision among the first so many", "recall among them"]
    notes = [f"means over {seeds} draws; the data's own wrong labels count as mistakes of the check"]
    write_sheet("check_labels", "Labels flipped at random, and found again", [heading, *rows], notes)


def found_again(embedded: np.ndarray, truth: np.ndarray, share: float, seed: int) -> dict[str, tuple[int, int, int]]:
    """Flipped labels among the first suspects, as many as were flipped; all suspects; flipped labels: of each way to suspect."""
    rng = np.random.default_rng(seed)
    flipped = rng.permutation(len(truth))[: round(share * len(truth))]
    given, classes = truth.copy(), int(truth.max()) + 1
    given[flipped] = (truth[flipped] + rng.integers(1, classes, len(flipped))) % classes
    folds = head_folds(given, [], range(classes), seed=seed, groups=np.arange(len(given)))
    if folds is None:
        raise SystemExit("too few pictures")
    probs = out_of_fold(embedded, given, classes, folds=folds).shares
    ways = {"confident learning": [one.place for one in suspects(probs, given)], "margin alone": by_margin(probs, given)}
    return {way: (len(set(found[: len(flipped)]) & set(flipped.tolist())), len(found), len(flipped)) for way, found in ways.items()}


def by_margin(probs: np.ndarray, labels: np.ndarray) -> list[int]:
    """The pictures whose most probable class is not their label, those with the largest difference of the two first."""
    margins = probs.max(1) - probs[np.arange(len(labels)), labels]
    order = np.argsort(-margins, kind="stable")
    return [int(place) for place in order if margins[place] > 0]


def flowers() -> tuple[str, np.ndarray, np.ndarray]:
    """The flower photos at 224 pixels."""
    embedding = Embedding(224, "crop")
    images = open_data(data_directory() / "flowers").read("train", spec=embedding.spec)
    return f"flower photos, {len(images)}", embedding(images.images), np.asarray(images.labels)


def cifar() -> tuple[str, np.ndarray, np.ndarray]:
    """Pictures of CIFAR-10's test split at 96 pixels."""
    embedding, part = Embedding(96, "crop"), open_named("cifar10").parts["test"]()
    images: Sequence[np.ndarray] = part.images(None)[:OF_CIFAR]
    return f"CIFAR-10, {OF_CIFAR:,} of test", embedding(fit_images(np.asarray(images), embedding.spec)), np.asarray(part.labels[:OF_CIFAR])


if __name__ == "__main__":
    main()
