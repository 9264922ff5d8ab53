"""Room on the disk that a pack works on."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator

from tfstream.errors import StorageError
from tfstream.packing.progress import format_bytes
from tfstream.packing.workspace import Workspace

__all__ = ["require_space", "space_errors"]

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def require_space(workspace: Workspace, needed: int) -> None:
    """Refuses to begin what there is no space for.

    Args:
        workspace: Where it will be written.
        needed: Bytes.

    Raises:
        StorageError: Says how much is needed, and how much there is.
    """
    free = shutil.disk_usage(workspace.path).free
    if needed > free:
        raise StorageError(
            errno.ENOSPC,
            f"No space in {workspace.path}: packing needs {format_bytes(needed)} more, and "
            f"{format_bytes(free)} are free. Free {format_bytes(needed - free)} and run the same "
            f"command again, or {workspace.destination.elsewhere}.",
        )


@contextlib.contextmanager
def space_errors(workspace: Workspace) -> Iterator[None]:
    """Turns errors for want of space into one that says how to go on."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise StorageError(
            error.errno,
            f"No space left in {workspace.path}: {error} Free some and run the same command again: "
            "it says how much it needs, and goes on where it stopped. Or "
            f"{workspace.destination.elsewhere}.",
        ) from error
