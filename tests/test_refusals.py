import pytest
from webs import SEVEN, client


@pytest.fixture
def page(tmp_path):
    return client(tmp_path)


def refusal(response, *statuses):
    assert response.status_code in statuses, response.text
    assert response.is_json and "\n" not in response.json["error"] and "<" not in response.json["error"]
    return response.json["error"]


@pytest.mark.parametrize("path", ["/nothing", "/api/collections/none", "/static/../app.py", "/static/%2e%2e/app.py"])
def test_unknown_addresses(page, path):
    refusal(page.get(path), 404, 400)


def test_wrong_methods(page):
    refusal(page.get("/api/predict"), 405)
    refusal(page.delete("/api/collections"), 405)


def test_a_failure_is_one_line_and_the_log_has_the_rest(page, monkeypatch, caplog):
    services = page.application.extensions["midas"]
    monkeypatch.setattr(services.networks, "choose", lambda keys: 1 / 0)
    message = refusal(page.post("/api/read", json={"strokes": SEVEN}), 500)
    assert "ZeroDivisionError" in message and "Traceback" not in message and "Traceback" in caplog.text


def test_a_disk_that_fails_is_named(page, monkeypatch):
    def fail(self, *arguments):
        raise OSError(5, "Input/output error", "/disk")

    monkeypatch.setattr("midas.web.collection.Collections.names", fail)
    message = refusal(page.get("/api/collections"), 500)
    assert message.startswith("/disk: cannot be read or written: Input/output error; ")
