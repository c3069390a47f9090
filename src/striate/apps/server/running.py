"""A server from its start to its end: the listener, the models, the signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from striate.apps.server.batching import Queue
from striate.apps.server.bodies import BODIES
from striate.apps.server.crew import POLL, Crew
from striate.apps.server.guard import Guard
from striate.apps.server.inference import add_inference
from striate.apps.server.metrics import Metrics
from striate.apps.server.request import PARENT, ServeRequest
from striate.apps.server.routes import Service, counted_path, routes
from striate.apps.server.sources import Source
from striate.core.errors import EnvironmentFault
from striate.core.text import counted

HEADER_LIMIT = 5_000  # ms in which the header of a request must have come
HEADER_BYTES = 64 * 1024
PATIENCE = 30.0  # s that a picture waits in the queue, such as for a process that starts again
NOTICE = 0.5  # s between "not ready" and the first refusal, in which a balancer looks elsewhere
GRACE = 20.0  # s for what is in flight
CLOSING = 2.0  # s for connections on which nothing happens


class Assembled(NamedTuple):
    """The parts of a server."""

    crew: Crew
    service: Service
    guard: Guard
    listener: Server


def assembled(request: ServeRequest, sources: list[Source], address: tuple[str, int], say: Callable[[str], None]) -> Assembled:
    """The parts of a server, none of them started."""
    metrics = Metrics()
    queue = Queue(
        most=request.queue,
        most_bytes=BODIES * request.body_bytes,
        batch_size=request.batch_size,
        wait=request.wait / 1000,
        patience=PATIENCE,
        metrics=metrics,
    )
    crew = Crew(sources, request, queue, metrics, say)
    service = Service(request, crew, queue, metrics)
    app = routes(service)
    add_inference(app, service)
    guard = Guard(app, request, metrics, counted_path(app), service.admit)
    listener = Server(
        guard, address=address[0], port=address[1], interface=Interfaces.ASGINL, http=HTTPModes.http1, websockets=False, backlog=1024,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_LIMIT, max_buffer_size=HEADER_BYTES), log_enabled=False,
    )  # fmt: skip
    return Assembled(crew, service, guard, listener)


async def run(
    request: ServeRequest,
    sources: list[Source],
    address: tuple[str, int],
    say: Callable[[str], None],
    tell: Callable[[dict[str, Any]], None],
) -> None:
    """Listen on an address of `free_address`, open the models, and answer until a signal comes; arguments and errors as of `serve`."""
    with contextlib.suppress(AttributeError, OSError):  # Linux: many requests do not interrupt the models one by one
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    parts, stop = assembled(request, sources, address, say), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listening = asyncio.ensure_future(parts.listener.serve())  # /healthz answers while the models start, /readyz says no
    stopped, working = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(_work(parts.crew, address, say, tell))
    ending = [stopped, *([asyncio.ensure_future(_outlive(int(os.environ[PARENT])))] if PARENT in os.environ else [])]
    try:
        await asyncio.wait((*ending, working, listening), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        if listening.done():
            raise EnvironmentFault(f"{request.host}: the listener ended", "Start again.")
        await _drain(parts, say)
    finally:
        for waiting in (*ending, working):
            waiting.cancel()
        await parts.crew.close()
        if not listening.done():
            parts.listener.stop()  # type: ignore[no-untyped-call]
            await asyncio.wait((listening,), timeout=CLOSING)
    if not listening.done():  # a connection on which nothing happens holds a thread
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


async def _outlive(parent: int) -> None:
    """Wait until the process that a server was started for has ended, however it did."""
    while os.getppid() == parent:
        await asyncio.sleep(POLL)


async def _work(crew: Crew, address: tuple[str, int], say: Callable[[str], None], tell: Callable[[dict[str, Any]], None]) -> None:
    """Open the models, say so, and answer for ever."""
    await crew.start()
    host, port = address
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    for source in crew.sources:
        facts = crew.facts[source.name]
        say(f"{source.name}: {counted(len(facts['classes']), 'output')}, {facts['backend']}, {source.file}")
    say(f"serving {counted(len(crew.sources), 'model')} on {url}; stop with Ctrl-C")
    gc.freeze()  # what lives as long as the server is not looked through again and again
    tell({"url": url, "models": [{"name": name, **facts} for name, facts in crew.facts.items()]})
    await asyncio.gather(crew.run(), crew.watch())


async def _drain(parts: Assembled, say: Callable[[str], None]) -> None:
    """Be not ready, then take nothing new, and finish what is in flight."""
    parts.service.stopping = True
    if not parts.crew.facts:
        return
    say("stopping: what is in flight is finished")
    await asyncio.sleep(NOTICE)
    parts.service.closing = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            while parts.guard.in_flight:
                await asyncio.sleep(0.01)
