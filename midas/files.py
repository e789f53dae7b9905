"""Files that are complete or absent: atomic writes, JSON, typed records as JSON, and locks on directories."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import functools
import json
import math
import os
import platform
import re
import shutil
import types
import typing
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from midas.errors import Busy, MidasError, cannot

Record = TypeVar("Record")

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # a file system without locks
# Marks a temporary file of a midas process on this machine; the process number follows.
TEMPORARY = f"midas-{re.sub('[^A-Za-z0-9]', '', platform.node())[:20]}-"


# ---- atomic writes


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an `OSError` in the block into a `MidasError` that names the file."""
    try:
        yield
    except OSError as error:
        raise cannot("be written", path, error) from error


def temporary_name(path: Path) -> Path:
    """Name a file beside `path` to write to; it keeps the suffix, by which Keras and NumPy choose the format."""
    return path.with_name(f".{path.stem}.{TEMPORARY}{os.getpid()}.tmp{path.suffix}")


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to, and rename it to `path` only if the block succeeds.

    Raises:
        MidasError: the file cannot be written (no space, no permission, no such directory).
    """
    temporary = temporary_name(path)
    with writing(path):
        try:
            make_directory(path.parent)
            yield temporary
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(directory: Path, replacing: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a temporary directory to write to, which gets the name only if the block succeeds.

    If the directory exists, what was written is moved into it.

    Args:
        directory: its name.
        replacing: names in an existing directory that are deleted first; others stay.

    Raises:
        MidasError: it cannot be written, or a name in it is taken.
    """
    directory = directory.resolve()  # "." has no name
    exists = directory.is_dir()
    temporary = temporary_name(directory / "new" if exists else directory)
    with writing(directory):
        make_directory(temporary.parent)
        temporary.mkdir()
    try:
        yield temporary
        with writing(directory):
            if exists:
                _move_into(directory, temporary, replacing)
            else:
                temporary.rename(directory)  # fails if another process has written to it meanwhile
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move_into(directory: Path, temporary: Path, replacing: Sequence[str]) -> None:
    for old in (directory / name for name in replacing):
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    written = sorted(temporary.iterdir())
    if taken := [path.name for path in written if (directory / path.name).exists()]:
        raise MidasError(f"{directory / taken[0]}: another process has written it meanwhile; choose another --out")
    for path in written:
        path.rename(directory / path.name)


def make_directory(directory: Path) -> None:
    """Make a directory if there is none, and delete temporary files that killed processes left in it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except RecursionError:  # a thousand nested directories
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)) from None
    _sweep(directory)


def refuse_nonempty(directory: Path, overwrite: bool | None = None) -> None:
    """Refuse a directory in which new files would be mixed with others.

    Args:
        directory: which need not exist.
        overwrite: whether the user allows it; None if there is no such option.

    Raises:
        MidasError: it is not empty, is not a directory, or cannot be read.
    """
    _sweep(directory)
    try:
        is_free = overwrite or not directory.exists() or not any(directory.iterdir())
    except OSError as error:
        raise cannot("be read", directory, error) from error
    if not is_free:
        way_out = "or empty it" if overwrite is None else "or use --overwrite"
        raise MidasError(f"{directory}: not empty; choose another --out, {way_out}")


@functools.cache  # once per directory, which may be large
def _sweep(directory: Path) -> None:
    if os.name == "nt":  # Windows has no harmless way to ask whether a process is alive
        return
    with contextlib.suppress(OSError):
        for path in directory.iterdir():
            match = re.fullmatch(rf"\..*\.{TEMPORARY}(\d{{1,9}})\.tmp(\..*)?", path.name, re.DOTALL)
            if match and not _is_alive(int(match[1])):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return process != os.getpid()  # a file with our own number is from an earlier process that had it


@contextlib.contextmanager
def locked(directory: Path, busy: str, name: str = ".lock") -> Iterator[None]:
    """Keep other processes out of a directory, which is made if it does not exist.

    On file systems without locks, another file holds the number of the process, and counts as long as that is alive.

    Args:
        directory: where the lock file lies.
        busy: the message if another process holds the lock.
        name: of the lock file.

    Raises:
        Busy: another process holds the lock.
        MidasError: the directory cannot be made.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    with writing(directory):
        make_directory(directory)
    with contextlib.ExitStack() as stack:
        try:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # it may say that it falls back to another kind of lock
                    stack.enter_context(FileLock(directory / name, timeout=0))
            except (OSError, NotImplementedError) as error:
                if isinstance(error, Timeout) or getattr(error, "errno", errno.ENOSYS) not in NO_LOCKS:
                    raise
                stack.enter_context(SoftFileLock(directory / f"{name}.held", timeout=0))
        except Timeout as error:
            raise Busy(busy) from error
        except OSError as error:
            raise cannot("be locked", directory / name, error) from error
        yield


def total_memory() -> float:
    """Give the memory of this machine in bytes; infinity where Python cannot tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf


# ---- texts: JSON and CSV


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, atomically."""
    with atomic(path) as temporary:
        write_text(temporary, to_json(value) + "\n")


def write_text(path: Path, text: str) -> None:
    r"""Write UTF-8; undecodable bytes of file names become \udc80 to \udcff, which JSON reads back."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as comma-separated values in UTF-8, atomically; the first row has the titles."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def to_json(value: Any, indent: int | None = 1) -> str:
    """Serialize a value, dataclasses included, as JSON. NaN and infinities become null, as JSON has neither.

    >>> to_json({"loss": float("nan")}, indent=None)
    '{"loss": null}'
    """
    return json.dumps(plain(value), indent=indent, ensure_ascii=indent is None)


def one_or_several(paths: Sequence[Path]) -> str | list[str]:
    """Give paths as JSON has them: one as a string, several as a list."""
    return str(paths[0]) if len(paths) == 1 else list(map(str, paths))


def plain(value: Any) -> Any:
    """Reduce a value to dicts, lists, strings and finite numbers; a field of a dataclass may name its own key."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_key(field): plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        MidasError: it is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise cannot("be read", path, error) from error
    except (ValueError, RecursionError) as error:
        raise MidasError(f"{path}: not valid JSON ({error})") from error


def json_key(name: str) -> dict[str, str]:
    """Give the metadata of a dataclass field that has another name in JSON, e.g. one that is a Python keyword."""
    return {"key": name}


def _key(field: dataclasses.Field) -> str:
    return field.metadata.get("key", field.name)


def parse(kind: type[Record], values: Any) -> Record:
    """Build a dataclass from what JSON holds; unknown keys are ignored, so that newer files can be read.

    Raises:
        ValueError: a value is missing or does not have the field's type.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Point:
    ...     x: float
    ...     names: tuple[str, ...] = ()
    >>> parse(Point, {"x": 1, "names": ["a"], "new": 0})
    Point(x=1, names=('a',))
    >>> parse(Point, {"x": "1"})
    Traceback (most recent call last):
    ValueError: x cannot be '1'
    """
    if not isinstance(values, dict):
        raise ValueError(f"expected an object with keys, found {repr(values)[:50]}")
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]
    found = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        name = _key(field)
        if name in values:
            found[field.name] = _parse_value(hints[field.name], values[name], name)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{name} is missing")
    return kind(**found)


def check_types(record: Any) -> None:
    """Check that every field of a dataclass has its declared type.

    Raises:
        ValueError: one has not.
    """
    hints: dict[str, Any] = _hints(type(record))  # type: ignore[arg-type]
    for name, value in vars(record).items():
        _parse_value(hints[name], value, name)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _parse_value(kind: Any, value: Any, name: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and types.NoneType in arguments:
            return None
        others = [argument for argument in arguments if argument is not types.NoneType]
        kind = others[0] if len(others) == 1 else next((k for k in others if _is_of(k, value)), None)
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return parse(typing.cast(type, kind), value)
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is Ellipsis:
            return tuple(_parse_value(arguments[0], item, name) for item in value)
        if len(arguments) == len(value):
            return tuple(_parse_value(each, item, name) for each, item in zip(arguments, value, strict=True))
    if origin is dict and isinstance(value, dict):
        return {key: _parse_value(arguments[1], item, name) for key, item in value.items()}
    if _is_of(kind, value):
        return value
    raise ValueError(f"{name} cannot be {repr(value)[:50]}")


def _is_of(kind: Any, value: Any) -> bool:
    if not isinstance(kind, type) or typing.get_origin(kind):  # which Python 3.10 takes for a type
        return False
    expected = (int, float) if kind is float else kind
    return isinstance(value, expected) and (kind is bool or not isinstance(value, bool))
