"""The bodies of requests: read within limits of size and time, and taken apart into pictures."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator
from email.message import Message
from typing import Any, NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from striate.apps.server.guard import too_large
from striate.apps.server.refused import Refused, unavailable
from striate.apps.server.request import ServeRequest
from striate.core.bounded import parsed_json
from striate.core.errors import RefusedFileError
from striate.core.text import printable

FIELD = "files"
MOST_PICTURES = 64  # of a request
MOST_FIELDS = 8  # of a form, beside the pictures
BODIES = 16  # as many of the largest size may be in memory at once
AS_FILES = 'Send the pictures as multipart/form-data in the field "files", one as the body, or JSON: {"files": [{"data": BASE64}]}.'


class Upload(NamedTuple):
    """A picture file of a request."""

    name: str
    data: bytes


class _Form(MultiPartParser):
    """The parser of forms; a part stays in memory, as the body that it comes from does."""

    spool_max_size = 2**40


class Bodies:
    """Reads bodies, and knows how many bytes of them are in memory."""

    def __init__(self, request: ServeRequest) -> None:
        self.request = request
        self.held = 0

    async def read(self, request: Request) -> bytes:
        """The whole body.

        Raises:
            Refused: it is too large, comes too slowly, its client left, or too many others are being read.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.request.time_limit):
                async for piece in request.stream():
                    size += len(piece)
                    self.held += len(piece)
                    if size > self.request.body_bytes:
                        raise too_large(self.request)
                    if self.held > BODIES * self.request.body_bytes:
                        raise unavailable("too many bodies are being received")
                    pieces.append(piece)
        except TimeoutError:
            raise Refused(408, f"the body did not come within {self.request.time_limit:g} s", headers={"Connection": "close"}) from None
        except ClientDisconnect:
            raise Refused(400, "the body ended early") from None
        finally:
            self.held -= size
        said = request.headers.get("content-length")
        if said is not None and said.isdigit() and int(said) != size:
            raise Refused(400, f"the body has {size:,} bytes, Content-Length says {said}")
        return b"".join(pieces)

    async def uploads(self, request: Request) -> list[Upload]:
        """The picture files of a request, in any of the three forms.

        Raises:
            Refused: as of `read`, or the body is in none of the forms, holds no picture or too many.
        """
        kind = media_type(request)
        if kind not in ("multipart/form-data", "application/json", "application/octet-stream") and not kind.startswith("image/"):
            raise Refused(415, f"the body is {kind or 'of no type'}", AS_FILES)
        body = await self.read(request)
        if kind == "multipart/form-data":
            found = await _of_form(request, body)
        elif kind == "application/json":
            found = await asyncio.to_thread(_of_json, body)
        else:
            found = [Upload("picture", body)]
        if not found:
            raise Refused(422, "no picture in the request", AS_FILES)
        empty = next((upload.name for upload in found if not upload.data), None)
        if empty is not None:
            raise Refused(422, f"{empty}: the file is empty", "Send another file.")
        if len(found) > MOST_PICTURES:
            raise Refused(413, f"{len(found):,} pictures are more than {MOST_PICTURES}", "Send them in several requests.")
        return found


def media_type(request: Request) -> str:
    """The type in the Content-Type header, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def json_of(body: bytes) -> Any:
    """The plain data of a JSON body.

    Raises:
        Refused: it is none.
    """
    try:
        return parsed_json(body.decode(), "the body", 'For example {"files": [{"name": "a.jpg", "data": "..."}]}.')
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is not UTF-8: {error.reason}") from None
    except RefusedFileError as error:
        raise Refused(400, error.message, error.remedy) from None


def decoded(text: object, name: str) -> bytes:
    """The bytes of base64 text.

    Raises:
        Refused: it is none.
    """
    if not isinstance(text, str):
        raise Refused(422, f"{name}: must be base64 text, got {type(text).__name__}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(422, f"{name}: is not base64: {error}") from None


def _of_json(body: bytes) -> list[Upload]:
    data = json_of(body)
    files = data.get(FIELD) if isinstance(data, dict) else None
    if not isinstance(files, list) or set(data) - {FIELD}:
        raise Refused(422, 'the body must be {"files": [...]}', AS_FILES)
    found = []
    for index, each in enumerate(files):
        name = f"{FIELD}[{index}]"
        if not isinstance(each, dict) or "data" not in each or set(each) - {"name", "data"} or not isinstance(each.get("name", ""), str):
            raise Refused(422, f'{name}: must be {{"name": TEXT, "data": BASE64}}')
        found.append(Upload(each.get("name") or name, decoded(each["data"], f"{name}.data")))
    return found


async def _of_form(request: Request, body: bytes) -> list[Upload]:
    message = Message()
    message["content-type"] = request.headers["content-type"]
    if not message.get_param("boundary"):
        raise Refused(400, "the form has no boundary", "Let your HTTP library set the Content-Type header.")

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _Form(request.headers, stream(), max_files=MOST_PICTURES + 1, max_fields=MOST_FIELDS, max_part_size=2**16)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        status = 413 if error.message.startswith("Too many") else 400
        raise Refused(status, f"the form cannot be read: {printable(error.message)[:200]}") from None
    except (ValueError, KeyError, LookupError) as error:
        raise Refused(400, f"the form cannot be read: {printable(str(error))[:200]}") from None
    files = [(name, each) for name, each in form.multi_items() if isinstance(each, UploadFile)]
    strange = [name for name, _ in files if name != FIELD]
    if strange:
        raise Refused(422, f"unknown field {strange[0][:100]!r} with a file", f'The field for pictures is "{FIELD}".')
    return [Upload(each.filename or f"{FIELD}[{index}]", await each.read()) for index, (_, each) in enumerate(files)]
