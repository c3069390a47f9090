"""Serving models over HTTP until a signal comes."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import os
import socket
from collections.abc import Callable
from typing import Any

from striate.apps.server.request import ServeRequest
from striate.apps.server.sources import sources_of
from striate.core.errors import EnvironmentFault, UsageError

NEEDED = {"fastapi": "fastapi", "granian": "granian", "prometheus_client": "prometheus-client", "python_multipart": "python-multipart"}


def serve(request: ServeRequest, *, say: Callable[[str], None], tell: Callable[[dict[str, Any]], None] = lambda _facts: None) -> None:
    """Serve the models until SIGTERM or SIGINT; what is in flight then is finished.

    Args:
        request: The models, the address and the limits.
        say: Is given what happens, in words.
        tell: Is given the address and the facts of the models, once they answer.

    Raises:
        UsageError: no such model, two of one name, or one that cannot be served.
        RefusedFileError: a model file is damaged, or a run is not done.
        EnvironmentFault: the port is taken or not allowed, or a package is missing.
    """
    missing = [package for module, package in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise EnvironmentFault(f"serve needs {', '.join(missing)}, not installed", "Install it: pip install striate[serve].")
    sources = sources_of(request.models, say)
    address = free_address(request.host, request.port)
    from striate.apps.server.running import run

    asyncio.run(run(request, sources, address, say, tell))


def free_address(host: str, port: int) -> tuple[str, int]:
    """The numbers of the address and of the port, once it is known that they can be listened on; a port that is free for 0.

    Raises:
        UsageError: no such host.
        EnvironmentFault: another program listens on it, or it is not for this user.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror:
        raise UsageError(f"`host` {host}: this machine has no such address", "Leave it out, or give an address of this machine.") from None
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        if os.name == "posix":
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(address)
            tried.listen(1)
        except PermissionError:
            raise EnvironmentFault(f"`port` {port}: ports below 1024 are not for this user", "Choose one from 1024.") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise EnvironmentFault(f"`port` {port}: another program listens on it", "Choose another, or 0 for any.") from None
            raise EnvironmentFault(f"`host` {host}: cannot listen there: {error.strerror}", "Give an address of this machine.") from None
        number, found = tried.getsockname()[:2]
        return number, found
