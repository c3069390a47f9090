"""Running the trials of an ablation: several processes at a time, or on the workers of a Ray cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.core.errors import EnvironmentFault, InterruptedRun, UsageError
from striate.core.files import write_atomically, write_json, write_yaml
from striate.core.locks import RunLock
from striate.engine.interrupt import stop_on_signals
from striate.workflows.ablation.record import RESULT, Result, read_result
from striate.workflows.ablation.trial import HEARTBEAT, LAST_WORDS, trial
from striate.workflows.cluster import lacks_ray, ray_cluster
from striate.workflows.runs.config import ARRAYS
from striate.workflows.runs.folder import RunFolder

if TYPE_CHECKING:
    from striate.workflows.ablation.ablate import AblateRequest

OUTPUT = "output.txt"  # of a trial: what its process printed
POLL_SECONDS = 0.05
ORPHAN_SECONDS = 60.0  # that a trial without a driver may take to end
GRACE_SECONDS = 10.0  # for a trial that is asked to stop


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of a variant from one seed."""

    variant: str
    seed: int
    folder: Path
    config: Mapping[str, Any]
    network: str  # JSON
    measure_test: bool = False  # on the test split too
    split: str | None = None  # JSON: which pictures all trials train on and validate on

    @property
    def key(self) -> str:
        """Its name in the journal."""
        return f"{self.variant} seed {self.seed}"


def prepare(one: Trial) -> Path:
    """A fresh folder with the files that define the trial; an incomplete trial that a kill left there is removed."""
    folder = one.folder
    if folder.exists():
        _wait_for_the_last(folder)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    write_yaml(RunFolder(folder).config, one.config)
    write_atomically(RunFolder(folder).network, one.network.encode())
    if one.split is not None:
        write_atomically(RunFolder(folder).split, one.split.encode())
    return folder


def _wait_for_the_last(folder: Path) -> None:
    """Wait until a trial whose driver was killed has noticed that, which takes it an update or two.

    Raises:
        EnvironmentFault: it is still running.
    """
    end = time.monotonic() + ORPHAN_SECONDS
    while True:
        try:
            RunLock(folder).release()
        except EnvironmentFault:
            if time.monotonic() > end:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return


def under_way(
    trials: Sequence[Trial], held: Mapping[str, Any], request: AblateRequest, say: Callable[[str], None]
) -> Iterator[tuple[Trial, Result]]:
    """The trials with their results as they come: in this process, in several, or on Ray, as their data and the request have it.

    Raises:
        UsageError: the data are arrays, and are not given, or are to be sent elsewhere.
        EnvironmentFault: there is no Ray for the named cluster.
        InterruptedRun: a signal stopped the trials.
    """
    hang_after = float(held["hang_after"])
    if held["config"]["data"] == ARRAYS:
        if request.data is None or request.on is not None:
            raise UsageError("an ablation on arrays runs in this process, and needs the arrays", "Pass them as data, without on.")
        return in_this_process(trials, request.data)
    if request.on is not None:
        address, lacks = request.on.partition("=")[2] or None, lacks_ray()
        if not lacks:
            return on_ray(trials, address=address, hang_after=hang_after)
        if address is not None:
            raise EnvironmentFault(f"`on={request.on!r}`: {lacks}", 'Install it with: pip install "striate[cluster]".')
        say(f"`on='ray'`: {lacks}; the trials run in processes of this machine instead, with the same results")
    jobs = min(request.jobs or os.cpu_count() or 1, max(1, len(trials)))
    return in_processes(trials, jobs=jobs, hang_after=hang_after)


def in_this_process(trials: Sequence[Trial], data: Any) -> Iterator[tuple[Trial, Result]]:
    """One after the other, here: for data that is arrays."""
    for one in trials:
        result = trial(prepare(one), data=data, measure_test=one.measure_test)
        if result is None:
            raise InterruptedRun("the ablation was stopped")
        write_json(one.folder / RESULT, result)
        yield one, result


def in_processes(trials: Sequence[Trial], *, jobs: int, hang_after: float) -> Iterator[tuple[Trial, Result]]:
    """`jobs` processes at a time, which share the processor's cores; each result as it comes.

    A trial that shows no sign of life for `hang_after` seconds is ended, and its result says so.

    Raises:
        InterruptedRun: a signal asked to stop; the trials under way are stopped too.
    """
    waiting = list(trials)
    running: dict[str, tuple[Trial, subprocess.Popen[bytes]]] = {}
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with stop_on_signals() as stop:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    one = waiting.pop(0)
                    running[one.key] = (one, _start(one, threads))
                time.sleep(POLL_SECONDS)
                if stop.asked:
                    raise InterruptedRun("the ablation was stopped")
                for key, (one, process) in list(running.items()):
                    result = _result_of(one, process, hang_after)
                    if result is not None:
                        del running[key]
                        yield one, result
        finally:
            for _, process in running.values():
                process.terminate()
            for _, process in running.values():
                _end(process)


def _start(one: Trial, threads: int) -> subprocess.Popen[bytes]:
    folder = prepare(one)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    words = [
        sys.executable,
        "-m",
        "striate.workflows.ablation.trial",
        str(folder),
        str(os.getpid()),
        *(["--test"] if one.measure_test else []),
    ]
    (folder / OUTPUT).unlink(missing_ok=True)
    with (folder / OUTPUT).open("xb") as output:
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _result_of(one: Trial, process: subprocess.Popen[bytes], hang_after: float) -> Result | None:
    """The result of a trial that is over; None while it runs."""
    code = process.poll()
    if code is None:
        beat = one.folder / HEARTBEAT
        lived = beat.stat().st_mtime if beat.exists() else RunFolder(one.folder).network.stat().st_mtime
        if time.time() - lived <= hang_after:
            return None
        process.kill()
        process.wait()
        return {"status": "hung", "message": f"no update for {hang_after:g} s"}
    if (result := read_result(one.folder)) is not None:
        return result
    words = _end_of(one.folder / OUTPUT).strip().rpartition("\n")[2][-LAST_WORDS:]
    how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return {"status": "failed", "message": " ".join(f"{how} {words}".split())}


def _end_of(path: Path) -> str:
    """The last words of a text, which may be long."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4 * LAST_WORDS))
        return file.read(4 * LAST_WORDS).decode(errors="replace")


def on_ray(trials: Sequence[Trial], *, address: str | None, hang_after: float, threads: int = 1) -> Iterator[tuple[Trial, Result]]:
    """On the workers of the Ray cluster at `address`, or of one on this machine; each result as it comes.

    The data must lie at the same path on every machine of the cluster. A trial that shows no sign of life for `hang_after` seconds is
    ended there, and its result says so.

    Raises:
        EnvironmentFault: there is no cluster at the address.
    """
    with ray_cluster(address) as ray:
        remote = ray.remote(num_cpus=threads, max_retries=0)(trial_on_worker)
        waiting = {}
        for one in trials:
            words = (one.seed, json.dumps(dict(one.config)), one.network, hang_after, threads, one.measure_test)
            waiting[remote.remote(*words)] = one
        while waiting:
            (reference, *_), _ = ray.wait(list(waiting), num_returns=1)
            one = waiting.pop(reference)
            try:
                result: Result = json.loads(ray.get(reference))
            except ray.exceptions.RayError as error:
                result = {"status": "failed", "message": " ".join(str(error).split())[-LAST_WORDS:]}
            one.folder.mkdir(parents=True, exist_ok=True)
            write_json(one.folder / RESULT, result)
            yield one, result


def trial_on_worker(seed: int, config: str, network: str, hang_after: float, threads: int, measure_test: bool = False) -> str:
    """The trial that the texts describe, in a folder of the worker's own and a process that may hang or die; its result as JSON."""
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "trial"
        one = Trial(variant="trial", seed=seed, folder=place, config=json.loads(config), network=network, measure_test=measure_test)
        process = _start(one, threads)
        try:
            while (result := _result_of(one, process, hang_after)) is None:
                time.sleep(POLL_SECONDS)
        finally:
            process.terminate()
            _end(process)
    return json.dumps(result)
