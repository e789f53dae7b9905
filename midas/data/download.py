"""Fetch the data sets from where they are published: resumable, with mirrors, and never trusted unverified."""

import gzip
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from midas.errors import MidasError

CHUNK = 1 << 16  # bytes
ATTEMPTS = 4  # at one address, each going on where the one before was cut
USER_AGENT = "midas"  # yann.lecun.com turns away urllib's own

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Remote:
    """One file to fetch.

    Attributes:
        path: where it belongs, relative to the data directory.
        urls: where it is published, the address to try first first.
        md5: of the file; None where it is not known, and the file must then be a zip whose entries are all intact.
        unpacked_md5: of what a gzip file unpacks to, for copies that someone compressed again.
        way_out: what else to tell the user when no address works.
    """

    path: str
    urls: tuple[str, ...]
    md5: str | None
    unpacked_md5: str | None = None
    way_out: str | None = None


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
            way_out="the same drawings are published as Chars74K EnglishHnd, 55 a class: "
            "http://www.ee.surrey.ac.uk/CVSSP/demos/chars74k/ (EnglishHnd.tgz)",
        ),
    ),
    "part3": (
        Remote(
            "mnistTask3.zip",
            ("https://www.dropbox.com/s/otc12z2w7f7xm8z/mnistTask3.zip?dl=1",),
            md5=None,
            way_out="`midas make-part3` can make it from MNIST",
        ),
    ),
}


def fetch(remote: Remote, data_dir: str | os.PathLike, progress: Progress | None = None, timeout: float = 30) -> str:
    """Make sure that a file is in the data directory and right, downloading it where it is missing.

    It grows under `<name>.part` and gets its final name once it is verified. A cut or interrupted download leaves the
    part behind, and the next call goes on from there.

    Args:
        remote: the file.
        data_dir: the data directory; made where it is missing.
        progress: called with the bytes there so far and in all (None: unknown) as they arrive.
        timeout: seconds without an answer after which a connection counts as cut.

    Returns:
        "present" if the file was there already, "downloaded" otherwise.

    Raises:
        MidasError: no address has the right file, the one already there is wrong, or it cannot be written.
    """
    target = Path(data_dir, remote.path)
    part = target.with_name(target.name + ".part")
    failures = {}
    try:
        if target.exists():
            check(target, remote)
            return "present"
        target.parent.mkdir(parents=True, exist_ok=True)
        for url in remote.urls:
            try:
                _download(url, part, remote, progress, timeout)
            except _Failed as failure:
                failures[urlsplit(url).netloc] = failure
            else:
                os.replace(part, target)
                return "downloaded"
    except OSError as error:  # the network's own are _Failed by now: this one is about the folder or the disk
        reason = error.strerror or error
        raise MidasError(
            f"cannot read or write {target}: {reason}; choose a folder that is writable and has room"
        ) from error
    reasons = "; ".join(f"{host}: {reason}" for host, reason in failures.items())
    way_out = f"try again later or put the file at {target}" + (f"; {remote.way_out}" if remote.way_out else "")
    raise MidasError(f"cannot download {remote.path} ({reasons}); {way_out}")


def check(path: str | os.PathLike, remote: Remote) -> None:
    """Refuse a file that is not what was published.

    Raises:
        MidasError: its checksum is wrong or, where none is known, it is not an intact zip file.
        OSError: it cannot be read.
    """
    if reason := _fault(Path(path), remote):
        raise MidasError(f"{path} is damaged or another file ({reason}): delete it and download it again")


class _Failed(Exception):
    """This address is of no use, for the reason given."""


class _Cut(_Failed):
    """The connection ended early: going on from there may help."""


def _download(url: str, part: Path, remote: Remote, progress: Progress | None, timeout: float) -> None:
    """Complete the part from one address and verify it, or raise `_Failed`."""
    for _ in range(ATTEMPTS):
        start = part.stat().st_size if part.exists() else 0
        try:
            _append(url, part, start, progress, timeout)
        except _Cut as cut:
            failure = cut
            continue
        reason = _fault(part, remote)
        if reason is None:
            return
        part.unlink()
        failure = _Failed(reason)
        if start == 0:  # otherwise what lay there before may be to blame, not this address
            break
    raise failure


def _append(url: str, part: Path, start: int, progress: Progress | None, timeout: float) -> None:
    """Request what comes after the first `start` bytes and add it to the part; start over if the server has to."""
    headers = {"User-Agent": USER_AGENT} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:  # nothing comes after it: complete or wrong, as verification will tell
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
                raise _Cut("sent another range than was asked for")
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
        return response.read1(CHUNK)  # read() would lose what came just before a reset
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
            with gzip.open(path) as file:
                if _md5(file) == remote.unpacked_md5:
                    return None
        except (gzip.BadGzipFile, EOFError, zlib.error):
            pass
    return "wrong checksum"


def _zip_fault(path: Path) -> str | None:
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                intact = archive.testzip() is None
        except Exception:  # on bytes that are no zip, or two zips in one, zipfile raises nearly anything
            intact = False
    return None if intact else "not an intact zip file"


def _md5(file: BinaryIO) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
