"""The command line: options in, one call, one result out. Heavy imports happen in the commands that need them."""

from __future__ import annotations

import click

from midas.cli import data, study, train, use, web
from midas.cli.console import Commands


@click.group(
    cls=Commands,
    context_settings={"auto_envvar_prefix": "MIDAS", "help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: midas run --data-dir sample. 'midas help COMMAND' explains a command.",
)
@click.version_option(package_name="midas")
def main() -> None:
    """Read handwriting with small networks trained on few drawings, and learn from labels that are all wrong."""


for module in (use, web, train, study, data):
    for command in module.COMMANDS:
        main.add_command(command)
