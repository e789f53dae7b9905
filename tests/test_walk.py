"""From no data to a program without midas: collect, train, try, stop the server, export, and read with the export."""

import subprocess
import sys

import numpy as np
from chromium import draw, expect, launched, needs_chromium, opened
from click.testing import CliRunner
from test_export_networks import needs_onnx
from test_read_exported import ALONE
from webs import served

from midas.cli import main
from midas.runs import Run
from midas.web.services import Services, Settings

SHAPES = {
    "bar": [[(0.5, 0.25), (0.5, 0.75)]],
    "corner": [[(0.4, 0.25), (0.4, 0.75), (0.65, 0.75)]],
    "cross": [[(0.35, 0.3), (0.65, 0.7)], [(0.65, 0.3), (0.35, 0.7)]],
    "roof": [[(0.35, 0.7), (0.5, 0.3), (0.65, 0.7)]],
    "zig": [[(0.35, 0.3), (0.65, 0.3), (0.35, 0.7), (0.65, 0.7)]],
}
DRAWINGS = 10


def by_hand(shape, rng):
    """Draw a shape anew: each point somewhat elsewhere."""
    return [np.add(stroke, rng.uniform(-0.03, 0.03, (len(stroke), 2))).tolist() for stroke in SHAPES[shape]]


@needs_chromium
@needs_onnx
def test_a_person_collects_trains_tries_and_exports(tmp_path):
    collection, run, rng = tmp_path / "collections" / "symbols", "custom/symbols/seed-0", np.random.default_rng(0)
    services = Services.of(Settings(collections=collection.parent, runs_dir=tmp_path / "runs"))
    with launched() as browser, served(services) as address, opened(browser, address) as page:
        page.get_by_role("link", name="Collect").click()
        for name, text in (("name", "symbols"), ("classes", ", ".join(SHAPES)), ("wanted", str(DRAWINGS))):
            page.fill(f"#new-collection [name={name}]", text)
        page.keyboard.press("Enter")
        wanted = len(SHAPES) * DRAWINGS
        for count in range(wanted):
            expect(page.locator("#collect-count")).to_have_text(f"{count} of {wanted} drawings")
            draw(page, "#collect-pad", by_hand(page.locator("#prompt b").inner_text(), rng), steps=2)
            page.keyboard.press("Enter")
        expect(page.locator("#prompt")).to_contain_text("All drawings are collected")

        page.get_by_role("link", name="Train").click()
        page.fill("#train-form [name=epochs]", "40")
        page.locator("#train-form button").click()
        expect(page.locator("#train-state")).to_contain_text("Finished. Accuracy", timeout=240_000)
        page.locator("#train-try").click()
        draw(page, "#read-pad", by_hand("zig", rng))
        expect(page.locator(f".answer[data-network='{run}'][data-label='zig'] .bars dt")).to_have_count(5)
    assert sorted(path.parent.name for path in collection.glob("*/*.png")) == sorted([*SHAPES] * DRAWINGS)
    assert Run(tmp_path / "runs" / run).result.accuracy > 0.5

    out = tmp_path / "symbols-onnx"
    words = ["export", "--checkpoint", tmp_path / "runs" / run, "--format", "onnx", "--out", out]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    drawing = min(collection.glob("cross/*.png"))
    command = [sys.executable, "-c", ALONE, out / "read.py", drawing]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == "cross" and done.stdout.rstrip().endswith(str(drawing))
