"""The application: every request passes the guard, and every error is one line of JSON."""

from __future__ import annotations

from flask import Flask

from midas.web import refusals, routes
from midas.web.guard import Rates, secure
from midas.web.services import Services


def make_app(services: Services) -> Flask:
    """Make the application."""
    app = Flask("midas.web")
    app.extensions["midas"] = services
    limits = services.settings.limits
    app.config.update(MAX_CONTENT_LENGTH=limits.upload, MAX_FORM_MEMORY_SIZE=limits.upload)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    rates = Rates()
    app.before_request(lambda: services.guard.check(rates))
    app.after_request(secure)
    refusals.register(app)
    app.register_blueprint(routes.blueprint)
    return app
