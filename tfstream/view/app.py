"""The server of `tfstream view`: which address is answered by what."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tfstream import errors
from tfstream.view import answers, asked, batches, completion, wording
from tfstream.view.guard import Guard
from tfstream.view.session import Session
from tfstream.view.tiles import Tiles

__all__ = ["make_app"]

_STATIC = Path(__file__).parent / "static"
_MEDIA = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "html": "text/html"}
_GONE = 499  # nobody reads it
_MOST_BODY = 1 << 20  # bytes
# Pictures of a version never change, and their addresses name it with its commit.
_FOREVER = "private, max-age=31536000, immutable"

_STATUS = (
    (errors.DatasetExistsError, 409),
    (errors.NoSuchKeyError, 404),
    (errors.DatasetNotFoundError, 404),
    (errors.InvalidArgumentError, 400),
    (errors.CorruptRecordError, 422),
)

Result = TypeVar("Result")


def make_app(session: Session, *, token: str, host: str, port: int) -> Starlette:
    """The application.

    Args:
        session: What is viewed.
        token: That the browser must have.
        host: That the server listens on.
        port: Likewise.
    """
    view = _View(session)
    routes = [
        Route("/", view.index),
        Route("/api/about", view.about),
        Route("/api/found", view.found),
        Route("/api/records", view.records),
        Route("/api/record", view.record),
        Route("/api/find", view.find),
        Route("/api/complete", view.complete),
        Route("/api/refine", view.refine),
        Route("/api/histograms", view.histograms),
        Route("/api/versions", view.versions),
        Route("/api/difference", view.difference),
        Route("/api/newest", view.newest),
        Route("/api/batch", view.batch),
        Route("/api/slices", view.save, methods=["POST"]),
        Route("/picture/{version:int}-{commit}/{number:int}/{side}", view.picture),
        Route("/static/{name}", view.static),
    ]
    guard = Middleware(Guard, token=token, host=host, port=port)
    return Starlette(
        routes=routes,
        middleware=[guard],
        exception_handlers={errors.TfstreamError: _refused},
        lifespan=view.warming,
    )


async def _refused(request: Request, error: Exception) -> Response:
    """An error as the page shows it: one sentence, and where in the query the mistake is."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 502)
    told: dict[str, Any] = {"error": str(error)}
    if isinstance(error, errors.QueryError):
        # Without the lines for a terminal, which show the place.
        sentence = str(error).split("\n")[0].removesuffix(f" (column {error.column})")
        told = {"error": sentence, "column": error.column}
    return JSONResponse(told, status_code=status)


class _View:
    """Answers requests, in threads, of which few make pictures."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tiles = Tiles(session)
        # In memory: no request makes a path.
        self._static = {path.name: path.read_bytes() for path in _STATIC.iterdir()}
        self._page_shown = threading.Event()
        cores = os.cpu_count() or 1
        self._pictures = anyio.CapacityLimiter(max(2, cores))
        self._answers = anyio.CapacityLimiter(max(4, cores))

    @contextlib.asynccontextmanager
    async def warming(self, app: Starlette) -> AsyncIterator[None]:
        """Has what the first query needs be done once the page was shown; ends the threads."""

        def warm() -> None:
            self._page_shown.wait()
            with contextlib.suppress(errors.TfstreamError):  # whoever asks is told
                self._session.warm_queries()

        threading.Thread(target=warm, name="tfstream-view-warm", daemon=True).start()
        yield
        self._page_shown.set()
        self._tiles.close()

    async def _answer(self, ask: Callable[..., Any], *arguments: Any) -> Response:
        work = functools.partial(ask, *arguments)
        return JSONResponse(await anyio.to_thread.run_sync(work, limiter=self._answers))

    async def index(self, request: Request) -> Response:
        """The page itself."""
        return Response(self._static["index.html"], media_type="text/html")

    async def static(self, request: Request) -> Response:
        """What the page is made of."""
        name = request.path_params["name"]
        data = self._static.get(name)
        if data is None:
            return Response(status_code=404)
        return Response(data, media_type=_MEDIA.get(name.rpartition(".")[2]))

    async def about(self, request: Request) -> Response:
        """What is viewed."""
        version = asked.number(request.query_params, "version", self._session.version)
        return await self._answer(answers.about, self._session, version)

    async def found(self, request: Request) -> Response:
        """How many records a query selects."""
        return await self._answer(answers.found, self._session, self._question(request))

    async def records(self, request: Request) -> Response:
        """Some of the records of an answer, with their pictures: a line of JSON each."""
        begin, count = (asked.number(request.query_params, name) for name in ("begin", "count"))
        side = asked.side(request.query_params)
        question = self._question(request)
        work = functools.partial(self._tiles.read, question, begin, count, side)
        makers = await _while_awaited(request, work, self._answers)
        if makers is None:
            return Response(status_code=_GONE)
        lines = self._tiles.lines(makers, request.is_disconnected)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def record(self, request: Request) -> Response:
        """One record of an answer."""
        place = asked.number(request.query_params, "place")
        question = self._question(request)
        return await self._answer(answers.record, self._session, question, place)

    async def find(self, request: Request) -> Response:
        """The place of a key."""
        version = asked.number(request.query_params, "version", self._session.version)
        key = request.query_params.get("key", "")
        return await self._answer(answers.find, self._session, version, key)

    async def complete(self, request: Request) -> Response:
        """What the query may go on with."""
        version = asked.number(request.query_params, "version", self._session.version)
        fields = self._session.dataset(version).fields
        made = completion.complete(request.query_params.get("q", ""), fields, fields.columns)
        return JSONResponse(
            {"begin": made.begin, "suggestions": [vars(each) for each in made.suggestions]}
        )

    async def refine(self, request: Request) -> Response:
        """A query with one more condition, or one less."""
        given = request.query_params
        return JSONResponse(wording.refine(given.get("q", ""), given.get("condition", "")))

    async def histograms(self, request: Request) -> Response:
        """How the records of an answer are spread."""
        work = functools.partial(answers.spread, self._session, self._question(request))
        made = await _while_awaited(request, work, self._answers)
        self._page_shown.set()
        return Response(status_code=_GONE) if made is None else JSONResponse(made)

    async def versions(self, request: Request) -> Response:
        """The history."""
        return await self._answer(answers.versions, self._session)

    async def difference(self, request: Request) -> Response:
        """In what two versions differ."""
        before, after = (asked.number(request.query_params, name) for name in ("before", "after"))
        return await self._answer(answers.compare, self._session, before, after)

    async def newest(self, request: Request) -> Response:
        """The newest version that there is by now."""
        return await self._answer(self._session.newest)

    async def batch(self, request: Request) -> Response:
        """A batch as the model sees it."""
        look = asked.look(request.query_params)
        question = self._question(request)

        def make() -> dict[str, Any]:
            return batches.batch(self._session.answer(question).records, look)

        return await self._answer(make)

    async def save(self, request: Request) -> Response:
        """Keeps an answer as a slice."""
        given = await _body(request)
        question = asked.question(given, self._session.version)
        return await self._answer(answers.save, self._session, question, given.get("name", ""))

    async def picture(self, request: Request) -> Response:
        """A record's picture, of one of a few sizes; made only while somebody waits for it."""
        given = request.path_params
        which = given["version"], given["number"], asked.side(given)
        work = functools.partial(self._session.thumbnail, *which)
        made = await _while_awaited(request, work, self._pictures)
        if made is None:
            return Response(status_code=_GONE)
        return Response(made, media_type="image/jpeg", headers={"cache-control": _FOREVER})

    def _question(self, request: Request) -> Any:
        return asked.question(request.query_params, self._session.version)


async def _body(request: Request) -> dict[str, str]:
    """The texts of a JSON object.

    Raises:
        InvalidArgumentError: It is none.
    """
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > _MOST_BODY:
            raise errors.InvalidArgumentError(f"a request has at most {_MOST_BODY} bytes")
    try:
        given = json.loads(data)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise errors.InvalidArgumentError("the request must be a JSON object")
    return {str(name): str(value) for name, value in given.items()}


async def _while_awaited(
    request: Request, work: Callable[[], Result], limiter: anyio.CapacityLimiter
) -> Result | None:
    """Does something in a thread, unless the browser goes away before its turn comes: then None."""
    made: list[Result] = []
    failed: list[Exception] = []
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        try:
            made.append(await anyio.to_thread.run_sync(work, limiter=limiter))
        except errors.TfstreamError as error:  # not as part of a group of exceptions
            failed.append(error)
        tasks.cancel_scope.cancel()
    if failed:
        raise failed[0]
    return made[0] if made else None
