"""A stream -> a verdict on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from tfstream.bench import stages, timing
from tfstream.bench.verdict import Setting, Verdict, judge
from tfstream.errors import InvalidArgumentError
from tfstream.windows import RemoteRecords

if TYPE_CHECKING:
    from tfstream.stream import Recipe, StreamDataset

__all__ = ["measure", "steps"]

_ROUNDS = 3
_PIPELINES = 7  # at most


def steps() -> int:
    """How often `measure` calls `told`, at most."""
    return (_ROUNDS + 1) * _PIPELINES


def measure(
    stream: StreamDataset,
    *,
    stored_pixels: float,
    seconds: float = 20.0,
    told: Callable[[], object] = lambda: None,
) -> Verdict:
    """Finds out where a stream's time goes.

    Each stage runs by itself, its input in memory, and the whole stream beside them, in turn and
    several times. What is read comes from wherever it is: from memory, where the system keeps
    files that were read before.

    Args:
        stream: A plain stream of batches.
        stored_pixels: Of a stored picture, in the mean: for advice.
        seconds: That it may take, about, besides beginning.
        told: Called after each of some `steps()` steps.

    Raises:
        InvalidArgumentError: The stream is no plain one, or there is no time.
    """
    if not seconds > 0:
        raise InvalidArgumentError(f"seconds must be positive (got {seconds})")
    recipe = stream.recipe
    each = seconds / (_ROUNDS * _PIPELINES)
    timings = timing.run(
        stages.pipelines(recipe),
        held=stages.held(recipe),
        rounds=_ROUNDS,
        seconds=each,
        told=told,
    )
    return judge(timings, _setting(recipe, stored_pixels))


def _setting(recipe: Recipe, stored_pixels: float) -> Setting:
    spec, records = recipe.elements.spec, recipe.records
    remote = isinstance(records, RemoteRecords)
    return Setting(
        cores=len(os.sched_getaffinity(0)),
        remote=remote,
        cached=isinstance(records, RemoteRecords) and records.spec.cache_dir is not None,
        stored_pixels=stored_pixels,
        made_pixels=spec.size[0] * spec.size[1] if spec else 0,
        floats=spec is not None and spec.dtype != "uint8",
        antialias=spec.antialias if spec else None,
    )
