"""The server answers over real HTTP what `predict` answers, refuses the rest with a reason, and outlives its models' process."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
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
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import striate
from striate.apps.server.batching import Item, Queue
from striate.apps.server.crew import POLL
from striate.apps.server.guard import Guard
from striate.apps.server.metrics import Metrics
from striate.apps.server.refused import Refused, busy, unavailable
from striate.apps.server.request import ServeRequest
from striate.apps.server.serve import free_address, serve
from striate.apps.server.sources import sources_of
from striate.apps.server.worker import answered
from striate.core.errors import EnvironmentFault, RefusedFileError, UsageError
from striate.core.images import ImageSpec
from striate.core.targets import TargetSpec
from striate.core.tensor_files import sealed
from striate.models.exported import GRAPH, ExportedModel, digest_of
from striate.models.loading import load
from striate.networks.layers import Chain, Conv, GlobalPool, Linear
from striate.networks.model_file import ENTRY, description_of, save_model
from striate.networks.network import Network

NETWORK = Network(name="means", input_shape=(3, 16, 16), root=Chain(pool=GlobalPool("avg"), head=Linear(3)))
SPEC = ImageSpec(height=16, width=16, channels=3, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
CLASSES = ("red <b>", "green", "blue")


def weights(seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(size=(3, 3)).astype(np.float32), random.normal(size=3).astype(np.float32)


def onnx_file(path: Path, seed: int = 0, network: Network = NETWORK, *, fragile: bool = False) -> Path:
    """The file that `export` writes for the network, without its exporter's seconds: the mean of each channel, then a layer.

    A fragile one fails where the first channel of a picture has a pixel of 255, and needs 40 TB where the second has.
    """
    from onnx import TensorProto, helper, numpy_helper

    weight, bias = weights(seed)
    scale, offset = (np.array(values, np.float32) for values in SPEC.scale_and_offset)
    constants = {"scale": scale, "offset": offset, "weight": weight, "bias": bias, "axes": np.array([1, 2])}
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["normalized"]),
        helper.make_node("Gemm", ["normalized", "weight", "bias"], ["sums" if fragile else "logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    if fragile:
        constants |= {"batch": np.array([0, 1, 2]), "limit": np.float32(254.5), "row": np.zeros(1, np.float32)}
        constants |= {"one": np.array([1]), "many": np.array([10**13])}
        nodes[-1:-1] = [
            helper.make_node("ReduceMax", ["floats", "batch"], ["largest"], keepdims=0),
            helper.make_node("Greater", ["largest", "limit"], ["over"]),
            helper.make_node("Cast", ["over"], ["flags"], to=TensorProto.INT64),
            helper.make_node("Split", ["flags"], ["fails", "grows", "fine"], num_outputs=3),
            helper.make_node("Gather", ["row", "fails"], ["nothing"]),
            helper.make_node("Mul", ["grows", "many"], ["needed"]),
            helper.make_node("Add", ["needed", "one"], ["size"]),
            helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0),
            helper.make_node("Sum", ["sums", "nothing", "zero"], ["logits"]),
        ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("probabilities", "logits")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    data = model.SerializeToString(deterministic=True)
    description = description_of(network, classes=CLASSES, images=SPEC, info={}, targets=None)
    description[GRAPH] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "facts_sha256": digest_of({})}
    tail = type(model)()
    helper.set_model_props(tail, {ENTRY: json.dumps(sealed(description, {}))})
    temporary = path.with_suffix(".new")
    temporary.write_bytes(data + tail.SerializeToString(deterministic=True))
    temporary.replace(path)
    return path


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    data: Any


class Running:
    """`striate serve` in a process of its own."""

    def __init__(self, *words: str | Path) -> None:
        setting = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-m", "striate", "serve", *map(str, words), "--port", "0", "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=setting)
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.told = json.loads(line)
        self.port = int(self.told["url"].rpartition(":")[2])

    def ask(self, method: str, path: str, body: bytes | str = b"", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        is_text = answer.headers.get_content_maintype() == "text"
        return Answer(
            answer.status, dict(answer.headers.items()), json.loads(content) if is_json else content.decode() if is_text else content
        )

    def predict(self, data: bytes, query: str = "?model=a") -> Answer:
        return self.ask("POST", f"/predict{query}", data, Content_Type="image/png")

    @property
    def children(self) -> list[int]:
        found = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for path in found for pid in path.read_text().split()]

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


def png(seed: int, height: int = 20, width: int = 31) -> bytes:
    file = io.BytesIO()
    colour = np.random.default_rng(seed).integers(0, 256, 3)
    noise = np.random.default_rng(seed + 1).integers(-20, 20, (height, width, 3))
    Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def form(files: list[tuple[str, bytes]], field: str = "files") -> tuple[bytes, str]:
    parts = [
        b'--XX\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n' % (field.encode(), name.encode(), data)
        for name, data in files
    ]
    return b"".join([*parts, b"--XX--\r\n"]), "multipart/form-data; boundary=XX"


def as_json(files: list[tuple[str, bytes]]) -> str:
    return json.dumps({"files": [{"name": name, "data": base64.b64encode(data).decode()} for name, data in files]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    for name, seed in (("a", 0), ("b", 1)):
        onnx_file(folder / f"{name}.onnx", seed)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    if sys.platform == "win32":
        pytest.skip("signals")
    running = Running(folder / "a.onnx", folder / "b.onnx", "--max-body", "0.2", "--time-limit", "2")
    yield running
    code, errors = running.stop()
    assert code == 0
    assert "stopping: what is in flight is finished" in errors and "Traceback" not in errors


def test_answers_are_those_of_predict_in_every_form(server: Running, folder: Path, tmp_path: Path):
    files = [("x.png", png(1)), ("é.png", png(2, 40, 9)), ("z.png", png(3, 16, 16))]
    paths = [tmp_path / name for name, _ in files]
    for path, (_, data) in zip(paths, files, strict=True):
        path.write_bytes(data)
    for name in "ab":
        expected = ExportedModel(folder / f"{name}.onnx").predict(paths, top=2).to_data()
        body, kind = form(files)
        by_form = server.ask("POST", f"/predict?model={name}&top=2", body, Content_Type=kind)
        by_json = server.ask("POST", f"/predict?model={name}&top=2", as_json(files), Content_Type="application/json")
        assert by_form.status == by_json.status == 200
        assert [each["path"] for each in by_form.data] == [name for name, _ in files]
        for found in (by_form.data, by_json.data, [server.predict(data, f"?model={name}&top=2").data[0] for _, data in files]):
            assert [each["class"] for each in found] == [each["class"] for each in expected]
            for mine, theirs in zip(found, expected, strict=True):
                assert [each["class"] for each in mine["top"]] == [each["class"] for each in theirs["top"]]
                np.testing.assert_allclose(
                    [each["probability"] for each in mine["top"]], [each["probability"] for each in theirs["top"]], atol=1e-6
                )


def test_the_inference_protocol_gives_the_probabilities(server: Running, folder: Path):
    model = ExportedModel(folder / "a.onnx")
    pictures = np.random.default_rng(4).integers(0, 256, (2, 18, 25, 3), np.uint8)
    expected = model.probabilities(model.read(pictures))
    tensor = {"name": "images", "shape": [2, 18, 25, 3], "datatype": "UINT8", "data": pictures.ravel().tolist()}
    found = server.ask("POST", "/v2/models/a/infer", json.dumps({"id": "7", "inputs": [tensor]}))
    assert (found.status, found.data["id"], found.data["model_name"]) == (200, "7", "a")
    values, classes = found.data["outputs"]
    np.testing.assert_allclose(np.reshape(values["data"], values["shape"]), expected, atol=1e-6)
    assert classes["data"] == [CLASSES[row.argmax()] for row in expected]
    files = {"name": "images", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(png(1)).decode()]}
    found = server.ask("POST", "/v2/models/a/infer", json.dumps({"inputs": [files], "outputs": [{"name": "class"}]}))
    assert found.data["outputs"][0]["data"] == [server.predict(png(1)).data[0]["class"]]
    assert server.ask("GET", "/v2/models/a").data["inputs"] == [{"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}]
    assert server.ask("GET", "/v2/models/a/ready").data == {"name": "a", "ready": True}
    assert (server.ask("GET", "/v2/health/live").status, server.ask("GET", "/v2/health/ready").status) == (200, 200)
    wrong = tensor | {"data": [1.5] * 2700}
    for changed, words in (
        (wrong, "whole numbers from 0 to 255"),
        (tensor | {"shape": [2, 18, 25]}, "must be [n, h, w, 3]"),
        (tensor | {"datatype": "FP32"}, "must be UINT8 or BYTES"),
        (tensor | {"shape": [2, 18, 26, 3]}, "2,808 numbers"),
    ):
        refused = server.ask("POST", "/v2/models/a/infer", json.dumps({"inputs": [changed]}))
        assert refused.status == 422 and words in refused.data["error"]["message"]
    refused = server.ask("POST", "/v2/models/a/infer", json.dumps({"inputs": [tensor], "outputs": [{"name": {}}]}))
    assert refused.status == 422 and "outputs: must be" in refused.data["error"]["message"]


def test_models_and_metrics_and_the_page(server: Running):
    models = server.ask("GET", "/models")
    assert [(each["name"], each["backend"], each["classes"]) for each in models.data] == [
        (name, "onnxruntime", list(CLASSES)) for name in "ab"
    ]
    page = server.ask("GET", "/")
    assert page.status == 200 and "default-src 'self'" in page.headers["content-security-policy"]
    assert all(server.ask("GET", path).status == 200 for path in ("/page.js", "/page.css", "/healthz", "/readyz"))
    described = server.ask("GET", "/openapi.json").data["paths"]
    assert set(described["/predict"]["post"]["requestBody"]["content"]) >= {"multipart/form-data", "application/json"}
    assert 'striate_requests_total{path="/models",status="200"}' in server.ask("GET", "/metrics").data
    assert server.ask("GET", "/healthz", X_Request_ID="mine-1").headers["x-request-id"] == "mine-1"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")
def test_an_exported_file_is_served_without_torch(server: Running):
    every = [server.process.pid, *server.children]
    assert len(every) == 2
    for pid in every:
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "libtorch" not in maps
        assert ("onnxruntime" in maps) == (pid != server.process.pid)


REFUSED = [  # body, type of it, query, status, words of the reason
    (b"", "image/png", "?model=a", 422, "picture: the file is empty"),
    (b"no picture", "image/png", "?model=a", 422, "not a picture of a known format"),
    (png(1)[:500], "image/png", "?model=a", 422, "cannot be read as a picture"),
    (b"x" * 300_000, "image/png", "?model=a", 413, "larger than 0.2 MiB"),
    (png(1), "text/plain", "?model=a", 415, "the body is text/plain"),
    (png(1), "image/png", "", 422, "several models are served"),
    (png(1), "image/png", "?model=c", 404, "unknown model 'c'"),
    (png(1), "image/png", "?model=a&top=0", 422, "top"),
    (b"{", "application/json", "?model=a", 400, "invalid JSON"),
    (b'{"files": [{"data": "a?"}]}', "application/json", "?model=a", 422, "files[0].data: is not base64"),
    (b'{"files": []}', "application/json", "?model=a", 422, "no picture"),
    (form([("a", png(1))], "file")[0], form([])[1], "?model=a", 422, "unknown field 'file'"),
    (form([("a", b"")] * 70)[0], form([])[1], "?model=a", 413, "Too many files"),
    (form([("a", png(1))])[0], "multipart/form-data", "?model=a", 400, "no boundary"),
    (form([("a", png(1)), ("bad.jpg", b"no")])[0], form([])[1], "?model=a", 422, "bad.jpg: not a picture"),
]


def test_what_is_wrong_is_refused_with_the_reason(server: Running):
    for body, kind, query, status, words in REFUSED:
        found = server.ask("POST", f"/predict{query}", body, Content_Type=kind)
        assert (found.status, words in found.data["error"]["message"]) == (status, True), (found, words)
        assert found.data["request_id"] == found.headers["x-request-id"]
    assert server.ask("POST", "/predict?model=a", png(1), Content_Type="image/png", Content_Encoding="gzip").status == 415
    assert server.ask("DELETE", "/predict").status == 405 and server.ask("GET", "/nothing").status == 404
    assert server.predict(png(1)).status == 200


def test_a_body_that_does_not_come_is_given_up_and_others_are_answered(server: Running):
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"POST /predict?model=a HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nab")
        assert server.predict(png(1)).status == 200
        slow.settimeout(10)
        assert b"408" in slow.recv(1000).splitlines()[0]


def test_many_at_once_get_each_its_own_answer(server: Running):
    alone = [server.predict(png(seed)).data[0] for seed in range(12)]
    before = server.ask("GET", "/metrics").data
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda seed: server.predict(png(seed % 12)), range(60)))
    for place, answer in enumerate(found):
        assert answer.data[0]["class"] == alone[place % 12]["class"]
        assert answer.data[0]["probability"] == pytest.approx(alone[place % 12]["probability"], abs=1e-5)
    batches = [float(line.split()[-1]) for text in (before, server.ask("GET", "/metrics").data) for line in text.splitlines()
               if line.startswith('striate_batch_pictures_count{model="a"}')]  # fmt: skip
    assert batches[1] - batches[0] < 60  # some were answered together


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc")
def test_a_killed_process_is_replaced_and_no_request_is_lost(server: Running):
    expected = server.predict(png(1)).data
    (old,) = server.children
    os.kill(old, signal.SIGKILL)
    assert server.predict(png(1)).data == expected
    until(lambda: server.ask("GET", "/readyz").status == 200)
    assert server.children != [old]


def test_a_changed_file_is_served_and_a_bad_one_is_not(server: Running, folder: Path):
    def answer() -> Any:
        found = server.predict(png(1), "?model=b&top=3")
        assert found.status == 200
        return found.data[0]["probability"]

    old = answer()
    onnx_file(folder / "b.onnx", 2)
    until(lambda: answer() != old)
    new = answer()
    (folder / "b.onnx").write_bytes(b"nothing")
    until(lambda: server.ask("GET", "/models").data[1]["refused_reload"] is not None)
    assert answer() == new
    onnx_file(folder / "b.onnx", 1)
    until(lambda: answer() == old)
    assert POLL < 1 and server.ask("GET", "/models").data[1]["refused_reload"] is None


def model_file(path: Path, network: Network, state: dict[str, Any], classes: tuple[str, ...], targets: TargetSpec | None = None) -> Path:
    channels, *_ = network.input_shape
    spec = dataclasses.replace(
        SPEC, channels=channels, mean=SPEC.mean[:channels], std=SPEC.std[:channels], fit="pad" if network.name == "each" else "crop"
    )
    path.parent.mkdir(exist_ok=True)
    save_model(path, network, state, classes=classes, images=spec, info={}, targets=targets)
    return path


@pytest.mark.slow
def test_a_server_ends_with_the_program_that_it_was_started_for(folder: Path):
    if sys.platform == "win32":
        pytest.skip("signals")
    program = "import os, striate, sys; print(striate.serve(sys.argv[1], port=0).url, flush=True); os.kill(os.getpid(), 9)"
    with subprocess.Popen([sys.executable, "-c", program, str(folder / "a.onnx")], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        url = killed.stdout.readline().strip()
    assert killed.returncode == -9

    host, _, port = url.removeprefix("http://").partition(":")
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) != 0:
                return
        time.sleep(0.1)
    pytest.fail(f"{url} still answers")


@pytest.mark.slow
def test_runs_that_were_not_exported_are_served_with_torch_and_masks_and_pictures_as_predict_gives_them(tmp_path: Path):
    import torch

    torch.manual_seed(0)
    weight, bias = map(torch.from_numpy, weights(0))
    model_file(tmp_path / "run" / "best.safetensors", NETWORK, {"head.weight": weight, "head.bias": bias}, CLASSES)
    each = Network("each", (3, 16, 16), Chain(head=Conv(3, 3, padding=1, bias=False)))
    masks = model_file(tmp_path / "masks.safetensors", each, {"head.weight": torch.randn(3, 3, 3, 3)}, CLASSES)
    same = Network("same", (3, 16, 16), Chain(head=Conv(3, 1, bias=False)))
    colours = TargetSpec(task="restore")
    filters = torch.eye(3).reshape(3, 3, 1, 1) * 0.2 + 0.1
    restored = model_file(tmp_path / "restored.safetensors", same, {"head.weight": filters}, ("red", "green", "blue"), colours)
    files = [tmp_path / "x.png", tmp_path / "y.png"]
    for place, file in enumerate(files):
        file.write_bytes(png(5 + place, 20 + place))
    running = Running(tmp_path / "run", masks, restored)
    try:
        assert [(each["name"], each["backend"]) for each in running.told["models"]] == [
            ("run", "torch"), ("masks", "torch"), ("restored", "torch")
        ]  # fmt: skip
        found = running.predict(png(5, 20), "?model=run").data
        body, kind = form([(file.name, file.read_bytes()) for file in files])
        drawn = {name: running.ask("POST", f"/predict?model={name}", body, Content_Type=kind).data for name in ("masks", "restored")}
        alone = {
            name: running.ask("POST", f"/predict?model={name}", files[1].read_bytes(), Content_Type="image/png", Accept="image/png")
            for name in drawn
        }
        both = running.ask("POST", "/predict?model=masks", body, Content_Type=kind, Accept="image/png")
        bad = running.ask("POST", "/predict?model=masks", b"no", Content_Type="image/png")
        tensor = {"name": "images", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(files[0].read_bytes()).decode()]}
        inferred = running.ask("POST", "/v2/models/masks/infer", json.dumps({"inputs": [tensor]})).data["outputs"]
        told = running.ask("GET", "/v2/models/restored").data["outputs"]
    finally:
        code, errors = running.stop()
    assert code == 0 and "Traceback" not in errors
    expected = load(tmp_path / "run").predict(files[:1]).to_data()
    assert found[0]["class"] == expected[0]["class"]
    assert found[0]["probability"] == pytest.approx(expected[0]["probability"], abs=1e-6)
    onnx = ExportedModel(onnx_file(tmp_path / "same.onnx")).predict(files[:1]).to_data()
    assert onnx[0]["probability"] == pytest.approx(expected[0]["probability"], abs=1e-6)
    for name, field in (("masks", "mask"), ("restored", "picture")):
        predicted = load(tmp_path / f"{name}.safetensors").predict(files)
        for answer, record, item in zip(drawn[name], predicted.to_data(), predicted, strict=True):
            data = base64.b64decode(answer.pop(field))
            record.pop("mask" if field == "mask" else "file")
            assert answer == {**record, "path": Path(record["path"]).name}
            np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), getattr(item, field))
        assert (alone[name].status, alone[name].headers["content-type"]) == (200, "image/png")
        assert alone[name].data == data
    assert inferred[0]["name"] == "mask" and told == [{"name": "picture", "datatype": "BYTES", "shape": [-1]}]
    assert both.status == 422 and "one mask is sent as image/png" in both.data["error"]["message"]
    assert bad.status == 422 and "not a picture" in bad.data["error"]["message"]


# ---- the parts


def flat(*colour: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(file, "PNG")
    return file.getvalue()


def test_a_picture_over_which_the_model_fails_or_runs_out_of_memory_harms_no_other(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    model = ExportedModel(onnx_file(tmp_path / "fragile.onnx", fragile=True))
    pictures = [flat(9, 9, 9), flat(255, 0, 0), flat(0, 255, 0), flat(7, 7, 255)]
    items = [{"name": f"{place}.png", "top": 1} for place in range(4)]
    with ThreadPoolExecutor(1) as pool:
        good, failed, grew, other = answered(model, {"kind": "answer", "items": items}, pictures, pool)
        assert (good["path"], other["path"]) == ("0.png", "3.png")
        assert good["class"] == answered(model, {"kind": "answer", "items": items[:1]}, pictures[:1], pool)[0]["class"]
    assert failed["fault"] == {"status": 500, "kind": "internal", "message": "the model failed", "remedy": ""}
    assert grew["fault"] == {"status": 503, "kind": "internal", "message": "out of memory", "remedy": ""}
    assert "out of data bounds" in capfd.readouterr().err


def test_onnx_runtime_is_told_to_report_nothing_before_it_is_imported(folder: Path):
    ExportedModel(folder / "a.onnx")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    imports = re.compile(r"^ *(?:import|from) onnxruntime", re.MULTILINE)
    source = Path(striate.__file__).parent
    texts = {path.name: path.read_text(encoding="utf-8") for path in source.rglob("*.py")}
    found = {name: text for name, text in texts.items() if imports.search(text)}
    assert set(found) == {"runtimes.py", "onnx_numbers.py"}
    assert all(imports.search(text).start() > text.index("silent_runtime()") for text in found.values())


def run(steps: Callable[[Queue], Any], **settings: Any) -> None:
    async def all_of_it() -> None:
        await steps(Queue(**({"most": 4, "most_bytes": 100, "batch_size": 3, "wait": 0.0, "patience": 60.0} | settings), metrics=Metrics()))

    asyncio.run(all_of_it())


def item(model: str = "a", data: bytes = b"") -> Item:
    return Item((model, "answer"), {}, data, asyncio.get_running_loop().create_future())


def test_a_full_queue_refuses_at_once_and_says_when_there_is_room():
    async def steps(queue: Queue) -> None:
        queue.computed(2, 1.0)  # pictures, s
        queue.put([item() for _ in range(4)])
        with pytest.raises(Refused, match="4 pictures in the queue already, of 4") as refused:
            queue.put([item()])
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "2"})
        while queue.items:
            await queue.batch()
        queue.put([item(data=b"x" * 101)])  # more than all may be, and alone
        with pytest.raises(Refused, match="1 picture in the queue"):
            queue.put([item(data=b"x")])

    run(steps)


def test_what_does_not_fit_is_refused_before_its_body_is_read():
    def full() -> None:
        raise busy("full", 2)

    async def ask(method: str) -> list[Any]:
        sent, routed = [], []

        async def send(message: Any) -> None:
            sent.append(message)

        async def app(*_: Any) -> None:
            routed.append(method)

        guard = Guard(app, ServeRequest(models=["a"]), Metrics(), lambda _scope: "", full)
        headers = [(b"host", b"localhost"), (b"content-length", b"9")]
        scope = {"type": "http", "method": method, "path": "/predict", "raw_path": b"/predict", "query_string": b"", "headers": headers}
        await guard(scope, None, send)
        return [*routed, *(message["status"] for message in sent if "status" in message)]

    assert asyncio.run(ask("POST")) == [429]  # without a call of `receive`, which there is not
    assert asyncio.run(ask("GET")) == ["GET"]


def test_the_queue_of_a_slow_model_is_short():
    async def steps(queue: Queue) -> None:
        assert queue.room == 100
        queue.computed(10, 1.0)  # pictures, s
        assert queue.room == 20
        queue.rate = 0.1
        assert queue.room == 6  # two batches

    run(steps, most=100)


def test_batches_hold_one_model_and_only_pictures_that_someone_waits_for():
    async def steps(queue: Queue) -> None:
        first, gone, other, third = item(), item(), item("b"), item()
        queue.put([first, gone, other, third])
        gone.answer.cancel()
        assert await queue.batch() == [first, third]
        assert await queue.batch() == [other]
        assert queue.metrics.dropped._value.get() == 1

    run(steps)


def test_a_picture_waits_for_others_until_its_deadline():
    async def steps(queue: Queue) -> None:
        first = item()
        queue.put([first])
        taken = asyncio.ensure_future(queue.batch())
        await asyncio.sleep(0.01)
        second, third = item(), item()
        queue.put([second])
        await asyncio.sleep(0)
        assert not taken.done()
        queue.put([third])
        assert await taken == [first, second, third]
        begun, last = time.monotonic(), item()
        queue.put([last])
        assert await queue.batch() == [last] and time.monotonic() - begun >= 0.3

    run(steps, wait=0.3)


def test_pictures_of_a_lost_process_are_tried_alone_and_the_one_that_ends_it_is_refused():
    async def steps(queue: Queue) -> None:
        items = [item(), item()]
        queue.put(items)
        queue.put_back(await queue.batch(), unavailable("ended"))
        assert await queue.batch() == items[:1] and await queue.batch() == items[1:]
        queue.put_back(items[:1], unavailable("ended"))
        with pytest.raises(Refused, match="ended"):
            await items[0].answer
        assert not items[1].answer.done()

    run(steps)


def test_a_picture_that_waited_too_long_is_given_up():
    async def steps(queue: Queue) -> None:
        late = item()
        queue.put([late])
        await asyncio.sleep(0.02)
        now = item()
        queue.put([now])
        assert await queue.batch() == [now]
        with pytest.raises(Refused, match=r"waited 0\.01 s"):
            await late.answer

    run(steps, patience=0.01)


TOKEN = "a-token-of-22-letters."
GOOD = {"host": "127.0.0.1:8000", "authorization": f"Bearer {TOKEN}"}
GUARDED = [  # changes of the headers, the path, the status
    ({}, "/predict", 0),
    ({"host": "[::1]:9"}, "/predict", 0),
    ({"host": "LOCALHOST"}, "/predict", 0),
    ({"authorization": ""}, "/predict", 401),
    ({"authorization": f"Bearer {TOKEN}x"}, "/predict", 401),
    ({"authorization": f"Basic {TOKEN}"}, "/predict", 401),
    ({"authorization": ""}, "/metrics", 401),
    ({"authorization": ""}, "/predict/", 401),
    ({"authorization": ""}, "/nothing", 401),
    ({"authorization": ""}, "/healthz", 0),
    ({"authorization": ""}, "/", 0),
    ({"host": "evil.com"}, "/healthz", 421),
    ({"host": "evil.com:8000"}, "/predict", 421),
    ({"host": "localhost.evil.com"}, "/predict", 421),
    ({"host": "10.0.0.1"}, "/predict", 421),
    ({"host": ""}, "/predict", 421),
    ({"origin": "http://evil.com"}, "/predict", 403),
    ({"origin": "null"}, "/predict", 403),
    ({"origin": "http://127.0.0.1:8000"}, "/predict", 0),
    ({"sec-fetch-site": "cross-site"}, "/predict", 403),
    ({"sec-fetch-site": "same-origin"}, "/predict", 0),
    ({"sec-fetch-site": "cross-site"}, "/", 0),
    ({"content-encoding": "gzip"}, "/predict", 415),
    ({"content-length": "9" * 30}, "/predict", 413),
    ({"x": "y" * 40_000}, "/predict", 431),
    ({}, "/" + "y" * 9_000, 414),
    ({"content-length": "1", "transfer-encoding": "chunked"}, "/predict", 400),
]


def guarded(headers: dict[str, str], path: str = "/predict", guard: Guard | None = None, **settings: Any) -> int:
    """The status with which the guard refuses a request, or 0."""
    guard = guard or Guard(None, ServeRequest(models=["a"], token=TOKEN, **settings), Metrics(), lambda _scope: "", lambda: None)
    pairs = [(name.encode(), value.encode()) for name, value in headers.items() if value or name == "host"]
    try:
        guard.check({"path": path, "raw_path": path.encode(), "query_string": b"", "headers": pairs, "client": ("1.2.3.4", 5)}, dict(pairs))
    except Refused as refused:
        return refused.status
    return 0


def test_the_guard_lets_only_own_requests_with_the_token_pass():
    assert [guarded(GOOD | changed, path) for changed, path, _ in GUARDED] == [status for _, _, status in GUARDED]
    assert guarded(GOOD | {"host": "nas.local"}, allow_host=("nas.local",)) == 0
    assert [guarded(GOOD | {"host": host}, host="0.0.0.0") for host in ("10.0.0.1:8000", "evil.com")] == [0, 421]


def test_many_wrong_tokens_are_put_off_and_the_right_one_is_not():
    guard = Guard(None, ServeRequest(models=["a"], token=TOKEN), Metrics(), lambda _scope: "", lambda: None)
    found = [guarded(GOOD | {"authorization": f"Bearer {number}"}, guard=guard) for number in range(30)]
    assert found == [401] * 20 + [429] * 10
    assert guarded(GOOD, guard=guard) == 0


def test_wrong_requests_are_refused_in_words(folder: Path, tmp_path: Path):
    for wrong, words in (
        ({"models": []}, "no model to serve"),
        ({"models": ["a"], "host": "0.0.0.0"}, "other machines can reach it"),
        ({"models": ["a"], "token": "short"}, "at least 16"),
    ):
        with pytest.raises(UsageError, match=words):
            ServeRequest.of(**wrong)
    a, said = folder / "a.onnx", []
    with pytest.raises(UsageError, match=r"two models are named a: .*\sName one: NAME="):
        sources_of([str(a), str(a)], said.append)
    assert [source.name for source in sources_of([str(a), f"other={a}"], said.append)] == ["a", "other"]
    (tmp_path / "m.xml").write_bytes(b"graph")
    (source,) = sources_of([str(tmp_path / "m.xml")], said.append)
    assert source.state is None
    (tmp_path / "m.bin").write_bytes(b"weights")
    before = source.state
    (tmp_path / "copies").mkdir()
    assert source.copy(tmp_path / "copies").with_suffix(".bin").read_bytes() == b"weights"
    (tmp_path / "m.bin").write_bytes(b"other weights")
    assert source.state != before
    with pytest.raises(UsageError, match=r"Did you mean .*a\.onnx"):
        sources_of([str(folder / "aa.onnx")], said.append)
    (tmp_path / "run").mkdir()
    with pytest.raises(RefusedFileError, match=r"holds no best\.safetensors"):
        sources_of([str(tmp_path / "run")], said.append)
    assert free_address("localhost", 0)[0] in ("127.0.0.1", "::1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EnvironmentFault, match="another program listens"):
            free_address("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UsageError, match="no such address"):
        free_address("no.such.host.invalid", 0)
    if sys.platform == "linux" and os.geteuid() and int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) > 80:
        with pytest.raises(EnvironmentFault, match="below 1024"):
            free_address("127.0.0.1", 80)
    with pytest.raises(UsageError, match="none: no such run folder or model file"):  # in the process of the server
        striate.serve(tmp_path / "none", port=0)
    with pytest.raises(UsageError, match="models: expected a path"):
        striate.serve(7)
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(RefusedFileError, match=r"bad\.onnx: ONNX Runtime cannot open it"):
        serve(ServeRequest(models=[str(tmp_path / "bad.onnx")], port=0), say=said.append)
