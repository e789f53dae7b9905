"""Errors as JSON: an object with one line, whatever went wrong."""

from __future__ import annotations

import logging
import traceback

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from midas.data.levels import UnreadableImage
from midas.errors import Busy, MidasError, cannot, printable

WORDS = {  # what is said where werkzeug explains too much
    404: "there is nothing here",
    405: "this address does not take such requests",
    413: "the upload is too large: too many bytes, pixels or points",
    415: "send JSON, or a form with an image",
}


def refuse(status: int, line: str) -> tuple[Response, int]:
    """Answer with an error: an object with one line."""
    return jsonify(error=printable(line)), status


def _http_error(error: HTTPException) -> Response | tuple[Response, int]:
    status = error.code or 500
    if status < 400:  # a redirection
        return error.get_response()  # type: ignore[return-value]
    response, _ = refuse(status, WORDS.get(status) or error.description or error.name)
    if status == 429:
        response.headers["Retry-After"] = "1"
    return response, status


def _unexpected(error: Exception) -> tuple[Response, int]:
    logging.getLogger(__name__).error("%s %s\n%s", request.method, request.path, traceback.format_exc())
    if isinstance(error, OSError):
        return refuse(500, str(cannot("be read or written", error.filename or "a file", error)))
    return refuse(500, f"the server failed with {type(error).__name__}; its terminal shows where")


def register(app: Flask) -> None:
    """Let an application answer errors so."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Busy, lambda error: refuse(409, str(error)))
    app.register_error_handler(MidasError, lambda error: refuse(400, str(error)))
    app.register_error_handler(UnreadableImage, lambda error: refuse(422, str(error)))
    app.register_error_handler(Exception, _unexpected)
