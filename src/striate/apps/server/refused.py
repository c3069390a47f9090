"""A request that is refused: its status, the reason and the remedy, as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from striate.core.text import json_text

KINDS = {  # of errors, by their status
    400: "malformed", 401: "no_token", 403: "forbidden", 404: "not_found", 405: "wrong_method", 408: "too_slow", 413: "too_large",
    414: "too_long", 415: "wrong_type", 421: "wrong_host", 422: "data", 429: "busy", 431: "too_long", 500: "internal",
    503: "unavailable",
}  # fmt: skip


class Refused(Exception):
    """An answer of status 400 or more.

    Args:
        status: The HTTP status.
        message: The expected and the given value.
        remedy: What to do.
        kind: The kind of error; by default that of the status.
        headers: Further headers, such as Retry-After.
    """

    def __init__(self, status: int, message: str, remedy: str = "", *, kind: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.remedy = status, message, remedy
        self.kind = kind or KINDS.get(status, "refused")
        self.headers = dict(headers or {})

    def response(self, request_id: str) -> Response:
        """The answer."""
        error = {"kind": self.kind, "message": self.message, "remedy": self.remedy}
        return json_response({"error": error, "request_id": request_id}, self.status, self.headers)


def busy(message: str, seconds: int) -> Refused:
    """The answer to a request that came while the queue was full."""
    return Refused(429, message, f"Try again in {seconds} s.", headers={"Retry-After": str(seconds)})


def unavailable(message: str, seconds: int = 1) -> Refused:
    """The answer to a request that cannot be served now."""
    return Refused(503, message, f"Try again in {seconds} s.", headers={"Retry-After": str(seconds)})


def json_response(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Plain data as JSON."""
    return Response(json_text(data), status, dict(headers or {}), media_type="application/json")
