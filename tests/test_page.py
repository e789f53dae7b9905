"""The page: self-contained, accessible, true to the records of the runs, and explicit about what it leaves out."""

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from fabricate import LETTERS, compared, predictions, run
from PIL import Image

from midas.errors import MidasError
from midas.metrics.complementary import AccuracyEstimate
from midas.report import comparison, verdicts
from midas.report.page import _scored, write_report
from midas.runs import Run, find_comparisons, find_runs

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects the elements of a page and checks that they are closed in order."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.stack, self.words = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.stack == []
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.words.append("" if tag == "code" else " ")
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        self.words.append("" if tag == "code" else " ")
        assert self.stack.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.stack and self.stack[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    run(root / "runs", "part1", "compact", 0, LETTERS, n=150, embedded=150)
    run(root / "runs", "part1", "compact", 1, LETTERS, n=150)
    run(root / "runs", "part2", "random", embedded=60, zero_shot_accuracy=0.0987, zero_shot_macro_f1=0.0456)
    run(root / "runs", "part2", "<b>&", validation=False)
    estimate = AccuracyEstimate(6000, 0.83, (0.7, 0.9), 0.001, 0.85, (0.1, 0.2))
    counts = tuple(map(tuple, (5 - 5 * np.eye(10, dtype=int)).tolist()))
    complementary = {"argmin_accuracy": 0.0012, "estimate": estimate, "predicted_by_label": counts}
    run(root / "runs", "part3", "complementary", **complementary)
    run(root / "runs", "part3", "trial", limit=500)
    (run(root / "runs", "part3", "stopped") / "result.json").unlink()
    (run(root / "runs", "part3", "spoilt") / "result.json").write_text("{")
    (run(root / "runs", "part3", "foreign") / "result.json").write_text("[]")
    (run(root / "runs", "part3", "bare") / "predictions.npz").unlink()
    (root / "runs" / "part3" / "bare" / "seed-0" / "samples.npz").write_bytes(b"PK")
    comparison.write(compared(), root / "runs" / "comparison" / "x" / "part2")
    (root / "runs" / "comparison" / "y" / "part2").mkdir(parents=True)
    (root / "runs" / "comparison" / "y" / "part2" / "comparison.json").write_text('{"part": "part2"}')
    found = find_comparisons(root / "runs")
    report = write_report(find_runs(root / "runs"), root / "out" / "report.html", "Title <&>", found)
    return root / "out" / "report.html", report


def test_the_page_needs_nothing_else(site):
    page = Page(site[0])
    outside = re.sub(r'xmlns(:xlink)?="http://www.w3.org/[^"]*"', "", page.source).replace(
        "http://www.w3.org/2000/svg", ""
    )
    assert not re.search(r"https?://|@import|//cdn", outside)
    assert set(re.findall(r"url\((.)", outside)) <= {"#"}
    for attributes in page.all("img", "image", "use", "script", "link", "iframe", "source", "a"):
        for key in ("src", "href", "xlink:href", "srcset"):
            assert attributes.get(key, "#").startswith(("data:image/png;base64,", "#"))
    assert site[0].stat().st_size < 2_000_000


def test_data_sets_of_similar_names_have_sections_of_their_own(tmp_path):
    for name, data in (("first", "a/b"), ("second", "a-b")):
        made = run(tmp_path, "custom", name)
        made.start(dataclasses.replace(made.experiment, data=data))
    report = write_report(find_runs(tmp_path), tmp_path / "report.html")
    page = Page(tmp_path / "report.html")
    links = [link["href"] for link in page.all("a") if link["href"].startswith("#section-")]
    sections = [f"#{attributes['id']}" for attributes in page.all("h3") if "id" in attributes]
    assert len(report["conclusions"]) == len(set(links)) == 2 and links == sections


def test_the_page_is_accessible(site):
    page = Page(site[0])
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert "prefers-color-scheme: dark" in page.source
    assert len(page.all("h1")) == len(page.all("main")) == page.source.split("</head>")[0].count("<title>") == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    anchors = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(anchors)) == len(anchors)
    targets = {each.get("href", each.get("xlink:href"))[1:] for each in page.all("a", "use")}
    assert targets <= set(anchors)
    assert len(page.all("table")) == len(page.all("caption"))
    for before, after in pairwise(page.elements):
        if after[0] == "table":
            assert before[0] == "div" and before[1]["class"] == "scroll"


def test_every_figure_has_a_caption_and_every_chart_is_described(site):
    page = Page(site[0])
    assert len(page.all("figure")) == page.source.count("</figcaption>") > 25
    assert not re.search(r"<figcaption>\s*</figcaption>", page.source)
    charts = [each for each in page.all("svg") if "width:" in each.get("style", "")]
    assert len(charts) > 15 and all(len(each["aria-label"]) > 20 for each in charts)


def test_images_lie_on_sheets_that_can_be_decoded(site):
    page = Page(site[0])
    sheets = {each["id"]: each for each in page.all("image")}
    for each in sheets.values():
        with Image.open(io.BytesIO(base64.b64decode(each["href"].split(",")[1]))) as image:
            assert image.size == (int(each["width"]), int(each["height"]))
    used = {each["href"][1:] for each in page.all("use") if each.get("href", "").startswith(("#sheet", "#data"))}
    assert used == sheets.keys()


def test_the_first_screen_answers_before_anything_else(site):
    page, report = Page(site[0]), site[1]
    cards = page.source[page.source.index('class="cards"') : page.source.index('id="results"')]
    assert [each["part"] for each in report["conclusions"]] == ["part1", "part2", "part3"]
    for each in report["conclusions"]:
        assert each["headline"].split("`")[0].split("'")[0][:40] in " ".join(cards.split()) and each["title"] in cards
    assert "<table" not in cards and cards.count("<figure") == 4  # accuracy and pairs, curves, dots
    order = [page.source.index(f'id="{anchor}"') for anchor in ("results", "data", "runs", "origin")]
    assert order == sorted(order)


def test_a_confusion_matrix_opens_on_what_is_confused_and_shows_images(site):
    page, report = Page(site[0]), site[1]
    counts = [entry["numbers"] for entry in report["runs"] if entry["numbers"]]
    assert [len(each["confusion_matrix"]) for each in counts] == [62, 10, 10, 10]
    # 62 classes: the most confused ones, then folded all of them; three runs of ten classes; a transition matrix.
    assert page.source.count('<figure class="matrix">') == 6
    before, folded = page.source.split("<details><summary>All 62 classes</summary>")
    assert folded.lstrip().startswith('<figure class="matrix">')
    focus = before.rpartition('class="matrix">')[2]
    assert re.search("Confusion matrix of the 1[12] classes that are confused most", focus)
    total = sum(np.count_nonzero(each["confusion_matrix"]) for each in counts)
    assert len(re.findall(r"(?:taken for|recognized).*?: [0-9,]+ of", page.source)) >= total
    assert page.source.count("data-tiles=") >= total


def test_a_page_of_unchanged_runs_is_left_as_it_is(tmp_path, monkeypatch):
    made = run(tmp_path)
    first = write_report([made], tmp_path / "report.html")
    written = (tmp_path / "report.html").stat().st_mtime_ns
    with monkeypatch.context() as patched:
        patched.setattr("midas.report.sections.render", None)  # would fail
        assert write_report([made], tmp_path / "report.html") == first
    assert (tmp_path / "report.html").stat().st_mtime_ns == written
    (made / "result.json").write_text((made / "result.json").read_text().replace('"epochs": 5', '"epochs": 6'))
    assert write_report([made], tmp_path / "report.html")["runs"][0]["result"]["epochs"] == 6
    (tmp_path / "report.json").write_text("{")
    assert write_report([made], tmp_path / "report.html")["runs"]


def test_a_page_is_up_to_date_only_if_its_numbers_are(tmp_path):
    made = run(tmp_path)
    (tmp_path / "report.json").mkdir()
    with pytest.raises(MidasError, match=r"report\.json: cannot be written"):
        write_report([made], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_progress_is_told_by_runs(tmp_path):
    calls = []
    write_report([run(tmp_path)], tmp_path / "report.html", progress=lambda *numbers: calls.append(numbers))
    assert calls == [(0, 1), (1, 1)]


def test_a_run_that_is_given_twice_or_copied_is_no_second_seed(tmp_path):
    made, copy = run(tmp_path / "runs"), run(tmp_path / "copies")
    for runs, count in (([made, Run(f"{made.path}/../seed-0")], 1), ([made, copy], 2)):
        report = write_report(runs, tmp_path / "report.html")
        assert len(report["runs"]) == count and report["spread"] == []


def test_names_are_escaped(site):
    page = Page(site[0])
    assert "<b>&," not in page.source and "&lt;b&gt;&amp;" in page.source
    assert "Title <&>" in page.text


def test_the_page_shows_the_numbers_of_the_runs(site):
    page, report = Page(site[0]), site[1]
    assert [(entry["result"]["part"], entry["label"]) for entry in report["runs"]] == [
        ("part1", "compact network, seed 0"),
        ("part1", "compact network, seed 1"),
        ("part2", "random weights (<b>&), seed 0"),
        ("part2", "random weights, seed 0"),
        ("part3", "progressive complementary labels, random weights (bare), seed 0"),
        ("part3", "progressive complementary labels, random weights (complementary), seed 0"),
    ]
    for entry in report["runs"]:
        low, high = entry["result"]["accuracy_interval"]
        for number in (100 * entry["result"]["accuracy"], 100 * low, 100 * high):
            assert f"{number:.2f}" in page.text
    for shown in ("9.87", "0.0456", "0.12", "291678", "midas run part2 --name random", "0123456789ab", "2.21.0"):
        assert shown in page.text
    spread = report["spread"]
    assert [(group["part"], group["title"], group["n"]) for group in spread] == [("part1", "compact network", 2)]
    first, second = (entry["result"]["accuracy"] for entry in report["runs"][:2])
    assert spread[0]["mean"] == pytest.approx((first + second) / 2)
    assert spread[0]["standard_deviation"] == pytest.approx(abs(first - second) / 2**0.5)
    assert len(report["machines"]) == 1 and len(report["machines"][0]["runs"]) == 6


def test_the_page_shows_the_effect_of_the_initialization(site):
    page, report = Page(site[0]), site[1]
    (found,) = report["comparisons"]
    assert [one["name"] for one in found["initializations"]] == ["random", "digits"]
    (difference,) = compared().differences
    for sentence in [verdicts.mcnemar_verdict(difference), *verdicts.verdicts(difference)]:
        assert sentence.replace("`", "") in page.text
    assert "Pretrained on the digits of Part 1, compared with random weights" in page.text


def test_the_page_shows_the_data(site):
    page, report = Page(site[0]), site[1]
    images = {"part1": 150, "mnist": 60, "part3": 60}
    found = [(one["name"], one["images"]) for one in report["data"]]
    assert found == [(name, images[name]) for name in ("part1", "part1", "mnist", "part3")]  # drawings differ by seed
    assert re.search("5[0-9] of the drawings of Part 1: on the left", page.text) and "56x56 (150)" in page.text
    assert "The first images of each of the 10 labels in the MNIST training images" in page.text
    assert "Some of the MNIST training images, each with 9 augmented copies" in page.text
    assert "samples.npz: damaged" in page.text


def test_the_page_maps_images_of_the_best_training_of_each_part(site):
    page, report = Page(site[0]), site[1]
    neighbors = [entry["neighbors"] for entry in report["runs"] if entry["neighbors"]]
    assert [one["images"] for one in neighbors] == [150, 60] and neighbors[1]["features"] > 0.9
    alts = [each["aria-label"] for each in page.all("svg") if "t-SNE" in each.get("aria-label", "")]
    assert len(alts) in (2, 4) and "t-SNE of 150 images by their pixels, compact network, seed 0" in alts[0]


def test_the_page_compares_estimates_with_the_test_accuracy(site):
    page = Page(site[0])
    assert "adjusted estimate %" in page.text and "70.00-90.00" in page.text and "10.00-20.00 no" in page.text
    assert "for 0.00 % of all images the label equals the prediction" in page.text.replace("For", "for")
    assert "it and its interval can lie below 0, unlike an accuracy" in page.text


def test_the_page_draws_conclusions(site):
    page, report = Page(site[0]), site[1]
    for one in report["conclusions"]:
        for sentence in [one["headline"], *one["sentences"]]:
            assert sentence.replace("`", "") in page.text


def test_runs_in_different_environments_are_marked(tmp_path):
    run(tmp_path, "part2", "random")
    other = run(tmp_path, "part2", "pretrained")
    other.write(dataclasses.replace(other.environment, tensorflow="2.19.0"))
    write_report(find_runs(tmp_path), tmp_path / "report.html")
    assert "The runs differ in the version of TensorFlow: 2.19.0, 2.21.0." in Page(tmp_path / "report.html").text


def test_runs_that_are_left_out_are_listed_with_the_reason(site):
    page, report = Page(site[0]), site[1]
    reasons = {run["run"].split("/")[-2]: run["reason"] for run in report["left_out"]}
    assert "write it again with midas compare" in reasons.pop("part2")
    assert reasons.keys() == {"foreign", "spoilt", "stopped", "trial"}
    assert reasons["stopped"] == "unfinished"
    assert "500 images" in reasons["trial"]
    assert "not valid JSON" in reasons["spoilt"]
    for reason in reasons.values():
        assert " ".join(reason.split()) in page.text
    assert "No figures:" in page.text and "predictions.npz" in page.text


def test_the_numbers_lie_beside_the_page(site):
    path, report = site
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) == report
    entry = report["runs"][0]
    assert {"result", "card", "environment", "epochs", "numbers", "error_kinds"} <= entry.keys()
    assert {"confusion_matrix", "confused_pairs", "mistakes", "reliability"} == entry["numbers"].keys()
    assert sorted(file.name for file in path.parent.iterdir()) == ["report.html", "report.json"]


def test_the_sample_is_announced_and_not_called_mnist(tmp_path):
    report = write_report([run(tmp_path, sample=True)], tmp_path / "sample.html")
    assert report["sample"]
    banner = "Some runs used the embedded sample, which is made by a program"
    page = Page(tmp_path / "sample.html")
    assert banner in page.text and "Part 2: scikit-learn's digits" in page.text
    assert "MNIST" not in re.sub(
        "the MNIST training images", "", page.text, flags=re.I
    )  # of made-up data that are no sample
    write_report([run(tmp_path)], tmp_path / "real.html")
    assert banner not in Page(tmp_path / "real.html").text


def test_runs_of_the_same_name_have_different_labels(tmp_path):
    report = write_report([run(tmp_path / "a"), run(tmp_path / "b")], tmp_path / "report.html")
    assert len({entry["label"] for entry in report["runs"]}) == 2
    Page(tmp_path / "report.html")


@pytest.mark.parametrize("kind", ["none", "unfinished", "limited"])
def test_nothing_to_report_is_one_line(tmp_path, kind):
    runs = {"none": [], "unfinished": [Run(tmp_path / "nowhere")], "limited": [run(tmp_path, limit=9)]}[kind]
    with pytest.raises(MidasError, match="no finished run") as caught:
        write_report(runs, tmp_path / "report.html")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_the_page_must_not_replace_its_numbers(tmp_path):
    with pytest.raises(MidasError, match=r"report\.html"):
        write_report([run(tmp_path)], tmp_path / "report.json")


def test_images_are_the_same_whatever_the_size_of_their_glyphs():
    made = predictions(LETTERS[:10])
    larger = dataclasses.replace(made, images=np.zeros((60, 36, 36), np.uint8))
    assert _scored(made).images == _scored(larger).images != _scored(predictions(LETTERS[:10], seed=1)).images


def test_a_comparison_with_unknown_measures_is_left_out(tmp_path):
    run(tmp_path, "part2", "random")
    file = tmp_path / "comparison" / "x" / "part2" / "comparison.json"
    (path, *_) = comparison.write(compared(), file.parent)
    path.write_text(path.read_text().replace('"area"', '"acreage"'))
    report = write_report(find_runs(tmp_path), tmp_path / "report.html", comparisons=[file])
    reason = "not what this version of midas compare writes; write it again"
    assert report["left_out"] == [{"run": str(file), "reason": reason}] and report["comparisons"] == []
