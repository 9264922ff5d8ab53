"""Which directory a URI means."""

from __future__ import annotations

import os
import re

from tfstream.errors import InvalidArgumentError
from tfstream.storage.directory import Access, Directory

__all__ = ["as_directory", "open_directory", "require_local"]

# A path that was taken for a local one has a slash less.
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")


def open_directory(uri: str | os.PathLike[str], access: Access | None = None) -> Directory:
    """Names a directory; nothing is read yet.

    Args:
        uri: A local path, `gs://bucket/prefix`, or a URI that `tf.io.gfile` knows.
        access: With what right; None: as the machine is set up.

    Raises:
        InvalidArgumentError: It is not a URI of these forms.
    """
    text = os.fspath(uri)
    if text.startswith("gs:") and not text.startswith("gs://"):
        raise InvalidArgumentError(f"{text!r} needs two slashes: gs://bucket/prefix.")
    if "://" not in text:
        from tfstream.storage.local import LocalDirectory

        return LocalDirectory(text)
    scheme = text.split("://", 1)[0]
    if scheme == "gs":
        from tfstream.storage.gcs import GcsDirectory

        return GcsDirectory(text, access or Access())
    if scheme.lower() in ("gs", "gcs"):
        raise InvalidArgumentError(f"{text!r}: Google Cloud Storage is gs://bucket/prefix.")
    if scheme == "file":
        raise InvalidArgumentError(f"{text!r}: give a local directory as a plain path.")
    from tfstream.storage.gfile import GfileDirectory

    return GfileDirectory(text)


def as_directory(root: Directory | str | os.PathLike[str]) -> Directory:
    """The directory itself, or the one of that name."""
    return root if isinstance(root, Directory) else open_directory(root)


def require_local(path: str | os.PathLike[str], what: str, advice: str) -> None:
    """Checks that a path is no URI, where only local disk is read or written.

    Raises:
        InvalidArgumentError: It is one: a local directory of that name is never meant.

    >>> require_local("dogs", "an export", "export to a local directory")
    """
    text = os.fspath(path)
    if uri := _URI.match(text):
        raise InvalidArgumentError(
            f"{what} is on local disk, and {uri[1]}://{text[uri.end() :]} is not: {advice}"
        )
