"""The exceptions that tfstream raises, each also the built-in that a user would catch."""

from __future__ import annotations

__all__ = [
    "AccessDeniedError",
    "AnnotationError",
    "BucketNotFoundError",
    "CacheError",
    "CorruptRecordError",
    "DatasetExistsError",
    "DatasetNotFoundError",
    "InvalidArgumentError",
    "ManifestError",
    "MissingImageError",
    "NoSuchKeyError",
    "ObjectChangedError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "PackError",
    "QueryError",
    "ServiceError",
    "StateError",
    "StorageError",
    "TfstreamError",
    "TransientError",
    "UnknownLabelError",
]


class TfstreamError(Exception):
    """Base of all errors that tfstream raises on purpose."""

    def __str__(self) -> str:  # KeyError would show the quoted repr, OSError its number
        return str(self.args[-1]) if self.args else ""


class InvalidArgumentError(TfstreamError, ValueError):
    """An argument, a flag or a name is not one that can be used."""


class QueryError(InvalidArgumentError):
    """A query is not one that can be read, or does not fit the dataset.

    Attributes:
        text: The query.
        column: Where in it the mistake is, from 1.
    """

    def __init__(self, message: str, text: str = "", column: int = 1) -> None:
        super().__init__(message)
        self.text = text
        self.column = column

    def __reduce__(self) -> tuple[type[QueryError], tuple[str, str, int]]:
        return type(self), (str(self), self.text, self.column)


class DatasetNotFoundError(TfstreamError, FileNotFoundError):
    """There is no dataset, version or source tree where one was named."""


class DatasetExistsError(TfstreamError, FileExistsError):
    """The destination holds a dataset already, or another writer was first."""


class ManifestError(TfstreamError, ValueError):
    """A manifest cannot be read: damaged, or written by a newer tfstream."""


class AnnotationError(TfstreamError, ValueError):
    """An annotation, or the image it describes, is not valid."""


class MissingImageError(AnnotationError, FileNotFoundError):
    """An annotation's image is not where it should be."""


class PackError(TfstreamError, RuntimeError):
    """Packing could not go on: an input changed under it, or a worker died."""


class ServiceError(TfstreamError, ConnectionError):
    """A `tf.data` service cannot be reached, or not be started."""


class StateError(InvalidArgumentError):
    """The state of a stream is damaged, of a newer release, or of another stream."""


class StorageError(TfstreamError, OSError):
    """Reading or writing failed: no space left, no permission, a device error."""


class AccessDeniedError(StorageError, PermissionError):
    """A bucket or object may not be read or written with the credentials there are."""


class ObjectNotFoundError(StorageError, FileNotFoundError):
    """A bucket or object does not exist."""


class BucketNotFoundError(ObjectNotFoundError):
    """A bucket does not exist."""


class ObjectExistsError(StorageError, FileExistsError):
    """There is an object of that name already; it was left as it was."""


class ObjectChangedError(StorageError):
    """An object was overwritten or deleted after it was first read."""


class TransientError(StorageError):
    """A fault that may be gone at the next try: what a retry catches.

    Attributes:
        retry_after: Seconds that the server asks to wait; None: it does not say.
        stalled: Seconds in which no byte came, where that was the fault; else 0.
    """

    retry_after: float | None = None
    stalled: float = 0.0


class CacheError(StorageError):
    """The cache directory cannot be used as asked for."""


class CorruptRecordError(TfstreamError, OSError):
    """A record, or a shard's structure, does not match its checksums or its index."""


class NoSuchKeyError(TfstreamError, KeyError):
    """The dataset holds no record with that key."""


class UnknownLabelError(InvalidArgumentError, KeyError):
    """A label is not in the dataset's label map."""
