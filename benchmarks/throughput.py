"""Training images a second beside what people would use instead: `throughput [NAME ...] [--beside PEER ...] [--rounds N] [--busy N]`.

Peers: `usual`, the loop of most tutorials, with two worker processes that transform each picture with torchvision, float32, channels
first, torch.optim.Adam; `tuned` and `tuned_bfloat16`, a loop on PyTorch tuned by hand; `timm`, `lightning` and `fastai`; `keras`, Keras's
`fit` on TensorFlow, and `keras_bfloat16` by its mixed policy; `keras_jax`. Their packages are installed once, in folders of their own.
`resnet18` reads a folder of JPEG files, made of those in --photos. With --busy, N other programs compute meanwhile. Each measurement is a
process of its own; the loops alternate, round after round. --quick takes a round of few updates.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
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
from sheet import Sheet, spread, write_sheet

if TYPE_CHECKING:
    from collections.abc import Callable

    from striate.networks.network import Network

LEARNING_RATE = 1e-3
ROUNDS, STEPS, QUICK_STEPS = 5, 150, 8
PHOTO_STEPS = 5  # updates of a small network for one on photos
AREA = (0.35, 1.0)  # of a photo that is cut out
BUSY = "import numpy\nwhile True: numpy.ones((600, 600)) @ numpy.ones((600, 600))"
HERE = Path(__file__).parent


class Workload(NamedTuple):
    """What a network is trained on, and the ratios wanted."""

    data: str  # a named set, or photos
    beside_usual: float | None  # as it comes
    beside_best: tuple[float, float]  # of the peers in float32, ours too: on a processor with AVX-512, and without
    batch_size: int = 128
    warmup: int = 20  # updates that are not counted, at most
    copies: int = 0  # of each photo, with another quality

    def steps(self, steps: int) -> int:
        """Updates that are counted, for so many of a small network."""
        return max(3, steps // PHOTO_STEPS) if self.copies else steps

    def uncounted(self, steps: int) -> int:
        """Updates before those that are counted."""
        return min(self.warmup, steps)


BEST_BFLOAT16 = 1.5  # ratio wanted beside the best peer in bfloat16, where the processor is fast in it
WORKLOADS = {
    "cifar_notes": Workload("cifar10", 5.0, (1.3, 2.0)),
    "mnist_notes": Workload("mnist", 3.5, (1.3, 2.0)),
    "resnet20_cifar": Workload("cifar10", 2.0, (1.3, 2.0)),
    "resnet18": Workload("photos", None, (1.15, 1.15), batch_size=32, warmup=3, copies=2),
}


class Peer(NamedTuple):
    """A program that trains in another way, and what it needs."""

    program: str
    packages: tuple[str, ...] = ()
    folder: str = ""  # of the packages
    whole: bool = True  # with what the packages depend on
    environment: tuple[tuple[str, str], ...] = ()
    more: tuple[str, ...] = ()  # arguments
    takes_file: bool = False  # a file of pictures, and no name of a set
    takes_photos: bool = True


TENSORFLOW, JAX, LIGHTNING = "tensorflow-cpu==2.21.0", "jax==0.10.2", "lightning==2.6.6"
NAMED = (TENSORFLOW, JAX, LIGHTNING, FASTAI[0])  # in the sheet
AS_OURS = (("GOMP_SPINCOUNT", "10000"), ("STRIATE_CACHE_SIZE", "0"))  # as the command line sets it; and no decoded photos are kept
OURS = {
    "striate float32": Peer("striate_training.py", environment=AS_OURS, more=("float32",)),
    "striate as it comes": Peer("striate_training.py", environment=AS_OURS, more=("auto",)),
}
KEEPS_MEMORY = (("MALLOC_MMAP_MAX_", "0"), ("MALLOC_TRIM_THRESHOLD_", str(2**31 - 1)), ("MALLOC_TOP_PAD_", str(2**28)))  # of glibc
PEERS = {
    "usual": Peer("usual_training.py"),
    "tuned": Peer("tuned_training.py", environment=KEEPS_MEMORY, more=("float32",)),
    "tuned_bfloat16": Peer("tuned_training.py", environment=KEEPS_MEMORY, more=("bfloat16",)),
    "timm": Peer("timm_training.py"),
    "lightning": Peer("lightning_training.py", (LIGHTNING, "lightning-utilities", "torchmetrics"), "lightning", whole=False),
    "fastai": Peer("fastai_training.py", FASTAI, "fastai", whole=False),
    "keras": Peer("keras_training.py", (TENSORFLOW,), "keras", more=("float32",), takes_file=True),
    "keras_bfloat16": Peer("keras_training.py", (TENSORFLOW,), "keras", more=("bfloat16",), takes_file=True),
    "keras_jax": Peer(
        *("keras_training.py", (TENSORFLOW, JAX), "keras_jax"),
        environment=(("KERAS_BACKEND", "jax"),),
        more=("float32",),
        takes_file=True,
        takes_photos=False,  # a minute and more until the first update
    ),
}


class Measured(NamedTuple):
    """One measurement."""

    speed: float  # images a second
    first: float  # seconds from the start of the program to the end of the first update
    memory: float  # MiB, the most of the process, without its workers


def main() -> None:
    """Measure and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(WORKLOADS), metavar="NAME", help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--beside", nargs="+", choices=PEERS, default=["usual"], metavar="PEER", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"updates timed in each measurement; of photos, a part in {PHOTO_STEPS}")
    parser.add_argument("--quick", action="store_true", help=f"one round of {QUICK_STEPS} updates")
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="programs that compute meanwhile, each on a thread")
    parser.add_argument("--photos", type=Path, help="folder of folders of JPEG files [default: flowers among the named sets]")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in WORKLOADS]:
        parser.error(f"no goal for {', '.join(unknown)}; there is one for {', '.join(WORKLOADS)}")
    rounds, steps = (1, QUICK_STEPS) if arguments.quick else (arguments.rounds, arguments.steps)
    try:
        photos = photos_of(arguments.photos) if any(WORKLOADS[name].copies for name in arguments.names) else Path()
    except FileNotFoundError as error:
        parser.error(str(error))
    write_sheet(*throughput(arguments.names, arguments.beside, rounds=rounds, steps=steps, num_busy=arguments.busy, photos=photos))


def photos_of(folder: Path | None) -> Path:
    """The folder of photos: the one that is named, or the flowers among the named sets.

    Raises:
        FileNotFoundError: it holds no JPEG files in folders; says what to do.
    """
    from striate.data.packing import data_directory

    folder = folder or data_directory() / "flowers"
    if not any(folder.glob("*/*.jp*g")):
        raise FileNotFoundError(f"no folder of JPEG files for each class in {folder}; name one by --photos")
    return folder


def throughput(names: Sequence[str], beside: Sequence[str], *, rounds: int, steps: int, num_busy: int, photos: Path) -> Sheet:
    """What the loops reach, in turn and round after round."""
    from files import copied

    rows, more = [], []
    peaks = {"float32": 0.0, "bfloat16": 0.0}
    with busy(num_busy), tempfile.TemporaryDirectory() as place:
        for name in names:
            loops = [peer for peer in beside if PEERS[peer].takes_photos or not WORKLOADS[name].copies]
            found: dict[str, list[Measured]] = {loop: [] for loop in (*OURS, *loops)}
            folder = Path(place) / name
            if WORKLOADS[name].copies:
                copied(photos, folder, WORKLOADS[name].copies)
            for turn in range(rounds):
                peaks = {precision: max(peak, peak_of(precision)) for precision, peak in peaks.items()}
                for loop, measured in found.items():
                    measured.append(in_own_process(loop, name, folder, steps))
                said = ", ".join(f"{loop} {measured[-1].speed:,.0f}" for loop, measured in found.items())
                print(f"{name} round {turn + 1}: {said}", flush=True)
            rows += rows_of(name, found, peaks)
            more += [start_of(name, loop, measured) for loop, measured in found.items()]
    heading = ["network", "Striate", "img/s", "beside", "img/s", "ratio", "wanted", "shares of the peak"]
    title = f"Training throughput beside {', '.join(beside)}"
    title += f", other programs that compute meanwhile: {num_busy}" * bool(num_busy)
    sheet = "throughput" + "_peers" * (list(beside) != ["usual"]) + "_busy" * bool(num_busy)
    return Sheet(sheet, title, [heading, *rows], [*notes(names, beside, rounds, steps, peaks), *more])


def peak_of(precision: str) -> float:
    """FLOPs a second of the fastest of some matrix products and a convolution; 0 where the processor only emulates the precision."""
    import torch

    from striate.core.devices import is_bfloat16_fast
    from striate.insight.profile.machine import measure_machine

    device = torch.device("cpu")
    if precision == "bfloat16" and not is_bfloat16_fast(device):
        return 0.0
    return measure_machine(device, getattr(torch, precision)).flops_per_second


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


def in_own_process(loop: str, name: str, folder: Path, steps: int) -> Measured:
    """What a new process measures; `folder` holds the photos, where the network is trained on some."""
    work, program = WORKLOADS[name], {**OURS, **PEERS}[loop]
    data = str(folder) if work.copies else str(file_of(work.data)) if program.takes_file else work.data
    numbers = (str(work.steps(steps)), str(work.uncounted(steps)), str(work.batch_size))
    command = [sys.executable, "-W", "ignore", str(HERE / "peers" / program.program), name, data, *numbers, *program.more]
    environment = os.environ | dict(program.environment)
    if program.folder:
        place = packages_of(program.folder, program.packages, dependencies=program.whole)
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
    classes = len(list(folder.iterdir())) if work.copies else 10
    if (wanted := parameters_of(name, classes, statistics="keras" in loop)) != answer["parameters"]:
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


def network_of(name: str, classes: int = 10) -> Network:
    """The network, of its usual input size."""
    import striate

    return striate.network(name, num_classes=classes, in_channels=1 if WORKLOADS[name].data == "mnist" else 3)


def parameters_of(name: str, classes: int, *, statistics: bool) -> int:
    """The number of parameters, with or without the running statistics."""
    net = network_of(name, classes)
    kept = [tensor for key, tensor in net.build().named_buffers() if key.endswith(("running_mean", "running_var"))]
    return net.params + sum(tensor.numel() for tensor in kept) * statistics


def training_flops(name: str) -> int:
    """FLOPs to train on one picture: forward, and both gradients of each layer but the first, which needs none of its input."""
    macs = [row.cost.macs for row in network_of(name).rows]
    return 2 * (3 * sum(macs) - next(filter(None, macs)))


def rows_of(name: str, found: dict[str, list[Measured]], peaks: dict[str, float]) -> list[list[str]]:
    """The rows of a network; a ratio is taken within each round."""
    wide, halves = has_avx512(), bool(peaks["bfloat16"])
    work, flops = WORKLOADS[name], training_flops(name)
    median: Callable[[str], float] = lambda loop: statistics.median(one.speed for one in found[loop])  # noqa: E731
    peers = [loop for loop in found if loop not in OURS]
    best = {kind: max([peer for peer in peers if in_halves(peer) == kind], key=median, default="") for kind in (False, True)}
    rows = []
    for other in peers:
        for ours in OURS:
            if in_halves(other) and ours.endswith("float32"):
                continue
            as_is = not ours.endswith("float32")
            speeds = [[one.speed for one in found[loop]] for loop in (ours, other)]
            wanted = ""
            if other == "usual" and as_is and work.beside_usual:
                wanted = f"{work.beside_usual:g}"
            elif other == best[False] and not as_is:
                wanted = f"{work.beside_best[0 if wide else 1]:g}, the best in float32"
            elif other == best[True] and halves:
                wanted = f"{BEST_BFLOAT16:g}, the best in bfloat16"
            kinds = (as_is and halves, in_halves(other))
            shares = [
                statistics.median(each) * flops / peak if (peak := peaks["bfloat16" if half else "float32"]) else 0.0
                for each, half in zip(speeds, kinds, strict=True)
            ]
            rows.append(
                [
                    *(name, ours.removeprefix("striate "), spread(speeds[0], ",.0f"), other, spread(speeds[1], ",.0f")),
                    *(ratio(*speeds), wanted, f"{shares[0]:.0%}, {shares[1]:.0%}"),
                ]
            )
    return rows


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The ratios within rounds."""
    ratios = [one / two for one, two in zip(ours, theirs, strict=True)]
    return f"**{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f})"


def in_halves(peer: str) -> bool:
    """Return whether a peer multiplies in bfloat16."""
    return peer.endswith("bfloat16")


def has_avx512() -> bool:
    """Return whether the processor computes 16 numbers at a time."""
    import torch

    return "AVX512" in torch.backends.cpu.get_cpu_capability()


def start_of(name: str, loop: str, measured: list[Measured]) -> str:
    """The first update, and the memory."""
    first, memory = (statistics.median(values) for values in ([one.first for one in measured], [one.memory for one in measured]))
    return f"{name}, {loop}: first update after {first:.1f} s, {memory:,.0f} MiB"


def notes(names: Sequence[str], beside: Sequence[str], rounds: int, steps: int, peaks: dict[str, float]) -> list[str]:
    """What the figures are."""
    packages = sorted({package for peer in beside for package in PEERS[peer].packages if package in NAMED})
    timm = [f"timm=={importlib.metadata.version('timm')}"] * ("timm" in beside)
    of_photos: list[str] = []
    small = WORKLOADS["cifar_notes"].uncounted(steps)
    for work in (WORKLOADS[name] for name in names if WORKLOADS[name].copies):
        of_photos += [
            f"Photos: {work.steps(steps)} updates of {work.batch_size} after {work.uncounted(steps)}, from JPEG files.",
            f"Each photo is there {work.copies} times with another quality; pieces of {AREA[0]:.0%} and more of the area, and flip.",
            "Striate decodes all photos before the first update, which counts there, and cuts the pieces out of 224 x 224.",
            "The peers decode the photos anew in each epoch.",
        ]
    return [
        "Striate as it comes multiplies in bfloat16 where the processor is fast in it, else in float32.",
        f"Median (smallest to largest) of {rounds} rounds, each measurement in a process of its own.",
        f"{steps} updates of 128 pictures after {small} that are not counted; Adam at {LEARNING_RATE:g}.",
        *of_photos,
        "The start of worker processes is not counted in images a second, and their memory is not, which favours the peers.",
        "CIFAR-10: random crop of 32 with padding 4, and flip. MNIST: no augmentation. Normalization in both.",
        "Shares of the peak: Striate's and the other's, of "
        + " and ".join(f"{peak / 1e9:,.0f} GFLOP/s in {precision}" for precision, peak in peaks.items() if peak)
        + ", the most of some matrix products and a convolution; a network takes two FLOPs a MAC, three times, less the input's gradient.",
        *(
            [f"{', '.join([*packages, *timm])}; Keras with tf.data and AUTOTUNE, on TensorFlow without XLA, which is slower."]
            if packages
            else timm
        ),
    ]


if __name__ == "__main__":
    main()
