"""Downloads: only against the known checksum, all or nothing, with a clear word when the network fails."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from striate.core.errors import DataError, EnvironmentFault, RefusedFileError
from striate.data.download import fetch
from striate.data.named import NAMED, PublishedFile, open_named
from striate.data.sources import open_data

CONTENT = b"published " * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Publisher(http.server.BaseHTTPRequestHandler):
    """Serves /right, /wrong, /short (says more than it sends) and 404 for the rest."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = {"/right": CONTENT, "/wrong": CONTENT[:-1] + b"!", "/short": CONTENT[:100]}.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def publisher() -> Iterator[tuple[str, list[str]]]:
    """The address of a publisher on this machine, and the list of what it was asked for."""
    asked: list[str] = []
    handler = type("Handler", (Publisher,), {"asked": asked})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()
        thread.join()


def test_the_right_file_is_kept_and_nothing_else_is_left(publisher: tuple[str, list[str]], tmp_path: Path):
    path = tmp_path / "new" / "folder" / "file"
    fetch(publisher[0] + "right", path, md5=MD5)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_there_and_right_is_not_fetched_again(publisher: tuple[str, list[str]], tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    before = path.stat()
    fetch(publisher[0] + "right", path, md5=MD5)
    after = path.stat()
    assert publisher[1] == [] and (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_damaged_file_is_replaced(publisher: tuple[str, list[str]], tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(CONTENT[:50])
    fetch(publisher[0] + "right", path, md5=MD5)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("existing", [None, b"what was there"])
def test_another_content_is_refused_and_nothing_changes(existing: bytes | None, publisher: tuple[str, list[str]], tmp_path: Path):
    path = tmp_path / "file"
    if existing is not None:
        path.write_bytes(existing)
    with pytest.raises(RefusedFileError, match=r"wrong: not the file that was published \(its MD5 differs\)") as caught:
        fetch(publisher[0] + "wrong", path, md5=MD5)
    assert caught.value.exit_code == 7 and str(path) in caught.value.remedy
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if existing is None else [existing])


@pytest.mark.parametrize(
    ("page", "words"), [("missing", "cannot be downloaded: 404 Not Found"), ("short", "100 of 10,000 bytes|cannot be downloaded")]
)
def test_a_publisher_that_fails_is_named(page: str, words: str, publisher: tuple[str, list[str]], tmp_path: Path):
    with pytest.raises(EnvironmentFault, match=words) as caught:
        fetch(publisher[0] + page, tmp_path / "file", md5=MD5)
    assert caught.value.exit_code == 4
    assert publisher[0] + page in caught.value.message and caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_publisher_that_cannot_be_reached_is_named(tmp_path: Path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/file"
    with pytest.raises(EnvironmentFault, match=r"cannot be downloaded: .*refused") as caught:
        fetch(url, tmp_path / "file", md5=MD5)
    assert str(tmp_path / "file") in caught.value.remedy


def test_a_folder_that_cannot_be_made_is_named(publisher: tuple[str, list[str]], tmp_path: Path):
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(EnvironmentFault, match="cannot write") as caught:
        fetch(publisher[0] + "right", tmp_path / "file" / "below", md5=MD5)
    assert str(tmp_path / "file") in caught.value.message and "`data_dir`" in caught.value.remedy


def test_a_set_is_fetched_only_when_asked_and_lands_where_it_is_looked_for(
    publisher: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """SVHN's table with one file of known content."""
    monkeypatch.setitem(NAMED, "svhn", NAMED["svhn"]._replace(files=(PublishedFile("right", MD5),), folders=("SVHN",)))
    with pytest.raises(DataError, match="not on this machine"):
        open_named("svhn", tmp_path, base_url=publisher[0])
    assert publisher[1] == []

    source = open_named("svhn", tmp_path, download=True, base_url=publisher[0])

    assert publisher[1] == ["/right"] and (tmp_path / "SVHN" / "right").read_bytes() == CONTENT
    assert source.name == "svhn"
    open_named("svhn", tmp_path, download=True, base_url=publisher[0])
    assert publisher[1] == ["/right"]


def test_open_data_hands_the_wish_to_download_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """To a publisher that cannot be reached: an environment's fault, no missing data."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setitem(NAMED, "mnist", NAMED["mnist"]._replace(url=url))
    with pytest.raises(EnvironmentFault, match="cannot be downloaded"):
        open_data("mnist", data_dir=tmp_path, download=True)
