"""The one exception that users are meant to read."""

import errno
import os
from collections.abc import Iterable


class MidasError(Exception):
    """Something the user can fix: one line that says what is wrong, in which file, and what to do.

    The command line prints it without a traceback and exits with status 1.
    """


class Busy(MidasError):
    """Another process is at work, in a directory or on a job; waiting helps."""


def printable(text: str) -> str:
    r"""Escape characters that would break a line or cannot be encoded, as file names may hold them.

    >>> printable("a\nb")
    'a\\nb'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def some(names: Iterable[str]) -> str:
    """Join the first three names for a message.

    >>> some("dcba")
    'a, b, c, …'
    """
    names = sorted(names)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")


def counted(number: int, noun: str) -> str:
    """Write a number of things for a message.

    >>> counted(1, "image"), counted(1200, "class"), counted(0, "copy")
    ('1 image', '1,200 classes', '0 copies')
    """
    several = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}{'es' if noun.endswith('s') else 's'}"
    return f"{number:,} {noun if number == 1 else several}"


REMEDIES = {
    errno.ENOSPC: "free some space, or choose another location",
    errno.EDQUOT: "free some space, or choose another location",
    errno.EACCES: "change the permissions, or choose another location",
    errno.EPERM: "change the permissions, or choose another location",
    errno.EROFS: "choose a location that is writable",
    errno.ENOENT: "check the name",
    errno.ENOTDIR: "a file is where a folder is needed; choose another location",
    errno.EEXIST: "a file is where a folder is needed; choose another location",
    errno.EISDIR: "a folder is where a file is needed; choose another location",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EMFILE: "allow more open files (ulimit -n)",
}


def cannot(what: str, path: str | os.PathLike, error: OSError) -> MidasError:
    """Describe an operating system error in one line that says what to do.

    >>> cannot("be written", "a/b.png", OSError(errno.ENOSPC, "No space left on device"))
    MidasError('a/b.png: cannot be written: No space left on device; free some space, or choose another location')
    """
    remedy = REMEDIES.get(error.errno or 0, "check the disk, or choose another location")
    return MidasError(f"{os.fspath(path)}: cannot {what}: {error.strerror or error}; {remedy}")
