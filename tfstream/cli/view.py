"""`tfstream view`: a dataset in the browser."""

from __future__ import annotations

import contextlib
import os
import webbrowser
from typing import Annotated

import typer

from tfstream.cli import options

__all__ = ["view"]


def view(
    dataset: options.Dataset,
    version: options.Version = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen on this port; 0: on any that is free.")
    ] = 0,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Listen on this address; 0.0.0.0: on all. Only this machine reaches the page "
            "without it.",
        ),
    ] = "127.0.0.1",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, and open no browser.")
    ] = False,
    cache_dir: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="With gs://: the page cache; $TFSTREAM_CACHE or ~/.cache/tfstream without it.",
        ),
    ] = None,
    cache_limit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="What the cache may take, such as 100GB.")
    ] = None,
    project: options.Project = None,
) -> None:
    """Look at a dataset in the browser: ask, scroll, open records, compare versions, see batches.

    The address has a token in it, without which the page shows nothing. Needs
    pip install 'tfstream[view]'. Ctrl-C ends it.

    Example:
        tfstream view packed
        tfstream view gs://my-bucket/det --no-browser --port 8000
    """
    from tfstream.view import serving

    serving.require()
    from tfstream.cache.directory import default_directory
    from tfstream.view.session import Session, Source

    source = Source(dataset, project, cache_dir or str(default_directory()), cache_limit)
    session = Session(source, version)
    listening = serving.listen(host, port)
    if not serving.is_loopback(host):
        typer.echo(
            f"listening on {host}: whoever has the address below can look at {dataset}, and what "
            "travels is not encrypted",
            err=True,
        )

    def ready(address: str) -> None:
        print(f"look at {dataset}: {address}", flush=True)
        # A browser for the terminal would take it over.
        if not no_browser and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            webbrowser.open(address)

    with contextlib.suppress(KeyboardInterrupt):
        serving.serve(session, listening, host, ready)
