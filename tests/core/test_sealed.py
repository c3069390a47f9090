"""Sealed folders: whole or not at all, damage found, two good ones kept, and nothing outside the directory touched."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.sealed import SealedSeries, is_alive, remove_leftovers, sealed_files, write_sealed

posix_only = pytest.mark.skipif(os.name == "nt", reason="the file system has no such thing")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="uses Linux's own means")
FILES = [("model.safetensors", bytes(range(256)) * 8), ("state.json", b'{"step": 7}')]


@pytest.fixture
def said():
    return []


@pytest.fixture
def series(tmp_path, said):
    return SealedSeries(tmp_path / "checkpoints", "ckpt", say=said.append)


@pytest.fixture
def filled(series):
    """Checkpoints 10 and 20."""
    for step in (10, 20):
        series.add(step, FILES)
    return series


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- what is written


def test_a_sealed_folder_gives_its_files_back(tmp_path):
    write_sealed(tmp_path / "one", iter(FILES))

    assert list(sealed_files(tmp_path / "one")) == FILES
    assert names(tmp_path) == ["one"]
    assert names(tmp_path / "one") == ["MANIFEST.json", "model.safetensors", "state.json"]


def test_the_manifest_tells_size_and_sha256_of_each_file(tmp_path):
    write_sealed(tmp_path / "one", [("a", b"abc")])

    assert json.loads((tmp_path / "one" / "MANIFEST.json").read_text()) == {
        "format": 1,  # the digest is the example of FIPS 180-4
        "files": {"a": {"bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}},
    }


def test_an_interrupt_while_a_file_is_made_leaves_nothing(tmp_path):
    def files():
        yield "a", b"abc"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sealed(tmp_path / "one", files())

    assert names(tmp_path) == []


def test_two_are_kept_and_the_pointer_names_the_newest(series):
    for step in (5, 10, 15, 20):
        series.add(step, FILES)

    assert names(series.directory) == ["ckpt-00000015", "ckpt-00000020", "latest"]
    assert (series.directory / "latest").read_text() == "ckpt-00000020\n"
    assert series.newest() == series.directory / "ckpt-00000020"


def test_the_same_number_again_is_a_second_folder_and_newer(filled):
    filled.add(20, [("state.json", b"again")])
    filled.add(20, [("state.json", b"and again")])

    assert names(filled.directory) == ["ckpt-00000020-2", "ckpt-00000020-3", "latest"]
    assert dict(sealed_files(filled.newest())) == {"state.json": b"and again"}


def test_saving_onto_what_was_read_changes_nothing_that_was_read(series):
    """Ten rounds of reading the newest and saving it under its own number."""
    series.add(7, FILES)
    for _ in range(10):
        series.add(7, sealed_files(series.newest()))

    assert list(sealed_files(series.newest())) == FILES


def test_nothing_there_is_none_and_not_an_error(series, said):
    assert series.newest() is None
    assert series.newest(strict=True) is None
    assert said == []


@linux_only
def test_data_is_on_the_disk_before_its_name_and_the_old_goes_last(filled, monkeypatch):
    """The order that survives a power cut: data, rename, directory, pointer, directory, and only then the removal."""
    log = []

    def shown(path: object) -> str:
        return "pointer" if "latest" in str(path) else Path(str(path)).name.replace(f".tmp-{os.getpid()}", ".tmp")

    def wrap(name: str, show) -> None:
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, **named: (log.append((name, show(*given))), real(*given, **named))[1])

    wrap("fsync", lambda descriptor: shown(Path(f"/proc/self/fd/{descriptor}").readlink()))
    wrap("rename", lambda old, new: f"{shown(old)} -> {shown(new)}")
    wrap("replace", lambda old, new: f"{shown(old)} -> {shown(new)}")
    wrap("rmdir", lambda path, **_: shown(path))

    filled.add(30, FILES)

    assert log == [
        ("fsync", "model.safetensors"),
        ("fsync", "state.json"),
        ("fsync", "MANIFEST.json"),
        ("fsync", ".ckpt-00000030.tmp"),
        ("rename", ".ckpt-00000030.tmp -> ckpt-00000030"),
        ("fsync", "checkpoints"),
        ("fsync", "pointer"),
        ("replace", "pointer -> pointer"),
        ("fsync", "checkpoints"),
        ("rename", "ckpt-00000010 -> .ckpt-00000010.tmp"),
        ("rmdir", ".ckpt-00000010.tmp"),
    ]


@posix_only
@pytest.mark.parametrize(("umask", "folder_mode", "file_mode"), [(0o022, 0o755, 0o644), (0o077, 0o700, 0o600), (0o002, 0o775, 0o664)])
def test_the_umask_decides_who_may_read(tmp_path, umask, folder_mode, file_mode):
    before = os.umask(umask)
    try:
        folder = SealedSeries(tmp_path / "checkpoints", "ckpt").add(1, FILES)
    finally:
        os.umask(before)

    assert stat.S_IMODE(folder.stat().st_mode) == folder_mode
    assert {stat.S_IMODE(path.stat().st_mode) for path in [*folder.iterdir(), tmp_path / "checkpoints" / "latest"]} == {file_mode}


ELSEWHERE = """
import os, sys
opened = []
sys.addaudithook(lambda event, given: opened.append(given) if event == "open" else None)
from pathlib import Path
from striate.core.sealed import SealedSeries
opened.clear()
series = SealedSeries(Path(sys.argv[1]), "ckpt")
for step in (1, 2, 3):
    series.add(step, [("model", bytes(100_000))])
wrote = [path for path, mode, flags in opened if flags & (os.O_WRONLY | os.O_RDWR)]
print(len(wrote), [path for path in wrote if not str(path).startswith(sys.argv[1])], series.newest().name)
"""


@linux_only
@pytest.mark.parametrize("temporary", ["/dev/shm", "/nowhere", "/dev/full"])
def test_the_systems_folder_for_temporary_files_is_not_used(tmp_path, temporary):
    """Where it is on another file system, renaming out of it is copying, and a kill in the middle loses both."""
    environment = {**os.environ, "TMPDIR": temporary, "TEMP": temporary, "TMP": temporary}

    run = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path)], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )

    assert run.stdout == "10 [] ckpt-00000003\n", run.stderr  # a probe, and for each save a file, a manifest and a pointer


# ---- damage


def damage_truncate(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * 2048)])


@pytest.mark.parametrize("place", range(20))
def test_a_truncated_file_is_damage_and_the_checkpoint_before_it_is_taken(filled, said, place):
    damage_truncate(filled.directory / "ckpt-00000020", place / 20)

    assert filled.newest() == filled.directory / "ckpt-00000010"
    (line,) = said
    assert line == (
        "WARNING: a checkpoint is damaged:\n"
        f"{filled.directory}/ckpt-00000020/model.safetensors: damaged: it does not match the size and SHA-256 in MANIFEST.json\n"
        "continuing from the previous one: ckpt-00000010"
    )


def test_each_flipped_bit_is_damage(filled, said):
    """200 bits, drawn evenly over all bytes of all files, the manifest's too."""
    newest = filled.directory / "ckpt-00000020"
    places = [(path, place) for path in sorted(newest.iterdir()) for place in range(8 * path.stat().st_size)]
    drawn = random.Random(0).sample(places, 150) + random.Random(1).sample([one for one in places if one[0].name == "MANIFEST.json"], 50)
    detected = 0
    for path, place in drawn:
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        detected += filled.newest() == filled.directory / "ckpt-00000010" and "ckpt-00000020" in said[-1]
        path.write_bytes(whole)

    assert detected == len(said) == 200
    assert filled.newest() == newest


def manifest_with(**fields):
    def change(folder: Path) -> None:
        path = folder / "MANIFEST.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}, indent=2) + "\n")

    return change


DAMAGES = {
    "an empty file": (lambda folder: (folder / "state.json").write_bytes(b""), r"state\.json: damaged"),
    "an empty manifest": (lambda folder: (folder / "MANIFEST.json").write_bytes(b""), r"MANIFEST\.json: damaged"),
    "a file longer than it was": (lambda folder: (folder / "state.json").write_bytes(bytes(99)), r"99 bytes, more than the limit of 11"),
    "a missing file": (lambda folder: (folder / "state.json").unlink(), r"state\.json: cannot read: No such file"),
    "no manifest": (lambda folder: (folder / "MANIFEST.json").unlink(), r"MANIFEST\.json: cannot read: No such file"),
    "an empty folder": (lambda folder: [path.unlink() for path in folder.iterdir()], r"MANIFEST\.json: cannot read"),
    "a folder that is gone": (shutil.rmtree, r"ckpt-00000020.MANIFEST\.json: cannot read: No such file"),
    "an older format": (manifest_with(format=0), r"MANIFEST\.json: written in format 0, but this version of Striate reads format 1"),
    "a newer format": (manifest_with(format=2), r"MANIFEST\.json: written in format 2, but this version of Striate reads format 1"),
    "a wrong hash": (manifest_with(files={"state.json": {"bytes": 11, "sha256": "0" * 64}}), r"state\.json: damaged: it does not match"),
    "one more field": (manifest_with(more=1), r"MANIFEST\.json: damaged: it is not as it was written"),
    "files that are no table": (manifest_with(files=[1]), r"MANIFEST\.json: damaged"),
    "a name that leads outside": (
        manifest_with(files={"../latest": {"bytes": 14, "sha256": ""}}),
        r"damaged: '\.\./latest' is not a file name",
    ),
    "nested too deep": (lambda folder: (folder / "MANIFEST.json").write_text("[" * 100_000), r"MANIFEST\.json: damaged"),
    "a manifest without end": (lambda folder: (folder / "MANIFEST.json").write_bytes(b" " * 1_000_001), r"1,000,001 bytes, more than"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_the_checkpoint_before_it_is_taken(filled, said, damage):
    harm, words = DAMAGES[damage]
    harm(filled.directory / "ckpt-00000020")

    assert filled.newest() == filled.directory / "ckpt-00000010"
    (line,) = said
    assert "ckpt-00000020" in line and "WARNING: a checkpoint is damaged" in line
    with pytest.raises(RefusedFileError, match=words):
        filled.newest(strict=True)


@posix_only
def test_a_pipe_or_a_link_in_place_of_a_file_is_damage_and_nobody_waits(filled):
    path = filled.directory / "ckpt-00000020" / "state.json"
    path.unlink()
    os.mkfifo(path)
    (filled.directory / "ckpt-00000010" / "state.json").unlink()
    (filled.directory / "ckpt-00000010" / "state.json").symlink_to("/dev/zero")
    (filled.directory / "latest").unlink()
    os.mkfifo(filled.directory / "latest")

    with pytest.raises(RefusedFileError, match=r"ckpt-00000020/state\.json: not a plain file\n.*ckpt-00000010/state\.json: not a"):
        filled.newest()


def test_two_damaged_checkpoints_are_both_named_and_nothing_starts_from_scratch(filled):
    for step in (10, 20):
        damage_truncate(filled.directory / f"ckpt-{step:08d}", 0.5)

    with pytest.raises(RefusedFileError) as error:
        filled.newest()

    assert error.value.exit_code == 7
    assert "ckpt-00000010/model.safetensors" in error.value.message and "ckpt-00000020/model.safetensors" in error.value.message
    assert error.value.remedy == "Restore them from an intact copy, or start a new run."


def test_checkpoints_that_were_all_deleted_are_missed(filled):
    """`latest` still says that there were some."""
    for step in (10, 20):
        shutil.rmtree(filled.directory / f"ckpt-{step:08d}")

    with pytest.raises(RefusedFileError, match=r"ckpt-00000020/MANIFEST\.json: cannot read"):
        filled.newest()


def test_a_pointer_that_is_lost_or_wrong_does_no_harm(filled):
    pointer = filled.directory / "latest"
    for content in (b"", b"../../etc\n", b"\xff\xfe", b"x" * 5000, b"ckpt-00000010\n"):
        pointer.write_bytes(content)
        assert filled.newest() == filled.directory / "ckpt-00000020"
    pointer.unlink()
    assert filled.newest() == filled.directory / "ckpt-00000020"


def test_a_damaged_checkpoint_stays_until_there_are_two_good_ones(tmp_path, said):
    series = SealedSeries(tmp_path, "ckpt", say=said.append)
    series.add(10, FILES)
    damage_truncate(tmp_path / "ckpt-00000010", 0.5)
    series = SealedSeries(tmp_path, "ckpt", say=said.append)  # another start, which has verified nothing yet

    series.add(20, FILES)
    assert names(tmp_path) == ["ckpt-00000010", "ckpt-00000020", "latest"]

    series.add(30, FILES)
    assert names(tmp_path) == ["ckpt-00000020", "ckpt-00000030", "latest"]


def test_after_going_back_the_damaged_newer_one_goes(filled):
    """From 20, which is damaged, back to 10; the next checkpoint is 12."""
    damage_truncate(filled.directory / "ckpt-00000020", 0.5)
    back = SealedSeries(filled.directory, "ckpt", say=lambda _: None)

    back.add(12, FILES)

    assert names(back.directory) == ["ckpt-00000010", "ckpt-00000012", "latest"]


# ---- faults of the system


def test_what_cannot_be_removed_is_a_warning_once_and_the_work_goes_on(filled, said, monkeypatch):
    rename = os.rename

    def busy(old: object, new: object) -> None:
        if "ckpt-00000010" in str(old):
            raise PermissionError(1, "Operation not permitted")
        rename(old, new)

    monkeypatch.setattr(os, "rename", busy)
    for step in (30, 40, 50):
        filled.add(step, FILES)

    assert names(filled.directory) == ["ckpt-00000010", "ckpt-00000040", "ckpt-00000050", "latest"]
    assert said == [f"WARNING: {filled.directory}/ckpt-00000010: cannot remove this old checkpoint: Operation not permitted"]


def test_a_disk_that_keeps_other_bytes_than_it_was_given_is_found_out_at_once(filled, monkeypatch):
    def write_and_lose(folder: Path, files: object, **given: object) -> None:
        write_sealed(folder, files, **given)
        damage_truncate(folder, 0.5)

    monkeypatch.setattr("striate.core.sealed.write_sealed", write_and_lose)

    with pytest.raises(EnvironmentFault, match=r"ckpt-00000030/model\.safetensors: damaged: .*, directly after writing\nCheck the disk"):
        filled.add(30, FILES)

    assert (filled.directory / "latest").read_text() == "ckpt-00000020\n"
    assert names(filled.directory) == ["ckpt-00000010", "ckpt-00000020", "ckpt-00000030", "latest"]


@pytest.mark.parametrize("replace_by_file", [False, True])
def test_a_directory_that_goes_while_the_run_is_on_is_said(filled, replace_by_file):
    shutil.rmtree(filled.directory)
    if replace_by_file:
        filled.directory.write_text("a file")

    with pytest.raises(EnvironmentFault, match=r"checkpoints.*: cannot write: (No such file|Not a directory)"):
        filled.add(30, FILES)


@pytest.mark.parametrize("what", ["file", "pipe", "device", "dangling link", "link in a circle", "link outside"])
@posix_only
def test_what_is_no_directory_is_refused_before_the_work(tmp_path, what):
    run = tmp_path / "run"
    run.mkdir()
    path = run / "checkpoints"
    if what == "file":
        path.write_text("")
    elif what == "pipe":
        os.mkfifo(path)
    else:
        (tmp_path / "outside").mkdir()
        targets = {"device": "/dev/null", "dangling link": "nowhere", "link in a circle": "checkpoints", "link outside": "../outside"}
        path.symlink_to(targets[what])

    words = (
        r"checkpoints: is a link to .*outside, outside the run" if what == "link outside" else r"checkpoints: exists and is not a folder"
    )
    with pytest.raises(EnvironmentFault, match=words) as error:
        SealedSeries(path, "ckpt")

    assert error.value.exit_code == 4
    assert names(tmp_path / "outside" if (tmp_path / "outside").exists() else tmp_path) in ([], ["run"])


@posix_only
def test_a_link_inside_the_run_is_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "checkpoints").symlink_to("elsewhere")

    SealedSeries(tmp_path / "checkpoints", "ckpt").add(1, FILES)

    assert names(tmp_path / "elsewhere") == ["ckpt-00000001", "latest"]


FORBIDDEN = """
import os, sys
from pathlib import Path
from striate.core.errors import EnvironmentFault
from striate.core.locks import RunLock
from striate.core.sealed import SealedSeries
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for make in (lambda: RunLock(Path()), lambda: SealedSeries(Path("checkpoints"), "ckpt"), lambda: SealedSeries(Path("made"), "ckpt")):
    try:
        make()
        print("no error")
    except EnvironmentFault as error:
        print(error.message)
"""


@posix_only
def test_a_folder_that_may_not_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made").chmod(0o555)
    tmp_path.chmod(0o555)
    try:
        run = subprocess.run([sys.executable, "-c", FORBIDDEN, str(tmp_path)], capture_output=True, text=True, check=False)
    finally:
        tmp_path.chmod(0o755)

    assert run.stdout.splitlines() == [
        "run.lock: cannot write: Permission denied",
        "checkpoints: cannot write: Permission denied",
        "made/probe: cannot write: Permission denied",
    ], run.stderr


SMALL_DISK = """
import sys
from pathlib import Path
from striate.core.errors import EnvironmentFault
from striate.core.journal import Journal, read_journal
from striate.core.sealed import SealedSeries, sealed_files
disk = Path(sys.argv[1])
series, journal = SealedSeries(disk / "checkpoints", "ckpt"), Journal(disk / "events.jsonl")

def save(step, size):
    try:
        series.add(step, [("model", bytes([step]) * size)], needed_bytes=size)
        print("saved", series.newest().name)
    except EnvironmentFault as error:
        print(error.exit_code, error.message)
        newest = series.newest()
        print("kept", newest.name, set(dict(sealed_files(newest))["model"]), sorted(path.name for path in series.directory.iterdir()))

save(1, 1_500_000)
save(2, 1_500_000)
save(3, 1_500_000)
with open(disk / "filler", "wb", buffering=0) as filler:
    try:
        while filler.write(bytes(4096)):
            pass
    except OSError:
        pass
save(4, 100_000)
lines = 0
try:
    for lines in range(1000):
        journal.append({"step": lines, "text": "x" * 1000})
except EnvironmentFault as error:
    print(error.message.partition(";")[0])
print(lines == len(read_journal(disk / "events.jsonl")))
(disk / "filler").unlink()
save(5, 1_000_000)
journal.append({"step": 5})
print(len(read_journal(disk / "events.jsonl")) - lines)
"""


def on_a_small_disk(folder: Path, program: str) -> list[str]:
    """What `program` prints; its argument is a file system of 4 MiB, in a mount name space of its own."""
    mount = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    disk = folder / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=4m none "$1"'
    try:
        subprocess.run([*mount, script, "sh", str(disk)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system does not let a test mount a file system")
    command = [*mount, f'{script} && exec "$2" -c "$3" "$1"', "sh", str(disk), sys.executable, program]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.replace(str(disk), "DISK").splitlines()


@linux_only
def test_a_disk_that_is_full_or_fills_keeps_the_checkpoint_and_the_journal(tmp_path):
    lines = on_a_small_disk(tmp_path, SMALL_DISK)

    assert lines[:2] == ["saved ckpt-00000001", "saved ckpt-00000002"]
    assert lines[2].startswith("4 DISK/checkpoints/ckpt-00000003: no space left on the device; 1,")  # what is free without the half one
    assert lines[2].endswith(" bytes are free and 1,500,000 bytes are needed")
    assert lines[3] == "kept ckpt-00000002 {2} ['ckpt-00000001', 'ckpt-00000002', 'latest']"
    assert lines[4] == "4 DISK/checkpoints/ckpt-00000004: no space left on the device; 0 bytes are free and 100,000 bytes are needed"
    assert lines[5] == "kept ckpt-00000002 {2} ['ckpt-00000001', 'ckpt-00000002', 'latest']"
    assert lines[6:8] == ["DISK/events.jsonl: no space left on the device", "True"]
    assert lines[8:] == ["saved ckpt-00000005", "1"]


SMALL_FILES = """
import resource, sys
from pathlib import Path
from striate.core.errors import EnvironmentFault
from striate.core.sealed import SealedSeries
series = SealedSeries(Path(sys.argv[1]), "ckpt")
series.add(1, [("model", bytes(1000))])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    series.add(2, [("model", bytes(200_000))])
except EnvironmentFault as error:
    print(error.message)
print(sorted(path.name for path in series.directory.iterdir()), series.newest().name)
"""


@posix_only
def test_a_limit_on_the_size_of_files_is_said(tmp_path):
    run = subprocess.run([sys.executable, "-c", SMALL_FILES, str(tmp_path)], capture_output=True, text=True, check=False)

    assert run.stdout.splitlines() == [
        f"{tmp_path}/ckpt-00000002: larger than this process or the file system lets a file be",
        "['ckpt-00000001', 'latest'] ckpt-00000001",
    ], run.stderr


# ---- leftovers


@posix_only
def test_only_leftovers_of_the_dead_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f".a.tmp-{dead.pid}", f".b.tmp-{os.getpid()}", f".c.tmp-{os.getppid()}", ".d.tmp-", "e.tmp-1", ".f.tmp-1x", "best"):
        (tmp_path / name).write_text("")
    (tmp_path / f".ckpt-1.tmp-{dead.pid}").mkdir()
    (tmp_path / f".ckpt-1.tmp-{dead.pid}" / "model").write_text("")

    (tmp_path / "report").mkdir()
    (tmp_path / "report" / f".curves.png.tmp-{dead.pid}").write_text("")
    said = []

    assert remove_leftovers(tmp_path, said.append) == 4
    assert said == [f"{tmp_path}: removed 4 unfinished files of a run that was killed"]
    assert names(tmp_path / "report") == []
    (tmp_path / "report").rmdir()
    assert names(tmp_path) == sorted([f".c.tmp-{os.getppid()}", ".d.tmp-", "e.tmp-1", ".f.tmp-1x", "best"])


@posix_only
def test_a_link_among_the_leftovers_goes_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "photo.jpg").write_text("")
    (tmp_path / f".a.tmp-{os.getpid()}").symlink_to("kept")

    remove_leftovers(tmp_path, lambda _: None)

    assert names(tmp_path) == ["kept"]
    assert names(tmp_path / "kept") == ["photo.jpg"]


@posix_only
def test_this_process_is_alive_and_one_that_ended_is_not():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    assert is_alive(os.getpid()) and is_alive(1)
    assert not is_alive(ended.pid)
    assert not is_alive(2**200)
