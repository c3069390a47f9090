"""The request of `striate serve`: the models, where to listen, and the limits."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from striate.core.errors import UsageError
from striate.core.refusals import refusal

PARENT = "STRIATE_SERVED_FOR"  # in the environment: the process whose end is the server's
LEAST_TOKEN = 16  # letters of a token: fewer can be guessed


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ServeRequest:
    """Models to serve over HTTP.

    Raises:
        UsageError: no model, a host that others reach and no token, or a token that can be guessed.
    """

    models: list[str]  # run folders and model files; NAME=PATH names one
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000  # 0: one that is free
    token: str | None = None  # that each request must carry
    allow_host: tuple[str, ...] = ()  # further names in the Host header
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 16  # pictures that a model answers at once, at most
    wait: Annotated[float, Field(ge=0, le=1000)] = 2.0  # ms that a picture waits for others
    queue: Annotated[int, Field(ge=1)] = 128  # pictures that may wait; further ones are refused at once
    max_body: Annotated[float, Field(gt=0, le=1024)] = 16.0  # MiB of a request
    time_limit: Annotated[float, Field(gt=0)] = 15.0  # s, for a request to arrive, and for a batch to be decoded and answered
    device: str = "auto"  # of models that were not exported

    @classmethod
    def of(cls, **fields: Any) -> ServeRequest:
        """The request with these fields; raises as the class, also where pydantic refuses a field."""
        try:
            return cls(**fields)
        except ValidationError as error:
            found = refusal(error)
            raise found.cause or UsageError(str(found), found.remedy) from None

    def __post_init__(self) -> None:
        if not self.models:
            raise UsageError("no model to serve", "Name a run folder or a model file: striate serve RUN.")
        if self.token is None and not self.is_private:
            remedy = "Give a `token` that each request must carry, or leave `host` out."
            raise UsageError(f"`host` {self.host}: other machines can reach it, and anyone could ask the models", remedy)
        if self.token is not None and (len(self.token) < LEAST_TOKEN or not self.token.isascii() or not self.token.isprintable()):
            remedy = 'Make one: python -c "import secrets; print(secrets.token_urlsafe())".'
            raise UsageError(f"`token`: must be at least {LEAST_TOKEN} printable ASCII characters", remedy)

    @property
    def is_private(self) -> bool:
        """True if only programs on this machine reach the host."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def body_bytes(self) -> int:
        """The largest body of a request, in bytes."""
        return int(self.max_body * 2**20)
