"""What tests of every room share: the pictures on this machine, golden files, and the rows that tests show."""

from __future__ import annotations

import difflib
import functools
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from striate.networks.network import Network

for number, usual in ((signal.SIGINT, signal.default_int_handler), (getattr(signal, "SIGHUP", signal.SIGTERM), signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:  # as where the tests are started in the background, or under nohup
        signal.signal(number, usual)
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch: on a busy machine, threads that wait long for each other crawl
if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: with a thread for each core in every one, they take twice the time
    os.environ.setdefault("OMP_NUM_THREADS", "1")
THREADS = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "MKL_NUM_THREADS")}
HERE = Path(__file__).parent
ROWS: dict[str, str] = tomllib.loads((HERE / "rows.toml").read_text(encoding="utf-8"))
EXCEPTED = [row for row, line in ROWS.items() if line.endswith("nothing to show)")]  # a source, an opinion


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the files of tests/golden with what the tests got")
    parser.addoption("--rows", action="store_true", help="run nothing; print each row of tests/rows.toml with the tests that show it")


# ---- rows


def rows_of(item: pytest.Item) -> list[str]:
    """The ids that a test's `row` marks name, one or several to a mark."""
    return [row for mark in item.iter_markers("row") for row in mark.args]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        unknown = [row for row in rows_of(item) if row not in ROWS]
        if unknown:
            raise pytest.UsageError(f"{item.nodeid}: no row {', '.join(unknown)} in tests/rows.toml; mark a row that is there, or add it")
    if any(item.get_closest_marker("gpu") for item in items):
        skip_without_gpu(items)


def skip_without_gpu(items: list[pytest.Item]) -> None:
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="this machine has no CUDA device"))


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """With --rows, print the table in place of running the tests."""
    if not session.config.option.rows or session.testsfailed:
        return None
    shown: dict[str, dict[str, None]] = {row: {} for row in ROWS}  # a dict for each row: an ordered set
    for item in session.items:
        for row in rows_of(item):
            shown[row][item.nodeid.split("[")[0]] = None
    print()
    for row, tests in shown.items():
        print(f"{row:6}  {ROWS[row]}")
        for test in tests:
            print(f"        {test}")
    missing = [row for row, tests in shown.items() if not tests and row not in EXCEPTED]
    todo = len(ROWS) - len(EXCEPTED)
    print(f"\n{todo - len(missing)} of {todo} rows are shown by a test; {' and '.join(EXCEPTED)} have nothing to show.")
    print("Not yet:" if missing else "None is missing.")
    for row in missing:
        print(f"{row:6}  {ROWS[row]}")
    return True


# ---- the catalogue


@functools.cache
def classifiers() -> list[str]:
    """The networks of the catalogue that answer one score a class of a picture, and not one alone, as a discriminator does."""
    from striate.networks.catalog import CATALOG, network

    found = {name: network(name) for name, entry in CATALOG.items() if entry.num_classes > 1}
    return [name for name, net in found.items() if len(net.input_shape) == 3 and len(net.output_shape) == 1]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked `classifiers("lenet5", ...)` for the `name` of each classifier; those that it does not name before a release."""
    mark = metafunc.definition.get_closest_marker("classifiers")
    if mark:
        later = [pytest.mark.slow, pytest.mark.release, pytest.mark.timeout(3600)]
        metafunc.parametrize("name", [pytest.param(name, marks=[] if name in mark.args else later) for name in classifiers()])


@pytest.fixture(scope="session")
def small_network() -> Callable[..., Network]:
    """`small_network("vgg16", least=64, num_classes=3)`: an entry for small pictures, of the published size where it takes no smaller."""
    from striate.networks.catalog import network

    def small(name: str, *, least: int = 32, num_classes: int | None = None) -> Network:
        published = network(name)
        channels, *size = published.input_shape
        side = next((side for side in range(least, min(size), 32) if published.fits((channels, side, side))), None)
        return network(name, num_classes=num_classes, input_size=side)

    return small


@pytest.fixture(scope="session")
def prime() -> Callable[[nn.Module, Tensor], nn.Module]:
    """`prime(module, images)`: its batch norms know the images, as after a training; 1,000 layers explode with fresh ones."""
    import torch

    def primed(module: nn.Module, images: Tensor) -> nn.Module:
        norms = [(part, part.momentum) for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
        for part, _ in norms:
            part.momentum = 1.0
        with torch.no_grad():
            module.train()(images)
        for part, momentum in norms:
            part.momentum = momentum
        return module

    return primed


# ---- fixtures


def threads_asked() -> dict[str, str | None]:
    """What decides how many threads this process, and those that it starts, compute on."""
    asked = {name: os.environ.get(name) for name in THREADS}
    return asked | {"torch": str(sys.modules["torch"].get_num_threads())} if "torch" in sys.modules else asked


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A test leaves the number of threads as it was: the last bits of the tests after it depend on that."""
    before = threads_asked() | THREADS  # what a module set as it was collected shows too
    assert threads_asked() == before
    yield
    after = threads_asked()
    assert {name: after[name] for name in before} == before


class ForkedProcess:
    """A process of `forked`, to be asked as one of subprocess.Popen is; `output` and `errors` are what it wrote."""

    def __init__(self, ask: Callable[[object], int | None], job: dict[str, object]) -> None:
        self.ask, self.files, self.returncode = ask, (Path(str(job["output"])), Path(str(job["errors"]))), None
        self.pid = ask(job)

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.ask(self.pid)
        return self.returncode

    def wait(self, seconds: float = 1500) -> int:
        end = time.monotonic() + seconds
        while self.poll() is None:
            assert time.monotonic() < end, f"still runs after {seconds} s: {self.output}{self.errors}"
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    output = property(lambda self: self.files[0].read_text(encoding="utf-8"))
    errors = property(lambda self: self.files[1].read_text(encoding="utf-8"))


class Forked:
    """Runs what stands in `tests/forked.py`: called, it waits for the end; `start` does not."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        setting = os.environ | {"COLUMNS": "88", "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "PATH": path}
        words = [sys.executable, str(HERE / "forked.py")]
        self.server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=setting)
        self.folder, self.count = folder, 0

    def ask(self, question: object) -> int | None:
        self.server.stdin.write(json.dumps(question) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    def start(self, folder: Path, *, setting: dict[str, str | None] | None = None, together: bool = False, **job: object) -> ForkedProcess:
        """With `setting` in its environment; stdout and stderr go to one file where they are to be read `together`."""
        self.count += 1
        output = str(self.folder / f"{self.count}")
        errors = output if together else f"{output}-errors"
        for name in (output, errors):
            Path(name).touch()  # to be read before the process has come to opening it
        return ForkedProcess(self.ask, {"folder": str(folder), "output": output, "errors": errors, "setting": setting or {}, **job})

    def __call__(self, folder: Path, **job: object) -> tuple[int, str]:
        """The exit code and what was written, stdout and stderr together."""
        process = self.start(folder, together=True, **job)
        return process.wait(), process.output


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Run in a process of its own without the seconds that imports take: `forked(folder, command=["show", "lenet5"])`.

    Or `program=TEXT` or `file=PATH`, of Python, or `shell=TEXT`. Not on Windows.
    """
    if os.name == "nt":
        pytest.skip("forks")
    server = Forked(tmp_path_factory.mktemp("forked"))
    yield server
    server.server.communicate()


@pytest.fixture
def data_dir(request: pytest.FixtureRequest) -> Path:
    """The folder with data sets as they are published: STRIATE_DATA, or ~/.cache/striate/data.

    `@pytest.mark.needs("MNIST/raw", ...)` skips the test unless each of these is in it.
    """
    folder = Path(os.environ.get("STRIATE_DATA") or "~/.cache/striate/data").expanduser()
    wanted = [folder, *(folder / path for mark in request.node.iter_markers("needs") for path in mark.args)]
    absent = [str(path) for path in wanted if not path.exists()]
    if absent:
        pytest.skip(f"not on this machine: {', '.join(absent)}; put it there or set STRIATE_DATA")
    return folder


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with a file of tests/golden: `golden("networks/lenet5.txt", text)`. --update-golden writes the file."""

    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / name
        if request.config.option.update_golden:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        if text != expected:
            lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), f"tests/golden/{name}", "this run", lineterm="")
            pytest.fail("\n".join([*lines, "If the change is meant, run pytest --update-golden and say why in the commit."]), pytrace=False)

    return compare
