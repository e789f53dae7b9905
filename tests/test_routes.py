import io
import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from webs import SEVEN, client

from midas.cli import main
from midas.data import sample
from midas.data.strokes import draw_strokes
from midas.web.guard import Limits


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return client(tmp_path_factory.mktemp("server"))


def png(image) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def send(page, path, content=b"", name="drawing.png", **fields):
    data = {**fields, "image": (io.BytesIO(content), name)}
    return page.post(path, data=data, content_type="multipart/form-data")


def refusal(response, *statuses):
    assert response.status_code in statuses, response.text
    assert response.is_json and "\n" not in response.json["error"] and "<" not in response.json["error"]
    return response.json["error"]


# ---- read


def test_predict_answers_as_the_command_does(page, tmp_path):
    (tmp_path / "a.png").write_bytes(png(sample.draw("R", 3)))
    printed = json.loads(CliRunner().invoke(main, ["predict", "--json", str(tmp_path / "a.png")]).stdout)
    found = send(page, "/api/predict", (tmp_path / "a.png").read_bytes(), "a.png").json
    printed["predictions"][0]["file"] = "a.png"
    assert found == printed


def test_predict_reads_pages_and_several_files(page):
    two = cv2.hconcat([cv2.resize(sample.draw(each, 3), (400, 300)) for each in "AB"])
    found = send(page, "/api/predict", png(two), lines="1").json
    assert found["predictions"][0]["text"].replace(" ", "") == "AB" and len(found["predictions"][0]["characters"]) == 2
    data = {"image": [(io.BytesIO(png(two)), "x.png"), (io.BytesIO(b"no image"), "y.png")]}
    found = page.post("/api/predict", data=data, content_type="multipart/form-data").json
    assert found["predictions"][0]["several"] and found["skipped"][0]["file"] == "y.png"


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n cut", png(np.full((50, 50), 255, np.uint8))])
def test_what_cannot_be_read_is_named(page, content):
    assert refusal(send(page, "/api/predict", content, "x.png"), 422, 400).startswith(("x.png: ", "the file"))
    assert refusal(send(page, "/api/read", content, "x.png"), 422, 400)


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\x\\passwd", "/etc/passwd"])
def test_a_file_name_is_only_shown(page, name):
    found = send(page, "/api/predict", png(sample.draw("A", 0)), name).json
    assert found["predictions"][0]["file"].endswith("passwd")
    assert not set(found["predictions"][0]["file"]) & set("/\\")


def test_a_drawing_is_read_and_explained(page):
    found = page.post("/api/read", json={"strokes": SEVEN, "mode": "character"}).json
    assert found["kind"] == "character" and found["answers"][0]["guesses"][0]["label"] == "7"
    both = page.post("/api/read", json={"strokes": SEVEN, "networks": ["part1", "part3-random"]}).json
    assert [each["network"] for each in both["answers"]] == ["part1", "part3-random"]
    rests = page.post("/api/explain", json={"strokes": [SEVEN[0][:2], SEVEN[0][1:]], "networks": ["part1"]}).json
    assert rests["label"] == "7" and len(rests["strokes"]) == 2 and rests["strokes"][0]["kept"] < 0.9


def test_an_image_of_several_characters_is_read_one_by_one(page):
    two = cv2.hconcat([cv2.resize(sample.draw(each, 3), (400, 300)) for each in "AB"])
    found = send(page, "/api/read", png(two)).json
    assert found["kind"] == "page" and (found["width"], found["height"]) == (800, 300)
    assert len(found["answers"][0]["characters"]) == 2
    fine = [[[x + 60 * a, 200 + 100 * b] for a, b in ((0, 0), (1, 0), (0.5, 2))] for x in (200, 500)]
    assert page.post("/api/read", json={"strokes": fine, "mode": "page"}).json["answers"][0]["text"]


@pytest.mark.parametrize(
    "strokes",
    [None, [], {}, "x", [[]], [[[1]]], [[["1", 2]]], [[[1, None]]], [[[1e9, 0]]], [[[True, 1]]], [[[1, 2]]] * 201],
    ids=str,
)
def test_strokes_are_checked(page, strokes):
    refusal(page.post("/api/read", json={"strokes": strokes}), 400)


def test_numbers_that_are_none_are_refused(page):
    for text in ("NaN", "Infinity", "1e999", "1" + 400 * "0", "-1" + 400 * "0"):
        body = f'{{"strokes": [[[{text}, 1]]]}}'
        refusal(page.post("/api/read", data=body, content_type="application/json"), 400)


@pytest.mark.parametrize("path", ["/api/read", "/api/explain", "/api/collections", "/api/train", "/api/audit"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_refused(page, path, body):
    refusal(page.post(path, data=body, content_type="application/json"), 400)
    refusal(page.post(path, data=body), 400, 415)


@pytest.mark.parametrize("networks", ["part1", ["nothing"], [1], ["part1"] * 9, ["../part1"]], ids=str)
def test_networks_are_chosen_from_those_that_there_are(page, networks):
    refusal(page.post("/api/read", json={"strokes": SEVEN, "networks": networks}), 400)


# ---- limits


def test_limits_of_size_and_pixels(tmp_path):
    small = client(tmp_path, limits=Limits(upload=100_000, pixels=10_000, points=10))
    noise = np.random.default_rng(0).integers(0, 256, (500, 500), np.uint8)
    assert "too large" in refusal(send(small, "/api/predict", png(noise)), 413)
    assert "pixels" in refusal(send(small, "/api/predict", png(sample.draw("A", 0))), 413)
    refusal(send(small, "/api/read", png(sample.draw("A", 0))), 413)
    refusal(small.post("/api/read", json={"strokes": [[[1, 1]] * 11]}), 413)
    refusal(small.post("/api/read", data=b"x" * 200_000, content_type="application/json"), 413)


# ---- collect


def test_collecting(page):
    made = page.post("/api/collections", json={"name": "ab", "classes": "A-B", "wanted": 1}).json
    assert [each["label"] for each in made["classes"]] == ["A", "B"] and made["next"] in "AB"
    drawing = {"id": "drawing-1", "label": made["next"], "strokes": SEVEN}
    saved = page.post("/api/collections/ab/drawings", json=drawing).json
    assert saved["drawn"] == 1 and saved["next"] == {"A": "B", "B": "A"}[made["next"]]
    (file,) = (page.application.extensions["midas"].settings.collections / "ab").glob("?/*.png")
    expected = draw_strokes([np.array(SEVEN[0], float)])
    assert (cv2.imread(str(file), cv2.IMREAD_UNCHANGED) == expected).all()
    assert page.get("/api/collections/ab?skip=A").json["drawn"] == 1
    undone = page.post("/api/collections/ab/undo", json=drawing).json
    assert undone["drawn"] == 0 and undone["next"] == made["next"] and not file.exists()
    assert [each["name"] for each in page.get("/api/collections").json["collections"]] == ["ab"]


@pytest.mark.parametrize(
    "change", [{"id": "../../x"}, {"label": "../.."}, {"label": None}, {"strokes": []}, {"id": None}], ids=str
)
def test_a_drawing_is_saved_where_it_belongs_or_not_at_all(page, change):
    page.post("/api/collections", json={"name": "cd", "classes": "C D", "wanted": 1})
    drawing = {"id": "drawing-1", "label": "C", "strokes": SEVEN, **change}
    refusal(page.post("/api/collections/cd/drawings", json=drawing), 400)
    assert page.get("/api/collections/cd").json["drawn"] == 0


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%2fb", ".git", "a%00b"])
def test_no_name_of_a_collection_leads_out(page, name):
    refusal(page.get(f"/api/collections/{name}"), 400, 404)
    refusal(page.post(f"/api/collections/{name}/drawings", json={}), 400, 404)


# ---- train and check, without a process


@pytest.mark.parametrize(
    "values",
    [
        {"data": "none"},
        {"name": "../x"},
        {"name": ""},
        {"epochs": 0},
        {"epochs": "3"},
        {"data": "/etc"},
        {"data": None},
    ],
    ids=str,
)
def test_a_training_is_described_in_full_or_refused(page, values):
    page.post("/api/collections", json={"name": "ef", "classes": "E F", "wanted": 1})
    refusal(page.post("/api/train", json={"data": "ef", "name": "ef", "epochs": 1, **values}), 400)
    assert page.get("/api/job").json == {"job": None, "running": False}


def test_what_was_not_started_can_be_neither_stopped_nor_resumed(page):
    assert page.post("/api/stop", json={}).status_code == 200
    refusal(page.post("/api/train/resume", json={}), 400)


def test_only_data_sets_of_the_server_are_checked(page):
    for data in ("/etc", "../x", "none"):
        refusal(page.get("/api/audit", query_string={"data": data}), 400)
        refusal(page.post("/api/audit", json={"data": data}), 400)
        refusal(page.get("/api/audit/0.png", query_string={"data": data}), 404)
