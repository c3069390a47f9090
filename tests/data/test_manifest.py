"""Tables that list pictures: what is read from which column, and each way in which a row can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.core.errors import DataError, StriateError, UnknownNameError, UsageError
from striate.data.manifest import labels_in
from striate.data.reading import Reading
from striate.data.records import DataSource
from striate.data.sources import open_data

NAMES = [f"{kind}_{number}.png" for kind in ("cat", "dog") for number in range(4)]
PAIRS = [(name, name[:3]) for name in NAMES]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures in one folder, each of its own shade, four called cat_0.png to cat_3.png and four dogs."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    for place, name in enumerate(NAMES):
        Image.fromarray(np.full((4, 6, 3), 10 * place + np.arange(6)[:, None], np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def manifest(photos: Path, tmp_path: Path) -> Callable[..., DataSource]:
    """`manifest(text, name="m.csv", columns=..., ...)`: the data that a file of this text lists."""

    def opened(text: str | bytes, name: str = "m.csv", **options: Any) -> DataSource:
        file = tmp_path / name
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        how = {key: options.pop(key) for key in ("task", "skip_unreadable", "to_train", "say") if key in options}
        return open_data(file, reading=Reading(root=str(photos), **options), **how)

    return opened


def table(rows: Sequence[Sequence[object]], header: str = "path,label") -> str:
    return "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"


def test_a_spreadsheets_marks_ends_of_lines_and_quotes_change_nothing(manifest: Callable[..., DataSource]):
    """The same rows with commas, as German Excel writes them, with tabs in UTF-16, and as JSON lines; empty rows at the end."""
    text = table([(name, f'"{kind}, ""the"" pet"') for name, kind in PAIRS])
    forms = [
        manifest(text),
        manifest(
            "\ufeffsep=;\r\n" + text.replace("path,label", "path;label").replace(".png,", ".png;").replace("\n", "\r\n") + ";\r\n;\r\n"
        ),
        manifest(text.replace("path,label", "path\tlabel").replace(".png,", ".png\t").encode("utf-16"), "m.tsv"),
        manifest("\n".join(json.dumps({"path": name, "label": f'{kind}, "the" pet'}) for name, kind in PAIRS), "m.jsonl"),
    ]
    for source in forms:
        assert source.classes == ('cat, "the" pet', 'dog, "the" pet')
        assert [Path(path).name for path in source.paths("train")] == NAMES
        np.testing.assert_array_equal(source.read("train").labels, [0] * 4 + [1] * 4)
    assert source.read("train").images[5, 2, 3, 0] == 53  # the second dog, column 3


def test_the_order_of_the_rows_changes_nothing(manifest: Callable[..., DataSource]):
    one, other = manifest(table(PAIRS)), manifest(table(PAIRS[::-1]))

    assert one.identities("train") == other.identities("train")


def test_columns_are_found_by_usual_names_or_given_ones(manifest: Callable[..., DataSource]):
    assert manifest(table(PAIRS, "File Name,Species")).classes == ("cat", "dog")  # the only other column is the label
    rows = [(*pair, "x", place) for place, pair in enumerate(PAIRS)]
    assert manifest(table(rows, "id,animal,note,n"), columns={"path": "id", "label": "animal"}).classes == ("cat", "dog")
    with pytest.raises(DataError, match="no column is called label; it has file, animal, note, n"):
        manifest(table(rows, "file,animal,note,n"))
    with pytest.raises(UnknownNameError, match=r"unknown column of .*m\.csv: 'animl'\nDid you mean animal"):
        manifest(table(rows, "file,animal,note,n"), columns={"label": "animl"})


def test_a_table_of_numbers_is_no_manifest(manifest: Callable[..., DataSource], tmp_path: Path):
    (tmp_path / "t.csv").write_text("image,label\n" + "".join(f"{place / 3},{'ab'[place % 2]}\n" for place in range(8)))

    assert open_data(tmp_path / "t.csv").kind == "rows"
    assert manifest(table(PAIRS)).kind == "pictures"


def test_files_are_found_without_their_ending_and_with_the_slashes_of_windows(photos: Path, tmp_path: Path):
    folder = tmp_path / "sets"
    (folder / "a").mkdir(parents=True)
    for name in NAMES:
        (folder / "a" / name).write_bytes((photos / name).read_bytes())
    (folder / "m.csv").write_text(
        table([(f"a\\{name}" if place % 2 else f"a/{name[:-4]}", kind) for place, (name, kind) in enumerate(PAIRS)])
    )

    assert open_data(folder / "m.csv").identities("train").names == tuple(f"a/{name}" for name in NAMES)


def test_pictures_outside_the_folder_are_read_and_said(photos: Path, tmp_path: Path):
    said: list[str] = []
    (tmp_path / "m.csv").write_text(table([(photos / name, kind) for name, kind in PAIRS]))

    source = open_data(tmp_path / "m.csv", say=said.append)

    assert source.num_images("train") == 8
    assert any(line.startswith(f"8 files outside {tmp_path}: ") for line in said)


def test_splits_have_synonyms_and_classes_come_from_training(manifest: Callable[..., DataSource]):
    rows = [(*pair, ("Training", "valid", "test", "train")[place % 4]) for place, pair in enumerate(PAIRS)]
    source = manifest(table(rows, "path,label,split"))
    assert {split: source.num_images(split) for split in source.splits} == {"train": 4, "val": 2, "test": 2}
    rows[1] = ("cat_1.png", "cow", "val")
    with pytest.raises(DataError, match=r"line 3, column 'label': class 'cow' of the val split is not in the training split"):
        manifest(table(rows, "path,label,split"))
    assert manifest(table(rows, "path,label,split"), to_train=False).classes == ("cat", "cow", "dog")


@pytest.mark.parametrize(
    ("text", "options", "task", "names"),
    [
        (table([(name, f"{kind};pet") for name, kind in PAIRS]), {}, "multilabel", ("cat", "dog", "pet")),
        (table([(name, f"{kind} pet") for name, kind in PAIRS]), {"separator": " "}, "multilabel", ("cat", "dog", "pet")),
        (table([*PAIRS, ("cat_0.png", "pet")]), {"task": "multilabel"}, "multilabel", ("cat", "dog", "pet")),
        (table([(name, f"{kind}|pet") for name, kind in PAIRS]), {"task": "classify"}, "classify", ("cat|pet", "dog|pet")),
        (table([(name, place / 2) for place, name in enumerate(NAMES)], "path,age"), {}, "regression", ("age",)),
        (table([(name, place) for place, name in enumerate(NAMES)], "path,age"), {}, "classify", tuple("01234567")),
        (table([(name, place) for place, name in enumerate(NAMES)], "path,age"), {"task": "regression"}, "regression", ("age",)),
    ],
)
def test_the_labels_tell_the_task(
    manifest: Callable[..., DataSource], text: str, options: dict[str, Any], task: str, names: tuple[str, ...]
):
    source = manifest(text, **options)

    assert (source.task, source.classes) == (task, names)


def test_several_labels_become_a_row_of_0_and_1():
    assert labels_in("a; b|c ,d", None) == ["a", "b", "c", "d"]
    assert labels_in("a b", None) == ["a b"]
    assert labels_in(" a  b ", " ") == ["a", "b"]
    assert labels_in("", None) == []


def test_labels_groups_and_weights_belong_to_their_pictures(manifest: Callable[..., DataSource]):
    rows = [(*pair, f"p{place // 2}", place) for place, pair in enumerate(PAIRS)]
    images = manifest(table(rows[::-1], "path,label,group,weight")).read("train")

    assert images.facts.groups is not None and images.facts.weights is not None
    assert images.facts.groups.tolist() == ["p0", "p0", "p1", "p1", "p2", "p2", "p3", "p3"]
    assert images.facts.weights.tolist() == list(range(8))
    chosen = images.take([5, 0])
    assert chosen.facts.columns["group"].tolist() == ["p2", "p0"]
    assert chosen.joined(chosen).facts.weights.tolist() == [5, 0, 5, 0]  # type: ignore[union-attr]


def test_a_rule_tells_the_class_and_the_group_by_the_path(manifest: Callable[..., DataSource]):
    text = table([(name, place) for place, name in enumerate(NAMES)], "path,number")
    source = manifest(text, class_from="regex:^([a-z]+)", group="regex:_([0-9])")

    assert source.classes == ("cat", "dog")
    assert source.facts("train").groups.tolist() == list("01230123")  # type: ignore[union-attr]


def changed(place: int, *cells: object) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = list(PAIRS)
    rows[place] = cells
    return rows


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (table([*PAIRS, *((f"{place}.png", "cat") for place in range(6))]), {},
         r"line 10: 6 files of 14 rows not found: 0\.png, 1\.png, 2\.png, 3\.png, 4\.png and 1 more"),
        (table(changed(2, "http://x.org/a.png", "cat")), {}, "Addresses are not downloaded"),
        (table(changed(1, "", "cat")), {}, "line 3, column 'path': 1 of 8 rows name no file"),
        (table(changed(1, "cat_1.png", " ")), {}, "line 3, column 'label': 1 of 8 pictures have no label"),
        (table([(name, "NaN") for name in NAMES[:6]] + PAIRS[6:]), {},
         r"line 2, column 'label': 6 of 8 pictures have no label: (\w+\.png, ){4}\w+\.png and 1 more\n"),
        (table(changed(1, "cat_1.png", "tall")), {"task": "regression"},
         "line 2, column 'label': must be a finite number, got 'cat'; 8 of 8 are none: cat_0"),
        (table([*PAIRS, ("cat_0.png", "dog")]), {}, r"line 10: cat_0\.png is labelled 'dog', but 'cat' in line 2"),
        (table([(name, "cat") for name in NAMES]), {}, "at least two classes, got only 'cat'"),
        (table([(*pair, "hold") for pair in PAIRS], "path,label,split"), {}, "line 2, column 'split': must be train, val or "),
        (table([(*pair, "test") for pair in PAIRS], "path,label,split"), {}, "column 'split' has no train; it has test"),
        (table([(*pair, "") for pair in PAIRS], "path,label,group"), {}, "line 2, column 'group': 8 of 8 pictures have no group: cat_0"),
        (table([(*pair, ("train", "val")[place % 2], place // 2) for place, pair in enumerate(PAIRS)], "path,label,split,group"), {},
         r"4 of 4 groups have pictures in more than one split: 0, 1, 2, 3 \(0: train and val\)"),
        (table([(*pair, -1) for pair in PAIRS], "path,label,weight"), {}, "line 2, column 'weight': a weight must be a number from 0 on"),
        (table([(*pair, 0) for pair in PAIRS], "path,label,weight"), {}, "all weights are 0"),
        (table(PAIRS, "path,label").replace("dog\n", "dog,1\n", 1), {}, "line 6 has 3 cells, but there are 2 columns"),
        (table(PAIRS, "path,path"), {}, "the first line must name the columns, each differently"),
        (b"path,label\ncat_0.png,caf\xe9\n", {}, "line 2: not UTF-8"),
        (table([(name, 1) for name in NAMES], "path,n"), {"class_from": "regex:^(cow)"}, "finds no class in any of 8 paths"),
        (table(PAIRS), {"group": "regex:(x)"}, "finds nothing in 8 of 8 paths"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_row(manifest: Callable[..., DataSource], text: str, options: dict[str, Any], words: str):
    with pytest.raises(DataError, match=words) as caught:
        manifest(text, **options)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"path": "a.png"}\n{"path":', "line 2: not JSON"),
        ('{"path": "a.png", "path": "b.png"}', "line 1: names a column twice"),
        ("[1, 2]", "line 1: must be an object"),
        ("\n", "holds no rows"),
    ],
)
def test_json_lines_that_are_none_are_refused(manifest: Callable[..., DataSource], text: str, words: str):
    with pytest.raises(DataError, match=words):
        manifest(text, "m.jsonl")


def test_missing_files_and_pictures_named_again_are_counted_and_said(manifest: Callable[..., DataSource]):
    said: list[str] = []
    source = manifest(table([*PAIRS, ("gone.png", "cat"), ("dog_3.png", "dog")]), skip_unreadable=True, say=said.append)

    assert source.num_images("train") == 8
    assert source.left_out[0].count == 1 and "not found" in source.left_out[0].why
    assert any(line.startswith("1 row of m.csv names a picture again: dog_3.png") for line in said)


def test_a_parquet_file_is_read_as_the_same_table(manifest: Callable[..., DataSource], photos: Path, tmp_path: Path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"path": NAMES, "label": [["pet", name[:3]] for name in NAMES], "weight": [1.5] * 8}
    parquet.write_table(arrow.table(columns), tmp_path / "m.parquet")

    source = open_data(tmp_path / "m.parquet", reading=Reading(root=str(photos)))

    assert (source.task, source.classes) == ("multilabel", ("cat", "dog", "pet"))
    assert source.facts("train").weights.tolist() == [1.5] * 8  # type: ignore[union-attr]


def test_a_parquet_file_without_pyarrow_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "m.parquet").write_bytes(b"PAR1")

    with pytest.raises(StriateError, match=r"needs pyarrow to be read.*\n.*striate\[tables\]") as caught:
        open_data(tmp_path / "m.parquet")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("data", ["digits", (np.zeros((4, 3, 3), np.uint8), [0, 1, 0, 1])])
def test_columns_of_what_has_none_are_refused(data: Any):
    with pytest.raises(UsageError, match="`columns`: has no effect"):
        open_data(data, reading=Reading(columns={"label": "y"}))
