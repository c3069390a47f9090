"""The pages do what they say: each block of code on them is run, and what they show as its output is what comes out.

Blocks are run by their language, in the order of the page, in a folder of its own that begins as `start.md` leaves it:

- `console`: each line after "$ " is a command, what follows is its output. A line "..." stands for any lines.
- `sh`: each line is a command; `python`: a program that stands alone; a `text` block right after it is what it prints.
- A block with title="FILE" is written to that file. A comment `<!-- not run: WHY -->` before a block leaves it out.
- `<!-- from FILE -->` before a picture names the file that the page makes and the picture was taken from.

Outputs are compared loosely, since processors differ: decimals, times and numbers below 100 may differ, larger whole numbers by a tenth.
--update-golden writes what came out to the pages, where it is not alike.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PAGES = Path(__file__).parents[2] / "docs"
START = PAGES / "start.md"
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^\n]*) -->\n)?```(?P<kind>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```\n",
    re.MULTILINE | re.DOTALL,
)
PICTURE = re.compile(r"^<!-- from (?P<made>\S+) -->\n!\[[^\]]*\]\((?P<shown>[^)]+)\)", re.MULTILINE)
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
FREE = re.compile(r"\s?(?:m?s|\w+/s|min|GB|MB|GiB|MiB|%|GFLOP/s|runs)\b")  # what a number of time, speed or memory stands before
ALONE = re.compile(r"striate [^|<>&;`$]*")
FOLLOWED = re.compile(r"(?P<command>striate [^|<>&;`$]*)(?P<rest>(?:>|\| *head) [^|<>&;`$]+)")  # its output goes on to a file, or is cut
PROGRESS = re.compile(r"[\w ]+: +\d+ ?%")  # a line of how far the work is, which comes only where the machine is slow
Run = Callable[[Path, str, str], tuple[int, str]]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the pages show a POSIX shell"),
    pytest.mark.timeout(1200),
]


class Step(NamedTuple):
    """One thing to run, and the lines that the page shows of it; None where it shows nothing of its output."""

    kind: str  # "command", "program" or "file"
    text: str
    shown: list[str] | None = None
    title: str = ""


def needed(page: str) -> str | None:
    """What must lie in the data folder for a page, as its comment `<!-- needs NAME -->` says."""
    found = re.search(r"^<!-- needs (\S+) -->", page, re.MULTILINE)
    return found[1] if found else None


def pages() -> list[Path]:
    return sorted(page for page in PAGES.rglob("*.md") if BLOCK.search(page.read_text(encoding="utf-8")))


def commands(text: str) -> list[Step]:
    """The commands of a console block with the lines that follow each."""
    steps: list[Step] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            steps.append(Step("command", line[2:], []))
        elif steps and steps[-1].text.endswith("\\") and not steps[-1].shown:
            steps[-1] = steps[-1]._replace(text=steps[-1].text + "\n" + line)
        else:
            steps[-1].shown.append(line)
    return steps


def steps_of(block: re.Match[str], output: re.Match[str] | None) -> list[Step]:
    if block["why"]:
        return []
    if block["title"]:
        return [Step("file", block["text"], title=block["title"])]
    if block["kind"] == "console":
        return commands(block["text"])
    if block["kind"] == "sh":
        lines = block["text"].replace("\\\n", "\\\0").splitlines()
        return [Step("command", line.replace("\0", "\n")) for line in lines if line and not line.startswith("#")]
    if block["kind"] == "python":
        return [Step("program", block["text"], output["text"].splitlines() if output else None)]
    return []


def same_number(shown: str, came: str, after: str) -> bool:
    """Decimals and what has a unit of time or memory are measured; small counts may be (the best epoch, how many were wrong)."""
    if FREE.match(after) or "." in shown or "." in came or "e" in shown + came:
        return True
    a, b = (int(number.replace(",", "")) for number in (shown, came))
    return max(a, b) < 100 or abs(a - b) <= 0.1 * max(a, b)


def same_line(shown: str, came: str) -> bool:
    """Whether a line came as shown: words equal, numbers alike."""
    parts, numbers, after = [], [], []
    end = 0
    text = re.sub(r"\s+", " ", shown.strip())
    for number in NUMBER.finditer(text):
        parts.append(text[end : number.start()])
        numbers.append(number[0])
        after.append(text[number.end() :])
        end = number.end()
    parts.append(text[end:])
    words = [re.escape(part).replace(re.escape("..."), ".*").replace("\\ ", r"\s*") for part in parts]
    match = re.fullmatch(f"({NUMBER.pattern})".join(words), re.sub(r"\s+", " ", came.strip()))
    return bool(match) and all(map(same_number, numbers, match.groups(), after))


def same(shown: list[str], came: list[str]) -> bool:
    """Whether the lines came as shown, where "..." stands for any."""
    if not shown:
        return not came
    if shown[0] == "...":
        return any(same(shown[1:], came[skip:]) for skip in range(len(came) + 1))
    return bool(came) and same_line(shown[0], came[0]) and same(shown[1:], came[1:])


def renewed(shown: list[str], came: list[str]) -> list[str]:
    """What came, cut to as many lines before and after a "..." as the page shows; what is shown, where it still holds."""
    if same(shown, came):
        return shown
    if "..." not in shown:
        return came
    first, last = shown.index("..."), len(shown) - shown.index("...") - 1
    return came if first + last >= len(came) else [*came[:first], "...", *came[len(came) - last :]]


@pytest.fixture(scope="session")
def run(forked: Any) -> Run:
    """`run(folder, kind, text)` gives the exit code and what was written, stdout and stderr together."""

    def words(folder: Path, text: str) -> list[str]:
        return [
            name
            for word in shlex.split(text, comments=True)[1:]
            for name in sorted(glob.glob(word, root_dir=folder)) or [word]  # noqa: PTH207  # Path.glob takes no absolute pattern
        ]

    def run_one(folder: Path, kind: str, text: str) -> tuple[int, str]:
        if kind == "program":
            return forked(folder, program=text)
        if ALONE.fullmatch(text):
            return forked(folder, command=words(folder, text))
        if found := FOLLOWED.fullmatch(text):
            first = forked.start(folder, command=words(folder, found["command"]))
            code = first.wait()
            _, written = forked(folder, shell=f"cat {first.files[0]} {found['rest']}")
            return code, first.errors + written
        return forked(folder, shell=text)

    return run_one


def go_through(page: Path, folder: Path, run: Run, *, update: bool) -> list[str]:
    """Run a page's blocks; gives what is not as it says, or writes what came to the page."""
    text = page.read_text(encoding="utf-8")
    blocks = list(BLOCK.finditer(text))
    wrong: list[str] = []
    fresh: list[tuple[int, int, str]] = []  # from, to, what
    for place, block in enumerate(blocks):
        follower = blocks[place + 1] if place + 1 < len(blocks) else None
        output = follower if follower and follower["kind"] == "text" and text[block.end() : follower.start()].strip() == "" else None
        new = ""
        for step in steps_of(block, output):
            if step.kind == "file":
                (folder / step.title).parent.mkdir(parents=True, exist_ok=True)
                (folder / step.title).write_text(step.text, encoding="utf-8")
                continue
            code, written = run(folder, step.kind, step.text)
            came = [line for line in written.rstrip("\n").splitlines() if not PROGRESS.fullmatch(line)]
            shown = step.shown
            fails = any(line.startswith("error:") for line in shown or [])
            found = code == 1 and step.text.startswith("striate check ")  # what is wrong with data is no error
            if fails != (code != 0 and not found) or (shown is not None and not update and not same(shown, came)):
                wrong.append(
                    f"{page.name}: {step.text.strip()}\nexit code {code}; the page shows\n"
                    + "\n".join(shown or [])
                    + "\nbut came\n"
                    + written
                )
            new += f"$ {step.text}\n" if block["kind"] == "console" else ""
            new += "".join(line.rstrip() + "\n" for line in renewed(shown, came)) if shown is not None else ""
        changed = output if block["kind"] == "python" else block if block["kind"] == "console" else None
        if changed and new:
            fresh.append((*changed.span("text"), new))
    for picture in PICTURE.finditer(text):
        wrong += keep_picture(folder / picture["made"], page.parent / picture["shown"], update=update)
    if not update:
        return wrong
    for start, end, new in reversed(fresh):
        text = text[:start] + new + text[end:]
    page.write_text(text, encoding="utf-8")
    return wrong


def keep_picture(made: Path, shown: Path, *, update: bool) -> list[str]:
    """Copy what a page made to the picture that it shows, in few colours, or say that it made none."""
    if not made.exists():
        return [f"{shown.name}: {made.name} was not made"]
    if update:
        from PIL import Image

        shown.parent.mkdir(exist_ok=True)
        with Image.open(made) as image:
            image.convert("RGB").quantize(64).save(shown, optimize=True)
    return []


@pytest.fixture(scope="session")
def started(run: Run, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> tuple[Path, list[str]]:
    """The folder that `start.md` leaves, made once for all workers, and what was wrong on that page."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    import fcntl

    folder, findings = shared / "started", shared / "started.json"
    with (shared / "started.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not findings.exists():
            folder.mkdir()
            findings.write_text(json.dumps(go_through(START, folder, run, update=request.config.option.update_golden)))
    return folder, json.loads(findings.read_text())


def copy_photos(source: Path, target: Path, *, each: int) -> None:
    """The first photos of each class."""
    for photos in sorted(folder for folder in source.iterdir() if folder.is_dir()):
        (target / photos.name).mkdir(parents=True)
        for photo in sorted(photos.iterdir())[:each]:
            shutil.copy(photo, target / photos.name)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pages show a POSIX shell")
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PAGES)))
def test_a_page_does_what_it_says(page, started, run, tmp_path, request):
    name = needed(page.read_text(encoding="utf-8"))
    data = Path(os.environ.get("STRIATE_DATA") or "~/.cache/striate/data").expanduser()
    if name and not (data / name).exists():
        pytest.skip(f"not on this machine: {data / name}")
    folder, wrong = started
    if page != START:
        shutil.copytree(folder, tmp_path / "here")
        if name == "flowers":
            copy_photos(data / name, tmp_path / "here" / "photos", each=20)
        wrong = go_through(page, tmp_path / "here", run, update=request.config.option.update_golden)

    assert not wrong, "\n\n".join(wrong)


@pytest.mark.slow
def test_the_server_answers_as_its_page_says(started, run, tmp_path):
    """Its commands are not run with those of other pages: the server goes on while they run, and on another port."""
    here = tmp_path / "here"
    shutil.copytree(started[0], here)
    text = (PAGES / "guide" / "serve.md").read_text(encoding="utf-8")
    steps = [step for block in BLOCK.finditer(text) if block["kind"] == "console" for step in commands(block["text"])]
    server, port, wrong = None, "", []
    try:
        for step in steps:
            if step.text.startswith("striate serve "):
                words = [sys.executable, "-m", *shlex.split(step.text), "--port", "0"]
                server = subprocess.Popen(words, cwd=here, stderr=subprocess.PIPE, text=True)
                came = [server.stderr.readline().rstrip("\n") for _ in step.shown]
                port = came[-1].rpartition(":")[2].partition(";")[0]
                came[-1] = came[-1].replace(f":{port};", ":8000;")
            else:
                code, written = run(here, "command", step.text.replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
                came = written.splitlines() if code == 0 else [f"exit code {code}", written]
            if not same(step.shown or ["..."], came):
                wrong.append(f"{step.text}\nthe page shows {step.shown}\nbut came {came}")
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    finally:
        if server is not None:
            server.kill()
            server.communicate()
    assert len(steps) > 3 and not wrong, "\n\n".join(wrong)


def test_outputs_are_compared_by_their_words_and_roughly_by_their_numbers():
    assert same(["epoch 1  loss 1.47", "...", "done in 3 s"], ["epoch 1  loss 1.39", "epoch 2  loss 1", "done in 300 s"])
    assert not same(["epoch 1  loss 1.47"], ["epoch 1  cost 1.47"])
    assert not same(["1,295 pictures"], ["995 pictures"])
    assert not same(["a", "b"], ["a"])
    assert same(["made runs/...-001"], ["made runs/train/x-001"])


def test_the_files_that_the_architecture_names_are_there():
    text = (PAGES / "architecture.md").read_text(encoding="utf-8")

    named = set(re.findall(r"`((?:src|tests|scripts)/[\w/.]+)`", text))
    assert len(named) > 20
    assert {name for name in named if not (PAGES.parent / name).exists()} == set()


def test_the_rooms_of_the_architecture_are_those_of_the_package():
    text = (PAGES / "architecture.md").read_text(encoding="utf-8")

    rooms = {folder.name for folder in (PAGES.parent / "src" / "striate").iterdir() if (folder / "__init__.py").exists()}
    assert set(re.findall(r"^  (\w+)/ ", text, re.MULTILINE)) == rooms


def test_each_verb_has_a_guide():
    from striate.apps.cli import app

    text = (PAGES / "guide" / "index.md").read_text(encoding="utf-8")
    linked = {verb for names in re.findall(r"^\| \[([^\]]+)\]", text, re.MULTILINE) for verb in names.split(", ")}
    assert {command.name or command.callback.__name__ for command in app.registered_commands} == linked


def test_each_decision_is_in_their_list():
    text = (PAGES / "decisions" / "README.md").read_text(encoding="utf-8")

    assert {file.name for file in (PAGES / "decisions").glob("0*.md")} == set(re.findall(r"\]\((0[\w-]+\.md)\)", text))
