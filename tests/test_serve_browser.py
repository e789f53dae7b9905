"""The page of `midas serve` in a real browser: reading, interrupted collecting and training, checking, pens."""

import cv2
import numpy as np
import pytest
from chromium import draw, expect, launched, needs_chromium, opened
from webs import served

from midas.data import sample
from midas.files import write_json
from midas.web.services import Services, Settings

pytestmark = needs_chromium

SEVEN = [[(0.35, 0.28), (0.62, 0.28), (0.46, 0.8)]]
FINE_ONES = [[(0.3, 0.3), (0.3, 0.6)], [(0.5, 0.3), (0.5, 0.6)], [(0.7, 0.3), (0.7, 0.6)]]
GIVE = """async event => {
  const canvas = new OffscreenCanvas(120, 90), context = canvas.getContext("2d"), data = new DataTransfer();
  context.fillStyle = "white"; context.fillRect(0, 0, 120, 90);
  context.fillStyle = "black"; context.fillRect(55, 20, 9, 50);
  data.items.add(new File([await canvas.convertToBlob()], "one.png", {type: "image/png"}));
  const options = {bubbles: true, cancelable: true};
  dispatchEvent(event === "drop" ? new DragEvent("drop", {...options, dataTransfer: data})
    : new ClipboardEvent("paste", {...options, clipboardData: data}));
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def address(folder):
    """A server in this process, with the data set "scans" of which two labels are wrong, and its audit."""
    for label, character, name in (("A", "A", 1), ("A", "B", 2), ("B", "B", 3), ("B", "A", 4), ("A", "A", 5)):
        file = folder / "collections" / "scans" / label / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), sample.draw(character, name))
    suspects = [
        {"file": file, "label": file[0], "looks_like": other, "probability": 0.9, "label_correct": 0.1}
        for file, other in (("A/2.png", "B"), ("B/4.png", "A"), ("A/5.png", "B"))
    ]
    found = {"action": "3 images to check.", "sentence": "noisy", "class_names": ["A", "B"], "images": 5}
    services = Services.of(Settings(collections=folder / "collections", runs_dir=folder / "runs"))
    write_json(services.audit("scans").folder / "audit.json", {**found, "suspects": suspects})
    with served(services) as listening:
        yield listening


@pytest.fixture(scope="module")
def browser():
    with launched() as started:
        yield started


@pytest.fixture
def page(browser, address):
    with opened(browser, address) as made:
        yield made


def test_reading(page, tmp_path):
    draw(page, "#read-pad", SEVEN)
    answer = page.locator(".answer[data-label='7']")
    expect(answer.locator(".bars dt")).to_have_count(5)
    expect(answer.locator("img.map")).to_be_visible()
    expect(page.locator("#spoken")).to_contain_text("7, ")
    expect(answer.locator("img.ink")).to_have_js_property("naturalWidth", 36)
    page.keyboard.press("Backspace")
    expect(page.locator(".answer")).to_have_count(0)
    page.locator("label", has_text="Several").click()
    draw(page, "#read-pad", FINE_ONES)
    expect(page.locator(".characters li")).to_have_count(3)
    expect(page.locator("#read-pad rect")).to_have_count(3)
    expect(page.locator("#spoken")).not_to_be_empty()  # the last answer has come
    page.locator(".characters button").first.click()
    expect(page.locator(".chosen")).to_contain_text("1: ")
    page.locator("label", has_text="One character").click()
    two = cv2.hconcat([cv2.resize(sample.draw(each, 3), (400, 300)) for each in "AB"])
    cv2.imwrite(str(tmp_path / "two.png"), two)
    page.set_input_files("#read-file", str(tmp_path / "two.png"))
    expect(page.locator(".characters li")).to_have_count(2)
    for event in ("drop", "paste"):
        page.locator("#read-clear").click()
        page.evaluate(GIVE, event)
        expect(page.locator(".answer")).to_have_count(1)
        expect(page.locator("#read-pad img")).to_be_visible()
    draw(page, "#read-pad", SEVEN)  # which replaces the image
    expect(page.locator("#read-pad img")).to_be_hidden()
    expect(page.locator(".answer[data-label='7']")).to_have_count(1)
    page.locator(".networks summary").click()
    page.locator("#networks fieldset", has_text="Part 3").locator("button").click()
    page.set_input_files("#read-file", {"name": "x.png", "mimeType": "image/png", "buffer": b"no image"})
    expect(page.locator("#failure")).to_contain_text("x.png: ")
    page.locator("#read-clear").click()
    draw(page, "#read-pad", SEVEN)
    expect(page.locator(".answer[data-label='7']")).to_have_count(3)


def test_it_fits_every_width_in_light_and_dark(page):
    draw(page, "#read-pad", SEVEN)
    expect(page.locator(".answer img.map")).to_be_visible()
    colors = set()
    for width, scheme in ((390, "dark"), (800, "light"), (2560, "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        for tab in ("Collect", "Train", "Check labels", "Read"):
            page.get_by_role("link", name=tab).click()
            expect(page.get_by_role("region", name=tab.split()[0])).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        small = page.locator("button:visible, .button:visible, nav a").evaluate_all(
            "all => all.filter(each => each.getBoundingClientRect().height < 24).length"
        )
        assert small == 0
        colors.add((scheme, page.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert colors == {("dark", "rgb(22, 24, 27)"), ("light", "rgb(255, 255, 255)")}


def test_collecting(page, folder):
    files = folder / "collections" / "my letters"
    page.get_by_role("link", name="Collect").click()
    for name, text in (("name", "my letters"), ("classes", "A-B plus"), ("wanted", "1")):
        page.fill(f"#new-collection [name={name}]", text)
    page.keyboard.press("Enter")
    expect(page.locator("#collect-count")).to_have_text("0 of 3 drawings")
    draw(page, "#collect-pad", SEVEN)
    page.keyboard.press("Enter")
    expect(page.locator("#collect-count")).to_have_text("1 of 3 drawings")
    (first,) = files.glob("*/*.png")
    drawn = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
    assert drawn.shape == (900, 1200) and set(np.unique(drawn)) == {0, 255}
    page.keyboard.press("Backspace")
    expect(page.locator("#saved")).to_contain_text("Removed")
    expect(page.locator("#prompt b")).to_have_text(first.parent.name)
    assert list(files.glob("*/*.png")) == []
    # The server does not answer: the drawing stays.
    page.route("**/drawings", lambda route: route.abort())
    draw(page, "#collect-pad", SEVEN)
    page.keyboard.press("Enter")
    expect(page.locator("#failure")).to_contain_text("does not answer")
    expect(page.locator("#saved")).to_contain_text("the drawing is kept")
    page.unroute("**/drawings")
    page.keyboard.press("Escape")
    # The browser is killed with a drawing that is not saved yet.
    draw(page, "#collect-pad", SEVEN)
    page.reload()
    page.locator(".card", has_text="my letters").get_by_role("button").click()
    expect(page.locator("#saved")).to_contain_text("it is back")
    expect(page.locator("#prompt b")).to_have_text(first.parent.name)
    page.locator("#collect-save").click()
    expect(page.locator("#saved")).to_have_text(f"Saved {first.parent.name}.")
    assert (cv2.imread(str(next(files.glob("*/*.png"))), cv2.IMREAD_UNCHANGED) == drawn).mean() > 0.99
    page.locator("#collect-skip").click()
    for count in (2, 3):
        draw(page, "#collect-pad", SEVEN)
        page.locator("#collect-save").click()
        expect(page.locator("#collect-count")).to_have_text(f"{count} of 3 drawings")
    expect(page.locator("#prompt")).to_contain_text("All drawings are collected")
    assert sorted(path.parent.name for path in files.glob("*/*.png")) == ["A", "B", "plus"]


def test_a_training_is_watched_and_stopped(page, folder):
    page.get_by_role("link", name="Train").click()
    page.select_option("#train-form select", "scans")
    page.fill("#train-form [name=name]", "mine")
    page.fill("#train-form [name=epochs]", "400")
    page.locator("#train-form button").click()
    expect(page.locator("#curves circle").first).to_be_visible()
    expect(page.locator("#train-state")).to_contain_text("of 400")
    expect(page.locator("#train-try")).to_be_visible()  # the network is on disk
    page.locator("#train-stop").click()
    expect(page.locator("#train-state")).to_contain_text("It can be resumed")
    expect(page.locator("#train-resume")).to_be_visible()
    assert (folder / "runs" / "custom" / "mine" / "seed-0" / "metrics.jsonl").exists()


def test_checking(page, folder):
    page.get_by_role("link", name="Check labels").click()
    page.select_option("#check-form select", "scans")
    tiles = page.locator("#gallery li")
    expect(tiles).to_have_count(3)
    expect(tiles.nth(2).locator("img")).to_have_js_property("complete", True)
    tiles.first.focus()
    for key in ("r", "d", "k"):
        page.keyboard.press(key)
    expect(page.locator("#check-count")).to_have_text("1 kept, 1 relabeled, 1 dropped, 0 undecided")
    page.locator("#check-write").click()
    expect(page.locator("#check-written")).to_contain_text("Wrote 4 images")
    copy = folder / "collections" / "scans corrected"
    assert sum(1 for _ in copy.glob("*/*.png")) == 4
    assert sum(1 for _ in (folder / "collections" / "scans").glob("*/*.png")) == 5


def test_a_pen_keeps_the_palm_off(page):
    """Events as a tablet sends them: the palm touches first, then the pen writes with pressure."""
    box = page.locator("#read-pad canvas").bounding_box()

    def send(kind, pointer, number, x, y):
        where = {"clientX": box["x"] + x * box["width"], "clientY": box["y"] + y * box["height"]}
        about = {"pointerId": number, "pointerType": pointer, "bubbles": True, "pressure": 0.2, "button": 0}
        page.locator("#read-pad canvas").dispatch_event(kind, {**where, **about})

    # Chromium captures only pointers that it knows.
    page.evaluate("HTMLCanvasElement.prototype.setPointerCapture = () => {}")
    send("pointerdown", "touch", 1, 0.9, 0.9)
    send("pointerdown", "pen", 2, *SEVEN[0][0])
    for point in SEVEN[0][1:]:
        send("pointermove", "touch", 1, 0.1, 0.1)
        send("pointermove", "pen", 2, *point)
    send("pointerup", "pen", 2, *SEVEN[0][-1])
    send("pointerdown", "touch", 3, 0.1, 0.1)
    expect(page.locator(".answer[data-label='7']")).to_be_visible()
    expect(page.locator(".rest p").first).to_have_count(0)  # one stroke: there is nothing to leave out


def test_a_refused_beginning_does_not_keep_the_drawing_from_being_read(page):
    """The server refuses the first points of a stroke after the others were drawn."""
    held = []
    page.route("**/api/read", lambda route: held.append(route), times=1)
    draw(page, "#read-pad", SEVEN)
    held[0].fulfill(status=422, json={"error": "blank: ruling, but no character"})
    expect(page.locator(".answer[data-label='7']")).to_be_visible()
    expect(page.locator("#failure")).to_be_hidden()
