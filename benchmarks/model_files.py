"""Offer pickles wherever a file is read, and read mutated model files: what ran, what was refused, what was answered.

model_files [--seed N] [--pickles N] [--mutants N] [--json]

Each pickle would leave a file behind if anything unpickled it. Each mutant of a model file is read in a process whose memory is limited,
and must be refused (exit code 7) or give the answers of the file that it was made from.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pickle  # noqa: TID251  # what is offered; nothing here reads one
import random
import resource
import shutil
import struct
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import joblib
import numpy as np
import torch
from PIL import Image
from sheet import spread, write_sheet

import striate
from striate.apps.cli import main as command_line
from striate.core.errors import StriateError
from striate.core.tensor_files import digest

SECONDS = 60  # for one file
MEMORY = 4 * 2**30  # bytes that reading one file may add to the addresses of the process
SIZE = 8  # pixels of a picture's side
IN_PLACE_OF = ("best.safetensors", "network.json", "config.yaml", "classes.json", "metrics.csv", "env.json")  # files of a run

PICKLES = (
    "A pickle is held where nothing in it ran, no process ended by a signal or with 70 (a fault), and none was still at work after "
    f"{SECONDS} s. Kinds: pickles of protocols 0 to 5, torch's archives (new and old), joblib's (plain and compressed), NumPy's .npy and "
    ".npz of objects, archives (zip, tar) with a pickle inside, and a pickle behind the length of a safetensors header."
)
MUTANTS = (
    "A mutated model file is held where it is refused with 7 or answers as the file that it was made from, to the last bit; the process "
    f"may take {MEMORY / 2**30:g} GiB of addresses more than it has. One that is sealed anew may be another, whole model, with its own "
    "answers."
)

SHEETS = {"pickles": ("Pickles in place of files that are read", PICKLES), "mutants": ("Mutated model files", MUTANTS)}


def main() -> None:
    """Pickles first, mutants second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pickles", type=int, default=1200)
    parser.add_argument("--mutants", type=int, default=1200)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="model-files-") as name:
        bench = Bench(Path(name), random.Random(asked.seed))
        found = {"pickles": bench.pickles(asked.pickles), "mutants": bench.mutants(asked.mutants)}
    if asked.json:
        print(json.dumps(found))
        return
    for what, (title, note) in SHEETS.items():
        if found[what]:
            table = [["kind", "files", "ran", "held", "how they ended"], *rows_of(found[what])]
            write_sheet(f"model_files_{what}", title, table, [note, f"Seconds that a file took: {spread(bench.seconds)}."])
    sys.exit(int(any(counts["held"] < counts["files"] for kinds in found.values() for counts in kinds.values())))


def rows_of(counts: dict[str, Counter[str]]) -> list[list[str]]:
    """A row a kind, and one of all together."""
    rows = []
    for kind, found in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
        ends = ", ".join(f"{word} {number}" for word, number in sorted(found.items()) if word not in ("files", "ran", "held"))
        rows.append([kind, str(found["files"]), str(found["ran"]), f"{found['held']}/{found['files']}", ends])
    return rows


class Bench:
    """A run that was trained here, and the ways in which its files, and others, are read."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance, self.canary = folder, chance, folder / "it-ran"
        self.seconds: list[float] = []
        values = np.random.default_rng(0)
        labels = np.arange(60) % 3
        images = (values.integers(0, 100, (60, SIZE, SIZE)) + 70 * labels[:, None, None]).astype(np.uint8)
        self.data, self.run = folder / "data.npz", folder / "run"
        np.savez(self.data, x_train=images, y_train=labels)
        with quiet():
            striate.train(str(self.data), network="compact_cnn", epochs=1, output=self.run)
        self.images = images[:4]
        self.good = (self.run / "best.safetensors").read_bytes()
        self.wanted = answers(self.run / "best.safetensors", self.images)
        self.picture = str(folder / "picture.png")
        Image.fromarray(self.images[0]).save(self.picture)
        self.warm()
        pickle.loads(pickle.dumps(Bomb(self.canary)))  # noqa: S301  # this one must run, or the others prove nothing
        if not self.canary.exists():
            raise SystemExit("a pickle that is read leaves no file behind")
        self.canary.unlink()

    def warm(self) -> None:
        """Let each verb run once here, so that what it imports is there in the processes that are forked from this one."""
        run = str(self.run)
        with quiet():
            for words in (
                ["show", run],
                ["predict", run, self.picture],
                ["evaluate", run, "--split", "val"],
                ["explain", run, self.picture, "--output", str(self.folder / "explained")],
                ["compare", run, run],
                ["filter", self.picture, "--kernel", "blur", "--output", str(self.folder / "filtered.png")],
                ["train", str(self.data), *FEW, "--output", str(self.folder / "warm")],
            ):
                command(words)

    def pickles(self, number: int) -> dict[str, Counter[str]]:
        """Each writer's file in each place, and again with other openings, until there are `number` of them."""
        counts: dict[str, Counter[str]] = {}
        writers, places = self.writers(), self.places()
        cases = [(w, p) for w in writers for p in places]
        self.chance.shuffle(cases)
        product = len(cases)
        while len(cases) < number:
            cases.append((self.chance.choice(list(writers)), self.chance.choice(list(places))))
        for index, (writer, place) in enumerate(cases[:number]):
            data = writers[writer]()
            if index >= product:  # others of the same kinds: with something before, after or cut off
                data = self.chance.choice((data[: self.chance.randrange(2, len(data))], data + data, data + bytes(64), b"\n" + data))
            end = self.ended(places[place], data, index)
            ran = self.canary.exists()
            self.canary.unlink(missing_ok=True)
            count(counts, place.partition(":")[0], end, ran=ran, held=not ran and end.isdecimal() and end != "70")
        return counts

    def mutants(self, number: int) -> dict[str, Counter[str]]:
        """Changed model files, as many of each kind."""
        counts: dict[str, Counter[str]] = {}
        for index in range(number):
            kind = list(MUTATIONS)[index % len(MUTATIONS)]
            path = self.folder / "mutant.safetensors"
            path.write_bytes(MUTATIONS[kind](self.good, self.chance))
            end = self.in_child(lambda path=path: 0 if np.array_equal(answers(path, self.images), self.wanted) else 99)
            word = {"0": "equal answers", "99": "answers as another model" if kind == SEALED else "other answers", "7": "refused (7)"}.get(
                end, end
            )
            count(counts, kind, word, ran=False, held=end in ("0", "7") or (end == "99" and kind == SEALED))
        return counts

    def writers(self) -> dict[str, Callable[[], bytes]]:
        """What makes a file that leaves `canary` behind when it is unpickled, by the name of its kind."""
        bomb = Bomb(self.canary)

        def torch_file(*, new: bool) -> bytes:
            file = io.BytesIO()
            torch.save(  # noqa: TID251  # to be offered
                {"weights": bomb}, file, _use_new_zipfile_serialization=new
            )
            return file.getvalue()

        def joblib_file(compress: int) -> bytes:
            path = self.folder / "written.joblib"
            joblib.dump([bomb], path, compress=compress)
            return path.read_bytes()

        def arrays(save: Callable[..., None], **named: np.ndarray) -> bytes:
            file = io.BytesIO()
            save(file, **named) if named else save(file, np.array([bomb], dtype=object))
            return file.getvalue()

        def behind_a_length() -> bytes:
            inside = pickle.dumps(bomb)
            return struct.pack("<Q", len(inside)) + inside

        return {
            **{f"pickle, protocol {p}": lambda p=p: pickle.dumps(bomb, p) for p in range(pickle.HIGHEST_PROTOCOL + 1)},
            "torch, zip": lambda: torch_file(new=True),
            "torch, old": lambda: torch_file(new=False),
            "joblib": lambda: joblib_file(0),
            "joblib, compressed": lambda: joblib_file(3),
            "npy of objects": lambda: arrays(np.save),
            "npz of objects": lambda: arrays(np.savez, x_train=np.array([bomb], dtype=object), y_train=np.array([bomb], dtype=object)),
            "zip with a pickle": lambda: zipped({"data.pkl": pickle.dumps(bomb), "archive/data.pkl": pickle.dumps(bomb)}),
            "tar with a pickle": lambda: tarred({"cifar-10-batches-py/data_batch_1": pickle.dumps(bomb)}),
            "behind a header's length": behind_a_length,
        }

    def places(self) -> dict[str, Callable[[Path, bytes], Callable[[], int]]]:
        """What reads a file, by the name of the place: each writes the bytes where it wants them, and gives what to call."""

        def file(name: str, *words: str) -> Callable[[Path, bytes], Callable[[], int]]:
            def prepared(folder: Path, data: bytes) -> Callable[[], int]:
                (folder / name).write_bytes(data)
                return lambda: command([word.replace("FILE", str(folder / name)) for word in words])

            return prepared

        def of_run(name: str, *words: str) -> Callable[[Path, bytes], Callable[[], int]]:
            def prepared(folder: Path, data: bytes) -> Callable[[], int]:
                shutil.copytree(self.run, folder / "run")
                (folder / "run" / name).write_bytes(data)
                return lambda: command([word.replace("RUN", str(folder / "run")) for word in words])

            return prepared

        def checkpoint(folder: Path, data: bytes) -> Callable[[], int]:
            shutil.copytree(self.run, folder / "run")
            for path in (folder / "run" / "checkpoints").rglob("*.safetensors"):
                path.write_bytes(data)
            return lambda: command(["train", "--resume", str(folder / "run"), "--epochs", "+1"])

        def estimator(folder: Path, data: bytes) -> Callable[[], int]:
            (folder / "e.safetensors").write_bytes(data)
            return lambda: called(lambda: striate.estimators.load_estimator(folder / "e.safetensors"))

        def named_set(folder: Path, data: bytes) -> Callable[[], int]:
            for name in ("cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/test_batch", "cifar-10-python.tar.gz"):
                (folder / "sets" / "cifar10" / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / "sets" / "cifar10" / name).write_bytes(data)
            return lambda: command(["train", "cifar10", "--data-dir", str(folder / "sets"), *FEW, "--output", str(folder / "out")])

        picture = self.picture
        start = ["train", str(self.data), *FEW, "--output", str(self.folder / "never")]
        return {
            **{
                f"model file, {ending}: predict": file(f"m{ending}", "predict", "FILE", picture)
                for ending in (".safetensors", ".pt", ".pkl")
            },
            "model file: evaluate": file("m.safetensors", "evaluate", "FILE", str(self.data)),
            "model file: explain": file("m.safetensors", "explain", "FILE", picture),
            "model file: show": file("m.safetensors", "show", "FILE"),
            "model file: compare": file("m.safetensors", "compare", "FILE", str(self.run)),
            "weights, .safetensors: --pretrained": file("w.safetensors", *start, "--pretrained", "FILE"),
            "weights, .pth: --pretrained": file("w.pth", *start, "--pretrained", "FILE"),
            "description: --model": file("n.json", *start, "--model", "FILE"),
            "description: show": file("n.json", "show", "FILE"),
            "recipe: --recipe": file("r.yaml", *start, "--recipe", "FILE"),
            "data, .npz: train": file("d.npz", "train", "FILE", *FEW, "--output", str(self.folder / "never")),
            "data, .npz: evaluate": file("d.npz", "evaluate", str(self.run), "FILE"),
            "picture: predict": file("p.png", "predict", str(self.run), "FILE"),
            "picture: filter": file("p.jpg", "filter", "FILE", "--kernel", "blur"),
            **{f"file of a run, {name}: evaluate": of_run(name, "evaluate", "RUN", "--split", "val") for name in IN_PLACE_OF[:3]},
            **{f"file of a run, {name}: resume": of_run(name, "train", "--resume", "RUN", "--epochs", "+1") for name in IN_PLACE_OF},
            "checkpoint: resume": checkpoint,
            "estimator: load_estimator": estimator,
            "named set: train": named_set,
        }

    def ended(self, prepared: Callable[[Path, bytes], Callable[[], int]], data: bytes, index: int) -> str:
        """How the reader of a place ends on `data`."""
        folder = self.folder / f"case-{index}"
        folder.mkdir()
        try:
            return self.in_child(prepared(folder, data), cwd=folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def in_child(self, work: Callable[[], int], cwd: Path | None = None) -> str:
        """The exit code of `work` in a process of its own with limited memory and time; the signal where one ended it."""
        started = time.monotonic()
        process = os.fork()
        if not process:
            code = 70
            try:
                used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
                resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
                if cwd is not None:
                    os.chdir(cwd)
                with quiet():
                    code = called(work)
            finally:
                os._exit(code)
        while (status := os.waitpid(process, os.WNOHANG))[0] == 0:
            if time.monotonic() - started > SECONDS:
                os.kill(process, 9)
                os.waitpid(process, 0)
                return "still at work"
            time.sleep(0.002)
        self.seconds.append(time.monotonic() - started)
        code = os.waitstatus_to_exitcode(status[1])
        return str(code) if code >= 0 else f"signal {-code}"


FEW = ("--model", "compact_cnn", "--steps", "1")


class Bomb:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return open, (str(self.canary), "w")


def count(counts: dict[str, Counter[str]], kind: str, word: str, *, ran: bool, held: bool) -> None:
    """One more file of a kind."""
    counts.setdefault(kind, Counter()).update({"files": 1, "ran": int(ran), "held": int(held), word: 1})


def answers(path: Path, images: np.ndarray) -> np.ndarray:
    """The probabilities that a model file gives."""
    model = striate.load(path)
    return model.probabilities(model.read(images))


def command(words: list[str]) -> int:
    """The exit code of the command line."""
    try:
        command_line(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def called(work: Callable[[], object]) -> int:
    """The exit code that the command line would give to what `work` raises; 70 for what nobody foresaw."""
    try:
        found = work()
    except StriateError as error:
        return error.exit_code
    except BaseException:  # noqa: BLE001  # whatever it is, it is a fault
        return 70
    return found if isinstance(found, int) else 0


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let nothing be printed."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def zipped(files: dict[str, bytes]) -> bytes:
    """An archive of these files."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    """The same as .tar.gz."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def parts_of(data: bytes) -> tuple[dict, dict, bytes]:
    """The outer header of a model file, the description inside, and the bytes of the tensors."""
    length = struct.unpack("<Q", data[:8])[0]
    outer = json.loads(data[8 : 8 + length])
    return outer, json.loads(outer["__metadata__"]["striate"]), data[8 + length :]


def joined(outer: dict, description: dict, body: bytes, length: int | None = None) -> bytes:
    """A model file of these parts."""
    outer = {**outer, "__metadata__": {"striate": json.dumps(description)}}
    header = json.dumps(outer).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def flipped(data: bytes, chance: random.Random) -> bytes:
    """One to eight bits are others."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(data: bytes, chance: random.Random) -> bytes:
    """A part is missing, or stands twice."""
    start, end = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    return chance.choice((data[:end], data[:start] + data[end:], data + data[start:end], data[start:]))


def other_length(data: bytes, chance: random.Random) -> bytes:
    """The first eight bytes say another length of the header."""
    length = struct.unpack("<Q", data[:8])[0]
    near = length + chance.choice((-8, -1, 1, 8, 64))
    return (
        struct.pack("<Q", chance.choice((0, 1, 2, near, len(data), len(data) - 8, 10**8, 2**31, 2**63, 2**64 - 1, 640, 19280))) + data[8:]
    )


def swapped(data: bytes, chance: random.Random) -> bytes:
    """Two tensors have each other's place, shape, or both and type."""
    outer, description, body = parts_of(data)
    one, other = chance.sample([name for name in outer if name != "__metadata__"], 2)
    fields = chance.choice((("data_offsets",), ("shape",), ("data_offsets", "shape", "dtype")))
    outer = {
        **outer,
        one: {**outer[one], **{f: outer[other][f] for f in fields}},
        other: {**outer[other], **{f: outer[one][f] for f in fields}},
    }
    return joined(outer, description, body)


def edited(data: bytes, chance: random.Random) -> bytes:
    """One value somewhere in the description is another, and the seal is left as it was."""
    outer, description, body = parts_of(data)
    change_somewhere(description, chance)
    return joined(outer, description, body)


def forged(data: bytes, chance: random.Random) -> bytes:
    """The same, sealed anew, as a determined forger would."""
    from safetensors.torch import load

    outer, description, body = parts_of(data)
    description.pop("sha256")
    places = [description["network"], description["network"]["root"], description["images"], description]
    change_somewhere(chance.choice(places), chance)
    description["sha256"] = digest(description, load(data))
    return joined(outer, description, body)


def change_somewhere(content: object, chance: random.Random) -> None:
    """Replace, remove or double one value of nested JSON, in place."""
    places = []
    open_parts = [content]
    while open_parts:
        part = open_parts.pop()
        for key, value in part.items() if isinstance(part, dict) else enumerate(part):
            places.append((part, key))
            if isinstance(value, dict | list):
                open_parts.append(value)
    part, key = chance.choice(places)
    if chance.random() < 0.2:
        del part[key]
    else:
        part[key] = chance.choice(VALUES)


VALUES = (
    None,
    True,
    0,
    -1,
    1,
    2,
    3,
    7,
    2**20,
    2**31,
    2**62,
    2**63,
    10**30,
    1e308,
    0.5,
    -0.0,
    "",
    "a",
    "\ud800",
    "\x1b[2J",
    "os.system",
    [],
    {},
    [1, 2],
    [[]],
    {"type": "Identity"},
    {"type": "Chain", "children": []},
    {"type": "Interpolate", "scale": 64},
    "x" * 10_000,
    float("inf"),
    float("nan"),
    [3, 2**20, 2**20],
    {"type": "Linear", "out_features": 2**30},
    {"type": "PublishedNetwork", "library": "timm", "model": "a"},
)

SEALED = "description edited and sealed anew"  # which a forger can make: another model, if it is a whole one
MUTATIONS = {
    "bits flipped": flipped,
    "cut, doubled or shortened": cut,
    "another length of the header": other_length,
    "tensors exchanged": swapped,
    "description edited": edited,
    SEALED: forged,
}

if __name__ == "__main__":
    main()
