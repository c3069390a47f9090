"""Untrusted names in text: escaped on a terminal, kept exactly in JSON and CSV, quoted for the shell."""

from __future__ import annotations

import json
import os
import re
import shlex
import unicodedata
from collections.abc import Iterable
from typing import Any

OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # Unicode: controls, formats such as direction overrides, surrogates, breaks
JOINERS = "\u200c\u200d"  # formats too, but parts of words and of emoji
SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff]")  # what json.dumps leaves as it is


class Lines(str):
    """Text of several lines on purpose, made by `in_lines`; in any other text a line break belongs to a name."""

    __slots__ = ()


def printable(text: str) -> str:
    r"""`text` on one line, with control characters escaped: \x1b, \n, \u202e, and \xe9 for a byte of a name that is not text."""
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable() or character in JOINERS or unicodedata.category(character) not in OBEYED:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # as Python decodes a byte that is no UTF-8
        code -= 0xDC00
    return SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def in_lines(lines: Iterable[str]) -> Lines:
    """Each text on its own line, or on several if it is `Lines`; a final "" ends the last line."""
    return Lines("\n".join(map(shown, lines)))


def shown(text: str) -> str:
    """Text that is safe on a terminal: `printable`, but for the line breaks of `Lines`."""
    return text if isinstance(text, Lines) else printable(text)


def counted(count: int, noun: str, nouns: str = "") -> str:
    """The number with its noun, in the plural unless it is one."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def encodable(text: str) -> str:
    r"""`text` as UTF-8 can encode it: a byte of a file name that is not text becomes \xe9, everything else stays."""
    return re.sub("[\ud800-\udfff]", lambda found: _visible(found[0]), text)


def json_text(data: Any, indent: int | None = None) -> str:
    r"""Plain data as JSON that is valid UTF-8 in every reader: numbers that are not finite are null, bytes that are not text \udce9.

    `json.loads` and `os.fsencode` give the bytes back.
    """
    text = json.dumps(_finite(data), indent=indent, ensure_ascii=False, allow_nan=False)
    return UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value - value != 0:  # NaN, infinity
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def command(*words: str | os.PathLike[str]) -> str:
    """A command line as it is typed into a shell; paths are quoted where they must be."""
    return " ".join(map(_typed, words))


def _typed(word: str | os.PathLike[str]) -> str:
    text = os.fspath(word)
    if not isinstance(word, str) and text.startswith("-"):
        text = f".{os.sep}{text}"  # a path, not a flag
    if printable(text) == text:
        return shlex.quote(text)
    inside = "".join(f"\\{c}" if c in "\\'" else _visible(c) for c in text)
    return f"$'{inside}'"
