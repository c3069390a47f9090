"""JSON, YAML and CSV files that others may have edited or damaged: read within limits of size, depth and range, or refused.

Each reader takes plain files only, builds nothing but numbers, words, lists and mappings, and names the file in its errors.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from striate.core.errors import RefusedFileError
from striate.core.files import read_plain

MAX_TEXT_BYTES = 2**26  # of a JSON or CSV file
MAX_YAML_BYTES = 2**18
MAX_YAML_DEPTH = 6
MAX_JSON_DEPTH = 500  # lists and mappings inside each other; a network of 200 nested containers has about 400
NO_TEXT = re.compile("[\ud800-\udc7f\udd00-\udfff]")  # the surrogates between stand for bytes of file names
LARGEST_WHOLE = 2**63 - 1


def read_text(path: Path, *, limit: int = MAX_TEXT_BYTES, remedy: str = "") -> str:
    """The text of a plain file in UTF-8, with or without a byte-order mark.

    Raises:
        RefusedFileError: not a plain file, too large, unreadable, or not UTF-8.
    """
    return _text(path, read_plain(path, limit=limit, remedy=remedy), remedy, partial(bytes.decode, encoding="utf-8-sig"))


def _text(path: Path, data: bytes, remedy: str, decode: Callable[[bytes], str]) -> str:
    try:
        return decode(data)
    except UnicodeDecodeError as error:
        raise RefusedFileError(f"{path}: is not text in UTF-8: {error}", remedy) from None


def read_json(path: Path, *, limit: int = MAX_TEXT_BYTES, remedy: str = "") -> Any:
    """The plain data of a JSON file.

    Raises:
        RefusedFileError: unreadable, not JSON, too deep, a name stands twice, or a number is out of range.
    """
    return parsed_json(read_text(path, limit=limit, remedy=remedy), str(path), remedy)


def read_json_lines(path: Path, *, limit: int = MAX_TEXT_BYTES, remedy: str = "") -> list[dict[str, Any]]:
    """The objects of a file with one per line; a last line without an end, which a kill can leave, is left out.

    Raises:
        RefusedFileError: as of `read_json`, or a line is not an object; names the line.
    """
    records = []
    whole_letters = codecs.getincrementaldecoder("utf-8-sig")()  # a kill may have cut the last line inside one
    text = _text(path, read_plain(path, limit=limit, remedy=remedy), remedy, whole_letters.decode)
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        where = f"{path}, line {number}"
        record = parsed_json(line, where, remedy)
        if not isinstance(record, dict):
            raise RefusedFileError(f"{where}: must be an object, got {_shown(record)}", remedy)
        records.append(record)
    return records


def read_yaml(path: Path, *, limit: int = MAX_YAML_BYTES, depth: int = MAX_YAML_DEPTH, remedy: str = "") -> Any:
    """The plain data of a YAML file.

    Raises:
        RefusedFileError: unreadable, no YAML, too deep, a name stands twice, a number is out of range, or it uses tags, anchors, aliases
            or several documents.
    """
    text = read_text(path, limit=limit, remedy=remedy)
    return parsed_yaml(text, str(path), depth=depth, remedy=remedy)


def parsed_yaml(text: str, where: str, *, depth: int = MAX_YAML_DEPTH, remedy: str = "") -> Any:
    """The plain data of YAML text; `where` names it in errors, which are those of `read_yaml`."""
    try:
        check_events(where, text, depth)
        content = yaml.safe_load(text)
    except RefusedFileError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # ValueError: dates and numbers that do not exist
        raise RefusedFileError(f"{where}: invalid YAML: {_why(error)}", remedy) from None
    _refuse_out_of_range(content, where, remedy)
    return content


def read_csv(path: Path, *, limit: int = MAX_TEXT_BYTES, remedy: str = "") -> tuple[list[str], list[dict[str, str]]]:
    """The header of a CSV file and its rows by the names of the header.

    Raises:
        RefusedFileError: unreadable, a name of the header stands twice, or a row has more or fewer cells; names the row.
    """
    try:
        lines = list(csv.reader(io.StringIO(read_text(path, limit=limit, remedy=remedy), newline=""), strict=True))
    except csv.Error as error:
        raise RefusedFileError(f"{path}: not a CSV table: {error}", remedy) from None
    header, *rows = lines or [[]]
    if len(set(header)) != len(header):
        raise RefusedFileError(f"{path}: duplicate column: {', '.join(header)[:200]}", remedy)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise RefusedFileError(f"{path}: row {number} has {len(row)} cells, the header has {len(header)}", remedy)
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def parsed_json(text: str, where: str, remedy: str = "", *, any_text: bool = False) -> Any:
    """The plain data of JSON text; `where` names it in errors, which are those of `read_json`.

    Bytes of file names that are no UTF-8 may stand in it, as Python has them (U+DC80 to U+DCFF); with `any_text` every lone surrogate.
    """

    def constant(word: str) -> float:
        raise ValueError(f"{word} is not a finite number")

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        named = dict(pairs)
        if len(named) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for place, name in enumerate(names) if name in names[:place])
            raise ValueError(f"{twice} appears twice")
        return named

    try:
        data = json.loads(text, parse_constant=constant, object_pairs_hook=fields)
    except RecursionError:
        raise RefusedFileError(f"{where}: more than {MAX_JSON_DEPTH} levels deep", remedy) from None
    except ValueError as error:
        raise RefusedFileError(f"{where}: invalid JSON: {_why(error)}", remedy) from None
    if _is_deeper(data, MAX_JSON_DEPTH):
        raise RefusedFileError(f"{where}: more than {MAX_JSON_DEPTH} levels deep", remedy)
    _refuse_out_of_range(data, where, remedy, any_text=any_text)
    return data


def _why(error: Exception) -> str:
    """A parser's message on one line; a number with thousands of digits is put in words."""
    if "integer string conversion" in str(error):
        return f"a whole number of more than {sys.get_int_max_str_digits():,} digits"
    return " ".join(str(error).split())[:400]


def _is_deeper(data: Any, most: int) -> bool:
    level = [data]
    for _ in range(most + 1):
        level = [inner for item in level if isinstance(item, dict | list) for inner in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return False
    return True


def _refuse_out_of_range(content: Any, where: str, remedy: str, *, any_text: bool = False) -> None:
    for name, value in leaves(content):
        if isinstance(value, float) and not math.isfinite(value):
            raise RefusedFileError(f"{where}: {name} must be a finite number, got {value}", remedy)
        if type(value) is int and abs(value) > LARGEST_WHOLE:
            raise RefusedFileError(f"{where}: {name} is out of range: a whole number of {_digits(value)} digits", remedy)
        if isinstance(value, str) and not any_text and NO_TEXT.search(value):
            raise RefusedFileError(f"{where}: {name} is not valid text: {value!r}", remedy)


def is_text(value: str) -> bool:
    """Return whether UTF-8 can encode it: it holds no lone surrogate."""
    return value.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _digits(value: int) -> int:
    return max(1, math.floor(abs(value).bit_length() * math.log10(2)))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def leaves(content: Any, name: str = "the value") -> Iterator[tuple[str, Any]]:
    """Each value that holds no others, with the name that it stands under; the names too, which are values of their own."""
    open_parts: list[tuple[str, Any]] = [(name, content)]
    while open_parts:
        name, part = open_parts.pop()
        if isinstance(part, dict):
            open_parts += [(str(key), value) for key, value in reversed(part.items())]
            yield from (("a name", key) for key in part if isinstance(key, str))
        elif isinstance(part, list):
            open_parts += [(name, value) for value in reversed(part)]
        else:
            yield name, part


def check_events(where: str, text: str, depth: int) -> None:
    """Go through YAML text without building anything, and refuse what plain data does not need.

    Raises:
        RefusedFileError: it is too deep, has a name twice, or uses tags, anchors or several documents.
    """
    names: list[set[str] | None] = []  # of each mapping that is open; None for a sequence
    awaits_name: list[bool] = []
    documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = f"{where}, line {event.start_mark.line + 1 if event.start_mark else '?'}"
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if documents > 1:
            raise RefusedFileError(f"{line}: a second YAML document begins", "Keep one.")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise RefusedFileError(f"{line}: anchors and aliases (& and *) are not supported", "Write the value out.")
        if (tag := getattr(event, "tag", None)) is not None:
            raise RefusedFileError(f"{line}: tags (!) are not supported: {tag}", "Write plain numbers, words and lists.")
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            names.pop()
            awaits_name.pop()
        elif isinstance(event, yaml.NodeEvent):
            if names and names[-1] is not None:
                if awaits_name[-1]:
                    name = event.value if isinstance(event, yaml.ScalarEvent) else ""
                    if not isinstance(event, yaml.ScalarEvent) or name == "<<":
                        raise RefusedFileError(f"{line}: a name must be a word")
                    if name in names[-1]:
                        raise RefusedFileError(f"{line}: {name} appears twice", "Keep one.")
                    names[-1].add(name)
                awaits_name[-1] = not awaits_name[-1]
            if isinstance(event, yaml.CollectionStartEvent):
                names.append(set() if isinstance(event, yaml.MappingStartEvent) else None)
                awaits_name.append(True)
                if len(names) > depth:
                    raise RefusedFileError(f"{line}: more than {depth} levels deep")
