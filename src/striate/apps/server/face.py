"""The Python interface of the server: `striate serve` in a process of its own, started and stopped by a program."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

from striate.apps.server.request import PARENT, ServeRequest
from striate.core.calls import call_as_in
from striate.core.errors import EnvironmentFault, StriateError, error_of
from striate.core.files import given_path
from striate.models.exported import ExportedModel
from striate.models.model import Model

Served = str | PathLike[str] | Model
SECONDS = 30.0  # for what is in flight, when a server stops


class Server:
    """A server that answers in a process of its own, until `stop`, the end of a `with` block, or the end of the program.

    Attributes:
        url: Its address.
        models: The facts of each model, as `GET /models` gives them.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str], files: contextlib.ExitStack) -> None:
        self._files = files  # of models that were only in memory
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        atexit.register(self.stop)
        said: list[str] = []
        self._listener = threading.Thread(target=self._listen, args=(said,), daemon=True)
        self._listener.start()
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            self.stop()
            raise _told(said[0] if said else "") or EnvironmentFault("the server ended", "See what it wrote before.")
        told = json.loads(line)
        self.url: str = told["url"]
        self.models: list[dict[str, Any]] = told["models"]

    def _listen(self, said: list[str]) -> None:
        """Pass on what the process writes, and keep its last line, which may be an error."""
        for line in self._process.stderr or ():
            said[:] = [line]
            if _told(line) is None:
                sys.stderr.write(line)

    def wait(self) -> None:
        """Wait until it is stopped; Ctrl-C stops it."""
        try:
            self._process.wait()
        except KeyboardInterrupt:
            self.stop()

    def stop(self) -> None:
        """Finish what is in flight, and end."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS)
            self._process.kill()
        self._process.wait()
        self._listener.join()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._files.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Server({self.url}, models: {', '.join(each['name'] for each in self.models)})"


@call_as_in("striate.serve('runs/digits', port=8000)")
def serve(  # noqa: PLR0913  # the fields of the request
    models: Served | Sequence[Served] | Mapping[str, Served],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    allow_host: Sequence[str] = (),
    batch_size: int = 16,
    wait: float = 2.0,
    queue: int = 128,
    max_body: float = 16.0,
    time_limit: float = 15.0,
    device: str = "auto",
) -> Server:
    """Serve models over HTTP, as `striate serve`, in a process of its own: `striate.serve("runs/digits", port=8000).url`.

    Args:
        models: A run folder, a model file or a Model; several of them, or by name. Of a run its exported file answers where there is one.
        host: Address to listen on; one that other machines reach needs a token.
        port: Port to listen on; 0: any that is free.
        token: Text that each request must carry as its bearer token.
        allow_host: Further names that requests may call the server.
        batch_size: Pictures answered at once, at most.
        wait: Milliseconds that a picture waits for others.
        queue: Pictures that may wait; further ones are refused at once.
        max_body: MiB of a request, at most.
        time_limit: Seconds for a request to arrive, and for a batch to be answered.
        device: Of models that were not exported.

    Returns:
        The server, once it answers. It ends with the program: a script that only serves calls `.wait()`.

    Raises:
        UsageError: no model, two of one name, or a bad field.
        RefusedFileError: a model file is damaged, or a run is not done.
        EnvironmentFault: the port is taken or not allowed, or a package is missing.
    """
    named = models if isinstance(models, Mapping) else None
    every = list(models.values()) if isinstance(models, Mapping) else list(models) if isinstance(models, list | tuple) else [models]
    with contextlib.ExitStack() as files:
        folder = files.enter_context(tempfile.TemporaryDirectory(prefix="striate-served-"))
        paths = [_path(model, Path(folder) / str(place)) for place, model in enumerate(every)]
        words = [f"{name}={path}" for name, path in zip(named, paths, strict=True)] if named is not None else paths
        request = ServeRequest.of(
            models=words, host=host, port=port, token=token, allow_host=tuple(allow_host), batch_size=batch_size, wait=wait, queue=queue,
            max_body=max_body, time_limit=time_limit, device=device,
        )  # fmt: skip
        fields = ("host", "port", "batch_size", "wait", "queue", "max_body", "time_limit", "device")
        options = [f"--{name.replace('_', '-')}={getattr(request, name)}" for name in fields]
        options += [f"--allow-host={name}" for name in request.allow_host]
        environment = {name: value for name, value in os.environ.items() if name != "STRIATE_TOKEN"}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        environment[PARENT] = str(os.getpid())
        if token is not None:
            environment["STRIATE_TOKEN"] = token  # where other users do not see it
        return Server([sys.executable, "-m", "striate", "serve", *options, "--json", "--", *words], environment, files.pop_all())


def _told(line: str) -> StriateError | None:
    """The error that a line of the process tells, if it does."""
    return error_of(json.loads(line)["error"]) if line.startswith('{"error": ') else None


def _path(model: Served, folder: Path) -> str:
    """The file of a model; one that is only in memory is written into `folder`."""
    if isinstance(model, ExportedModel):
        return str(model.path)
    if not isinstance(model, Model):
        return str(given_path(model, "models"))
    folder.mkdir()
    model.save(folder / f"{model.network.name}.safetensors")
    return str(folder / f"{model.network.name}.safetensors")
