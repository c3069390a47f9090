"""Damage each file of a run folder in many ways, ask each verb, and count: refused, said, answered as before; never a crash or a hang.

damage [--damages N] [--checkpoints N] [--seed N] [--json]

A damage is one file of a copy of a small run, changed in one way, and one verb on it. The verbs run one after the other in a process of
their own for each 50 damages, as from the command line. Pictures are not drawn, to be quick. With --json, print the counts only.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from sheet import write_sheet

BATCH = 50  # damages a process
SECONDS = 60  # that a verb may take
MOST_BYTES = 2 * 2**30  # of memory, above that of the first answers
VERBS: dict[str, list[str]] = {
    "show": ["show", "RUN"],
    "evaluate": ["evaluate", "RUN", "--split", "val"],
    "predict": ["predict", "RUN", "PICTURE"],
    "explain": ["explain", "RUN", "-n", "2"],
    "attack": ["attack", "RUN", "--attack", "fgsm", "--images", "8"],
    "calibrate": ["calibrate", "RUN"],
    "compare": ["compare", "RUN", "WHOLE"],
    "profile": ["profile", "RUN", "--no-measure"],
    "lesion": ["ablate", "RUN", "--lesion", "--images", "8"],
    "diagnose": ["diagnose", "RUN"],
    "report": ["report", "RUN", "--no-measure"],
    "repro": ["repro", "RUN"],
    "resume": ["train", "--resume", "RUN", "--epochs", "+1"],
}
CHANGING = ("seconds", "images_per_second", "latency", "num_bytes", "bytes", "memory", "time", "params_per")  # parts of fields' names


def main() -> None:
    """Damage, count, write the sheet; with --work, be the process of one batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--damages", type=int, default=1200)
    parser.add_argument("--checkpoints", type=int, default=389, help="damages of checkpoints, each gone on from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        worked(asked.work)
        return
    with tempfile.TemporaryDirectory(prefix="damage-") as name:
        base = Path(name)
        prepare(base)
        chance = random.Random(asked.seed)
        found, saved = (
            outcomes(base / kind, cases, asked.jobs, program=__file__, good=GOOD, named=in_words)
            for kind, cases in (
                ("runs", chosen(base, chance, asked.damages)),
                ("checkpoints", chosen_checkpoints(base, chance, asked.checkpoints)),
            )
        )
    if asked.json:
        print(json.dumps({"runs": Counter(one["outcome"] for one in found), "checkpoints": Counter(one["outcome"] for one in saved)}))
        return
    write_sheet("damage", "Damaged files of a run folder, asked of every verb", table(found, saved), notes(found, saved))


def prepare(base: Path) -> None:
    """A data set, a picture, and a run of two epochs whose test split was opened once."""
    from PIL import Image

    values = np.random.default_rng(0)
    labels = values.integers(0, 3, 90)
    images = (values.integers(0, 150, (90, 16, 16)) + 50 * labels[:, None, None]).astype(np.uint8)
    np.savez(base / "data.npz", x_train=images[:60], y_train=labels[:60], x_test=images[60:], y_test=labels[60:])
    Image.fromarray(images[0]).save(base / "picture.png")
    flags = ["--model", "lenet5", "--img-size", "32", "--epochs", "2", "--checkpoint-every", "3", "--batch-size", "16", "--device", "cpu"]
    for words in (
        ["train", str(base / "data.npz"), *flags, "--output", str(base / "run")],
        ["evaluate", str(base / "run"), "--split", "test"],
    ):
        subprocess.run(["striate", *words], check=True, capture_output=True, cwd=base)
    shutil.rmtree(base / "run" / "report" / "evaluate-test", ignore_errors=True)


# ---- damages


def in_bytes(change: Callable[[random.Random, bytes], bytes]) -> Callable[[random.Random, Path], None]:
    """A damage of a file's bytes."""

    def damage(chance: random.Random, path: Path) -> None:
        path.write_bytes(change(chance, path.read_bytes()))

    return damage


def flipped(chance: random.Random, data: bytes) -> bytes:
    """Another byte somewhere."""
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def spliced(piece: bytes) -> Callable[[random.Random, bytes], bytes]:
    """`piece` in place of a value: a number, a word or a list after `: `, `,` or a line's begin."""

    def change(chance: random.Random, data: bytes) -> bytes:
        starts = [place + 1 for place, byte in enumerate(data) if byte in b" ,["]
        start = chance.choice(starts or [0])
        ends = [place for place in (data.find(byte, start) for byte in (b",", b"\n", b"}", b"]")) if place >= 0]
        return data[:start] + piece + data[min(ends, default=len(data)) :]

    return change


def without_line(chance: random.Random, data: bytes) -> bytes:
    """One line less."""
    lines = data.splitlines(keepends=True)
    del lines[chance.randrange(len(lines))]
    return b"".join(lines)


def twice_a_line(chance: random.Random, data: bytes) -> bytes:
    """One line twice."""
    lines = data.splitlines(keepends=True)
    lines.insert(place := chance.randrange(len(lines)), lines[place])
    return b"".join(lines)


def piped(_chance: random.Random, path: Path) -> None:
    """A pipe, which nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def linked(target: str) -> Callable[[random.Random, Path], None]:
    """A link to `target`."""

    def damage(_chance: random.Random, path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return damage


def a_folder(_chance: random.Random, path: Path) -> None:
    """A folder of its name."""
    path.unlink()
    path.mkdir()


def enlarged(_chance: random.Random, path: Path) -> None:
    """With a hole of 70 GB at its end, which takes no room on the disk."""
    with path.open("ab") as file:
        file.truncate(70 * 10**9)


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9))
DAMAGES: dict[str, Callable[[random.Random, Path], None]] = {
    "missing": lambda _, path: path.unlink(),
    "empty": in_bytes(lambda *_: b""),
    "cut": in_bytes(lambda chance, data: data[: chance.randrange(len(data))]),
    "a bit": in_bytes(flipped),
    "eight bits": in_bytes(lambda chance, data: functools.reduce(lambda held, _: flipped(chance, held), range(8), data)),
    "other bytes": in_bytes(lambda chance, data: chance.randbytes(len(data))),
    "no UTF-8 at the end": in_bytes(lambda _, data: data + b"\xff\n"),
    "a byte-order mark": in_bytes(lambda _, data: b"\xef\xbb\xbf" + data),
    "zero bytes": in_bytes(lambda _, data: bytes(len(data))),
    "100,000 levels": in_bytes(lambda *_: b"[" * 100_000),
    "100,000 levels inside": in_bytes(spliced(b"[" * 100_000)),
    "6,000 digits": in_bytes(spliced(b"9" * 6000)),
    "1e29": in_bytes(spliced(b"1.0e+29")),
    "NaN": in_bytes(spliced(b"NaN")),
    "-1": in_bytes(spliced(b"-1")),
    "null": in_bytes(spliced(b"null")),
    "a word": in_bytes(spliced(b"x")),
    "a list": in_bytes(spliced(b"[1]")),
    "month 13": in_bytes(spliced(b"2001-13-01")),
    "a line less": in_bytes(without_line),
    "a line twice": in_bytes(twice_a_line),
    "a bomb of aliases": in_bytes(lambda _, data: data + BOMB),
    "a pipe": piped,
    "a device": linked("/dev/zero"),
    "a link in a circle": lambda chance, path: linked(path.name)(chance, path),
    "a folder": a_folder,
    "70 GB": enlarged,
}


def chosen(base: Path, chance: random.Random, count: int) -> list[dict[str, Any]]:
    """So many damages of the files beside the checkpoints: each file with each verb, and each damage, about equally often."""
    names = sorted(path.name for path in (base / "run").iterdir() if path.is_file() and path.name != "run.lock")
    pairs = [(name, verb) for name in names for verb in VERBS]
    cases: list[dict[str, Any]] = []
    while len(cases) < count:
        chance.shuffle(pairs)
        kinds: list[str] = []
        for name, verb in pairs:
            kinds = kinds or chance.sample(list(DAMAGES), len(DAMAGES))
            cases.append({"file": name, "verb": verb, "damage": kinds.pop(), "seed": chance.randrange(2**32)})
    return cases[:count]


def chosen_checkpoints(base: Path, chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Damages of files of the newest checkpoint, or of the file that names it, each gone on from."""
    newest = (base / "run" / "checkpoints" / "latest").read_text().strip()
    names = [
        "checkpoints/latest",
        *(f"checkpoints/{newest}/{path.name}" for path in sorted((base / "run" / "checkpoints" / newest).iterdir())),
    ]
    kinds = [kind for kind in DAMAGES if kind != "70 GB"]
    return [
        {"file": names[turn % len(names)], "verb": "resume", "damage": chance.choice(kinds), "seed": chance.randrange(2**32)}
        for turn in range(count)
    ]


# ---- one process: some damages


def worked(batch: Path) -> None:
    """Go through the cases of a batch, and append an outcome a line as it is known."""
    os.environ["MPLBACKEND"] = "agg"
    from matplotlib.figure import Figure

    Figure.savefig = lambda _figure, target, **_: target.write(b"\x89PNG")  # type: ignore[method-assign,assignment]
    base, cases = batch.parent, json.loads(batch.read_text())
    wanted: dict[str, Any] = {}
    whole = Asked(base, batch.with_suffix(".runs"))
    for verb in dict.fromkeys(case["verb"] for case in cases):
        wanted[verb] = whole.answer(verb, lambda _folder: None, seconds=10 * SECONDS)
        if wanted[verb][0] != 0:
            raise SystemExit(f"{verb} of the undamaged run ended with {wanted[verb][0]}: {wanted[verb][2]}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with batch.with_suffix(".out").open("a") as out:
        for case in cases:
            started = time.monotonic()
            code, answer, said = whole.answer(case["verb"], functools.partial(damaged, case))
            grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            name = Path(case["file"]).name
            outcome = judged(code, answer == wanted[case["verb"]][1], name in said or "damaged" in said, grown)
            record = {**case, "code": code, "outcome": outcome, "seconds": time.monotonic() - started, "grown": grown, "said": said[-400:]}
            out.write(json.dumps(record) + "\n")
            out.flush()
            if outcome in ("hung", "too much memory"):
                return  # the next process goes on after it


def damaged(case: dict[str, Any], folder: Path) -> None:
    """Damage the file of the case."""
    with contextlib.suppress(FileNotFoundError):
        DAMAGES[case["damage"]](random.Random(case["seed"]), folder / case["file"])


def judged(code: int, equal: bool, said: bool, grown: int) -> str:
    """What came of it, in a word."""
    if code == -signal.SIGALRM:
        return "hung"
    if grown > MOST_BYTES:
        return "too much memory"
    if code == 7:
        return "refused"
    if code == 0:
        return "equal" if equal else "other, said" if said else "other, not said"
    if code == 70:
        return "crashed"
    return "another error, said" if said else "another error, not said"


class Hung(BaseException):
    """A verb took too long."""


class Asked:
    """Asks verbs of copies of the run, in this process."""

    def __init__(self, base: Path, place: Path) -> None:
        from striate.apps.cli import main as command_line

        self.base, self.place, self.command_line = base, place, command_line
        signal.signal(signal.SIGALRM, self._hang)

    def _hang(self, *_: object) -> None:
        raise Hung

    def answer(self, verb: str, damage: Callable[[Path], None], *, seconds: int = SECONDS) -> tuple[int, Any, str]:
        """Exit code, what was printed without what changes, and what was said, on a fresh copy that `damage` damaged."""
        for path in self.place.glob("*/run"):
            shutil.rmtree(path)
        folder = self.place / str(time.monotonic_ns()) / "run"
        shutil.copytree(self.base / "run", folder)
        damage(folder)
        places = {"RUN": str(folder), "PICTURE": str(self.base / "picture.png"), "WHOLE": str(self.base / "run")}
        code, out, err = self.asked([places.get(word, word) for word in VERBS[verb]], seconds)
        with contextlib.suppress(ValueError):
            return code, steady(json.loads(out), str(folder)), err
        return code, out.replace(str(folder), "RUN"), err

    def asked(self, words: list[str], seconds: int) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command line."""
        sys.argv = ["striate", *words, "--json"]
        kept = [os.dup(number) for number in (1, 2)]
        code: object = 0
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            signal.alarm(seconds)
            try:
                self.command_line()
            except SystemExit as end:
                code = end.code or 0
            except Hung:
                code = -signal.SIGALRM
            except BaseException as error:  # noqa: BLE001  # it would be a traceback
                code = 70
                sys.stderr.write(repr(error))
            finally:
                signal.alarm(0)
                for stream in (sys.stdout, sys.stderr):
                    stream.flush()
                for number, old in zip((1, 2), kept, strict=True):
                    os.dup2(old, number)
                    os.close(old)
            out.seek(0)
            err.seek(0)
            return int(str(code)), out.read().decode(errors="replace"), err.read().decode(errors="replace")


def steady(data: Any, folder: str) -> Any:
    """The same without times, sizes and the name of the folder."""
    if isinstance(data, dict):
        return {name: steady(value, folder) for name, value in data.items() if not any(part in name for part in CHANGING)}
    if isinstance(data, list):
        return [steady(value, folder) for value in data]
    return data.replace(folder, "RUN") if isinstance(data, str) else data


# ---- counts


def in_words(one: dict[str, Any]) -> str:
    """The case of an outcome."""
    return f"{one['file']} {one['damage']} {one['verb']} seed {one['seed']}"


def outcomes(
    place: Path, cases: list[dict[str, Any]], jobs: int, *, program: str, good: Sequence[str], named: Callable[[dict[str, Any]], str]
) -> list[dict[str, Any]]:
    """What came of each case, in batches of which `jobs` are under way at a time, in files beside `place`.

    `python program --work BATCH.json` goes through a batch and appends an outcome a line to BATCH.out. Where an outcome is none of the
    `good` ones, the case is `named` on stderr.
    """
    batches = [(place.with_name(f"{place.name}-{start}"), cases[start : start + BATCH]) for start in range(0, len(cases), BATCH)]
    with ThreadPoolExecutor(jobs) as pool:
        found = [one for some in pool.map(lambda batch: outcomes_of(program, *batch), batches) for one in some]
    for one in found:
        if one["outcome"] not in good:
            sys.stderr.write(f"{named(one)}: {one['outcome']}: {one['said']}\n")
    return found


def outcomes_of(program: str, place: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What came of each case of a batch; a new process goes on after a hang or a crash of the process."""
    found: list[dict[str, Any]] = []
    while len(found) < len(cases):
        batch = place.with_name(f"{place.name}-{len(found)}.json")
        batch.write_text(json.dumps(cases[len(found) :]))
        run = subprocess.run([sys.executable, program, "--work", str(batch)], capture_output=True, text=True, check=False)
        out = batch.with_suffix(".out")
        found += [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
        if run.returncode and len(found) < len(cases):
            said = run.stderr[-400:]
            found.append({**cases[len(found)], "code": run.returncode, "outcome": "crashed", "seconds": 0, "grown": 0, "said": said})
        shutil.rmtree(batch.with_suffix(".runs"), ignore_errors=True)
    sys.stderr.write(f"{place.name}: {len(found)}\n")
    return found


GOOD = ("refused", "equal", "other, said", "another error, said")


def table(found: list[dict[str, Any]], saved: list[dict[str, Any]]) -> list[list[str]]:
    """A row a file."""
    heading = ["file", "damages", "refused (7)", "answer as before", "said", "crash, hang, over 2 GB or silent", "as wanted"]
    names = sorted({one["file"] for one in found})
    rows = [row_of(name, [one for one in found if one["file"] == name]) for name in names]
    rows.append(row_of("**all files beside the checkpoints**", found))
    if saved:
        rows.append(row_of("newest checkpoint, `--resume`", saved))
    return [heading, *rows]


def row_of(name: str, some: list[dict[str, Any]]) -> list[str]:
    """The counts of some outcomes."""
    counts = Counter(one["outcome"] for one in some)
    good = sum(counts[kind] for kind in GOOD)
    said = counts["other, said"] + counts["another error, said"]
    cells = [name, str(len(some)), str(counts["refused"]), str(counts["equal"]), str(said), str(len(some) - good)]
    return [*cells, f"{good}/{len(some)}"]


def notes(found: list[dict[str, Any]], saved: list[dict[str, Any]]) -> list[str]:
    """How it was done, and what was not as wanted."""
    slowest = max((*found, *saved), key=lambda one: one["seconds"])
    largest = max(one["grown"] for one in (*found, *saved))
    kinds = ", ".join(DAMAGES)
    words = (
        "Refused: exit code 7. Said: the message names the file, with another exit code or another answer. As before: the JSON of the "
        "undamaged run, without times and sizes. Not as wanted: exit code 70, no answer in 60 s, more than 2 GB of memory, or another "
        "answer without a word."
    )
    most = f"most memory beyond the undamaged answers: {largest / 2**20:,.0f} MB"
    return [
        "A damage is one file of a copy of a run of two epochs (LeNet-5, 60 made-up pictures), changed in one way, and one verb on it.",
        f"Verbs: {', '.join(VERBS)}. Damages: {kinds}.",
        words,
        f"Slowest: {slowest['seconds']:.1f} s ({slowest['verb']} on {slowest['file']}); {most}.",
    ]


if __name__ == "__main__":
    main()
