"""CIFAR's batches are pickles: their arrays are read, and nothing that a pickle can ask for ever happens."""

from __future__ import annotations

import codecs
import os
import pickle
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from striate.core.errors import RefusedFileError
from striate.data import pickled
from striate.data.pickled import arrays_of_pickle

ALARMS = ("os.system", "subprocess.Popen", "exec", "import", "open", "socket.connect", "os.remove", "pickle.find_class")
_heard: list[str] | None = None


def _listen(event: str, _arguments: Any) -> None:
    if _heard is not None and event in ALARMS:
        _heard.append(event)


@contextmanager
def no_deeds() -> Iterator[None]:
    """Nothing is started, opened, imported or called by name inside; an audit hook hears it."""
    global _heard  # noqa: PLW0603
    if not hasattr(sys, "_striate_test_hook"):
        sys.addaudithook(_listen)  # cannot be taken off again: it is added once, and listens only in here
        sys._striate_test_hook = True  # type: ignore[attr-defined]
    codecs.lookup("raw-unicode-escape")  # Python itself imports this one at its first use
    _heard = heard = []
    try:
        yield
    finally:
        _heard = None
    assert heard == []


class Deed:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def batch(pickle_of_python_2: Callable[[Any], bytes]) -> bytes:
    """A batch of three rows of four bytes."""
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    return pickle_of_python_2({"data": pixels, "labels": [0, 1, 2], "batch_label": "hello", "filenames": ["a", "b", "c"], "num": 70_000})


def test_a_batch_as_python_2_wrote_it_is_read(batch: bytes):
    with no_deeds():
        content = arrays_of_pickle(batch)

    np.testing.assert_array_equal(content["data"], [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
    assert content["data"].dtype == np.uint8
    assert content["labels"] == [0, 1, 2]
    assert content["batch_label"] == "hello" and content["num"] == 70_000 and list(content["filenames"]) == ["a", "b", "c"]


@pytest.mark.needs("cifar-10-batches-py/test_batch")
@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_published_batches_read_as_pickle_reads_them(data_dir: Path, name: str):
    data = (data_dir / "cifar-10-batches-py" / name).read_bytes()
    with no_deeds():
        ours = arrays_of_pickle(data)
    theirs = pickle.loads(data, encoding="latin1")

    assert set(ours) == set(theirs)
    for key, value in theirs.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(ours[key], value)
        elif isinstance(value, list):
            assert list(ours[key]) == value
        else:
            assert ours[key] == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "make",
    [
        lambda canary: Deed(os.system, f"touch {canary}"),
        lambda canary: {"data": Deed(os.system, f"touch {canary}")},
        lambda canary: {"data": [[({"deep": Deed(os.system, f"touch {canary}")},)]]},
        lambda canary: {Deed(os.mkdir, str(canary)): 1},
        lambda canary: Deed(eval, f"open({str(canary)!r}, 'w')"),
        lambda canary: Deed(exec, f"open({str(canary)!r}, 'w')"),
        lambda canary: Deed(open, str(canary), "w"),
        lambda canary: Deed(__import__, "this"),
        lambda canary: Deed(np.memmap, str(canary), "u1", "w+", 0, (9,)),
        lambda canary: {"data": np.array([Deed(os.system, f"touch {canary}")], dtype=object)},
        lambda canary: {"data": np.arange(3.0)},
        lambda canary: {"data": Path(canary)},
    ],
)  # fmt: skip
def test_a_pickle_that_asks_for_a_call_is_refused_and_nothing_happens(make: Any, protocol: int, tmp_path: Path):
    canary = tmp_path / "canary"
    data = pickle.dumps(make(canary), protocol)

    with no_deeds(), pytest.raises(RefusedFileError) as caught:
        arrays_of_pickle(data)

    assert caught.value.exit_code == 7
    assert not canary.exists()


@pytest.mark.parametrize(
    "name", ["posix system", "os system", "builtins eval", "__builtin__ eval", "numpy load", "numpy.core.multiarray scalar", "nt system"]
)
def test_a_name_outside_the_list_is_refused_by_name(name: str):
    module, function = name.split()
    data = b"\x80\x02c" + f"{module}\n{function}\n".encode() + b"U\x01a\x85R."

    with no_deeds(), pytest.raises(RefusedFileError, match=f"{module} {function}"):
        arrays_of_pickle(data)


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("STACK_GLOBAL", b"\x80\x04\x8c\x05posix\x8c\x06system\x93."),
        ("INST", b"(S'true'\niposix\nsystem\n."),
        ("OBJ", b"(cposix\nsystem\nU\x04trueo."),
        ("PERSID", b"Pname\n."),
        ("BINPERSID", b"U\x01aQ."),
        ("EXT1", b"\x80\x02\x82\x01."),
        ("NEWOBJ", b"\x80\x02cnumpy\nndarray\n)\x81."),
        ("NEXT_BUFFER", b"\x80\x05\x97."),
        ("EMPTY_SET", b"\x80\x04\x8f."),
        ("BYTEARRAY8", b"\x80\x05\x96" + struct.pack("<Q", 3) + b"abc."),
    ],
)
def test_opcodes_that_the_batches_do_not_use_are_refused(what: str, data: bytes):
    with no_deeds(), pytest.raises(RefusedFileError):
        arrays_of_pickle(data)


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("text in the place of the array's maker", b"\x80\x02U\x0breconstructU\x07ndarray\x85R."),
        ("append to a number", b"\x80\x02K\x01K\x02a."),
        ("append many to a number", b"\x80\x02K\x01(K\x02K\x03e."),
        ("set an item of a number", b"\x80\x02K\x01K\x02K\x03s."),
        ("update a number", b"\x80\x02K\x01(K\x02K\x03u."),
        ("a list as a key", b"\x80\x02}]K\x01s."),
        ("an odd number of items", b"\x80\x02}(K\x01u."),
        ("no mark", b"\x80\x02}K\x01u."),
        ("nothing on the stack", b"\x80\x02."),
        ("a memo that was never put", b"\x80\x02h\x05."),
        ("state of a list", b"\x80\x02]K\x01b."),
        ("a list in place of a dict", b"\x80\x02]."),
        ("a mark as a value", b"\x80\x02}U\x01a(s."),
        ("a number as a key", b"\x80\x02}K\x01K\x02s."),
        ("an array without content", b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87Rs."),
        ("no opcodes", b""),
        ("text", b"<html>not found</html>"),
        ("a length beyond the file", b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc."),
        ("a negative length", b"T\xff\xff\xff\xffabc."),
    ],
)
def test_a_malformed_pickle_is_refused(what: str, data: bytes):
    with no_deeds(), pytest.raises(RefusedFileError):
        arrays_of_pickle(data)


def test_a_batch_cut_short_anywhere_is_refused(batch: bytes):
    for length in range(len(batch)):
        with pytest.raises(RefusedFileError):
            arrays_of_pickle(batch[:length])


def test_a_flipped_bit_gives_arrays_or_a_refusal_and_nothing_else(batch: bytes):
    with no_deeds():
        for place in range(len(batch)):
            for bit in range(8):
                changed = bytearray(batch)
                changed[place] ^= 1 << bit
                try:
                    arrays_of_pickle(bytes(changed))
                except RefusedFileError:
                    continue


def test_an_array_whose_shape_does_not_fit_its_bytes_is_refused(batch: bytes):
    changed = batch.replace(b"(K\x03K\x04t", b"(K\x05K\x04t")
    assert changed != batch
    with pytest.raises(RefusedFileError, match="12 bytes"):
        arrays_of_pickle(changed)


def test_lists_that_share_lists_are_not_copied():
    """Sixty doublings by reference: a reader that copied would need 2**60 items."""
    lists: list[Any] = []
    for _ in range(60):
        lists = [lists, lists]
    with pytest.raises(RefusedFileError, match="something other than arrays"):
        arrays_of_pickle(pickle.dumps({"a": lists}, 2))


def test_more_bytes_than_a_batch_has_are_refused_unread(batch: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pickled, "MAX_BYTES", 10)
    with pytest.raises(RefusedFileError, match="bytes are too many for a batch"):
        arrays_of_pickle(batch)


def test_tuples_a_million_deep_as_a_key_do_not_end_the_process():
    """Python hashes a tuple by hashing what is in it, on the machine's own stack."""
    with pytest.raises(RefusedFileError, match="a key of the batch is not text"):
        arrays_of_pickle(b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.")


def test_a_shape_beyond_64_bits_does_not_fit_its_bytes(pickle_of_python_2: Callable[[Any], bytes]):
    data = pickle_of_python_2({"data": np.zeros((2, 3), np.uint8)})
    changed = data.replace(b"(K\x02K\x03t", b"(\x8a\x09" + (2**64).to_bytes(9, "little") + b"K\x03t")
    assert changed != data
    with pytest.raises(RefusedFileError, match="has 6 bytes"):
        arrays_of_pickle(changed)
