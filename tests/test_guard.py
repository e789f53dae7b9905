import pytest
from webs import HOST, client

from midas.web.guard import CLIENTS, HEADERS, Limits, Rates


@pytest.fixture
def page(tmp_path):
    return client(tmp_path)


def refusal(response, status):
    assert response.status_code == status and response.is_json
    assert list(response.json) == ["error"] and "\n" not in response.json["error"]
    return response.json["error"]


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1:9000", "[::1]:8765", "LOCALHOST"])
def test_names_of_this_machine_are_answered(page, host):
    assert page.get("/api/collections", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7:8765", "[::", "localhost@x"])
def test_other_names_are_refused_as_they_may_be_rebound(page, host):
    refusal(page.get("/", headers={"Host": host, "Origin": f"http://{host}"}), 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": f"https://{HOST}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=["origin", "null", "port", "scheme", "cross-site", "same-site"],
)
@pytest.mark.parametrize(
    ("method", "path"), [("post", "/api/predict"), ("post", "/api/stop"), ("get", "/api/networks")]
)
def test_a_foreign_page_can_neither_read_nor_write(page, headers, method, path):
    page.environ_base.pop("HTTP_ORIGIN")
    assert "another page" in refusal(getattr(page, method)(path, headers=headers), 403)


def test_a_link_from_another_page_opens_this_one(page):
    page.environ_base.pop("HTTP_ORIGIN")
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert page.get("/", headers=headers).status_code == 200
    assert page.post("/api/stop", headers=headers).status_code == 403


def test_programs_can_predict_and_nothing_else_that_is_posted(page):
    page.environ_base.pop("HTTP_ORIGIN")
    assert "multipart" in refusal(page.post("/api/predict"), 400)
    assert "/api/predict" in refusal(page.post("/api/stop", json={}), 403)
    assert page.post("/api/stop", json={}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_beyond_this_machine_a_token_is_needed(tmp_path):
    page = client(tmp_path, host="0.0.0.0", token="secret")
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}, {"Cookie": "midas-80=wrong"}):
        assert "token" in refusal(page.get("/api/collections", headers=headers), 401)
    refusal(page.get("/?token=wrong"), 401)
    refusal(page.get("/?token=%ed%a0%80"), 401)
    refusal(page.get("/static/main.js"), 401)
    assert page.get("/api/collections", headers={"Authorization": "Bearer secret"}).status_code == 200
    opened = page.get("/?token=secret")
    assert opened.status_code == 302 and opened.headers["Location"] == "/"
    assert "HttpOnly" in opened.headers["Set-Cookie"] and "SameSite" in opened.headers["Set-Cookie"]
    assert page.get("/").status_code == 200  # with the cookie
    refusal(page.get("/", headers={"Host": "evil.example"}), 403)
    elsewhere = {"Host": "10.1.2.3:8765", "Origin": "http://10.1.2.3:8765", "Authorization": "Bearer secret"}
    assert page.get("/", headers=elsewhere).status_code == 200


def test_a_made_token_is_long(tmp_path):
    page = client(tmp_path, host="0.0.0.0")
    assert len(page.application.extensions["midas"].guard.token) >= 32


def test_too_many_requests_are_refused_for_a_while(tmp_path):
    page = client(tmp_path, limits=Limits(rate=0.001, burst=3))
    assert [page.get("/api/collections").status_code for _ in range(3)] == [200] * 3
    refused = page.get("/api/collections")
    assert "requests per second" in refusal(refused, 429) and refused.headers["Retry-After"]


def test_rates_are_kept_by_client_and_forgotten_in_time():
    rates, limits = Rates(), Limits()
    for number in range(CLIENTS + 10):
        rates.take(str(number), limits)
    assert len(rates.buckets) == CLIENTS and "0" not in rates.buckets


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/api/collections", "/nothing"])
def test_every_answer_has_the_security_headers(page, path):
    headers = page.get(path).headers
    for name in HEADERS:
        assert name in headers
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
