"""Downloads from a local server that cuts connections and sends wrong or missing files."""

import contextlib
import gzip
import hashlib
import io
import re
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from midas.data.download import ATTEMPTS, REMOTES, Remote, check, fetch, fetch_all
from midas.errors import MidasError
from midas.files import locked

CONTENT = bytes(range(256)) * 1024  # several chunks
OTHER = CONTENT[::-1]


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@dataclass
class Page:
    """What an address answers, and how."""

    content: bytes = CONTENT
    honors_range: bool = True
    cuts: int = 0  # number of answers that stop halfway through the requested range
    reset: bool = False  # cut by a reset instead of an ordinary close
    shift: int = 0  # bytes by which a range differs from the requested one


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers["Range"]
        self.server.seen.append((self.path, wanted))
        page = self.server.pages.get(self.path)
        if page is None:
            self.send_error(404)
            return
        size, start = len(page.content), 0
        if wanted and page.honors_range:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) + page.shift
            if start >= size:
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(size - start))
        self.send_header("Content-Encoding", "gzip")  # some servers say so of .gz files; it must not be decoded
        self.end_headers()
        body = page.content[start:]
        if page.cuts:
            page.cuts -= 1
            body = body[: len(body) // 2]
            if page.reset:  # which closing without lingering sends
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(ConnectionError):  # the client may have been interrupted
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.seen: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def shutdown_request(self, request):
        self.close_request(request)  # without a shutdown, which would precede a reset

    def remote(self, *paths: str, md5: str | None = md5(CONTENT), **options) -> Remote:
        return Remote("mnist/file.gz", tuple(map(self.url, paths)), md5, **options)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "mnist" / "file.gz"


@pytest.fixture
def part(target) -> Path:
    return target.with_name("file.gz.part")


def refusal(remote: Remote, data_dir: Path) -> str:
    """The message with which `fetch` fails."""
    with pytest.raises(MidasError) as caught:
        fetch(remote, data_dir)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_is_downloaded_once(server, tmp_path, target, part):
    server.pages["/a"] = Page()
    seen = []
    assert fetch(server.remote("/a"), tmp_path, lambda *call: seen.append(call)) == "downloaded"
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(server.remote("/a"), tmp_path) == "present"
    assert server.seen == [("/a", None)]


@pytest.mark.parametrize("honors_range", [True, False])
@pytest.mark.parametrize("reset", [True, False])
def test_a_cut_download_continues(server, tmp_path, target, honors_range, reset):
    server.pages["/a"] = Page(cuts=2, reset=reset, honors_range=honors_range)
    assert fetch(server.remote("/a"), tmp_path) == "downloaded"
    assert target.read_bytes() == CONTENT
    assert len(server.seen) == 3
    assert server.seen[1][1] is not None or reset  # a reset may discard everything in transit


def test_a_second_call_resumes_a_cut_download(server, tmp_path, target, part):
    server.pages["/a"] = Page(cuts=ATTEMPTS)
    assert "cut after" in refusal(server.remote("/a"), tmp_path)
    kept = part.read_bytes()
    assert kept == CONTENT[: len(kept)] != b""
    assert fetch(server.remote("/a"), tmp_path) == "downloaded"
    assert server.seen[-1] == ("/a", f"bytes={len(kept)}-")
    assert target.read_bytes() == CONTENT


def test_an_interrupted_download_leaves_a_part_that_is_continued(server, tmp_path, target, part):
    def interrupt(*_):
        raise KeyboardInterrupt

    server.pages["/a"] = Page()
    with pytest.raises(KeyboardInterrupt):
        fetch(server.remote("/a"), tmp_path, interrupt)
    kept = part.stat().st_size
    fetch(server.remote("/a"), tmp_path)
    assert server.seen == [("/a", None), ("/a", f"bytes={kept}-")]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("leftover", "requests"),
    [(CONTENT, 1), (CONTENT + b"more", 2), (OTHER, 2), (OTHER[:1000], 2)],
    ids=["complete", "longer", "another file", "start of another file"],
)
def test_a_leftover_part_is_used_or_discarded(server, tmp_path, target, part, leftover, requests):
    part.parent.mkdir()
    part.write_bytes(leftover)
    server.pages["/a"] = Page()
    assert fetch(server.remote("/a"), tmp_path) == "downloaded"
    assert target.read_bytes() == CONTENT
    assert len(server.seen) == requests


def test_a_download_starts_over_if_the_server_sends_another_range(server, tmp_path, target):
    server.pages["/a"] = Page(cuts=1, shift=-1)
    fetch(server.remote("/a"), tmp_path)
    assert target.read_bytes() == CONTENT
    assert server.seen[-1] == ("/a", None)


def test_the_next_mirror_continues_where_the_first_was_cut(server, tmp_path, target):
    server.pages |= {"/a": Page(cuts=ATTEMPTS), "/b": Page()}
    fetch(server.remote("/a", "/b"), tmp_path)
    assert server.seen[-1][0] == "/b"
    assert server.seen[-1][1] is not None
    assert target.read_bytes() == CONTENT


def test_the_next_mirror_follows_a_wrong_checksum_or_a_missing_page(server, tmp_path, target):
    server.pages |= {"/wrong": Page(OTHER), "/right": Page()}
    fetch(server.remote("/wrong", "/missing", "/right", "/unused"), tmp_path)
    assert [path for path, _ in server.seen] == ["/wrong", "/missing", "/right"]
    assert target.read_bytes() == CONTENT


def test_a_file_that_no_mirror_has_is_an_error(server, tmp_path, target, part):
    server.pages |= {"/wrong": Page(OTHER), "/short": Page(CONTENT[:-1])}
    message = refusal(server.remote("/wrong", "/short"), tmp_path)
    assert "wrong checksum" in message
    assert str(target) in message  # where to put the file manually
    assert not target.exists()
    assert not part.exists()


def test_a_silent_server_times_out(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = Remote("file", (f"http://127.0.0.1:{silent.getsockname()[1]}/",), md5(CONTENT))
        with pytest.raises(MidasError, match="timed out"):
            fetch(remote, tmp_path, timeout=0.05)


def test_the_message_has_a_reason_for_each_host(server, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refused
        port = unused.getsockname()[1]
        nowhere = f"127.0.0.1:{port}"
        remote = Remote("file", (f"http://{nowhere}/a", server.url("/missing")), md5(CONTENT))
        message = refusal(remote, tmp_path)
    assert f"{nowhere}: Connection refused; 127.0.0.1:{server.server_port}: HTTP 404 Not Found" in message


@pytest.mark.parametrize(("name", "alternative"), [("part1", "EnglishHnd.tgz"), ("part3", "midas make-part3")])
def test_a_web_page_is_not_an_archive(server, tmp_path, name, alternative):
    (published,) = REMOTES[name]
    server.pages["/a"] = Page(b"<!DOCTYPE html><title>This link has expired</title>")
    remote = Remote(published.path, (server.url("/a"),), published.md5, alternative=published.alternative)
    message = refusal(remote, tmp_path)
    assert "not an intact zip file" in message
    assert alternative in message
    assert list(tmp_path.iterdir()) == []


def test_an_archive_without_checksum_must_be_intact(server, tmp_path, target):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train/Sample001/img001-001.png", CONTENT)
    intact = buffer.getvalue()
    damaged = intact.replace(CONTENT[:256], OTHER[:256], 1)
    server.pages |= {"/truncated": Page(intact[:-100]), "/damaged": Page(damaged), "/intact": Page(intact)}
    fetch(server.remote("/truncated", "/damaged", "/intact", md5=None), tmp_path)
    assert len(server.seen) == 3
    assert target.read_bytes() == intact


def test_a_recompressed_copy_is_verified_by_its_content(tmp_path):
    path = tmp_path / "images.gz"
    remote = Remote("images.gz", (), md5=md5(b"of another compressor"), unpacked_md5=md5(CONTENT))
    packed = gzip.compress(CONTENT, 1)
    path.write_bytes(packed)
    check(path, remote)
    assert fetch(remote, tmp_path) == "present"
    for wrong in (gzip.compress(OTHER), packed[:-20], CONTENT, b""):
        path.write_bytes(wrong)
        with pytest.raises(MidasError, match="wrong checksum"):
            check(path, remote)


def test_an_existing_wrong_file_is_kept(server, tmp_path, target):
    target.parent.mkdir()
    target.write_bytes(OTHER)
    server.pages["/a"] = Page()
    message = refusal(server.remote("/a"), tmp_path)
    assert str(target) in message
    assert "delete it" in message
    assert target.read_bytes() == OTHER
    assert server.seen == []


def test_a_file_that_another_process_is_downloading_is_left_alone(server, tmp_path, target, part):
    server.pages["/a"] = Page()
    part.parent.mkdir()
    part.write_bytes(CONTENT[:1000])
    with locked(target.parent, "busy", ".file.gz.lock"):
        assert "another process is downloading it" in refusal(server.remote("/a"), tmp_path)
    assert part.read_bytes() == CONTENT[:1000] and not server.seen
    assert fetch(server.remote("/a"), tmp_path) == "downloaded"


def test_a_folder_that_cannot_be_made_is_an_error(server, tmp_path):
    (tmp_path / "mnist").write_text("a file where a folder is needed")
    assert "mnist: cannot be written: " in refusal(server.remote("/a"), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error(server, tmp_path, part):
    part.parent.mkdir()
    part.symlink_to("/dev/full")
    server.pages["/a"] = Page()
    assert "No space left" in refusal(server.remote("/a"), tmp_path)


def test_one_data_set_that_fails_does_not_prevent_the_others(server, tmp_path, monkeypatch):
    server.pages["/b"] = Page()
    remotes = {name: (Remote(f"{name}.gz", (server.url(f"/{name}"),), md5(CONTENT)),) for name in "abc"}
    monkeypatch.setattr("midas.data.download.REMOTES", remotes)
    calls = []
    states, failures = fetch_all("abc", tmp_path, lambda *call: calls.append(call))
    assert states == {str(tmp_path / "b.gz"): "downloaded"} and calls[-1] == (len(CONTENT), len(CONTENT))
    assert [failure.partition(":")[0] for failure in failures] == [str(tmp_path / "a.gz"), str(tmp_path / "c.gz")]
    assert fetch_all("b", tmp_path) == ({str(tmp_path / "b.gz"): "present"}, [])


def test_every_published_file_can_be_verified():
    remotes = [remote for remotes in REMOTES.values() for remote in remotes]
    assert len({remote.path for remote in remotes}) == len(remotes) == 6
    for remote in remotes:
        assert remote.path.endswith(".zip") or re.fullmatch("[0-9a-f]{32}", remote.md5)
        assert all(re.match(f"https?://.*/{Path(remote.path).name}", url) for url in remote.urls)


def test_the_module_imports_nothing_heavy():
    code = "import sys, midas.data.download; sys.exit(any(name in sys.modules for name in ('numpy', 'cv2', 'click')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
