"""Logs in the forms of TensorBoard and MLflow hold what metrics.csv holds, once, and never stop a training."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from striate.core.errors import EnvironmentFault
from striate.core.journal import read_journal
from striate.workflows.training.logs import EventFiles, Logs, ServerRun, without_password
from striate.workflows.training.request import TrainRequest
from striate.workflows.training.running import QuietObserver
from striate.workflows.training.train import train

LOCAL = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME")
needs_tensorboard = pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
needs_mlflow = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")


class Notes(QuietObserver):
    """What was said; at update `at`, the program ends as by a kill."""

    def __init__(self, at: int = 0) -> None:
        self.at, self.steps, self.said = at, 0, []

    def say(self, text: str) -> None:
        self.said.append(text)

    def step(self, epoch: int, step: int, num_steps: int) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def no_server_of_the_user(monkeypatch):
    for name in LOCAL:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def request_of(tmp_path):
    """Three epochs of 3 updates on made-up pictures."""
    values = np.random.default_rng(0)
    labels = values.integers(0, 3, 60)
    images = values.integers(0, 256, (60, 8, 10), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_val=images[:12], y_val=labels[:12])

    def make(**more) -> TrainRequest:
        return TrainRequest(
            data=tmp_path / "data.npz",
            network="compact_cnn",
            epochs=3,
            batch_size=20,
            checkpoint_every=2,
            output=tmp_path / "run",
            diagnose=False,
            **more,
        )

    return make


def columns(run: Path) -> dict[str, list[float]]:
    """The columns of metrics.csv but the epoch."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(number + 1) for number in range(len(rows))]
    return {name: [float(row[name]) for row in rows] for name in rows[0] if name != "epoch"}


def curves_of_tensorboard(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.Tags()["scalars"]}


# ---- TensorBoard


@needs_tensorboard
def test_tensorboard_shows_each_column_of_the_metrics_over_the_epochs(request_of, tmp_path):
    train(request_of(log=("tensorboard",)))

    shown, written = curves_of_tensorboard(tmp_path / "run"), columns(tmp_path / "run")
    assert set(shown) == set(written) >= {"train_loss", "val_accuracy", "learning_rate"}
    for name, values in written.items():
        assert [step for step, _ in shown[name]] == [1, 2, 3]
        np.testing.assert_allclose([value for _, value in shown[name]], values, rtol=1e-6)  # its numbers are float32


@needs_tensorboard
def test_a_run_that_is_gone_on_with_stands_in_tensorboard_once(request_of, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(request_of(log=("tensorboard",)), observer=Notes(at=7))  # two epochs, of which the checkpoint of update 6 has both

    train(TrainRequest(resume=run, diagnose=False))  # the run has this log; it need not be named again

    assert len(list((run / "tensorboard").iterdir())) == 1
    assert [step for step, _ in curves_of_tensorboard(run)["train_loss"]] == [1, 2, 3]
    np.testing.assert_allclose([value for _, value in curves_of_tensorboard(run)["val_loss"]], columns(run)["val_loss"], rtol=1e-6)


@needs_tensorboard
def test_a_row_that_tensorboard_lacks_is_added_with_the_next(tmp_path, monkeypatch):
    said: list[str] = []
    rows = [{"epoch": number, "train_loss": 1 / number} for number in (1, 2, 3)]
    files = EventFiles(tmp_path)
    monkeypatch.setattr("striate.workflows.training.logs.SECONDS_BETWEEN_TRIES", 0.0)
    with Logs([files], said.append) as logs:
        logs.write(rows[:1])
        files.folder.rename(tmp_path / "away")  # as a disk that is gone for a while
        logs.write(rows[:2])
        logs.write(rows[:2])
        (tmp_path / "away").rename(files.folder)
        logs.write(rows)
        assert files.written == 3
        logs.status = "FINISHED"

    assert [step for step, _ in curves_of_tensorboard(tmp_path)["train_loss"]] == [1, 2, 3]
    (line,) = said
    assert line.startswith("tensorboard: ") and line.endswith("; the training goes on, and metrics.csv has every row")


# ---- MLflow


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """An MLflow server on this machine alone, with its store in SQLite."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/store.db", "--artifacts-destination", str(folder / "artifacts")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {name: value for name, value in os.environ.items() if name not in LOCAL} | quiet
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
    try:
        end = time.monotonic() + 600
        while not is_up(address):
            assert process.poll() is None and time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(120)


def is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
@needs_mlflow
def test_an_mlflow_server_gets_settings_epochs_files_and_the_end(server, request_of, tmp_path, monkeypatch, capsys):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(request_of(log=("mlflow",)), observer=Notes(at=7))
    client, number = MlflowClient(tracking_uri=server), json.loads((run / "mlflow.json").read_text())["run_id"]
    assert client.get_run(number).info.status == "KILLED"
    train(TrainRequest(resume=run, diagnose=False))

    kept = client.get_run(number)
    assert (kept.info.status, kept.info.run_name) == ("FINISHED", "run")
    assert kept.data.params["settings.batch_size"] == "20" and kept.data.params["network"] == "compact_cnn"
    history = {name: client.get_metric_history(number, name) for name in kept.data.metrics}
    assert set(history) == set(columns(run))
    for name, values in columns(run).items():
        shown = sorted(history[name], key=lambda metric: metric.step)
        assert [metric.step for metric in shown] == [1, 2, 3]  # once each
        if name not in ("seconds", "images_per_second"):
            assert [metric.value for metric in shown] == values
    assert {each.path for each in client.list_artifacts(number)} == {"best.safetensors", "config.yaml", "metrics.csv", "report"}
    copy = Path(client.download_artifacts(number, "best.safetensors", str(tmp_path)))
    assert copy.read_bytes() == (run / "best.safetensors").read_bytes()
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@needs_mlflow
def test_without_a_server_the_run_keeps_its_own_store_and_tells_what_went_wrong(request_of, tmp_path):
    from mlflow import MlflowClient

    with pytest.raises(ArithmeticError):
        train(request_of(log=("mlflow",), learning_rate=1e38, optimizer="sgd", warmup_epochs=0))

    run = tmp_path / "run"
    client, kept = MlflowClient(tracking_uri=f"sqlite:///{run}/mlflow.db"), json.loads((run / "mlflow.json").read_text())
    assert client.get_run(kept["run_id"]).info.status == "FAILED"
    assert (run / "mlflow-artifacts").is_dir()  # and nothing beside the run folder
    assert {path.name for path in tmp_path.iterdir()} == {"run", "data.npz"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@needs_mlflow
def test_a_server_that_is_down_is_said_once_and_at_the_end_and_stops_nothing(request_of, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{address}")
    notes = Notes()

    report = train(request_of(log=("mlflow",)), observer=notes)

    first, last = [line for line in notes.said if line.startswith("mlflow: ")]
    assert first.startswith(f"mlflow: http://{address} cannot be written: ")
    assert first.endswith("; the training goes on, and metrics.csv has every row")
    assert last.startswith("mlflow: 3 of 3 epochs are missing there (") and last.endswith("; metrics.csv has every row")
    assert report.epochs == 3 and len(columns(tmp_path / "run")["step"]) == 3
    assert not any("secret" in line for line in notes.said)


@needs_mlflow
def test_an_address_is_kept_and_shown_without_its_password(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@host.example:5000/path")

    assert without_password(ServerRun(tmp_path, {}).server) == "https://host.example:5000/path"
    assert without_password("sqlite:///a/b@c/mlflow.db") == "sqlite:///a/b@c/mlflow.db"


# ---- both, and neither


def test_a_package_that_is_missing_is_named_before_anything_is_made(request_of, tmp_path, monkeypatch):
    monkeypatch.setattr("striate.workflows.training.logs.importlib.util.find_spec", lambda name: None)

    with pytest.raises(EnvironmentFault) as error:
        train(request_of(log=("tensorboard", "mlflow")))

    assert error.value.message == "`log` tensorboard: the package tensorboard is not installed"
    assert error.value.remedy == "Install it with: pip install striate[logs]"
    assert not (tmp_path / "run").exists()


def test_a_log_that_is_not_known_is_refused(request_of):
    with pytest.raises(ValueError, match="tensorboard"):
        request_of(log=("tensorbord",))


@pytest.mark.slow
def test_without_a_log_neither_package_is_loaded_and_the_journal_has_each_epoch(request_of, forked, tmp_path):
    program = (
        "import sys; from pathlib import Path;"
        "from striate.workflows.training.request import TrainRequest; from striate.workflows.training.train import train;"
        f"train(TrainRequest(data=Path({str(tmp_path / 'data.npz')!r}), network='compact_cnn', epochs=2, batch_size=20,"
        f"output=Path({str(tmp_path / 'run')!r}), checkpoint_every=2));"
        "assert not {'tensorboard', 'mlflow'} & set(sys.modules)"
    )
    code, written = forked(tmp_path, program=program)
    assert code == 0, written

    journal = read_journal(tmp_path / "run" / "events.jsonl")
    epochs = [record for record in journal if record["event"] == "epoch"]
    for name, values in columns(tmp_path / "run").items():
        assert [record[name] for record in epochs] == values
    assert sorted({record["step"] for record in journal if record["event"] == "checkpoint"}) == [0, 2, 4, 6]
