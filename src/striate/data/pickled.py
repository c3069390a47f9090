"""CIFAR's published batches are pickles; this reads the arrays in them without running any code that a pickle can call.

The opcodes are interpreted one by one from an allow-list. The only call that is known builds a NumPy array of uint8; every other
global name, and every opcode that the batches do not use, is refused. Nothing is imported or called by name.
"""

from __future__ import annotations

import math
import pickletools
from typing import Any

import numpy as np

from striate.core.errors import RefusedFileError

MAX_BYTES = 400_000_000


class _Mark:
    """The bottom of an open tuple, list or dict on the stack."""


class _Array:
    """The array that is being built; its bytes come with its state."""

    value: np.ndarray | None = None

    def set_state(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[1], tuple) and isinstance(state[4], bytes)):
            raise RefusedFileError("an array's state is not as NumPy writes it")
        _, shape, dtype, fortran, data = state
        if dtype is not UINT8 or fortran or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise RefusedFileError("only C-ordered uint8 arrays are read")
        if math.prod(shape) != len(data):
            raise RefusedFileError(f"an array of shape {shape} has {len(data)} bytes")
        self.value = np.frombuffer(data, np.uint8).reshape(shape)


class _Known:
    """A marker for a known global name, or for a dtype of uint8; no text of the file equals it."""


RECONSTRUCT, NDARRAY, DTYPE, UINT8 = _Known(), _Known(), _Known(), _Known()
GLOBALS = {
    "numpy.core.multiarray _reconstruct": RECONSTRUCT,
    "numpy _reconstruct": RECONSTRUCT,
    "numpy ndarray": NDARRAY,
    "numpy dtype": DTYPE,
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1")
TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINBYTES", "SHORT_BINBYTES")
OLD_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # Python 2's, which are bytes


def arrays_of_pickle(data: bytes) -> dict[str, Any]:
    """The dict of a CIFAR batch: names to uint8 arrays, lists of numbers, and text.

    Raises:
        RefusedFileError: the pickle does anything but build such a dict.
    """
    if len(data) > MAX_BYTES:
        raise RefusedFileError(f"{len(data):,} bytes are too many for a batch")
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                break
            _step(opcode.name, argument, stack, memo)
        top = stack.pop()
    except RefusedFileError:
        raise
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise RefusedFileError(f"not a batch as it was published: {error}") from None
    if not isinstance(top, dict):
        raise RefusedFileError("not a batch as it was published: it holds no dict")
    return {_text(key): _plain(value) for key, value in top.items()}


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """Execute one opcode of the allow-list."""
    if name in ("PROTO", "FRAME"):
        return
    if name in CONSTANTS:
        stack.append(CONSTANTS[name])
    elif name in NUMBERS or name in TEXTS:
        stack.append(argument)
    elif name in OLD_TEXTS:
        stack.append(argument.encode("latin-1"))
    elif name in ("EMPTY_DICT", "EMPTY_LIST"):
        stack.append({} if name == "EMPTY_DICT" else [])
    elif name == "MARK":
        stack.append(_Mark())
    elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
        memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
    elif name in ("GET", "BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "GLOBAL":
        if argument not in GLOBALS:
            raise RefusedFileError(f"the pickle names {argument!r}, which is never called")
        stack.append(GLOBALS[argument])
    elif name in ("TUPLE", "LIST", "DICT", "APPENDS", "SETITEMS"):
        _close(name, stack)
    else:
        _join(name, stack)


def _join(name: str, stack: list[Any]) -> None:
    """Execute an opcode that takes a fixed number of items off the stack."""
    if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name == "APPEND":
        item = stack.pop()
        _the(list, stack).append(item)
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        _the(dict, stack)[_key(key)] = value
    elif name == "REDUCE":
        arguments, function = stack.pop(), stack.pop()
        stack.append(_call(function, arguments))
    elif name == "BUILD":
        state = stack.pop()
        if isinstance(stack[-1], _Array):
            stack[-1].set_state(state)
        elif stack[-1] is not UINT8:  # the state of a uint8 dtype says nothing more
            raise RefusedFileError("the pickle sets the state of something that is not an array")
    else:
        raise RefusedFileError(f"the pickle uses {name}, which the published batches do not")


def _close(name: str, stack: list[Any]) -> None:
    """Gather the items above the last mark."""
    start = max(place for place, item in enumerate(stack) if isinstance(item, _Mark))
    items = stack[start + 1 :]
    del stack[start:]
    if name in ("TUPLE", "LIST"):
        stack.append(tuple(items) if name == "TUPLE" else items)
    elif name == "APPENDS":
        _the(list, stack).extend(items)
    else:
        pairs = dict(zip(map(_key, items[::2]), items[1::2], strict=True))
        if name == "DICT":
            stack.append(pairs)
        else:
            _the(dict, stack).update(pairs)


def _the(kind: type, stack: list[Any]) -> Any:
    """The list or dict on top of the stack."""
    if not isinstance(stack[-1], kind):
        raise RefusedFileError(f"the pickle changes a {type(stack[-1]).__name__} as if it were a {kind.__name__}")
    return stack[-1]


def _call(function: object, arguments: object) -> Any:
    """The two calls that are known: an empty array, and the dtype of bytes."""
    if isinstance(arguments, tuple) and arguments:
        if function is RECONSTRUCT and arguments[0] is NDARRAY:
            return _Array()
        if function is DTYPE and arguments[0] in (b"u1", "u1"):
            return UINT8
    raise RefusedFileError("the pickle calls something other than NumPy's array of uint8")


def _key(value: object) -> str | bytes:
    """A key of a dict. Nothing else is looked up: to hash tuples inside each other a million times ends the process."""
    if not isinstance(value, str | bytes):
        raise RefusedFileError("a key of the batch is not text")
    return value


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise RefusedFileError("a key of the batch is not text")


def _plain(value: object) -> Any:
    if isinstance(value, _Array):
        if value.value is None:
            raise RefusedFileError("an array has no content")
        return value.value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, list) and all(isinstance(item, str | bytes | int) for item in value):
        return [item.decode("latin-1") if isinstance(item, bytes) else item for item in value]
    raise RefusedFileError("the batch holds something other than arrays, text and lists of numbers and text")
