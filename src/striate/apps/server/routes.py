"""The routes of the server: pictures in, answers out; the models, the health, the metrics, and a page to try it."""

from __future__ import annotations

import asyncio
import base64
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from striate.apps.server import schemas
from striate.apps.server.batching import Item, Queue
from striate.apps.server.bodies import Bodies, Upload
from striate.apps.server.crew import Crew
from striate.apps.server.guard import Scope
from striate.apps.server.metrics import Metrics
from striate.apps.server.refused import Refused, json_response, unavailable
from striate.apps.server.request import ServeRequest
from striate.apps.server.wire import ALONE, DRAWN
from striate.core.errors import UnknownNameError
from striate.drawing.page import STYLE

PAGE = Path(__file__).parent / "page"
PNG = "image/png"
LEFT = 499  # the client left; nobody reads the answer


class Service:
    """The state that the routes share."""

    def __init__(self, request: ServeRequest, crew: Crew, queue: Queue, metrics: Metrics) -> None:
        self.request, self.crew, self.queue, self.metrics = request, crew, queue, metrics
        self.bodies = Bodies(request)
        self.stopping = False  # not ready any more
        self.closing = False  # takes nothing new

    @property
    def ready(self) -> bool:
        """True if requests are answered at once."""
        return self.crew.ready and not self.stopping

    def model(self, name: str | None) -> str:
        """The name of the model that is asked for; of several it must be given.

        Raises:
            Refused: there is no such model, or none is named.
        """
        names = list(self.crew.facts)
        if name is None and len(names) == 1:
            return names[0]
        if name is None:
            raise Refused(422, "several models are served, and none is named", f"Add ?model=NAME, of {', '.join(names)}.")
        if name not in names:
            error = UnknownNameError("model", name[:100], names, "GET /models lists them.")
            raise Refused(404, error.message, error.remedy)
        return name

    def admit(self) -> None:
        """Refuse a request before its body is read, where there is no room or the server stops.

        Raises:
            Refused: 429 or 503.
        """
        if self.closing:
            raise unavailable("the server stops")
        self.queue.refuse_if_full()

    async def answers(self, request: Request, key: tuple[str, str], headers: Sequence[dict[str, Any]], parts: Sequence[bytes]) -> list[Any]:
        """The answers, in order. If the client leaves before, its pictures are dropped.

        Raises:
            Refused: a picture cannot be answered, or the client left.
        """
        loop = asyncio.get_running_loop()
        items = [Item(key, header, part, loop.create_future()) for header, part in zip(headers, parts, strict=True)]
        self.queue.put(items)
        every = asyncio.gather(*(item.answer for item in items))
        every.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody asks where the client has left
        gone = asyncio.ensure_future(_left(request))
        try:
            await asyncio.wait((every, gone), return_when=asyncio.FIRST_COMPLETED)
            if not every.done():
                self.queue.left = True
                raise Refused(LEFT, "the client left")
            return list(every.result())
        finally:
            gone.cancel()
            every.cancel()
            for item in items:
                item.answer.cancel()


async def _left(request: Request) -> None:
    """Wait until the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def routes(service: Service) -> FastAPI:
    """The application, without its guard."""
    app = FastAPI(
        title="Striate", version=importlib.metadata.version("striate"), description=schemas.DESCRIPTION, docs_url=None, redoc_url=None,
        openapi_url="/openapi.json", responses=schemas.REFUSALS, redirect_slashes=False,
    )  # fmt: skip
    _handle_errors(app, service)

    @app.post("/predict", openapi_extra={"requestBody": schemas.PICTURES}, responses=schemas.ANSWERS, tags=["answers"])
    async def predict(request: Request, model: str | None = None, top: schemas.Top = 1) -> Response:
        """Answer pictures; what comes back is what `striate predict --json` prints for the same files."""
        name = service.model(model)
        field = DRAWN.get(service.crew.facts[name]["task"])
        uploads: list[Upload] = await service.bodies.uploads(request)
        as_file = field is not None and PNG in request.headers.get("accept", "")
        if as_file and len(uploads) > 1:
            raise Refused(422, f"one {field} is sent as {PNG}, and {len(uploads)} are asked for", "Accept application/json.")
        headers = [{"name": upload.name, "top": top} for upload in uploads]
        kind = ALONE if field else "answer"
        found = await service.answers(request, (name, kind), headers, [upload.data for upload in uploads])
        return Response(base64.b64decode(found[0][field]), media_type=PNG) if as_file else json_response(found)

    @app.get("/models", responses=schemas.MODELS, tags=["models"])
    async def models() -> Response:
        """The models, with their classes and their input."""
        return json_response(
            [
                {"name": name, **facts, "ready": service.ready, "refused_reload": service.crew.refused.get(name)}
                for name, facts in service.crew.facts.items()
            ]
        )

    @app.get("/healthz", tags=["health"], responses=schemas.STATE)
    async def healthz() -> Response:
        """200 while the server answers."""
        return json_response({"ok": True})

    @app.get("/readyz", tags=["health"], responses=schemas.STATE)
    async def readyz() -> Response:
        """200 once every model has answered a batch; 503 while they start and while the server stops."""
        return json_response({"ready": service.ready}, 200 if service.ready else 503)

    @app.get("/metrics", tags=["health"], responses=schemas.TEXT)
    async def metrics() -> Response:
        """Counts and times in the format of Prometheus."""
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    for path, file, kind in (
        ("/", "page.html", "text/html"),
        ("/page.js", "page.js", "text/javascript"),
        ("/page.css", "page.css", "text/css"),
    ):
        app.get(path, include_in_schema=False)(_text((STYLE if kind == "text/css" else "") + (PAGE / file).read_text(), kind))
    return app


def _text(text: str, kind: str) -> Any:
    async def send() -> Response:
        return Response(text, media_type=kind)

    return send


def _handle_errors(app: FastAPI, service: Service) -> None:
    """Every refusal in the one form."""

    def said(request: Request, refused: Refused) -> Response:
        return refused.response(request.state.request_id)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        return said(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return said(request, Refused(422, f"{first['loc'][-1]}: {first['msg']}", kind="usage"))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        what = {404: "no such address", 405: f"{request.method} is not for this address"}.get(error.status_code, str(error.detail))
        return said(request, Refused(error.status_code, what, "GET /openapi.json describes all.", headers=error.headers))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        service.crew.say(f"request {request.state.request_id}: {type(error).__name__}: {error}")
        return said(request, Refused(500, "a bug in Striate", "Please report it with what the server wrote."))


def counted_path(app: FastAPI) -> Any:
    """A function that gives the route of a request, for counts: strangers may ask for any number of others."""
    plain = {text for route in app.routes if "{" not in (text := getattr(route, "path", "{"))}

    def path(scope: Scope) -> str:
        if scope["path"] in plain:
            return str(scope["path"])
        for route in app.routes:
            if getattr(route, "path", None) and route.matches(dict(scope))[0] is not Match.NONE:
                return str(route.path)  # type: ignore[attr-defined]
        return "other"

    return path
