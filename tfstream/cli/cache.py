"""`tfstream cache`: what is in a page cache, how it fares, and making room in it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfstream.cli import text
from tfstream.cli.usage import help_of
from tfstream.errors import CacheError, InvalidArgumentError

if TYPE_CHECKING:
    from tfstream.cache.catalog import Entry

__all__ = ["cache"]


_Directory = Annotated[
    str | None,
    typer.Option(
        "--cache-dir",
        metavar="DIR",
        help="The cache's directory; $TFSTREAM_CACHE or ~/.cache/tfstream without it.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

cache = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="List, watch, clear and fill the page cache of remote datasets.",
)


def ls(
    dataset: Annotated[
        str | None, typer.Argument(metavar="[DATASET]", help="List the objects of this one.")
    ] = None,
    cache_dir: _Directory = None,
    as_json: _Json = False,
) -> None:
    """List what is cached: by dataset, or the objects of one.

    Example:
        tfstream cache ls
        tfstream cache ls gs://bucket/det --cache-dir /ssd/cache
    """
    from tfstream.cache import catalog

    directory = _directory(cache_dir)
    listed: dict[str, list[Entry]] = defaultdict(list)
    for entry in catalog.entries(directory):
        if entry.about is not None:
            listed[entry.about.dataset].append(entry)
    if dataset is None:
        found = [_summary(uri, listed[uri]) for uri in sorted(listed)]
        heads, noun = ("dataset", "objects"), "uri"
    else:
        chosen = listed.get(dataset.rstrip("/"), [])
        found = sorted(map(_plain, chosen), key=lambda each: (each["name"], -each["used_at"]))
        heads, noun = ("object", "generation"), "name"
    if as_json:
        kind = "datasets" if dataset is None else "objects"
        typer.echo(json.dumps({"directory": directory, kind: found}, indent=1))
        return
    rows = [[*heads, "size", "cached", "", "last used"]]
    for each in found:
        row = [
            text.harmless(each[noun]),
            text.harmless(str(each[heads[1]])),
            text.size(each["size"]),
        ]
        row += [text.size(each["cached"]), _percent(each["cached"], each["size"])]
        rows.append([*row, _ago(each["used_at"])])
    if found:
        typer.echo("\n".join(text.table(rows)))
    else:
        typer.echo(f"nothing of {dataset or 'any dataset'} is cached in {directory}")


def stat(cache_dir: _Directory = None, as_json: _Json = False) -> None:
    """Show how full it is, and how running streams fare.

    Example:
        tfstream cache stat
        tfstream cache stat --cache-dir /ssd/cache --json
    """
    from tfstream.cache import catalog, streams

    directory = _directory(cache_dir)
    entries = list(catalog.entries(directory))
    running = streams.running(directory)
    told: dict[str, Any] = {
        "directory": directory,
        "disk": sum(entry.disk for entry in entries),
        "cached": sum(entry.cached for entry in entries),
        "objects": len(entries),
        "datasets": len({entry.about.dataset for entry in entries if entry.about is not None}),
        "disk_free": shutil.disk_usage(directory).free,
        "streams": [dataclasses.asdict(each) | {"hit_rate": each.hit_rate} for each in running],
    }
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    typer.echo(
        f"{directory}: {text.plural(told['objects'], 'object')} of "
        f"{text.plural(told['datasets'], 'dataset')}, {text.size(told['cached'])} in "
        f"{text.size(told['disk'])} of disk; {text.size(told['disk_free'])} are free there"
    )
    if not running:
        typer.echo("no process is using it now")
        return
    rows = [["process", "limit", "hit rate", "fetched", "for"]]
    for each in running:
        rate = "-" if each.hit_rate is None else f"{100 * each.hit_rate:.1f} %"
        limit = "-" if each.limit is None else text.size(each.limit)
        fetched = text.size(each.counters.get("bytes_fetched", 0))
        name = f"{each.pid} {text.harmless(each.command)}"
        rows.append([name, limit, rate, fetched, _duration(each.at - each.began_at)])
    typer.echo("\n".join(text.table(rows)))


def clear(
    dataset: Annotated[
        str | None, typer.Option(metavar="URI", help="What is cached of this dataset.")
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="What was not used for so long: 90min, 12h, 7d, 2w."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of it.")] = False,
    cache_dir: _Directory = None,
    as_json: _Json = False,
) -> None:
    """Remove what nobody is using now; running streams go on.

    An object that a process is reading stays, and is counted in what is printed.

    Example:
        tfstream cache clear --older-than 7d
        tfstream cache clear --dataset gs://bucket/det
    """
    from tfstream.cache import catalog

    if everything == (dataset is not None or older_than is not None):
        raise InvalidArgumentError(
            "Say what to clear: --dataset URI, --older-than AGE or both; or else --all."
        )
    directory = _directory(cache_dir)
    before = time.time() - (text.age(older_than, "--older-than") if older_than is not None else 0)

    def chosen(entry: Entry) -> bool:
        if everything:
            return True
        uri = entry.about.dataset if entry.about is not None else None
        if dataset is not None and uri != dataset.rstrip("/"):
            return False
        return older_than is None or entry.used_at <= before

    try:
        cleared = catalog.clear(directory, chosen=chosen)
    except OSError as error:
        raise CacheError(
            error.errno, f"The cache {directory} cannot be cleared: {error.strerror}."
        ) from error
    if as_json:
        typer.echo(json.dumps({"directory": directory, **dataclasses.asdict(cleared)}, indent=1))
    else:
        left = f"; {text.plural(cleared.in_use, 'object')} in use left" if cleared.in_use else ""
        objects = text.plural(cleared.objects, "object")
        typer.echo(f"removed {objects}, {text.size(cleared.disk)} of disk{left}")


def prefetch(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Such as gs://bucket/det.")],
    version: Annotated[
        int | None, typer.Option(help="The number of a version; the newest without it.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="This split alone; all without it.")
    ] = None,
    cache_dir: _Directory = None,
    cache_limit: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="What the cache may take, such as 100GB; all without it."
        ),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help='Billed for the requests of "requester pays" buckets.')
    ] = None,
) -> None:
    """Fetch a dataset into the cache before it is trained on.

    Interrupted, the same command goes on where it stopped. To read what it fetched, open the
    dataset with the same cache_dir.

    Example:
        tfstream cache prefetch gs://bucket/det --split train --cache-limit 100GB
    """
    import tqdm

    import tfstream
    from tfstream.cache.directory import place
    from tfstream.sizes import parse_size

    limit = None if cache_limit is None else parse_size(cache_limit, "--cache-limit")
    directory = place(cache_dir)
    data = tfstream.open(
        dataset, version=version, cache_dir=directory, cache_limit=limit, project=project
    )
    if split is not None:
        data = data.split(split)
    begin = time.monotonic()
    with tqdm.tqdm(
        total=len(data),
        desc="prefetching",
        unit=" records",
        disable=not sys.stderr.isatty(),
        leave=False,
    ) as bar:
        data.prefetch(progress=bar.update)
    seconds = time.monotonic() - begin
    typer.echo(f"{text.plural(len(data), 'record')} in {directory}, in {seconds:.1f} s")


def _directory(given: str | None) -> str:
    """The directory of a cache that there is."""
    from tfstream.cache.directory import check, place

    directory = place(given)
    if not check(directory):
        raise InvalidArgumentError(
            f"There is no page cache in {directory}: name one with --cache-dir, or in the "
            "environment variable TFSTREAM_CACHE."
        )
    return directory


def _plain(entry: Entry) -> dict[str, Any]:
    about = dataclasses.asdict(entry.about) if entry.about is not None else {}
    told = {"cached": entry.cached, "disk": entry.disk, "used_at": round(entry.used_at, 3)}
    return about | told


def _summary(uri: str, entries: Iterable[Entry]) -> dict[str, Any]:
    plain = [_plain(entry) for entry in entries]
    return {
        "uri": uri,
        "objects": len(plain),
        **{name: sum(each[name] for each in plain) for name in ("size", "cached", "disk")},
        "used_at": max(each["used_at"] for each in plain),
    }


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _ago(when: float) -> str:
    return f"{_duration(time.time() - when)} ago"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


for _verb in (ls, stat, clear, prefetch):
    cache.command(_verb.__name__, help=help_of(_verb))(_verb)
