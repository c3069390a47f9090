"""Rows of `serve.py` about time: slow clients, clients that leave, files that change, processes that die, and too many requests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

from serve_process import Row, Server, closed_loop, counted, exported, flat, fragile, load, open_loop, photo, png, posted, running
from sheet import spread


def of_slow(model: Path) -> list[Row]:
    """S5."""
    with running(model, "--time-limit", "5") as server:
        usual = sorted(_latencies(server, 50))
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        starts = (
            [head] * 200 + [head + b"Content-Length: 5000\r\n\r\nab"] * 200 + [b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"] * 100
        )
        sockets = []
        for start in starts:
            client = socket.create_connection(("127.0.0.1", server.port))
            client.sendall(start)
            sockets.append(client)
        drip = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        for client in drip:
            client.sendall(head + b"Content-Length: 5000\r\n\r\n")
        begun, health, busy = time.monotonic(), [], []
        while time.monotonic() < begun + 12:
            for client in drip:
                with contextlib.suppress(OSError):
                    client.send(b"x")
            asked = time.monotonic()
            server.ask("GET", "/healthz")
            health.append(time.monotonic() - asked)
            busy += _latencies(server, 3)
            time.sleep(0.7)
        closed = [sum(map(_is_closed, some)) for some in (sockets[:200], sockets[200:400], sockets[400:], drip)]
        for client in (*sockets, *drip):
            client.close()
        for _ in range(10_000):
            socket.create_connection(("127.0.0.1", server.port)).close()
        after = server.predict(png())[0]
    ratio = sorted(busy)[int(0.99 * len(busy))] / usual[int(0.99 * len(usual))]
    return [
        ["S5 of 200 connections with half a header, closed within 12 s (limit 5 s)", f"{closed[0]}/200", "200"],
        ["S5 of 200 with half a body, closed (limit 5 s)", f"{closed[1]}/200", "200"],
        ["S5 of 50 that send a byte of their body a second, closed", f"{closed[3]}/50", "50"],
        ["S5 of 100 idle after an answer, closed", f"{closed[2]}/100", ""],
        ["S5 /healthz meanwhile, s, the slowest", f"{max(health):.3f}", "<= 1"],
        [f"S5 p99 of answers meanwhile, over that before ({load()})", f"{ratio:.1f}", "<= 2"],
        ["S5 an answer after 10,000 connections that were closed at once", str(after), "200"],
    ]


def _latencies(server: Server, count: int) -> list[float]:
    found = []
    for _ in range(count):
        begun = time.monotonic()
        server.predict(png())
        found.append(time.monotonic() - begun)
    return found


def _is_closed(client: socket.socket) -> bool:
    client.settimeout(0.05)
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def of_leaving(model: Path) -> list[Row]:
    """S6."""
    left, stayed = 60, []
    with running(model, "--batch-size", "2") as server:
        os.kill(server.worker, signal.SIGSTOP)  # it computes nothing until all have come and gone
        waiting = [threading.Thread(target=lambda: stayed.append(server.predict(png())[0])) for _ in range(20)]
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(left)]
        for place, client in enumerate(clients):
            client.sendall(posted(png(), "image/png"))
            if place % 3 == 0:
                waiting[place // 3].start()
        time.sleep(1)
        for client in clients:
            client.close()
        time.sleep(1)
        os.kill(server.worker, signal.SIGCONT)
        for thread in waiting:
            thread.join()
        time.sleep(0.5)
        dropped, computed = server.metric("striate_dropped_pictures_total"), server.metric("striate_pictures_total")
    return [
        [f"S6 pictures of {left} clients that left while the models were held: dropped before they were computed", f"{dropped:.0f}", ""],
        ["S6 computed for nobody: of the batch of 2 that had begun", f"{computed - 20:.0f}", "<= 2"],
        ["S6 answers to 20 who stayed, between them", counted([str(status) for status in stayed if status != 200], 20), "all"],
    ]


class Asking:
    """Clients that ask without a pause, in threads, and keep every status."""

    def __init__(self, server: Server, clients: int = 4) -> None:
        self.server, self.found, self.ended = server, Counter[int](), False
        self.threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        while not self.ended:
            try:
                self.found[self.server.predict(png())[0]] += 1
            except OSError:
                self.found[0] += 1

    def __enter__(self) -> Counter[int]:
        for thread in self.threads:
            thread.start()
        return self.found

    def __exit__(self, *_: object) -> None:
        self.ended = True
        for thread in self.threads:
            thread.join()


def of_reload(model: Path) -> list[Row]:
    """S12."""
    first = model.read_bytes()
    second = exported(model.with_name("second.onnx"), "compact_cnn", 32, seed=1).read_bytes()
    served = model.with_name("served.onnx")
    served.write_bytes(first)
    swapped, refused, times = 0, 0, []
    with running(served) as server, Asking(server) as found:
        for number in range(20):
            before, begun = server.predict(png())[1], time.monotonic()
            new = served.with_suffix(".new")
            new.write_bytes(second if number % 2 == 0 else first)
            new.replace(served)
            while server.predict(png())[1] == before and time.monotonic() < begun + 60:
                time.sleep(0.02)
            times.append(time.monotonic() - begun)
            swapped += server.predict(png())[1] != before
        good = server.predict(png())[1]
        for number in range(20):
            served.write_bytes(first[: len(first) * number // 20])  # cut short, and not even written at once
            begun = time.monotonic()
            while server.metric('striate_reloads_total{result="refused"') <= number and time.monotonic() < begun + 60:
                time.sleep(0.1)
            refused += server.predict(png()) == (200, good)
    return [
        ["S12 files swapped under requests, the new one answers", f"{swapped}/20", "20"],
        ["S12 seconds until it did", spread(times, ".1f"), ""],
        ["S12 files cut short put in place, the old one goes on", f"{refused}/20", "20"],
        ["S12 requests meanwhile that failed", f"{sum(found.values()) - found[200]} of {sum(found.values()):,}", "0"],
    ]


def of_kills(model: Path) -> list[Row]:
    """S13."""
    outcomes = {"killed": (signal.SIGKILL, 20), "stopped for good": (signal.SIGSTOP, 5)}
    rows: list[Row] = []
    for words, (number, count) in outcomes.items():
        times, back = [], 0
        with running(model, "--time-limit", "2") as server, Asking(server) as found:
            for _ in range(count):
                old = server.worker
                os.kill(old, number)
                begun = time.monotonic()
                while server.worker in (0, old):
                    time.sleep(0.01)
                server.until_ready()
                times.append(time.monotonic() - begun)
                back += server.predict(png())[0] == 200
        failed = sum(many for status, many in found.items() if status not in (200, 503))
        rows += [
            [f"S13 process of the models {words}: answers again", f"{back}/{count}", "all"],
            [
                f"S13 {words}: seconds to ready ({load()})",
                spread(times, ".2f"),
                "<= 5" if number == signal.SIGKILL else "<= 5 + limit of 2",
            ],
            [f"S13 {words}: requests meanwhile: answered, 503, other", f"{found[200]:,}, {found[503]}, {failed}", "0 other"],
        ]
    return rows


def of_failures(model: Path) -> list[Row]:
    """S13: pictures over which the model fails or runs out of memory, beside others."""
    weak = fragile(model, model.with_name("fragile.onnx"))
    cases = {"fails": (flat(255, 0, 0), 500), "needs 40 TB": (flat(0, 255, 0), 503)}
    rows: list[Row] = []
    with running(weak, "--wait", "20") as server, Asking(server) as found:
        for name, (data, status) in cases.items():
            answers = [server.predict(data) for _ in range(20)]
            wrong = [f"{got} {answer}" for got, answer in answers if got != status or not answer["error"]["message"]]
            rows.append([f"S13 pictures over which the model {name}: {status}", counted(wrong, 20), "all"])
        lost = server.metric("striate_lost_workers_total")
    failed = sum(found.values()) - found[200]
    said = f"{failed} of {sum(found.values()):,}"
    return [*rows, ["S13 other pictures meanwhile that failed; processes lost", f"{said}; {lost:.0f}", "0; 0"]]


def of_stop(model: Path) -> list[Row]:
    """S14."""
    codes, times, lost, first = [], [], 0, 0
    for number in range(20):
        with running(model, "--time-limit", "5") as server:
            halves = []
            for _ in range(20 if number % 2 else 0):
                client = socket.create_connection(("127.0.0.1", server.port))
                client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 50\r\n\r\nab")
                halves.append(client)
            statuses: list[int] = []

            def ask(server: Server = server, statuses: list[int] = statuses) -> None:
                while True:
                    try:
                        statuses.append(server.predict(png())[0])
                    except ConnectionRefusedError:
                        return
                    except OSError:
                        statuses.append(0)
                    if statuses[-1] != 200:
                        return

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            with contextlib.suppress(OSError):
                first += server.ask("GET", "/readyz")[0] == 503 and server.ask("GET", "/healthz")[0] == 200
            code, seconds = server.stop()
            codes.append(code)
            times.append(seconds)
            for thread in threads:
                thread.join()
            lost += sum(status not in (200, 503) for status in statuses)
    return [
        ["S14 SIGTERM under requests, half of them beside 20 half bodies: exit 0", f"{codes.count(0)}/20", "20"],
        ["S14 not ready first, and healthy", f"{first}/20", "20"],
        ["S14 requests that were lost", str(lost), "0"],
        ["S14 seconds to the exit", spread(times, ".1f"), ""],
    ]


def of_load(model: Path) -> list[Row]:
    """L1, L2, S18: goodput at twice what it can do."""
    large, data = exported(model.with_name("large.onnx"), "efficientnet_lite0", 224), posted(photo())
    rates, goodputs, accepted, rejected, health, fives = [], [], [], [], [], 0
    sending, serving = [], []  # CPU of the clients, of a core of their own, and of the server without its models, ms a request
    cores = os.cpu_count() or 1
    if cores > 1:
        os.sched_setaffinity(0, {cores - 1})
    with running(large, cores="0" if cores == 2 else f"0-{max(0, cores - 2)}") as server:
        asyncio.run(closed_loop(server.port, data, 8, 3))
        for _ in range(3):
            around = []
            for part in ("before", "over", "after"):
                if part != "over":
                    found = asyncio.run(closed_loop(server.port, data, 32, 10))
                    around.append(sum(status == 200 for status, _ in found) / 10)
                    continue
                ended = threading.Event()
                probing = threading.Thread(target=_probe, args=(server, health, ended))
                probing.start()
                rate = 2 * around[0]
                begun, spent = time.process_time(), server.cpu_seconds()
                over = asyncio.run(open_loop(server.port, data, rate, 20))
                ended.set()
                probing.join()
                sending.append((time.process_time() - begun) / 20)
                serving.append(1000 * (server.cpu_seconds() - spent) / len(over))
            rates.append(statistics.mean(around))
            good = [seconds for status, seconds in over if status == 200]
            in_time = [status == 200 and number / rate + seconds <= 20 for number, (status, seconds) in enumerate(over)]
            goodputs.append(sum(in_time) / 20 / rates[-1])
            accepted.append(sorted(good)[int(0.99 * len(good))])
            refused = sorted(seconds for status, seconds in over if status in (429, 503))
            rejected.append(refused[int(0.99 * len(refused))] if refused else 0.0)
            fives += sum((status >= 500 and status != 503) or status == 0 for status, _ in over)
    return [
        [f"L1 efficientnet_lite0, photos of 500 x 375: pictures a second ({load()})", spread(rates, ".0f"), ""],
        ["L2 at twice that, for 20 s: answered in that time, as a share of it", spread(goodputs, ".2f"), ">= 0.9"],
        ["L2 p99 of answers, s", spread(accepted, ".2f"), "<= 2 s of queue, or 2 batches, and a batch"],
        ["L2 p99 of refusals, s", spread(rejected, ".3f"), "<= 0.05"],
        ["L2 other than 200, 429, 503", str(fives), "0"],
        ["L2 CPU of the clients, which have a core of their own, as a share of it", spread(sending, ".2f"), ""],
        ["L2 CPU of the server without its models, ms a request", spread(serving, ".2f"), ""],
        ["S18 /healthz, /readyz, /metrics meanwhile, s, the slowest", f"{max(health):.3f} of {len(health)}", "<= 1"],
    ]


def _probe(server: Server, found: list[float], ended: threading.Event) -> None:
    while not ended.wait(1):  # ten times as often as Prometheus
        for path in ("/healthz", "/readyz", "/metrics"):
            begun = time.monotonic()
            server.ask("GET", path)
            found.append(time.monotonic() - begun)
