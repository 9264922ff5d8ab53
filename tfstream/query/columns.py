"""What the columns of an index are called in SQL."""

from __future__ import annotations

from collections.abc import Iterable

from tfstream.format import index

__all__ = ["RECORD", "identifiers", "quote"]

# The column of record numbers; beside those of the index, `split` and the metadata.
RECORD = '"#record"'


def quote(name: str) -> str:
    """A name as SQL takes it, whatever it is made of.

    >>> quote('my "own" column')
    '"my ""own"" column"'
    """
    return '"' + name.replace('"', '""') + '"'


def identifiers(metadata: Iterable[str]) -> dict[str, str]:
    """The quoted identifier of each column that a query may name.

    SQL does not tell upper case from lower: of names that differ in nothing else, the
    later ones get a number.

    Args:
        metadata: The names of the manifest's metadata columns.

    Returns:
        By name: the index's columns, `split`, and the metadata in order of their names.

    >>> identifiers(["day", "Day"])["day"]
    '"day#2"'
    """
    taken = {RECORD.strip('"')}
    out = {}
    for name in (*index.COLUMNS, "split", *sorted(metadata)):
        free, number = name, 1
        while free.lower() in taken:
            number += 1
            free = f"{name}#{number}"
        taken.add(free.lower())
        out[name] = quote(free)
    return out
