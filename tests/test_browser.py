"""The page in a real browser: no errors, tables sort, cells show their images, nothing is cut off at any width."""

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
  const chosen = cell.closest("figure").querySelector(".chosen");
  const height = document.documentElement.scrollHeight;
  const first = document.querySelector("#results").getBoundingClientRect().top + scrollY;
  const scrolls = [...document.querySelectorAll(".scroll")];
  const marked = scrolls.every(one => mark(one) === one.scrollWidth > one.clientWidth + 2);
  for (const one of document.querySelectorAll("details")) one.open = true;
  const found = {
    failures, up, down, height, first, marked,
    told: chosen.firstChild.textContent, tiles: chosen.querySelectorAll("use").length,
    title: cell.querySelector("title").textContent, count: cell.dataset.tiles.split(",").length,
    lost: [...document.querySelectorAll("use")].filter(one =>
      !document.getElementById((one.getAttribute("href") || one.getAttribute("xlink:href")).slice(1))).length,
    cut: [...document.querySelectorAll("figcaption, p, li, summary, h2, h3, .chart, .gallery")].filter(one =>
      one.getBoundingClientRect().right > innerWidth + 1).length,
    small: Math.min(...[...document.querySelectorAll(".chart text")].map(one => one.getBoundingClientRect().height)),
    wide: document.documentElement.scrollWidth, window: innerWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    paper: getComputedStyle(document.body).backgroundColor,
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
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (800, "dark"), (1280, "light"), (1920, "dark")])
def test_the_page_in_a_browser(page, width, scheme, tmp_path):
    dark = ["--force-dark-mode"] if scheme == "dark" else []
    window = [f"--window-size={width},800", f"--user-data-dir={tmp_path}"]
    done = subprocess.run([BROWSER, *FLAGS, *dark, *window, page.as_uri()], capture_output=True, text=True, timeout=120)
    shown = re.search(r'<pre id="found">(.*?)</pre>', done.stdout)
    assert shown, done.stderr[-2000:]
    found = json.loads(html.unescape(shown.group(1)))
    assert found["failures"] == [] and found["lost"] == 0
    assert found["up"] == sorted(found["up"]) and found["down"] == found["up"][::-1] and len(found["up"]) == 3
    assert found["told"] == found["title"] and " taken for " in found["told"]
    assert found["tiles"] == found["count"] > 0
    assert found["wide"] <= found["window"] <= max(width, 500) and found["cut"] == 0
    assert found["marked"] and found["small"] >= 7  # pixels
    assert found["dark"] == (scheme == "dark") and (found["paper"] == "rgb(255, 255, 255)") != found["dark"]
    if width >= 1280:
        assert found["first"] < 1000 and found["height"] < 15 * 800
