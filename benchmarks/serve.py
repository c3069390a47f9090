"""Malformed, hostile, slow and too many requests to `striate serve`, and its models' process killed: counted, row by row.

serve [requests|faults|load|ROW ...]

All three groups by default, and a sheet for each; a row alone is printed. `schema` installs schemathesis into an environment of its own
the first time. Each row starts its own server, on loopback.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import product
from pathlib import Path

from odd_pictures import BY_CHANCE, READABLE, UNREADABLE
from serve_faults import of_failures, of_kills, of_leaving, of_load, of_reload, of_slow, of_stop
from serve_process import TOKEN, Row, counted, exported, load, png, running, status_of
from serve_requests import HEAD, LIMIT, TRAVERSALS, bodies, malformed
from sheet import write_sheet

from striate.models.exported import ExportedModel

EVERY = "0.0.0.0"  # noqa: S104  # refused without a token
NEEDED = ["schemathesis==4.32.5"]


def of_malformed(model: Path) -> list[Row]:
    """S1."""
    cases = list(malformed(png()))
    with running(model, "--max-body", "1") as server:
        server.predict(png())
        before, found, wrong, dead = server.peak(), Counter[str](), [], []
        for name, data in cases:
            status = status_of(server.raw(data))
            found[status] += 1
            if not (status.startswith("4") or status == "closed"):
                wrong.append(f"{name}: {status}")
            if server.predict(png())[0] != 200:
                dead.append(name)
        grown = (server.peak() - before) / 1e6
    fives = sum(count for status, count in found.items() if status.startswith("5"))
    said = ", ".join(f"{status}: {count}" for status, count in sorted(found.items()))
    return [
        [f"S1 malformed requests that got 4xx or a closed connection ({said})", counted(wrong, len(cases)), "all"],
        ["S1 5xx", str(fives), "0"],
        ["S1 good requests answered after each", counted(dead, len(cases)), "all"],
        ["S1 memory grown, MB", f"{grown:.0f}", "< 20"],
    ]


def of_bodies(model: Path) -> list[Row]:
    """S3, S11."""
    cases = list(bodies(png()))
    with running(model, "--max-body", "1") as server:
        server.predict(png())
        before, wrong = server.peak(), []
        for name, kind, body, right in cases:
            head = f"POST /predict HTTP/1.1\r\n{HEAD.decode()}Content-Length: {len(body)}\r\n" + (
                f"Content-Type: {kind}\r\n" if kind else ""
            )
            status = status_of(server.raw(head.encode() + b"\r\n" + body))
            if status not in map(str, right):
                wrong.append(f"{name}: {status}")
        chunk = b"%x\r\n" % 2**16 + b"\0" * 2**16 + b"\r\n"
        flood = b"POST /predict HTTP/1.1\r\n" + HEAD + b"Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * (300 * 16)
        if (status := status_of(server.raw(flood))) != "413":
            wrong.append(f"300 MiB in chunks: {status}")
        grown = (server.peak() - before) / 1e6
        alive = server.predict(png())[0]
    return [
        ["S3, S11 bodies refused with the right status", counted(wrong, len(cases) + 1), "all"],
        ["S3 memory grown, MB, at a limit of 1 MiB", f"{grown:.0f}", "< 2 limits and what pictures take"],
        ["S3 answers afterwards", str(alive), "200"],
    ]


def of_pictures(model: Path) -> list[Row]:
    """S4."""
    cases = [(name, data) for pictures in (READABLE, UNREADABLE) for name, data in pictures.items()]
    cases += [(f"{name} {seed}", make(random.Random(f"{name} {seed}"))) for name, make in BY_CHANCE.items() for seed in range(20)]
    reference = ExportedModel(model)
    with running(model) as server, tempfile.TemporaryDirectory() as folder:
        found, wrong, other, largest = Counter[int](), [], [], 0.0
        for name, data in cases:
            status, answer = server.predict(data)
            if status == 200:
                path = Path(folder) / "picture"
                path.write_bytes(data)
                expected = reference.predict([path]).to_data()[0]
                largest = max(largest, abs(expected["probability"] - answer[0]["probability"]))
                if expected["class"] != answer[0]["class"]:
                    other.append(name)
            found[status] += 1
            if status not in (200, 413, 422) or (status != 200 and not answer["error"]["message"]):
                wrong.append(f"{name}: {status}")
        lost = server.metric("striate_lost_workers_total")
    said = ", ".join(f"{status}: {count}" for status, count in sorted(found.items()))
    return [
        [f"S4 odd and damaged pictures answered, or refused with a reason ({said})", counted(wrong, len(cases)), "all"],
        ["S4 processes lost over them", f"{lost:.0f}", "0"],
        ["answers with the class that `predict` gives", counted(other, found[200]), "all"],
        ["the largest difference of a probability", f"{largest:.1g}", "<= 1e-5"],
    ]


def of_schema(model: Path) -> list[Row]:
    """S2."""
    place = Path("~/.cache/striate/peers/schemathesis").expanduser()
    if not (place / "bin" / "schemathesis").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([place / "bin" / "python", "-m", "pip", "install", "--quiet", *NEEDED], check=True)
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method"
    with running(model) as server, tempfile.TemporaryDirectory() as folder:
        command = [
            place / "bin" / "schemathesis",
            "run",
            f"{server.told['url']}/openapi.json",
            "--checks",
            checks,
            "--max-examples",
            "300",
            "--no-color",
            "--seed",
            "1",
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        )
    cases = re.search(r"(\d[\d,]*) generated", done.stdout)
    failures = re.search(r"found (\d[\d,]*) unique failures", done.stdout)
    if done.returncode:
        print(done.stdout[-6000:], file=sys.stderr)
    said = f"{cases[1] if cases else '?'} cases, {failures[1] if failures else '0' if not done.returncode else '?'} failures"
    return [["S2 schemathesis: no 5xx, status, type and form as described, other methods refused", said, "0 failures"]]


def of_tokens(model: Path) -> list[Row]:
    """S7, S8, S17."""
    with running(model, "--token", TOKEN) as server:
        described = json.loads(server.ask("GET", "/openapi.json", Authorization=f"Bearer {TOKEN}")[1])["paths"]
        name = server.told["models"][0]["name"]
        paths = [path.replace("{name}", name) for path in described] + ["/", "/page.js", "/page.css", "/openapi.json", "/docs", "/nothing"]
        methods = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
        own = f"127.0.0.1:{server.port}"
        tokens = {
            "none": "",
            "wrong": "Bearer benchmark-token-0123456780",
            "basic": f"Basic {TOKEN}",
            "in the address": "",
            "right": f"Bearer {TOKEN}",
        }
        origins = {"none": "", "own": f"http://{own}", "evil": "http://evil.com", "null": "null"}
        hosts = {
            own: True,
            f"localhost:{server.port}": True,
            f"[::1]:{server.port}": True,
            "evil.com": False,
            f"evil.com:{server.port}": False,
        }
        sites = {"": True, "same-origin": True, "cross-site": False}
        cells, wrong, found = 0, [], Counter[int]()
        for path, method, (kind, token), (origin, sent), (host, is_own), (site, is_same) in product(
            paths, methods, tokens.items(), origins.items(), hosts.items(), sites.items()
        ):
            if kind != "right" and (site or origin == "own") and host != own:
                continue  # what is refused for its host already
            address = f"{path}?token={TOKEN}" if kind == "in the address" else path
            lines = [f"{method} {address} HTTP/1.1", f"Host: {host}", "Connection: close", "Content-Length: 0"]
            lines += (
                [f"Authorization: {token}"] * (bool(token)) + [f"Origin: {sent}"] * bool(sent) + [f"Sec-Fetch-Site: {site}"] * bool(site)
            )
            status = int(status_of(server.raw("\r\n".join([*lines, "", ""]).encode())))
            right_origin = not sent or sent == f"http://{host}"
            is_open = path in ("/", "/page.js", "/page.css", "/healthz", "/readyz")
            expected = (
                {421} if not is_own else {403} if not right_origin or (not is_same and path != "/")
                else {401, 429} if kind != "right" and not is_open else {200, 400, 404, 405, 415, 422}
            )  # fmt: skip
            cells += 1
            found[status] += 1
            if status not in expected or (status == 200 and method not in ("GET", "POST", "HEAD")):
                wrong.append(f"{method} {path}, token {kind}, origin {origin}, host {host}, site {site}: {status}")
        begun = time.monotonic()
        tried = Counter(server.ask("GET", "/models", Authorization=f"Bearer {number:026d}")[0] for number in range(10_000))
        seconds = time.monotonic() - begun
        after = server.ask("GET", "/models", Authorization=f"Bearer {TOKEN}")[0]
        evil = f"Host: {own}\r\nOrigin: http://evil.com\r\nConnection: close\r\n"
        form = server.raw(f"POST /predict HTTP/1.1\r\n{evil}Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx".encode())
        preflights = [
            server.raw(f"OPTIONS {path} HTTP/1.1\r\n{evil}Access-Control-Request-Method: POST\r\n\r\n".encode()) for path in paths
        ]
        allowed = sum(b"access-control" in reply.lower() for reply in preflights)
    said = ", ".join(f"{status}: {count}" for status, count in sorted(found.items()))
    return [
        [f"S7 routes x methods x tokens x origins x hosts x sites as they must be ({said})", counted(wrong, cells), "all"],
        ["S8 a form of another site; preflights that are allowed something", f"{status_of(form)}; {allowed}", "403; 0"],
        ["S17 10,000 wrong tokens: 401, and 429", f"{tried[401]}, {tried[429]} in {seconds:.0f} s", "20 a minute get 401"],
        ["S17 the right one afterwards", str(after), "200"],
    ]


def of_paths(model: Path) -> list[Row]:
    """S9, S10, S16."""
    with running(model, "--token", TOKEN) as server:
        wrong, slowest = [], 0.0
        for path in TRAVERSALS:
            begun = time.monotonic()
            reply = server.raw(f"GET {path} HTTP/1.1\r\n{HEAD.decode()}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
            slowest = max(slowest, time.monotonic() - begun)
            if status_of(reply) not in ("400", "404", "405", "414") or b"root:" in reply:
                wrong.append(f"{path[:40]}: {status_of(reply)}")
        ranges = b", ".join(b"%d-%d" % (n, n + 1) for n in range(2000))
        ranged = status_of(server.raw(b"GET /page.js HTTP/1.1\r\n" + HEAD + b"Range: bytes=" + ranges + b"\r\n\r\n"))
        attacks = ("<script>alert(1)</script>.png", "a\x1b[31mred.png", "a\u202egnp.exe", "'\"><img src=x onerror=alert(1)>")
        unsafe = []
        for name in attacks:
            body = f'--B\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode() + b"no picture\r\n--B--\r\n"
            status, found, headers = server.ask(
                "POST", "/predict", body, Content_Type="multipart/form-data; boundary=B", Authorization=f"Bearer {TOKEN}"
            )
            is_safe = (
                headers["content-type"] == "application/json" and headers["x-content-type-options"] == "nosniff" and b"\x1b" not in found
            )
            if status != 422 or not is_safe or "default-src 'self'" not in headers["content-security-policy"]:
                unsafe.append(f"{name}: {status}")
        server.raw(b"GET /\r\n\x1b[31m?token=" + TOKEN.encode() + b" HTTP/1.1\r\n" + HEAD + b"\r\n")
        server.ask("GET", f"/models?token={TOKEN}", X_Request_ID="a\x1b[31m")
        log = server.errors()
    leaks = [word for word in (TOKEN, "\x1b", "alert(1)") if word in log]
    return [
        ["S9 spellings of paths out of the page's folder refused", counted(wrong, len(TRAVERSALS)), "all"],
        ["S9 the slowest of them, ms; 2,000 ranges", f"{1000 * slowest:.0f}; {ranged}", "< 50; not 5xx"],
        ["S10 names with script, escapes and overrides come back as JSON text", counted(unsafe, len(attacks)), "all"],
        ["S16 token, control characters or names of pictures in the log", str(len(leaks)), "0"],
    ]


def of_limits(model: Path) -> list[Row]:
    """S15."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        cases = {
            "a port in use": ([str(model), "--port", port], 4),
            "0.0.0.0 without a token": ([str(model), "--host", EVERY], 2),
            "a short token": ([str(model), "--host", EVERY, "--token", "x"], 2),
            "no model": ([], 2),
            "two models of one name": ([str(model), str(model)], 2),
            "no such file": (["/nothing"], 2),
            "a folder that is no run": ([str(model.parent)], 7),
            "another address": ([str(model), "--host", "192.0.2.1", "--token", TOKEN], 4),
            "a text for a model": ([__file__], 7),
        }
        cases["a privileged port"] = ([str(model), "--port", "80"], 4)
        plain = [] if os.geteuid() else ["setpriv", "--bounding-set", "-net_bind_service"]  # root without the right to such ports
        wrong = []
        for name, (words, code) in cases.items():
            done = subprocess.run(
                [*plain, sys.executable, "-m", "striate", "serve", *words], capture_output=True, text=True, check=False, timeout=60
            )
            if done.returncode != code or not done.stderr.startswith("error: ") or "Traceback" in done.stderr:
                wrong.append(f"{name}: {done.returncode} {done.stderr[:100]!r}")
    return [["S15 wrong starts refused with one error and its exit code", counted(wrong, len(cases)), "all"]]


ROWS: dict[str, Callable[[Path], list[Row]]] = {
    "malformed": of_malformed, "bodies": of_bodies, "pictures": of_pictures, "schema": of_schema, "tokens": of_tokens,
    "paths": of_paths, "limits": of_limits, "slow": of_slow, "leaving": of_leaving, "reload": of_reload, "kills": of_kills,
    "failures": of_failures,
    "stop": of_stop, "load": of_load,
}  # fmt: skip
GROUPS = {  # and their titles; each has a sheet
    "requests": (
        ("malformed", "bodies", "pictures", "schema", "tokens", "paths", "limits"),
        "Malformed and hostile requests to `striate serve`",
    ),
    "faults": (
        ("reload", "kills", "failures", "stop", "slow", "leaving"),
        "Files that change, processes that die and clients that dawdle, with `striate serve`",
    ),
    "load": (("load",), "Twice as many requests as `striate serve` can answer"),
}


def main() -> None:
    """Measure the rows, and write a sheet for each group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[*GROUPS, *ROWS, []], metavar="ROW", help=", ".join((*GROUPS, *ROWS)))
    asked = parser.parse_args().rows or list(GROUPS)
    with tempfile.TemporaryDirectory(prefix="serve-") as name:
        model = exported(Path(name) / "small.onnx", "compact_cnn", 32)
        for word in asked:
            rows, title = GROUPS.get(word, ((word,), ""))
            table: list[Row] = []
            for row in rows:
                found = ROWS[row](model)
                print(*map(" | ".join, found), sep="\n", flush=True)
                table += found
            if title:
                notes = [
                    f"Each row on a server of its own on the same machine, {load()} at the end; networks with fresh weights.",
                    "An address with a fragment (S1, `#`) is let in by the HTTP library, without the fragment."
                    if word == "requests"
                    else "",
                    f"Bodies are limited to {LIMIT:,} bytes where their limit is tested.",
                ]
                write_sheet(f"serve_{word}", title, [["row", "found", "wanted"], *table], [note for note in notes if note])


if __name__ == "__main__":
    main()
