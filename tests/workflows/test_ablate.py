"""Ablations of tiny networks on drawn pictures: variants, budgets, failing trials, resuming, files."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import striate
from striate.core.errors import DataError, EnvironmentFault, RefusedFileError, UnknownNameError, UsageError
from striate.core.journal import read_journal
from striate.core.locks import RunLock
from striate.networks.layers import Activation, BatchNorm, Chain, Conv, GlobalPool, Linear, Pool
from striate.networks.network import Network
from striate.workflows.ablation import planning, trials
from striate.workflows.ablation import trial as trial_process
from striate.workflows.ablation.ablate import AblateRequest, ablate
from striate.workflows.ablation.report import summary
from striate.workflows.ablation.rows import VariantRow
from striate.workflows.ablation.variants import applied, read_grid, variants_of
from striate.workflows.training.running import QuietObserver

NET = Network(
    "tiny",
    (1, 8, 9),
    Chain(
        conv=Conv(4, 5, padding=2, bias=False),
        norm=BatchNorm(),
        act=Activation("relu"),
        pool=Pool("max", 2),
        head=Chain(pool=GlobalPool(), linear=Linear(2)),
    ),
)
TRAINING = {"epochs": 2, "batch_size": 16, "val_fraction": 0.25}


def drawn(count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Bright and dark pictures of noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    return (rng.integers(0, 100, (count, 8, 9)) + 120 * labels[:, None, None]).astype(np.uint8), labels


class Listener(QuietObserver):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def data_file(tmp_path: Path) -> Path:
    images, labels = drawn()
    np.savez(tmp_path / "drawn.npz", x_train=images, y_train=labels)
    return tmp_path / "drawn.npz"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Listener]:
    """An ablation in this process: baseline, two edits and their pair, two seeds."""
    listener, folder = Listener(), tmp_path_factory.mktemp("ablate") / "run"
    request = AblateRequest(
        network=NET,
        data=drawn(),
        edits=("without norm", "split-kernels 3x3"),
        pairs=True,
        seeds=2,
        training=TRAINING,
        output=folder,
    )
    return ablate(request, observer=listener), folder, listener


# ---- variants


@pytest.mark.parametrize(
    ("edit", "kinds"),
    [
        ("without norm", ["conv", "relu", "max_pool"]),
        ("swap activation=tanh", ["conv", "batch_norm", "tanh"]),
        ("split-kernels 3x3", ["conv", "batch_norm", "relu", "conv", "batch_norm", "relu"]),
        ("split-kernels 3x3@conv", ["conv", "batch_norm", "relu", "conv"]),
        ("factorize", ["conv", "batch_norm", "relu", "conv"]),
    ],
)
def test_an_edit_in_words_is_the_networks_method(edit: str, kinds: list[str]) -> None:
    found = [row.layer.role if row.layer.role == "pool" else row.layer.kind for row in applied(NET, edit).rows]

    assert found[: len(kinds)] == [kind.replace("max_pool", "pool") for kind in kinds]


def test_width_in_words() -> None:
    assert applied(NET, "width 0.5") == NET.width(0.5)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("wihtout norm", "unknown edit 'wihtout'"),
        ("without", "needs a word after it"),
        ("swap activation", "must name a replacement"),
        ("swap colour=red", "unknown role to swap 'colour'"),
        ("width half", "width must be a positive factor such as 0.5, got 'half'"),
        ("without shortcut", "tiny has no shortcut"),
    ],
)
def test_an_edit_that_cannot_be_done_says_why(edit: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        variants_of(NET, [edit])


def test_a_file_lists_variants_and_a_grid(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("variants:\n  bare: [without norm, swap activation=tanh]\ngrid:\n- [none, width 0.5]\n- [none, factorize]\n")

    found = variants_of(NET, [], grid=path)

    assert [one.name for one in found] == ["baseline", "bare", "factorize", "width 0.5", "width 0.5 + factorize"]
    assert found[1].network == NET.without("norm").swap(activation="tanh")


@pytest.mark.parametrize(("text", "words"), [("[1]", "must hold"), ("grid: 3", "grid must be a list"), ("variants: {a: 3}", "variants.a")])
def test_a_file_that_lists_nothing_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises((UsageError, RefusedFileError), match=words):
        read_grid(path)


def test_a_grid_that_combines_to_more_variants_than_anybody_trains_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text(f"grid: {[['none', 'without norm'] * 5] * 12}")

    with pytest.raises(UsageError, match="grid combines to 1,000,000,000,000 variants, more than 1,000"):
        read_grid(path)


def test_a_grid_that_cannot_be_read_is_told_with_its_own_flag(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "grid.yaml")

    for name, error in (("grid.yaml", RefusedFileError), ("nowhere.yaml", UsageError)):
        with pytest.raises(error, match=f"{name}: no") as caught:
            read_grid(tmp_path / name)
        assert caught.value.remedy.startswith("`grid` takes a YAML file")


def test_all_edits_that_cannot_be_made_are_named_at_once_and_their_pairs_are_not() -> None:
    edits = ["without norm", "without shortcut", "without branch=5x5", "width 0.5"]
    with pytest.raises(UsageError) as caught:
        variants_of(NET, edits, pairs=True)

    assert caught.value.message.splitlines() == [
        "2 variants of tiny cannot be made:",
        "  without shortcut: tiny has no shortcut. Its layers are: act, conv, linear, norm, pool.",
        "  without branch=5x5: tiny has no branch 5x5. It has no branches.",
    ]


@pytest.mark.parametrize("what", ["head", "linear", "head.pool"])
def test_what_is_left_must_give_one_score_a_class(what: str) -> None:
    net = Network("maps", (1, 8, 9), Chain(conv=Conv(4, 3), head=Chain(linear=Conv(2, 1), pool=GlobalPool())))
    with pytest.raises(UsageError, match=r"the output of maps would be \(.*\), and must stay \(2,\), a score per class"):
        variants_of(net, [f"without {what}"])


def test_networks_without_a_description_are_refused_in_words() -> None:
    import torch

    from striate.networks.foreign import own_network

    own = own_network(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 3)), (1, 8, 9))
    with pytest.raises(UsageError, match="Sequential is the user's own module, and not described by its parts") as caught:
        variants_of(own, ["without augmentation"])
    assert "striate ablate RUN --lesion" in caught.value.remedy


def test_no_augmentation_cannot_be_left_out() -> None:
    training = {**TRAINING, "crop_padding": 0, "flip": False}
    with pytest.raises(UsageError, match="without augmentation: this training has no augmentation"):
        striate.ablate(NET, drawn(), "without augmentation", training=training)


def test_no_edit_is_an_error() -> None:
    with pytest.raises(UsageError, match="nothing to ablate"):
        variants_of(NET, [])
    with pytest.raises(UnknownNameError, match="unknown edit"):
        variants_of(NET, ["-"])


# ---- a whole ablation


@pytest.mark.row("004-20")
def test_every_variant_is_trained_from_every_seed(done: tuple[Any, Path, Listener]) -> None:
    report, folder, _ = done

    assert [row.name for row in report.variants] == ["baseline", "without norm", "split-kernels 3x3", "without norm + split-kernels 3x3"]
    assert [row.done for row in report.variants] == [2, 2, 2, 2]
    assert len(read_journal(folder / "trials.jsonl")) == report.trials == 8
    base, bare = report.variants[0], report.variants[1]
    assert (base.params, bare.params) == (NET.params, NET.without("norm").params)
    accuracies = [
        [json.loads((folder / "trials" / name / f"seed-{seed}" / "result.json").read_text())["accuracy"] for seed in (0, 1)]
        for name in ("baseline", "without-norm")
    ]
    assert bare.difference == pytest.approx(np.mean(accuracies[1]) - np.mean(accuracies[0]))
    assert list(base.gradients_before) == ["conv", "head.linear"]
    assert len(base.curve) == 2


def test_what_an_edit_changes_is_said_before_anything_trains(done: tuple[Any, Path, Listener]) -> None:
    lines = done[2].lines

    said = next(i for i, line in enumerate(lines) if line.startswith("without norm:"))
    trained = next(i for i, line in enumerate(lines) if "val accuracy" in line)
    assert said < trained
    assert "- norm  BatchNorm()" in lines[said]


def test_the_report_lies_in_the_run_as_json_csv_html_markdown_and_picture(done: tuple[Any, Path, Listener]) -> None:
    _, folder, _ = done

    assert json.loads((folder / "report" / "ablation.json").read_text())["variants"][0]["name"] == "baseline"
    assert (folder / "report" / "ablation.csv").read_text().splitlines()[1].startswith(f"baseline,{NET.params},{NET.macs},")
    table = (folder / "report" / "ablation.md").read_text()
    assert table.startswith("tiny on arrays, 2 seeds per variant, equal epochs (6 steps)\n\n| variant |")
    assert f"| without norm | {NET.without('norm').params:,} |" in table
    assert (folder / "report" / "ablation.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "report" / "ablation.html").read_text()
    assert "<td>without norm</td>" in page and "http:" not in page and "https:" not in page


def test_a_terminal_of_100_columns_shows_the_table_whole(done: tuple[Any, Path, Listener]) -> None:
    row = VariantRow(
        **{
            **vars(done[0].variants[1]),
            "name": "without shortcut + swap activation=leaky_relu",
            "params": 1_234_567,
            "macs": 65_000_000_000,
        },
    )
    lines = summary(dataclasses.replace(done[0], variants=(*done[0].variants, row))).splitlines()

    table = lines[lines.index("") + 1 :]
    assert max(map(len, table[: table.index("")])) <= 100
    assert table[0].split() == ["variant", "params", "MACs", "accuracy", "95", "%", "change", "p", "loss", "gradient", "seconds"]
    assert table[1].startswith("baseline  ")
    assert table[table.index(row.name) + 1].split()[:2] == ["1.23M", "65G"]
    assert f"tables, curves and page in {done[1]}/report" in lines[-1]


def test_a_resumed_ablation_repeats_no_finished_trial(done: tuple[Any, Path, Listener], tmp_path: Path) -> None:
    report, folder = done[0], tmp_path / "run"
    shutil.copytree(done[1], folder)
    journal = folder / "trials.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:5]) + lines[5][:20])  # killed while it wrote the sixth
    (folder / "trials" / "without-norm" / "seed-1" / "result.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/*/best.safetensors")}

    resumed = ablate(AblateRequest(resume=folder, data=drawn()))

    trained = [path.parent for path, time in before.items() if path.stat().st_mtime_ns != time]
    assert trained == [folder / "trials" / "without-norm" / "seed-1"]
    assert (resumed.repeated, resumed.trials) == (7, 8)
    assert [row.accuracy for row in resumed.variants] == [row.accuracy for row in report.variants]
    assert [row.train_loss for row in resumed.variants] == [row.train_loss for row in report.variants]
    assert sorted(record["trial"] for record in read_journal(journal)) == sorted(json.loads(line)["trial"] for line in lines)


def test_what_failed_or_hung_is_trained_again_where_that_is_asked_for(done: tuple[Any, Path, Listener], tmp_path: Path) -> None:
    report, folder, listener = done[0], tmp_path / "run", Listener()
    shutil.copytree(done[1], folder)
    journal, records = folder / "trials.jsonl", read_journal(done[1] / "trials.jsonl")
    bad = {
        "without norm seed 1": {"status": "failed", "message": "no space"},
        "baseline seed 0": {"status": "hung", "message": "no update for 600 s"},
        "split-kernels 3x3 seed 0": {"status": "diverged", "message": "NaN"},
    }
    journal.write_text("".join(json.dumps({**one, "result": bad.get(one["trial"], one["result"])}) + "\n" for one in records))
    (folder / "trials" / "without-norm" / "seed-1" / "result.json").write_text(json.dumps(bad["without norm seed 1"]))
    (folder / "trials" / "baseline" / "seed-0" / "result.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trials/*/*/best.safetensors")}

    kept = ablate(AblateRequest(resume=folder, data=drawn()))
    again = ablate(AblateRequest(resume=folder, data=drawn(), retry_failed=True), observer=listener)
    third = ablate(AblateRequest(resume=folder, data=drawn(), retry_failed=True))

    assert (kept.failed, kept.repeated) == (2, 8)
    assert f"2 failed or hung; rerun them with: striate ablate --resume {folder} --retry-failed" in summary(kept)
    trained = {path.parent.relative_to(folder / "trials").as_posix() for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert trained == {"without-norm/seed-1", "baseline/seed-0"}
    assert "6 of 8 trials are finished; 2 are to be trained, including those that failed or hung" in listener.lines
    assert (again.failed, again.repeated, third.repeated) == (0, 6, 8)
    assert "retry" not in summary(again)
    assert [row.accuracy for row in again.variants[:2]] == [row.accuracy for row in report.variants[:2]]
    assert again.variants[2].problems == ("seed 0: diverged: NaN",)


def test_there_must_be_something_to_try_again() -> None:
    with pytest.raises(UsageError, match="`retry_failed=True` needs an existing ablation"):
        ablate(AblateRequest(network=NET, data=drawn(), edits=("without norm",), retry_failed=True))


def test_a_variant_that_goes_nan_is_a_row_that_says_so(tmp_path: Path) -> None:
    training = {**TRAINING, "learning_rate": 1e30}
    report = ablate(AblateRequest(network=NET, data=drawn(), edits=("without norm",), seeds=1, training=training, output=tmp_path / "run"))

    assert report.variants[1].done == 0
    assert report.variants[1].problems[0].startswith("seed 0: diverged: ")
    assert "diverged" in summary(report)


def test_a_trial_that_torch_refuses_is_a_row_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = trial_process.gradient_norms

    def refused(plan: Any, module: Any) -> dict[str, float]:
        if plan.fitting.network != NET:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator:\n can't allocate memory")
        return norms(plan, module)

    monkeypatch.setattr(trial_process, "gradient_norms", refused)
    report = striate.ablate(NET, drawn(), "without norm", seeds=1, training=TRAINING, output=tmp_path / "run")

    assert [row.done for row in report.variants] == [1, 0]
    assert report.variants[1].problems[0] == ("seed 0: failed: out of memory: [enforce fail] DefaultCPUAllocator: can't allocate memory")


def test_equal_macs_give_half_the_steps_to_twice_the_macs(tmp_path: Path) -> None:
    request = AblateRequest(
        network=NET,
        data=drawn(),
        edits=("width 2",),
        seeds=1,
        budget="macs",
        training={**TRAINING, "epochs": None, "steps": 40},
        output=tmp_path / "run",
    )
    base, wide = ablate(request).variants

    assert base.steps == 40
    assert wide.steps == round(40 * base.macs / wide.macs)


def test_equal_time_measures_an_update_of_each_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cost = {"baseline": 0.25, "width 2": 0.5}
    measured = planning.seconds_a_step

    def known(plan: Any, one: Any) -> float:
        assert measured(plan, one) > 0
        return cost[one.name]

    monkeypatch.setattr(planning, "seconds_a_step", known)
    training = {**TRAINING, "epochs": None, "steps": 8}
    request = AblateRequest(
        network=NET, data=drawn(), edits=("width 2",), seeds=1, budget="time", training=training, output=tmp_path / "run"
    )

    assert [row.steps for row in ablate(request).variants] == [8, 4]


def test_without_augmentation_changes_the_training_alone(tmp_path: Path) -> None:
    request = AblateRequest(network=NET, data=drawn(), edits=("without augmentation",), seeds=1, training=TRAINING, output=tmp_path / "run")
    report = ablate(request)

    configs = [(tmp_path / "run" / "trials" / name / "seed-0" / "config.yaml").read_text() for name in ("baseline", "without-augmentation")]
    assert ["crop_padding: 0" in text for text in configs] == [False, True]
    assert report.variants[0].params == report.variants[1].params


def test_there_must_be_an_ablation_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no ablation to continue"):
        ablate(AblateRequest(resume=tmp_path))
    (tmp_path / "ablation.json").write_text("[")
    with pytest.raises(RefusedFileError, match=r"ablation\.json: invalid JSON"):
        ablate(AblateRequest(resume=tmp_path))


def test_the_data_must_exist(tmp_path: Path) -> None:
    with pytest.raises((DataError, UsageError), match="nowhere"):
        ablate(AblateRequest(network=NET, data=str(tmp_path / "nowhere"), edits=("without norm",)))


# ---- processes


def stand_in(code: str) -> Any:
    """What starts in place of a trial."""

    def start(one: trials.Trial, threads: int) -> subprocess.Popen[bytes]:
        folder = trials.prepare(one)
        with (folder / "output.txt").open("wb") as output:
            return subprocess.Popen([sys.executable, "-c", code], stdout=output, stderr=subprocess.STDOUT)

    return start


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        ("raise SystemExit('no such device')", "failed", "exit code 1 no such device"),
        ("import os; os.kill(os.getpid(), 9)", "failed", "ended by signal 9"),
        ("print('x' * 10**6); raise SystemExit('after many words')", "failed", "exit code 1 after many words"),
        ("import time; time.sleep(60)", "hung", "no update for 0.5 s"),
    ],
)
def test_a_trial_that_fails_or_hangs_is_a_result_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: str, words: str
) -> None:
    monkeypatch.setattr(trials, "_start", stand_in(code))
    one = trials.Trial(variant="baseline", seed=0, folder=tmp_path / "trial", config={}, network="{}")

    ((_, result),) = trials.in_processes([one], jobs=2, hang_after=0.5 if status == "hung" else 60.0)

    assert result["status"] == status
    assert words in result["message"]


@pytest.mark.slow
def test_trials_in_processes_are_those_of_this_process(tmp_path: Path, data_file: Path) -> None:
    request = AblateRequest(
        network=NET, data=str(data_file), edits=("without norm",), seeds=1, jobs=2, training=TRAINING, output=tmp_path / "run"
    )
    report = ablate(request)
    here = ablate(AblateRequest(network=NET, data=drawn(), edits=("without norm",), seeds=1, training=TRAINING, output=tmp_path / "here"))

    assert [row.done for row in report.variants] == [1, 1]
    assert [row.accuracy for row in report.variants] == [row.accuracy for row in here.variants]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_trials_run_on_two_workers_of_ray(tmp_path: Path, data_file: Path) -> None:
    """The cluster that Ray starts here listens on this machine's own addresses only."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    heard: set[str] = set()

    class Ports(QuietObserver):
        def say(self, text: str) -> None:
            heard.update(listening() if text.startswith(("1/2", "2/2")) else ())

    request = AblateRequest(
        network=NET, data=str(data_file), edits=("without norm",), seeds=1, on="ray", training=TRAINING, output=tmp_path / "run"
    )
    try:
        report = ablate(request, observer=Ports())
    except Exception as error:
        if "timed out during startup" in str(error):  # Ray waits half a minute
            pytest.skip("this machine is too busy to start Ray")
        raise

    assert [row.done for row in report.variants] == [1, 1]
    assert heard if shutil.which("ss") else True
    assert {address for address in heard if not re.match(r"127\.|\[::1\]|\[::ffff:127\.", address)} == set()


def listening() -> set[str]:
    """The addresses on which this process and those that it started wait for connections."""
    if shutil.which("ss") is None:
        return set()
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    ours = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in ours} - ours:
        ours |= more
    lines = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[3] for line in lines if ours & set(map(int, re.findall(r"pid=(\d+)", line)))}


@pytest.mark.parametrize("lack", ["Ray is not installed", "Ray 2.9.3 is older than 2.50"])
def test_without_ray_the_trials_run_in_processes_here_and_a_cluster_cannot_be_reached(
    tmp_path: Path, data_file: Path, monkeypatch: pytest.MonkeyPatch, lack: str
) -> None:
    import types

    old = types.ModuleType("ray")
    old.__version__ = "2.9.3"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", old if "older" in lack else None)
    monkeypatch.setattr(trials, "_start", stand_in("raise SystemExit('started')"))
    listener = Listener()
    request = AblateRequest(
        network=NET, data=str(data_file), edits=("without norm",), seeds=1, on="ray", training=TRAINING, output=tmp_path / "run"
    )

    report = ablate(request, observer=listener)

    assert f"`on='ray'`: {lack}; the trials run in processes of this machine instead, with the same results" in listener.lines
    assert all("started" in row.problems[0] for row in report.variants)
    with pytest.raises(EnvironmentFault, match=f"`on='ray=10.0.0.1:6379'`: {lack}"):
        ablate(dataclasses.replace(request, on="ray=10.0.0.1:6379", output=tmp_path / "other"))


@pytest.mark.parametrize(("code", "status"), [("import os; os.kill(os.getpid(), 9)", "failed"), ("import time; time.sleep(60)", "hung")])
def test_a_trial_on_a_worker_that_dies_or_hangs_is_a_result_that_says_so(monkeypatch: pytest.MonkeyPatch, code: str, status: str) -> None:
    monkeypatch.setattr(trials, "_start", stand_in(code))

    result = json.loads(trials.trial_on_worker(0, "{}", "{}", 0.5 if status == "hung" else 60.0, 1))

    assert result["status"] == status


def test_a_trial_that_still_runs_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "ORPHAN_SECONDS", 0.2)
    one = trials.Trial(variant="baseline", seed=0, folder=tmp_path / "trial", config={}, network="{}")
    with RunLock(trials.prepare(one)), pytest.raises(EnvironmentFault, match="another run is using this folder"):
        trials.prepare(one)

    assert (trials.prepare(one) / "network.json").read_text() == "{}"


def test_a_trial_whose_driver_is_gone_does_nothing(tmp_path: Path) -> None:
    assert trial_process.main(tmp_path, parent=os.getppid() + 1) == 6
    assert not list(tmp_path.iterdir())


def test_only_ray_is_known(tmp_path: Path, data_file: Path) -> None:
    request = AblateRequest(network=NET, data=str(data_file), edits=("without norm",), on="dask", training=TRAINING, output=tmp_path / "r")
    with pytest.raises((UsageError, EnvironmentFault), match="`on` must be ray or ray=ADDRESS, got 'dask'"):
        ablate(request)


# ---- lesions


@pytest.mark.parametrize(
    ("most", "expected"), [(0, []), (1, [1]), (9, [*range(1, 10)]), (54, [1, 6, 11, 15, 20, 25, 30, 35, 40, 44, 49, 54])]
)
def test_curves_of_many_blocks_have_few_points(most: int, expected: list[int]) -> None:
    from striate.workflows.ablation.lesion import _spaced

    assert _spaced(most) == expected


@pytest.mark.row("004-20")
def test_a_trained_model_is_damaged_and_left_as_it_was(tmp_path: Path, data_file: Path) -> None:
    from striate.workflows.ablation.lesion import LesionRequest, lesion_model
    from striate.workflows.ablation.lesion import summary as lesion_summary

    folder = tmp_path / "run"
    striate.train(str(data_file), network=NET, output=folder, epochs=12, batch_size=8)
    held = (folder / "best.safetensors").read_bytes()

    report = lesion_model(LesionRequest(run=folder))

    lesions = {point.lesion for point in report.points}
    assert lesions == {"channels smallest", "channels largest", "channels random", "filters"}  # it has no blocks
    assert all(0 <= point.accuracy <= 1 for point in report.points)
    assert (folder / "report" / "lesion" / "lesion.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "best.safetensors").read_bytes() == held
    assert "lesion" in lesion_summary(report)


# ---- what others left in the folder


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("ablation.json", "[" * 100_000, "ablation.json: more than 500 levels deep"),
        ("ablation.json", '{"variants": []}', "ablation.json: lacks network"),
        ("trials.jsonl", "null\n", "trials.jsonl, line 1: must be an object, got None"),
        ("trials.jsonl", '{"trial": "baseline seed 0"}\n', "trials.jsonl, line 1: lacks result"),
        (
            "trials.jsonl",
            '{"trial": "baseline seed 0", "result": {"status": "failed"}}\n',
            "trials.jsonl, line 1: lacks result.failed.message",
        ),
        ("trials/baseline/seed-0/result.json", "[]", "result.json: must be a mapping of names to values, got"),
        ("trials/baseline/seed-0/result.json", '{"status": "odd"}', "result.json: .*'odd'"),
    ],
)
def test_a_damaged_file_of_an_ablation_is_refused_by_name(
    done: tuple[Any, Path, Listener], tmp_path: Path, name: str, text: str, words: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(done[1], folder)
    (folder / "trials.jsonl").unlink()
    (folder / name).write_text(text)

    with pytest.raises(RefusedFileError, match=words):
        ablate(AblateRequest(resume=folder, data=drawn()))


@pytest.mark.parametrize("name", ["ablation.json", "trials.jsonl", "trials/baseline/seed-0/result.json"])
def test_a_pipe_in_place_of_a_file_of_an_ablation_is_not_waited_for(done: tuple[Any, Path, Listener], tmp_path: Path, name: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(done[1], folder)
    (folder / "trials.jsonl").unlink()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)

    with pytest.raises(RefusedFileError, match=f"{name}: not a plain file"):
        ablate(AblateRequest(resume=folder, data=drawn()))


@pytest.mark.parametrize(("field", "value"), [("seeds", 10**12), ("seeds", "2"), ("hang_after", -1), ("first_seed", -1), ("variants", [])])
def test_a_field_of_the_plan_out_of_range_is_refused_by_name(
    done: tuple[Any, Path, Listener], tmp_path: Path, field: str, value: object
) -> None:
    plan = json.loads((done[1] / "ablation.json").read_text())
    (tmp_path / "ablation.json").write_text(json.dumps({**plan, field: value}))

    with pytest.raises(RefusedFileError, match=f"ablation.json: {field}: "):
        ablate(AblateRequest(resume=tmp_path, data=drawn()))
