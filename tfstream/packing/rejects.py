"""What was wrong with the input, one line of JSON each."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Literal

from tfstream.errors import (
    AnnotationError,
    InvalidArgumentError,
    MissingImageError,
    StorageError,
)
from tfstream.storage.local import write_atomically

__all__ = ["Action", "Kind", "Reject", "RejectsFile"]

Kind = Literal[
    "missing image",
    "annotation",
    "metadata",
    "image",
    "contents",
    "size",
    "box",
    "polygon",
    "keypoint",
    "mask",
    "label",
    "duplicate key",
]
Action = Literal[
    "not packed", "record left out", "object left out", "object clipped", "void left out"
]

_SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Reject:
    """One thing that is wrong with one image or annotation.

    Attributes:
        file: The file to mend.
        key: Of the record.
        split: That the record belongs to.
        kind: What sort of problem it is, for programs that sort them.
        reason: A sentence, with the value found.
        object: Place of the object in the annotation, from 0; None where it is none of them.
        name: That object's label.
        action: What became of it.
    """

    file: str
    key: str
    split: str
    kind: Kind
    reason: str
    object: int | None = None
    name: str | None = None
    action: Action = "not packed"

    def __str__(self) -> str:
        place = "" if self.object is None else f", object {self.object} ({self.name!r})"
        text = self.reason if self.file in self.reason else f"{self.file}{place}: {self.reason}"
        return text if text.endswith(".") else f"{text}."


class RejectsFile:
    """Collects rejects in a file of ours, and puts it where the user wants it at the end."""

    def __init__(self, draft: Path, target: Path, *, always: bool) -> None:
        """Makes a collector.

        Args:
            draft: The file to collect in.
            target: Where the file shall be in the end.
            always: Whether there shall be one even with nothing in it.

        Raises:
            InvalidArgumentError: What is at `target` is none of ours.
        """
        # The file that a link leads to is written, and the link stays.
        self.target = Path(os.path.realpath(target))
        _refuse_foreign(self.target)
        self.first: list[Reject] = []
        self.count = 0
        self.kinds: set[str] = set()
        self._draft = draft
        self._always = always
        self._file = open(draft, "w", encoding="utf-8")  # noqa: SIM115 (__exit__ closes it)

    def __enter__(self) -> RejectsFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, rejects: Iterable[Reject]) -> None:
        """Appends some."""
        for reject in rejects:
            if len(self.first) < _SHOWN:
                self.first.append(reject)
            self.count += 1
            self.kinds.add(reject.kind)
            self._file.write(json.dumps(dataclasses.asdict(reject), sort_keys=True) + "\n")

    def publish(self) -> Path | None:
        """Puts the file in its place; None where there is nothing to say.

        Raises:
            StorageError: It cannot be written there.
        """
        self._file.flush()
        if self.count == 0 and not self._always:
            if self.target.exists():  # of an earlier attempt: what it says holds no more
                self.target.unlink()
            return None
        with open(self._draft, "rb") as draft, write_atomically(self.target) as file:
            shutil.copyfileobj(draft, file)
        return self.target

    def publish_as_error(self) -> AnnotationError:
        """Publishes, and gives the error that says what is wrong, the first of it in full."""
        shown = "\n".join(f"  {reject}" for reject in self.first)
        more = self.count - len(self.first)
        rest = f"\n  … and {more:,} more" if more else ""
        problems = "problem" if self.count == 1 else "problems"
        try:
            where = f"{'It is' if self.count == 1 else 'All are'} in {self.publish()}."
        except StorageError as error:  # what is wrong with the input is what matters
            where = f"{error} Name another rejects file with rejects=… (--rejects)."
        # As a user would catch it, where nothing else is wrong.
        kind = MissingImageError if self.kinds == {"missing image"} else AnnotationError
        return kind(
            f"Nothing was packed: {self.count:,} {problems} in the input.\n{shown}{rest}\n"
            f"{where} Mend the files, or leave such records out with on_invalid='skip' "
            "(--on-invalid skip), or cut boxes to the image with 'clip'."
        )


def _refuse_foreign(target: Path) -> None:
    """Only a rejects file may be replaced by one: no other file, and never a device or a pipe."""
    try:
        if not stat.S_ISREG(os.stat(target).st_mode):
            raise InvalidArgumentError(
                f"{os.fspath(target)} is not a regular file, so it cannot be the rejects file. "
                "Name another with rejects=… (--rejects)."
            )
        with open(target, "rb") as file:
            line = file.readline(1 << 16)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(
            error.errno, f"Cannot use {os.fspath(target)} as rejects file: {error.strerror}."
        ) from error
    fields = {field.name for field in dataclasses.fields(Reject)}
    try:
        ours = not line or json.loads(line).keys() == fields
    except (ValueError, AttributeError):
        ours = False
    if not ours:
        raise InvalidArgumentError(
            f"{os.fspath(target)} is there already and is not a rejects file: it is left as it is. "
            "Name another with rejects=… (--rejects)."
        )
