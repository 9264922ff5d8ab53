"""Who does the steps of a job: the processes of this machine, or an engine of many machines."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

from tfstream.packing.base import Base
from tfstream.packing.delivery import Delivered
from tfstream.packing.job import Job
from tfstream.packing.journal import ShardResult
from tfstream.packing.progress import Progress
from tfstream.packing.rejects import RejectsFile
from tfstream.packing.steps import Plan, Planned
from tfstream.packing.survey import Scanned, Survey
from tfstream.packing.workspace import Workspace

__all__ = ["Executing", "Executor", "Undertaking"]


@dataclasses.dataclass(frozen=True)
class Undertaking:
    """A job that has begun.

    Attributes:
        job: What is asked for.
        base: The version that it adds to; None: there is none.
        work: The destination's workspace, which is ours.
        rejects: Takes what is wrong.
        show: Is told of the progress.
    """

    job: Job
    base: Base | None
    work: Workspace
    rejects: RejectsFile
    show: Progress


class Executor(abc.ABC):
    """Does the three steps of one job, each called once, in this order.

    What the steps come to is the same whoever does them.
    """

    @abc.abstractmethod
    def scan(self, survey: Survey) -> Scanned:
        """Reads every annotation and every image's header.

        Args:
            survey: Hands out the tasks, and adds up.

        Raises:
            AnnotationError: There is no annotation at all.
            StorageError: A file cannot be read.
        """

    @abc.abstractmethod
    def plan(self, scanned: Scanned) -> Plan[Planned]:
        """Orders the records and cuts them into shards.

        Args:
            scanned: What there is.
        """

    @abc.abstractmethod
    def write(self, commit: str, delivered: Delivered) -> list[ShardResult]:
        """Writes and delivers the plan's shards, save those that are there already.

        Args:
            commit: That the plan is of.
            delivered: What is there already.

        Returns:
            A result a shard, in the plan's order.

        Raises:
            AnnotationError: An image cannot be decoded, and `on_invalid` is "error".
            PackError: An image changed since it was scanned; a worker died.
            StorageError: A file cannot be read or written.
        """

    @abc.abstractmethod
    def space_needed(self, sizes: Sequence[int]) -> int:
        """Bytes that the workspace's disk must have free.

        Args:
            sizes: Bytes of each shard that is yet to be written.
        """


# Makes the executor of a job, which is used in a `with` block.
Executing: TypeAlias = Callable[[Undertaking], AbstractContextManager[Executor]]
