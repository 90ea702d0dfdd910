"""The endpoint: who may ask, how much, for how long. What answers is a `Backend`."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from medray.errors import DataError
from medray.serving.door import GONE, Door, response_of
from medray.serving.meters import Meters
from medray.serving.openapi import BULK, operation_of
from medray.serving.page import page_of
from medray.serving.replies import Reply, failure, refuse
from medray.serving.room import Place, Room
from medray.spec.serving import Serving
from medray.version import __version__


class Backend(Protocol):
    """What stands behind the endpoint."""

    def models(self) -> list[dict[str, Any]]:
        """Name, version, digest, task, and what it takes and gives, of each; see
        `medray.jobs.serve.described`."""

    def places(self, model: str) -> int:
        """How many requests the replicas of a model take at once, now."""

    async def predict(self, model: str, body: bytes, asked: dict[str, str]) -> Reply:
        """Answer a request; see `Answerer`. `asked` has media, accept and outputs. Cancelled, it is
        not computed, if it has not begun."""

    async def start_bulk(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Start a bulk job, or find the one that does the same."""

    def bulk(self, job: str) -> dict[str, Any]:
        """How a bulk job is."""


class Body:
    """Reads bodies up to a limit, and no more of them at once than memory should hold."""

    def __init__(self, limit: int, held: int) -> None:
        self._limit, self._free = limit, held

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The body, while room for it is kept.

        Raises:
            _Refused: too large (413), or too many are under way (503). Nothing was read then.
        """
        told = request.headers.get("content-length", "")
        length = int(told) if told.isdecimal() else self._limit
        if length > self._limit:
            raise _Refused(refuse(413, "too-large", f"at most {self._limit} bytes"))
        if length > self._free:
            raise _Refused(refuse(503, "busy", "too many bodies under way"))
        self._free -= length
        try:
            body = bytearray()
            async for piece in request.stream():
                body += piece
                if len(body) > self._limit:
                    raise _Refused(refuse(413, "too-large", f"at most {self._limit} bytes"))
            yield bytes(body)
        finally:
            self._free += length


class _Refused(Exception):
    """A request is turned away."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def make_app(backend: Backend, options: Serving, hashes: tuple[str, ...]) -> FastAPI:
    """The ASGI application; errors of all kinds have one form, and quote nothing that was sent.

    Args:
        backend: what answers.
        options: limits and timeouts.
        hashes: of the tokens that may pass.
    """
    app = FastAPI(
        title="medray", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    meters, bodies = Meters(), Body(options.body_bytes, options.held_bytes)
    rooms = _rooms(backend, options)
    paths = {f"/v1/models/{name}:predict": name for name in rooms}
    app.add_middleware(
        Door,
        hashes=hashes,
        rooms={path: rooms[name] for path, name in paths.items()},
        refused=lambda path, status: meters.refused(paths[path], status),
    )
    app.add_exception_handler(HTTPException, _as_reply)
    app.add_exception_handler(RequestValidationError, _as_reply)

    @app.get("/healthz", summary="Whether the endpoint is up; needs no token")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models", summary="The models behind the endpoint")
    async def models() -> dict[str, Any]:
        return {"models": backend.models()}

    @app.get("/metrics", summary="Counters for Prometheus")
    async def metrics() -> Response:
        return Response(meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", summary="This page", response_class=HTMLResponse)
    async def docs(request: Request) -> str:
        return page_of(app.openapi(), backend.models(), str(request.base_url).rstrip("/"))

    for model in backend.models():
        _add_model(app, backend, model, rooms[model["name"]], bodies, meters, options)
    if options.bulk:
        _add_bulk(app, backend, bodies, options)
    return app


def _add_model(
    app: FastAPI,
    backend: Backend,
    model: dict[str, Any],
    room: Room,
    bodies: Body,
    meters: Meters,
    options: Serving,
) -> None:
    """The path of one model."""
    name = model["name"]

    @app.post(
        f"/v1/models/{name}:predict",
        summary=f"Ask {name}",
        operation_id=f"predict-{name}",
        openapi_extra=operation_of(model),
    )
    async def predict(
        request: Request,
        outputs: str = Query("", max_length=20, include_in_schema=False),
    ) -> Response:
        asked = {
            "media": request.headers.get("content-type", "").partition(";")[0].strip().lower(),
            "accept": request.headers.get("accept", ""),
            "outputs": outputs,
        }

        async def answer() -> Reply:
            async with room.entered() as place, bodies.read(request) as body:
                meters.received(name, len(body))
                return await _unless_gone(request, _asked(place, body))

        async def _asked(place: Place, body: bytes) -> Reply:
            await place.turn()
            return await backend.predict(name, body, asked)

        with meters.call(name) as call:
            reply = await _within(options.timeout_s, answer)
            call.status = reply.status
        return response_of(reply)


def _add_bulk(app: FastAPI, backend: Backend, bodies: Body, options: Serving) -> None:
    @app.post("/v1/bulk", status_code=202, summary="Predict a dataset", openapi_extra=BULK)
    async def start(request: Request) -> Response:
        async def answer() -> Reply:
            async with bodies.read(request) as body:
                made = await backend.start_bulk(_document(body))
            return Reply(202, "application/json", json.dumps(made).encode())

        return response_of(await _within(options.timeout_s, answer))

    @app.get("/v1/bulk/{job}", summary="How a bulk job is")
    async def look(job: str) -> Response:
        async def answer() -> Reply:
            made = await asyncio.to_thread(backend.bulk, job)
            return Reply(200, "application/json", json.dumps(made).encode())

        return response_of(await _within(options.timeout_s, answer))


def _rooms(backend: Backend, options: Serving) -> dict[str, Room]:
    """By model; all share one where they share replicas."""

    def room(name: str) -> Room:
        return Room(options.queue, options.wait, lambda: backend.places(name))

    names = [model["name"] for model in backend.models()]
    return dict.fromkeys(names, room(names[0])) if options.together else {n: room(n) for n in names}


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Reply]) -> Reply:
    """The answer; its making is given up when the client leaves.

    Raises:
        ClientDisconnect: it left.
    """
    answering = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(request.receive())  # the body is read: only an end can come
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientDisconnect
        return answering.result()
    finally:
        leaving.cancel()
        if answering.cancel():
            await asyncio.wait((answering,))


async def _within(seconds: float, answer: Callable[[], Awaitable[Reply]]) -> Reply:
    """The answer, or the reply that says why there is none."""
    try:
        async with asyncio.timeout(seconds):
            return await answer()
    except TimeoutError:
        return refuse(504, "timeout", f"no answer within {seconds:g} s")
    except _Refused as refused:
        return refused.reply
    except ClientDisconnect:
        return refuse(GONE, "client-left", "nobody is there to read this")
    except Exception as error:  # noqa: BLE001 - every request gets an answer
        return failure(error)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError("the body is no JSON", code="bad-json") from error
    if not isinstance(document, dict):
        raise DataError("the body is no JSON object", code="bad-json")
    return document


async def _as_reply(_: Request, error: Exception) -> Response:
    if isinstance(error, RequestValidationError):
        return response_of(refuse(422, "bad-parameter", "a parameter cannot be used"))
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not-found", 405: "method-not-allowed"}.get(status, "refused")
    response = response_of(refuse(status, code, "nothing answers here"))
    if isinstance(error, HTTPException):
        response.headers.update(error.headers or {})
    return response
