"""Arguments and options that several verbs have."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Dataset", "Project", "Version"]

Dataset = Annotated[
    str,
    typer.Argument(metavar="DATASET", help="The dataset's directory, or gs://BUCKET/PREFIX."),
]
Version = Annotated[
    str | None,
    typer.Option(help="A version: its number, tag or time (2026-01-31); the newest without it."),
]
Project = Annotated[
    str | None,
    typer.Option(help="With gs://: the project billed, where the requester pays."),
]
