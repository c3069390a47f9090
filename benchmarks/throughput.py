"""Training images a second beside the usual PyTorch loop and Keras: `throughput [NAME ...] [--rounds N] [--steps N] [--busy N] [--keras]`.

The usual loop: a DataLoader with two worker processes over a Dataset that transforms each picture with torchvision's v2 transforms,
float32, channels first, torch.optim.Adam. With --keras, Keras's `fit` on TensorFlow, in packages of its own that are installed once, in
float32 and, where the processor is fast in it, in bfloat16. With --busy, N other programs compute meanwhile. Each measurement is a process
of its own; the loops alternate, round after round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from peer_packages import packages_of
from sheet import spread, write_sheet

if TYPE_CHECKING:
    from striate.data.records import ImageSet
    from striate.networks.network import Network

BATCH_SIZE, LEARNING_RATE, WARMUP_STEPS = 128, 1e-3, 20
LOOPS = ("usual", "striate float32", "striate auto")
PEERS = ("keras float32", "keras bfloat16")
KERAS = "tensorflow-cpu==2.21.0"
BUSY = "import numpy\nwhile True: numpy.ones((600, 600)) @ numpy.ones((600, 600))"
GOALS = {"cifar_notes": ("cifar10", 5.0), "mnist_notes": ("mnist", 3.5), "resnet20_cifar": ("cifar10", 2.0)}  # data, ratio wanted


def main() -> None:
    """Measure in processes of their own and write the sheet; with --measure, be such a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(GOALS), metavar="NAME", help=f"of {', '.join(GOALS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150, help="updates timed in each measurement")
    parser.add_argument("--keras", action="store_true", help="also measure Keras on TensorFlow")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="programs that compute meanwhile, each on a thread")
    parser.add_argument("--measure", choices=LOOPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in GOALS]:
        parser.error(f"no goal for {', '.join(unknown)}; there is one for {', '.join(GOALS)}")
    if arguments.measure:
        print(measure(arguments.measure, arguments.names[0], arguments.steps))
        return
    loops = [*LOOPS, *(PEERS if arguments.keras else ())]
    rows = []
    with busy(arguments.busy):
        for name in arguments.names:
            speeds: dict[str, list[float]] = {loop: [] for loop in loops}
            for turn in range(arguments.rounds):
                for loop in loops:
                    speeds[loop].append(in_own_process(loop, name, arguments.steps))
                print(f"{name} round {turn + 1}: " + ", ".join(f"{loop} {speeds[loop][-1]:,.0f}" for loop in loops), flush=True)
            rows += rows_of(name, speeds)
    heading = ["network", "precision", "Striate, img/s", "beside", "img/s", "ratio", "wanted"]
    title = "Training throughput beside the usual PyTorch loop" + (" and Keras" if arguments.keras else "")
    title += f", other programs that compute meanwhile: {arguments.busy}" * bool(arguments.busy)
    name = "throughput" + "_keras" * arguments.keras + "_busy" * bool(arguments.busy)
    write_sheet(name, title, [heading, *rows], notes(arguments.rounds, arguments.steps, keras=arguments.keras))


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Context in which so many other programs compute, each on one thread."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    programs = [subprocess.Popen([sys.executable, "-c", BUSY], env=environment) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def in_own_process(loop: str, name: str, steps: int) -> float:
    """Images a second, measured by a new process."""
    if loop in PEERS:
        return of_keras(name, steps, loop.split()[1])
    command = [sys.executable, __file__, name, "--steps", str(steps), "--measure", loop]
    environment = os.environ | {"GOMP_SPINCOUNT": "10000"} if loop != "usual" else None  # as the command line sets it
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()[-1])


def of_keras(name: str, steps: int, precision: str) -> float:
    """Images a second of Keras; its network has as many parameters as ours, and the running statistics."""
    import striate
    from striate.data.sources import open_data

    file = Path("~/.cache/striate/peers").expanduser() / f"{GOALS[name][0]}.npz"
    packages = packages_of("keras", (KERAS,), dependencies=True)
    if not file.exists():
        pictures = open_data(GOALS[name][0]).read("train")
        np.savez(file, images=pictures.images, labels=pictures.labels)
    program = str(Path(__file__).parent / "peers" / "keras_training.py")
    command = [sys.executable, program, name, str(file), str(steps), str(WARMUP_STEPS), str(BATCH_SIZE), precision]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(packages)})
    found = json.loads(done.stdout.splitlines()[-1])
    net = striate.network(name, num_classes=10, in_channels=1 if GOALS[name][0] == "mnist" else 3)
    buffers = sum(tensor.numel() for key, tensor in net.build().named_buffers() if key.endswith(("running_mean", "running_var")))
    if found["parameters"] != net.params + buffers:
        raise SystemExit(f"{name}: Keras has {found['parameters']:,} numbers, we have {net.params + buffers:,}")
    return float(found["images_per_second"])


def rows_of(name: str, speeds: dict[str, list[float]]) -> list[list[str]]:
    """The rows of a network; a ratio is taken within each round."""
    pairs = [("striate float32", "usual"), ("striate auto", "usual")]
    if PEERS[0] in speeds:
        pairs += [("striate float32", PEERS[0]), ("striate auto", PEERS[0]), ("striate auto", PEERS[1])]
    rows = []
    for ours, other in pairs:
        ratios = [one / two for one, two in zip(speeds[ours], speeds[other], strict=True)]
        cell = f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
        words = "float32" if ours.endswith("float32") else "default"
        wanted = f"{GOALS[name][1]:g}" if other == "usual" else ""
        rows.append([name, words, spread(speeds[ours], ",.0f"), other, spread(speeds[other], ",.0f"), cell, wanted])
    return rows


def notes(rounds: int, steps: int, *, keras: bool) -> list[str]:
    """What the figures are."""
    return [
        "The usual loop is float32. Striate's default multiplies in bfloat16 where the processor is fast in it, else in float32.",
        f"Median (smallest to largest) of {rounds} rounds, each measurement in a process of its own.",
        f"{steps} updates of {BATCH_SIZE} pictures after {WARMUP_STEPS} that are not counted; Adam at {LEARNING_RATE:g}.",
        "The start of the workers is not counted, which favours the usual loop.",
        "CIFAR-10: random crop of 32 with padding 4, and flip. MNIST: no augmentation. Normalization in both.",
        *([f"Keras: {KERAS}, tf.data with AUTOTUNE, `fit` without XLA, which is slower; bfloat16 is its mixed_bfloat16 policy."] * keras),
    ]


# ---- a measurement


def measure(loop: str, name: str, steps: int) -> float:
    """Images a second of one loop on one network."""
    import striate
    from striate.data.sources import open_data

    pictures = open_data(GOALS[name][0]).read("train")
    height, _, channels = pictures.images.shape[1:]
    net = striate.network(name, num_classes=len(pictures.classes), in_channels=channels, input_size=height)
    if loop == "usual":
        updates = usual_loop(net, pictures, steps + WARMUP_STEPS)
    else:
        updates = striates_loop(net, pictures, steps + WARMUP_STEPS, precision=loop.split()[1])
    started = 0.0
    for step, _ in enumerate(updates, start=1):
        if step == WARMUP_STEPS:
            started = time.perf_counter()
        if step == WARMUP_STEPS + steps:
            break
    return steps * BATCH_SIZE / (time.perf_counter() - started)


def statistics_of(pictures: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel over every fiftieth picture, in [0, 1]."""
    pixels = pictures.images[::50].reshape(-1, pictures.images.shape[3]) / 255
    return tuple(pixels.mean(0).tolist()), tuple(pixels.std(0).tolist())


def usual_loop(net: Network, pictures: ImageSet, num_steps: int) -> Iterator[None]:
    """The loop of most tutorials, an update at a time."""
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import v2

    mean, std = statistics_of(pictures)
    augmentation = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()] if pictures.images.shape[3] == 3 else []
    transform = v2.Compose([v2.ToImage(), *augmentation, v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])

    class Pictures(Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return transform(pictures.images[index]), int(pictures.labels[index])

    torch.manual_seed(0)
    model = net.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    loader = DataLoader(Pictures(), BATCH_SIZE, shuffle=True, num_workers=2)
    model.train()
    done = 0
    while done < num_steps:
        for images, labels in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            done += 1
            yield
            if done == num_steps:
                break


def striates_loop(net: Network, pictures: ImageSet, num_steps: int, *, precision: str) -> Iterator[None]:
    """What `striate train` runs, an update at a time."""
    from striate.core.images import ImageSpec
    from striate.data.batches import Augmentation
    from striate.engine.settings import TrainSettings
    from striate.models.fitting import Fitting, fit_images

    channels, height, width = net.input_shape
    mean, std = statistics_of(pictures)
    fitting = Fitting(
        network=net,
        images=ImageSpec(height=height, width=width, channels=channels, mean=mean, std=std),
        classes=pictures.classes,
        settings=TrainSettings(
            steps=num_steps,
            batch_size=BATCH_SIZE,
            optimizer="adam",
            weight_decay=0.0,
            learning_rate=LEARNING_RATE,
            schedule="constant",
            warmup_epochs=0.0,
            precision=precision,  # type: ignore[arg-type]  # checked by the settings
        ),
        augmentation=Augmentation(crop_padding=4, flip=True) if channels == 3 else Augmentation(),
    )
    for event in fit_images(fitting, pictures, None).events:
        if event.row is None:
            yield


if __name__ == "__main__":
    main()
