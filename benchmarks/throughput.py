"""Training images a second beside what people would use instead: `throughput [NAME ...] [--beside PEER ...] [--rounds N] [--busy N]`.

Peers: `usual`, the loop of most tutorials, with two worker processes that transform each picture with torchvision, float32, channels
first, torch.optim.Adam; `lightning` and `fastai` around the same data; `keras`, Keras's `fit` on TensorFlow, and `keras_bfloat16` by its
mixed policy; `keras_jax`. Their packages are installed once, in folders of their own. With --busy, N other programs compute meanwhile.
Each measurement is a process of its own; the loops alternate, round after round. --quick takes a round of few updates.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from peer_packages import FASTAI, packages_of
from sheet import spread, write_sheet

if TYPE_CHECKING:
    from striate.data.records import ImageSet
    from striate.networks.network import Network

BATCH_SIZE, LEARNING_RATE, WARMUP_STEPS = 128, 1e-3, 20
OURS = {"striate float32": "float32", "striate as it comes": "auto"}
BUSY = "import numpy\nwhile True: numpy.ones((600, 600)) @ numpy.ones((600, 600))"
GOALS = {"cifar_notes": ("cifar10", 5.0), "mnist_notes": ("mnist", 3.5), "resnet20_cifar": ("cifar10", 2.0)}  # data, ratio wanted
HERE = Path(__file__).parent


class Peer(NamedTuple):
    """A program that trains in another way, and what it needs."""

    program: str
    packages: tuple[str, ...] = ()
    folder: str = ""  # of the packages
    whole: bool = True  # with what the packages depend on
    environment: tuple[tuple[str, str], ...] = ()
    more: tuple[str, ...] = ()  # arguments
    takes_file: bool = False  # a file of pictures, and no name of a set


TENSORFLOW, JAX, LIGHTNING = "tensorflow-cpu==2.21.0", "jax==0.10.2", "lightning==2.6.6"
NAMED = (TENSORFLOW, JAX, LIGHTNING, FASTAI[0])  # in the sheet
PEERS = {
    "usual": Peer("usual_training.py"),
    "lightning": Peer("lightning_training.py", (LIGHTNING, "lightning-utilities", "torchmetrics"), "lightning", whole=False),
    "fastai": Peer("fastai_training.py", FASTAI, "fastai", whole=False),
    "keras": Peer("keras_training.py", (TENSORFLOW,), "keras", more=("float32",), takes_file=True),
    "keras_bfloat16": Peer("keras_training.py", (TENSORFLOW,), "keras", more=("bfloat16",), takes_file=True),
    "keras_jax": Peer(
        *("keras_training.py", (TENSORFLOW, JAX), "keras_jax"),
        environment=(("KERAS_BACKEND", "jax"),),
        more=("float32",),
        takes_file=True,
    ),
}


class Measured(NamedTuple):
    """One measurement."""

    speed: float  # images a second
    first: float  # seconds from the start of the program to the end of the first update
    memory: float  # MiB, the most of the process, without its workers


def main() -> None:
    """Measure in processes of their own and write the sheet; with --measure, be such a process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(GOALS), metavar="NAME", help=f"of {', '.join(GOALS)}")
    parser.add_argument("--beside", nargs="+", choices=PEERS, default=["usual"], metavar="PEER", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150, help="updates timed in each measurement")
    parser.add_argument("--quick", action="store_true", help="one round of 30 updates")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="programs that compute meanwhile, each on a thread")
    parser.add_argument("--measure", choices=OURS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in GOALS]:
        parser.error(f"no goal for {', '.join(unknown)}; there is one for {', '.join(GOALS)}")
    if arguments.measure:
        measure(OURS[arguments.measure], arguments.names[0], arguments.steps)
        return
    rounds, steps = (1, 30) if arguments.quick else (arguments.rounds, arguments.steps)
    rows, more = [], []
    with busy(arguments.busy):
        for name in arguments.names:
            found: dict[str, list[Measured]] = {loop: [] for loop in (*OURS, *arguments.beside)}
            for turn in range(rounds):
                for loop, measured in found.items():
                    measured.append(in_own_process(loop, name, steps))
                said = ", ".join(f"{loop} {measured[-1].speed:,.0f}" for loop, measured in found.items())
                print(f"{name} round {turn + 1}: {said}", flush=True)
            rows += rows_of(name, found)
            more += [start_of(name, loop, measured) for loop, measured in found.items()]
    heading = ["network", "Striate", "img/s", "beside", "img/s", "ratio", "wanted"]
    title = f"Training throughput beside {', '.join(arguments.beside)}"
    title += f", other programs that compute meanwhile: {arguments.busy}" * bool(arguments.busy)
    sheet = "throughput" + "_peers" * (arguments.beside != ["usual"]) + "_busy" * bool(arguments.busy)
    write_sheet(sheet, title, [heading, *rows], [*notes(rounds, steps, arguments.beside), *more])


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


def in_own_process(loop: str, name: str, steps: int) -> Measured:
    """What a new process measures."""
    environment = dict(os.environ)
    if loop in OURS:
        command = [sys.executable, __file__, name, "--steps", str(steps), "--measure", loop]
        environment["GOMP_SPINCOUNT"] = "10000"  # as the command line sets it
    else:
        peer = PEERS[loop]
        data = str(file_of(GOALS[name][0])) if peer.takes_file else GOALS[name][0]
        numbers = (str(steps), str(WARMUP_STEPS), str(BATCH_SIZE))
        command = [sys.executable, str(HERE / "peers" / peer.program), name, data, *numbers, *peer.more]
        environment |= dict(peer.environment)
        if peer.folder:
            place = packages_of(peer.folder, peer.packages, dependencies=peer.whole)
            environment["PYTHONPATH"] = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment["STARTED"] = str(time.time())
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{loop}, {name}: {errors.read().decode()[-2000:]}")
        answer = json.loads(output.read().decode().splitlines()[-1])
    if (wanted := parameters_of(name, statistics="keras" in loop)) != answer["parameters"]:
        raise SystemExit(f"{name}: {loop} has {answer['parameters']:,} numbers, we have {wanted:,}")
    return Measured(answer["images_per_second"], answer["first_step_seconds"], usage.ru_maxrss / 1024)


def file_of(data: str) -> Path:
    """The pictures of a set as a file, for programs that do not read sets."""
    from striate.data.sources import open_data

    file = Path("~/.cache/striate/peers").expanduser() / f"{data}.npz"
    if not file.exists():
        pictures = open_data(data).read("train")
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, images=pictures.images, labels=pictures.labels)
    return file


def parameters_of(name: str, *, statistics: bool) -> int:
    """The number of parameters, with or without the running statistics."""
    import striate

    net = striate.network(name, num_classes=10, in_channels=1 if GOALS[name][0] == "mnist" else 3)
    kept = [tensor for key, tensor in net.build().named_buffers() if key.endswith(("running_mean", "running_var"))]
    return net.params + sum(tensor.numel() for tensor in kept) * statistics


def rows_of(name: str, found: dict[str, list[Measured]]) -> list[list[str]]:
    """The rows of a network; a ratio is taken within each round."""
    rows = []
    for other in (loop for loop in found if loop not in OURS):
        for ours in OURS:
            if other.endswith("bfloat16") and ours.endswith("float32"):
                continue
            speeds = [[one.speed for one in found[loop]] for loop in (ours, other)]
            ratios = [one / two for one, two in zip(*speeds, strict=True)]
            cell = f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"
            wanted = f"{GOALS[name][1]:g}" if other == "usual" and not ours.endswith("float32") else ""
            rows.append([name, ours.removeprefix("striate "), spread(speeds[0], ",.0f"), other, spread(speeds[1], ",.0f"), cell, wanted])
    return rows


def start_of(name: str, loop: str, measured: list[Measured]) -> str:
    """The first update, and the memory."""
    first, memory = (statistics.median(values) for values in ([one.first for one in measured], [one.memory for one in measured]))
    return f"{name}, {loop}: first update after {first:.1f} s, {memory:,.0f} MiB"


def notes(rounds: int, steps: int, beside: Sequence[str]) -> list[str]:
    """What the figures are."""
    packages = sorted({package for peer in beside for package in PEERS[peer].packages if package in NAMED})
    return [
        "Striate as it comes multiplies in bfloat16 where the processor is fast in it, else in float32.",
        f"Median (smallest to largest) of {rounds} rounds, each measurement in a process of its own.",
        f"{steps} updates of {BATCH_SIZE} pictures after {WARMUP_STEPS} that are not counted; Adam at {LEARNING_RATE:g}.",
        "The start of worker processes is not counted in images a second, and their memory is not, which favours the peers.",
        "CIFAR-10: random crop of 32 with padding 4, and flip. MNIST: no augmentation. Normalization in both.",
        *([f"{', '.join(packages)}; Keras with tf.data and AUTOTUNE, on TensorFlow without XLA, which is slower."] if packages else []),
    ]


# ---- a measurement of ours


def measure(precision: str, name: str, steps: int) -> None:
    """Print what `striate train` reaches on one network, as the peers' programs do."""
    import striate
    from striate.data.sources import open_data

    pictures = open_data(GOALS[name][0]).read("train")
    height, _, channels = pictures.images.shape[1:]
    net = striate.network(name, num_classes=len(pictures.classes), in_channels=channels, input_size=height)
    times: list[float] = []
    first = 0.0
    for _ in striates_loop(net, pictures, steps + WARMUP_STEPS, precision=precision):
        times.append(time.perf_counter())
        first = first or time.time() - float(os.environ["STARTED"])
        if len(times) == WARMUP_STEPS + steps:
            break
    speed = steps * BATCH_SIZE / (times[-1] - times[WARMUP_STEPS - 1])
    print(json.dumps({"parameters": net.params, "images_per_second": speed, "first_step_seconds": first}))


def statistics_of(pictures: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel over every fiftieth picture, in [0, 1]."""
    pixels = pictures.images[::50].reshape(-1, pictures.images.shape[3]) / 255
    return tuple(pixels.mean(0).tolist()), tuple(pixels.std(0).tolist())


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
