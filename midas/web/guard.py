"""Which requests are answered: those of this page and of programs of this user, not those of foreign pages.

A browser lets any page send requests to this machine. Three checks keep foreign pages out: the name in `Host` must be
one that cannot be made to point here by someone else's name server (DNS rebinding), `Origin` and `Sec-Fetch-Site` must
say that the request comes from this page (cross-site request forgery), and beyond this machine a token is needed.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Request, Response, redirect, request
from werkzeug.exceptions import Forbidden, TooManyRequests, Unauthorized

PREDICT = "/api/predict"
OPEN_PATHS = (PREDICT,)  # that programs may post to without an `Origin`
TOKEN = "token"  # the parameter of the link
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
READING = ("GET", "HEAD", "OPTIONS")
CLIENTS = 1000  # whose rates are remembered


@dataclass(frozen=True)
class Limits:
    """What one request, and one client, may ask for.

    Attributes:
        upload: bytes of a request.
        pixels: of all pages of an image together.
        points: of all strokes of a drawing together.
        rate: requests per second of one client, on average.
        burst: requests of one client at once.
    """

    upload: int = 20 * 2**20
    pixels: int = 50_000_000
    points: int = 20_000
    rate: float = 100.0
    burst: int = 300


def is_loopback(host: str) -> bool:
    """Whether a host to listen on is only reached from this machine.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "192.168.1.2", "example.org")]
    [True, True, True, False, False, False]
    """
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


@dataclass(frozen=True)
class Guard:
    """Checks every request before anything else sees it.

    Attributes:
        host: that the server listens on.
        token: that requests must have; None on a loopback address.
        limits: of the rate.
    """

    host: str
    token: str | None
    limits: Limits

    def check(self, rates: Rates) -> Response | None:
        """Refuse the current request, or answer one with the token in its link: the token moves to a cookie.

        Raises:
            Forbidden: it has a foreign name, or comes from another page.
            Unauthorized: its token is missing or wrong.
            TooManyRequests: the client has used up its rate.
        """
        rates.take(request.remote_addr or "", self.limits)
        self._check_host()
        self._check_origin()
        return self._check_token()

    def _check_host(self) -> None:
        name = _name_of(request.host)
        if is_loopback(self.host):
            known = is_loopback(name)
        else:
            ours = socket.gethostname().lower()
            known = _is_address(name) or name in ("localhost", self.host.lower(), ours, f"{ours}.local")
        if not known:
            raise Forbidden(f"the name {name[:80]!r} is not one of this server; open the address that it printed")

    def _check_origin(self) -> None:
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        is_link = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
        is_foreign = site not in (None, "same-origin", "none") and not is_link
        if is_foreign or (origin and origin != f"{request.scheme}://{request.host}"):
            raise Forbidden("the request comes from another page; open the address that the server printed")
        must_show = request.method not in READING and request.path not in OPEN_PATHS
        if must_show and not origin and site != "same-origin":
            raise Forbidden("changes are made from the page; programs can use /api/predict")

    def _check_token(self) -> Response | None:
        if not self.token:
            return None
        given = request.args.get(TOKEN)
        if given is not None and request.method == "GET" and request.path == "/" and self._is_right(given):
            response = redirect("/")
            response.set_cookie(_cookie(request), self.token, httponly=True, samesite="Lax")
            return response  # type: ignore[return-value]
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        offered = bearer if scheme == "Bearer" else request.cookies.get(_cookie(request), "")
        if not self._is_right(offered):
            raise Unauthorized("the token is missing or wrong; open the link that the server printed")
        return None

    def _is_right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), (self.token or "").encode())


def _name_of(host: str) -> str:
    """Give the name in a `Host` header, without the port; "" if it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie(current: Request) -> str:
    """Name the cookie after the port, as cookies do not distinguish ports."""
    return f"midas-{current.environ.get('SERVER_PORT', '')}"


class Rates:
    """How many requests each client may still make: a bucket of `burst` that fills at `rate` per second."""

    def __init__(self) -> None:
        self.buckets: dict[str, tuple[float, float]] = {}
        self.lock = threading.Lock()

    def take(self, client: str, limits: Limits) -> None:
        """Count a request.

        Raises:
            TooManyRequests: there were too many.
        """
        now = time.monotonic()
        with self.lock:
            left, before = self.buckets.pop(client, (float(limits.burst), now))
            left = min(left + (now - before) * limits.rate, limits.burst)
            self.buckets[client] = (left - 1 if left >= 1 else left, now)
            while len(self.buckets) > CLIENTS:  # the one that has been silent for the longest time
                del self.buckets[next(iter(self.buckets))]
        if left < 1:
            raise TooManyRequests(f"more than {limits.rate:g} requests per second; try again in a second")


def secure(response: Response) -> Response:
    """Add the security headers."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
