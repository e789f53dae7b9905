"""How a script ends if its input is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from midas.errors import MidasError


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """End a script with the message of a `MidasError`, which names the file and the way out, without a traceback."""
    try:
        yield
    except MidasError as error:
        raise SystemExit(f"Error: {error}") from error
