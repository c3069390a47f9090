"""Wrong calls of public functions, answered with the argument that was meant and an example."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from striate.core.errors import UnknownNameError, UsageError

__all__ = ["call_as_in"]

NONE: Mapping[str, str] = {}
Given = ParamSpec("Given")
Found = TypeVar("Found")


def call_as_in(
    example: str, *, other_names: Mapping[str, str] = NONE, misfit: Callable[[str, object], UsageError | None] = lambda _name, _value: None
) -> Callable[[Callable[Given, Found]], Callable[Given, Found]]:
    """Make a function answer a call with missing, unknown or too many arguments with a UsageError that gives `example`.

    Args:
        example: A call that fits.
        other_names: Of its arguments, in other tools.
        misfit: The error for an argument that belongs elsewhere; None for one that does not.
    """

    def checked(function: Callable[Given, Found]) -> Callable[Given, Found]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*given: Given.args, **named: Given.kwargs) -> Found:
            try:
                signature.bind(*given, **named)
            except TypeError as error:
                strange = {key: value for key, value in named.items() if key not in signature.parameters}
                foreign = [told for told in (misfit(key, value) for key, value in strange.items()) if told is not None]
                if foreign and not str(error).startswith("missing"):
                    raise foreign[0] from None
                known = {key: value for key, value in named.items() if not foreign or key not in strange}
                raise _misfit(function.__name__, signature, known, str(error), example, other_names) from None
            return function(*given, **named)

        return call

    return checked


def _misfit(
    name: str, signature: inspect.Signature, named: dict[str, object], why: str, example: str, other_names: Mapping[str, str]
) -> UsageError:
    """The message on a wrong call."""
    remedy = f"For example {example}."
    parameters = {key: one for key, one in signature.parameters.items() if key != "self"}
    named_only = [key for key, one in parameters.items() if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)]
    unknown = [key for key in named if key not in named_only]
    takes_others = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    if unknown and not takes_others:
        here = other_names.get(unknown[0], "")
        if here.partition("=")[0] in named_only:
            return UnknownNameError("argument", unknown[0], (), f"Striate calls it `{here}`. {remedy}")
        begun = [key for key in named_only if key.startswith(unknown[0])]
        error = UnknownNameError("argument", unknown[0], named_only, remedy)
        if begun and not error.nearest:
            error.remedy = f"Did you mean {begun[0]}? {remedy}"
        return error
    if why.startswith("too many positional"):
        places = [key for key, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
        by_place = (
            f"only {' and '.join(places)} can be positional, all other arguments must be named" if places else "takes named arguments only"
        )
        return UsageError(f"{name}: {by_place}", remedy)
    return UsageError(f"{name}: {why.replace('a required', 'the')}", remedy)
