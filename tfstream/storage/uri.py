"""Which directory a URI means."""

from __future__ import annotations

import os

from tfstream.errors import InvalidArgumentError
from tfstream.storage.directory import Access, Directory

__all__ = ["as_directory", "open_directory"]


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
    if scheme == "file":
        raise InvalidArgumentError(f"{text!r}: give a local directory as a plain path.")
    from tfstream.storage.gfile import GfileDirectory

    return GfileDirectory(text)


def as_directory(root: Directory | str | os.PathLike[str]) -> Directory:
    """The directory itself, or the one of that name."""
    return root if isinstance(root, Directory) else open_directory(root)
