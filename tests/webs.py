"""Servers for tests: the application of `midas serve`, on temporary folders."""

from pathlib import Path

from flask.testing import FlaskClient

from midas.web.app import make_app
from midas.web.services import Services, Settings

HOST = "localhost"  # as the client of Flask calls it
SEVEN = [[[400, 250], [750, 250], [560, 720]]]


def client(folder: Path, **changes) -> FlaskClient:
    """Make a client of an application whose files are below `folder`; it asks as the page itself does."""
    settings = Settings(**{"collections": folder / "collections", "runs_dir": folder / "runs", **changes})
    app = make_app(Services.of(settings))
    made = app.test_client()
    made.environ_base["HTTP_ORIGIN"] = f"http://{HOST}"
    return made


