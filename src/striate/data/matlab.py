"""Numeric arrays from a MATLAB file of level 5, as SVHN's are: numbers only, every size is checked before it is used.

Source: MathWorks, "MAT-File Format", the chapter on level 5. Departs from the source: cells, structures, text, sparse and complex
arrays are passed over, and so are files of 4 and of 7.3 (which are HDF5).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import Literal, NamedTuple

import numpy as np

HEADER = 128  # bytes: a text, the version, and "IM" or "MI" for the byte order
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # by the type of an element
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
NUMERIC = range(6, 16)  # classes of arrays: double, single, and whole numbers of 8 to 64 bits
COMPLEX = 0x08_00
MOST_AXES = 8

ByteOrder = Literal["<", ">"]


class Element(NamedTuple):
    """One element of the file, or of an array."""

    kind: int
    data: memoryview


def arrays_of_matlab(data: bytes, names: Collection[str], limit: int) -> dict[str, np.ndarray]:
    """The numeric arrays called `names` that the file holds, in the type in which their numbers are stored.

    Args:
        data: The file.
        names: The arrays that are wanted.
        limit: The most bytes that one of them may have.

    Raises:
        ValueError: not such a file, damaged, or an array of more than `limit` bytes.
    """
    if len(data) < HEADER or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("not a MATLAB file of level 5")
    order: ByteOrder = "<" if data[126:128] == b"IM" else ">"
    found = {}
    for element in _elements(memoryview(data)[HEADER:], order):
        if element.kind == COMPRESSED:
            element = _inflated(element.data, order, limit)  # noqa: PLW2901
        if element.kind == MATRIX and (named := _array(element.data, order, names)) is not None:
            found[named[0]] = named[1]
    return found


def _elements(data: memoryview, order: ByteOrder) -> Iterator[Element]:
    """The elements that follow each other in `data`; those of at most 4 bytes have them in their tag."""
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from(order + "II", data, place)
        small = kind >> 16
        start, size, kind = (place + 4, small, kind & 0xFFFF) if small else (place + 8, size, kind)
        if size > (4 if small else len(data) - start):
            raise ValueError(f"an element of {size:,} bytes where {max(0, len(data) - start):,} are left")
        yield Element(kind, data[start : start + size])
        place = start + (4 if small else size if kind == COMPRESSED else -(-size // 8) * 8)


def _inflated(packed: memoryview, order: ByteOrder, limit: int) -> Element:
    """The one element that a compressed one holds."""
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(packed, limit + 2**16)  # with room for the name and the dimensions
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not stream.eof:
        raise ValueError("a compressed element is cut short" if not stream.unconsumed_tail else f"an array of more than {limit:,} bytes")
    return next(_elements(memoryview(data), order), Element(0, packed[:0]))


def _array(data: memoryview, order: ByteOrder, names: Collection[str]) -> tuple[str, np.ndarray] | None:
    """Name and content of an array, if it is a wanted and numeric one."""
    parts = list(_elements(data, order))
    if [part.kind for part in parts[:3]] != [UINT32, INT32, INT8] or len(parts[0].data) != 8:
        raise ValueError("an array without flags, dimensions and name")
    name = bytes(parts[2].data).decode("latin-1")
    flags = struct.unpack_from(order + "I", parts[0].data)[0]
    if name not in names or flags & 0xFF not in NUMERIC:
        return None
    if flags & COMPLEX or len(parts) != 4 or parts[3].kind not in NUMBERS:
        raise ValueError(f"{name} holds something other than plain numbers")
    shape = np.frombuffer(parts[1].data, order + "i4").tolist()
    values = np.frombuffer(parts[3].data, order + NUMBERS[parts[3].kind])
    if len(shape) > MOST_AXES or min(shape, default=-1) < 0 or math.prod(shape) != len(values):
        raise ValueError(f"{name} has {len(values):,} numbers, which do not fit its shape {tuple(shape)}")
    return name, values.reshape(shape, order="F")
