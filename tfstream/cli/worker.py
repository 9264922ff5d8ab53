"""`tfstream worker`: makes samples for the streams of a `tf.data` service."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from tfstream.errors import InvalidArgumentError
from tfstream.sizes import parse_size

__all__ = ["worker"]


def worker(
    dispatcher: Annotated[
        str, typer.Option(metavar="grpc://HOST:PORT", help="What `tfstream dispatcher` printed.")
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen on this port; 0: on any.")
    ] = 0,
    host: Annotated[
        str | None,
        typer.Option(
            help="The name by which clients reach this machine; without it, its address in the "
            "dispatcher's network."
        ),
    ] = None,
    cache_dir: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Keep what is fetched; without it, nothing is kept."),
    ] = None,
    cache_limit: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="What the cache may take, such as 100GB; else all."),
    ] = None,
) -> None:
    """Run a worker of a tf.data service, until it is told to end.

    It reads, decodes and augments samples for every stream that was made with this service.
    Remote datasets it fetches by itself, through a page cache of its own; local ones must lie
    under the same path here.

    Example:
        tfstream dispatcher --port 5050
        tfstream worker --dispatcher grpc://localhost:5050 --cache-dir /ssd/cache
    """
    if cache_limit is not None and cache_dir is None:
        raise InvalidArgumentError(f"--cache-limit={cache_limit} needs --cache-dir")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from tfstream import servers

    servers.work(
        dispatcher,
        host=host,
        port=port,
        cache_dir=None if cache_dir is None else os.path.abspath(os.path.expanduser(cache_dir)),
        cache_limit=None if cache_limit is None else parse_size(cache_limit, "--cache-limit"),
        ready=lambda address: print(f"worker at {address}", flush=True),
    )
