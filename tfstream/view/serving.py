"""Runs the server of `tfstream view`."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from tfstream.errors import InvalidArgumentError, StorageError, TfstreamError

if TYPE_CHECKING:
    from tfstream.view.session import Session

__all__ = ["address", "is_loopback", "listen", "require", "serve"]

_TOKEN_BYTES = 24
_LAST_SECONDS = 2  # that answers under way have, when the server is told to end


def require() -> None:
    """Makes sure that there is what the server is made with.

    Raises:
        InvalidArgumentError: It is not installed; says how to.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise InvalidArgumentError(
            "tfstream view needs starlette and uvicorn: pip install 'tfstream[view]'"
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Takes a port.

    Args:
        host: The address, or a name of it.
        port: 0: any that is free.

    Raises:
        InvalidArgumentError: The port is taken, or the address is none of this machine.
        StorageError: It cannot be taken for another reason.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise InvalidArgumentError(
            f"--host {host} is no address of this machine: {error.strerror}. Leave --host out to "
            "be seen by this machine alone"
        ) from error
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(place)
        listening.listen()  # a port that is taken is told of here
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise InvalidArgumentError(
                f"port {port} of {host} is taken by another program: name another --port, or leave "
                "it out for a free one"
            ) from error
        if error.errno == errno.EADDRNOTAVAIL:
            raise InvalidArgumentError(
                f"--host {host} is no address of this machine: leave it out to be seen by this "
                "machine alone"
            ) from error
        raise StorageError(
            error.errno, f"cannot listen on port {port} of {host}: {os.strerror(error.errno or 0)}"
        ) from error
    return listening


def address(host: str, port: int, token: str) -> str:
    """What the browser opens.

    >>> address("::1", 80, "x")
    'http://[::1]:80/?token=x'
    """
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host
    shown = f"[{name}]" if ":" in name else name
    return f"http://{shown}:{port}/?token={token}"


def serve(
    session: Session, listening: socket.socket, host: str, ready: Callable[[str], object]
) -> None:
    """Answers until the process is told to end.

    Args:
        session: What is viewed.
        listening: Of `listen`.
        host: As it was asked for.
        ready: Is called with the address, once it can be opened.
    """
    import uvicorn

    from tfstream.view.app import make_app

    with contextlib.suppress(TfstreamError):  # the page tells of it
        session.warm()
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    port = int(listening.getsockname()[1])

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready(address(host, port, token))

    config = uvicorn.Config(
        make_app(session, token=token, host=host, port=port),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    Server(config).run(sockets=[listening])
