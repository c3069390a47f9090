"""The flags of a training, which `train`, `repeat` and `ablate` share, made from the table of its options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from striate.apps.cli.app import share
from striate.workflows.recipes.options import OPTIONS, Option

Command = TypeVar("Command", bound=Callable[..., None])


def with_training_options(*left_out: str) -> Callable[[Command], Command]:
    """Give a command that takes `**training` a flag for each option, but for those of its own and those that are `left_out`."""

    def with_options(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        names = {*left_out, *(each.name for each in own)}
        added = [_parameter(option) for option in OPTIONS if option.field not in names]
        parameters = sorted([*own, *added], key=lambda each: each.name == "as_json")  # last in the help, as of other verbs
        by_name = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
        command.__signature__ = signature.replace(parameters=by_name)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in by_name}
        return command

    return with_options


def _parameter(option: Option) -> inspect.Parameter:
    """The parameter from which typer makes the flag."""
    flag = f"{option.long}/--no-{option.long[2:]}" if option.kind is bool else option.long
    names = (flag, f"-{option.short}") if option.short else (flag,)
    annotation: Any = Annotated[option.kind | None, typer.Option(*names, metavar=option.metavar, help=option.help)]
    return inspect.Parameter(option.field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def fields_of(training: dict[str, Any]) -> dict[str, Any]:
    """The fields of `TrainRequest` that were typed, read."""
    return {field: READERS.get(field, _as_typed)(value) for field, value in training.items() if value is not None and value != []}


def _as_typed(value: Any) -> Any:
    return value


def whole_number(text: str) -> int | str:
    """The number in `text`; "+20" and other text stay text."""
    return int(text) if text.isdigit() else text


def number(text: str) -> float | str:
    """The number that `text` is; a word stays text."""
    try:
        return float(text)
    except ValueError:
        return text


def assignments(words: list[str]) -> dict[str, object]:
    """The values of `--set NAME=VALUE`, read as YAML reads them: numbers, true and false, lists, text."""
    from striate.core.bounded import parsed_yaml
    from striate.core.errors import RefusedFileError, UsageError

    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise UsageError(f"--set {word}: must be NAME=VALUE", "For example --set settings.step_gamma=0.5.")
        try:
            values[name] = parsed_yaml(text, "the value")
        except RefusedFileError as error:
            raise UsageError(f"--set {word}: {error.message}", error.remedy) from None
    return values


def columns_of(words: list[str]) -> dict[Any, str]:
    """The columns of `--columns path=NAME,label=NAME`; a name may hold commas."""
    from striate.core.errors import UsageError
    from striate.data.reading import checked_columns

    found = {}
    for word in (each for one in words for each in re.split(r",(?=\s*[a-z]+=)", one)):
        role, equals, name = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--columns {word}: must be NAME=COLUMN", "For example --columns path=file,label=species.")
        found[role.strip()] = name.strip()
    return dict(checked_columns(found))


def mapping(text: str) -> object:
    """The names and values of `{cat: animal, car: vehicle}`; a word stays text."""
    from striate.core.bounded import parsed_yaml
    from striate.core.errors import RefusedFileError, UsageError

    try:
        found = parsed_yaml(text, "the value")
        if isinstance(found, dict) and None in found.values():
            raise UsageError(f"--auxiliary {text}: a class has no coarser class", "Put a blank behind each colon: '{cat: animal}'.")
        return found
    except RefusedFileError as error:
        raise UsageError(f"--auxiliary {text}: {error.message}", error.remedy) from None


READERS: dict[str, Callable[[Any], Any]] = {
    "epochs": whole_number,
    "batch_size": whole_number,
    "learning_rate": number,
    "adversarial_eps": lambda text: share("--adversarial-eps", text),
    "columns": columns_of,
    "auxiliary": mapping,
    "set": assignments,
}
