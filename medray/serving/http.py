"""The endpoint: who may ask, how much, for how long. What answers is a `Backend`."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fastapi import FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from medray.errors import DataError
from medray.serving.answer import Reply, failure, refuse
from medray.serving.decode import MEDIA
from medray.serving.meters import Meters
from medray.serving.page import page_of
from medray.serving.tokens import known
from medray.spec.serving import Serving
from medray.version import __version__


class Backend(Protocol):
    """What stands behind the endpoint."""

    def models(self) -> list[dict[str, Any]]:
        """Name, version, digest and task of each."""

    async def predict(self, model: str, body: bytes, asked: dict[str, str]) -> Reply:
        """Answer a request; see `Answerer`. `asked` has media, accept and outputs."""

    async def start_bulk(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Start a bulk job, or find the one that does the same."""

    def bulk(self, job: str) -> dict[str, Any]:
        """How a bulk job is."""


class Gate:
    """Lets nobody pass without a token, whatever the path, but for /healthz."""

    def __init__(self, app: ASGIApp, hashes: tuple[str, ...]) -> None:
        self._app, self._hashes = app, hashes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan" or scope.get("path") == "/healthz" or self._knows(scope):
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        reply = refuse(401, "no-token", "Authorization: Bearer <token> is missing or wrong")
        response = _response(reply)
        response.headers["WWW-Authenticate"] = "Bearer"
        await response(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].decode("latin-1").partition(" ")
        return scheme.lower() == "bearer" and known(token.strip(), self._hashes)


class Body:
    """Reads bodies up to a limit, and no more of them at once than memory should hold."""

    def __init__(self, limit: int, held: int) -> None:
        self._limit, self._free = limit, held

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The body, while room for it is kept.

        Raises:
            _Refused: too large (413), or too many are under way (429). Nothing was read then.
        """
        told = request.headers.get("content-length", "")
        length = int(told) if told.isdecimal() else self._limit
        if length > self._limit:
            raise _Refused(refuse(413, "too-large", f"at most {self._limit} bytes"))
        if length > self._free:
            raise _Refused(refuse(429, "busy", "too many bodies under way"))
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
    """The ASGI application.

    Args:
        backend: what answers.
        options: limits and timeouts.
        hashes: of the tokens that may pass.
    """
    app = FastAPI(title="medray", version=__version__, docs_url=None, redoc_url=None)
    meters, bodies = Meters(), Body(options.body_bytes, options.held_bytes)
    names = {model["name"] for model in backend.models()}
    app.add_middleware(Gate, hashes=hashes)
    app.add_exception_handler(HTTPException, _as_reply)

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

    @app.post("/v1/models/{name}:predict", summary="Ask a model", openapi_extra=_BODY)
    async def predict(
        name: str, request: Request, outputs: str = Query("labels", max_length=20)
    ) -> Response:
        if name not in names:
            raise HTTPException(404)
        asked = {
            "media": request.headers.get("content-type", "").partition(";")[0].strip().lower(),
            "accept": request.headers.get("accept", ""),
            "outputs": outputs,
        }

        async def answer() -> Reply:
            async with bodies.read(request) as body:
                meters.received(name, len(body))
                return await backend.predict(name, body, asked)

        with meters.call(name) as call:
            reply = await _within(options.timeout_s, answer)
            call.status = reply.status
        return _response(reply)

    if options.bulk:
        _add_bulk(app, backend, bodies, options)
    return app


def _add_bulk(app: FastAPI, backend: Backend, bodies: Body, options: Serving) -> None:
    @app.post("/v1/bulk", status_code=202, summary="Predict a dataset", openapi_extra=_BULK)
    async def start(request: Request) -> Response:
        async def answer() -> Reply:
            async with bodies.read(request) as body:
                made = await backend.start_bulk(_document(body))
            return Reply(202, "application/json", json.dumps(made).encode())

        return _response(await _within(options.timeout_s, answer))

    @app.get("/v1/bulk/{job}", summary="How a bulk job is")
    async def look(job: str) -> Response:
        async def answer() -> Reply:
            made = await asyncio.to_thread(backend.bulk, job)
            return Reply(200, "application/json", json.dumps(made).encode())

        return _response(await _within(options.timeout_s, answer))


async def _within(seconds: float, answer: Callable[[], Awaitable[Reply]]) -> Reply:
    """The answer, or the reply that says why there is none."""
    try:
        async with asyncio.timeout(seconds):
            return await answer()
    except TimeoutError:
        return refuse(504, "timeout", f"no answer within {seconds:g} s")
    except _Refused as refused:
        return refused.reply
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


async def _as_reply(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not-found", 405: "method-not-allowed"}.get(status, "refused")
    body = json.loads(refuse(status, code, "nothing answers here").body)
    return JSONResponse(body, status)


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, reply.headers, reply.media)


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {"type": "array", "items": {}},
                        "dtype": {"type": "string", "default": "float32"},
                        "spacing_mm": {"type": "array", "items": {"type": "number"}},
                    },
                }
            },
            **dict.fromkeys(MEDIA[1:], _BINARY),
        },
    }
}
_BULK = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model", "data", "output"],
                    "properties": {
                        name: {"type": "string"} for name in ("model", "data", "output")
                    },
                }
            }
        },
    }
}
