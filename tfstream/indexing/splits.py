"""Which split a file is of, by its name."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping

from tfstream.errors import InvalidArgumentError

__all__ = ["split_by_globs", "split_by_name"]

_WORDS = frozenset(
    (
        *("train", "training", "val", "valid", "validation", "test", "testing"),
        *("dev", "eval", "minival", "trainval", "testdev"),
    )
)
_ENDING = re.compile(r"(?:\.(?:tfrecords?|tfrec|tfr|record))?(?:-\d+-of-\d+)?(?:\.\w+)?$", re.I)
_ALONE = "train"


def split_by_name(name: str, known: Collection[str] = ()) -> str:
    """The split that a shard's name tells.

    Args:
        name: The file's, with or without directories before it.
        known: The names of the splits, where something says them.

    Returns:
        The word for a split in the file's name or in that of its directory; "train", where there
        is none.

    >>> split_by_name("train-00000-of-01024"), split_by_name("coco_val.record-00000-of-00010")
    ('train', 'val')
    >>> split_by_name("mnist-test.tfrecord-00000-of-00001", {"train", "test"})
    'test'
    >>> split_by_name("validation/0007.tfrec"), split_by_name("shapes.tfrecord")
    ('validation', 'train')
    """
    directory, _, base = name.rpartition("/")
    stem = _ENDING.sub("", base)
    for split in sorted(known, key=len, reverse=True):
        if stem == split or stem.endswith(f"-{split}"):
            return split
    for text in (stem, directory.rpartition("/")[2]):
        for word in reversed(re.split(r"[^A-Za-z]+", text)):
            if word.lower() in _WORDS:
                return word.lower()
    return _ALONE


def split_by_globs(name: str, globs: Mapping[str, str]) -> str:
    """The split whose glob a file's name matches.

    Args:
        name: The file's, with the directories before it.
        globs: By split; of the whole name, or of the file's alone.

    Raises:
        InvalidArgumentError: None does, or several do.

    >>> split_by_globs("a/01.tfrecord", {"train": "0*", "val": "1*"})
    'train'
    """
    base = name.rpartition("/")[2]
    fitting = [
        split
        for split, pattern in globs.items()
        if fnmatch.fnmatchcase(base, pattern) or fnmatch.fnmatchcase(name, pattern)
    ]
    if len(fitting) != 1:
        told = "no split's glob" if not fitting else f"the globs of {' and '.join(fitting)}"
        listed = ", ".join(f"{split}={pattern}" for split, pattern in globs.items())
        raise InvalidArgumentError(f"{name} matches {told}: the splits were given as {listed}.")
    return fitting[0]
