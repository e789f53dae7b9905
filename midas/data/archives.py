"""Folders, zip and tar archives as trees of files, none of which is unpacked to disk.

Archives with members outside themselves, or that decompress to more than `MAX_TOTAL` bytes, are refused before anything
is read from them.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import os
import struct
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import IO, Any, cast

from midas.data.entries import text_digest
from midas.data.images import UnreadableImage
from midas.data.trees import HIDDEN, MAX_MEMBER, Member, check_depth, check_members, normalize_name
from midas.data.zip_names import decode_names
from midas.errors import MidasError, printable

ENCLOSED = "a symbolic link to a folder around it"
MAX_LINKS = 8  # hard links by way of which one leads to a file
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
COMPRESSED = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open, b"BZ": bz2.open}  # by the first two bytes
# What the standard library raises for damaged files; RuntimeError for an unknown compression or a password.
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, ValueError, RuntimeError, OSError),
)

Stream = Iterator[tuple[str, Callable[[], bytes]]]


@dataclass(frozen=True, slots=True)  # of a large archive there are a million
class File:
    """A file of a tree, not read yet.

    Attributes:
        start: opens it for reading.
        path: where it lies, if it is not in an archive.
        size: in bytes, as the archive says.
        is_refused: whether it cannot be read in any case, as a link that leads out of the folder.
    """

    start: Callable[[], IO[bytes]]
    path: Path | None = None
    size: int = 0
    is_refused: bool = False

    @classmethod
    def on_disk(cls, path: Path) -> File:
        """Make the file at a path."""
        return cls(lambda: path.open("rb"), path)

    def read(self) -> bytes:
        """Read the whole file, which is an image.

        Raises:
            UnreadableImage: it is damaged, or larger than `MAX_MEMBER`.
        """
        try:
            if (self.path.stat().st_size if self.path else self.size) > MAX_MEMBER:
                raise UnreadableImage(f"larger than {MAX_MEMBER >> 20} MiB")
            with self.start() as file:
                return file.read()
        except UnreadableImage:
            raise
        except DAMAGED as error:
            if self.path and isinstance(error, OSError):
                raise UnreadableImage(error.strerror or str(error)) from error
            raise UnreadableImage(f"damaged in the archive ({reason(error)})") from error

    @classmethod
    def refused(cls, reason: str) -> File:
        """Make a file that is not read, for this reason."""

        def refuse() -> IO[bytes]:
            raise UnreadableImage(reason)

        return cls(refuse, is_refused=True)

    @contextlib.contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the file, decompressed if it is compressed with gzip, bzip2 or xz."""
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(self.start())
            opener = COMPRESSED.get(file.read(2))
            file.seek(0)
            yield stack.enter_context(cast(Any, opener)(file)) if opener else file

    def head(self, size: int) -> bytes:
        """Read the first bytes, decompressed; b"" if that fails."""
        try:
            with self.open() as file:
                return file.read(size)
        except DAMAGED:
            return b""


@dataclass(frozen=True)
class Tree:
    """A folder or archive.

    Attributes:
        path: where it is, to name it in messages.
        files: by their names, with slashes.
        folders: names of the folders in it, as far as they are listed separately.
        digest: of the content of the files of these names.
        streamed: yields some of the files in the only order that is fast; None if every order is.
        notes: what a user should know about it.
    """

    path: Path
    files: dict[str, File]
    folders: list[str]
    digest: Callable[[Collection[str]], str]
    streamed: Callable[[Collection[str]], Stream] | None = None
    notes: tuple[str, ...] = ()

    def locate(self, name: str) -> Path:
        """Name a file of it in messages; a tree of siblings is opened by the path of one of them."""
        return self.files[name].path or (self.path if self.path.name == name else self.path / name)

    def stream(self, names: Collection[str]) -> Stream:
        """Yield files in the order that is fastest, each with a function that reads it."""
        if self.streamed:
            return self.streamed(names)
        return ((name, self.files[name].read) for name in names)

    @cached_property
    def names(self) -> list[str]:
        """Names of the files that are not hidden, sorted."""
        return sorted(name for name in self.files if not HIDDEN.search(name))

    def below(self, start: tuple[str, ...]) -> Tree:
        """Keep what has a name that begins in one of these ways."""
        files = {name: file for name, file in self.files.items() if name.startswith(start)}
        return replace(self, files=files, folders=[name for name in self.folders if name.startswith(start)])


def reason(error: Exception) -> str:
    """Shorten the message of a library to part of a line."""
    text = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return printable(text if len(text) <= 100 else f"{text[:99]}…")


def file_digest(file: Path | io.BytesIO, *selection: str) -> str:
    """Digest of a file and of what was selected from it."""
    digest = hashlib.sha256("\0".join(selection).encode(errors="backslashreplace"))
    with file.open("rb") if isinstance(file, Path) else contextlib.nullcontext(file) as opened:
        opened.seek(0)
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


# ---- folders


def open_folder(root: Path) -> Tree:
    """List a folder and all that lies in it; symbolic links are followed as far as they lead to places in it."""
    files, folders, followed = dict[str, File](), [], set[Path]()

    def refuse(error: OSError) -> None:
        raise error

    for place, folder_names, file_names in os.walk(root, onerror=refuse, followlinks=True):
        inside = Path(place).relative_to(root).as_posix()
        check_depth(root, inside)
        for name in [*folder_names, *file_names]:
            path, inner = Path(place, name), normalize_name(f"{inside}/{name}")
            problem = _link_problem(path, root, followed) if path.is_symlink() else None
            if path.is_dir() and not problem:
                folders.append(inner)
                continue
            if name in folder_names:
                folder_names.remove(name)
            if problem == ENCLOSED:  # nothing is left out
                continue
            problem = problem or (None if path.is_file() else "neither a file nor a folder")
            files[inner] = File.refused(problem) if problem else File.on_disk(path)
    return Tree(root, files, folders, partial(_state, root))


def _link_problem(link: Path, root: Path, followed: set[Path]) -> str | None:
    """Say why a symbolic link is not followed; of several to the same folder, only the first one is."""
    if not link.exists():
        return "a symbolic link that leads nowhere"
    target, home = link.resolve(), root.resolve()
    if home not in (target, *target.parents):
        return f"a symbolic link out of the folder; give {printable(str(target))}, or copy it"
    if not target.is_dir():
        return None
    if target in (link.parent.resolve(), *link.parent.resolve().parents):
        return ENCLOSED
    if target in followed:
        return "a second symbolic link to a folder; copy it"
    followed.add(target)
    return None


def open_siblings(path: Path) -> Tree:
    """List the files of the folder that a file lies in, without the folders in it."""
    files = {each.name: File.on_disk(each) for each in path.parent.iterdir() if each.is_file()}
    return Tree(path, files, [], lambda names: text_digest(file_digest(path.with_name(name)) for name in names))


def _state(root: Path, names: Collection[str]) -> str:
    paths = {name: root / name for name in names}
    stats = {name: path.stat() if path.exists() else path.lstat() for name, path in paths.items()}
    return text_digest(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}" for name, stat in stats.items())


# ---- zip


def open_zip(path: Path, file: Path | io.BytesIO) -> Tree:
    """List a zip archive.

    Args:
        path: to name it in messages.
        file: the archive.

    Raises:
        MidasError: it is damaged, encrypted, or not safe to read.
    """
    try:
        archive = zipfile.ZipFile(file)
    except PermissionError:
        raise
    except DAMAGED as error:
        raise MidasError(f"{path}: damaged, or not a zip archive ({reason(error)}); get it again") from error
    infos = archive.infolist()
    if encrypted := next((info.filename for info in infos if info.flag_bits & 1), None):
        raise MidasError(f"{path}: {encrypted!r} is encrypted; pack the archive again without a password")
    names, encoding = decode_names(infos)
    members, others = check_members(path, (zip_member(*each) for each in zip(infos, names, strict=True)))
    files = {name: File(partial(archive.open, info), size=info.file_size) for name, info in members.items()}
    notes = (f"{path}: file names in the archive are read as {encoding}",) if encoding else ()
    return Tree(path, files, others, lambda names: file_digest(file, *names), notes=notes)


def zip_member(info: zipfile.ZipInfo, name: str) -> Member[zipfile.ZipInfo]:
    """Describe a member of a zip archive."""
    name = name.replace("\\", "/")
    return Member(name, info.file_size, not name.endswith("/"), info.external_attr >> 28 == 0xA, info)


# ---- tar


def open_tar(path: Path, file: Path | io.BytesIO) -> Tree:
    """List a tar archive, whose hard links are further names of a file in it.

    Args:
        path: to name it in messages.
        file: the archive.

    Raises:
        MidasError: it is damaged, or not safe to read.
    """
    links = dict[str, str]()
    try:
        with _tar(file) as archive:
            files, others = check_members(path, _tar_members(file, archive, links))
            raw = cast(IO[bytes], archive.fileobj)
            raw.seek(archive.offset)
            if raw.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("truncated, or damaged in the middle")  # tarfile would stop silently
    except PermissionError:
        raise
    except DAMAGED as error:
        raise MidasError(f"{path}: damaged, or not a tar archive ({reason(error)}); get it again") from error
    targets = _resolve_links(path, links, files)
    files |= {name: files[target] for name, target in targets.items()}
    return Tree(path, files, others, lambda names: file_digest(file, *names), partial(_stream_tar, path, file, targets))


def _tar_members(file: Path | io.BytesIO, archive: tarfile.TarFile, links: dict[str, str]) -> Iterator[Member[File]]:
    """Describe the members of a tar archive, and put its hard links, with what they lead to, into `links`."""
    for info in _each_member(archive):
        if info.islnk():
            links[normalize_name(info.name)] = normalize_name(info.linkname)
        start = partial(_open_member, file, info.offset_data, info.size, info.sparse)
        is_file = info.isfile() or info.islnk()
        yield Member(info.name, info.size, is_file, info.issym(), File(start, size=info.size))


def _each_member(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Go through a tar archive without what `tarfile` otherwise keeps, half a kilobyte of each member."""
    for info in archive:
        yield info
        archive.members = []  # type: ignore[attr-defined]


def _resolve_links(path: Path, links: dict[str, str], files: Collection[str]) -> dict[str, str]:
    """Find the file that each hard link is another name of, maybe by way of others."""
    targets = {}
    for name, target in links.items():
        for _ in range(MAX_LINKS):
            target = links.get(target, target)
        if target in links or target not in files:
            raise MidasError(f"{path}: {name!r} is a link to {target!r}, which is no file in it; pack it again")
        targets[name] = target
    return targets


def _tar(file: Path | io.BytesIO) -> tarfile.TarFile:
    if isinstance(file, Path):
        return tarfile.open(file)
    file.seek(0)
    return tarfile.open(fileobj=file)


def _open_member(file: Path | io.BytesIO, offset: int, size: int, sparse: bytes | None) -> IO[bytes]:
    archive, info = _tar(file), tarfile.TarInfo()
    info.offset_data, info.size, info.sparse = offset, size, sparse
    member = cast(IO[bytes], archive.extractfile(info))
    weakref.finalize(member, archive.close)
    return member


def _stream_tar(path: Path, file: Path | io.BytesIO, targets: dict[str, str], names: Collection[str]) -> Stream:
    """Read from front to back, as a compressed tar allows nothing else; images come in that order."""
    others: dict[str, list[str]] = {}
    for link in filter(names.__contains__, targets):
        others.setdefault(targets[link], []).append(link)
    try:
        with _tar(file) as archive:
            for info in _each_member(archive):
                name = normalize_name(info.name)
                wanted = sorted([*([name] if name in names else []), *others.get(name, [])])
                if wanted and info.isfile():
                    data = cast(IO[bytes], archive.extractfile(info)).read()
                    for each in wanted:
                        yield each, lambda data=data: data  # type: ignore[misc]
    except DAMAGED as error:
        raise MidasError(f"{path}: the archive is damaged ({reason(error)}); get it again") from error
