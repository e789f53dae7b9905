"""What the user sees of a command: messages, progress, results, and how it ends."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from midas.errors import MidasError, cannot, printable
from midas.files import to_json

if TYPE_CHECKING:
    from midas.records import EpochRecord, Skipped

INTERRUPTED = 130
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]
REPEAT_AFTER = 5  # seconds until an interruption is repeated: libraries that catch every exception catch it, too
SECTIONS = ("Use", "Train", "Study", "Data")


class Commands(click.Group):
    """A group of commands in sections, which reports a `MidasError` in one line and exits with status 1."""

    def invoke(self, ctx: click.Context) -> None:
        """Run a command."""
        for signum in STOP_SIGNALS:
            signal.signal(signum, _interrupt)
        for stream in filter(None, (sys.stdout, sys.stderr)):  # what the terminal's encoding lacks is escaped
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
            if error.errno == errno.EPIPE:  # the reader of a pipe is done
                raise
            where = "stdout" if error.errno else "a file"  # errors of libraries have no number
            raise _one_line(ctx, str(cannot("be read or written", error.filename or where, error))) from error
        except KeyboardInterrupt:
            for signum in STOP_SIGNALS:  # a second request changes nothing
                signal.signal(signum, signal.SIG_IGN)
            end_progress()
            click.echo(f"\nInterrupted. {how_to_continue(self.commands[ctx.invoked_subcommand or ''])}", err=True)
            ctx.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of their sections, not of the alphabet."""
        return [name for section in SECTIONS for name, command in self.commands.items() if _section(command) == section]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of the help page, by section."""
        for section in SECTIONS:
            commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
            limit = formatter.width - 6 - max(len(name) for name, _ in commands)
            rows = [(name, each.get_short_help_str(limit)) for name, each in commands if _section(each) == section]
            with formatter.section(section):
                formatter.write_dl(rows)


def _section(command: click.Command) -> str:
    """Name the section of a command, which is that of the module it is defined in."""
    return getattr(command.callback, "__module__", "").rpartition(".")[2].capitalize()


def _one_line(ctx: click.Context, message: str) -> click.ClickException:
    end_progress()
    if ctx.meta.get("midas.verbose"):
        traceback.print_exc()
    return click.ClickException(printable(message))


def how_to_continue(command: click.Command) -> str:
    """Give the command line that continues an interrupted command, or starts it again if it keeps no state."""
    words = [word for word in sys.argv[1:] if word != "--overwrite"]
    resumes = any(option.name == "resume" for option in command.params)
    if resumes and "--resume" not in words:
        words.append("--resume")
    return f"{'Continue' if resumes else 'Start again'} with: {' '.join(map(_quoted, [*_program(), *words]))}"


def _program() -> list[str]:
    """Give the words by which a shell finds this program."""
    name = sys.argv[0]
    if Path(name).name == "__main__.py":
        return [sys.executable, "-m", "midas"]
    return ["midas"] if Path(name).stem != "midas" or name == shutil.which("midas") else [name]


def _quoted(word: str) -> str:
    """Quote a word for a shell, on one line whatever it contains."""
    if word.isprintable():
        return shlex.quote(word)
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\{byte:03o}" for byte in os.fsencode(word))
    return f"$'{''.join(plain)}'"


def _interrupt(signum: int, frame: FrameType | None) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, REPEAT_AFTER)
    raise KeyboardInterrupt


# ---- messages on stderr


def silence_libraries() -> None:
    """Leave stderr to Python: decoders written in C report there, on file descriptor 2, what midas says in its words.

    This changes the process for good, and so only that of the command line: switching it on and off around each image
    would not be safe with several threads.
    """
    stderr = sys.__stderr__
    if stderr is None or sys.stderr is not stderr or stderr.fileno() != 2:
        return
    warnings.filterwarnings("ignore", module="PIL")
    stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=stderr.encoding, errors=stderr.errors)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def warn(line: str) -> None:
    """Print a message that must be seen."""
    end_progress()
    click.echo(printable(line), err=True)


def say(line: str) -> None:
    """Print a message, unless --quiet."""
    if not click.get_current_context().meta.get("midas.quiet"):
        warn(line)


def warn_of_sample(data: str) -> None:
    """Say that the data are the embedded sample."""
    if data == "sample":
        warn("Note: this is the embedded sample, made by a program; its numbers are not those of the real data.")


def warn_of_notes(notes: Iterable[str]) -> None:
    """Say what should be known about how a data set is read."""
    for note in notes:
        warn(f"Note: {note}")


def warn_of_skipped(skipped: Iterable[Skipped], data: str) -> None:
    """Say how many images of a data set could not be used."""
    if listed := list(skipped):
        first = f"{listed[0].name}: {listed[0].reason}"
        warn(f"{data}: {len(listed):,} images skipped, the first is {first} ('midas preprocess' lists all)")


@dataclass
class Unread:
    """Images that could not be read, each listed when it is found; a lone one is named at the end.

    Attributes:
        listed: their names and the reasons.
        answered: number of images that were read.
    """

    listed: list[dict[str, str]] = field(default_factory=list)
    answered: int = 0

    def add(self, name: str, reason: str) -> None:
        """List an image."""
        self.listed.append({"file": name, "reason": reason})
        first = 0 if len(self.listed) == 2 else max(len(self.listed) - 1, 1)
        for each in self.listed[first:]:
            warn(f"{each['file']}: skipped: {each['reason']}")

    def counted(self, predictions: Iterable[Any]) -> Iterator[Any]:
        """Count what is read while it passes."""
        for prediction in predictions:
            self.answered += 1
            yield prediction

    def fail(self, more: str) -> None:
        """Fail if there are any.

        Args:
            more: what else to say about several.

        Raises:
            MidasError: there are.
        """
        if len(self.listed) == 1:
            others = " (all others were read)" if self.answered else ""
            raise MidasError(f"{self.listed[0]['file']}: {self.listed[0]['reason']}{others}")
        if self.listed:
            total = len(self.listed) + self.answered
            raise MidasError(f"{len(self.listed):,} of {total:,} images could not be read; {more}")


# ---- progress


def end_progress() -> None:
    """End the line of a progress bar that is not complete."""
    if click.get_current_context().meta.pop("midas.bar", False):
        click.echo(err=True)


class Progress:
    """A progress bar on a terminal; a line now and then where stderr is a file or a pipe."""

    def __init__(self) -> None:
        self.meta = click.get_current_context().meta
        self.is_terminal = sys.stderr.isatty()
        self.shown = time.monotonic()

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Show an epoch."""
        names = {"loss": "loss", "accuracy": "accuracy", "val_loss": "val loss", "val_accuracy": "val accuracy"}
        values = ((title, getattr(record, key)) for key, title in names.items())
        numbers = "  ".join(f"{title} {value:.4f}" for title, value in values if value is not None)
        line = f"epoch {record.epoch:>3}/{epochs}  {numbers}  {record.epoch_seconds:.1f} s"
        self._show(line, record.epoch, epochs)

    def images(self, done: int, total: int) -> None:
        """Show how many images have been read."""
        self._now_and_then(f"read {done:,} of {total:,} images", done, total)

    def files(self, done: int, total: int) -> None:
        """Show how many images have been written."""
        self._now_and_then(f"wrote {done:,} of {total:,} images", done, total)

    def bytes(self, done: int, total: int | None) -> None:
        """Show how much has been downloaded."""
        self._now_and_then(f"{done / 1e6:.1f} of {total / 1e6 if total else 0:.1f} MB", done, total or 0)

    def _now_and_then(self, line: str, done: int, total: int) -> None:
        if self.is_terminal or done == total or time.monotonic() - self.shown > 10:
            self.shown = time.monotonic()
            self._show(line, done, total)

    def _show(self, line: str, done: int, total: int) -> None:
        if self.meta.get("midas.quiet"):
            return
        if self.is_terminal:
            filled = round(20 * done / max(total, 1))
            line = f"\r\033[K[{'#' * filled}{'-' * (20 - filled)}] {line}"
        self.meta["midas.bar"] = self.is_terminal and done != total
        click.echo(line, err=True, nl=not self.meta["midas.bar"])


# ---- TensorFlow, and results on stdout


def load_tensorflow() -> None:
    """Import TensorFlow, quietly unless --verbose."""
    from midas.learning import backend

    backend.start_tensorflow(verbose=click.get_current_context().meta.get("midas.verbose", False))


def emit(value: Any, as_json: bool, text: str) -> None:
    """Print a result: one JSON object, or the text for people."""
    end_progress()
    click.echo(to_json(value) if as_json else text)
