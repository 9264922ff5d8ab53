"""Runs pipelines on a runner of Apache Beam; the only module that imports it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any

from tfstream.errors import InvalidArgumentError, PackError
from tfstream.format.names import nearest
from tfstream.packing.beam.rows import Rows
from tfstream.packing.beam.work import (
    ScanOrders,
    ShardOrder,
    WriteOrders,
    order_name,
    scan_part,
    sort_bucket,
    write_one,
)

__all__ = ["RUNNERS", "Pipelines"]

RUNNERS = (
    "DirectRunner",
    "DataflowRunner",
    "FlinkRunner",
    "SparkRunner",
    "PrismRunner",
    "PortableRunner",
)
# These take options besides, of which only their job servers know.
_SERVED = ("FlinkRunner", "SparkRunner", "PrismRunner", "PortableRunner")
# A package of the extra apache-beam[gcp].
_OF_GCP = "google_auth_httplib2"
# Workers would tell of every channel that they open.
_LEVEL = "--default_sdk_harness_log_level"
_PATIENCE = "--job_server_timeout"  # seconds


class Pipelines:
    """A runner, with its options.

    Attributes:
        name: The runner's.
    """

    def __init__(self, runner: str, flags: Sequence[str]) -> None:
        """Checks both, as far as that can be done without running anything.

        Args:
            runner: One of `RUNNERS`.
            flags: Of the pipeline, such as `--direct_num_workers=2`.

        Raises:
            InvalidArgumentError: There is no such runner, it is not installed, or the options do
                not suit it.
        """
        if runner not in RUNNERS:
            raise InvalidArgumentError(
                f"runner={runner!r} is not a runner. {nearest(runner, RUNNERS, 'runners')}"
            )
        _import(runner)
        self.name = runner
        self._flags = _checked(runner, flags)
        self._runner = _create(runner)
        self._new()

    def scan(self, parts: int, orders: ScanOrders) -> None:
        """Scans all parts of a listing, and sorts what is found into buckets.

        Raises:
            PackError: The pipeline failed.
        """
        import apache_beam as beam

        with self._pipeline() as pipeline:
            (
                pipeline
                | "Listing" >> beam.Create([parts])
                | "Parts" >> beam.FlatMap(_numbers).with_output_types(int)
                | "Spread" >> beam.Reshuffle()
                | "Scan"
                >> beam.FlatMap(functools.partial(scan_part, orders=orders)).with_output_types(
                    tuple[int, Rows]
                )
                | "Shuffle" >> beam.GroupByKey()
                | "Sort" >> beam.MapTuple(functools.partial(sort_bucket, orders=orders))
            )

    def write(self, groups: int, orders: WriteOrders) -> None:
        """Writes the shards of all groups of orders.

        Raises:
            PackError: The pipeline failed.
        """
        import apache_beam as beam

        with self._pipeline() as pipeline:
            (
                pipeline
                | "Plan" >> beam.Create([groups])
                | "Groups" >> beam.FlatMap(_numbers).with_output_types(int)
                | "Orders"
                >> beam.FlatMap(functools.partial(_orders, orders=orders)).with_output_types(
                    ShardOrder
                )
                | "Spread" >> beam.Reshuffle()
                | "Write" >> beam.Map(functools.partial(write_one, orders=orders))
            )

    @property
    def local(self) -> bool:
        """Whether the workers are on this machine, and read what this process does."""
        return self.name == "DirectRunner"

    def _new(self) -> Any:
        """A pipeline with nothing in it.

        Raises:
            InvalidArgumentError: The runner lacks an option.
        """
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions

        try:
            return beam.Pipeline(runner=self._runner, options=PipelineOptions(list(self._flags)))
        except ValueError as error:
            raise InvalidArgumentError(
                f"The pipeline options do not suit the {self.name}: {' '.join(str(error).split())}"
            ) from error

    @contextlib.contextmanager
    def _pipeline(self) -> Iterator[Any]:
        """A pipeline that runs when the block ends; returns when the pipeline has ended."""
        from apache_beam.runners.runner import PipelineState

        pipeline = self._new()
        yield pipeline
        job = None
        try:
            job = pipeline.run()
            state = job.wait_until_finish()
        except Exception as error:
            if "KeyboardInterrupt" in str(error):  # within a step, which Beam says was at fault
                raise KeyboardInterrupt from error
            raise PackError(f"The pipeline failed on the {self.name}: {_said(error)}") from error
        except KeyboardInterrupt:
            if job is not None:
                with contextlib.suppress(Exception):  # the interruption matters more
                    job.cancel()
            raise
        if state not in (None, PipelineState.DONE):
            raise PackError(
                f"The pipeline ended as {state} on the {self.name}, whose logs say why."
            )


def _numbers(count: int) -> Iterator[int]:
    yield from range(count)


def _orders(group: int, orders: WriteOrders) -> list[ShardOrder]:
    found: list[ShardOrder] = orders.scratch.get_value(order_name(group))
    return found


def _import(runner: str) -> None:
    """Imports Beam, which warns of what else could be installed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise InvalidArgumentError(
            f"runner={runner!r} needs Apache Beam: pip install 'tfstream[beam]'"
        ) from error
    finally:
        logging.disable(before)


def _create(runner: str) -> Any:
    from apache_beam.runners.runner import create_runner

    # Without it Beam would look for credentials in vain, for minutes.
    if runner == "DataflowRunner" and importlib.util.find_spec(_OF_GCP) is None:
        raise InvalidArgumentError(
            f"runner={runner!r} needs Beam's part for Google Cloud: pip install 'apache-beam[gcp]'"
        )
    return create_runner(runner)


def _checked(runner: str, flags: Sequence[str]) -> tuple[str, ...]:
    """The options, all of which Beam knows: it would warn of others, and leave them out."""
    from apache_beam.options import pipeline_options

    if isinstance(flags, str):
        raise InvalidArgumentError(f"pipeline_options is a list of options (got {flags!r})")
    for flag in flags:
        if flag.partition("=")[0] == "--runner":
            raise InvalidArgumentError(
                f"{flag!r} is among the pipeline options: give it as runner=… (--runner) alone."
            )
        if flag in ("-h", "--help"):
            raise InvalidArgumentError(
                f"{flag!r} is no option of a pipeline: Beam's documentation lists those of the "
                f"{runner}."
            )
    parser = pipeline_options._BeamArgumentParser(allow_abbrev=False)
    for each in pipeline_options.PipelineOptions.__subclasses__():
        each._add_argparse_args(parser)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            _, unknown = parser.parse_known_args(list(flags))
    except SystemExit as error:
        told = said.getvalue().rpartition("error: ")[2].strip()
        raise InvalidArgumentError(f"The pipeline options cannot be used: {told}.") from error
    if wrong := [flag for flag in unknown if runner not in _SERVED or not flag.startswith("-")]:
        known = [name for action in parser._actions for name in action.option_strings]
        raise InvalidArgumentError(
            f"{wrong[0]!r} is not a pipeline option of Beam's. "
            f"{nearest(wrong[0].partition('=')[0], known, 'options')}"
        )
    quiet = () if any(flag.startswith(_LEVEL) for flag in flags) else (f"{_LEVEL}=WARNING",)
    # The DirectRunner gives what it may to Prism, which it would download. Of pipelines that
    # may have unsafe triggers it runs all itself; ours have no triggers.
    direct = ("--allow_unsafe_triggers",) if runner == "DirectRunner" else ()
    # Nobody waits as long as Beam does for a job server that is not there.
    short = runner == "PortableRunner" and not any(flag.startswith(_PATIENCE) for flag in flags)
    return (*flags, *quiet, *direct, *([f"{_PATIENCE}=20"] if short else []))


def _said(error: Exception) -> str:
    """What an exception of Beam's says, without the traces of its threads."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    plain = [line for line in lines if not line.startswith(("File ", "Traceback", "^", "~"))]
    kind = type(error).__name__
    if not plain and kind == "FutureTimeoutError":
        return "its job server does not answer."
    return (plain or [kind])[-1][:500]
