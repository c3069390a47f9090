"""Striate beside what people would use instead, question after question: `peers [QUESTION ...] [--quick]`.

Questions: `training`, updates of a training; `files`, epochs from JPEG files; `answers`; `start`, of commands; `classical` estimators and
`boltzmann` machines, beside scikit-learn's among others. Each is a benchmark of its own, and its sheet has ratios with their spread; that
of trainings has the time to the first update, memory and shares of the measured peak too. --quick takes a round or two of little work,
all in 10 minutes on two quiet cores, and writes the sheets to build/bench.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sheet import RESULTS, Sheet, write_sheet

QUICK_RESULTS = Path(__file__).parents[1] / "build" / "bench"


class Question(NamedTuple):
    """A benchmark with all of its work, and with little of it; each is given the folder of photos."""

    full: Callable[[Path], Sheet]
    quick: Callable[[Path], Sheet]


def questions() -> dict[str, Question]:
    """By their names, in the order in which they are asked."""
    from classic import classic
    from classic_rbm import classic_rbm
    from files import files
    from inference import NETWORKS, answers
    from startup import startup
    from throughput import PEERS, QUICK_STEPS, ROUNDS, STEPS, WORKLOADS, throughput

    networks = NETWORKS.split(",")
    everything = (tuple(WORKLOADS), tuple(PEERS))
    return {
        "training": Question(
            lambda photos: throughput(*everything, rounds=ROUNDS, steps=STEPS, num_busy=0, photos=photos),
            lambda photos: throughput(*everything, rounds=1, steps=QUICK_STEPS, num_busy=0, photos=photos),
        ),
        "files": Question(lambda photos: files(photos, copies=5, rounds=5), lambda photos: files(photos, copies=1, rounds=2)),
        "answers": Question(lambda _: answers(networks, rounds=5), lambda _: answers(networks[:1], rounds=2)),
        "start": Question(lambda _: startup(runs=7), lambda _: startup(runs=1)),
        "classical": Question(lambda _: classic(("som", "mlp", "art", "hopfield"), rounds=7), lambda _: classic(("mlp",), rounds=1)),
        "boltzmann": Question(lambda _: classic_rbm(("digits", "mnist"), rounds=5), lambda _: classic_rbm(("digits",), rounds=1)),
    }


def main() -> None:
    """Ask the questions, and write the sheet of each."""
    from throughput import photos_of

    asked = questions()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(asked), metavar="QUESTION", help=f"of {', '.join(asked)}")
    parser.add_argument("--quick", action="store_true", help="little work, 10 minutes in all; sheets in build/bench")
    parser.add_argument("--photos", type=Path, help="folder of folders of JPEG files [default: flowers among the named sets]")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in asked]:
        parser.error(f"there is no question {', '.join(unknown)}; there are {', '.join(asked)}")
    try:
        photos = photos_of(arguments.photos) if {"training", "files"} & set(arguments.names) else Path()
    except FileNotFoundError as error:
        parser.error(str(error))
    for name in arguments.names:
        started = time.perf_counter()
        question = asked[name]
        sheet = (question.quick if arguments.quick else question.full)(photos)
        write_sheet(*sheet, folder=QUICK_RESULTS if arguments.quick else RESULTS)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
