"""Downloads of the published data sets: resumed after a cut, from mirrors, and verified."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from midas.errors import MidasError, cannot
from midas.files import locked

CHUNK = 1 << 16  # bytes
ATTEMPTS = 4  # per address, each continuing where the last one was cut
USER_AGENT = "midas"  # yann.lecun.com refuses that of urllib

Progress = Callable[[int, int | None], None]  # called with (received, total) bytes; the total may be unknown


@dataclass(frozen=True)
class Remote:
    """A file to download.

    Attributes:
        path: where to put it, relative to the data folder.
        urls: addresses, in the order in which they are tried.
        md5: checksum; None if it is unknown, in which case the file must be a zip with intact entries.
        unpacked_md5: checksum of the content of a gzip file, for copies that were compressed anew.
        alternative: what the user can do if no address works.
    """

    path: str
    urls: tuple[str, ...]
    md5: str | None
    unpacked_md5: str | None = None
    alternative: str | None = None


MNIST_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)


def _mnist(name: str, md5: str, unpacked_md5: str | None = None) -> Remote:
    return Remote(f"mnist/{name}", tuple(mirror + name for mirror in MNIST_MIRRORS), md5, unpacked_md5)


REMOTES: dict[str, tuple[Remote, ...]] = {
    "mnist": (
        _mnist("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        _mnist("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        _mnist("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        _mnist("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
    "part1": (
        Remote(
            "trainPart1.zip",
            ("https://www.dropbox.com/s/pan6mutc5xj5kj0/trainPart1.zip?dl=1",),
            md5=None,
            alternative="the same drawings are published as Chars74K EnglishHnd, 55 per class: "
            "http://www.ee.surrey.ac.uk/CVSSP/demos/chars74k/ (EnglishHnd.tgz)",
        ),
    ),
    "part3": (
        Remote(
            "mnistTask3.zip",
            ("https://www.dropbox.com/s/otc12z2w7f7xm8z/mnistTask3.zip?dl=1",),
            md5=None,
            alternative="'midas make-part3' makes it from MNIST",
        ),
    ),
}


def fetch_all(
    names: Iterable[str], data_dir: str | os.PathLike, progress: Progress | None = None
) -> tuple[dict[str, str], list[str]]:
    """Download several data sets; one that cannot be downloaded does not prevent the others.

    Args:
        names: keys of `REMOTES`.
        data_dir: folder of the data sets, made if it does not exist.
        progress: called as a file arrives.

    Returns:
        What `fetch` returns for each file, by its path; and the messages of the failures.
    """
    states: dict[str, str] = {}
    failures = []
    for name in names:
        try:
            for remote in REMOTES[name]:
                states[str(Path(data_dir) / remote.path)] = fetch(remote, data_dir, progress)
        except MidasError as error:
            failures.append(str(error))
    return states, failures


def fetch(remote: Remote, data_dir: str | os.PathLike, progress: Progress | None = None, timeout: float = 30) -> str:
    """Make sure that a file is in the data folder and intact, and download it if it is missing.

    It is written to `NAME.part` and renamed when it is verified. An interrupted download leaves this part behind, and
    the next call continues it.

    Args:
        remote: the file.
        data_dir: folder of the data sets, made if it does not exist.
        progress: called as the file arrives.
        timeout: seconds without an answer after which a connection counts as cut.

    Returns:
        "present" if the file was there already, "downloaded" otherwise.

    Raises:
        MidasError: no address has the right file, the existing file is wrong, or it cannot be written.
    """
    target = Path(data_dir, remote.path)
    part = target.with_name(target.name + ".part")
    failures: dict[str, _Failed] = {}
    try:
        if target.exists():
            check(target, remote)
            return "present"
        with _alone(target):
            for url in remote.urls:
                try:
                    _download(url, part, remote, progress, timeout)
                except _Failed as failure:
                    failures[urlsplit(url).netloc] = failure
                else:
                    part.replace(target)
                    return "downloaded"
    except OSError as error:  # of the folder or the disk: those of the network are `_Failed`
        raise cannot("be read or written", target, error) from error
    reasons = "; ".join(f"{host}: {reason}" for host, reason in failures.items())
    advice = f"try again later or put the file there{f'; {remote.alternative}' if remote.alternative else ''}"
    raise MidasError(f"{target}: cannot be downloaded ({reasons}); {advice}")


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Keep other processes from downloading the same file, as both would append to its part."""
    name = f".{target.name}.lock"
    with locked(target.parent, f"{target}: another process is downloading it; wait for it to end", name):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps open files
                (target.parent / name).unlink()


def check(path: str | os.PathLike, remote: Remote) -> None:
    """Refuse a file that is not the published one.

    Raises:
        MidasError: its checksum is wrong or, if none is known, it is not an intact zip file.
        OSError: it cannot be read.
    """
    if fault := _fault(Path(path), remote):
        raise MidasError(f"{os.fspath(path)}: damaged, or another file ({fault}); delete it and download it again")


class _Failed(Exception):
    """The address does not provide the file; the message is the reason."""


class _Cut(_Failed):
    """The connection ended early, so another attempt may help."""


def _download(url: str, part: Path, remote: Remote, progress: Progress | None, timeout: float) -> None:
    """Complete the part from one address and verify it, or raise `_Failed`."""
    failure: _Failed
    for _ in range(ATTEMPTS):
        start = part.stat().st_size if part.exists() else 0
        try:
            _append(url, part, start, progress, timeout)
        except _Cut as cut:
            failure = cut
            continue
        fault = _fault(part, remote)
        if fault is None:
            return
        part.unlink()
        failure = _Failed(fault)
        if start == 0:  # otherwise the old part may have been wrong, not this address
            break
    raise failure


def _append(url: str, part: Path, start: int, progress: Progress | None, timeout: float) -> None:
    """Request what follows the first `start` bytes and append it; start over if the server does not support that."""
    headers = {"User-Agent": USER_AGENT} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # nothing follows: the part is complete or wrong, which is verified next
            return
        raise _Failed(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _Failed(_brief(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(_brief(error)) from error
    with response:
        total = response.length
        if response.status == 206:
            answer = re.fullmatch(rf"bytes {start}-\d+/(\d+)", response.headers.get("Content-Range", ""))
            if not answer:
                part.unlink(missing_ok=True)
                raise _Cut("sent another range than was requested")
            total = int(answer[1])
        else:
            start = 0
        done = start
        with part.open("ab" if start else "wb") as file:
            while done != total and (chunk := _read(response)):
                file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)
    if total is not None and done < total:
        raise _Cut(f"cut after {done} of {total} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)  # read() would lose what arrived just before a reset
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(_brief(error)) from error


def _brief(reason: object) -> str:
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(text.split())


def _fault(path: Path, remote: Remote) -> str | None:
    """Say what is wrong with the file, or None."""
    if remote.md5 is None:
        return _zip_fault(path)
    with path.open("rb") as file:
        if _md5(file) == remote.md5:
            return None
    if remote.unpacked_md5:
        try:
            with gzip.open(path) as unpacked:
                if _md5(unpacked) == remote.unpacked_md5:
                    return None
        except (gzip.BadGzipFile, EOFError, zlib.error):
            pass
    return "wrong checksum"


def _zip_fault(path: Path) -> str | None:
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                intact = archive.testzip() is None
        except Exception:  # for other bytes, or two zips in one, zipfile raises nearly anything
            intact = False
    return None if intact else "not an intact zip file"


def _md5(file: IO[bytes] | gzip.GzipFile) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
