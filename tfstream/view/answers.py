"""What the page is told, as plain values for JSON."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np

from tfstream.errors import InvalidArgumentError, TfstreamError
from tfstream.format import example, slices
from tfstream.v1.annotated_image_pb2 import AnnotatedImage, Tensor
from tfstream.versions import difference, history
from tfstream.view.histograms import histograms
from tfstream.view.session import Answer, Question, Session
from tfstream.view.shapes import annotation, mask, plain

__all__ = [
    "about",
    "compare",
    "find",
    "found",
    "instead",
    "record",
    "save",
    "spread",
    "versions",
]

_MOST_SHOWN = 500  # keys of a difference
_RECORD_OBJECTS = 5000
_RECORD_MASK = 800


def about(session: Session, version: int) -> dict[str, Any]:
    """What the page shows before anything is asked."""
    data = session.dataset(version)
    saved = slices.versions(session.directory)
    return {
        "path": data.path,
        "version": data.version,
        "newest": session.newest(),
        "splits": list(data.splits),
        "records": len(data),
        "labels": len(data.labels.names),
        "slices": [name for name, at in saved.items() if at == data.version],
    }


def found(session: Session, question: Question) -> dict[str, Any]:
    """How many records a question selects, and of which version."""
    answer = session.answer(question)
    whole = answer.whole
    return {
        "records": len(answer),
        "of": len(whole),
        "version": whole.version,
        "pictures": f"{whole.version}-{whole._version.manifest.commit}",
    }


def instead(image: AnnotatedImage) -> str | None:
    """What a record without an image holds; None: it has one."""
    if image.encoded:
        return None
    return _in_words(image.tensor) if image.HasField("tensor") else "no image"


def _in_words(tensor: Tensor) -> str:
    return f"{tensor.dtype} [{', '.join(map(str, tensor.shape))}]"


def record(session: Session, question: Question, place: int) -> dict[str, Any]:
    """All that is known of one record.

    Args:
        session: The dataset.
        question: Whose answer it is part of.
        place: Its place there.
    """
    answer = session.answer(question)
    numbers = answer.some(place, 1) if place >= 0 else []
    if not numbers:
        raise InvalidArgumentError(f"there is no record {place} of {len(answer):,}")
    number, whole = numbers[0], answer.whole
    at = np.array([number], np.int64)
    (row,) = whole.stored.engine.table(at, None).to_pylist()
    (lies,) = whole.stored.engine.table(at, ["offset", "length", "orientation"]).to_pylist()
    (shard,) = whole.stored.shards(at)
    out: dict[str, Any] = {
        "place": place,
        "number": number,
        "key": row["key"],
        "split": row["split"],
        "label": row["label"],
        "width": row["width"],
        "height": row["height"],
        "format": row["format"],
        "bytes": row["bytes"],
        "orientation": lies["orientation"],
        "shard": shard,
        "offset": lies["offset"],
        "length": lies["length"],
        "objects": [],
    }
    (image,) = session.read(whole.version, [number])
    if isinstance(image, TfstreamError):
        return {**out, "metadata": {}, "error": str(image)}
    metadata = whole.stored.metadata(number, image)
    return {
        **out,
        "filename": example.filename(image),
        "objects": annotation(image, whole.labels, side=_RECORD_MASK, most=_RECORD_OBJECTS),
        "void": mask(image.void, _RECORD_MASK),
        "more": max(0, len(image.objects) - _RECORD_OBJECTS),
        "instead": instead(image),
        "target": _in_words(image.target) if image.HasField("target") else None,
        "titles": _titles(image, answer),
        "metadata": {name: plain(value) for name, value in metadata.items()},
    }


def _titles(image: AnnotatedImage, answer: Answer) -> dict[str, str]:
    """What the labels of a record are called for people, where that is known."""
    labels = answer.whole.labels
    known = {item.label: labels.id.get(item.label, -1) for item in image.objects}
    return {
        label: labels.titles[index]
        for label, index in known.items()
        if index >= 0 and labels.titles[index]
    }


def spread(session: Session, question: Question) -> list[dict[str, Any]]:
    """Histograms of what a question selects, the labels with their indices."""
    answer = session.answer(question)
    made = [
        dataclasses.asdict(each) for each in histograms(answer.records.stored, answer.whole.fields)
    ]
    for bar in made[0]["bars"]:
        bar["class"] = answer.whole.labels.id.get(bar["text"], -1)
    return made


def find(session: Session, version: int, key: str) -> int:
    """The place of a record among all of a version.

    Raises:
        NoSuchKeyError: There is none of that key; names those near it.
    """
    numbers = session.dataset(version)[[key]].stored.numbers
    return 0 if numbers is None else int(numbers[0])


def versions(session: Session) -> list[dict[str, Any]]:
    """The history of the dataset, newest first."""
    out = []
    for info in reversed(history.versions(session.directory)):
        told = dataclasses.asdict(info)
        told["time"] = None if info.time is None else info.time.isoformat()
        out.append(told)
    return out


def compare(session: Session, before: int, after: int) -> dict[str, Any]:
    """In what two versions differ; the first records of it."""
    differing = difference.diff(session.directory, before, after)
    try:
        shown = itertools.islice(differing, _MOST_SHOWN)
        return {
            "before": before,
            "after": after,
            "added": differing.added,
            "removed": differing.removed,
            "changed": differing.changed,
            "records": [dataclasses.asdict(each) for each in shown],
        }
    finally:
        differing.close()


def save(session: Session, question: Question, name: str) -> dict[str, Any]:
    """Keeps what a question selects as a slice.

    Raises:
        InvalidArgumentError: It cannot have that name.
        DatasetExistsError: There is another one of that name.
    """
    answer = session.answer(question)
    answer.data.save(name)
    return {"name": name, "version": answer.whole.version, "records": len(answer)}
