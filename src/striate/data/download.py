"""Downloading a published file, only on request, checked before it is kept."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from striate.core.errors import EnvironmentFault, RefusedFileError
from striate.core.files import cannot_write, read_plain, write_atomically

TIMEOUT_S = 60
MAX_BYTES = 2 * 2**30
REMEDY = "Free some space, check the permissions, or name another folder with `data_dir`."


def fetch(url: str, path: Path, *, md5: str = "", sha256: str = "") -> None:
    """Download `url` to `path`; an existing file with the right content is kept.

    Args:
        url: The address.
        path: The file.
        md5: Of its content, in hexadecimal digits.
        sha256: What the SHA-256 of its content begins with, where that is known in place of its MD5.

    Raises:
        EnvironmentFault: the network or the publisher does not answer, or there is no room for the file.
        RefusedFileError: the content is not what was published; nothing is kept.
    """
    if path.is_file() and path.stat().st_size <= MAX_BYTES and _is_it(read_plain(path, limit=MAX_BYTES), md5, sha256):
        return
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310  # addresses come from the publishers
            announced = response.headers.get("Content-Length")
            data = response.read(MAX_BYTES)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        answer = f"{error.code} {error.reason}"
        raise EnvironmentFault(f"{url}: cannot be downloaded: {answer}", f"Download it manually and put it at {path}.") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise EnvironmentFault(f"{url}: cannot be downloaded: {reason}", f"Download it manually and put it at {path}.") from None
    if announced and len(data) < min(int(announced), MAX_BYTES):
        raise EnvironmentFault(f"{url}: the connection ended after {len(data):,} of {int(announced):,} bytes", "Try again.")
    if not _is_it(data, md5, sha256):
        differs = "MD5" if md5 else "SHA-256"
        raise RefusedFileError(
            f"{url}: not the file that was published (its {differs} differs)", f"Download it manually and put it at {path}."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except EnvironmentFault as error:
        raise EnvironmentFault(error.message, REMEDY) from error
    except OSError as error:
        raise EnvironmentFault(cannot_write(path.parent, error).message, REMEDY) from error


def _is_it(data: bytes, md5: str, sha256: str) -> bool:
    if md5 and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
        return False
    return hashlib.sha256(data).hexdigest().startswith(sha256)
