"""Which files are to be indexed: globs, directories and files -> shards with names."""

from __future__ import annotations

import dataclasses
import fnmatch
import glob
import itertools
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfstream.errors import DatasetNotFoundError, InvalidArgumentError
from tfstream.storage.directory import Access, Directory, ObjectInfo
from tfstream.storage.uri import open_directory

__all__ = ["Found", "absences", "common_directory", "find", "is_shard"]

# "x.tfrecord", "x.record-00000-of-00010", "train-00000-of-01024", "x.tfrecord.gz".
_SHARD = re.compile(
    r".+(?:\.(?:tfrecords?|tfrec|tfr|record)(?:-\d+-of-\d+)?|-\d+-of-\d+)(?:\.(?:gz|gzip|zlib))?",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(.+)-(\d+)-of-(\d+)(\D.*)?")
_OWN = ("manifests/", "shards/", "tags/", "slices/")
_WILD = re.compile(r"[*?\[]")


@dataclasses.dataclass(frozen=True)
class Found:
    """Shards that were found, and the directory by which they are read.

    Attributes:
        directory: Where the dataset will be.
        infos: The shards, sorted by name; absolute paths are outside the directory.
    """

    directory: Directory
    infos: tuple[ObjectInfo, ...]


def absences(infos: Iterable[ObjectInfo]) -> list[str]:
    """What names and sizes say is lacking: shards of which the others are there, and empty ones.

    >>> [line] = absences([ObjectInfo("a/train-00001-of-00002", 9, "")])
    >>> line
    'Not there, and not indexed: shard 0 of the 2 of a/train'
    """
    numbers: dict[tuple[str, int, str], set[int]] = defaultdict(set)
    lines = []
    for info in infos:
        if info.size == 0:
            lines.append(f"Empty: {info.name} has 0 bytes, and so no record")
        if shard := _NUMBERED.fullmatch(info.name):
            numbers[shard[1], int(shard[3]), shard[4] or ""].add(int(shard[2]))
    for (name, count, ending), there in sorted(numbers.items()):
        first = list(itertools.islice((n for n in range(count) if n not in there), 3))
        if lacking := count - sum(n < count for n in there):
            more = ", ..." if lacking > len(first) else ""
            word = "shard" if lacking == 1 else "shards"
            lines.append(
                f"Not there, and not indexed: {word} {', '.join(map(str, first))}{more} of the "
                f"{count} of {name}{ending}"
            )
    return lines


def find(
    sources: Sequence[str | os.PathLike[str]],
    into: str | os.PathLike[str] | None,
    access: Access | None = None,
) -> Found:
    """Finds the shards.

    Args:
        sources: Files, globs (`**` for any depth) and directories, which are searched for what is
            named like a shard.
        into: The dataset's directory; None: the only source, which is a directory.
        access: With what right a bucket is read.

    Raises:
        DatasetNotFoundError: A source does not exist, or names no shard.
        InvalidArgumentError: It cannot be told where the dataset shall be, or it cannot be there.
        StorageError: Something cannot be read.
    """
    texts = [os.fspath(source).rstrip("/") or "/" for source in sources]
    if not texts:
        raise InvalidArgumentError(
            "Nothing is named that could be indexed: give files or a directory."
        )
    if into is None and (len(texts) > 1 or _WILD.search(texts[0]) or os.path.isfile(texts[0])):
        raise InvalidArgumentError(
            f"{texts[0]!r} is no directory in which the index could be kept: say by `--into "
            "DIRECTORY` (into=) where the dataset shall be."
        )
    directory = open_directory(texts[0] if into is None else into, access)
    if directory.path is None:
        return Found(directory, _remote(directory, texts))
    for text in texts:
        if "://" in text:
            raise InvalidArgumentError(
                f"{text} is not on local disk, and {directory} is: a dataset of remote shards is "
                "kept in a directory above them. Give that by --into, or index their directory "
                "without it."
            )
    return Found(directory, _local(directory, texts))


def common_directory(names: Iterable[str]) -> str:
    """The directory that all files are in, with a "/" at its end; "" where there is none.

    >>> common_directory(["a/b/1", "a/b/2"]), common_directory(["a/1", "b/2"])
    ('a/b/', '')
    """
    parents = [name.rpartition("/")[0] for name in names]
    shared = os.path.commonpath(parents) if all(parents) else ""
    return f"{shared}/" if shared else ""


def _local(directory: Directory, texts: Sequence[str]) -> tuple[ObjectInfo, ...]:
    root = Path(os.path.abspath(str(directory.path)))
    found: dict[str, ObjectInfo] = {}
    for text in texts:
        if os.path.isdir(text):
            paths = _below(text)
        elif _WILD.search(text) and not os.path.exists(text):
            paths = sorted(path for path in glob.glob(text, recursive=True) if os.path.isfile(path))
        else:
            paths = [text]
        if not paths:
            raise _nothing(text, sorted(os.listdir(text)) if os.path.isdir(text) else [])
        for path in paths:
            if not os.path.isfile(path):
                what = "is no regular file" if os.path.exists(path) else "does not exist"
                raise DatasetNotFoundError(f"{path} {what}: name files, a glob or a directory.")
            # Not resolved: whoever links shards into a directory wants them named by it.
            absolute = Path(os.path.abspath(path))
            name = absolute.as_posix()
            if absolute.is_relative_to(root):
                name = absolute.relative_to(root).as_posix()
            found[name] = directory.stat(name)
    return tuple(found[name] for name in sorted(found))


def _below(text: str) -> list[str]:
    """What is named like a shard, below a directory."""
    found = []
    for top, directories, files in os.walk(text):
        directories[:] = sorted(name for name in directories if not name.startswith("."))
        if os.path.abspath(top) == os.path.abspath(text):
            directories[:] = [name for name in directories if f"{name}/" not in _OWN]
        found += [os.path.join(top, name) for name in sorted(files) if is_shard(name)]
    return found


def _remote(directory: Directory, texts: Sequence[str]) -> tuple[ObjectInfo, ...]:
    found: dict[str, ObjectInfo] = {}
    for text in texts:
        inside = text == directory.uri or text.startswith(f"{directory.uri}/")
        if not inside:
            raise InvalidArgumentError(
                f"{text} is not below {directory}: a dataset of remote shards is kept in a "
                "directory above them."
            )
        wanted = text[len(directory.uri) + 1 :]
        wild = _WILD.search(wanted)
        prefix = wanted[: wild.start()] if wild else wanted
        infos = [info for info in directory.list(prefix) if not info.name.startswith(_OWN)]
        if wild:
            chosen = [info for info in infos if fnmatch.fnmatchcase(info.name, wanted)]
        elif wanted and any(info.name == wanted for info in infos):
            chosen = [info for info in infos if info.name == wanted]
        else:
            below = f"{wanted}/" if wanted else ""
            chosen = [info for info in infos if info.name.startswith(below) and is_shard(info.name)]
        if not chosen:
            raise _nothing(text, [info.name for info in infos[:20]])
        found.update((info.name, info) for info in chosen)
    return tuple(found[name] for name in sorted(found))


def is_shard(name: str) -> bool:
    """Whether a file is named like a shard.

    >>> is_shard("a/train-00000-of-00010"), is_shard("a/x.tfrecord.gz"), is_shard("a/x.txt")
    (True, True, False)
    """
    base = name.rpartition("/")[2]
    return not base.startswith(".") and _SHARD.fullmatch(base) is not None


def _nothing(text: str, there: Sequence[str]) -> DatasetNotFoundError:
    listed = f" It holds {', '.join(there[:5])}{' ...' if there[5:] else ''}." if there else ""
    return DatasetNotFoundError(
        f"{text} names no TFRecord file (such as x.tfrecord or train-00000-of-00010).{listed} Name "
        "the files, or give a glob."
    )
