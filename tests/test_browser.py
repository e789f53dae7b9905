"""The page in a real browser: no errors, images load, tables sort, cells show their count, and it fits on a phone."""

import html
import json
import re
import shutil
import subprocess

import pytest
from fabricate import LETTERS, compared, run

from midas.report import comparison
from midas.report.page import write_report
from midas.runs import find_comparisons, find_runs

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=5000", "--dump-dom"),
)
WATCH = "<script>window.failures = []; window.onerror = message => { failures.push(String(message)); };</script>"
ASK = """<script>
window.onload = () => {
  const table = [...document.querySelectorAll("table")].find(one => one.caption.textContent.includes("finished runs"));
  const heading = [...table.querySelectorAll("th")].find(one => one.textContent === "accuracy %");
  const column = () => [...table.tBodies[0].rows].map(row => parseFloat(row.cells[heading.cellIndex].textContent));
  const press = () => { heading.querySelector("button").click(); return column(); };
  const [up, down] = [press(), press()];
  const cell = document.querySelector(".matrix .wrong");
  cell.dispatchEvent(new MouseEvent("click", {bubbles: true}));
  const found = {
    failures, up, down,
    told: cell.closest("figure").querySelector("figcaption").textContent,
    title: cell.querySelector("title").textContent,
    unloaded: [...document.images].filter(one => !one.complete || !one.naturalWidth).length,
    images: document.images.length,
    wide: document.documentElement.scrollWidth, window: innerWidth,
  };
  const shown = document.createElement("pre");
  shown.id = "found";
  shown.textContent = JSON.stringify(found);
  document.body.append(shown);
};
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    run(root / "runs", "part1", "compact", 0, LETTERS, n=150)
    run(root / "runs", "part2", "random", 0, embedded=60)
    run(root / "runs", "part2", "random", 1)
    there = root / "runs" / "comparison" / "compact-10-epochs"
    comparison.write(compared(), there / "part2")
    write_report(find_runs(root / "runs"), root / "report.html", comparisons=find_comparisons(root / "runs"))
    text = (root / "report.html").read_text(encoding="utf-8")
    watched = root / "watched.html"
    watched.write_text(text.replace("<title>", WATCH + "<title>", 1).replace("</body>", ASK + "</body>"), "utf-8")
    return watched


@pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_in_a_browser(page, width, tmp_path):
    command = [BROWSER, *FLAGS, f"--window-size={width},900", f"--user-data-dir={tmp_path}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    shown = re.search(r'<pre id="found">(.*?)</pre>', done.stdout)
    assert shown, done.stderr[-2000:]
    found = json.loads(html.unescape(shown.group(1)))
    assert found["failures"] == [] and found["unloaded"] == 0 and found["images"] > 8
    assert found["up"] == sorted(found["up"]) and found["down"] == found["up"][::-1] and len(found["up"]) == 3
    assert found["told"] == found["title"] and " predicted as " in found["told"]
    assert found["wide"] <= found["window"] <= max(width, 500)
