"""Many pictures: answered into files, in shards, from where the work ended."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.core.errors import DataError, EnvironmentFault, UsageError
from striate.core.images import ImageSpec
from striate.models.model import Model
from striate.networks.layers import Chain, GlobalPool, Linear
from striate.networks.model_file import ModelFile
from striate.networks.network import Network
from striate.workflows.predict import PredictRequest, predict
from striate.workflows.predicting import answering, many
from striate.workflows.predicting.listed import Shard, list_pictures
from striate.workflows.predicting.many import ManyReport, summary


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    return Model.of(module, input_size=8, classes=("cat", "dog", "owl"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven pictures, one of which cannot be read, and a manifest that lists them and one that is not there."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for index in range(10):
        Image.fromarray(random.integers(0, 256, (9, 12, 3), np.uint8)).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_text("no picture")
    names = [*(path.name for path in sorted(folder.iterdir())), "gone.png"]
    (folder.parent / "list.csv").write_text("image,label\n" + "".join(f"{folder.name}/{name},cat\n" for name in names))
    return folder


def saved(folder: Path) -> Path:
    """A model file, which processes elsewhere can open."""
    network = Network(name="small", input_shape=(3, 8, 8), root=Chain(pool=GlobalPool("avg"), head=Linear(3)))
    spec = ImageSpec(height=8, width=8, channels=3, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    torch.manual_seed(0)
    Model(ModelFile(network, network.build(), ("cat", "dog", "owl"), spec, {})).save(folder / "model.safetensors")
    return folder / "model.safetensors"


def run(model: Model | Path, given: Path, output: Path, **fields: object) -> ManyReport:
    found = predict(PredictRequest(run=model, pictures=[given], output=output, batch_size=4, **fields))  # type: ignore[arg-type]
    assert isinstance(found, ManyReport)
    return found


def rows_of(folder: Path) -> list[dict[str, str]]:
    return [row for file in sorted(folder.glob("*.csv")) for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines())]


def test_shards_answer_each_picture_once_as_a_single_process_does(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "PART", 2)
    whole = run(model, photos.parent / "list.csv", tmp_path / "whole", top=2)
    parts = [run(model, photos.parent / "list.csv", tmp_path / "shards", top=2, shard=f"{number}/3") for number in (1, 2, 3)]

    rows = rows_of(tmp_path / "whole")
    assert (whole.num_pictures, whole.num_unreadable, whole.num_parts) == (12, 2, 6)
    assert [part.num_pictures for part in parts] == [4, 4, 4]
    assert sorted(rows_of(tmp_path / "shards"), key=lambda row: row["path"]) == sorted(rows, key=lambda row: row["path"])
    assert list(rows[0]) == ["path", "class", "probability", "class2", "probability2", "error"]
    assert {Path(row["path"]).name: row["error"].rpartition(": ")[2] for row in rows if row["error"]}.keys() == {"broken.jpg", "gone.png"}
    alone = model.predict([path for row in rows if not row["error"] for path in [row["path"]]]).items
    assert [(item.class_name, f"{item.probability:.6f}") for item in alone] == [
        (row["class"], row["probability"]) for row in rows if not row["error"]
    ]


def test_work_that_was_stopped_goes_on_where_it_ended(model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "PART", 3)
    answers, stops = answering._rows, iter((False, True))

    def stopped(*args):
        if next(stops):
            raise KeyboardInterrupt
        return answers(*args)

    monkeypatch.setattr(answering, "_rows", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(model, photos, tmp_path)
    assert len(rows_of(tmp_path)) == 3  # no half file
    monkeypatch.setattr(answering, "_rows", answers)
    report = run(model, photos, tmp_path)
    assert (report.num_answered, report.num_pictures) == (8, 11) and "3 were there" in summary(report)
    assert set(Counter(row["path"] for row in rows_of(tmp_path)).values()) == {1} and len(rows_of(tmp_path)) == 11
    with pytest.raises(UsageError, match=r"holds answers of other work \(top differs\)"):
        run(model, photos, tmp_path, top=2)


def test_answers_are_json_lines_or_parquet_too(model, photos, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    for kind in ("jsonl", "parquet"):
        run(model, photos, tmp_path / kind, output_format=kind)
    lines = [json.loads(line) for line in next((tmp_path / "jsonl").glob("*.jsonl")).read_text().splitlines()]
    table = parquet.read_table(next((tmp_path / "parquet").glob("*.parquet"))).to_pylist()
    assert [{name: value for name, value in row.items() if value is not None} for row in table] == lines
    assert isinstance(lines[0]["probability"], float) and "error" in lines[10]


def test_what_cannot_be_listed_is_one_clear_error(model, photos, tmp_path):
    for shard in ("17/16", "0/2", "x"):
        with pytest.raises(UsageError, match=f"`shard` {shard}: there is no such part"):
            run(model, photos, tmp_path / "a", shard=shard)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no pictures"):
        run(model, tmp_path / "empty", tmp_path / "a")
    (tmp_path / "list.csv").write_text("name,age\nx,1\n")
    with pytest.raises(DataError, match=r"list.csv: has no column of paths among name, age"):
        run(model, tmp_path / "list.csv", tmp_path / "a")
    with pytest.raises(UsageError, match="no place for the answers"):
        predict(PredictRequest(run=model, pictures=[photos], shard="1/2"))
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [("l.txt", "a.png\n\nb.png\n"), ("l.tsv", "label\tpath\n1\ta.png\n2\tb.png\n"), ("l.jsonl", '{"file": "a.png"}\n{"file": "b.png"}\n')],
)
def test_a_manifest_has_paths_from_its_folder(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    listed = list_pictures([tmp_path / name], print)
    assert (listed.total, list(Shard(2, 2).of(listed.paths()))) == (2, [str(tmp_path / "b.png")])


def test_python_answers_into_files_too(photos, tmp_path):
    path = saved(tmp_path)
    report = striate.predict(path, photos, output=tmp_path / "folder", output_format="jsonl", shard="2/2")
    assert (report.shard, report.num_pictures, len(list((tmp_path / "folder").glob("*.jsonl")))) == ("2/2", 5, 1)
    named = striate.predict(path, [photos / "1.png", str(photos / "2.png")], output=tmp_path / "files")
    assert (named.num_answered, [Path(row["path"]).name for row in rows_of(tmp_path / "files")]) == (2, ["1.png", "2.png"])
    with pytest.raises(UsageError, match="`output`, `shard`, `on`: answer picture files"):
        striate.predict(path, np.zeros((2, 8, 8, 3), np.uint8), output=tmp_path / "arrays")


def test_work_that_a_cluster_cannot_do_is_refused(model, photos, tmp_path, monkeypatch):
    for wrong, words in (
        ({"on": "dask"}, "`on` must be ray or ray=ADDRESS, got 'dask'"),
        ({"on": "ray"}, "the workers open the model from its file"),
    ):
        with pytest.raises(UsageError, match=words):
            run(model, photos, tmp_path / "a", **wrong)
    path = saved(tmp_path)
    with pytest.raises(UsageError, match="no place for the answers"):
        predict(PredictRequest(run=path, pictures=[photos], on="ray"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnvironmentFault, match="`on='ray'`: Ray is not installed"):
        run(path, photos, tmp_path / "a", on="ray")
    assert not (tmp_path / "a").exists()


@pytest.mark.release
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_cluster_whose_workers_are_killed_gives_the_bytes_of_one_process(photos, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(many, "PART", 100)
    path, listed = saved(tmp_path), tmp_path / "list.txt"
    listed.write_text("".join(f"{photos / name}\n" for _ in range(250) for name in ("1.png", "2.png", "broken.jpg", "3.png")))
    run(path, listed, tmp_path / "here")
    killed, ended = [], threading.Event()

    def kill() -> None:
        while not ended.wait(0.2) and len(killed) < 3:
            for one in workers():
                os.kill(one, signal.SIGKILL)
                killed.append(one)

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        report = run(path, listed, tmp_path / "there", on="ray")
    finally:
        ended.set()
        killing.join()
    assert (report.num_answered, report.num_unreadable, report.num_parts) == (1000, 250, 10)
    assert len(killed) >= 3
    for file in (tmp_path / "here").glob("*.csv"):
        assert (tmp_path / "there" / file.name).read_bytes() == file.read_bytes()


def workers() -> list[int]:
    """The processes of Ray, below this one, that answer a part."""
    parents, named = {}, []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            if b"part_on_worker" in (stat.parent / "cmdline").read_bytes():
                named.append(int(stat.parent.name))

    def is_ours(process: int) -> bool:
        while process > 1:
            if process == os.getpid():
                return True
            process = parents.get(process, 0)
        return False

    return [process for process in named if is_ours(process)]
