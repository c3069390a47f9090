"""WebDataset shards and Hugging Face sets: pictures inside other files, read where they are."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from striate.core.errors import DataError
from striate.data.reading import Reading
from striate.data.sources import open_data


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def pairs(encode: Callable[..., bytes]) -> list[tuple[bytes, str]]:
    """Six grey pictures with values 0, 10, ..., 50, and their labels."""
    return [(encode(np.full((3, 5), 10 * number, np.uint8)), ("cat", "dog")[number % 2]) for number in range(6)]


def test_shards_are_read_by_their_keys_and_split_by_their_names(pairs: list[tuple[bytes, str]], tmp_path: Path):
    members = [(f"a/{at:03d}.{end}", part) for at, (png, kind) in enumerate(pairs) for end, part in (("png", png), ("cls", kind.encode()))]
    write_tar(tmp_path / "train-000.tar", members[:4])
    write_tar(tmp_path / "train-001.tar", members[4:8])
    write_tar(tmp_path / "test-000.tar", members[8:])

    source = open_data(tmp_path)

    assert {split: source.num_images(split) for split in source.splits} == {"train": 4, "test": 2}
    train = source.read("train")
    assert (train.images[:, 0, 0, 0].tolist(), train.labels.tolist()) == ([0, 20, 10, 30], [0, 0, 1, 1])  # cats, then dogs
    assert source.identities("test").names == ("test-000.tar/a/004", "test-000.tar/a/005")
    assert open_data(str(tmp_path / "train-{000..001}.tar")).num_images("train") == 4


def test_labels_in_json_have_columns_and_pictures_without_one_are_left_out(pairs: list[tuple[bytes, str]], tmp_path: Path):
    said: list[str] = []
    members = [(f"{at}.png", png) for at, (png, _) in enumerate(pairs)]
    members += [(f"{at}.json", json.dumps({"kind": kind, "camera": at % 3}).encode()) for at, (_, kind) in enumerate(pairs[:5])]
    path = write_tar(tmp_path / "a.tar", members)

    source = open_data(path, reading=Reading(columns={"label": "kind"}, group="camera"), say=said.append)

    assert source.classes == ("cat", "dog")
    assert sorted(source.facts("train").groups) == list("00112")  # type: ignore[arg-type]
    assert any(line.startswith("1 picture without a label") for line in said)


def test_a_compressed_or_damaged_shard_is_refused(pairs: list[tuple[bytes, str]], tmp_path: Path):
    members = [(f"{at}.{end}", part) for at, (png, kind) in enumerate(pairs) for end, part in (("png", png), ("cls", kind.encode()))]
    with pytest.raises(DataError, match="a compressed one is to be unpacked"):
        open_data(write_tar(tmp_path / "a.tar", members, "w:gz"))
    cut = write_tar(tmp_path / "b.tar", members)
    cut.write_bytes(cut.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"b\.tar"):
        open_data(cut)
    with pytest.raises(DataError, match="holds no pictures with labels"):
        open_data(write_tar(tmp_path / "c.tar", [("a.txt", b"x")]))


@pytest.fixture
def saved(pairs: list[tuple[bytes, str]], tmp_path: Path) -> Path:
    """The files that `datasets.DatasetDict.save_to_disk` writes for a train and a validation split."""
    arrow = pytest.importorskip("pyarrow")
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    for split, some in (("train", pairs[:4]), ("validation", pairs[4:])):
        folder = tmp_path / "set" / split
        folder.mkdir(parents=True)
        images = arrow.array(
            [{"bytes": png, "path": None} for png, _ in some], arrow.struct({"bytes": arrow.binary(), "path": arrow.string()})
        )
        table = arrow.table({"image": images, "label": [("cat", "dog").index(kind) for _, kind in some]})
        with arrow.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file, arrow.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table)
        (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (tmp_path / "set" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "validation"]}))
    return tmp_path / "set"


def test_a_set_that_datasets_saved_is_read_with_its_names_of_classes(saved: Path):
    source = open_data(saved)

    assert (source.classes, source.splits) == (("cat", "dog"), ("train", "val"))
    assert source.read("train").images[:, 0, 0, 0].tolist() == [0, 20, 10, 30]
    assert source.read("val").labels.tolist() == [0, 1]
    (saved / "train" / "state.json").unlink()
    with pytest.raises(DataError, match=r"state\.json: does not tell the data_files"):
        open_data(saved)


def test_pictures_inside_a_parquet_file_of_the_hub_are_read(pairs: list[tuple[bytes, str]], tmp_path: Path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    said = {"info": {"features": {"img": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    table = arrow.table({"img": [{"bytes": png, "path": "x.png"} for png, _ in pairs], "label": [at % 2 for at in range(6)]})
    parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(said)}), tmp_path / "train-00000-of-00001.parquet")

    source = open_data(tmp_path / "train-00000-of-00001.parquet")

    assert source.classes == ("cat", "dog")
    assert source.read("train").images[:, 0, 0, 0].tolist() == [0, 20, 40, 10, 30, 50]
