"""A run keeps its split: what was held out stays so, whatever happens to the data; and other data is measured as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import striate
from striate.core.errors import DataError, RefusedFileError, UsageError
from striate.data.recorded import SplitRecord
from striate.data.sources import open_data
from striate.networks.layers import Chain, Conv
from striate.networks.network import Network
from striate.workflows.ablation.lesion import LesionRequest, lesion_model
from striate.workflows.attack import AttackRequest, attack
from striate.workflows.diagnosis.diagnose import DiagnoseRequest, diagnose
from striate.workflows.evaluation.calibrate import CalibrateRequest, calibrate
from striate.workflows.evaluation.compare import CompareRequest, compare
from striate.workflows.evaluation.evaluate import EvaluateRequest, evaluate
from striate.workflows.explanation.explain import ExplainRequest, explain
from striate.workflows.subjects.labelled import DataRequest, open_labelled
from striate.workflows.training.repro import ReproRequest, repro
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.train import train


def draw(root: Path, count: int, classes: tuple[str, ...] = ("cat", "dog"), seed: int = 0) -> Path:
    """`count` pictures of 16 x 16 of each class, which all differ."""
    values = np.random.default_rng(seed)
    for k, name in enumerate(classes):
        for i in range(count):
            path = root / name / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.normal(60 + 80 * k, 15, (16, 16, 3)).clip(0, 255).astype(np.uint8)).save(path)
    return root


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> tuple[Path, Path]:
    """40 pictures, and a run that held out 4 of them."""
    folder = tmp_path_factory.mktemp("kept")
    draw(folder / "p", 20)
    train(TrainRequest(data=folder / "p", network="lenet5", epochs=1, diagnose=False, output=folder / "r"))
    return folder / "p", folder / "r"


@pytest.fixture
def kept(original, tmp_path) -> tuple[Path, Path]:
    """Copies of the pictures, whose folder has moved with that, and of the run."""
    for source in original:
        shutil.copytree(source, tmp_path / source.name)
    return tmp_path / "p", tmp_path / "r"


def without_record(run: Path) -> None:
    """Make a run one of an older version, which did not record its split."""
    (run / "split.json").unlink()
    model = striate.load(run)
    model.info = {name: value for name, value in model.info.items() if name not in ("split", "files")}
    model.save(run / "best.safetensors")


def held_out(run: Path) -> list[str]:
    return json.loads((run / "split.json").read_text())["val"]["names"]


def read(run: Path, data: Path | None, split: str | None = "val", *, model: Path | None = None) -> tuple[list[str], list[str]]:
    """The pictures that a verb gets, by folder and name, and what it is told of them."""
    said: list[str] = []
    source = run if model is None else model
    images = open_labelled(striate.load(source), source, DataRequest(data=data), verb="evaluate RUN").read(split, said.append)
    return ["/".join(Path(path).parts[-2:]) for path in images.paths], said


def outputs(run: Path, data: Path) -> dict[str, np.ndarray]:
    model = striate.load(run)
    images = open_labelled(model, run, DataRequest(data=data), verb="evaluate RUN").read("val", lambda _text: None)
    return dict(zip(images.paths, model.outputs(images.images), strict=True))


def test_the_run_and_the_model_file_say_which_pictures_were_held_out(original):
    data, run = original
    record = json.loads((run / "split.json").read_text())

    assert len(record["val"]["names"]) == 4 and len(record["train"]["names"]) == 36 and not record["own_val"]
    every = {path.relative_to(data).as_posix() for path in data.rglob("*.png")}
    assert set(record["val"]["names"]) | set(record["train"]["names"]) == every
    info = striate.load(run).info["split"]
    assert (info["num_train"], info["num_val"], len(info["val"])) == (36, 4, 4 * 8)  # 6 bytes a picture, in base64


def test_a_deleted_and_added_pictures_move_nothing_into_val(kept):
    data, run = kept
    before, val = outputs(run, data), held_out(run)
    (data / val[0]).unlink()
    draw(data / "more", 3, seed=9)
    for path in (data / "more").rglob("*.png"):
        path.rename(data / path.parent.name / f"new-{path.name}")
    shutil.rmtree(data / "more")

    names, said = read(run, data)
    after = outputs(run, data)

    assert names == val[1:]
    told = f"val: 3 of the 4 pictures that the training held out; 1 of 4 held-out pictures is gone ({val[0]}); "
    assert said == [told + "6 new pictures belong to neither train nor val"]
    assert all((after[path] == before[path]).all() for path in after) and len(after) == 3
    assert read(run, data, model=run / "best.safetensors")[0] == val[1:]
    alone = shutil.copy(run / "best.safetensors", run.parent / "model.safetensors")
    assert sorted(read(run, data, model=Path(alone))[0]) == sorted(val[1:])


def test_renamed_pictures_are_found_by_their_content_also_from_the_model_file_alone(kept):
    data, run = kept
    was = {path.relative_to(data).as_posix(): path.read_bytes() for path in data.rglob("*.png")}
    val = {was[name] for name in held_out(run)}
    for path in sorted(data.rglob("*.png"), reverse=True):
        path.rename(path.with_name(f"z{99 - int(path.stem)}.png"))
    alone = Path(shutil.copy(run / "best.safetensors", run.parent / "model.safetensors"))

    for model in (run, alone):
        names, _ = read(run, data, model=model)
        assert {(data / name).read_bytes() for name in names} == val


def test_renumbered_pictures_do_not_take_each_others_place(kept):
    """What is called as a held-out picture was is another picture now, on which the network was trained."""
    data, run = kept
    first = sorted((data / "cat").iterdir())
    contents = [path.read_bytes() for path in first]
    val = {(data / name).read_bytes() for name in held_out(run)}
    for path, content in zip(first, [*contents[1:], contents[0]], strict=True):
        path.write_bytes(content)

    assert {(data / name).read_bytes() for name in read(run, data)[0]} == val


def test_a_changed_picture_is_said_and_a_copy_of_a_trained_one_is_not_val(kept):
    data, run = kept
    val, trained = held_out(run), json.loads((run / "split.json").read_text())["train"]["names"]
    Image.new("RGB", (16, 16), (1, 2, 3)).save(data / val[0])
    shutil.copy(data / trained[0], data / val[1])

    names, said = read(run, data)

    assert names == [val[0], *val[2:]]
    assert f"1 of 4 held-out pictures is gone ({val[1]}); 1 has changed ({val[0]})" in said[0]


def test_a_new_class_is_no_matter_and_a_renamed_one_is_named(kept):
    data, run = kept
    draw(data, 5, ("bird",), seed=4)
    assert read(run, data)[0] == held_out(run)
    (data / "cat").rename(data / "kitten")

    with pytest.raises(DataError, match=r"class 'bird', 'kitten' is not known to the model"):
        read(run, data)


def test_a_picture_of_another_class_now_is_said_and_ends_a_repetition(kept):
    data, run = kept
    name = held_out(run)[0]
    (data / name).rename(data / "dog" / "moved.png")
    assert name.startswith("cat/")

    assert f"1 of 4 held-out pictures has a different class now ({name}: dog)" in read(run, data)[1][0]
    with pytest.raises(UsageError, match=rf"1 of 4 validation pictures has a different class now \({name}: dog\)"):
        repro(ReproRequest(run=run, data=data))


def test_a_record_of_an_older_version_has_no_classes_and_tells_of_none(kept):
    data, run = kept
    plain = json.loads((run / "split.json").read_text())
    for role in ("train", "val", "unused"):
        del plain[role]["labels"]
    (data / held_out(run)[0]).rename(data / "dog" / "moved.png")

    record = SplitRecord.from_data(plain)

    assert record.find(open_data(data)).relabelled == {"train": [], "unused": [], "val": []}
    assert record.to_data() == plain


def test_arrays_with_other_labels_are_not_the_runs_own_ones_unsaid(tmp_path):
    X, y = np.random.default_rng(0).integers(0, 256, (20, 16, 16), np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "d.npz", x_train=X, y_train=y)
    train(TrainRequest(data=tmp_path / "d.npz", network="lenet5", epochs=1, diagnose=False, output=tmp_path / "r"))
    np.savez(tmp_path / "d.npz", x_train=X, y_train=1 - y)

    assert "18 of 18 training pictures have a different class now" in read(tmp_path / "r", None, "train")[1][0]


def test_pictures_of_a_val_folder_of_the_users_own_are_its_own_less_those_that_were_trained_on(tmp_path):
    draw(tmp_path / "p" / "train", 6)
    draw(tmp_path / "p" / "val", 3, seed=1)
    train(TrainRequest(data=tmp_path / "p", network="lenet5", steps=1, diagnose=False, output=tmp_path / "r"))
    assert read(tmp_path / "r", None)[1] == []  # nothing was held out by the training, and nothing has changed
    (tmp_path / "p/train/cat/00.png").rename(tmp_path / "p/val/cat/trained.png")
    draw(tmp_path / "p" / "val", 4, ("dog",), seed=7)

    names, said = read(tmp_path / "r", None)

    assert "cat/trained.png" not in names and len(names) == 3 + 4
    assert "1 was trained on, and is left out" in said[0]


def test_pictures_left_aside_by_train_images_are_neither(kept):
    data, run = kept
    shutil.rmtree(run)
    train(TrainRequest(data=data, network="lenet5", steps=1, train_images=10, diagnose=False, output=run))

    assert len(read(run, data, "train")[0]) == 10
    assert len(read(run, data, "val")[0]) == 4
    assert len(json.loads((run / "split.json").read_text())["unused"]["names"]) == 26


@pytest.mark.parametrize("what", ["gone", "changed", "added", "moved"])
def test_a_run_goes_on_with_its_pictures_or_says_why_it_cannot(kept, what):
    data, run = kept
    name = json.loads((run / "split.json").read_text())["train"]["names"][3]
    if what == "gone":
        (data / name).unlink()
    elif what == "changed":
        Image.new("RGB", (16, 16)).save(data / name)
    elif what == "added":
        draw(data, 2, ("aardvark",), seed=5)
    else:
        (data / name).rename((data / name).with_name("zz.png"))
    request = TrainRequest(resume=run, data=data, epochs="+1", diagnose=False)

    if what in ("gone", "changed"):
        with pytest.raises(UsageError, match=f"have changed since the checkpoint: 1 .*{what}.*{name}"):
            train(request)
    else:
        assert (train(request).num_train, repro(ReproRequest(run=run, data=data)).equal) == (36, True)


def test_a_run_of_an_older_version_computes_its_split_again_and_says_so(kept):
    data, run = kept
    val = held_out(run)
    without_record(run)

    names, said = read(run, data)

    assert names == val
    assert said == [said[0]] and "exact only if the data has not changed since" in said[0]


def test_a_split_file_of_another_run_is_refused(kept):
    data, run = kept
    record = json.loads((run / "split.json").read_text())
    record["train"], record["val"] = record["val"], record["train"]
    (run / "split.json").write_text(json.dumps(record))

    with pytest.raises(RefusedFileError, match=r"split\.json"):
        read(run, data)


# ---- other data


def test_other_pictures_are_measured_all_and_not_in_the_place_of_the_runs_own(kept, tmp_path):
    _, run = kept
    draw(tmp_path / "new", 10, seed=3)

    report = evaluate(EvaluateRequest(run=run, data=tmp_path / "new"))

    assert (report.split, report.num_images, report.accuracy) == ("all", 20, 1.0)
    assert report.output == str(run / "report" / "evaluate-on-new")
    assert evaluate(EvaluateRequest(run=run, data=tmp_path / "new", split="train")).num_images == 20


@pytest.mark.parametrize(("place", "split"), [("held", "test"), ("held/test", "all")])
def test_a_folder_with_test_pictures_alone_is_measured(kept, tmp_path, place, split):
    _, run = kept
    draw(tmp_path / "held" / "test", 5, seed=3)

    report = evaluate(EvaluateRequest(run=run, data=tmp_path / place))

    assert (report.split, report.num_images) == (split, 10)


@pytest.mark.parametrize(("count", "classes"), [(4, ("dog",)), (1, ("cat", "dog"))])
def test_one_class_or_one_picture_a_class_is_enough_to_be_looked_at(kept, tmp_path, count, classes):
    _, run = kept
    data = draw(tmp_path / "few", count, classes, seed=3)
    total = count * len(classes)

    assert evaluate(EvaluateRequest(run=run, data=data)).num_images == total
    assert attack(AttackRequest(run=run, data=data, attacks=("noise",), epsilons=(0.0,), output=tmp_path / "a")).num_images == total
    assert calibrate(CalibrateRequest(run=run, data=data, output=tmp_path / "c.safetensors")).num_images == total
    assert lesion_model(LesionRequest(run=run, data=str(data), output=tmp_path / "l")).images == total
    shown = explain(ExplainRequest(run=run, data=data, methods=("saliency",), sanity=False, output=tmp_path / "e"))
    assert len(shown.pictures) == total


def test_an_unknown_class_of_other_data_is_named(kept, tmp_path):
    _, run = kept
    draw(tmp_path / "new", 2, ("cat", "emu"), seed=3)

    with pytest.raises(DataError, match=r"new: class 'emu' is not known to the model"):
        evaluate(EvaluateRequest(run=run, data=tmp_path / "new"))


def test_strange_pictures_may_be_of_a_single_kind(kept, tmp_path):
    _, run = kept
    strange = draw(tmp_path / "strange", 3, ("noise",), seed=1)

    found = calibrate(CalibrateRequest(run=run, against=strange)).against

    assert found.num_images == 3


def test_a_run_on_folders_that_would_stop_a_new_training_goes_on(tmp_path):
    for year in ("2023", "2024"):
        draw(tmp_path / "p" / year, 4, seed=int(year))
    made = {"data": tmp_path / "p", "network": "lenet5", "epochs": 1, "diagnose": False, "output": tmp_path / "r"}
    train(TrainRequest(**made, layout="classes"))
    for path in (tmp_path / "r" / "config.yaml", *(tmp_path / "r" / "checkpoints").glob("*/*.json")):
        path.write_text(path.read_text().replace("layout: classes", "layout: auto"))  # as a version that did not ask wrote it

    assert repro(ReproRequest(run=tmp_path / "r")).equal


def test_other_data_is_never_divided_as_if_it_were_the_runs_own(kept, tmp_path):
    _, run = kept
    draw(tmp_path / "new" / "train", 4, seed=3)
    draw(tmp_path / "new" / "test", 4, seed=5)

    assert evaluate(EvaluateRequest(run=run, data=tmp_path / "new", split="train")).num_images == 8
    with pytest.raises(DataError, match=r"new has no val split; it has train, test, and the model was not trained on this data"):
        evaluate(EvaluateRequest(run=run, data=tmp_path / "new", split="val"))


def test_pictures_that_were_trained_on_are_counted_among_others(kept, tmp_path):
    data, run = kept
    draw(tmp_path / "new" / "test", 5, seed=3)
    name = next(name for name in json.loads((run / "split.json").read_text())["train"]["names"])
    shutil.copy(data / name, tmp_path / "new" / "test" / "cat" / "known.png")
    alone = Path(shutil.copy(run / "best.safetensors", tmp_path / "model.safetensors"))

    for model in (run, alone):
        said = read(run, tmp_path / "new", None, model=model)[1]
        assert "warning: 1 of 11 test pictures was trained on, so the accuracy is too high (test/cat/known.png)" in said


@pytest.mark.parametrize("task", ["classify", "regression", "multilabel"])
def test_arrays_with_a_test_part_alone_are_measured(tmp_path, task):
    values = np.random.default_rng(0)
    images = values.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    targets = {
        "classify": np.arange(30) % 2,
        "regression": values.normal(size=(30, 2)),
        "multilabel": np.stack([np.arange(30) % 2, np.arange(30) % 3 > 0], 1).astype(int),
    }[task]
    train(TrainRequest(data=(images, targets), task=task, network="lenet5", steps=1, diagnose=False, output=tmp_path / "r"))
    np.savez(tmp_path / "held.npz", x_test=255 - images[:4], y_test=targets[::2][:4])

    report = evaluate(EvaluateRequest(run=tmp_path / "r", data=tmp_path / "held.npz"))

    assert (report.split, report.num_images) == ("test", 4)


def test_rows_taken_out_of_arrays_leave_the_others_where_they_were(tmp_path):
    values = np.random.default_rng(0)
    images, labels = values.integers(0, 256, (40, 8, 8), dtype=np.uint8), np.arange(40) % 2
    train(TrainRequest(data=(images, labels), network="lenet5", steps=1, diagnose=False, output=tmp_path / "r"))
    val = json.loads((tmp_path / "r" / "split.json").read_text())["val"]["numbers"]
    left = np.delete(np.arange(40), [val[0], 5 if val[0] != 5 else 6])

    said: list[str] = []
    model = striate.load(tmp_path / "r")
    read_again = open_labelled(model, tmp_path / "r", DataRequest(data=(images[left], labels[left])), verb="evaluate RUN").read(
        "val", said.append
    )

    assert len(read_again) == len(val) - 1 and "1 of 4 held-out pictures is gone" in said[0]
    own = open_labelled(model, tmp_path / "r", DataRequest(data=(images, labels)), verb="evaluate RUN").read("val", said.append)
    np.testing.assert_array_equal(read_again.images, own.images[1:])


@pytest.mark.parametrize("alone", [False, True])
def test_test_pictures_that_were_trained_on_are_said_of_the_runs_own_data_and_reported(tmp_path, alone):
    data = draw(tmp_path / "p" / "train", 8).parent
    draw(data / "test", 3, seed=9)
    for place in ("00", "01"):
        shutil.copy(data / "train" / "cat" / f"{place}.png", data / "test" / "cat" / f"{place}.png")
    train(TrainRequest(data=data, network="lenet5", epochs=1, val_fraction=0.2, diagnose=False, output=tmp_path / "r"))
    held = {Path(name).name for name in held_out(tmp_path / "r") if "cat" in name}
    model = Path(shutil.copy(tmp_path / "r" / "best.safetensors", tmp_path / "model.safetensors")) if alone else tmp_path / "r"
    said: list[str] = []
    report = evaluate(EvaluateRequest(run=model, data=data, output=tmp_path / "e"), say=said.append)
    names = tuple(f"test/cat/{place}.png" for place in ("00", "01") if f"{place}.png" not in held)
    among = json.loads((tmp_path / "e" / "measures.json").read_text())["trained_among"]

    assert names and (among["names"], among["is_exact"]) == (list(names), True)
    assert report.trained_among is not None and report.trained_among.count == len(names)
    assert any(f"{len(names)} of 6 test pictures w" in line and "the accuracy is too high" in line for line in said)


def test_of_a_run_without_a_record_it_is_said_that_nothing_is_known_of_test(tmp_path):
    data = draw(tmp_path / "p" / "train", 8).parent
    draw(data / "test", 2, seed=9)
    train(TrainRequest(data=data, network="lenet5", epochs=1, diagnose=False, output=tmp_path / "r"))
    without_record(tmp_path / "r")
    said: list[str] = []

    assert evaluate(EvaluateRequest(run=tmp_path / "r"), say=said.append).trained_among is None
    assert any(line.startswith("test: the run does not record which pictures it was trained on") for line in said)


def test_models_are_compared_on_other_pictures_and_each_says_what_it_was_trained_on(kept, tmp_path):
    run = kept[1]
    other = draw(tmp_path / "other", 6, seed=7)
    train(TrainRequest(data=other, network="lenet5", epochs=1, diagnose=False, output=tmp_path / "s"))
    test = draw(tmp_path / "new", 3, seed=11)
    trained = json.loads((tmp_path / "s" / "split.json").read_text())["train"]["names"]
    shutil.copy(other / next(name for name in trained if "dog" in name), test / "dog" / "known.png")
    said: list[str] = []
    found = compare(CompareRequest(subjects=(run, tmp_path / "s"), data=test), say=said.append)

    assert (found.split, found.num_images) == ("all", 7)
    assert [line for line in said if "trained on, so" in line] == [
        f"{tmp_path / 's'}: warning: 1 of 7 pictures was trained on, so the accuracy is too high (dog/known.png)"
    ]


def test_runs_that_held_out_other_pictures_are_not_compared_on_them(kept, tmp_path):
    data, run = kept
    for name in held_out(run):
        (data / name).rename(tmp_path / name.replace("/", "-"))
    train(TrainRequest(data=data, network="lenet5", epochs=1, diagnose=False, output=tmp_path / "s"))
    for name in held_out(run):
        (tmp_path / name.replace("/", "-")).rename(data / name)

    with pytest.raises(UsageError, match="held out different pictures"):
        compare(CompareRequest(subjects=(run, tmp_path / "s"), data=data))


def draw_masks(root: Path, count: int, kinds: int, seed: int) -> Path:
    """`count` pictures of 16 x 16 and their masks, which hold the first `kinds` of two classes."""
    values = np.random.default_rng(seed)
    for i in range(count):
        mask = np.zeros((16, 16), np.uint8)
        mask[4:12, 4:12] = kinds - 1
        picture = (values.normal(60, 10, (16, 16, 3)) + 100 * mask[..., None]).clip(0, 255).astype(np.uint8)
        for folder, array in (("images", picture), ("masks", mask)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(root / folder / f"{i:02d}.png")
    return root


@pytest.mark.parametrize(("place", "split"), [("test", "test"), (".", "all")])
@pytest.mark.parametrize("kinds", [1, 2])
def test_masks_of_other_pictures_are_measured_also_of_test_alone_and_of_one_class(tmp_path, masks_run, place, split, kinds):
    draw_masks(tmp_path / "new" / place, 3, kinds, seed=5)
    (tmp_path / "new" / "classes.txt").write_text("ground\nsquare\n")
    shutil.copy(masks_run.parent / "p" / "images" / "00.png", tmp_path / "new" / place / "images" / "00.png")
    trained = "00" in {Path(name).stem for name in json.loads((masks_run / "split.json").read_text())["train"]["names"]}
    said: list[str] = []
    report = evaluate(EvaluateRequest(run=masks_run, data=tmp_path / "new", output=tmp_path / "e"), say=said.append)

    assert (report.split, report.num_images) == (split, 3)
    assert report.trained_among is not None and report.trained_among.count == int(trained)
    assert any("the measures are too good" in line for line in said) == trained


@pytest.fixture(scope="module")
def masks_run(tmp_path_factory) -> Path:
    """A run that was trained on masks of two classes."""
    folder = tmp_path_factory.mktemp("masks")
    draw_masks(folder / "p", 12, 2, seed=1)
    (folder / "p" / "classes.txt").write_text("ground\nsquare\n")
    network = Network("tiny", (3, 16, 16), Chain(unit=Conv(4, 3, padding="same"), head=Conv(2, 1)))
    train(TrainRequest(data=folder / "p", task="segment", network=network, steps=1, batch_size=2, diagnose=False, output=folder / "r"))
    return folder / "r"


@pytest.mark.parametrize(
    "verb",
    [
        lambda run, data, **how: evaluate(EvaluateRequest(run=run, data=data, **how)),
        lambda run, data, **how: calibrate(CalibrateRequest(run=run, data=data, **how)),
        lambda run, data, **how: attack(AttackRequest(run=run, data=data, attacks=("fgsm",), epsilons=(0.1,), **how)),
        lambda run, data, **how: explain(ExplainRequest(run=run, data=data, num_pictures=1, sanity=False, **how)),
        lambda run, data, **how: lesion_model(LesionRequest(run=run, data=data, images=2, **how)),
        lambda run, data, **how: compare(CompareRequest(subjects=(run, run), data=data, **how)),
        lambda run, data, **how: diagnose(DiagnoseRequest(run=run, data=data, **how)),
    ],
    ids=["evaluate", "calibrate", "attack", "explain", "lesion", "compare", "diagnose"],
)
def test_each_verb_that_reads_pictures_stops_at_an_unreadable_one_or_skips_it_as_its_remedy_says(kept, verb):
    data, run = kept
    (data / "cat" / "broken.jpg").write_bytes(b"no picture")

    with pytest.raises(DataError, match=r"broken\.jpg") as caught:
        verb(run, data)

    assert "`skip_unreadable=True`" in caught.value.remedy
    verb(run, data, skip_unreadable=True)
