from webs import client

from midas.web.guard import Limits


def test_the_page_has_no_external_assets_and_no_inline_code(tmp_path):
    page = client(tmp_path)
    text = page.get("/").text
    assert "http" not in text and "style=" not in text and "onclick" not in text
    for name in ("style.css", "main.js", "api.js", "pad.js", "icon.svg"):
        answer = page.get(f"/static/{name}")
        assert answer.status_code == 200 and "@import" not in answer.text and "url(" not in answer.text


def test_the_application_knows_its_limits(tmp_path):
    app = client(tmp_path, limits=Limits(upload=1000)).application
    assert app.config["MAX_CONTENT_LENGTH"] == 1000
    assert [rule.rule for rule in app.url_map.iter_rules() if "path:" in rule.rule] == ["/static/<path:filename>"]
