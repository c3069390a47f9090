"""Messages between the server and the processes that hold the models: a JSON header and parts of bytes, over a pipe."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from typing import IO, Any

ALONE = "drawn"  # the kind of answers that are masks or pictures, computed one by one
DRAWN = {"segment": "mask", "restore": "picture"}  # the field of such an answer that holds a PNG file in base64, by the task
COUNT, LENGTH = struct.Struct(">I"), struct.Struct(">Q")


def packed(header: Any, parts: Sequence[bytes] = ()) -> list[bytes]:
    """The bytes of a message, to be written one after the other."""
    every = [json.dumps(header).encode(), *parts]
    return [COUNT.pack(len(every)) + b"".join(LENGTH.pack(len(part)) for part in every), *every]


def read(file: IO[bytes]) -> tuple[Any, list[bytes]]:
    """The next message of a pipe.

    Raises:
        EOFError: it was closed.
    """

    def exactly(count: int) -> bytes:
        data = file.read(count)
        if len(data) < count:
            raise EOFError
        return data

    (count,) = COUNT.unpack(exactly(COUNT.size))
    lengths = [LENGTH.unpack(exactly(LENGTH.size))[0] for _ in range(count)]
    header, *parts = [exactly(length) for length in lengths]
    return json.loads(header), parts


async def receive(stream: asyncio.StreamReader) -> tuple[Any, list[bytes]]:
    """As `read`.

    Raises:
        asyncio.IncompleteReadError: it was closed.
    """
    (count,) = COUNT.unpack(await stream.readexactly(COUNT.size))
    lengths = [LENGTH.unpack(await stream.readexactly(LENGTH.size))[0] for _ in range(count)]
    header, *parts = [await stream.readexactly(length) for length in lengths]
    return json.loads(header), parts
