"""The command that serves a page on this machine."""

from __future__ import annotations

from pathlib import Path

import click

from midas.cli.console import command, load_tensorflow, say, warn
from midas.cli.options import apply, common, runs_dir_option


@command(epilog="Example: midas serve --port 8765")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port; 0 chooses a free one."
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Beyond this machine, the link that is printed has a token.",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="PATH|NAME",
    help="A network to offer, besides those that ship and those of the runs; may be repeated, and the first answers "
    "by default.  [default: part1]",
)
@click.option(
    "--collections",
    type=click.Path(file_okay=False, path_type=Path),
    default="collections",
    show_default=True,
    help="Folder of the drawings that are collected.",
)
@click.option("--data", multiple=True, help="A data set to train on and to check; may be repeated.")
@apply(runs_dir_option, common)
def serve(
    port: int, host: str, checkpoints: tuple[str, ...], collections: Path, data: tuple[str, ...], runs_dir: Path
) -> None:
    """Serve a page: read, collect, train, check labels.

    Prints the address of the page when it can be opened, and runs until Ctrl-C. POST /api/predict with an image in the
    multipart field 'image' answers as 'midas predict --json' does.
    """
    load_tensorflow()
    from midas.web.guard import is_loopback
    from midas.web.server import serve as run_server
    from midas.web.services import Settings

    def ready(address: str) -> None:
        click.echo(address)
        if not is_loopback(host):
            warn("Note: other machines can open this page with the token in the link; the connection is not encrypted.")
        say("Ctrl-C ends it.")

    run_server(Settings(checkpoints, collections, data, runs_dir, host), port, ready)


COMMANDS = (serve,)
