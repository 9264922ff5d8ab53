"""The dataset that is viewed: its versions, what queries select of it, records as they are read."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import CorruptRecordError, InvalidArgumentError, TfstreamError
from tfstream.format import manifest, slices
from tfstream.opening import open_dataset
from tfstream.storage.directory import Access
from tfstream.storage.uri import open_directory
from tfstream.v1.annotated_image_pb2 import AnnotatedImage
from tfstream.view.recent import Recent
from tfstream.view.thumbnails import SIDES, thumbnail

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.dataset import PackedDataset

    Integers = npt.NDArray[np.int64]

__all__ = ["Answer", "Question", "Session", "Source"]

_ANSWERS = 16  # that are kept, 8 bytes a record
_VERSIONS = 4
_FIRST = 64  # records that the first page shows, about
_RECORD_BYTES = 128 << 20
_THUMBNAIL_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the dataset is, and how it is read; see `tfstream.open`.

    Attributes:
        path: Its directory or URI.
        project: Billed for the requests, if the bucket is "requester pays".
        cache_dir: Where bytes of a remote dataset are kept; None: they are not kept.
        cache_limit: What the cache may take of the disk; None: all.
    """

    path: str
    project: str | None = None
    cache_dir: str | None = None
    cache_limit: str | None = None


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        version: The number of the version.
        query: Selects among its records; "": all.
        slice: The name of a saved slice to ask; "": none.
    """

    version: int
    query: str = ""
    slice: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What a question selects.

    Attributes:
        data: The selection.
        whole: The version that it is of, which is another one where the query says `@version`.
        numbers: int64 [n], its records' numbers over all splits of the version, those of data
            points one after the other; None: all records.
    """

    data: PackedDataset
    whole: PackedDataset
    numbers: Integers | None

    def __len__(self) -> int:
        return len(self.whole) if self.numbers is None else len(self.numbers)

    def some(self, begin: int, count: int) -> list[int]:
        """The numbers of some of the records."""
        if self.numbers is None:
            return list(range(max(begin, 0), min(begin + count, len(self.whole))))
        found: list[int] = self.numbers[max(begin, 0) : begin + count].tolist()
        return found

    @functools.cached_property
    def records(self) -> PackedDataset:
        """The records, none of them part of a data point."""
        return self.whole if self.numbers is None else self.whole[self.numbers.tolist()]


class Session:
    """A dataset while it is viewed. Safe to use from many threads.

    Raises:
        DatasetNotFoundError: There is no dataset, or no such version.
    """

    def __init__(self, source: Source, version: str | None = None) -> None:
        """Opens the dataset.

        Args:
            source: Where it is.
            version: The one to look at first: its number, tag or time; None: the newest.
        """
        self.source = source
        self.directory = open_directory(source.path, Access(source.project))
        self._open = functools.lru_cache(maxsize=_VERSIONS)(self._opened)
        self.answer = functools.lru_cache(maxsize=_ANSWERS)(self._answered)
        self._records = Recent[tuple[int, int], AnnotatedImage](_RECORD_BYTES)
        self._thumbnails = Recent[tuple[int, int, int], bytes](_THUMBNAIL_BYTES)
        first = self._opened(version)
        self.version = first.version
        """The number of the version to look at first."""

    def _opened(self, version: int | str | None, slice: str | None = None) -> PackedDataset:
        remote: dict[str, Any] = {}
        if self.directory.path is None:
            remote = {
                "cache_dir": self.source.cache_dir,
                "cache_limit": self.source.cache_limit,
                "project": self.source.project,
            }
        number = int(version) if isinstance(version, str) and version.isdecimal() else version
        return open_dataset(self.source.path, version=number, slice=slice, **remote)

    def dataset(self, version: int) -> PackedDataset:
        """A version, by its number.

        Raises:
            DatasetNotFoundError: There is no such version.
        """
        return self._open(version)

    def newest(self) -> int:
        """The number of the newest version there is now."""
        return manifest.versions(self.directory)[-1]

    def _answered(self, question: Question) -> Answer:
        """What a question selects.

        Raises:
            QueryError: The query cannot be understood.
            DatasetNotFoundError: There is no such version or slice.
            InvalidArgumentError: The slice is of another version.
        """
        whole = self.dataset(question.version)
        asked = self._slice(question, whole) if question.slice else whole
        data = asked.slice(question.query) if question.query.strip() else asked
        if data.version != whole.version:
            whole = self.dataset(data.version)
        stored = data.stored
        numbers = stored.numbers
        if numbers is not None:
            numbers = numbers[stored.places]
        return Answer(data, whole, numbers)

    def _slice(self, question: Question, whole: PackedDataset) -> PackedDataset:
        saved = slices.load(self.directory, question.slice)
        if saved.version != whole.version:
            raise InvalidArgumentError(
                f"the slice {question.slice!r} is of version {saved.version}, and version "
                f"{whole.version} is looked at: choose version {saved.version}"
            )
        return self._opened(None, question.slice)

    def read(
        self, version: int, numbers: Sequence[int]
    ) -> list[AnnotatedImage | CorruptRecordError]:
        """Records of a version, by their numbers; the error in the place of one that is damaged.

        Raises:
            InvalidArgumentError: There is none of such a number.
            StorageError: They cannot be read.
        """
        count = len(self.dataset(version))
        for number in numbers:
            if not 0 <= number < count:
                raise InvalidArgumentError(f"version {version} has no record {number} of {count:,}")
        found = {number: self._records.get((version, number)) for number in numbers}
        missing = [number for number, image in found.items() if image is None]
        read: dict[int, AnnotatedImage | CorruptRecordError] = {}
        stored = self.dataset(version).stored
        try:
            places = np.array(missing, np.int64)
            read = dict(zip(missing, stored.images(places), strict=True))
        except CorruptRecordError:
            for number in missing:  # one by one, to lose no other
                try:
                    (read[number],) = stored.images(np.array([number], np.int64))
                except CorruptRecordError as error:
                    read[number] = error
        for number, image in read.items():
            if isinstance(image, AnnotatedImage):
                self._records.put((version, number), image, image.ByteSize())
        return [found[number] or read[number] for number in numbers]

    def thumbnail(self, version: int, number: int, side: int) -> bytes:
        """A record's picture, made smaller; see `thumbnails`.

        Raises:
            CorruptRecordError: The record or its picture is damaged.
        """
        (image,) = self.read(version, [number])
        if isinstance(image, TfstreamError):
            raise image
        return self.shrunk(version, number, image, side)

    def shrunk(self, version: int, number: int, image: AnnotatedImage, side: int) -> bytes:
        """As `thumbnail`, of a record that was read; those made last are kept.

        Raises:
            CorruptRecordError: The picture is damaged.
        """
        which = (version, number, side)
        made = self._thumbnails.get(which)
        if made is None:
            made = thumbnail(image, side)
            self._thumbnails.put(which, made, len(made))
        return made

    def key_of(self, version: int, number: int) -> str:
        """The key of a record, from its index: also of one that is damaged."""
        table = self.dataset(version).stored.engine.table(np.array([number]), ["key"])
        return str(table["key"][0].as_py())

    def warm(self) -> None:
        """Does what the first page needs, before anybody is told of it."""
        answer = self.answer(Question(self.version))
        for number in answer.some(0, _FIRST):
            with contextlib.suppress(CorruptRecordError):  # its tile tells of it
                self.thumbnail(self.version, number, SIDES[0])

    def warm_queries(self) -> None:
        """Does what the first query needs: imports, and a look at the indexes."""
        self.answer(Question(self.version, "objects < 0"))
