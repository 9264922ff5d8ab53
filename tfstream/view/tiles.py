"""What the grid shows, as one answer that grows: records and their pictures, as they are made."""

from __future__ import annotations

import asyncio
import base64
import collections
import functools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tfstream.errors import CorruptRecordError, TfstreamError
from tfstream.v1.annotated_image_pb2 import AnnotatedImage
from tfstream.view.answers import instead
from tfstream.view.session import Answer, Question, Session
from tfstream.view.shapes import annotation, mask

__all__ = ["Tiles"]

_MOST_RECORDS = 200  # of an answer
_MOST_OBJECTS = 150
_MASK = 160  # pixels


class Tiles:
    """Makes tiles in as many threads as there are cores, first those that were asked for first.

    A tile is a line of JSON: `number`, `key`, `width`, `height`, `objects` (see `shapes`), `more`
    (how many objects were left out), `void` (a mask, or None), `instead` (what a record without an
    image holds) and `picture` (a JPEG in base64; None: there is none, or it does not decode); or
    `number`, `key` and `error` where the record is damaged.

    Why not a request a picture: a browser has six under way at a time, and each of them costs it
    and the server more than making the picture does.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "tfstream-view-tiles")

    def read(
        self, question: Question, begin: int, count: int, side: int
    ) -> list[Callable[[], bytes]]:
        """Reads some of the records of an answer, one after the other.

        Args:
            question: Whose answer it is.
            begin: The place of the first one.
            count: How many, of more than 200 the first ones.
            side: The most pixels of a picture's longer side.

        Returns:
            What makes the tile of each.
        """
        answer = self._session.answer(question)
        numbers = answer.some(begin, min(count, _MOST_RECORDS))
        images = self._session.read(answer.whole.version, numbers)
        return [
            functools.partial(self._line, answer, number, image, side)
            for number, image in zip(numbers, images, strict=True)
        ]

    def _line(
        self, answer: Answer, number: int, image: AnnotatedImage | CorruptRecordError, side: int
    ) -> bytes:
        told = self._tile(answer, number, image, side)
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _tile(
        self, answer: Answer, number: int, image: AnnotatedImage | CorruptRecordError, side: int
    ) -> dict[str, Any]:
        version = answer.whole.version
        if isinstance(image, TfstreamError):
            key = self._session.key_of(version, number)
            return {"number": number, "key": key, "error": str(image)}
        picture = None
        if image.encoded:
            try:
                picture = self._session.shrunk(version, number, image, side)
            except CorruptRecordError:  # the tile tells of it
                picture = None
        return {
            "number": number,
            "key": image.key,
            "width": image.width,
            "height": image.height,
            "objects": annotation(image, answer.whole.labels, side=_MASK, most=_MOST_OBJECTS),
            "void": mask(image.void, _MASK),
            "more": max(0, len(image.objects) - _MOST_OBJECTS),
            "instead": instead(image),
            "picture": None if picture is None else base64.b64encode(picture).decode(),
        }

    def close(self) -> None:
        """Waits for what is being made, and makes no more."""
        self._threads.shutdown(cancel_futures=True)

    async def lines(
        self, makers: list[Callable[[], bytes]], is_given_up: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[bytes]:
        """Makes tiles, and gives them in their order.

        Args:
            makers: Of `read`.
            is_given_up: Whether nobody reads them any more; those not yet begun are not made then.
        """
        waiting = collections.deque[Future[bytes]](map(self._threads.submit, makers))
        try:
            while waiting:
                ready = [await asyncio.wrap_future(waiting.popleft())]
                while waiting and waiting[0].done():
                    ready.append(waiting.popleft().result())
                yield b"".join(ready)
                if await is_given_up():
                    break
        finally:
            for each in waiting:
                each.cancel()
