"""The process that holds the models: started, watched, replaced when it ends or hangs, and when a model's file changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from striate.apps.server import wire
from striate.apps.server.batching import Item, Queue
from striate.apps.server.metrics import Metrics
from striate.apps.server.refused import Refused, unavailable
from striate.apps.server.request import ServeRequest
from striate.apps.server.sources import Source
from striate.core.errors import EnvironmentFault, StriateError, error_of
from striate.core.text import counted

POLL = 0.5  # s between two looks at the files
START_LIMIT = 300.0  # s in which a process must have opened its models and warmed up
LONGEST_PAUSE = 5.0  # s between two attempts to start it
OPEN_AGAIN = "See what the process wrote before."


class Lost(Exception):
    """The process ended, or hung and was killed."""

    def __init__(self, *, hung: bool) -> None:
        super().__init__("hung" if hung else "ended")
        self.hung = hung


class Worker:
    """A running process of `worker.py`, whose models are open and warm."""

    def __init__(self, process: asyncio.subprocess.Process, models: Path) -> None:
        self.process, self.models = process, models
        self.facts: dict[str, dict[str, Any]] = {}

    @classmethod
    async def start(cls, sources: list[Source], request: ServeRequest, models: Path) -> Worker:
        """A process that has opened the copies of the files in the folder `models`.

        Raises:
            StriateError: a file is refused, or the process ended; names the model's own file.
        """
        copies = {source.name: str(models / f"{source.name}{source.file.suffix}") for source in sources}
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment.pop("STRIATE_TOKEN", None)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "striate.apps.server.worker", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env=environment, limit=2**20,
        )  # fmt: skip
        worker = cls(process, models)
        job = {"models": copies, "device": request.device, "batch_size": request.batch_size}
        try:
            header, _ = await worker._exchange(wire.packed(job), START_LIMIT)
        except Lost as lost:
            names = ", ".join(str(source.file) for source in sources)
            raise EnvironmentFault(f"{names}: the process that opens it {lost}", OPEN_AGAIN) from None
        if (told := header.get("refused")) is not None:
            source = next(each for each in sources if each.name == told["name"])
            await worker.close()
            raise error_of({**told, "message": told["message"].replace(copies[source.name], str(source.file))})
        worker.facts = header["ready"]
        return worker

    async def answers(self, items: list[Item], limit: float) -> list[Any]:
        """The answer of each item.

        Raises:
            Lost: the process ended, or took longer than `limit` seconds and was killed.
        """
        model, kind = items[0].key
        header = {"model": model, "kind": kind, "items": [item.header for item in items]}
        found, _ = await self._exchange(wire.packed(header, [item.data for item in items]), limit)
        answers: list[Any] = found["answers"]
        return answers

    async def _exchange(self, message: list[bytes], limit: float) -> tuple[Any, list[bytes]]:
        """The reply to a message."""
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("a process without pipes")
        hung = False
        try:
            async with asyncio.timeout(limit):
                self.process.stdin.writelines(message)
                await self.process.stdin.drain()
                return await wire.receive(self.process.stdout)
        except TimeoutError:
            hung = True
        except (asyncio.IncompleteReadError, BrokenPipeError, ConnectionResetError):
            pass
        self.kill()
        raise Lost(hung=hung)

    def kill(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def close(self) -> None:
        """Let the process end, and remove its copies of the files."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await self.process.wait()
        except TimeoutError:
            self.kill()
            await self.process.wait()


class Crew:
    """Keeps one process with the current models running and hands it batches of the queue.

    Args:
        sources: The models.
        request: The limits.
        queue: The pictures to answer.
        metrics: What is counted.
        say: Tells the user what happens.
    """

    def __init__(self, sources: list[Source], request: ServeRequest, queue: Queue, metrics: Metrics, say: Callable[[str], None]) -> None:
        self.sources, self.request, self.queue, self.metrics, self.say = sources, request, queue, metrics, say
        self.home = Path(tempfile.mkdtemp(prefix="striate-serve-"))
        self.states = {source.name: source.state for source in sources}
        self.worker: Worker | None = None
        self.next: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self.facts: dict[str, dict[str, Any]] = {}
        self.refused: dict[str, str] = {}  # why the newest file of a model is not served
        self.retiring: asyncio.Future[None] | None = None  # the end of the process before
        self.copies = 0

    @property
    def ready(self) -> bool:
        """True if a warm process waits for pictures."""
        return self.worker is not None and self.worker.process.returncode is None

    async def start(self) -> None:
        """Open the models for the first time; raises as `Worker.start` and `Source.copy`."""
        self._now(await self._opened(await asyncio.to_thread(self._copied)))

    async def run(self) -> None:
        """Answer what is in the queue, for ever."""
        pause = 0.0
        while True:
            if self.worker is None:
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause + 0.1)
                await self._restart()
                continue
            taken = asyncio.ensure_future(self.queue.batch())
            ended = asyncio.ensure_future(self.worker.process.wait())
            await asyncio.wait((taken, ended, self.next), return_when=asyncio.FIRST_COMPLETED)
            if self.next.done():
                old = self.worker
                self._now(self.next.result())
                self.retiring = asyncio.ensure_future(self._retire(old))
            ended.cancel()
            if not taken.done():
                taken.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    self.queue.put_first(await taken)
                if self.worker.process.returncode is not None:
                    self._gone(Lost(hung=False))
                continue
            pause = 0.0
            await self._answer(self.worker, taken.result())

    async def _answer(self, worker: Worker, items: list[Item]) -> None:
        """Answer a batch, or put it back."""
        begun = time.monotonic()
        try:
            answers = await worker.answers(items, self.request.time_limit)
        except Lost as lost:
            self._gone(lost)
            reason = unavailable("the process that computes the answers ended")
            if lost.hung:
                reason = Refused(422, f"took longer than {self.request.time_limit:g} s to decode and answer", "Send a smaller picture.")
            self.queue.put_back(items, reason)
            return
        self.queue.computed(len(items), time.monotonic() - begun)
        model = items[0].key[0]
        self.metrics.batches.labels(model).observe(len(items))
        for item, answer in zip(items, answers, strict=True):
            told = answer.get("fault") if isinstance(answer, dict) else None
            self.metrics.pictures.labels(model, "refused" if told else "answered").inc()
            if item.answer.done():
                continue
            if told:
                headers = {"Retry-After": "1"} if told["status"] == 503 else None
                item.answer.set_exception(Refused(told["status"], told["message"], told["remedy"], kind=told["kind"], headers=headers))
            else:
                item.answer.set_result(answer)

    async def watch(self) -> None:
        """Open files that changed, for ever; one that is refused leaves the old ones in service."""
        seen = dict(self.states)
        while True:
            await asyncio.sleep(POLL)
            states = {source.name: source.state for source in self.sources}
            settled, seen = states == seen, states  # a file that is still being written changes from look to look
            changed = [name for name, state in states.items() if state is not None and state != self.states[name]]
            if not settled or not changed or self.next.done():
                continue
            self.states = {name: state or self.states[name] for name, state in states.items()}
            try:
                worker = await self._opened(await asyncio.to_thread(self._copied))
            except StriateError as error:
                self.refused |= dict.fromkeys(changed, error.message)
                self.metrics.reloads.labels("refused").inc()
                self.say(f"{', '.join(changed)}: not reloaded, the old file serves: {error.message}")
                continue
            self.refused = {}
            self.metrics.reloads.labels("done").inc()
            self.say(f"{', '.join(changed)}: reloaded")
            self.next.set_result(worker)

    async def close(self) -> None:
        """End the process and remove the copies of the files."""
        for worker in (self.worker, self.next.result() if self.next.done() else None):
            if worker is not None:
                await worker.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def _copied(self) -> Path:
        """A new folder with copies of all files."""
        self.copies += 1
        folder = self.home / str(self.copies)
        folder.mkdir()
        for source in self.sources:
            source.copy(folder)
        return folder

    async def _opened(self, folder: Path) -> Worker:
        try:
            return await Worker.start(self.sources, self.request, folder)
        except StriateError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    async def _restart(self) -> None:
        """Start the process again, with the files that it had."""
        try:
            self._now(await Worker.start(self.sources, self.request, self.home / str(self._current)))
            self.say(f"the models answer again: {counted(len(self.sources), 'model')}")
        except StriateError as error:
            self.say(f"the models do not start again: {error.message}")

    def _now(self, worker: Worker) -> None:
        """Let a process answer from now on."""
        self.worker, self.facts, self._current = worker, worker.facts, worker.models.name
        self.next = asyncio.get_running_loop().create_future()
        self.metrics.ready.set(1)

    def _gone(self, lost: Lost) -> None:
        self.worker = None
        self.metrics.ready.set(0)
        self.metrics.lost.inc()
        self.say(f"the process that computes the answers {lost}; starting it again")

    async def _retire(self, worker: Worker) -> None:
        await worker.close()
        shutil.rmtree(worker.models, ignore_errors=True)
