"""mix: several streams as one, in fixed proportions."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfstream.errors import InvalidArgumentError
from tfstream.mixture import MixedRecords
from tfstream.position import Identities, Position
from tfstream.schedule import Mixture, Schedule, Stop, whole_weights
from tfstream.stream import Recipe, StreamDataset, build

__all__ = ["mix"]

_ONE_MAP = ": pack or index both with the same --labels FILE"


def mix(
    streams: Mapping[str, StreamDataset],
    *,
    weights: Mapping[str, float] | Sequence[float] | None = None,
    seed: int = 0,
    stop: Stop = "first_exhausted",
    state: Mapping[str, Any] | None = None,
) -> StreamDataset:
    """One stream of the samples of several, in fixed proportions.

    Whose turn it is at each sample is arithmetic. Any 1,000 samples that follow one another, over
    all workers, hold what is due to each source, rounded up or down (for more than three sources,
    within two samples), and so does the whole. Each source's samples come in that stream's own
    order, one of its epochs after the other. The mix is a stream like any other: sharded,
    resumed and counted as one.

    Args:
        streams: By name, made by `PackedDataset.stream` with the same `batch_size`, `world`,
            `drop_remainder`, `pad_remainder`, `on_corrupt`, `image`, `label`, `boxes` and
            `elements`; where labels are among those, with the same label map. Each keeps its own
            `transform`. Dict elements also have `source`, the name. A stream is exhausted after
            its `epochs`; with None, never.
        weights: How much of each, by name or in the order of `streams`: any numbers that are not
            negative. 0 leaves a stream out. None: as many as they have records.
        seed: Of the turns, 0 to 2**63 - 1.
        stop: When an epoch of the mix ends: "first_exhausted", before the first sample that its
            source does not have any more; "all_exhausted", after the sample by which each
            source has given all, those that end sooner going on with their next epochs;
            "repeat": never, all going on so.
        state: Begin where `StreamDataset.state` was taken, of a mix of these very streams.

    Returns:
        The mix; iteration i is its epoch i, in which each source begins an epoch of its own that
        is new to it. Where that has no end, `steps_per_epoch` is -1, as `cardinality()` is.

    Raises:
        InvalidArgumentError: A weight is negative, not a number or that of no stream; all are
            zero; or the streams differ where they may not: the message names the first difference.
        StateError: The state is of another mix, or of something else.

    >>> mixed = tfstream.mix(                                             # doctest: +SKIP
    ...     {"real": real.stream(), "drawn": drawn.stream()}, weights={"real": 3, "drawn": 1}
    ... )
    """
    given = _weights(_checked(streams), weights)
    # By name, so that a state does not depend on the order in which they are given.
    names = tuple(sorted(name for name in streams if given[name] > 0))
    recipes = [streams[name].recipe for name in names]
    first = recipes[0]
    mixture = Mixture(
        Schedule(whole_weights([given[name] for name in names]), seed),
        names,
        tuple(recipe.position.order for recipe in recipes),
        tuple(recipe.position.epochs for recipe in recipes),
        stop,
    )
    share = dataclasses.replace(first.position.share, records=mixture.records)
    positions = [recipe.position for recipe in recipes]

    def identity() -> Identities:
        return Identities({n: p.told() for n, p in zip(names, positions, strict=True)})

    position = Position(
        functools.cache(identity), mixture, share, epochs=1, counted=share.batch_size is not None
    )
    if position.endless:
        position = dataclasses.replace(position, epochs=None)
    elements, transform = _telling(first, recipes, names)
    return build(
        dataclasses.replace(
            first,
            records=MixedRecords(
                mixture,
                tuple(recipe.records for recipe in recipes),  # type: ignore[misc]
                tuple(recipe.points for recipe in recipes),
            ),
            elements=elements,
            position=position.at(state),
            formats=frozenset().union(*(recipe.formats for recipe in recipes)),
            rotated=any(recipe.rotated for recipe in recipes),
            largest=tuple(max(sides) for sides in zip(*(r.largest for r in recipes), strict=True)),
            transform=transform,
            log_every=min((r.log_every for r in recipes if r.log_every is not None), default=None),
        )
    )


def _weights(
    streams: Mapping[str, StreamDataset], weights: Mapping[str, float] | Sequence[float] | None
) -> dict[str, float]:
    """The weight of each stream, by name."""
    if weights is None:
        return {name: stream.recipe.position.order.records for name, stream in streams.items()}
    if not isinstance(weights, Mapping):
        if isinstance(weights, str) or len(weights) != len(streams):
            raise InvalidArgumentError(
                f"weights must be as many as there are streams, {len(streams)} (got {weights!r})"
            )
        weights = dict(zip(streams, weights, strict=True))
    for name in [*weights, *streams]:
        if name not in streams or name not in weights:
            raise InvalidArgumentError(
                f"weights and streams must have the same names, and {name!r} is only in one of "
                f"them (weights: {', '.join(map(repr, weights))}; streams: "
                f"{', '.join(map(repr, streams))})"
            )
    for name, weight in weights.items():
        number = isinstance(weight, numbers.Real) and not isinstance(weight, bool)
        if not number or not math.isfinite(weight) or weight < 0:
            raise InvalidArgumentError(
                f"a weight is a number that is not negative (got {weight!r} for {name!r})"
            )
    if not any(weights.values()):
        raise InvalidArgumentError("all weights are 0: nothing is left to draw from")
    return {
        name: weight if isinstance(weight, numbers.Rational) else float(weight)
        for name, weight in weights.items()
    }


def _checked(streams: Mapping[str, StreamDataset]) -> Mapping[str, StreamDataset]:
    """The streams.

    Raises:
        InvalidArgumentError: They cannot be mixed.
    """
    if not isinstance(streams, Mapping) or not streams:
        raise InvalidArgumentError(
            "mix takes streams by name, {'a': ..., 'b': ...}, at least one "
            f"(got {streams!r:.200})"
        )
    for name, stream in streams.items():
        if not isinstance(name, str) or not name:
            raise InvalidArgumentError(f"the name of a stream is a text (got {name!r})")
        if not isinstance(stream, StreamDataset):
            raise InvalidArgumentError(
                f"{name!r} is a {type(stream).__name__}, and mix takes what PackedDataset.stream "
                "gives: mix first, then map and batch; or use stream(transform=...)"
            )
        if isinstance(stream.recipe.records, MixedRecords):
            raise InvalidArgumentError(
                f"{name!r} is a mix itself: mix its streams with the others, at products of the "
                "weights"
            )
        if stream.recipe.service is not None:
            raise InvalidArgumentError(
                f"{name!r} is made by a tf.data service, whose batches cannot be parted: make it "
                "without service="
            )
        if stream.recipe.position.begin != (0, 0):
            raise InvalidArgumentError(
                f"{name!r} has a state of its own: make it without, and give mix the state of the "
                "mix"
            )
    (name, one), *others = streams.items()
    for other_name, other in others:
        _agree(name, one, other_name, other)
    return streams


def _agree(name: str, one: StreamDataset, other_name: str, other: StreamDataset) -> None:
    """Refuses streams that differ where they may not, naming the first difference."""

    def compare(what: str, mine: Any, theirs: Any, advice: str = "") -> None:
        if mine != theirs:
            raise InvalidArgumentError(
                f"streams that are mixed must have the same {what}: {name!r} has {mine!r}, "
                f"{other_name!r} has {theirs!r}{advice}"
            )

    a, b = one.recipe, other.recipe
    for what in ("batch_size", "world", "drop_remainder", "pad_remainder"):
        compare(what, getattr(a.position.share, what), getattr(b.position.share, what))
    compare("on_corrupt", a.on_corrupt, b.on_corrupt)
    compare("elements", a.elements.form, b.elements.form)
    for what in ("image", "label", "boxes", "masks", "keypoints", "target"):
        compare(what, getattr(a.elements, what), getattr(b.elements, what))
    compare("size of data points", _members(a), _members(b))
    if a.elements.label or a.elements.boxes or a.elements.masks:
        mine, theirs = a.labels, b.labels
        for place, (label, their) in enumerate(zip(mine.names, theirs.names, strict=False)):
            compare(f"label map: label {place}", label, their, _ONE_MAP)
        compare("number of labels", len(mine.names), len(theirs.names), _ONE_MAP)
        compare("background class", mine.has_background, theirs.has_background)
    compare("elements after transform", one.element_spec, other.element_spec)


def _members(recipe: Recipe) -> int:
    return recipe.points.members if recipe.points else 1


def _telling(
    first: Recipe, recipes: Sequence[Recipe], names: tuple[str, ...]
) -> tuple[Any, Callable[..., Any] | None]:
    """Elements that tell what a sample's source is, where need be; and the transform of all."""
    transforms = [recipe.transform for recipe in recipes]
    named = dataclasses.replace(first.elements, sources=names)
    if first.elements.form == "dict":
        if not any(transforms) and not first.points:
            return named, None

        def of_dict(element: dict[str, Any]) -> Any:
            source = element["source"]
            if first.points:
                source = source[0]  # of a data point's first member, which is always there
            rest = {part: value for part, value in element.items() if part != "source"}
            out = _by_source(source, names, transforms, (rest,))
            return {**out, "source": source} if isinstance(out, dict) else out

        return named, of_dict
    if all(transform is transforms[0] for transform in transforms):
        return first.elements, transforms[0]

    def of_tuple(*parts: Any) -> Any:
        *rest, source = parts
        return _by_source(source[0] if first.points else source, names, transforms, tuple(rest))

    return named, of_tuple


def _by_source(
    source: tf.Tensor,
    names: tuple[str, ...],
    transforms: Sequence[Callable[..., Any] | None],
    parts: tuple[Any, ...],
) -> Any:
    """What the transform of the sample's source makes of it; padding takes the first one."""

    def branch(transform: Callable[..., Any] | None) -> Callable[[], Any]:
        def made() -> Any:
            if transform is not None:
                return transform(*parts)
            return parts if len(parts) > 1 else parts[0]

        return made

    if all(transform is transforms[0] for transform in transforms):
        return branch(transforms[0])()
    which = tf.argmax(tf.equal(tf.constant(names), source), output_type=tf.int32)
    return tf.switch_case(which, [branch(transform) for transform in transforms])
