"""Malformed and hostile requests for `serve.py`: bytes that a server gets, by their names."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator

HEAD = b"Host: 127.0.0.1\r\nConnection: close\r\n"
LIMIT = 2**20  # bytes of a body, of the server that they are sent to

TRAVERSALS = [
    "/../etc/passwd",
    "/..%2fetc%2fpasswd",
    "/%2e%2e/etc/passwd",
    "/%2e%2e%2fetc%2fpasswd",
    "/..%5cetc%5cpasswd",
    "/..\\..\\etc\\passwd",
    "/....//etc/passwd",
    "/.%2e/etc/passwd",
    "/%252e%252e%252fetc%252fpasswd",
    "/..%c0%afetc/passwd",
    "/..%ef%bc%8fetc/passwd",
    "//etc/passwd",
    "///etc/passwd",
    "/./etc/passwd",
    "/page.css/../../worker.py",
    "/page.css/..%2f..%2fworker.py",
    "/page.js%00.css",
    "/page.js%00",
    "/page.js/",
    "/page.js;x",
    "/page.js%20",
    "/PAGE.JS",
    "/page.js.map",
    "/page",
    "/page/",
    "/page/page.js",
    "/static/page.js",
    "/server/serve.py",
    "/file:///etc/passwd",
    "/C:/Windows/win.ini",
    "/c:%5cwindows%5cwin.ini",
    "/\\\\host\\share",
    "/%5c%5chost%5cshare",
    "/.git/config",
    "/.env",
    "/.",
    "/..",
    "/...",
    "/%2e",
    "/%2e%2e",
    "/%00",
    "/%",
    "/%zz",
    "/%u002e%u002e",
    "/models/../../../etc/passwd",
    "/models/..%2f",
    "/v2/models/..%2f..%2fetc%2fpasswd",
    "/v2/models/%2e%2e/ready",
    "/v2/models/a%00/ready",
    "/v2/models//ready",
    "/v2/models/a/../b",
    "/v2/models/" + "a" * 5000,
    "/" + "a" * 5000,
    "/" + "../" * 1000 + "etc/passwd",
    "/proc/self/environ",
    "/~root",
    "/@fs/etc/passwd",
    "/predict/../../x",
    "/openapi.json/..",
    "/metrics/..%2f..%2f",
]


def malformed(picture: bytes) -> Iterator[tuple[str, bytes]]:
    """Raw requests that no server should take for right ones; where one has a body, it is a good picture."""
    length = b"Content-Type: image/png\r\nContent-Length: %d\r\n" % len(picture)
    post = b"POST /predict HTTP/1.1\r\n" + HEAD
    for word in (
        b"G@T",
        b"G T",
        b"",
        b"\x00",
        b"GET\x00",
        b"\xff",
        b"A" * 10_000,
        b"GET\t",
        b"(GET)",
        b"get",
        b"PREDICT",
        b"CONNECT",
        b"TRACE",
        b"PUT",
        b"PATCH",
        b"DELETE",
        b"OPTIONS",
        b"HEAD",
    ):
        yield f"method {word[:10]!r}", word + b" /predict HTTP/1.1\r\n" + HEAD + length + b"\r\n" + picture
    for version in (
        b"HTTP/0.9",
        b"HTTP/1.2",
        b"HTTP/2",
        b"HTTP/2.0",
        b"HTTP/9.9",
        b"HTTP/1",
        b"HTTP/1.1.1",
        b"http/1.1",
        b"HTTQ/1.1",
        b"HTTP/-1.1",
        b"",
        b"1.1",
        b"HTTP/1.1 x",
        b"HTTP/\xb9.1",
    ):
        yield f"version {version!r}", b"POST /predict " + version + b"\r\n" + HEAD + length + b"\r\n" + picture
    for path in TRAVERSALS:
        yield f"path {path[:30]}", b"GET " + path.encode() + b" HTTP/1.1\r\n" + HEAD + b"\r\n"
    for path in (
        b"*",
        b"predict",
        b"/predict\xff",
        b"/pre\x00dict",
        b"/pre dict",
        b"http://evil.com/x",
        b"http://[::1",
        b"//evil.com/predict",
        b"/predict#x",
        b"/predict?top=x",
        b"/predict?top=-1",
        b"/predict?top=1e9",
        b"/predict?top=" + b"9" * 5000,
        b"/predict?model=%00",
        b"/predict?model=" + b"a" * 7000,
        b"/predict?" + b"a=b&" * 3000,
        b"/" + b"a" * 200_000,
    ):
        yield f"address {path[:30]!r}", b"POST " + path + b" HTTP/1.1\r\n" + HEAD + length + b"\r\n" + picture
    for name, lines in HEADERS.items():
        yield f"header: {name}", b"POST /predict HTTP/1.1\r\n" + lines + length + b"\r\n" + picture
    for value in (
        b"-1",
        b"+1",
        b"0x10",
        b"1e3",
        b"1 0",
        b"",
        b" ",
        b"abc",
        b"9" * 400,
        b"18446744073709551616",
        b"4294967295",
        b"1,1",
        b"1;1",
        b"\xb2",
    ):
        yield f"content-length {value[:12]!r}", post + b"Content-Type: image/png\r\nContent-Length: " + value + b"\r\n\r\n" + picture
    for name, value in LENGTHS.items():
        yield f"length: {name}", post + b"Content-Type: image/png\r\n" + value.replace(b"N", b"%d" % len(picture)) + b"\r\n" + picture
    for name, chunks in CHUNKS.items():
        yield f"chunks: {name}", post + b"Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    for name, data in OTHERS.items():
        yield f"no HTTP: {name}", data
    for seed in range(240):
        draw = random.Random(seed)
        good = bytearray(post + length + b"\r\n" + picture)
        if seed % 3 == 0:
            yield f"chance {seed}", draw.randbytes(draw.randint(1, 3000)) + b"\r\n\r\n"
        elif seed % 3 == 1:  # a control or a byte beyond ASCII in the request line
            good[draw.randrange(0, 23)] = draw.choice([0, 1, 7, 11, 127, 128, 255])
            yield f"request line {seed}", bytes(good)
        else:  # a name of a header with a control inside
            place = good.index(b"Connection") + draw.randrange(10)
            good[place : place + 1] = bytes([draw.choice([0, 9, 11, 32, 127, 160, 255])])
            yield f"header name {seed}", bytes(good)


HEADERS: dict[str, bytes] = {
    "none": b"Connection: close\r\n",
    "two hosts": HEAD + b"Host: 127.0.0.1\r\n",
    "an evil host": b"Host: evil.com\r\nConnection: close\r\n",
    "an empty host": b"Host:\r\nConnection: close\r\n",
    "host with path": b"Host: 127.0.0.1/x\r\nConnection: close\r\n",
    "host with user": b"Host: 127.0.0.1@evil.com\r\nConnection: close\r\n",
    "host with space": b"Host: 127.0.0.1 evil.com\r\nConnection: close\r\n",
    "host with port of letters": b"Host: 127.0.0.1:http\r\nConnection: close\r\n",
    "no colon": HEAD + b"Nothing\r\n",
    "space before the colon": HEAD + b"X : y\r\n",
    "no name": HEAD + b": y\r\n",
    "folded": HEAD + b" folded\r\n",
    "null": HEAD + b"X: a\x00b\r\n",
    "bare CR": HEAD + b"X: a\rb\r\n",
    "control in name": HEAD + b"X\x01: a\r\n",
    "not ASCII in name": HEAD + b"X\xe9: a\r\n",
    "100 KB": HEAD + b"X: " + b"a" * 100_000 + b"\r\n",
    "10,000 of them": HEAD + b"X: a\r\n" * 10_000,
    "200 of them": HEAD + b"X: a\r\n" * 200,
    "gzip": HEAD + b"Content-Encoding: gzip\r\n",
    "br": HEAD + b"Content-Encoding: br\r\n",
    "an origin": HEAD + b"Origin: http://evil.com\r\n",
    "null origin": HEAD + b"Origin: null\r\n",
    "cross-site": HEAD + b"Sec-Fetch-Site: cross-site\r\n",
    "expect nonsense": HEAD + b"Content-Encoding: identity, gzip\r\n",
    "type twice": HEAD + b"Content-Type: text/html\r\n",
}
LENGTHS: dict[str, bytes] = {
    "twice, different": b"Content-Length: N\r\nContent-Length: 3\r\n",
    "and chunked": b"Content-Length: N\r\nTransfer-Encoding: chunked\r\n",
    "and chunked, other order": b"Transfer-Encoding: chunked\r\nContent-Length: N\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n",
    "chunked not last": b"Transfer-Encoding: chunked, gzip\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "identity": b"Transfer-Encoding: identity\r\n",
    "gzip": b"Transfer-Encoding: gzip\r\n",
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n",
    "beyond the limit": b"Content-Length: %d\r\n" % (LIMIT + 1),
    "300 MiB": b"Content-Length: %d\r\n" % (300 * 2**20),
    "none": b"",
}
CHUNKS: dict[str, bytes] = {
    "no number": b"xyz\r\nabc\r\n0\r\n\r\n",
    "negative": b"-1\r\nabc\r\n0\r\n\r\n",
    "hex prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "too long a number": b"f" * 40 + b"\r\nabc\r\n0\r\n\r\n",
    "larger than the body": b"ffff\r\nabc\r\n0\r\n\r\n",
    "smaller than the body": b"1\r\nabcdef\r\n0\r\n\r\n",
    "no line end": b"3\r\nabc0\r\n\r\n",
    "bare LF": b"3\nabc\n0\n\n",
    "nothing": b"",
    "no end": b"3\r\nabc\r\n",
    "empty": b"0\r\n\r\n",
    "a space inside": b"3 3\r\nabc\r\n0\r\n\r\n",
    "endless extension": b"3;" + b"a" * 100_000 + b"\r\nabc\r\n0\r\n\r\n",
    "65,000 of one byte": b"1\r\na\r\n" * 65_000 + b"0\r\n\r\n",
    "1,000,000 of one byte": b"1\r\na\r\n" * 1_000_000 + b"0\r\n\r\n",
    "beyond the limit": b"%x\r\n" % (2 * LIMIT) + b"a" * (2 * LIMIT) + b"\r\n0\r\n\r\n",
    "headers behind": b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
}
OTHERS: dict[str, bytes] = {
    "TLS hello": bytes.fromhex("16030100a5010000a10303") + bytes(range(150)),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"),
    "gRPC": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("00001e010400000001") + b"\x83\x86\x44" * 10,
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "SMTP": b"EHLO a\r\n",
    "SIP": b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n",
    "memcached": b"stats\r\n\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n\r\n",
    "nulls": b"\x00" * 5000,
    "line ends": b"\r\n" * 5000,
    "a line without an end": b"A" * 200_000,
    "HTTP/0.9": b"GET /predict\r\n\r\n",
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "UTF-16": "POST /predict HTTP/1.1\r\nHost: a\r\n\r\n".encode("utf-16"),
}


def bodies(picture: bytes) -> Iterator[tuple[str, str, bytes, tuple[int, ...]]]:
    """Bodies that must be refused: a name, their type, they, and the statuses that are right."""
    part = b'--B\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    form, end, bad = "multipart/form-data; boundary=B", b"\r\n--B--\r\n", (400, 422)
    text = base64.b64encode(picture).decode()
    yield "a byte beyond the limit", "image/png", picture + b"\0" * (LIMIT + 1 - len(picture)), (413,)
    yield "empty", "image/png", b"", (422,)
    yield "no type", "", picture, (415,)
    yield "another type", "application/x-www-form-urlencoded", picture, (415,)
    yield "text", "text/plain", b"hello", (415,)
    yield "lying type", "image/jpeg", b"<svg onload=alert(1)>", (422,)
    yield "SVG", "image/svg+xml", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', (422,)
    yield "10,000 parts", form, (part + b"x\r\n") * 10_000 + b"--B--\r\n", (413,)
    yield "10,000 fields", form, b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 10_000 + b"--B--\r\n", (413,)
    yield "65 pictures", form, b"".join(part + picture + b"\r\n" for _ in range(65)) + b"--B--\r\n", (413,)
    yield "huge part header", form, b"--B\r\nX: " + b"a" * 500_000 + b"\r\n" + part[5:] + picture + end, (400, 413)
    yield "no boundary", "multipart/form-data", part + picture + end, (400,)
    yield "wrong boundary", "multipart/form-data; boundary=C", part + picture + end, bad
    yield "endless boundary", "multipart/form-data; boundary=" + "B" * 5000, part + picture + end, (400, 422)
    yield "no end", form, part + picture, bad
    yield "preamble flood", form, b"x" * 900_000 + b"\r\n", bad
    yield "no disposition", form, b"--B\r\n\r\n" + picture + end, bad
    yield "no name", form, b"--B\r\nContent-Disposition: form-data\r\n\r\n" + picture + end, bad
    yield "another field", form, part.replace(b'"files"', b'"file"') + picture + end, (422,)
    yield "an empty form", form, b"--B--\r\n", bad
    yield "one good, one bad", form, part + picture + b"\r\n" + part + b"no picture" + end, (422,)
    yield "null in the name", form, part.replace(b"a.png", b"a\0.png") + b"no picture" + end, bad
    yield "CRLF in the name", form, part.replace(b"a.png", b"a%0d%0aX: y.png") + b"no picture" + end, bad
    yield "invalid UTF-8 in the name", form, part.replace(b"a.png", b"\xff\xfe.png") + b"no picture" + end, bad
    for name, data in JSONS.items():
        yield f"JSON: {name}", "application/json", data.replace(b"PICTURE", text.encode()), bad
    yield "JSON: depth 100,000", "application/json", b"[" * 100_000 + b"]" * 100_000, (400,)
    yield "JSON: 65 pictures", "application/json", json.dumps({"files": [{"data": text}] * 65}).encode(), (413,)
    yield (
        "JSON: base64 in base64",
        "application/json",
        json.dumps({"files": [{"data": base64.b64encode(text.encode()).decode()}]}).encode(),
        (422,),
    )


JSONS: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"files": [{"data": "PIC',
    "NaN": b'{"files": [{"data": NaN}]}',
    "1e400": b'{"files": [{"data": 1e400}]}',
    "a long number": b'{"files": [{"data": ' + b"9" * 6000 + b"}]}",
    "a name twice": b'{"files": [], "files": [{"data": "PICTURE"}]}',
    "null": b"null",
    "a number": b"1",
    "text": b'"PICTURE"',
    "a list": b'[{"data": "PICTURE"}]',
    "no files": b"{}",
    "files null": b'{"files": null}',
    "files a text": b'{"files": "PICTURE"}',
    "no data": b'{"files": [{}]}',
    "data null": b'{"files": [{"data": null}]}',
    "data a list": b'{"files": [{"data": ["PICTURE"]}]}',
    "data empty": b'{"files": [{"data": ""}]}',
    "bad base64": b'{"files": [{"data": "%%%%"}]}',
    "base64 with a line end": b'{"files": [{"data": "aGk=\\n"}]}',
    "a URL": b'{"files": [{"data": "http://169.254.169.254/latest/meta-data"}]}',
    "a field for a URL": b'{"files": [{"url": "http://169.254.169.254/"}]}',
    "a path": b'{"files": [{"path": "/etc/passwd"}]}',
    "name a number": b'{"files": [{"name": 1, "data": "PICTURE"}]}',
    "another field": b'{"files": [{"data": "PICTURE"}], "model": "x"}',
    "not UTF-8": b'{"files": [{"data": "\xff"}]}',
    "UTF-16": '{"files": []}'.encode("utf-16"),
    "a lone surrogate": b'{"files": [{"name": "\\ud800", "data": "PICTURE"}]}',
    "constructor": b'{"__proto__": {"files": [{"data": "PICTURE"}]}}',
}
