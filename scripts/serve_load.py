"""Measure how `midas serve` answers many clients at once, and how long a drawing waits for its answer.

    python scripts/serve_load.py
    python scripts/serve_load.py --soak 50000

Starts a server on a free port. First one client draws: strokes that grow point by point are posted to /api/read, as the
page does. Then drawings of the embedded sample are posted to /api/predict by `--clients` threads, each of which sends
its next one when it has its answer. With --soak, eight clients draw, send images, save drawings and take them back
until there were so many requests, and the server's memory is measured. Prints JSON; fails if an answer is missing or
wrong in form.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np

from midas.data import sample

BOUNDARY = "----midas"


def start_server(folder: str, *arguments: str) -> tuple[subprocess.Popen, str]:
    """Start a server on a free port, and return its process and address when it listens."""
    places = ["--runs-dir", f"{folder}/runs", "--collections", f"{folder}/collections"]
    command = [sys.executable, "-m", "midas", "serve", "--port", "0", *places, *arguments]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    address = server.stdout.readline().strip() if server.stdout else ""
    if not address.startswith("http"):
        raise SystemExit("the server did not start; run midas serve to see why")
    return server, address


def multipart(image: bytes) -> tuple[bytes, dict[str, str]]:
    """Make the body and the headers of a request with an image."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def ask(connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]) -> tuple[float, Any]:
    """Post a request; return the milliseconds until its answer was there, and the answer."""
    start = time.perf_counter()
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    content = response.read()
    took = 1000 * (time.perf_counter() - start)
    if response.status != 200:
        raise SystemExit(f"{path}: {response.status} {content[:200]!r}")
    return took, json.loads(content)


def summary(times: list[float]) -> dict[str, float]:
    """Summarize milliseconds."""
    return {
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
        "max_ms": round(max(times), 1),
    }


def load(host: str, port: int, clients: int, requests: int) -> dict[str, Any]:
    """Let clients post drawings to /api/predict at the same time."""
    characters = sample.CHARACTERS
    pages = [cv2.imencode(".png", sample.draw(each, 3))[1].tobytes() for each in characters]
    times: list[float] = []
    errors: list[str] = []

    def work(number: int) -> None:
        connection = http.client.HTTPConnection(host, port, timeout=60)
        try:
            for turn in range(requests):
                took, answer = ask(
                    connection, "/api/predict", *multipart(pages[(number * requests + turn) % len(pages)])
                )
                (prediction,) = answer["predictions"]
                assert 0 < prediction["probability"] <= 1 and answer["skipped"] == []
                times.append(took)
        except (Exception, SystemExit) as error:
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    if errors:
        raise SystemExit(f"{len(errors)} clients failed, the first with {errors[0]}")
    return {"clients": clients, "requests": len(times), "per_second": round(len(times) / seconds, 1), **summary(times)}


def draw(host: str, port: int, drawings: int) -> dict[str, Any]:
    """Draw as a person does: the strokes grow, and after each few points the page asks."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    headers = {"Content-Type": "application/json", "Origin": f"http://{host}:{port}"}
    rng = np.random.default_rng(0)
    times = []
    for _ in range(drawings):
        points = np.cumsum(rng.normal(0, 25, (60, 2)), axis=0) + np.array([600, 450])
        for count in range(2, len(points), 4):
            body = json.dumps({"strokes": [points[:count].round(1).tolist()], "mode": "character"}).encode()
            took, answer = ask(connection, "/api/read", body, headers)
            assert len(answer["answers"][0]["guesses"]) == 5
            times.append(took)
    return {"answers": len(times), **summary(times)}


SOAKING, WARM_UP, MEASURED = 8, 0.02, 10  # clients, share of the requests before memory counts, and measurements
PAUSE = 0.08  # seconds before each request of a client, so that all together stay below the limit of the server


def soak(host: str, port: int, process: int, total: int) -> dict[str, Any]:
    """Send requests of all kinds, and measure the memory of the server."""
    headers = {"Content-Type": "application/json", "Origin": f"http://{host}:{port}"}
    images = [cv2.imencode(".png", sample.draw(each, 5))[1].tobytes() for each in sample.CHARACTERS]
    times: list[float] = []
    errors: list[str] = []

    def work(client: int) -> None:
        connection = http.client.HTTPConnection(host, port, timeout=60)
        rng = np.random.default_rng(client)

        def post(path: str, **values: Any) -> float:
            return ask(connection, path, json.dumps(values).encode(), headers)[0]

        def one(number: int) -> float:
            strokes = (np.cumsum(rng.normal(0, 25, (30, 2)), axis=0) + 500).round(1).tolist()
            drawing = {"id": f"client-{client}-{number // 5:06d}", "label": "A", "strokes": [strokes]}
            match number % 5:
                case 0:
                    return ask(connection, "/api/predict", *multipart(images[number % len(images)]))[0]
                case 1 | 2:
                    return post("/api/read", strokes=[strokes], mode="character", networks=["part1"])
                case 3:
                    return post(f"/api/collections/soak-{client}/drawings", **drawing)
                case _:
                    return post(f"/api/collections/soak-{client}/undo", **drawing)

        try:
            post("/api/collections", name=f"soak-{client}", classes="A B", wanted=10)
            for number in range(total // SOAKING):
                time.sleep(PAUSE)
                times.append(one(number))
        except (Exception, SystemExit) as error:
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(client,)) for client in range(SOAKING)]
    start, measured = time.perf_counter(), dict[int, int]()
    for thread in threads:
        thread.start()
    steps = np.linspace(WARM_UP, 1, MEASURED + 1)
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.1)
        if len(measured) < len(steps) and len(times) >= int(steps[len(measured)] * (total // SOAKING * SOAKING)):
            measured[len(times)] = resident(process)
            print(f"{len(times)} requests, {measured[len(times)]} MB", file=sys.stderr, flush=True)
    if errors:
        raise SystemExit(f"{len(errors)} clients failed, the first with {errors[0]}")
    measured[len(times)] = resident(process)
    seconds = time.perf_counter() - start
    found = {"requests": len(times), "seconds": round(seconds), "per_second": round(len(times) / seconds, 1)}
    return {**found, **summary(times), "megabytes_after": measured}


def resident(process: int) -> int:
    """Measure the memory of a process, on Linux: resident, in MB."""
    with open(f"/proc/{process}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 10**6


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=20, help="of each client (default: 20)")
    parser.add_argument("--drawings", type=int, default=20, help="that are drawn point by point (default: 20)")
    parser.add_argument("--soak", type=int, metavar="N", help="send N requests of all kinds, and measure memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, address = start_server(folder)
        try:
            where = urlsplit(address)
            host, port = str(where.hostname), int(where.port or 80)
            found: dict[str, Any] = {"cpus": os.cpu_count()}
            if options.soak:
                found["soak"] = soak(host, port, server.pid, options.soak)
            else:
                found["drawing"] = draw(host, port, options.drawings)
                found["load"] = load(host, port, options.clients, options.requests)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
