"""What `fuzz.py` sends to `midas serve`: requests to every address, damaged in their JSON, forms, headers and bytes.

The server is the real one, on a free port of this process. While it runs, its lock for trainings and audits is held, so
that requests which would start one are checked as all others are, and then answered with 409.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_inputs import DEEP, damaged, data_files, encoded, retyped

from midas.data.strokes import HEIGHT, WIDTH
from midas.errors import MidasError
from midas.files import write_json
from midas.web.collection import PLAN, Collections
from midas.web.guard import Limits
from midas.web.jobs import Job, Jobs
from midas.web.server import serve
from midas.web.services import Services, Settings

PATIENCE = 60  # seconds until an answer has to come
HASTE = 0.5  # seconds for the answer to a request that may never be complete
NO_PROCESS = 2**22 + 1  # a number that Linux gives to no process
SEVEN = [[[400, 250], [750, 250], [560, 720]]]
TWO = [*SEVEN, [[100, 100], [100, 700]]]
DRAWING = {"id": "drawing-1", "label": "A", "strokes": SEVEN}
UNIMPLEMENTED = 501  # the server's answer to codings it does not know
BOUNDARY = "fuzz"
STRANGE = (
    *("", " ", "-1", "99999999999", "1e9", "\x00", "\xe9", "x" * 5000, "null", "*", ",", "chunked", "gzip, chunked"),
    *("multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 300}"),
    *("application/json; charset=utf-16", "application/x-www-form-urlencoded", "text/plain", "100-continue"),
    *(
        "example.org",
        "127.0.0.1:1",
        "[::1",
        "http://example.org",
        "cross-site",
        "none",
        "Bearer x",
        "bytes=0-",
        "a=b; c",
    ),
)
HEADERS = (
    *("Host", "Origin", "Content-Type", "Content-Length", "Transfer-Encoding", "Content-Encoding", "Expect", "Cookie"),
    *(
        "Sec-Fetch-Site",
        "Sec-Fetch-Mode",
        "Authorization",
        "Range",
        "Connection",
        "X-Forwarded-Host",
        "Accept-Encoding",
    ),
)
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "CONNECT", "get", "X" * 300)
PATHS = (
    *("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2f..%2fapp.py", "/../../etc/passwd", "//etc/passwd"),
    *("/api/collections/%2e%2e/drawings", "/api/collections/%00", "/api/collections/ab%0a", "/api/collections/%ff"),
    *("/api/audit/-1.png?data=ab", f"/api/audit/{2**70}.png?data=ab", "/api/audit?data=%00", "/api/audit?data=../ab"),
    *("http://example.org/", "*", "?", "", "/%", f"/{'a' * 20_000}", f"/?token={'x' * 100}", "/api/read/../networks"),
)


@dataclass(frozen=True)
class Request:
    """A request to the server.

    Attributes:
        method, path, headers, body: its parts.
        is_whole: whether it is certainly complete, so that an answer must come.
    """

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    is_whole: bool = True

    def bytes(self, host: str) -> bytes:
        """Write it as it is sent."""
        usual = {"Host": host, "Origin": f"http://{host}", "Content-Length": str(len(self.body)), "Connection": "close"}
        given = [name for name, _ in self.headers]
        headers = [*self.headers, *((name, value) for name, value in usual.items() if name not in given)]
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def post(path: str, values: Any) -> Request:
    """Make a request with JSON."""
    return Request("POST", path, json.dumps(values).encode(), (("Content-Type", "application/json"),))


def form(path: str, *images: bytes, **fields: str) -> Request:
    """Make a request with a form of images and text."""
    parts = [(f'name="image"; filename="{number}.png"', image) for number, image in enumerate(images)]
    parts += [(f'name="{name}"', value.encode()) for name, value in fields.items()]
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
    body = b"".join(f"{head}{about}\r\n\r\n".encode() + content + b"\r\n" for about, content in parts)
    headers = (("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"),)
    return Request("POST", path, body + f"--{BOUNDARY}--\r\n".encode(), headers)


def requests() -> list[Request]:
    """List valid requests to every address."""
    page = np.full((HEIGHT, WIDTH), 255, np.uint8)
    page[200:700, 500:560] = page[640:700, 500:800] = 0
    image, text = encoded(".png", page), encoded(".png", np.tile(page[::8, ::8], (1, 3)))
    many = [content for several in data_files().values() for content in several if len(content) < 2**20]
    collection = {"name": "ab", "classes": "A-C, plus", "wanted": 3}
    decision = {"data": "ab", "index": 0, "action": "relabel", "label": "B"}
    read = {"strokes": SEVEN, "mode": "character", "networks": ["part1"]}
    gets = ("/", "/static/main.js", "/api/networks", "/api/collections", "/api/collections/ab?skip=A", "/api/job")
    gets += ("/api/data", "/api/audit?data=ab", "/api/audit/0.png?data=ab")
    return [
        *(Request("GET", path) for path in gets),
        *(post("/api/read", read), post("/api/read", read | {"mode": "page", "strokes": TWO}), post("/api/read", read)),
        *(post("/api/explain", {"strokes": TWO, "networks": ["part1"]}), post("/api/collections", collection)),
        *(post("/api/collections/ab/drawings", DRAWING), post("/api/collections/ab/undo", DRAWING)),
        *(post("/api/train", {"data": "ab", "name": "x", "epochs": 1}), post("/api/train/resume", {})),
        *(post("/api/stop", {}), post("/api/audit", {"data": "ab"}), post("/api/audit/write", {"data": "ab"})),
        *(post("/api/audit/decision", decision), form("/api/predict", image), form("/api/predict", text, lines="1")),
        *(form("/api/predict", image, b"no image"), form("/api/read", image, mode="character", networks="part1")),
        *(form("/api/predict", content) for content in many[:10]),
    ]


# ---- damage


def _in_json(request: Request, rng: np.random.Generator) -> Request:
    try:
        values = json.loads(request.body)
    except ValueError:
        return _in_body(request, rng)
    for _ in range(rng.integers(1, 4)):
        values = retyped(values, rng)
    return replace(request, body=json.dumps(values).encode())


def _in_body(request: Request, rng: np.random.Generator) -> Request:
    if rng.random() < 0.01:
        return replace(request, body=bytes(21 * 2**20))
    return replace(request, body=damaged(request.body, [request.body, encoded(".png"), DEEP], rng))


def _in_headers(request: Request, rng: np.random.Generator) -> Request:
    headers = dict(request.headers)
    for _ in range(rng.integers(1, 3)):
        headers[str(rng.choice(HEADERS))] = str(rng.choice(np.array(STRANGE, object)))
    return replace(request, headers=tuple(headers.items()), is_whole=False)


def _in_path(request: Request, rng: np.random.Generator) -> Request:
    path = str(rng.choice(np.array([request.path, *PATHS], object)))
    return replace(request, path=path, method=str(rng.choice(METHODS)), is_whole=False)


def _in_bytes(request: Request, rng: np.random.Generator) -> Request:
    return replace(request, is_whole=False)  # the bytes that are sent


DAMAGE: tuple[Callable[[Request, np.random.Generator], Request], ...] = (
    *(_in_json, _in_json, _in_json, _in_body, _in_body, _in_headers, _in_path, _in_bytes),
    lambda request, rng: request,
)


# ---- the server


@dataclass
class Server:
    """A server in a thread of this process, with a collection, an audit of it, and decisions.

    Args:
        folder: of everything that it reads and writes.
    """

    folder: Path
    host: str = ""
    state: dict[Path, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limits = Limits(rate=1e9, burst=10**9)
        settings = Settings(collections=self.folder / "collections", runs_dir=self.folder / "runs", limits=limits)
        made = Collections(settings.collections).create("ab", ["A", "B"], 3)
        page = np.full((HEIGHT, WIDTH), 255, np.uint8)
        page[300:600, 500:600] = 0
        for label in "AB":
            made.save(f"drawing-{label.lower()}", label, page)
        audit = Services.of(settings).audit("ab")
        suspect = {"file": "A/drawing-a.png", "label": "A", "looks_like": "B", "probability": 0.9, "label_correct": 0.1}
        about = {"action": "Check it.", "sentence": "noisy", "class_names": ["A", "B"], "images": 2}
        write_json(audit.folder / "audit.json", {**about, "suspects": [suspect]})
        audit.decide(0, "relabel", "B")
        jobs = Jobs(settings.runs_dir / ".serve")
        arguments = ("train", "--runs-dir", str(settings.runs_dir), "--", "ab")
        write_json(jobs.folder / "job.json", Job("train", "x", str(settings.runs_dir), arguments, NO_PROCESS))
        self.lock = contextlib.ExitStack()
        self.lock.enter_context(jobs._lock())
        files = (made.folder / PLAN, audit.folder / "audit.json", audit.decisions_file, jobs.folder / "job.json")
        self.state = {path: path.read_bytes() for path in files}
        addresses: queue.Queue[str] = queue.Queue()
        threading.Thread(target=serve, args=(settings, 0, addresses.put), daemon=True).start()
        self.host = addresses.get(timeout=300).removeprefix("http://").rstrip("/")

    def answer(self, sent: bytes, is_whole: bool) -> bytes:
        """Send bytes, and receive what comes until the connection is closed.

        Raises:
            AssertionError: nothing came.
        """
        name, _, port = self.host.rpartition(":")
        received = b""
        with socket.create_connection((name, int(port)), timeout=PATIENCE if is_whole else HASTE) as connection:
            with contextlib.suppress(ConnectionError, TimeoutError):
                connection.sendall(sent)
            with contextlib.suppress(ConnectionError, TimeoutError):
                while data := connection.recv(65536):
                    received += data
        assert received or not is_whole, "no answer"
        return received


def check(answer: bytes) -> None:
    """Check an answer: it is no failure of the server, and an error is one line of JSON.

    Raises:
        MidasError: it is a refusal.
        AssertionError: it is something else.
    """
    head, _, body = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
    if not head:
        raise MidasError("no answer")
    first, *headers = head.decode("latin-1").split("\r\n")
    status = int(first.split()[1])
    assert status < 500 or status == UNIMPLEMENTED, f"{first}: {body[:200]!r}"
    assert any(line.startswith("Content-Security-Policy: default-src 'none'") for line in headers), head
    length = next((int(line.split(": ")[1]) for line in headers if line.startswith("Content-Length: ")), 0)
    if status >= 400 and body:
        line = json.loads(body[:length])["error"]  # after it may come the answer to what was taken for another request
        assert line and line.isprintable(), line
        raise MidasError(line)


def answer_requests(folder: Path, seed: int) -> Callable[[int], None]:
    """Send requests to the server; of some, a file that it works with is damaged, too."""
    server, valid = Server(folder), requests()
    others = [request.bytes(server.host) for request in valid]

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        damage = DAMAGE[rng.integers(len(DAMAGE))]
        request = damage(valid[rng.integers(len(valid))], rng)
        sent = request.bytes(server.host)
        if damage is _in_bytes:
            sent = damaged(sent, others, rng)
        path = list(server.state)[rng.integers(len(server.state))] if rng.random() < 0.1 else None
        if path:
            path.write_bytes(damaged(server.state[path], list(server.state.values()), rng))
        try:
            check(server.answer(sent, request.is_whole))
        finally:
            if path:
                path.write_bytes(server.state[path])

    return one
