"""Listening, and ending cleanly."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable

from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import ErrorTask

from midas.errors import MidasError, printable
from midas.web.app import make_app
from midas.web.guard import HEADERS, TOKEN
from midas.web.services import Services, Settings

THREADS = 8  # requests that are worked on at once; networks take turns
CONNECTIONS = 200
SLOW = 60  # seconds without a byte until a connection is closed


class _JsonErrors(ErrorTask):
    """What waitress itself refuses, such as too large a request, in the form of all other errors."""

    def execute(self) -> None:
        """Write the answer."""
        error = self.request.error
        line = "the upload is too large" if error.code == 413 else error.body.strip().splitlines()[0]
        body = json.dumps({"error": printable(line)}).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [*HEADERS.items(), ("Content-Type", "application/json"), ("Connection", "close")]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):
    error_task_class = _JsonErrors


def serve(settings: Settings, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page until the process is interrupted.

    Args:
        settings: what to serve.
        port: to listen on; 0 chooses a free one.
        ready: called with the address of the page when the server listens and the default network is loaded.

    Raises:
        MidasError: the port cannot be listened on, or something in the settings cannot be read.
        KeyboardInterrupt: the process was interrupted; what the page started has been interrupted, too.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns of every request that waits
    services = Services.of(settings)
    listening = _listen(settings.host, port)
    try:
        services.networks.warm_up()
        server = create_server(
            make_app(services),
            sockets=[listening],
            threads=THREADS,
            connection_limit=CONNECTIONS,
            channel_timeout=SLOW,
            max_request_body_size=settings.limits.upload,
            ident=None,
        )
        server.channel_class = _Channel
        ready(address(settings.host, listening.getsockname()[1], services.guard.token))
        server.run()
        raise KeyboardInterrupt  # which waitress takes for the end
    finally:
        services.jobs.close()
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    """Open the socket.

    Raises:
        MidasError: it cannot be listened on.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # the latter of what cannot be the name of a host
        reason = error.strerror if isinstance(error, OSError) else "not the name of a host"
        raise MidasError(
            f"{host}:{port}: cannot be listened on: {reason}; choose another --port (0 for a free one) or --host"
        ) from error


def address(host: str, port: int, token: str | None) -> str:
    """Give the address of the page, with the token in it; of a server on all addresses, one that others can reach.

    >>> address("0.0.0.0", 8765, "abc")[-16:], address("::1", 8765, None)
    (':8765/?token=abc', 'http://[::1]:8765/')
    """
    shown = _own_address() if host in ("", "0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/{f'?{TOKEN}={token}' if token else ''}"


def _own_address() -> str:
    """Find the address of this machine in its network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address that is reserved for documentation
            return probe.getsockname()[0]
        except OSError:
            return socket.gethostname()
