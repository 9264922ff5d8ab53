"""`tfstream simulate`: what a training run will ask of network and cache, before it is begun."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfstream.cli import options, text
from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tfstream.simulate.layout import Layout
    from tfstream.simulate.plan import Plan
    from tfstream.simulate.simulation import Report, Spread

__all__ = ["simulate"]

_UNLIMITED = "all"


def simulate(
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="[DATASET]", help="The dataset's directory, or gs://BUCKET/PREFIX."),
    ] = None,
    world: Annotated[int, typer.Option(help="Workers that share the stream.", min=1)] = 1,
    hosts: Annotated[
        int | None,
        typer.Option(
            help="Machines that the workers are on, as many on each; one a worker without it.",
            min=1,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples a worker takes in a step.", min=1)] = 32,
    latency: Annotated[
        str, typer.Option(metavar="TIME", help="From a request to its first byte.")
    ] = "50ms",
    bandwidth: Annotated[
        str | None,
        typer.Option(
            metavar="RATE", help="Of each host's link: 1GB/s, 10Gbit/s. No limit without it."
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Of each host's page cache; 'all': no limit. None without it."
        ),
    ] = None,
    connections: Annotated[int, typer.Option(help="Requests at once, a worker.", min=1)] = 32,
    step_time: Annotated[
        str,
        typer.Option(metavar="TIME", help="That training takes for a batch; 0s: it never waits."),
    ] = "0s",
    epochs: Annotated[int, typer.Option(help="From an empty cache on.", min=1)] = 3,
    shuffle: Annotated[bool, typer.Option(help="Whether the stream is shuffled.")] = True,
    seed: Annotated[int, typer.Option(help="Of the order.", min=0)] = 0,
    lanes: Annotated[int, typer.Option(help="As stream() has it.")] = 16,
    block_size: Annotated[
        int | None,
        typer.Option(help="As stream() has it; some 4 MiB of records without it.", min=1),
    ] = None,
    read_ahead: Annotated[str, typer.Option(metavar="SIZE", help="As stream() has it.")] = "64MB",
    split: Annotated[
        str | None, typer.Option(metavar="NAME", help="A split; all without it.")
    ] = None,
    query: Annotated[
        str | None, typer.Option(metavar="QUERY", help="The records that it selects.")
    ] = None,
    version: options.Version = None,
    project: options.Project = None,
    records: Annotated[
        int | None,
        typer.Option(help="In place of DATASET, one that is only thought of: its records.", min=1),
    ] = None,
    record_bytes: Annotated[
        str, typer.Option(metavar="SIZE", help="With --records: of each.")
    ] = "100kB",
    shard_bytes: Annotated[
        str, typer.Option(metavar="SIZE", help="With --records: of each shard.")
    ] = "128MB",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it, to a new .png file.")
    ] = None,
) -> None:
    """Predict bytes, requests, cache hits and rates of a run, from index and order alone.

    No record is read. A dataset on local disk is taken as it would be in a bucket. What decoding
    and training cost is only known by --step-time.

    Example:
        tfstream simulate packed --world 64 --hosts 8 --batch 256 --bandwidth 1GB/s --cache 100GB
        tfstream simulate --records 1000000000 --record-bytes 100kB --world 1000 --bandwidth 1GB/s
    """
    from tfstream.simulate import sources
    from tfstream.simulate.layout import Regular
    from tfstream.simulate.plan import Plan
    from tfstream.simulate.simulation import simulate as predict
    from tfstream.simulate.units import parse_bandwidth, parse_duration
    from tfstream.sizes import parse_size

    if (dataset is None) == (records is None):
        raise InvalidArgumentError(
            "Say what to simulate: a DATASET, or --records of one that is only thought of."
        )
    if hosts is not None and world % hosts:
        raise InvalidArgumentError(
            f"--world {world} cannot be spread evenly over --hosts {hosts}: give a divisor of it."
        )
    if plot is not None:
        from tfstream import plot as pictures

        pictures.check(plot)
    layout: Layout
    if records is None:
        layout = _stored(dataset or "", version, split, query, project)
    else:
        layout = Regular(
            records,
            parse_size(record_bytes, "--record-bytes"),
            parse_size(shard_bytes, "--shard-bytes"),
        )
    ahead = parse_size(read_ahead, "--read-ahead")
    limit = None
    if cache is not None and cache != _UNLIMITED:
        limit = parse_size(cache, "--cache")
        if limit < 2 * ahead:
            raise InvalidArgumentError(
                f"--cache {cache} is less than twice --read-ahead {read_ahead}, and a stream "
                "would refuse it: give more, or a smaller read-ahead."
            )
    from tfstream.order import Order

    plan = Plan(
        Order(
            layout.records,
            seed=seed,
            lanes=lanes,
            block_size=block_size or sources.block_of(layout, lanes),
            shuffle=shuffle,
        ),
        world=world,
        workers_per_host=world // (hosts or world),
        batch_size=batch,
        window=sources.window_of(layout, ahead),
        latency=parse_duration(latency, "--latency"),
        bandwidth=None if bandwidth is None else parse_bandwidth(bandwidth, "--bandwidth"),
        connections=connections,
        cached=cache is not None,
        cache_limit=limit,
        step_seconds=parse_duration(step_time, "--step-time"),
        epochs=epochs,
    )
    report = predict(plan, layout)
    if as_json:
        typer.echo(json.dumps(_told(plan, layout, report), indent=1))
    else:
        typer.echo("\n".join(_lines(plan, layout, report, queried=query is not None)))
    if plot is not None:
        from tfstream.simulate.picture import draw

        draw(report, plot, title=f"{dataset or 'simulated'}: {_what(plan, layout)}")


def _stored(
    dataset: str, version: str | None, split: str | None, query: str | None, project: str | None
) -> Layout:
    """The chosen records of a dataset."""
    from tfstream.opening import open_dataset
    from tfstream.simulate import sources

    data = open_dataset(dataset, version=version, project=project)
    if split is not None:
        data = data.split(split)
    if query is not None:
        data = data.slice(query)
    return sources.layout_of(data)


def _told(plan: Plan, layout: Layout, report: Report) -> dict[str, Any]:
    """All of it, as JSON has it."""
    order = plan.order
    return {
        "records": layout.records,
        "shards": len(layout.shards),
        "mean_record_bytes": layout.mean_bytes,
        "world": plan.world,
        "hosts": plan.hosts,
        "batch_size": plan.batch_size,
        "steps": plan.steps,
        "shuffle": order.shuffle,
        "seed": order.seed,
        "lanes": order.lanes,
        "block_size": order.block_size,
        "window_samples": plan.window,
        "latency_seconds": plan.latency,
        "bandwidth": plan.bandwidth,
        "connections": plan.connections,
        "cached": plan.cached,
        "cache_limit": plan.cache_limit,
        "step_seconds": plan.step_seconds,
        "open_seconds": report.open_seconds,
        "epochs": [dataclasses.asdict(epoch) for epoch in report.epochs],
        "shuffle_quality": report.shuffle and dataclasses.asdict(report.shuffle),
        "looked_at": {
            "hosts": report.hosts,
            "shards": report.shards,
            "fraction": report.fraction,
            "error": report.error,
        },
    }


def _what(plan: Plan, layout: Layout) -> str:
    workers = f"{text.plural(plan.world, 'worker')} on {text.plural(plan.hosts, 'host')}"
    return f"{text.plural(layout.records, 'record')}, {workers}"


def _lines(plan: Plan, layout: Layout, report: Report, *, queried: bool) -> list[str]:
    order = plan.order
    stored = text.size(layout.records * layout.mean_bytes)
    cache = "no cache"
    if plan.cached:
        limit = "unlimited" if plan.cache_limit is None else text.size(plan.cache_limit)
        cache = f"a cache, {limit}"
    link = "no limit" if plan.bandwidth is None else f"{text.size(plan.bandwidth)}/s"
    shuffled = f"blocks of {text.count(order.block_size)}, {text.plural(order.lanes, 'lane')}"
    lines = [
        f"{_what(plan, layout)}: {stored} in {text.plural(len(layout.shards), 'shard')}",
        f"{text.plural(plan.steps, 'step')} an epoch, of {plan.batch_size} x {plan.world} samples; "
        f"{shuffled if order.shuffle else 'not shuffled'}; windows of {plan.window}",
        f"a host has {link} at {1000 * plan.latency:g} ms, and {cache}",
        "",
    ]
    rows = [["epoch", "fetched", "requests", "hits", "first batch", "samples/s", "takes", "limit"]]
    for number, epoch in enumerate(report.epochs):
        hits = "-" if epoch.hit_rate is None else f"{100 * epoch.hit_rate.mean:.1f} %"
        rate = epoch.samples_per_second
        rows.append(
            [
                str(number),
                text.size(epoch.bytes.mean),
                text.count(round(epoch.requests.mean)),
                hits,
                _duration(epoch.first_batch_seconds),
                "-" if rate is None else text.count(round(rate)),
                "-" if epoch.seconds is None else _duration(epoch.seconds),
                epoch.limit,
            ]
        )
    lines += text.table(rows)
    first = report.epochs[0]
    lines += [
        "",
        f"each host; epoch 0 has {text.size(first.index_bytes.mean)} of indexes and "
        f"{text.plural(round(first.lookups.mean), 'look-up')}; opening takes "
        f"{_duration(report.open_seconds)}{_waiting(report)}",
    ]
    if (shuffle := report.shuffle) is not None:
        lines.append(
            f"shuffle: neighbours in storage come {shuffle.median_distance:,.0f} samples apart "
            f"(median; uniform: {shuffle.uniform_median:,.0f}), {_percent(shuffle.same_batch)} "
            f"of them in one global batch (uniform: {_percent(shuffle.uniform_same_batch)})"
        )
        lines.append(
            f"  quality {shuffle.quality:.3g} (mean distance {shuffle.mean_distance:,.0f}, uniform "
            f"{shuffle.uniform_mean:,.0f}); a global batch is of {shuffle.runs:,.0f} places "
            f"(uniform: {shuffle.uniform_runs:,.0f})"
        )
    lines.append(_looked_at(plan, layout, report))
    if queried:
        indexes = text.size(float(layout.shards.indexes.sum()))
        each = "host" if plan.cached else "worker"
        lines.append(
            f"the query is answered before that, from {indexes} of indexes, on each {each}"
        )
    return lines


def _waiting(report: Report) -> str:
    told = [f"{100 * each.waiting:.0f} %" for each in report.epochs if each.waiting is not None]
    return f"; training waits {', '.join(told)} of its time" if told else ""


def _looked_at(plan: Plan, layout: Layout, report: Report) -> str:
    """What is counted and what is estimated."""
    spread = _spread(report.epochs[-1].bytes)
    if report.fraction == 1 and report.hosts == plan.hosts:
        return f"counted: every request of every host (bytes of single hosts {spread})"
    if report.fraction == 1:
        return (
            f"counted: {report.hosts} of {plan.hosts} hosts, all of their requests (bytes of "
            f"single hosts {spread})"
        )
    return (
        f"estimated from {text.count(report.shards)} of {text.count(len(layout.shards))} shards "
        f"and {report.hosts} of {text.plural(plan.hosts, 'host')}: standard error of the bytes "
        f"{_percent(report.error)}, bytes of single hosts {spread}"
    )


def _spread(of: Spread) -> str:
    if not of.mean:
        return "equal"
    low, high = of.least / of.mean - 1, of.most / of.mean - 1
    return f"{100 * low:+.1f} to {100 * high:+.1f} %"


def _percent(share: float) -> str:
    """A share, to two digits.

    >>> _percent(0.9999), _percent(0.00123)
    ('100 %', '0.12 %')
    """
    return f"{float(f'{100 * share:.2g}'):g} %"


def _duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 600:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
