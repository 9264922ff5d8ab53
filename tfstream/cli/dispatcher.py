"""`tfstream dispatcher`: tells the workers of a `tf.data` service what to do."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

__all__ = ["dispatcher"]


def dispatcher(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen on this port; 0: on any.")
    ] = 5050,
    work_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|gs://...",
            help="Keep there what it knows: a dispatcher that is started again on the same port "
            "goes on from it, and so do the streams.",
        ),
    ] = None,
) -> None:
    """Run the dispatcher of a tf.data service, until it is told to end.

    Prints its address: what `tfstream worker` and stream(service=...) take. Whoever reaches the
    port can have the workers run any graph: keep it within a network that you trust.

    Example:
        tfstream dispatcher --port 5050
        tfstream worker --dispatcher grpc://localhost:5050
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from tfstream import servers

    def ready(port: int) -> None:
        print(f"dispatcher at grpc://{socket.gethostname()}:{port}", flush=True)

    servers.dispatch(port=port, work_dir=work_dir, ready=ready)
