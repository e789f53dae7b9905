import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
import serve_load

from midas.errors import MidasError
from midas.web.guard import Limits
from midas.web.server import serve
from midas.web.services import Settings


def test_it_listens_when_it_prints_its_address_and_ends_with_what_it_started(tmp_path):
    places = ["--runs-dir", str(tmp_path / "runs"), "--collections", str(tmp_path / "collections")]
    command = [sys.executable, "-m", "midas", "serve", "--port", "0", *places]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        where = urlsplit(server.stdout.readline().strip())
        assert where.hostname == "127.0.0.1" and ask(where.port, "GET", "/api/networks")[0] == 200
        assert serve_load.draw(where.hostname, where.port, 1)["answers"] == 15
        assert serve_load.load(where.hostname, where.port, clients=8, requests=2)["requests"] == 16
        if sys.platform == "linux":
            found = serve_load.soak(where.hostname, where.port, server.pid, 80)
            assert found["requests"] == 80 and min(found["megabytes_after"].values()) > 100
        for request, status in (  # what waitress itself refuses
            (b"nonsense\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: local\x01\rhost\r\n\r\n", 400),
            (b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413),
        ):
            with socket.create_connection(("127.0.0.1", where.port), timeout=10) as raw:
                raw.sendall(request)
                answer = b"".join(iter(lambda raw=raw: raw.recv(65536), b""))
            head, _, body = answer.partition(b"\r\n\r\n")
            assert f" {status} ".encode() in head.splitlines()[0] and b"nosniff" in head
            assert list(json.loads(body)) == ["error"] and json.loads(body)["error"].isprintable()
        headers = {"Origin": f"http://127.0.0.1:{where.port}", "Content-Type": "application/json"}
        made = {"name": "ab", "classes": "A B", "wanted": 1}
        assert ask(where.port, "POST", "/api/collections", made, headers)[0] == 200
        assert ask(where.port, "POST", "/api/audit", {"data": "ab"}, headers)[0] == 200
        job = json.loads((tmp_path / "runs" / ".serve" / "job.json").read_text())
        server.send_signal(signal.SIGTERM)
        _, messages = server.communicate(timeout=30)
        assert server.returncode == 130 and "Traceback" not in messages
        assert messages.splitlines()[-1].startswith("Interrupted. Start again with:")
        with pytest.raises(ProcessLookupError):
            os.kill(job["process"], 0)
    finally:
        server.kill()
        server.communicate()


def ask(port, method, path, values=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, json.dumps(values) if values else None, headers or {})
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.parametrize(
    ("host", "what"),
    [("127.0.0.1", "choose another --port"), ("no.such.host.invalid", "no.such"), (70 * "a", "not the name of a host")],
)
def test_where_it_cannot_listen_is_one_line(tmp_path, host, what):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(MidasError, match=what) as found:
            serve(Settings(runs_dir=tmp_path, host=host, limits=Limits()), taken.getsockname()[1], print)
        assert "\n" not in str(found.value)


@pytest.mark.parametrize("changes", [{"checkpoints": ("nothing",)}, {"data": ("nothing",)}], ids=str)
def test_what_is_not_there_is_named_before_it_listens(tmp_path, changes):
    with pytest.raises(MidasError, match="nothing"):
        serve(Settings(runs_dir=tmp_path, **changes), 0, lambda address: pytest.fail(address))
