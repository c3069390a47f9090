"""Train on a folder of photos with one folder a class, evaluate and explain: `python photos.py FOLDER`.

Without a folder it makes one of scanned digits.
"""

import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

import striate


def make_photos(folder: Path) -> Path:
    digits = load_digits()
    for i in range(500):
        place = folder / f"digit-{digits.target[i]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[i] * 255 / 16).astype("uint8")).save(place / f"{i:03}.png")
    return folder


photos = Path(sys.argv[1]) if len(sys.argv) > 1 else make_photos(Path("photos"))
report = striate.train(photos, epochs=6)
print(f"{report.network} in {report.run}: val accuracy {report.val.accuracy:.2f}")

measured = striate.evaluate(report.run, split="val")
low, high = measured.accuracy_interval
print(f"{measured.num_images} pictures held out: accuracy {measured.accuracy:.2f}, between {low:.2f} and {high:.2f}")

shown = striate.explain(report.run, num_pictures=4)
print(f"what it looks at: {shown.output}")
