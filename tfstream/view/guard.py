"""Who may ask: the one who was told the address, from a page of this server, under its own name."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "is_own_name"]

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_NO_TOKEN = (
    "This page is for whoever started it: open the whole address that `tfstream view` printed, "
    "with its ?token=...\n"
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Guard:
    """Lets requests through that have the token, once in the address, and then in a cookie.

    A page elsewhere cannot ask in the user's name: the cookie is not sent along with requests of
    other sites, a name that was made to lead here is refused, and a request that changes
    something must come from this server's own page.

    Args:
        app: What is guarded.
        token: The secret.
        host: That the server listens on.
        port: Likewise; part of the cookie's name, since cookies are those of all ports.
    """

    def __init__(self, app: ASGIApp, *, token: str, host: str, port: int) -> None:
        self._app = app
        self._token = token
        self._host = host
        self._cookie = f"tfstream-view-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or has it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        app: ASGIApp = self._app if refusal is None else refusal

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """What is answered instead; None: the request is let through."""
        headers = Headers(scope=scope)
        named = headers.get("host", "")
        if not is_own_name(named, self._host):
            return PlainTextResponse(
                f"{named[:100]!r} is not a name of this server: open the address that "
                "`tfstream view` printed\n",
                status_code=421,
            )
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin", "")
            if origin.partition("://")[2] != named:
                return PlainTextResponse("this comes from another page\n", status_code=403)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if given and scope["path"] == "/":
            if not self._is_token(given[0]):
                return PlainTextResponse(_NO_TOKEN, status_code=401)
            response = RedirectResponse("/", status_code=303)
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return response
        if not self._is_token(_cookie(headers.get("cookie", ""), self._cookie)):
            return PlainTextResponse(_NO_TOKEN, status_code=401)
        return None

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def is_own_name(header: str, host: str) -> bool:
    """Whether a request was sent to this server under a name that no stranger can choose.

    Those are addresses, `localhost`, and what the server listens on or the machine is called; on
    loopback, loopback's alone.

    Args:
        header: The request's Host.
        host: That the server listens on.

    >>> is_own_name("127.0.0.1:80", "127.0.0.1"), is_own_name("evil.example:80", "127.0.0.1")
    (True, False)
    """
    name, bracket, rest = header.partition("]")
    if bracket:
        name = name.removeprefix("[")
        if rest and not rest.startswith(":"):
            return False
    else:
        name = header.partition(":")[0]
    name = name.casefold()
    if name in (*_LOOPBACK, host.casefold()):
        return True
    if host in _LOOPBACK:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in (socket.gethostname().casefold(), socket.getfqdn().casefold())
    return True
