"""What the user sees of a command: messages, progress, results, and how it ends."""

from __future__ import annotations

import errno
import functools
import os
import shlex
import shutil
import signal
import sys
import textwrap
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

import click

from midas.errors import MidasError, cannot, printable
from midas.files import to_json

if TYPE_CHECKING:
    from midas.records import EpochRecord, Skipped

INTERRUPTED = 130
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]
REPEAT_AFTER = 5  # seconds until an interruption is repeated: libraries that catch every exception catch it, too
SECTIONS = ("Use", "Train", "Study", "Data")
SECTION_OF = {"audit": "Use", "web": "Use"}  # of modules that are not named after their section
SHORT = 0.3  # seconds; epochs that take no longer have no line of their own in a log
MAX_LINE = 100_000  # of messages that are not for a terminal
BAR = 8  # width of a progress bar, beside which a line of words fits 80 columns
OPENERS = {"darwin": "open", "win32": "start"}  # Linux and others have xdg-open


class Command(click.Command):
    """A command whose help begins with its example, which is its epilog."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help page."""
        formatter.write(f"{self.epilog}\n\n")
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)


command = functools.partial(click.command, cls=Command)


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
        except click.ClickException as error:
            raise _fitting(error) from error.__cause__
        except KeyboardInterrupt:
            for signum in STOP_SIGNALS:  # a second request changes nothing
                signal.signal(signum, signal.SIG_IGN)
            end_progress()
            way_on = how_to_continue(self.commands[ctx.invoked_subcommand or ""], ctx.meta.get("midas.began", False))
            click.echo(f"\nInterrupted. {way_on}", err=True)
            ctx.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of their sections, not of the alphabet."""
        return sorted(self.commands, key=lambda name: SECTIONS.index(section_of(self.commands[name])))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of the help page, by section."""
        commands = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        limit = formatter.width - 6 - max(len(name) for name, _ in commands)
        for section in SECTIONS:
            rows = [(name, each.get_short_help_str(limit)) for name, each in commands if section_of(each) == section]
            with formatter.section(section):
                formatter.write_dl(rows)


def section_of(command: click.Command) -> str:
    """Name the section of a command, which is that of the module it is defined in."""
    module = getattr(command.callback, "__module__", "").rpartition(".")[2]
    return SECTION_OF.get(module, module.capitalize())


def _one_line(ctx: click.Context, message: str) -> click.ClickException:
    end_progress()
    if ctx.meta.get("midas.verbose"):
        traceback.print_exc()
    return _fitting(click.ClickException(printable(message)))


def _fitting(error: click.ClickException) -> click.ClickException:
    """Fold the message of an error for a terminal."""
    message = _folded(f"Error: {error.format_message()}").removeprefix("Error: ")
    return (
        click.UsageError(message, error.ctx) if isinstance(error, click.UsageError) else click.ClickException(message)
    )


def again(without: Sequence[str], *more: str) -> str:
    """Give the command line of this call without some of its options, which take no value, and with others."""
    return command_line(*(word for word in sys.argv[1:] if word not in without), *more)


def how_to_continue(command: click.Command, began: bool) -> str:
    """Give the command line that continues an interrupted command, or starts it again if it keeps no state.

    Args:
        command: the command.
        began: whether it has finished an epoch. Otherwise --overwrite may not have deleted the old runs yet.
    """
    words = sys.argv[1:]
    resumes = any(option.name == "resume" for option in command.params) and (began or "--overwrite" not in words)
    if resumes:
        words = [*(word for word in words if word not in ("--overwrite", "--resume")), "--resume"]
    return f"{'Continue' if resumes else 'Start again'} with: {command_line(*words)}"


def command_line(*words: str) -> str:
    """Give a command line of this program that can be pasted into the shell that started it."""
    return " ".join(map(_quoted, [*_program(), *words]))


def _program() -> list[str]:
    """Give the words by which a shell finds this program."""
    name = sys.argv[0]
    if Path(name).parts[-2:] == ("midas", "__main__.py"):
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
    click.echo(_folded(printable(line)), err=True)


def _folded(line: str) -> str:
    """Fold a message for a terminal; words as long as a path stay whole, so that they can be copied."""
    width = shutil.get_terminal_size().columns if _is_terminal(sys.stderr) else MAX_LINE
    return "\n".join(textwrap.wrap(line, width, break_on_hyphens=False, break_long_words=False))


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


def warn_of_skipped(skipped: Iterable[Skipped], data: str, most: int = 0) -> None:
    """Say how many images of a data set could not be used, or name them if there are no more than `most`."""
    listed = list(skipped)
    if 0 < len(listed) <= most:
        for each in listed:
            warn(f"{data}: skipped {each.name}: {each.reason}")
    elif listed:
        first = f"{listed[0].name}: {listed[0].reason}"
        count = f"{len(listed):,} images skipped, the first is" if len(listed) > 1 else "1 image skipped,"
        warn(f"{data}: {count} {first} ('midas preprocess' lists all)")


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

    def fail(self, of_several: str, of_one: str) -> None:
        """Fail if there are any.

        Args:
            of_several: what else to say about several.
            of_one: what else to say about one, if others were read.

        Raises:
            MidasError: there are.
        """
        if len(self.listed) == 1:
            more = of_one if self.answered else ""
            raise MidasError(f"{self.listed[0]['file']}: {self.listed[0]['reason']}{more}")
        if self.listed:
            total = len(self.listed) + self.answered
            raise MidasError(f"{len(self.listed):,} of {total:,} images could not be read; {of_several}")


# ---- the terminal


def table_width() -> int | None:
    """Give the width that tables on stdout have to fit; None for a file or a pipe, and with --wide."""
    is_narrow = _is_terminal(sys.stdout) and not click.get_current_context().meta.get("midas.wide")
    return shutil.get_terminal_size().columns if is_narrow else None


def _is_terminal(stream: IO[str] | None) -> bool:
    return bool(stream and stream.isatty())


def opening(path: Path) -> str:
    """Give the command line that opens a file in the program that the desktop has for it."""
    return f"{OPENERS.get(sys.platform, 'xdg-open')} {_quoted(str(path))}"


# ---- progress


def end_progress() -> None:
    """Take a progress bar off the terminal."""
    if bar := click.get_current_context().meta.pop("midas.bar", None):
        bar.stop()


class Progress:
    """A progress bar on a terminal; lines where stderr is a file, a pipe or a terminal without cursor.

    There, epochs have a line each, unless they take only a moment.
    """

    def __init__(self) -> None:
        self.meta = click.get_current_context().meta
        self.is_terminal = _is_terminal(sys.stderr) and os.environ.get("TERM") not in ("dumb", "unknown")
        self.shown = time.monotonic()
        self.stage_title = ""

    def stage(self, title: str) -> None:
        """Say which part of the whole comes next, such as "run 3 of 9"; "" ends the last one."""
        self.stage_title = title

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Show an epoch."""
        self.meta["midas.began"] = True
        line = self._of_epoch(record, epochs)
        if self.is_terminal or record.epoch == epochs or record.epoch_seconds > SHORT:
            self._show(line, record.epoch, epochs)
        else:
            self._now_and_then(line, record.epoch, epochs)

    def moment(self, record: EpochRecord, epochs: int, share: float) -> None:
        """Show how far an epoch is, on a terminal."""
        if self.is_terminal:
            self._show(self._of_epoch(record, epochs, share), record.epoch - 1 + share, epochs)

    def _of_epoch(self, record: EpochRecord, epochs: int, share: float = 1.0) -> str:
        left = (epochs - record.epoch + 1 - share) * record.epoch_seconds
        time_left = f"{int(left // 60)}:{int(left % 60):02d} left" if record.epoch < epochs or share < 1 else "done"
        parts = [self.stage_title, f"epoch {record.epoch} of {epochs}", time_left]
        names = {"loss": "loss", "val_loss": "val loss", "val_accuracy": "val accuracy"}
        if self.is_terminal:  # one line of 80 columns
            del names["val_loss"]
        values = ((title, getattr(record, key)) for key, title in names.items())
        numbers = "  ".join(f"{title} {value:.3f}" for title, value in values if value is not None)
        return f"{', '.join(filter(None, parts))}  {numbers}".rstrip()

    def jobs(self, left: str, running: Sequence[str], done: int, total: int) -> None:
        """Show what several processes have done, and what they do; of that as much as fits the terminal."""
        width = shutil.get_terminal_size().columns - BAR - 2 if self.is_terminal else MAX_LINE
        for hidden in range(len(running)):
            shown = ", ".join([*running[: len(running) - hidden], *([f"{hidden} more"] if hidden else [])])
            line = "  ".join(filter(None, (f"{done} of {total} done", left, shown)))
            if len(line) <= width:
                break
        self._now_and_then(line, done, total)

    def images(self, done: int, total: int) -> None:
        """Show how many images have been read."""
        self._now_and_then(f"read {done:,} of {total:,} images", done, total)

    def predictions(self, done: int, total: int) -> None:
        """Show how many images have been predicted."""
        self._now_and_then(f"predicted {done:,} of {total:,} images", done, total)

    def steps(self, done: int, total: int) -> None:
        """Show how many steps of a learning rate range test are done."""
        self._now_and_then(f"step {done} of {total}", done, total)

    def files(self, done: int, total: int) -> None:
        """Show how many images have been written."""
        self._now_and_then(f"wrote {done:,} of {total:,} images", done, total)

    def page(self, done: int, total: int) -> None:
        """Show how many runs the page has drawn."""
        self._now_and_then(f"drew {done} of {total} runs for the page", done, total)

    def bytes(self, done: int, total: int | None) -> None:
        """Show how much has been downloaded."""
        self._now_and_then(f"{done / 1e6:.1f} of {total / 1e6 if total else 0:.1f} MB", done, total or 0)

    def _now_and_then(self, line: str, done: int, total: int) -> None:
        if self.is_terminal or done == total or time.monotonic() - self.shown > 10:
            self.shown = time.monotonic()
            self._show(line, done, total)

    def _show(self, line: str, done: float, total: int) -> None:
        if self.meta.get("midas.quiet"):
            return
        if self.is_terminal and done != total:
            bar = self.meta.get("midas.bar") or _make_bar()
            bar.update(bar.task_ids[0], description=line, completed=done, total=total)
            bar.start()
            self.meta["midas.bar"] = bar
            return
        end_progress()
        click.echo(line, err=True)


def _make_bar() -> Any:
    from rich import progress
    from rich.console import Console
    from rich.table import Column

    one_line = Column(no_wrap=True, overflow="ellipsis")
    words = progress.TextColumn("{task.description}", markup=False, table_column=one_line)
    bar = progress.Progress(progress.BarColumn(BAR), words, console=Console(stderr=True), transient=True)
    bar.add_task("")
    return bar


# ---- TensorFlow, and results on stdout


def load_tensorflow() -> None:
    """Import TensorFlow, quietly unless --verbose."""
    from midas.learning import backend

    backend.start_tensorflow(verbose=click.get_current_context().meta.get("midas.verbose", False))


def emit(value: Any, as_json: bool, text: str) -> None:
    """Print a result: one JSON object, or the text for people."""
    end_progress()
    click.echo(to_json(value) if as_json else text)


def emit_list(name: str, values: Iterable[Any], others: Callable[[], dict[str, Any]]) -> None:
    """Print one JSON object as `emit` does, value by value as they come.

    Args:
        name: of the list that comes first in the object.
        values: of that list.
        others: gives what comes after it, once the list is complete.
    """
    end_progress()
    start = f'{{\n "{name}": ['
    for value in values:
        click.echo(f"{start}\n  " + to_json(value).replace("\n", "\n  "), nl=False)
        start = ","
    click.echo((f"{start}]" if start != "," else "\n ]") + "," + to_json(others())[1:])
