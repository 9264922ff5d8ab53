"""Checkpoints as single files, each visible whole or not at all; the newest two are kept."""

from __future__ import annotations

import io
import json
import secrets
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import StateError
from tfstream.storage.directory import Directory, ObjectInfo
from tfstream.storage.local import TEMPORARY_SUFFIX

if TYPE_CHECKING:
    import numpy.typing as npt

    Arrays = Mapping[str, Sequence[npt.NDArray[Any]]]

__all__ = ["FORMAT", "Checkpoints"]

# Of a checkpoint; a newer release may write one that this one cannot understand.
FORMAT = 1

_SUFFIX = ".checkpoint"


class Checkpoints:
    """The checkpoints of one training run, in a directory of any storage.

    A checkpoint is a zip file (as `numpy.savez` makes it) of JSON and arrays, so that half of one,
    or one with a byte changed, is known for what it is.

    Args:
        directory: Where they are; nothing else should be there.
    """

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self._good: ObjectInfo | None = None  # the newest that was written or read

    def save(self, number: int, content: Mapping[str, Any], arrays: Arrays) -> None:
        """Writes a checkpoint; those before the one before it are deleted.

        Args:
            number: Of steps since training began; what is newest has the largest.
            content: JSON.
            arrays: By group.
        """
        name = f"{number:012d}-{secrets.token_hex(4)}{_SUFFIX}"
        dtypes = {group: [each.dtype.name for each in some] for group, some in arrays.items()}
        text = json.dumps({"format": FORMAT, **content, "dtypes": dtypes}, default=_plain)
        members: dict[str, Any] = {
            f"{group}/{place}": _storable(each)
            for group, some in arrays.items()
            for place, each in enumerate(some)
        }
        buffer = io.BytesIO()
        np.savez(buffer, content=np.frombuffer(text.encode(), np.uint8), **members)
        made = self.directory.create(name, buffer.getvalue())
        kept = {name, self._good.name if self._good else ""}
        for old in list(self._all()):
            if old.name not in kept:
                self.directory.delete(old)
        if self.directory.path is not None:  # what a writer that was killed left
            for path in self.directory.path.glob(f".*{_SUFFIX}.*{TEMPORARY_SUFFIX}"):
                path.unlink(missing_ok=True)
        self._good = made

    def newest(self) -> tuple[str, dict[str, Any], dict[str, list[npt.NDArray[Any]]]] | None:
        """The newest good one: its name in messages, content and arrays; None: there are none.

        Where the newest is damaged, it is the one before it, and a warning says so.

        Raises:
            StateError: All are damaged, or the newest is of a newer release.
        """
        damaged = []
        for info in sorted(self._all(), key=lambda info: info.name, reverse=True):
            where = self.directory.locate(info.name)
            data = self.directory.read(info.name)
            try:
                content, arrays = _load(data)
            except StateError as error:
                raise StateError(f"{where}: {error}") from error
            except Exception as error:  # whatever zipfile and numpy say of such bytes
                damaged.append(f"{where} ({error})")
                continue
            if damaged:
                warnings.warn(
                    f"{', '.join(damaged)} is damaged or half-written: training goes on from the "
                    f"one before it, {where}",
                    RuntimeWarning,
                    stacklevel=2,
                )
            self._good = info
            return where, content, arrays
        if damaged:
            raise StateError(
                f"every checkpoint is damaged or half-written: {', '.join(damaged)}. Delete them "
                "to begin anew"
            )
        return None

    def _all(self) -> list[ObjectInfo]:
        return [info for info in self.directory.list() if info.name.endswith(_SUFFIX)]


def _load(data: bytes) -> tuple[dict[str, Any], dict[str, list[npt.NDArray[Any]]]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        content = json.loads(file["content"].tobytes())
        if content["format"] > FORMAT:
            raise StateError(
                f"the checkpoint has format {content['format']}, and this tfstream knows up to "
                f"{FORMAT}: it was written by a newer release. Upgrade tfstream"
            )
        arrays = {
            group: [file[f"{group}/{place}"].view(_dtype(n)) for place, n in enumerate(names)]
            for group, names in content.pop("dtypes").items()
        }
    return content, arrays


def _storable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same bytes in a dtype that numpy has by itself: it has no bfloat16, for one."""
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def _dtype(name: str) -> npt.DTypeLike:
    import ml_dtypes  # TensorFlow needs it as well

    return np.dtype(getattr(ml_dtypes, name, name))


def _plain(value: Any) -> Any:
    """What JSON can hold of a number or an array of numpy."""
    return np.asarray(value).tolist()
