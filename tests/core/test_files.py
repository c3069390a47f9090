"""A crash or a full disk leaves the old file or the new one, and the error says which file and how much space."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.files import cannot_write, folder_beside, read_plain, shortened, sync_directory, write_atomically

posix_only = pytest.mark.skipif(os.name == "nt", reason="the file system has no such modes")


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "best.safetensors"
    path.write_bytes(b"old")
    return path


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_in_a_folder_beside_is_named_as_it_was_asked_for(tmp_path):
    asked = tmp_path / "net.onnx"
    with pytest.raises(EnvironmentFault) as caught, folder_beside(asked) as folder:
        raise cannot_write(folder / "net.onnx", OSError(errno.EFBIG, "File too large"))

    assert caught.value.message == f"{asked}: larger than this process or the file system lets a file be"
    assert "ulimit -f" in caught.value.remedy and names(tmp_path) == []


def test_a_file_is_replaced_as_a_whole(old_file):
    write_atomically(old_file, b"new content")

    assert old_file.read_bytes() == b"new content"
    assert names(old_file.parent) == ["best.safetensors"]


def test_the_new_file_is_on_the_disk_before_it_gets_its_name(old_file, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (calls.append("fsync"), fsync(descriptor))[1])
    monkeypatch.setattr(os, "replace", lambda old, new: (calls.append("replace"), replace(old, new))[1])

    write_atomically(old_file, b"new")

    assert calls == (["fsync", "replace", "fsync"] if os.name != "nt" else ["fsync", "replace"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_the_old_file_stays_when_the_disk_fails(old_file, monkeypatch, call, number):
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)

    with pytest.raises(EnvironmentFault, match=r"best\.safetensors"):
        write_atomically(old_file, b"new")

    assert old_file.read_bytes() == b"old"
    assert names(old_file.parent) == ["best.safetensors"]


def test_an_interrupt_leaves_the_old_file_and_nothing_beside_it(old_file, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)

    with pytest.raises(KeyboardInterrupt):
        write_atomically(old_file, b"new")

    assert old_file.read_bytes() == b"old"
    assert names(old_file.parent) == ["best.safetensors"]


def test_no_space_says_how_much_is_free_and_how_much_is_needed(tmp_path):
    path = tmp_path / "best.safetensors"

    error = cannot_write(path, OSError(errno.ENOSPC, "No space left on device"), needed_bytes=1_234_567)

    start, free, need = error.message.partition(" bytes are free")[0], error.message, error.message.rpartition("and ")[2]
    assert start.startswith(f"{path}: no space left on the device; ")
    assert "bytes are free and" in free
    assert need == "1,234,567 bytes are needed"
    assert error.remedy == "Free some space, or choose another `output`."


def test_another_fault_gives_the_systems_word_and_a_remedy(tmp_path):
    with pytest.raises(EnvironmentFault) as error:
        write_atomically(tmp_path / "gone" / "file", b"")

    assert str(error.value) == (
        f"{tmp_path / 'gone' / 'file'}: cannot write: No such file or directory\nCheck the permissions, or choose another `output`."
    )


@posix_only
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_umask_decides_who_may_read_the_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "file", b"x")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@posix_only
@pytest.mark.parametrize("name", [".", "..", "", "/"])
def test_a_folder_in_place_of_a_file_is_named(name, tmp_path, monkeypatch):
    """A path without a last part, such as of an empty word on the command line, is the folder one is in."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EnvironmentFault, match=r"cannot write a file: this is a folder\nGive the name of a file in it."):
        write_atomically(Path(name), b"x")
    assert names(tmp_path) == []


def test_a_directory_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    """Some network file systems answer EINVAL to fsync of a directory; the file is in its place all the same."""

    def fail(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fail)

    sync_directory(tmp_path)


FILL = """
import sys
from pathlib import Path
from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.files import shortened, write_atomically
path = Path(sys.argv[1]) / "model"
write_atomically(path, b"old")
try:
    write_atomically(path, bytes(4 << 20))
except EnvironmentFault as error:
    print(error.message)
print(path.read_bytes(), sorted(p.name for p in path.parent.iterdir()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system")
def test_a_disk_that_is_full_keeps_the_old_file(tmp_path):
    """On a real file system of 1 MiB, in a mount name space of its own."""
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    script = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    Path(tmp_path / "disk").mkdir()
    try:
        subprocess.run([*mount, 'mount -t tmpfs -o size=1m none "$1"', "sh", str(tmp_path / "disk")], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not let a test mount a file system")

    run = subprocess.run([*mount, script, "sh", str(tmp_path / "disk"), sys.executable, FILL], capture_output=True, text=True, check=True)

    message, left = run.stdout.splitlines()
    assert message.startswith(f"{tmp_path}/disk/model: no space left on the device; ")
    assert message.endswith("and 4,194,304 bytes are needed")
    assert left == "b'old' ['model']"


@posix_only
@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(os.mkfifo, "not a plain file", id="a pipe is not waited for"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "not a plain file", id="a device behind a link"),
        pytest.param(Path.mkdir, "cannot read: Is a directory", id="a folder"),
        pytest.param(lambda path: path.write_bytes(bytes(11)), "11 bytes, more than the limit of 10", id="a file above the limit"),
        pytest.param(lambda path: None, "cannot read: No such file or directory", id="no file"),
    ],
)
def test_what_is_no_plain_file_of_that_size_is_refused(tmp_path, make, words):
    make(tmp_path / "file")

    with pytest.raises(RefusedFileError, match=rf"file: {words}\nCopy it again\."):
        read_plain(tmp_path / "file", limit=10, remedy="Copy it again.")


def test_a_plain_file_is_read_and_a_link_only_where_links_may_be_followed(tmp_path):
    (tmp_path / "file").write_bytes(bytes(10))
    (tmp_path / "link").symlink_to(tmp_path / "file")

    assert read_plain(tmp_path / "file", limit=10) == read_plain(tmp_path / "link", limit=10) == bytes(10)
    with pytest.raises(RefusedFileError, match="link: not a plain file"):
        read_plain(tmp_path / "link", limit=10, follow_links=False)


@pytest.mark.parametrize("name", ["n" * 255, "\u732b" * 85, "short"])
def test_a_file_with_the_longest_name_is_written(name, tmp_path):
    write_atomically(tmp_path / name, b"content")
    assert (tmp_path / name).read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_name_is_shortened_between_its_letters():
    assert shortened("\u732b" * 85, 100) == "\u732b" * 33 and shortened("plain", 100) == "plain"
