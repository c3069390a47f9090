"""A server to put to the test, its models, and clients that speak to it in raw bytes, for `serve.py`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Row = list[str]  # what is tested, what came, what was wanted
LISTED = 5  # cases that a count names
TOKEN = "benchmark-token-0123456789"  # noqa: S105  # of servers on loopback


def png(seed: int = 0, side: int = 40) -> bytes:
    """A small picture of one colour with noise."""
    random = np.random.default_rng(seed)
    file = io.BytesIO()
    Image.fromarray((random.integers(0, 200, 3) + random.integers(0, 50, (side, side, 3))).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def photo() -> bytes:
    """A JPEG of the size of a usual photo on the web: 500 x 375."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), np.uint8)).resize((500, 375), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    noise = random.integers(-12, 12, (375, 500, 3))
    Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def exported(path: Path, name: str, side: int, seed: int = 0) -> Path:
    """The ONNX file of a network of the catalogue with fresh weights, five classes; written as a program should, by renaming."""
    import torch

    import striate
    from striate.core.images import ImageSpec
    from striate.insight.export.onnx_file import onnx_bytes
    from striate.models.model import Model
    from striate.networks.model_file import ModelFile

    torch.manual_seed(seed)
    network = striate.network(name, num_classes=5, in_channels=3, input_size=side)
    spec = ImageSpec(height=side, width=side, channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
    classes = ("oak", "<b>ash</b>", "elm", "fir", "yew")
    data = onnx_bytes(Model(ModelFile(network, network.build(), classes, spec, {})))
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)
    return path


def flat(*colour: int) -> bytes:
    """A small picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(file, "PNG")
    return file.getvalue()


def fragile(model: Path, path: Path) -> Path:
    """An exported file that fails where the first channel of a picture has a pixel of 255, and needs 40 TB where the second has."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from striate.core.tensor_files import sealed
    from striate.models.exported import GRAPH, digest_of
    from striate.networks.model_file import ENTRY

    found = onnx.load(model)
    description = json.loads(next(each.value for each in found.metadata_props if each.key == ENTRY))
    del found.metadata_props[:], description["sha256"]
    graph = found.graph
    constants = {"axes_": [0, 1, 2], "limit_": np.float32(254.5), "row_": np.zeros(1, np.float32), "one_": [1], "many_": [10**13]}
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    place = next(place for place, node in enumerate(graph.node) if "logits" in node.output)
    graph.node[place].output[list(graph.node[place].output).index("logits")] = "sums_"
    steps = (
        ("Cast", ["images"], "floats_", {"to": TensorProto.FLOAT}), ("ReduceMax", ["floats_", "axes_"], "largest_", {"keepdims": 0}),
        ("Greater", ["largest_", "limit_"], "over_", {}), ("Cast", ["over_"], "flags_", {"to": TensorProto.INT64}),
        ("Slice", ["flags_", "zero_", "one_"], "fails_", {}), ("Slice", ["flags_", "one_", "two_"], "grows_", {}),
        ("Gather", ["row_", "fails_"], "nothing_", {}), ("Mul", ["grows_", "many_"], "needed_", {}),
        ("Add", ["needed_", "one_"], "size_", {}), ("ConstantOfShape", ["size_"], "zeros_", {}),
        ("ReduceSum", ["zeros_"], "none_", {"keepdims": 0}), ("Sum", ["sums_", "nothing_", "none_"], "logits", {}),
    )  # fmt: skip
    graph.initializer.extend(numpy_helper.from_array(np.array([value]), name) for name, value in (("zero_", 0), ("two_", 2)))
    nodes = list(graph.node)
    nodes[place + 1 : place + 1] = [helper.make_node(kind, inputs, [output], **fields) for kind, inputs, output, fields in steps]
    del graph.node[:]
    graph.node.extend(nodes)
    data = found.SerializeToString(deterministic=True)
    description[GRAPH] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "facts_sha256": digest_of({})}
    tail = type(found)()
    helper.set_model_props(tail, {ENTRY: json.dumps(sealed(description, {}))})
    path.write_bytes(data + tail.SerializeToString(deterministic=True))
    return path


class Server:
    """`striate serve` in a process of its own."""

    def __init__(self, *words: str | Path, cores: str | None = None) -> None:
        command = [sys.executable, "-m", "striate", "serve", *map(str, words), "--port", "0", "--json"]
        pinned = ["taskset", "-c", cores, *command] if cores else command
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as the server
        self.process = subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError(self.errors())
        self.told = json.loads(line)
        self.port = int(self.told["url"].rpartition(":")[2])

    def errors(self) -> str:
        """All that it wrote to stderr."""
        self.log.seek(0)
        return self.log.read()

    def raw(self, data: bytes, seconds: float = 20) -> bytes:
        """The reply to bytes; b"closed" where the connection ended without one, b"open" where nothing came in time."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as client:
            reply = b""
            try:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    client.sendall(data)
                while piece := client.recv(65536):
                    reply += piece
            except ConnectionResetError:
                pass
            except TimeoutError:
                return reply or b"open"
            return reply or b"closed"

    def ask(self, method: str, path: str, body: bytes = b"", seconds: float = 60, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an ordinary request."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items() if value})
        answer = client.getresponse()
        found = answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        client.close()
        return found

    def predict(self, data: bytes) -> tuple[int, Any]:
        """Status and answer of a picture."""
        status, body, _ = self.ask("POST", "/predict", data, Content_Type="image/png")
        return status, json.loads(body)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        _, text, _ = self.ask("GET", "/metrics")
        return sum(
            float(line.rsplit(None, 1)[1]) for line in text.decode().splitlines() if line.startswith(name) and line[len(name)] in " {}"
        )

    @property
    def worker(self) -> int:
        """The process that holds the models; 0 while there is none."""
        found = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return next((int(pid) for path in found for pid in path.read_text().split()), 0)

    def peak(self) -> int:
        """The largest resident memory of server and worker so far, in bytes."""
        total = 0
        for pid in (self.process.pid, self.worker):
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            total += 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        return total

    def cpu_seconds(self) -> float:
        """The processor time of the server so far, without that of its models' process."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def until_ready(self) -> float:
        """Seconds until it is ready."""
        begun = time.monotonic()
        while self.ask("GET", "/readyz")[0] != 200:
            time.sleep(0.01)
        return time.monotonic() - begun

    def stop(self) -> tuple[int, float]:
        """The exit code, and the seconds to it."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60), time.monotonic() - begun


async def timed(port: int, request: bytes, planned: float) -> tuple[int, float]:
    """The status of a request on a connection of its own, 0 if it failed, and the seconds since it was planned."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await writer.drain()
        reply = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        status = int(reply.split(None, 2)[1]) if reply else 0
    except (OSError, TimeoutError, ValueError, IndexError):
        status = 0
    return status, time.monotonic() - planned


def posted(data: bytes, kind: str = "image/jpeg") -> bytes:
    """A raw request with a picture."""
    head = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


async def closed_loop(port: int, request: bytes, clients: int, seconds: float) -> list[tuple[int, float]]:
    """Results within so many seconds of so many clients that each ask again as soon as they have their answer."""
    end = time.monotonic() + seconds

    async def one() -> list[tuple[int, float]]:
        found = []
        while True:
            answer = await timed(port, request, time.monotonic())
            if time.monotonic() > end:
                return found
            found.append(answer)

    return [each for some in await asyncio.gather(*(one() for _ in range(clients))) for each in some]


async def open_loop(port: int, request: bytes, rate: float, seconds: float) -> list[tuple[int, float]]:
    """Results of requests that are sent at a fixed rate, whatever comes back; times count from when each was planned."""
    begun, tasks = time.monotonic(), []
    for number in range(int(rate * seconds)):
        planned = begun + number / rate
        await asyncio.sleep(max(0.0, planned - time.monotonic()))
        tasks.append(asyncio.ensure_future(timed(port, request, planned)))
    return list(await asyncio.gather(*tasks))


def load() -> str:
    """How busy the machine is with other things."""
    return f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"


def status_of(reply: bytes) -> str:
    """The status in a raw reply, or "closed" or "open"."""
    found = re.match(rb"HTTP/1\.[01] (\d{3})", reply)
    return found[1].decode() if found else reply[:10].decode("latin-1")


def counted(wrong: list[str], total: int) -> str:
    """So many of so many right, and the first wrong ones."""
    names = f"; wrong: {', '.join(wrong[:LISTED])}" if wrong else ""
    return f"{total - len(wrong)}/{total}{names}"


@contextlib.contextmanager
def running(*words: str | Path, cores: str | None = None) -> Iterator[Server]:
    """A server that is stopped in the end."""
    server = Server(*words, cores=cores)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
