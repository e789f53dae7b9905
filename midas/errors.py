"""The one kind of failure a user is meant to read."""

import errno
import os


class MidasError(Exception):
    """Something a user can put right: one line saying what is wrong, with which file, and the way out.

    The command line prints it without a traceback and exits with status 1.
    """


def printable(text: str) -> str:
    """Escape what would break a line or cannot be encoded, as names of files may hold it.

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


WAYS_OUT = {
    errno.ENOSPC: "make room, or choose another place",
    errno.EDQUOT: "make room, or choose another place",
    errno.EACCES: "ask for the permission, or choose another place",
    errno.EPERM: "ask for the permission, or choose another place",
    errno.EROFS: "choose a place that can be written to",
    errno.ENOENT: "check the name",
    errno.ENOTDIR: "a file has the name of a folder there; choose another place",
    errno.EEXIST: "a file has the name of a folder there; choose another place",
    errno.EISDIR: "a folder has the name of a file there; choose another place",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.EMFILE: "allow more open files (ulimit -n)",
}


def cannot(what: str, path: str | os.PathLike, error: OSError) -> MidasError:
    """Put what the operating system refused into a line that says what to do.

    >>> cannot("be written", "a/b.png", OSError(errno.ENOSPC, "No space left on device"))
    MidasError('a/b.png: cannot be written: No space left on device; make room, or choose another place')
    """
    way_out = WAYS_OUT.get(error.errno, "check the disk, or choose another place")
    return MidasError(f"{os.fspath(path)}: cannot {what}: {error.strerror or error}; {way_out}")
