"""Predict many pictures into files: memory over the number of paths, pictures a second beside a plain loop, and rows after kills.

many_pictures [--most 1000000] [--kills 10] [--json]

A manifest repeats 64 PNG files of scanned digits; a small network exported as ONNX answers them, in a process that is measured alone.
With --json, print the rows only and write no sheet.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
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
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        here = Path(folder)
        files, model = made(here)
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


def answered(model: Path, manifest: Path, output: Path) -> tuple[float, int]:
    """Pictures a second, and the largest memory in bytes, of one process."""
    began = time.monotonic()
    child = subprocess.Popen(command(model, manifest, output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
    parts = sorted(output.glob("*.csv"))
    rows = Counter(row["path"] for part in parts for row in csv.DictReader(part.read_text().splitlines()))
    wanted = Counter(str(manifest.parent / line.strip()) for line in manifest.open())
    return sum((wanted - rows).values()), sum((rows - wanted).values()), len(parts)


if __name__ == "__main__":
    main()
