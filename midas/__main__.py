"""`midas`, and `python -m midas`: the command line, quiet if it is interrupted before it has started."""

import os
import signal
from types import FrameType


def _leave(signum: int, frame: FrameType | None) -> None:
    os._exit(130)  # nothing has begun, so there is nothing to end


def main() -> None:
    """Run the command line, which handles interruptions itself once its imports are done."""
    signal.signal(signal.SIGINT, _leave)
    from midas.cli import main as command_line

    command_line(prog_name="midas")


if __name__ == "__main__":
    main()
