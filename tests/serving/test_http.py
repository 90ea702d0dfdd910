"""The endpoint over a real socket, without Ray: who may ask, how much, for how long."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from endpoint import Client, free_port
from fastapi import FastAPI

from medray.modalities.media import JSON
from medray.serving.http import make_app
from medray.serving.lines import Limits
from medray.serving.listen import bind, listening
from medray.serving.replies import Reply
from medray.serving.tokens import hash_of
from medray.spec.serving import Serving

TOKEN = "a" * 43
LIMITS = Limits(20, head_s=0.5, unread_s=0.5)
OPTIONS = Serving(models=("chest",), timeout_s=1, body_bytes=1000, held_bytes=2500)


@dataclass
class Echo:
    """Answers with the number of bytes it got, as late as the body says."""

    bodies: list[int] = field(default_factory=list)

    def models(self) -> list[dict[str, Any]]:
        said = {"task": "classification", "classes": ["<b>no", "yes"], "samples": "pictures"}
        kinds = {"takes": {"image/png": {"type": "string"}}, "gives": {JSON: {"type": "object"}}}
        chest = {"name": "chest", "version": "0123456789abcdef", "reference": "chest@0123"}
        dna = {"name": "dna", "version": "ab", "reference": "dna@ab", "outputs": ["labels"]}
        letters = {"type": "object", "example": {"sequence": "ACGT"}}
        return [
            {**chest, **said, **kinds, "outputs": []},
            {**dna, **said, "takes": {JSON: letters}, "gives": kinds["gives"]},
        ]

    def places(self, model: str) -> int:
        return 2

    async def predict(self, model: str, body: bytes, asked: dict[str, str]) -> Reply:
        self.bodies.append(len(body))
        if body.startswith(b"sleep"):
            await asyncio.sleep(float(body.split()[1]))
        if body == b"fail":
            raise ValueError("patient Doe, John")
        return Reply(200, "text/plain", str(len(body)).encode(), {"medray-model": "chest@1"})

    async def start_bulk(self, asked: dict[str, Any]) -> dict[str, Any]:
        return asked

    def bulk(self, job: str) -> dict[str, Any]:
        return {"job": job}


@dataclass
class Endpoint:
    client: Client
    backend: Echo
    port: int
    app: FastAPI


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    backend, port = Echo(), free_port()
    app = make_app(backend, OPTIONS, (hash_of(TOKEN), hash_of("b" * 43)))
    with listening(app, bind("127.0.0.1", port), None, 1, LIMITS):
        yield Endpoint(Client(port, TOKEN), backend, port, app)


ENDPOINTS = [
    ("GET", "/v1/models"),
    ("POST", "/v1/models/chest:predict"),
    ("POST", "/v1/models/none:predict"),
    ("POST", "/v1/bulk"),
    ("GET", "/v1/bulk/1"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing"),
    ("HEAD", "/healthz/"),
    ("OPTIONS", "/v1/models"),
    ("GET", "//healthz"),
    ("GET", "/healthz/../v1/models"),
]


@pytest.mark.parametrize("token", ["", "wrong", "a" * 42, TOKEN + "a", hash_of(TOKEN)])
def test_without_the_token_nothing_answers_but_health(endpoint: Endpoint, token: str) -> None:
    client = Client(endpoint.port, token)
    assert client.ask("GET", "/healthz").status == 200
    for method, path in ENDPOINTS:
        reply = client.ask(method, path, b"x" if method == "POST" else b"")
        assert (method, path, reply.status) == (method, path, 401)
        assert reply.headers["www-authenticate"] == "Bearer"
    assert endpoint.backend.bodies == []


@pytest.mark.parametrize("token", ["", "wrong"])
def test_no_route_of_the_application_was_forgotten(endpoint: Endpoint, token: str) -> None:
    """Whatever the application answers, by its own table; one that is added is asked here too."""
    routes = {
        (method, route.path)
        for route in endpoint.app.routes
        for method in (*route.methods, "PATCH")
    }
    paths = {path for _, path in routes}
    assert {"/healthz", "/metrics", "/openapi.json", "/v1/bulk/{job}"} <= paths
    client = Client(endpoint.port, token)
    for method, path in sorted(routes):
        status = client.ask(method, path.format(name="chest", job="1")).status
        if path == "/healthz":  # the one that says nothing of anybody
            assert status == (200 if method == "GET" else 405)
        else:
            assert (method, path, status) == (method, path, 401)
    assert endpoint.backend.bodies == []


def test_any_of_the_tokens_passes(endpoint: Endpoint) -> None:
    for token in (TOKEN, "b" * 43):
        assert Client(endpoint.port, token).ask("GET", "/v1/models").json == {
            "models": endpoint.backend.models()
        }
    described = endpoint.client.ask("GET", "/openapi.json").json
    own = {
        name: described["paths"][f"/v1/models/{name}:predict"]["post"] for name in ("chest", "dna")
    }
    bodies = {name: one["requestBody"]["content"] for name, one in own.items()}
    assert bodies["chest"] == {"image/png": {"schema": {"type": "string"}}}
    assert bodies["dna"][JSON]["schema"]["example"] == {"sequence": "ACGT"}
    assert [one["name"] for one in own["dna"]["parameters"]] == ["outputs"]
    assert "parameters" not in own["chest"]
    assert own["chest"]["responses"]["200"]["content"] == {JSON: {"schema": {"type": "object"}}}
    page = endpoint.client.ask("GET", "/docs").body.decode()
    assert f"http://127.0.0.1:{endpoint.port}/v1/models/chest:predict" in page
    assert "&lt;b&gt;no, yes" in page
    assert "/v1/bulk/{job}" in page


def test_limits_hold_before_a_body_is_read(endpoint: Endpoint) -> None:
    client = endpoint.client
    assert client.predict("chest", b"x" * 1000, "image/png").body == b"1000"
    assert client.predict("chest", b"x" * 1001, "image/png").status == 413
    assert client.predict("none", b"x", "image/png").status == 404
    # It says how much it would send, and is answered before it sends any of it.
    with socket.create_connection(("127.0.0.1", endpoint.port), 5) as line:
        line.sendall(_head(f"Content-Length: {2**40}"))
        assert line.recv(100).startswith(b"HTTP/1.1 413")
    # It does not say, and is cut off where the limit is.
    with socket.create_connection(("127.0.0.1", endpoint.port), 5) as line:
        line.sendall(_head("Transfer-Encoding: chunked"))
        line.sendall(b"3E9\r\n" + b"x" * 1001 + b"\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 413")
    assert endpoint.backend.bodies == [1000]


def test_a_body_that_never_comes_and_an_answer_that_never_comes(endpoint: Endpoint) -> None:
    with socket.create_connection(("127.0.0.1", endpoint.port), 5) as line:
        line.sendall(_head("Content-Length: 10"))
        assert line.recv(100).startswith(b"HTTP/1.1 504")
    started = time.monotonic()
    reply = endpoint.client.predict("chest", b"sleep 30", "image/png")
    assert (reply.status, reply.json["error"]["code"]) == (504, "timeout")
    assert time.monotonic() - started < 3


def test_bodies_beyond_what_is_held_wait_their_turn(endpoint: Endpoint) -> None:
    """Three of 1000 bytes where 2500 may be held: one is told to come again."""
    found: list[Any] = []
    body = b"sleep 0.5 ".ljust(1000)
    threads = [
        threading.Thread(
            target=lambda: found.append(endpoint.client.predict("chest", body, "image/png"))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reply.status for reply in found) == [200, 200, 503]
    assert [reply.headers["retry-after"] for reply in found if reply.status == 503] == ["1"]
    # And what was held is free again.
    assert endpoint.client.predict("chest", b"x" * 1000, "image/png").status == 200


def test_failures_are_counted_and_not_quoted(endpoint: Endpoint) -> None:
    client = endpoint.client
    client.predict("chest", b"abc", "image/png")
    reply = client.predict("chest", b"fail", "image/png")
    assert reply.status == 500
    assert b"Doe" not in reply.body
    lines = client.ask("GET", "/metrics").body.decode().splitlines()
    assert 'medray_requests_total{model="chest",status="200"} 1.0' in lines
    assert 'medray_requests_total{model="chest",status="500"} 1.0' in lines
    assert 'medray_request_bytes_total{model="chest"} 7.0' in lines
    assert "medray_requests_open 0.0" in lines


def test_bulk_takes_an_object(endpoint: Endpoint) -> None:
    assert endpoint.client.ask("POST", "/v1/bulk", b'{"data": "ct"}').json == {"data": "ct"}
    assert endpoint.client.ask("POST", "/v1/bulk", b"[]").status == 422
    assert endpoint.client.ask("POST", "/v1/bulk", b"{").status == 422


def _head(length: str) -> bytes:
    return (
        f"POST /v1/models/chest:predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: image/png\r\n{length}\r\n\r\n"
    ).encode()
