"""The page of `midas serve` in Chromium, for tests that draw on it as a person does."""

import contextlib
import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(not BROWSER, reason="no Chromium on this machine")

HARMLESS = ("422", "ERR_FAILED")  # what Chromium reports of a refused image, and of a server that is gone


@contextlib.contextmanager
def launched():
    """Start Chromium."""
    with playwright.sync_playwright() as running:
        playwright.expect.set_options(timeout=60_000)
        yield running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])


@contextlib.contextmanager
def opened(browser, address):
    """Open a page on which nothing may go wrong unseen."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    page, errors = context.new_page(), []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert [each for each in errors if not any(word in each for word in HARMLESS)] == []


def draw(page, pad, strokes, steps=6):
    """Draw with the mouse; points are fractions of the drawing area."""
    box = page.locator(f"{pad} canvas").bounding_box()
    for stroke in strokes:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=steps)
        page.mouse.up()


def expect(locator):
    """Expect something of a part of the page, within a minute."""
    return playwright.expect(locator)
