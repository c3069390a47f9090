"""The record of a call, its fields checked: what pydantic refuses, as an error about the field."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from striate.core.errors import UnknownNameError, UsageError
from striate.core.refusals import UNKNOWN, Refusal, refusal
from striate.workflows.recipes.words import EXAMPLES, OTHER_NAMES, OTHER_WORDS

Record = TypeVar("Record")


def with_checked_fields(make: Callable[..., Record], *arguments: Any, **fields: Any) -> Record:
    """The result of `make`, with pydantic's error about a field as one of ours."""
    try:
        return make(*arguments, **fields)
    except ValidationError as error:
        found = refusal(error)
        if found.said == UNKNOWN:
            raise unknown_field(found.field, dataclasses.fields(make)) from None  # type: ignore[arg-type]  # a record's class
        raise found.cause or usage_error(found) from None


def request_of(make: Callable[..., Record], arguments: Mapping[str, Any], **others: Any) -> Record:
    """The request of a call, checked: its fields among `arguments`, which are the caller's `locals()`, and the `others`."""
    names = {field.name for field in dataclasses.fields(make)}  # type: ignore[arg-type]  # a record's class
    return with_checked_fields(make, **{name: value for name, value in arguments.items() if name in names} | others)


def unknown_field(name: str, fields: Iterable[dataclasses.Field[Any]]) -> UnknownNameError:
    """The error for an unknown argument; names the one that is called so in other tools, or else the nearest."""
    known = [field.name for field in fields]
    here = OTHER_NAMES.get(name, "")
    if here.partition("=")[0] in known:
        return UnknownNameError("argument", name, (), f"Striate calls it `{here}`.")
    return UnknownNameError("argument", name, known)


def usage_error(found: Refusal) -> UsageError:
    """A value that pydantic refuses, as an error about the field."""
    field, _, entry = found.field.partition(".")
    remedy = OTHER_WORDS.get(str(found.given).lower(), found.remedy) if found.known else found.remedy
    if field in EXAMPLES and not remedy:
        remedy = f"For example {EXAMPLES[field]}."
    place = f", entry {int(entry) + 1}" if entry.isdigit() else f", {entry}" if entry else ""
    return UsageError(f"`{field}`{place}: {found.said}", remedy)
