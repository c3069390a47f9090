"""The checks of every request before it reaches a route: form, Host, origin, token; and the headers of every answer."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from striate.apps.server.metrics import Metrics
from striate.apps.server.refused import Refused
from striate.apps.server.request import ServeRequest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/", "/page.css", "/page.js", "/healthz", "/readyz")  # that tell nothing: they need no token
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
SAME = (b"same-origin", b"none")  # of Sec-Fetch-Site
MOST_HEADER, MOST_ADDRESS = 32_768, 8_192  # bytes
WRONG_TOKENS, FORGIVEN = 20, 60.0  # so many of one address are compared within so many seconds
ADDRESSES = 10_000  # that are remembered for it
POLICY = b"default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
HEADERS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)  # fmt: skip


class Guard:
    """The application behind its checks.

    Args:
        app: The routes.
        request: Token, host and limits.
        metrics: What is counted.
        paths: The routes by which answers are counted; all else counts as "other".
        admit: Refuses what asks for answers while there is no room. Asked here, so that a refusal costs little when many come.
    """

    def __init__(
        self, app: Application, request: ServeRequest, metrics: Metrics, paths: Callable[[Scope], str], admit: Callable[[], None]
    ) -> None:
        self.app, self.request, self.metrics, self.paths, self.admit = app, request, metrics, paths, admit
        self.token = None if request.token is None else request.token.encode()
        self.names = {*LOOPBACK, *(name.lower() for name in request.allow_host)}
        if not request.is_private:
            self.names |= {request.host.lower(), socket.gethostname().lower()}
        self.wrong: dict[str, deque[float]] = {}
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begun, status = time.perf_counter(), 500
        headers = dict(scope["headers"])
        asked = headers.get(b"x-request-id", b"")
        request_id = asked.decode() if REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)
        scope["state"] = {"request_id": request_id}

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS, (b"x-request-id", request_id.encode())]
            await send(message)

        self.in_flight += 1
        try:
            try:
                self.check(scope, headers)
                if scope["method"] == "POST":
                    self.admit()
            except Refused as refused:
                refused.headers["Connection"] = "close"  # its body is not read
                await refused.response(request_id)(scope, receive, answer)
                return
            await self.app(scope, receive, answer)
        finally:
            self.in_flight -= 1
            path = self.paths(scope)
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - begun)

    def check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """Refuse a request that is malformed, meant for another host, sent by another site's page, or without the token.

        Raises:
            Refused: it is.
        """
        counts = [name for name, _ in scope["headers"]]
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADER:
            raise Refused(431, f"the headers are longer than {MOST_HEADER:,} bytes")
        if len(scope["raw_path"]) + len(scope["query_string"]) > MOST_ADDRESS:
            raise Refused(414, f"the address is longer than {MOST_ADDRESS:,} bytes")
        if scope["path"][:1] != "/":
            raise Refused(400, "the path must begin with /")
        if counts.count(b"host") != 1 or counts.count(b"content-length") > 1:
            raise Refused(400, "a request must have one Host header, and at most one Content-Length")
        if b"transfer-encoding" in headers and b"content-length" in headers:
            raise Refused(400, "a request cannot have both Content-Length and Transfer-Encoding")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Refused(415, "the body must not be compressed", "Send the picture file as it is.")
        host = headers[b"host"].decode("latin-1")
        if not self.is_ours(host):
            raise Refused(
                421, f"this server does not answer for the host {host[:100]!r}", "Name it when the server is started: --allow-host."
            )
        origin = headers.get(b"origin")
        if (origin is not None and not self.is_own_origin(origin, host)) or (
            headers.get(b"sec-fetch-site", b"none") not in SAME and scope["path"] != "/"
        ):
            raise Refused(403, "a page of another site may not ask this server")
        if self.token is not None and scope["path"] not in OPEN:
            self.check_token((scope.get("client") or ("",))[0], headers.get(b"authorization", b""))
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self.request.body_bytes:
            raise too_large(self.request)

    def is_ours(self, host: str) -> bool:
        """Return whether a Host header names this server: a page under another name that leads here is not to be answered."""
        found = HOST.fullmatch(host)
        if found is None:
            return False
        name = found["name"].strip("[]").lower()
        if name in self.names:
            return True
        if self.request.is_private:
            return False
        try:
            return bool(ipaddress.ip_address(name))  # an address is no name that somebody can lead elsewhere
        except ValueError:
            return False

    @staticmethod
    def is_own_origin(origin: bytes, host: str) -> bool:
        """Return whether a page of this server asks."""
        return origin.decode("latin-1").lower() in (f"http://{host.lower()}", f"https://{host.lower()}")

    def check_token(self, address: str, header: bytes) -> None:
        """Refuse a request without the token; after many wrong ones of an address without comparing further ones closely in time.

        Raises:
            Refused: 401, or 429 after many.
        """
        scheme, _, given = header.partition(b" ")
        right = hmac.compare_digest(given.strip(), self.token or b"") and scheme.lower() == b"bearer"
        if right:
            return
        now = time.monotonic()
        if len(self.wrong) >= ADDRESSES:
            self.wrong.clear()
        tried = self.wrong.setdefault(address, deque(maxlen=WRONG_TOKENS))
        if len(tried) == WRONG_TOKENS and now - tried[0] < FORGIVEN:
            seconds = str(int(FORGIVEN - (now - tried[0])) + 1)
            raise Refused(429, "too many wrong tokens", f"Try again in {seconds} s.", headers={"Retry-After": seconds})
        if header:
            tried.append(now)
        remedy = "Send the header Authorization: Bearer TOKEN."
        raise Refused(401, "the token is wrong" if header else "a token is needed", remedy, headers={"WWW-Authenticate": "Bearer"})


def too_large(request: ServeRequest) -> Refused:
    """The answer to a body beyond the limit."""
    return Refused(413, f"the body is larger than {request.max_body:g} MiB", "Send fewer or smaller pictures.")
