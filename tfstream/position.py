"""Where a stream is: the one number that its state consists of, and what it is a position in."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfstream.errors import InvalidArgumentError, StateError
from tfstream.schedule import ENDLESS

if TYPE_CHECKING:
    import numpy.typing as npt

    from tfstream.order import Share

__all__ = ["FORMAT", "Identities", "Identity", "Position", "fingerprint"]

# Of a state's fields; a newer release may write one that this one cannot understand.
FORMAT = 1

_WHAT = {
    "dataset": "of another dataset",
    "version": "of another version of the dataset",
    "selection": "of other records",
    "records": "of other records",
    "seed": "of another seed",
    "shuffle": "of another order",
    "lanes": "of other lanes",
    "block_size": "of another block_size",
    "weights": "of other weights",
    "stop": "of another end",
    "epochs": "of other epochs",
}
_WAY_OUT = {
    "dataset": "open the dataset that it was taken from",
    "version": "open that version: tfstream.open(..., version={theirs})",
    "selection": "select the records in the same way, or begin anew without the state",
    "records": "select the records in the same way, or begin anew without the state",
    "epochs": "make the streams with those epochs, in the order of their names",
}


@dataclasses.dataclass(frozen=True)
class Identity:
    """What a position is only good for: the records of a stream.

    Attributes:
        dataset: The commit of the version.
        version: Its number.
        selection: A hash of the selected records, in their order.
    """

    dataset: str
    version: int
    selection: str


@dataclasses.dataclass(frozen=True)
class Identities:
    """What a position in a mix is only good for.

    Attributes:
        sources: What each stream of the mix tells of itself, by its name.
    """

    sources: Mapping[str, Mapping[str, Any]]


def fingerprint(splits: Sequence[str], elements: npt.NDArray[np.int64] | None) -> str:
    """A hash of a selection: equal for the same elements in the same order.

    Args:
        splits: Whose records are numbered.
        elements: int64 [n] or [n, members]; None: all.

    >>> fingerprint(["train"], None)
    '4e9095f2ac5ae2b9'
    """
    hashed = hashlib.blake2b(digest_size=8)
    hashed.update("\0".join(splits).encode())
    if elements is not None:
        hashed.update(repr(elements.shape).encode())
        hashed.update(np.ascontiguousarray(elements).data)
    return hashed.hexdigest()


@dataclasses.dataclass(frozen=True)
class Position:
    """What a stream's positions mean.

    Attributes:
        identity: Of the records; called when a state is made or checked, as it may take a moment.
        order: Of each epoch: an Order; of a mix, a Mixture.
        share: What this worker takes of it.
        epochs: In an iteration; None: without end.
        counted: Whether the pipeline counts what it delivers.
        begin: (epoch, position) of the first iteration.
    """

    identity: Callable[[], Identity | Identities]
    order: Any
    share: Share
    epochs: int | None
    counted: bool
    begin: tuple[int, int] = (0, 0)

    def at(self, state: Mapping[str, Any] | None) -> Position:
        """The same stream, begun where a state was taken; None: at the very beginning."""
        return self if state is None else dataclasses.replace(self, begin=self.begin_of(state))

    def state(
        self, begun: tuple[int, int, int, int], batches_consumed: int | None
    ) -> dict[str, Any]:
        """See `StreamDataset.state`.

        Args:
            begun: The epoch and position of the first iteration, how many began, and how many
                elements of the newest were delivered.
            batches_consumed: Since then; None: those that were delivered.
        """
        epoch, position, iterations, delivered = begun
        if batches_consumed is None:
            if not self.counted:
                raise InvalidArgumentError(
                    "single samples are not counted on their way: give batches_consumed"
                )
            if iterations > 1:
                whole = self.epochs or 1
                epoch, position = epoch // whole * whole + whole * (iterations - 1), 0
            batches_consumed = delivered
        elif batches_consumed < 0:
            raise InvalidArgumentError(
                f"batches_consumed is a number of batches, 0 or more (got {batches_consumed})"
            )
        epoch, position = self._after(epoch, position, batches_consumed)
        return {
            "format": FORMAT,
            **self.told(),
            "epoch": epoch,
            "position": position,
        }

    def told(self) -> dict[str, Any]:
        """What a position of this stream is only good for."""
        return {**dataclasses.asdict(self.identity()), **self.order.told()}

    @property
    def endless(self) -> bool:
        """Whether an epoch has no end."""
        return self.order.records >= ENDLESS

    def _after(self, epoch: int, position: int, batches: int) -> tuple[int, int]:
        """Where the stream is some batches after a position."""
        left = self.share.steps_left(position)
        if batches >= left:
            batches -= left
            epoch += 1 + batches // max(1, self.share.steps)
            position, batches = 0, batches % max(1, self.share.steps)
        return epoch, position + batches * self.share.stride

    def begin_of(self, state: Mapping[str, Any]) -> tuple[int, int]:
        """The epoch and position that a state stands for.

        Raises:
            StateError: It is none, or of another stream.
        """
        number = state.get("format") if isinstance(state, Mapping) else None
        if not isinstance(number, int) or number < 1:
            raise StateError(f"{state!r:.200} is not the state of a stream: it has no format")
        if number > FORMAT:
            raise StateError(
                f"the state has format {number}, and this tfstream knows up to {FORMAT}: it was "
                "taken by a newer release. Upgrade tfstream"
            )
        mine = self.told()
        for name, told in (("dataset", "single stream"), ("sources", "mix")):
            if name in state and name not in mine:
                raise StateError(
                    f"the state is that of a {told}, and this is none "
                    f"({name}: {state[name]!r:.200}): give it to what it was taken from"
                )
        _compare(state, mine, ("epoch", "position"))
        if "sources" in mine:
            theirs = state["sources"]
            if not isinstance(theirs, Mapping) or sorted(theirs) != sorted(mine["sources"]):
                raise StateError(
                    f"the state is of a mix of other sources (state {list(theirs)}, mix "
                    f"{list(mine['sources'])}): mix streams of those names"
                )
            for name, told in mine["sources"].items():
                _compare(theirs[name], told, source=name)
        epoch, position = state["epoch"], state["position"]
        if not all(
            isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in (epoch, position)
        ):
            raise StateError(f"the state is damaged: epoch {epoch!r}, position {position!r}")
        if position > self.order.records:
            raise StateError(
                f"the state's position {position} is past the end of an epoch, which has "
                f"{self.order.records} samples: it was changed by hand, or is damaged"
            )
        if self.share.steps_left(position) == 0:  # what is left fills no batch
            return epoch + 1, 0
        return epoch, position


def _compare(
    state: Mapping[str, Any],
    mine: Mapping[str, Any],
    besides: tuple[str, ...] = (),
    source: str | None = None,
) -> None:
    """Refuses a state that does not tell of the same stream.

    Args:
        state: Of the stream, or of one of the sources of a mix.
        mine: What it should tell.
        besides: What else there must be.
        source: The source's name.
    """
    missing = [name for name in (*mine, *besides) if name not in state]
    if missing:
        raise StateError(f"the state is damaged: it has no {missing[0]!r} (got {state!r:.300})")
    differing = [name for name in mine if name in _WHAT and state[name] != mine[name]]
    if not differing:
        return
    name, made = differing[0], "mix" if "weights" in mine else "stream"
    shown = ", ".join(f"{n}: state {state[n]!r}, {made} {mine[n]!r}" for n in differing)
    way = _WAY_OUT.get(name, f"make the {made} with {name}={{theirs!r}}")
    of = "" if source is None else f" as to source {source!r}"
    raise StateError(f"the state is {_WHAT[name]}{of} ({shown}): {way.format(theirs=state[name])}")
