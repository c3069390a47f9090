"""`striate ablate` on the command line: what it asks for, and what it says of wrong flags."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import striate
from striate.apps.cli import main
from striate.core.errors import UsageError
from striate.networks.catalog import network
from striate.workflows.ablation import ablate as ablate_workflow

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run_striate(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the command asks the workflow for; nothing is trained."""
    seen: list[Any] = []

    def note(request: Any, *, observer: Any = None) -> Any:
        seen.append(request)
        return ablate_workflow.AblateReport(
            run="runs/x", network="n", data="d", budget="epochs", seeds=1, variants=(), trials=0, repeated=0, seconds=0.0
        )

    monkeypatch.setattr(ablate_workflow, "ablate", note)
    return seen


def test_each_flag_is_an_edit(run_striate: Run, requests: list[Any]) -> None:
    flags = "--without shortcut --without branch=5x5 --swap activation=tanh --split-kernels 3x3 --factorize"
    flags += " --head global-pool --width 0.5 --depth 2"
    code, out, _ = run_striate(
        "ablate",
        "resnet20_cifar",
        "cifar10",
        *flags.split(),
        "--pairs",
        "--seeds",
        5,
        "--lr",
        0.05,
        "--epochs",
        4,
        "--json",
        "--img-size",
        32,
        "--set",
        "settings.ema=0.9",
    )

    (request,) = requests
    assert code == 0
    assert json.loads(out)["run"] == "runs/x"
    assert request.edits == (
        *("without shortcut", "without branch=5x5", "swap activation=tanh", "split-kernels 3x3"),
        *("head global-pool", "width 0.5", "depth 2", "factorize"),
    )
    assert (request.pairs, request.seeds, request.training) == (
        True,
        5,
        {"epochs": 4, "learning_rate": 0.05, "image_size": 32, "set": {"settings.ema": 0.9}},
    )


def test_the_network_and_the_data_must_be_named(run_striate: Run) -> None:
    code, out, err = run_striate("ablate", "resnet20_cifar", "--without", "norm")

    assert (code, out) == (2, "")
    assert "ablate needs NETWORK and DATA" in err


def test_an_edit_that_matches_nothing_ends_before_anything_is_made(run_striate: Run, tmp_path: Path) -> None:
    code, _, err = run_striate("ablate", "compact_cnn", "digits", "--without", "shortcut", "--output", tmp_path / "run")

    assert code == 2
    assert "has no shortcut" in err
    assert not (tmp_path / "run").exists()


def test_lesions_of_a_run_come_as_json(run_striate: Run, tmp_path: Path) -> None:
    net = network("resnet20_cifar", 10, 1, (8, 8)).width(0.25)
    striate.train("digits", network=net, steps=20, batch_size=64, output=tmp_path / "run")

    code, out, _ = run_striate("ablate", tmp_path / "run", "--lesion", "--images", 40, "--json")

    report = json.loads(out)
    assert code == 0
    single = [point for point in report["points"] if point["lesion"] == "block"]
    assert [point["where"] for point in single][:2] == ["stage1.block1.body", "stage1.block2.body"]
    assert report["images"] == 40
    assert {"blocks", "shuffle", "channels smallest", "filters"} <= {point["lesion"] for point in report["points"]}


def test_lesions_need_a_run(run_striate: Run) -> None:
    code, _, err = run_striate("ablate", "--lesion")

    assert code == 2
    assert "--lesion needs the folder of a training run" in err


def test_the_verb_is_a_function_too() -> None:
    with pytest.raises(UsageError, match="sedes"):
        striate.ablate("compact_cnn", "digits", "without norm", sedes=2)
