"""`striate check` on every form of data that a training takes: tables, shards, several labels, numbers, groups and masks."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.core.errors import DataError
from striate.data.reading import Reading
from striate.data.sources import open_data
from striate.workflows.checking.judging import together
from striate.workflows.checking.surveying import Picture

NAMES = tuple(f"{number:02d}.png" for number in range(24))


def scene(seed: int, height: int = 24) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((30, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of two sizes that differ, but for 23.png, which is 00.png."""
    folder = tmp_path_factory.mktemp("forms") / "photos"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        scene(number % 23).save(folder / name)
    scene(1, 28).save(folder / NAMES[1])
    return folder


def table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_numbers_of_a_table_are_summed_up_and_odd_ones_told(photos: Path, tmp_path: Path):
    """The copy of 00.png has another number; 05.png has 9999; the days 0 to 4 have pictures in both splits."""
    rows = [(name, 9999 if number == 5 else number, ("train", "test")[number % 4 == 3], number // 5) for number, name in enumerate(NAMES)]
    path = table(tmp_path / "ages.csv", ("photo", "age", "split", "day"), rows)
    told = {"columns": {"label": "age"}, "root": photos, "task": "regression"}

    report = striate.check(path, output=tmp_path / "page.html", **told)
    spanning = striate.check(path, output=tmp_path / "page.html", group="day", **told)

    assert report.trainable and report.classes == {} and report.numbers == {"age": "0 to 9999 (median 12.5)"}
    found = {finding.kind: finding for finding in report.findings}
    assert found["leaks"].severity == "error" and [copies.labels for copies in report.two_labels] == [("0", "23")]
    assert "age of 1 training picture is far from all others" in found["numbers"].message
    assert "05.png (9999)" in found["numbers"].message
    assert not spanning.trainable and spanning.exit_code == 3
    assert "5 of 5 groups have pictures in more than one split: 0, 1, 2, 3, 4 (0: train and test)" in spanning.findings[0].message


def test_shards_with_several_labels_are_checked_picture_by_picture(photos: Path, tmp_path: Path):
    with tarfile.open(tmp_path / "set.tar", "w") as shard:
        for number, name in enumerate(NAMES):
            labels = json.dumps({"label": ["big"] * (number > 9) + ["red"] * (number % 2)}).encode()
            for ending, content in ((".png", (photos / name).read_bytes()), (".json", labels)):
                member = tarfile.TarInfo(name.removesuffix(".png") + ending)
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))

    report = striate.check(tmp_path / "set.tar", task="multilabel", output=tmp_path / "page.html", fix_list=tmp_path / "drop.csv")

    assert report.classes == {"big": 14, "red": 12} and report.sizes["largest"] == "28 x 30"
    assert [copies.labels for copies in report.two_labels] == [("none", "big, red")]
    assert page_has_pictures(tmp_path / "page.html")
    kept = open_data(tmp_path / "set.tar", task="multilabel", drop=tmp_path / "drop.csv")
    assert kept.num_images("train") == 22


def page_has_pictures(path: Path) -> bool:
    return path.read_text().count("data:image/jpeg;base64,") >= 2


def masks(root: Path, photos: Path, changed: dict[str, np.ndarray | bytes]) -> Path:
    """12 pictures whose masks have a square of class 1, but for those that are `changed`."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for name in NAMES[:12]:
        picture = Image.open(photos / name)
        picture.save(root / "images" / name)
        mask = np.zeros((picture.height, picture.width), np.uint8)
        mask[5:15, 5:15] = 1
        content = changed.get(name, mask)
        if isinstance(content, bytes):
            (root / "masks" / name).write_bytes(content)
        else:
            Image.fromarray(content).save(root / "masks" / name)
    (root / "classes.txt").write_text("ground\ntree\n")
    return root


def test_each_fault_of_masks_is_told_with_the_first_of_them(photos: Path, tmp_path: Path):
    ground, odd = np.zeros((24, 30), np.uint8), np.zeros((24, 30), np.uint8)
    odd[3, 4] = 7
    faults = {"02.png": ground[:-3] + 1, "03.png": odd, "04.png": ground, "05.png": ground + 255, "06.png": b"no picture"}
    root = masks(tmp_path / "trees", photos, faults)

    report = striate.check(root, task="segment", output=tmp_path / "page.html", fix_list=tmp_path / "fix.csv")

    assert not report.trainable and report.exit_code == 3
    said = {finding.message for finding in report.findings if finding.kind in ("masks", "empty_masks", "unlabelled_masks")}
    assert {message.split(" (")[0] for message in said} == {
        "1 mask cannot be read: masks/06.png",
        "1 mask of another size than the picture: masks/02.png",
        "1 mask with numbers that are no class: masks/03.png",
        "1 of 11 train masks hold no class, every pixel is 255: 'masks/05.png'",
        "1 of 11 train masks hold only class 'ground': masks/04.png",
    }
    with pytest.raises(DataError):
        open_data(root, task="segment")
    rows = csv.DictReader((tmp_path / "fix.csv").read_text().splitlines())
    assert [(row["drop"], row["name"]) for row in rows if row["reason"] == "mask"] == [("yes", f"masks/0{k}.png") for k in (6, 2, 3)]
    fewer = open_data(root, task="segment", drop=tmp_path / "fix.csv")
    assert fewer.num_images("train") == report.num_images - 3


def test_masks_without_a_fault_are_counted_in_pixels_and_copies_compared(photos: Path, tmp_path: Path):
    root = masks(tmp_path / "trees", photos, {})
    (root / "images/copy.png").write_bytes((root / "images/00.png").read_bytes())
    Image.fromarray(np.ones((24, 30), np.uint8)).save(root / "masks/copy.png")

    report = striate.check(root, task="segment", output=tmp_path / "page.html", fix_list=tmp_path / "drop.csv")

    assert report.trainable and report.classes == {"ground": 11 * 620 + 740, "tree": 12 * 100 + 720}
    assert [finding.kind for finding in report.findings if finding.severity != "note"] == ["two_labels"]
    assert "1 picture with two masks: images/00.png (mask " in report.findings[0].message
    assert "With two masks" in (text := (tmp_path / "page.html").read_text()) and "pixels of" in text
    assert open_data(root, task="segment", drop=tmp_path / "drop.csv").num_images("train") == 11


def test_groups_of_a_folder_that_are_in_two_splits_are_refused_in_training(photos: Path, tmp_path: Path):
    for number, name in enumerate(NAMES[:8]):
        place = tmp_path / ("train", "val")[number // 4] / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number % 4}_{number}.png").write_bytes((photos / name).read_bytes())

    with pytest.raises(DataError, match=r"4 of 4 groups have pictures in more than one split: 0, 1, 2, 3 \(0: train and val\)"):
        open_data(tmp_path, reading=Reading(group="regex:/([0-9])_"))
    assert open_data(tmp_path, reading=Reading(group="regex:_([0-9])")).num_images("val") == 4


def test_copies_and_groups_that_share_a_picture_are_judged_together():
    """0 and 2 are of group x, 3 and 4 of y; 1 is a copy of 2, and 3 of 5: {0, 1, 2} and {3, 4, 5} are never judged by each other."""
    groups = ("x", "", "x", "y", "y", "", "")
    pictures = [Picture("train", at, f"{at}", f"{at}", 0, b"", group=group) for at, group in enumerate(groups)]

    numbers = together(pictures, [(1, 2), (3, 5)])

    assert [np.flatnonzero(numbers == number).tolist() for number in dict.fromkeys(numbers.tolist())] == [[0, 1, 2], [3, 4, 5], [6]]
