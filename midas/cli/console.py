"""What a user sees of a command while it runs, and how it ends."""

import contextlib
import errno
import os
import shlex
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import click

from midas.errors import MidasError, cannot, printable
from midas.runs import to_json

INTERRUPTED = 130
STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]
INSISTING = 5  # seconds until an interruption is repeated: libraries that catch everything catch it, too


class Commands(click.Group):
    """A group that turns a `MidasError` into one line and status 1, and an interruption into status 130."""

    def invoke(self, ctx):
        for signum in STOPPING:
            signal.signal(signum, _as_interrupt)
        for stream in filter(None, (sys.stdout, sys.stderr)):  # what a terminal's encoding lacks is escaped, not fatal
            stream.reconfigure(errors="backslashreplace")
        try:
            super().invoke(ctx)
            if sys.stdout:
                sys.stdout.flush()
        except MidasError as error:
            raise _one_line(ctx, str(error)) from error
        except MemoryError as error:
            raise _one_line(ctx, "out of memory; try fewer or smaller images, or a smaller --batch-size") from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of a pipe has seen enough
                raise
            where = "stdout" if error.errno else "a file"  # what libraries say of files has no number
            raise _one_line(ctx, str(cannot("be read or written", error.filename or where, error))) from error
        except KeyboardInterrupt:
            for signum in STOPPING:  # asked twice, it ends no sooner
                signal.signal(signum, signal.SIG_IGN)
            end_bar()
            click.echo(f"\nInterrupted. {again(self.commands[ctx.invoked_subcommand])}", err=True)
            ctx.exit(INTERRUPTED)

    def list_commands(self, ctx):
        return list(self.commands)  # in the order of a user's day, not of the alphabet


def _one_line(ctx: click.Context, message: str) -> click.ClickException:
    end_bar()
    if ctx.meta.get("midas.verbose"):
        traceback.print_exc()
    return click.ClickException(printable(message))


def again(command: click.Command) -> str:
    """Say how to do a command again; one that keeps its state goes on from there."""
    words = [word for word in sys.argv[1:] if word != "--overwrite"]
    resumes = any(option.name == "resume" for option in command.params)
    if resumes and "--resume" not in words:
        words.append("--resume")
    return f"{'Go on' if resumes else 'Start again'} with: {' '.join(map(_quoted, [*_program(), *words]))}"


def _program() -> list[str]:
    """Say how midas was called, in words that a shell finds."""
    name = sys.argv[0]
    if Path(name).name == "__main__.py":
        return [sys.executable, "-m", "midas"]
    return ["midas"] if Path(name).stem != "midas" or name == shutil.which("midas") else [name]


def _quoted(word: str) -> str:
    """Quote a word for a shell, on one line whatever is in it."""
    if word.isprintable():
        return shlex.quote(word)
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\{byte:03o}" for byte in os.fsencode(word))
    return f"$'{''.join(plain)}'"


def _as_interrupt(signum, frame):
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, INSISTING)
    raise KeyboardInterrupt


def warn(line: str) -> None:
    """Tell the user on stderr what has to be known."""
    end_bar()
    click.echo(printable(line), err=True)


def say(line: str) -> None:
    """Tell the user something on stderr, unless asked to be quiet."""
    if not click.get_current_context().meta.get("midas.quiet"):
        warn(line)


def end_bar() -> None:
    """Leave the line of a progress bar that did not reach its end."""
    if click.get_current_context().meta.pop("midas.bar", False):
        click.echo(err=True)


class Progress:
    """A bar that renews itself on a terminal; a line now and then where stderr is a file or a pipe."""

    def __init__(self):
        self.meta = click.get_current_context().meta
        self.terminal = sys.stderr.isatty()
        self.told = time.monotonic()

    def epoch(self, record: dict, epochs: int) -> None:
        """Show an epoch's record."""
        names = {"loss": "loss", "accuracy": "accuracy", "val_loss": "val loss", "val_accuracy": "val accuracy"}
        numbers = "  ".join(f"{title} {record[key]:.4f}" for key, title in names.items() if key in record)
        line = f"epoch {record['epoch']:>3}/{epochs}  {numbers}  {record['epoch_seconds']:.1f} s"
        self._show(line, record["epoch"], epochs)

    def images(self, done: int, total: int) -> None:
        """Show how many images are read."""
        self._now_and_then(f"read {done:,} of {total:,} images", done, total)

    def files(self, done: int, total: int) -> None:
        """Show how many images are written."""
        self._now_and_then(f"wrote {done:,} of {total:,} images", done, total)

    def bytes(self, done: int, total: int | None) -> None:
        """Show how much is downloaded."""
        self._now_and_then(f"{done / 1e6:.1f} of {total / 1e6 if total else 0:.1f} MB", done, total or 0)

    def _now_and_then(self, line: str, done: int, total: int) -> None:
        if self.terminal or done == total or time.monotonic() - self.told > 10:
            self.told = time.monotonic()
            self._show(line, done, total)

    def _show(self, line: str, done: int, total: int) -> None:
        if self.meta.get("midas.quiet"):
            return
        if self.terminal:
            filled = round(20 * done / max(total, 1))
            line = f"\r\033[K[{'#' * filled}{'-' * (20 - filled)}] {line}"
        self.meta["midas.bar"] = self.terminal and done != total
        click.echo(line, err=True, nl=not self.meta["midas.bar"])


def load_tensorflow() -> None:
    """Import TensorFlow without the lines its C++ parts print at every start, which no setting silences."""
    if click.get_current_context().meta.get("midas.verbose"):
        _start_tensorflow()
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        _start_tensorflow().get_logger().setLevel("ERROR")  # it warns of every network after the fifth
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def _without(*packages: str):
    """Let imports of these fail, of those that are not yet there."""
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _start_tensorflow():
    # Keras looks for these, at a third of the start, for wrappers and plots that are not used here; it does without.
    with _without("matplotlib", "pandas", "sklearn"):
        import tensorflow

    for device in tensorflow.config.list_physical_devices("GPU"):  # must be set before anything is computed
        tensorflow.config.experimental.set_memory_growth(device, True)
    tensorflow.zeros(1)
    return tensorflow


def emit(value: dict, as_json: bool, text: str) -> None:
    """Print a result on stdout: one JSON object, or the text made for people."""
    end_bar()
    click.echo(to_json(value) if as_json else text)
