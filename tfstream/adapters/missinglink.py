"""MissingLink's way: a query and a callback become generators of batches."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pickle
from collections.abc import Sequence
from typing import NamedTuple

from tfstream.adapters.batches import Batches, Callback, Plan, Workers
from tfstream.cache.directory import default_directory
from tfstream.cache.files import FileCache
from tfstream.dataset import PackedDataset
from tfstream.errors import InvalidArgumentError
from tfstream.sizes import parse_size

__all__ = ["DataGenerator", "Flow", "bind_data_generator"]

# What splits of a dataset, or values of a field that `@split` names, are called.
_NAMES = {"train": "train", "test": "test", "validation": "validation", "val": "validation"}


class Flow(NamedTuple):
    """The batches of each split, in this order; None where the query selects none."""

    train: Batches | None
    test: Batches | None
    validation: Batches | None


def bind_data_generator(
    volume: str | os.PathLike[str] | PackedDataset,
    query: str,
    deserialization_callback: Callback,
    *,
    batch_size: int = 32,
    cache_directory: str | os.PathLike[str] | None = None,
    cache_limit: int | str | None = None,
    disable_caching: bool = False,
    shuffle: bool | Sequence[bool] = True,
    drop_last: bool = False,
    is_infinite: bool = False,
    use_threads: bool = True,
    processes: int | None = None,
) -> DataGenerator:
    """Binds a query to a callback that makes arrays of files.

    Args:
        volume: A dataset's path or URI, or one that is open.
        query: What to take, such as `@split:0.8:0.1:0.1 label:dog`. Without `@split` the splits are
            the dataset's own, as far as they are called train, test, validation or val. With
            `@datapoint_by`, all files with equal values are one data point.
        deserialization_callback: Is given `(file_names, metadatas)`, two tuples with an entry for
            each file of a data point: the path of a local file, and a dict of what is known of
            it (`key`, `split`, `width`, `height`, `format`, `bytes`, `label`, `objects`, `labels`,
            and your own columns). Returns a tuple of arrays or numbers; None skips the data point.
            It shall not change the files, and finds them there only until it returns.
        batch_size: Samples a batch.
        cache_directory: Where files are kept, for all queries and processes of this host that
            name it; None: `$TFSTREAM_CACHE` or `~/.cache/tfstream`.
        cache_limit: What they may take of the disk: bytes, or such as "100GB"; None: all.
        disable_caching: Make each file anew each time, and remove it after use.
        shuffle: Each epoch is a permutation of its own, from the first on, that follows from the
            query's `@seed`; a value for all splits, or one each, in the order of `flow()`.
        drop_last: Leave out an epoch's last batch, where it is smaller.
        is_infinite: Begin anew after each epoch.
        use_threads: Call the callback in threads; False: in processes, to which it must
            be importable by its name, in a script that has `if __name__ == "__main__":`.
        processes: How many threads or processes; None: one a core.

    Raises:
        QueryError: The query cannot be understood.
        DatasetNotFoundError: There is no dataset there.
        CacheError: The cache directory cannot be used.
        InvalidArgumentError: An argument cannot be used.

    >>> generator = bind_data_generator(                                   # doctest: +SKIP
    ...     "packed", "@split:0.8:0.1:0.1 label:dog", read, batch_size=64
    ... )
    >>> train, test, validation = generator.flow()                         # doctest: +SKIP
    >>> model.fit(train, validation_data=validation)                       # doctest: +SKIP
    """
    from tfstream.opening import open_dataset

    if not callable(deserialization_callback):
        raise InvalidArgumentError(
            "deserialization_callback must be callable with (file_names, metadatas) "
            f"(got {deserialization_callback!r})"
        )
    for name, value in (("batch_size", batch_size), ("processes", processes)):
        if value is not None and (isinstance(value, bool) or value < 1):
            raise InvalidArgumentError(f"{name} must be positive (got {value})")
    if not use_threads:
        _require_importable(deserialization_callback)
    shuffled = _for_each_split(shuffle)
    limit = None if cache_limit is None else parse_size(cache_limit, "cache_limit")
    directory = None if disable_caching else (cache_directory or default_directory())
    data = volume if isinstance(volume, PackedDataset) else open_dataset(volume)
    splits, seed = _splits(data, query)
    plan = Plan(batch_size, seed, True, drop_last, is_infinite)
    return DataGenerator(
        splits,
        dict(
            zip(Flow._fields, (dataclasses.replace(plan, shuffle=s) for s in shuffled), strict=True)
        ),
        FileCache(directory, limit),
        Workers(deserialization_callback, processes or _cores(), threads=use_threads),
        hashlib.sha256(_absolute(data.path).encode("utf-8", "surrogatepass")).hexdigest()[:16],
    )


class DataGenerator:
    """A query bound to a callback; made by `bind_data_generator`."""

    def __init__(
        self,
        splits: dict[str, PackedDataset],
        plans: dict[str, Plan],
        cache: FileCache,
        workers: Workers,
        dataset: str,
    ) -> None:
        self._splits = splits
        self._plans = plans
        self._cache = cache
        self._workers = workers
        self._dataset = dataset

    def flow(self) -> Flow:
        """The splits' batches: `(train, test, validation)`, None for a split without records.

        Each is an iterable with a length that gives tuples of arrays, and, where Keras is
        installed, a `keras.utils.PyDataset`.

        Raises:
            InvalidArgumentError: The query selects nothing at all.
        """
        kind = _batches_class()
        made = {}
        for name, data in self._splits.items():
            records = data.stored
            if len(records):
                made[name] = kind(
                    records, self._cache, self._dataset, self._workers, self._plans[name]
                )
        if not made:
            raise InvalidArgumentError("the query selects no records: there is nothing to train on")
        return Flow(*(made.get(name) for name in Flow._fields))


@functools.cache
def _batches_class() -> type[Batches]:
    """What Keras takes, where it is installed."""
    try:
        from tfstream.adapters.keras_batches import KerasBatches
    except ImportError:
        return Batches
    return KerasBatches


def _splits(data: PackedDataset, query: str) -> tuple[dict[str, PackedDataset], int]:
    """The parts of what a query selects, by their names in a Flow; and the query's seed."""
    from tfstream.query import parse

    parsed = parse(query)
    if parsed.split is None and parsed.datapoint_by is not None:
        # Joined within each stored split, and not across them.
        query += " @split:split"
    chosen = data.slice(query)
    parts = {name: chosen.split(name) for name in chosen.splits}
    known: dict[str, PackedDataset] = {}
    for name, part in parts.items():
        ours = _NAMES.get(name.lower())
        if ours in known:
            raise InvalidArgumentError(f"there are two splits {ours!r}: {', '.join(parts)}")
        if ours is not None:
            known[ours] = part
        elif len(part):
            raise InvalidArgumentError(
                f"the query gives the splits {', '.join(parts)}, and {name!r} is none of train, "
                "test, validation and val: choose with @phase:NAME, or cut anew with "
                "@split:0.8:0.1:0.1"
            )
    return known, parsed.seed


def _for_each_split(shuffle: bool | Sequence[bool]) -> tuple[bool, ...]:
    if isinstance(shuffle, bool):
        return (shuffle,) * len(Flow._fields)
    given = tuple(shuffle) if isinstance(shuffle, Sequence) else ()
    if not 1 <= len(given) <= len(Flow._fields) or not all(isinstance(s, bool) for s in given):
        raise InvalidArgumentError(
            f"shuffle must be True or False, or up to one of them for each of "
            f"{', '.join(Flow._fields)} (got {shuffle!r})"
        )
    return given + (True,) * (len(Flow._fields) - len(given))


def _require_importable(callback: Callback) -> None:
    try:
        pickle.dumps(callback)
    except Exception as error:  # pickle raises what it likes
        raise InvalidArgumentError(
            f"deserialization_callback={callback!r} cannot be sent to processes: {error}. Define "
            "it at a module's top level, or give use_threads=True"
        ) from error


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.realpath(path)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
