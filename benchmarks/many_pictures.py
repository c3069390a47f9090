"""Predict many pictures into files: memory over the number of paths, pictures a second beside a plain loop, and rows after kills.

many_pictures [--most 1000000] [--kills 10] [--ray 40000] [--json]

A manifest repeats 64 PNG files of scanned digits; a small network exported as ONNX answers them, in a process that is measured alone.
With --ray, answer so many instead on a Ray cluster of this machine, in one process, in a plain loop and with Ray Data's map_batches, and
kill workers meanwhile; into a sheet of its own. With --json, print the rows only and write no sheet.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from sheet import write_sheet

import striate
from striate.data.sources import open_data
from striate.models.exported import ExportedModel

FILES = 64
LOOPED = 10_000  # pictures of the plain loop


def main() -> None:
    """A model first, then sizes, the loop and kills."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--ray", type=int, metavar="PICTURES")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        here = Path(folder)
        files, model = made(here)
        if asked.ray:
            on_ray(here, files, model, asked.ray, asked.kills)
            return
        sizes = [size for size in (10_000, 100_000, 1_000_000) if size < asked.most] + [asked.most]
        found = [answered(model, listed(here, files, size), here / f"answers-{size}") for size in sizes]
        loop = plain_loop(model, files)
        lost, repeated, parts = killed(model, listed(here, files, 40_000), here / "killed", asked.kills)
    rows = [[f"{size:,}", f"{rate:,.0f}", f"{peak / 2**20:,.0f}"] for size, (rate, peak) in zip(sizes, found, strict=True)]
    rows.append([f"{LOOPED:,}, a plain loop", f"{loop:,.0f}", "-"])
    notes = [
        f"Killed {asked.kills} times at random and started again, 40,000 pictures in {parts} files: {lost} rows lost, {repeated} repeated.",
        "The loop decodes with Pillow, resizes with the same code, and runs ONNX Runtime on 128 pictures at once.",
    ]
    if asked.json:
        print(json.dumps({"rows": rows, "notes": notes}))
        return
    heading = ["paths in the manifest", "pictures/s", "largest memory, MiB"]
    write_sheet("many_pictures", "Many pictures answered into files", [heading, *rows], notes)


def on_ray(here: Path, files: list[Path], model: Path, count: int, kills: int) -> None:
    """Pictures a second in four ways, and the rows after so many kills of Ray's workers."""
    manifest = listed(here, files, count)
    one, _ = answered(model, manifest, here / "one")
    cluster, _ = answered(model, manifest, here / "cluster", "--on", "ray")
    same = sum(part.read_bytes() == (here / "cluster" / part.name).read_bytes() for part in (here / "one").glob("*.csv"))
    child = subprocess.Popen(
        [*command(model, manifest, here / "killed"), "--on", "ray"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    killed_now = 0
    while child.poll() is None:
        time.sleep(0.5)
        for process in workers(child.pid)[: kills - killed_now]:
            os.kill(process, signal.SIGKILL)
            killed_now += 1
    lost, repeated, parts = counted(manifest, here / "killed")
    rows = [
        ["striate predict, one process", f"{one:,.0f}"],
        ["striate predict --on ray, with the start of the cluster", f"{cluster:,.0f}"],
        [f"a plain loop, of {LOOPED:,}", f"{plain_loop(model, files):,.0f}"],
        ["Ray Data, map_batches, with the start of the cluster", f"{ray_data(model, manifest):,.0f}"],
    ]
    notes = [
        f"{count:,} pictures in {parts} files: {same} of them have the same bytes from one process and from the cluster.",
        f"{killed_now} of Ray's workers killed while they answered, exit code {child.returncode}: {lost} rows lost, {repeated} repeated.",
        "Ray Data: an actor for each core opens the same file and answers 128 paths at once with the same decoder, into CSV files.",
    ]
    write_sheet("many_pictures_ray", "Many pictures answered on a Ray cluster of this machine", [["", "pictures/s"], *rows], notes)


def workers(parent: int) -> list[int]:
    """The processes of Ray, below a process, that answer a part."""
    parents, busy = {}, []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            if b"part_on_worker" in (stat.parent / "cmdline").read_bytes():
                busy.append(int(stat.parent.name))
        except OSError:
            continue

    def is_below(process: int) -> bool:
        while process > 1 and process != parent:
            process = parents.get(process, 0)
        return process == parent

    return [process for process in busy if is_below(process)]


def ray_data(model: Path, manifest: Path) -> float:
    """Pictures a second of Ray Data over the same paths."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    import ray.data

    class Answering:
        def __init__(self) -> None:
            os.environ["OMP_NUM_THREADS"] = "1"
            self.model = ExportedModel(model)

        def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            probabilities = self.model.probabilities(self.model.read([Path(path) for path in batch["item"]]))
            return {"path": batch["item"], "class": probabilities.argmax(1), "probability": probabilities.max(1)}

    began = time.monotonic()
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, object_store_memory=2**28)
    ray.data.DataContext.get_current().enable_progress_bars = False
    paths = [str(manifest.parent / line.strip()) for line in manifest.open()]
    with tempfile.TemporaryDirectory() as output:
        ray.data.from_items(paths).map_batches(
            Answering, batch_size=128, compute=ray.data.ActorPoolStrategy(size=os.cpu_count())
        ).write_csv(output)
        rate = len(paths) / (time.monotonic() - began)
    ray.shutdown()
    return rate


def made(folder: Path) -> tuple[list[Path], Path]:
    """Pictures, and the exported file of a network that was trained on them for a moment."""
    images = open_data("digits").read("train").images[:FILES]
    for place, image in enumerate(images):
        Image.fromarray(np.asarray(image)[..., 0]).save(folder / f"{place}.png")
    striate.train("digits", network="lenet5", steps=20, output=folder / "run", device="cpu")
    return [folder / f"{place}.png" for place in range(FILES)], Path(striate.export(folder / "run", images=16).output)


def listed(folder: Path, files: list[Path], size: int) -> Path:
    """A manifest of so many paths."""
    manifest = folder / f"list-{size}.txt"
    with manifest.open("w") as file:
        file.writelines(f"{files[place % len(files)].name}\n" for place in range(size))
    return manifest


def command(model: Path, manifest: Path, output: Path) -> list[str]:
    """Words that answer the manifest."""
    return [sys.executable, "-m", "striate", "predict", str(model), str(manifest), "--output", str(output)]


def answered(model: Path, manifest: Path, output: Path, *words: str) -> tuple[float, int]:
    """Pictures a second, and the largest memory in bytes, of one process."""
    began = time.monotonic()
    child = subprocess.Popen([*command(model, manifest, output), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        peak = max(peak, largest_memory(child.pid))
        time.sleep(0.05)
    if child.returncode:
        raise SystemExit(f"predict ended with {child.returncode}")
    return sum(1 for _ in manifest.open()) / (time.monotonic() - began), peak


def largest_memory(process: int) -> int:
    """The most bytes that a process has held since its program began, which of a child's usage would be its parent's; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def plain_loop(model: Path, files: list[Path]) -> float:
    """Pictures a second of a loop over the same files without files of answers."""
    exported = ExportedModel(model)
    began = time.monotonic()
    for start in range(0, LOOPED, 128):
        exported.outputs(exported.read([files[place % FILES] for place in range(start, min(start + 128, LOOPED))]))
    return LOOPED / (time.monotonic() - began)


def killed(model: Path, manifest: Path, output: Path, times: int) -> tuple[int, int, int]:
    """Rows lost, rows repeated, and files, after so many kills at random moments."""
    drawn = random.Random(0)
    for _ in range(times):
        child = subprocess.Popen(command(model, manifest, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(drawn.uniform(0.5, 3.0))
        child.kill()
        child.wait()
    answered(model, manifest, output)
    return counted(manifest, output)


def counted(manifest: Path, output: Path) -> tuple[int, int, int]:
    """Rows lost, rows repeated, and files."""
    parts = sorted(output.glob("*.csv"))
    rows = Counter(row["path"] for part in parts for row in csv.DictReader(part.read_text().splitlines()))
    wanted = Counter(str(manifest.parent / line.strip()) for line in manifest.open())
    return sum((wanted - rows).values()), sum((rows - wanted).values()), len(parts)


if __name__ == "__main__":
    main()
