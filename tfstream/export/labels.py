"""The labels of formats that have no list of them: a file beside, for `--labels`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfstream.export.sink import Sink
    from tfstream.format.label_map import LabelMap

__all__ = ["FILE", "count_titles", "put"]

FILE = "labels.txt"
_SYNSET = re.compile(r"n\d{8}")


def put(labels: LabelMap, found: Collection[str], sink: Sink, lost: Counter[str]) -> None:
    """Writes the labels where a reader of the tree would not come to the same ones.

    Args:
        labels: Those of the dataset.
        found: Those that the tree speaks of; a reader sorts them.
        sink: Where to write.
        lost: Is told, for the file has to be given to `pack`.
    """
    with_titles = [
        f"{name} {title}" if title and _SYNSET.fullmatch(name) else name
        for name, title in zip(labels.names, labels.titles, strict=True)
    ]
    if labels.names == tuple(sorted(found)) and with_titles == list(labels.names):
        count_titles(labels, lost)
        return
    lost[f"labels whose order is in {FILE} alone (tfstream pack --labels)"] = len(labels.names)
    for name, title in zip(labels.names, labels.titles, strict=True):
        if title and not _SYNSET.fullmatch(name):
            lost["titles of labels"] += 1
    sink.write(FILE, "".join(f"{line}\n" for line in with_titles).encode())


def count_titles(labels: LabelMap, lost: Counter[str]) -> None:
    """Counts the titles of labels, where a format has no place for any."""
    if titles := sum(map(bool, labels.titles)):
        lost["titles of labels"] += titles
