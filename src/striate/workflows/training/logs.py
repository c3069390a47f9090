"""Logs of a training in other tools' formats, on request: TensorBoard's event files, runs of an MLflow server.

They never stop a training. `metrics.csv` stays the truth: a log is written from its rows, so that what a log lacks is added later.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self
from urllib.parse import urlsplit

from striate.core.bounded import read_json
from striate.core.errors import EnvironmentFault, InterruptedRun
from striate.core.files import write_atomically
from striate.core.text import encodable, json_text, printable
from striate.models.model import MODEL_NAME
from striate.workflows.runs.config import flat
from striate.workflows.training.request import LogName

Status = Literal["FINISHED", "KILLED", "FAILED"]
Row = Mapping[str, Any]  # of metrics.csv

SECONDS_BETWEEN_TRIES = 60.0  # after a log could not be written
TENSORBOARD = "tensorboard"  # of a run folder: the folder of event files
MLFLOW = "mlflow.json"  # of a run folder: which run of which server is its log
MLFLOW_STORE = "mlflow.db"  # of a run folder, where MLFLOW_TRACKING_URI names no server
ARTIFACTS = (MODEL_NAME, "config.yaml", "metrics.csv", "report/curves.png")  # of a run folder, that MLflow gets
ROWS_AT_ONCE = 50  # of an MLflow request, which takes 1,000 numbers


class Log(Protocol):
    """A log in another tool's format."""

    name: LogName
    written: int  # rows that it has

    def write(self, rows: Sequence[Row]) -> None:
        """Add the rows that it lacks.

        Raises:
            OSError: it cannot be written now.
        """

    def end(self, status: Status) -> None:
        """The training is over."""


class Logs:
    """The logs of one training, a context: leaving it ends them. Failures are reported once, retried, and summarized at the end."""

    def __init__(self, logs: Sequence[Log], say: Callable[[str], None]) -> None:
        self.logs, self.say = logs, say
        self.status: Status = "FAILED"  # the caller sets it when the training is over
        self.rows: Sequence[Row] = ()
        self.failed: dict[LogName, float] = {}  # when each failed last

    def write(self, rows: Sequence[Row]) -> None:
        """Bring each log up to `rows`, which are all rows so far."""
        self.rows = list(rows)
        for log in self.logs:
            if time.monotonic() - self.failed.get(log.name, -math.inf) < SECONDS_BETWEEN_TRIES:
                continue
            try:
                log.write(self.rows)
            except OSError as error:
                if log.name not in self.failed:
                    self.say(f"{log.name}: {reason(error)}; the training goes on, and metrics.csv has every row")
                self.failed[log.name] = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        status: Status = "KILLED" if isinstance(error, KeyboardInterrupt | InterruptedRun) else self.status
        for log in self.logs:
            try:
                log.write(self.rows)
                log.end(status)
            except OSError as problem:
                lacks = len(self.rows) - log.written
                what = f"{lacks} of {len(self.rows)} epochs are missing there" if lacks else "its end and its files are missing there"
                self.say(f"{log.name}: {what} ({reason(problem)}); metrics.csv has every row")


def reason(error: OSError) -> str:
    """An error in one line."""
    return str(getattr(error, "message", None) or error).splitlines()[0]


def check_packages(names: Sequence[LogName]) -> None:
    """Check that the packages for these logs are installed.

    Raises:
        EnvironmentFault: a package is missing.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise EnvironmentFault(f"`log` {name}: the package {name} is not installed", "Install it with: pip install striate[logs]")


def open_logs(names: Sequence[LogName], folder: Path, config: Mapping[str, Any], say: Callable[[str], None]) -> Logs:
    """The logs `names` of the run in `folder`, and those that it was started with.

    Args:
        names: Which; `check_packages` has been asked.
        folder: The run folder.
        config: The run's merged configuration.
        say: Receives a line for the user.
    """
    begun: dict[LogName, Path] = {"tensorboard": folder / TENSORBOARD, "mlflow": folder / MLFLOW}
    wanted = [name for name, path in begun.items() if name in names or path.exists()]
    makers: dict[LogName, Callable[[], Log]] = {"tensorboard": lambda: EventFiles(folder), "mlflow": lambda: ServerRun(folder, config)}
    logs = []
    for name in wanted:
        if importlib.util.find_spec(name) is None:
            say(f"{name}: is not installed here, so the log that this run started is not continued")
        else:
            logs.append(makers[name]())
    return Logs(logs, say)


# ---- TensorBoard


class EventFiles:
    """An event file in RUN/tensorboard. It is rewritten from the rows when a run continues, so that nothing is there twice."""

    name: LogName = "tensorboard"

    def __init__(self, run: Path) -> None:
        self.folder, self.path, self.written = run / TENSORBOARD, Path(), 0

    def write(self, rows: Sequence[Row]) -> None:
        """Append one event per epoch: each column of metrics.csv is a curve over the epochs."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        if self.path == Path():
            self._begin(Event(wall_time=time.time(), file_version="brain.Event:2"))
        for row in rows[self.written :]:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in numbers_of(row)]
            self._append(Event(wall_time=time.time(), step=row["epoch"], summary=Summary(value=values)))
            self.written += 1

    def _begin(self, first: Any) -> None:
        """A new file in place of those of before."""
        self.folder.mkdir(exist_ok=True)
        for old in self.folder.glob("events.out.tfevents.*"):
            old.unlink()
        self.path = self.folder / f"events.out.tfevents.{time.time_ns() // 10**9:010d}.{socket.gethostname()}.{os.getpid()}"
        self._append(first)

    def _append(self, event: Any) -> None:
        """One record, whole or not at all."""
        from tensorboard.summary.writer.record_writer import RecordWriter

        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        with self.path.open("ab") as file:
            size = file.tell()
            try:
                file.write(record.getvalue())
                file.flush()
            except OSError:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, size)
                raise

    def end(self, status: Status) -> None:
        """Nothing to do: the file is complete after each epoch."""


def numbers_of(row: Row) -> Iterator[tuple[str, float]]:
    """The finite numbers of a row but the epoch itself, with their names."""
    for name, value in row.items():
        if name != "epoch" and value is not None and math.isfinite(value):
            yield name, float(value)


# ---- MLflow


class ServerRun:
    """A run on the server that MLFLOW_TRACKING_URI names, else in RUN/mlflow.db. Settings are its parameters, epochs its steps."""

    name: LogName = "mlflow"

    def __init__(self, run: Path, config: Mapping[str, Any]) -> None:
        self.folder, self.config, self.written = run.resolve(), config, 0
        self.server = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.folder / MLFLOW_STORE}"
        self.run_id: str | None = None
        self.known: set[int] = set()  # epochs that the server has

    def write(self, rows: Sequence[Row]) -> None:
        """Send what the server lacks."""
        with said_as_faults(self.server):
            client = self._client()
            for start in range(self.written, len(rows), ROWS_AT_ONCE):
                part = rows[start : start + ROWS_AT_ONCE]
                client.log_batch(self.run_id, metrics=self._metrics(part))
                self.written = start + len(part)

    def end(self, status: Status) -> None:
        """Send the model, the curves and how it ended."""
        with said_as_faults(self.server):
            client = self._client()
            try:
                for name in ARTIFACTS:
                    if (self.folder / name).is_file():
                        client.log_artifact(self.run_id, str(self.folder / name), str(Path(name).parent) if "/" in name else None)
            finally:
                with contextlib.redirect_stdout(io.StringIO()):  # it prints an address there, and stdout is for results
                    client.set_terminated(self.run_id, status)

    def _metrics(self, rows: Sequence[Row]) -> list[Any]:
        from mlflow.entities import Metric

        now = time.time_ns() // 10**6
        new = [row for row in rows if row["epoch"] not in self.known]
        return [Metric(name, value, now, row["epoch"]) for row in new for name, value in numbers_of(row)]

    def _client(self) -> Any:
        """The client; at its first use the run is found or made."""
        for name, value in (("DISABLE_TELEMETRY", "true"), ("HTTP_REQUEST_MAX_RETRIES", "1"), ("HTTP_REQUEST_TIMEOUT", "10")):
            os.environ.setdefault(f"MLFLOW_{name}", value)  # nothing is sent elsewhere, and a server that is down holds nothing up
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=self.server)
        if self.run_id is None:
            self.run_id = self._found(client) or self._made(client)
        return client

    def _found(self, client: Any) -> str | None:
        """The run that this training was logged to before it was stopped, if the server still has it."""
        from mlflow.exceptions import MlflowException

        try:
            kept = read_json(self.folder / MLFLOW)
            run_id = str(kept["run_id"]) if kept["server"] == without_password(self.server) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if run_id is None:
            return None
        try:
            before = client.get_run(run_id).data.params
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        for name, value in parameters_of(self.config).items():
            if before.get(name, value) != value:  # a parameter cannot be changed there: that of an extended run is said as a tag
                client.set_tag(run_id, name, value)
        self.known = {metric.step for metric in client.get_metric_history(run_id, "train_loss")}
        client.update_run(run_id, status="RUNNING")
        return run_id

    def _made(self, client: Any) -> str:
        """A new run, named as the run folder."""
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "striate"
        experiment = client.get_experiment_by_name(name)
        own_store = not os.environ.get("MLFLOW_TRACKING_URI")
        place = (self.folder / "mlflow-artifacts").as_uri() if own_store else None
        number = experiment.experiment_id if experiment is not None else client.create_experiment(name, artifact_location=place)
        run_id = str(client.create_run(number, run_name=printable(self.folder.name)).info.run_id)
        params = [Param(key, value) for key, value in parameters_of(self.config).items()]
        client.log_batch(run_id, params=params[:100])
        kept = {"server": without_password(self.server), "run_id": run_id}
        write_atomically(self.folder / MLFLOW, (json_text(kept, indent=2) + "\n").encode())
        return run_id


@contextlib.contextmanager
def said_as_faults(server: str) -> Iterator[None]:
    """Context that raises MLflow's errors as ours."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        words = str(error).replace(server, without_password(server)).splitlines()
        raise EnvironmentFault(f"{without_password(server)} cannot be written: {words[0] if words else type(error).__name__}") from error


def parameters_of(config: Mapping[str, Any]) -> dict[str, str]:
    """The configuration as text, with dotted names; a server takes at most 6,000 characters per value."""
    return {name: encodable(str(value))[:6000] for name, value in flat(config).items()}


def without_password(address: str) -> str:
    """An address without the name and password that it may carry."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else address
