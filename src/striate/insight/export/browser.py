"""The answers of an exported page, as a person gets them: headless Chromium opens the file, is given the pictures, and shows them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from striate.core.errors import EnvironmentFault

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
REMEDY = "Install both: pip install striate[export-html], and Chromium (on Debian: apt install chromium)."
SECONDS = 600  # that a page may take for so many pictures
AT_ONCE = 64  # pictures that are handed over together: a page keeps what it was given


class Answers(NamedTuple):
    """The answers of a page."""

    values: list[np.ndarray | None]  # (K,) for each picture; None where it could not read it
    known: list[bool]  # for each picture: False where the answer is "unknown"
    errors: list[str]  # of each picture; empty where it could
    milliseconds: np.ndarray  # that the network took for each picture it answered
    requests: tuple[str, ...]  # addresses that the page asked for, all of which were refused
    browser: str


def need_browser() -> None:
    """Refuse to begin where there is no browser to try a page in.

    Raises:
        EnvironmentFault: Playwright or Chromium is missing.
    """
    with ThreadPoolExecutor(1) as thread:
        thread.submit(_found_program).result()


def _found_program() -> None:
    with _playwright() as started:
        _program(started)


def answers_of_page(page: Path, pictures: Sequence[Path]) -> Answers:
    """The answers of an exported page to picture files, in their order; every request that the page makes is refused and counted.

    Raises:
        EnvironmentFault: Playwright or Chromium is missing.
        RuntimeError: the page does not work.
    """
    with ThreadPoolExecutor(1) as thread:  # in a notebook's own, where a loop of events runs, Playwright does not start
        return thread.submit(_opened, page, pictures).result()


def _opened(page: Path, pictures: Sequence[Path]) -> Answers:
    from playwright.sync_api import Error

    with _playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=_program(started))
        except Error as error:
            raise EnvironmentFault(f"Chromium does not start: {error.message.splitlines()[0]}", REMEDY) from error
        try:
            return _answers(browser, page.resolve(), pictures)
        except Error as error:
            raise RuntimeError(f"{page}: does not work in a browser: {error.message}") from error
        finally:
            browser.close()


def _answers(browser: Browser, page: Path, pictures: Sequence[Path]) -> Answers:
    requests: list[str] = []
    context = browser.new_context()
    context.set_default_timeout(1000 * SECONDS)

    def refuse(route: Any) -> None:
        if route.request.url == page.as_uri() and not opened:
            opened.append(page)
            route.continue_()
            return
        requests.append(route.request.url)
        route.abort()

    opened: list[Path] = []
    context.route("**/*", refuse)
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(page.as_uri())
    found: list[dict[str, Any]] = []
    for start in range(0, len(pictures), AT_ONCE):
        group = pictures[start : start + AT_ONCE]
        if complaints:
            raise RuntimeError(f"{page}: does not work in a browser: {complaints[0]}")
        tab.set_input_files("#files", [str(picture.resolve()) for picture in group])
        tab.wait_for_function("n => striate.answers.length === n && striate.answers.every(a => !a.waits)", arg=len(group))
        found += tab.evaluate("striate.answers.map(({values, error, milliseconds, known}) => ({values, error, milliseconds, known}))")
        tab.click("#forget")
    return Answers(
        values=[None if each.get("values") is None else np.array(each["values"], float) for each in found],
        known=[each.get("known") is not False for each in found],
        errors=[each.get("error") or "" for each in found],
        milliseconds=np.array([each["milliseconds"] for each in found if each.get("milliseconds") is not None]),
        requests=tuple(requests),
        browser=f"Chromium {browser.version}",
    )


def _playwright() -> Any:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise EnvironmentFault("a page is tried in a browser first, and playwright is not installed", REMEDY) from None
    return sync_playwright()


def _program(started: Playwright) -> str:
    """The path of the browser: Chromium of the system, or Playwright's own."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None) or started.chromium.executable_path
    if not Path(found).exists():
        raise EnvironmentFault("a page is tried in a browser first, and there is no Chromium", REMEDY)
    return found
