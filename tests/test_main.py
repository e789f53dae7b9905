"""The entry point, before the command line is imported."""

import os
import subprocess
import sys
from pathlib import Path

# Takes the place of the first library that the command line imports, and interrupts its own process.
INTERRUPTED = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(50)"


def test_an_interruption_during_the_first_imports_is_quiet(tmp_path):
    (tmp_path / "click.py").write_text(INTERRUPTED)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])}
    for command in (["-m", "midas", "list"], ["-c", "from midas.__main__ import main; main()"]):
        done = subprocess.run([sys.executable, *command], env=env, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_the_command_line_runs():
    done = subprocess.run([sys.executable, "-m", "midas", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("Usage: midas ")
