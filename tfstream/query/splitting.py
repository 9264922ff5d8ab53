"""Which part of a split or a sample a record is in: by a hash of its key, so that none moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfstream.errors import InvalidArgumentError

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.query.engine import Engine

__all__ = ["check_fractions", "fractions", "partition", "sample"]

_ROUNDING = 1e-9  # what fractions that should sum to 1 may miss it by
# The first 52 bits of the hash of a text: as many as a float64 holds exactly.
_HASH = "('0x' || md5({})[1:13])::UBIGINT / 4503599627370496.0"


def fractions(
    engine: Engine, rows: npt.NDArray[np.int64] | None, *, by: str | None = None, seed: int
) -> npt.NDArray[np.float64]:
    """A number for each record that is as good as random, and always the same.

    It is the first 13 hexadecimal digits of the MD5 of `SEED:VALUE` in UTF-8, divided by 16**13:
    another program can compute it, and needs to know nothing of other records. The value is the
    record's key or that of a field: integers are written in decimal, booleans as `true` and
    `false`, floats as DuckDB writes them. For a record without a value, it is the key.

    Args:
        engine: That knows the records.
        rows: Their numbers; None: all.
        by: A field; None: the key.
        seed: Another one gives other numbers.

    Returns:
        float64 [n] in [0, 1), in the order of `rows`.

    Raises:
        QueryError: There is no such field.
        CorruptRecordError: An index is damaged.

    >>> import hashlib
    >>> int(hashlib.md5(b"1337:train/cat").hexdigest()[:13], 16) / 16**13
    0.6385142347217407
    """
    return _hashed(engine, rows, by, f"{seed}:")


def _hashed(
    engine: Engine, rows: npt.NDArray[np.int64] | None, by: str | None, prefix: str
) -> npt.NDArray[np.float64]:
    value, parameters = '"key"', [prefix]
    if by is not None:
        field = engine.field(by)
        value = f'coalesce(({field.sql})::VARCHAR, "key")'
        parameters += field.parameters
    return engine.evaluate(rows, _HASH.format(f"? || {value}"), parameters)


def check_fractions(parts: Mapping[str, float]) -> None:
    """Refuses what cannot be fractions of the same records.

    Raises:
        InvalidArgumentError: One is not in 0..1, or they sum to more than 1, or there is none.
    """
    named = ", ".join(f"{name}={fraction}" for name, fraction in parts.items())
    if not parts:
        raise InvalidArgumentError("a split needs parts, such as train=0.8, val=0.2")
    for name, fraction in parts.items():
        if not 0 <= fraction <= 1:
            raise InvalidArgumentError(f"a part is a fraction in 0..1 (got {name}={fraction})")
    if math.fsum(parts.values()) > 1 + _ROUNDING:
        raise InvalidArgumentError(
            f"the parts sum to {math.fsum(parts.values()):g}, which is more than 1 (got {named})"
        )


def partition(
    engine: Engine,
    rows: npt.NDArray[np.int64] | None,
    parts: Mapping[str, float],
    *,
    by: str | None = None,
    seed: int,
    stratify: str | None = None,
) -> dict[str, npt.NDArray[np.int64]]:
    """Divides records into parts that share none.

    The interval [0, 1) is divided in the order of `parts`, and a record is in the part that its
    `fractions` lies in: records that are added or left out move no other, and records with the
    same value of `by` come into the same part. What is left, where the parts sum to less
    than 1, is in none.

    To divide a part again, take another seed: all its records lie in one piece of [0, 1).

    Args:
        engine: That knows the records.
        rows: Numbers of different records; None: all.
        parts: Fractions by name.
        by: A field whose equal values stay together; None: each record is for itself.
        seed: Another one gives other parts.
        stratify: A field: each of its values (none is one too) is divided in these proportions, to
            a record. The records with a value are ranked by their `fractions`, and cut; so
            records that are added can move some at the cuts. Records that `by` holds together
            count where the first of them does, and are ranked as one.

    Returns:
        By name, int64 [k] in the order of `rows`.

    Raises:
        InvalidArgumentError: There is no such field; or see `check_fractions`.
        CorruptRecordError: An index is damaged.
    """
    check_fractions(parts)
    where = fractions(engine, rows, by=by, seed=seed)
    if stratify is not None:
        # A value's own fraction says how its remainders are rounded: over many values, the
        # parts get their shares of those too.
        field = engine.field(stratify)
        text = f"? || coalesce('=' || ({field.sql})::VARCHAR, '')"
        parameters = [f"{seed}:stratum:", *field.parameters]
        strata = engine.evaluate(rows, _HASH.format(text), parameters)
        if by is not None:
            _, first, together = np.unique(where, return_index=True, return_inverse=True)
            strata = strata[first][together]
        where = _ranked(where, strata)
    edges = np.cumsum(list(parts.values()))
    edges[edges > 1 - _ROUNDING] = 1
    numbers = np.searchsorted(edges, where, side="right")
    chosen = {name: np.flatnonzero(numbers == part) for part, name in enumerate(parts)}
    return {name: some if rows is None else rows[some] for name, some in chosen.items()}


def _ranked(
    where: npt.NDArray[np.float64], strata: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Spreads the records of each stratum evenly over [0, 1), in the order that they have there.

    Args:
        where: float64 [n], equal for records that stay together.
        strata: float64 [n] in [0, 1), equal for records of one stratum: how far each record is
            moved from the beginning of its place to the end.

    >>> _ranked(np.array([0.1, 0.9, 0.5, 0.5]), np.array([0.0, 0.0, 0.5, 0.5])).tolist()
    [0.0, 0.5, 0.5, 0.5]
    """
    if not len(where):
        return where
    order = np.lexsort((where, strata))
    where, strata = where[order], strata[order]
    new_stratum = np.concatenate([[True], strata[1:] != strata[:-1]])
    new_group = new_stratum | np.concatenate([[True], where[1:] != where[:-1]])
    begins, ends = _runs(new_stratum)
    group_begins, group_ends = _runs(new_group)
    sizes = ends - begins
    places = (group_begins - begins) + strata * (group_ends - group_begins)
    out = np.empty(len(where))
    out[order] = places / sizes
    return out


def _runs(new: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of each element, where its run begins and ends.

    >>> [ends.tolist() for ends in _runs(np.array([True, False, True]))]
    [[0, 0, 2], [2, 2, 3]]
    """
    bounds = np.append(np.flatnonzero(new), len(new))
    lengths = np.diff(bounds)
    return np.repeat(bounds[:-1], lengths), np.repeat(bounds[1:], lengths)


def sample(
    engine: Engine,
    rows: npt.NDArray[np.int64] | None,
    size: int | float,
    *,
    seed: int,
    by: str | None = None,
) -> npt.NDArray[np.int64]:
    """Draws some records without repetition, in the order that they have.

    Which ones depends on their keys and the seed, and not on how a split with the same seed divides
    them.

    Args:
        engine: That knows the records.
        rows: Numbers of different records; None: all.
        size: An int: how many; those with the smallest hashes. A float: which fraction; those with
            a hash below it, so that records which are added or left out change nothing for others.
        seed: Another one draws others.
        by: A field: of records with the same value, a fraction has all or none.

    Returns:
        int64 [k].

    Raises:
        InvalidArgumentError: The fraction is not in 0..1, or there are not so many records.
        CorruptRecordError: An index is damaged.
    """
    where = _hashed(engine, rows, by, f"{seed}:sample:")
    if isinstance(size, int | np.integer):
        if not 0 <= size <= len(where):
            raise InvalidArgumentError(f"a sample of {size} cannot be drawn from {len(where)}")
        chosen = np.sort(np.argsort(where, kind="stable")[: int(size)])
    elif 0 <= size <= 1:
        chosen = np.flatnonzero(where < size)
    else:
        raise InvalidArgumentError(f"a sample is a number, or a fraction in 0..1 (got {size})")
    return chosen if rows is None else rows[chosen]
