"""Pydantic's errors in our words: the field, what was expected and what was given, and similar names.

The one place that knows pydantic's sentences: the command line, the Python face, layers, and files that are read back all ask here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from striate.core.errors import RefusedFileError, StriateError, nearest

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

UNKNOWN = "is not known"
LONGEST = 80  # letters of a refused value that are repeated
KINDS = frozenset({"int", "float", "bool", "str", "none", "tuple", "list", "dict", "path", "constrained-int", "constrained-float"}) | {
    "ImageSpec",
    "SignalSpec",
}
WANTED = {  # by pydantic's name of the error; the braces are filled from its context
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "finite_number": "a finite number",
    "string_too_short": "text of at least {min_length} characters",
    "too_short": "at least {min_length} long",
    "too_long": "at most {max_length} long",
    "none_required": "left out",
    "missing_argument": "given",
}
KINDS_WANTED = {  # by the first word of that name, such as int_parsing, int_type and int_from_float
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "tuple": "a list",
    "list": "a list",
    "dict": "a mapping of names to values",
    "mapping": "a mapping of names to values",
    "dataclass": "a mapping of names to values",
    "model": "a mapping of names to values",
}


class Refusal(NamedTuple):
    """The problem of one value."""

    field: str  # "" where the value has none
    said: str  # "must be a whole number or auto, got 'big'"
    known: tuple[str, ...]  # the words that the field takes, where it takes words
    given: Any
    kind: str  # pydantic's name of the error
    cause: StriateError | None = None  # of a check of ours, which says it all

    @property
    def remedy(self) -> str:
        """The words similar to the given one."""
        near = nearest(str(self.given), self.known)
        return f"Did you mean {' or '.join(near)}?" if near else ""

    def __str__(self) -> str:
        return f"{self.field}: {self.said}" if self.field else self.said


def refusal(error: ValidationError, names: tuple[str, ...] = ()) -> Refusal:
    """The first error of pydantic; those about the same value, which may have one of several types, are joined.

    Args:
        error: The error from pydantic.
        names: Those of the fields in their order, where they may be given by place.
    """
    errors: list[Any] = error.errors(include_url=False)
    places = [_place(one["loc"], names) for one in errors]
    place = max((each for each in places if each[:1] == places[0][:1]), key=len)  # a wrong entry of a list says more than the list
    here = [one for one, each in zip(errors, places, strict=True) if each == place]
    first, field = here[0], ".".join(place)
    given = first["input"]
    cause = next((one["ctx"]["error"] for one in here if isinstance(one.get("ctx", {}).get("error"), StriateError)), None)
    known = tuple(word for one in here for word in re.findall(r"'([^']*)'", str(one.get("ctx", {}).get("expected", ""))))
    if first["type"].startswith("missing"):
        said = "is missing"
    elif first["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        said = UNKNOWN
    else:
        got = repr(given)
        said = f"must be {_joined(here)}, got {got if len(got) <= LONGEST else got[:LONGEST] + '...'}"
    return Refusal(field, said, known, given, first["type"], cause)


def checked_entry(adapter: TypeAdapter[Any], data: object, where: str, remedy: str, name: str = "") -> Any:
    """`data` of a file as `adapter` reads it.

    Raises:
        RefusedFileError: it does not fit; names `where`, the field below `name`, and what is wrong with it.
    """
    from pydantic import ValidationError

    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        raise RefusedFileError(f"{where}: {first_fault(error, name)}", remedy) from None


def first_fault(error: ValidationError, name: str = "") -> str:
    """The first complaint of pydantic about a file in words: the field, what is wrong, and the value."""
    found = refusal(error)
    field = ".".join(word for word in (name, found.field) if word)
    if found.kind.startswith("missing"):
        return f"lacks {field}"
    if found.said == UNKNOWN:
        return f"unknown field {field}"
    return f"{field}: {found.said}" if field else found.said


def _place(path: tuple[int | str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """The path of a value, without the types that it was tried as."""
    first, *deeper = path or ("",)
    begin = names[first] if isinstance(first, int) and first < len(names) else str(first)
    return tuple(word for word in (begin, *(str(word) for word in deeper if word not in KINDS and "[" not in str(word))) if word)


def _joined(errors: list[Any]) -> str:
    """The expected types where several are allowed: "a whole number or auto"."""
    of_its_kind = [one for one in errors if one["type"] in WANTED]  # only out of its range
    *others, last = dict.fromkeys(word for one in of_its_kind or errors for word in _wanted(one))
    return f"{', '.join(others)} or {last}" if others else last


def _wanted(error: Any) -> list[str]:
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("literal_error", "enum"):
        return re.split(", | or ", str(context["expected"]).replace("'", ""))
    if kind in WANTED:
        return [WANTED[kind].format(**{name: f"{each:g}" if isinstance(each, float) else each for name, each in context.items()})]
    word = kind.partition("_")[0]
    if word in KINDS_WANTED:
        return [KINDS_WANTED[word]]
    said = re.sub(r"^(Value error, |Assertion failed, |Input should be |Value should be )", "", error["msg"])
    return [said[:1].lower() + said[1:]]
