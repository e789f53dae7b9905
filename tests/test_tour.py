"""The notebook runs as it stands, and shows what it ran."""

import json
import os
import subprocess
import sys
from pathlib import Path

NOTEBOOK = Path(__file__).parents[1] / "scripts" / "tour.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def test_every_cell_runs():
    cells = ("".join(cell["source"]) for cell in CELLS)
    program = "\n".join(["from midas import recipes", "recipes.MAX_FOLDS = 2", *cells])  # a third of the time
    env = {**os.environ, "MPLBACKEND": "agg"}
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert " of 100 correct" in done.stdout


def test_its_outputs_are_kept_and_free_of_errors():
    outputs = [output for cell in CELLS for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert all(output.get("name") != "stderr" for output in outputs)
