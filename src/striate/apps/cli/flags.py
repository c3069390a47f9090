"""From fields to flags: rooms below name the fields of a call between backticks, and a user at a terminal reads flags.

`skip_unreadable=True` becomes --skip-unreadable, `learning_rate=0.1` becomes --lr 0.1, `patience` becomes --patience.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import shlex
from typing import Any

from striate.core.errors import StriateError, UnknownNameError, UsageError, nearest
from striate.workflows.recipes.options import OPTIONS

FLAGS = {  # of fields whose flags have other names
    "input_size": "--img-size",
    "in_channels": "--in-chans",
    "epsilons": "--eps",
    "attacks": "--attack",
    "methods": "--method",
    "views": "--view",
    "target": "--class",
    "num_images": "--images",
    "num_pictures": "--num",
    "num_explained": "--num",
    **{option.field: option.long for option in OPTIONS},
}
OTHER_VERBS = {
    "benchmark": "profile",
    "classify": "predict",
    "data": "datasets",
    "eval": "evaluate",
    "fit": "train",
    "infer": "predict",
    "list": "networks",
    "models": "networks",
    "resume": "train --resume RUN",
    "summary": "show",
    "test": "evaluate",
    "val": "evaluate",
    "validate": "evaluate",
}
MARKED = re.compile(r"`([a-z_]\w*(?:=[^`]*)?)`")


def with_flags(text: str) -> str:
    """`text` with each field between backticks as the flag that gives it; the kind of text stays."""
    return type(text)(MARKED.sub(lambda found: _said(found[1]) or found[0], text))


def _said(call: str) -> str:
    """A field, or the arguments of a call, as flags; "" for anything else."""
    if call.isidentifier():
        return _flag(call)
    try:
        tree = ast.parse(f"f({call})", mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    return " ".join(_with_value(each.arg or "", each.value) for each in tree.keywords) if isinstance(tree, ast.Call) else ""


def _flag(field: str) -> str:
    """The flag of a field; the field's own name if no verb has one."""
    flag = FLAGS.get(field, f"--{field.replace('_', '-')}")
    return flag if flag in _all_flags() else field


def _with_value(field: str, value: ast.expr) -> str:
    flag = _flag(field)
    try:
        given = ast.literal_eval(value)
    except ValueError:  # a word in capitals, for any value
        return f"{flag} {ast.unparse(value)}"
    if isinstance(given, bool):
        return flag if given else flag.replace("--", "--no-", 1)
    if isinstance(given, dict):
        return " ".join(f"{flag} {shlex.quote(f'{name}={_text(each)}')}" for name, each in given.items())
    each_of = given if isinstance(given, tuple | list) else (given,)
    return " ".join(f"{flag} {shlex.quote(_text(each))}" for each in each_of)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@functools.cache
def _all_flags() -> frozenset[str]:
    from typer.main import get_command

    from striate.apps.cli.app import app

    return frozenset(flag for verb in get_command(app).commands.values() for flag in _flags_of(verb))  # type: ignore[attr-defined]


def _flags_of(verb: Any) -> list[str]:
    """The long flags of a verb."""
    return [flag for each in verb.params for flag in (*each.opts, *each.secondary_opts) if flag.startswith("--")]


def wrong_call(error: Any) -> StriateError:
    """An error of typer's about the command line, as one of ours."""
    context, said = error.ctx, str(error.message)
    more = f"`{context.command_path} --help` lists the flags." if context is not None else ""
    if hasattr(error, "option_name") and hasattr(error, "possibilities"):
        return _unknown_flag(error.option_name, context, more)
    if (verb := re.match(r"No such command '([^']*)'", said)) is not None:
        known = list(context.command.commands)
        meant = f"Did you mean {OTHER_VERBS[verb[1]]}? " if verb[1] in OTHER_VERBS else ""
        return UnknownNameError("verb", verb[1], [] if meant else known, f"{meant}{more}")
    if getattr(error, "param", None) is None:
        said = re.sub(r"^Option '(\S+)'", r"\1:", said.removesuffix(".")).replace("(s) (", "s (")
        return UsageError(said[:1].lower() + said[1:].replace("requires an argument", "needs a value"), more)
    name = next((each for each in error.param.opts if each.startswith("--")), error.param.metavar or error.param.name)
    if type(error).__name__ == "MissingParameter":
        return UsageError(f"{name} is missing", f"{_usage(context)}. {more}" if context else "")
    if (choices := re.search(r"'(.*)' is not one of (.*)", said)) is not None:
        known = re.findall(r"'([^']*)'", choices[2])
        near = nearest(choices[1], known)
        words = f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else known[0]
        return UsageError(f"{name}: must be {words}, got {choices[1]!r}", f"Did you mean {' or '.join(near)}?" if near else "")
    if hasattr(error.__cause__, "errors"):  # pydantic's, with which typer reads values
        from striate.core.refusals import refusal

        return UsageError(f"{name}: {refusal(error.__cause__).said}")
    return UsageError(f"{name}: {said.removesuffix('.')}")


def _usage(context: Any) -> str:
    """The usage of the verb, on one line."""
    return re.sub(r"[{}]", "", " ".join(context.get_usage().split()))


def _unknown_flag(flag: str, context: Any, more: str) -> StriateError:
    from striate.workflows.recipes.words import OTHER_NAMES, OTHER_WORDS

    own = _flags_of(context.command)
    word = flag.lstrip("-").replace("-", "_")
    field = OTHER_NAMES.get(word, word)
    said = _said(field)
    if flag not in own and said.partition(" ")[0] in own:
        return UsageError(f"unknown flag {flag!r}", f"Striate calls it {said}.")
    if word in OTHER_WORDS and "--set" in own:
        return UsageError(f"unknown flag {flag!r}", OTHER_WORDS[word])
    if "--set" in own and (group := _group_of(word)):
        return UsageError(f"unknown flag {flag!r}", f"Use --set {group}.{word}=VALUE.")
    having = [name for name, verb in context.parent.command.commands.items() if flag in _flags_of(verb)] if context.parent else []
    if having:
        return UsageError(f"unknown flag {flag!r}", f"It is a flag of {', '.join(f'`striate {name}`' for name in having[:3])}. {more}")
    return UnknownNameError("flag", flag, own, more)


def _group_of(word: str) -> str:
    """The group of --set that has the name; "" if none has."""
    from striate.workflows.recipes.choices import AUGMENTATIONS, SETTINGS

    return "settings" if word in SETTINGS else "augmentation" if word in AUGMENTATIONS else ""
