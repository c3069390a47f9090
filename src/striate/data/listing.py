"""The pictures below a folder: hidden files, system files, Striate's own files and links are treated alike by every verb."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from striate.core.errors import DataError
from striate.core.places import no_such_file
from striate.data.kinds import DECODED, is_picture_by_name, not_decoded, picture_format
from striate.data.omissions import LOOP, NO_PICTURE, NOWHERE, OF_OURS, OF_SYSTEMS, TWICE, Ledger, no_pictures

# What file systems, network disks and programs keep beside pictures; names that begin with a dot are hidden and need no mention.
OF_SYSTEM_NAMES = frozenset(
    ("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r", "__macosx", "@eadir", "@recycle", "#recycle",
     "#snapshot", "@recently-snapshot", "@sharebin", "@tmp", "@syno", "$recycle.bin", "recycler", "recycled", "lost+found",
     "system volume information", "network trash folder", "temporary items", "__pycache__", "node_modules")
)  # fmt: skip
# The files of ours that tell a folder of ours: all of one line.
OF_OUR_FILES = (
    ("config.yaml", "network.json"),
    ("config.yaml", "best.safetensors"),
    ("run.lock",),
    ("index.html", "explain.json"),
    ("index.html", "attack.json"),
    ("measures.json", "predictions.csv"),
    ("measures.json", "pictures.csv"),
    ("measures.json", "confusion.png"),
    ("findings.json",),
    ("calibration.json", "reliability.png"),
    ("lesion.json", "lesion.csv"),
    ("ablation.json",),
    ("repeat.json",),
    ("layers.csv", "roofline.png"),
    ("masks.json",),
    ("restored.json",),
)
OF_OUR_RUNS = re.compile(r".+-\d{3,}")  # run folders, below runs/VERB/

Key = tuple[int, int]  # device and inode


class Place(NamedTuple):
    """The path at which a folder was found, and the class or split that its pictures were read for."""

    path: Path
    owner: str


@dataclass
class Visits:
    """The real folders and files found so far, so that links do not add anything twice."""

    folders: dict[Key, Place] = field(default_factory=dict)
    files: set[Key] = field(default_factory=set)


def pictures_below(folder: Path, ledger: Ledger, *, visits: Visits | None = None, owner: str = "") -> list[Path]:
    """The pictures below `folder`, in the byte order of their names; what is left out stands in `ledger`.

    A picture is what has the ending of one, and what begins as one. Links are followed, after all that lies in `folder` itself: not to
    a folder that holds the link, and not to what was met before.

    Raises:
        DataError: a folder was met before, for another owner of `visits`.
    """
    visits = visits if visits is not None else Visits()
    pictures: list[Path] = []
    links: list[Path] = []
    waiting = [folder]
    while waiting or links:
        if waiting:
            waiting += _look_into(waiting.pop(), ledger, visits, owner, pictures, links)
        else:
            link = links.pop(0)
            if link.is_dir():
                waiting += [link] if _leads_on(link, ledger, visits, owner) else []
            elif (key := _key(link)) in visits.files:
                ledger.leave_out(TWICE, [link])
            else:
                visits.files.add(key)
                _sort_file(link, ledger, pictures)
    return sorted(pictures, key=os.fsencode)


def _look_into(folder: Path, ledger: Ledger, visits: Visits, owner: str, pictures: list[Path], links: list[Path]) -> list[Path]:
    """Sort the entries of a folder; its subfolders are returned."""
    try:
        key = _key(folder)
        if (met := visits.folders.setdefault(key, Place(folder, owner))).owner != owner:
            raise DataError(
                f"{folder} and {met.path} are the same folder, so its pictures would belong to two classes: {owner}, {met.owner}",
                "Remove the link from one of them.",
            )
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        ledger.closed[folder] = cannot_list(folder, error)
        return []
    subfolders = []
    for entry in entries:
        path = folder / entry.name
        if of_systems(entry.name):
            ledger.leave_out(OF_SYSTEMS, _pictures_by_name(path))
        elif entry.is_symlink():
            _sort_link(path, ledger, pictures, links)
        elif entry.is_dir(follow_symlinks=False):
            if is_of_ours(path):
                ledger.leave_out(OF_OURS, [path])
            else:
                subfolders.append(path)
        else:
            visits.files.add((key[0], entry.inode()))
            _sort_file(path, ledger, pictures, plain=entry.is_file(follow_symlinks=False))
    return subfolders[::-1]


def _sort_link(link: Path, ledger: Ledger, pictures: list[Path], links: list[Path]) -> None:
    try:
        link.stat()
    except OSError:  # leads nowhere, or to itself
        if is_picture_by_name(link.name):
            pictures.append(link)  # decoding it says what is wrong
        else:
            ledger.leave_out(NOWHERE, [link])
    else:
        links.append(link)


def _leads_on(link: Path, ledger: Ledger, visits: Visits, owner: str) -> bool:
    """Return whether a link to a folder should be followed."""
    key = _key(link)
    around = (*Path(os.path.abspath(link)).parents, *(folder := link.parent.resolve()).parents, folder)  # noqa: PTH100  # keeps links
    if any(_key(parent) == key for parent in around):
        ledger.leave_out(LOOP, [link])
        return False
    if (met := visits.folders.get(key)) is not None and met.owner == owner:
        ledger.leave_out(TWICE, [link])
        return False
    if is_of_ours(link):
        ledger.leave_out(OF_OURS, [link])
        return False
    return True


def _sort_file(path: Path, ledger: Ledger, pictures: list[Path], *, plain: bool = True) -> None:
    kind = None
    if is_picture_by_name(path.name) or (plain and (kind := picture_format(path)) in DECODED):
        pictures.append(path)
    elif kind is not None:
        ledger.unreadable[path] = not_decoded(path, kind)
    else:
        ledger.leave_out(NO_PICTURE, [path])


def cannot_list(folder: Path, error: OSError) -> DataError:
    """The error for a folder that cannot be opened."""
    remedy = "Check its permissions, or leave it out with `skip_unreadable=True`, if other pictures of its class remain."
    return DataError(f"{folder}: cannot be listed: {error.strerror or error}", remedy)


def entries_of(folder: Path, ledger: Ledger | None = None) -> list[Path]:
    """The content of a folder without system files, in the byte order of the names; the pictures among those go to `ledger`.

    Raises:
        DataError: it cannot be listed.
    """
    try:
        paths = sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name))
    except OSError as error:
        raise cannot_list(folder, error) from None
    if ledger is not None:
        ledger.leave_out(OF_SYSTEMS, (picture for path in paths if of_systems(path.name) for picture in _pictures_by_name(path)))
    return [path for path in paths if not of_systems(path.name)]


def subfolders_of(folder: Path) -> list[Path]:
    """The folders in a folder, without those of systems and of Striate.

    Raises:
        DataError: it cannot be listed.
    """
    return [path for path in entries_of(folder) if os.path.isdir(path) and not is_of_ours(path)]  # noqa: PTH112  # False in a closed one


def leave_out_top(folder: Path, ledger: Ledger, why: str) -> list[Path]:
    """Record the files that lie directly in a folder; its pictures are returned, left out because `why`.

    Raises:
        DataError: it cannot be listed.
    """
    loose = []
    for path in entries_of(folder, ledger):
        if os.path.isdir(path):  # noqa: PTH112
            ledger.leave_out(OF_OURS, [path] if is_of_ours(path) else [])
        elif path.is_symlink() and not path.exists() and not is_picture_by_name(path.name):
            ledger.closed[path] = DataError(
                f"{path}: a broken link", "Fix or remove the link, or leave it out with `skip_unreadable=True`."
            )
        elif is_picture_by_name(path.name) or picture_format(path) is not None:
            loose.append(path)
        else:
            ledger.leave_out(NO_PICTURE, [path])
    ledger.leave_out(why, loose)
    return loose


def of_systems(name: str) -> bool:
    """Return whether a file or folder of this name is hidden, or kept by the system or a program for itself."""
    return name.startswith(".") or name.lower() in OF_SYSTEM_NAMES


def is_of_ours(folder: Path) -> bool:
    """Return whether Striate wrote a folder: a run, a report, or a folder that holds only these."""
    if any(all(os.path.exists(folder / name) for name in names) for names in OF_OUR_FILES):  # noqa: PTH110  # False in a closed folder
        return True
    try:
        below = _only_folders(folder)
        runs = [run for verb in below for run in _only_folders(verb) or [verb]] if folder.name == "runs" else []
        numbered = bool(runs) and all(OF_OUR_RUNS.fullmatch(run.name) for run in runs)
        return numbered or (bool(below) and all(is_of_ours(sub) for sub in below))
    except OSError:
        return False


def _only_folders(folder: Path) -> list[Path]:
    """The folders in a folder that holds no files, or nothing; links are not followed."""
    found: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if of_systems(entry.name):
                continue
            if not entry.is_dir(follow_symlinks=False):
                return []
            found.append(folder / entry.name)
    return found


def _key(path: Path) -> Key:
    status = path.stat()
    return status.st_dev, status.st_ino


def _pictures_by_name(path: Path) -> Iterator[Path]:
    """The files with a picture's ending at or below a system path; nothing is opened, and no link is followed."""
    if not path.is_symlink() and stat.S_ISDIR(path.lstat().st_mode):
        for folder, _, names in os.walk(path):
            yield from (Path(folder) / name for name in sorted(names) if is_picture_by_name(name))
    elif is_picture_by_name(path.name):
        yield path


def num_pictures(folder: Path) -> int:
    """The number of pictures below a folder."""
    return len(pictures_below(folder, Ledger()))


def named_pictures(paths: Sequence[Path], ledger: Ledger, say: Callable[[str], None]) -> list[Path]:
    """The picture files that a user names: files as they are, for folders the pictures below them; one without any is an error.

    Raises:
        DataError: there is no such file or folder, or it holds no pictures.
    """
    files: list[Path] = []
    empty: list[Path] = []
    for path in paths:
        if _is_folder(path):
            found = pictures_below(path, ledger)
            if not found and not any(path in bad.parents for bad in ledger.unreadable):
                empty.append(path)
            files += found
        elif (kind := _foreign(path)) is not None:
            ledger.unreadable[path] = not_decoded(path, kind)
        else:
            files.append(path)
    if not files and not ledger.unreadable and not ledger.closed:
        raise no_pictures(", ".join(map(str, paths)), ledger, "Give picture files, or folders of them")
    for path in empty:
        say(f"{path}: no pictures")
    return files


def _foreign(path: Path) -> str | None:
    """The format of a picture that cannot be decoded; None for all other files."""
    kind = picture_format(path) if not is_picture_by_name(path.name) else None
    return None if kind in DECODED else kind


def _is_folder(path: Path) -> bool:
    """Return whether an existing path is a folder.

    Raises:
        DataError: there is nothing of that name.
    """
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        raise no_such_file(path, "file or folder") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}", "Check the name.") from None
    except ValueError:  # a name with a zero byte
        raise no_such_file(repr(str(path)), "file or folder") from None
