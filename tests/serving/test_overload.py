"""More, slower, stranger clients than there should be: turned away cheaply, in one form."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from endpoint import Client, free_port

from medray.serving.http import make_app
from medray.serving.lines import UNREAD_BYTES, Limits
from medray.serving.listen import bind, listening
from medray.serving.replies import Reply
from medray.serving.room import Pace, Room
from medray.serving.tokens import hash_of
from medray.spec.serving import Serving

TOKEN = "a" * 43
HEAD_S = 0.6
OPTIONS = Serving(models=("chest",), timeout_s=5, body_bytes=2**22, queue=60)


@dataclass
class Slow:
    """Answers after as long as the body says; knows who was given up."""

    asked: int = 0
    most: int = 0
    begun: int = 0
    given_up: list[int] = field(default_factory=list)

    def models(self) -> list[dict[str, Any]]:
        return [{"name": "chest", "reference": "chest@1", "takes": {}, "gives": {}, "outputs": []}]

    def places(self, model: str) -> int:
        return 4

    async def predict(self, model: str, body: bytes, asked: dict[str, str]) -> Reply:
        self.asked += 1
        self.begun += 1
        self.most = max(self.most, self.asked)
        try:
            await asyncio.sleep(float(body.split()[0]))
        except asyncio.CancelledError:
            self.given_up.append(len(body))
            raise
        finally:
            self.asked -= 1
        return Reply(200, "text/plain", b"ok")

    async def start_bulk(self, asked: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("patient Doe, John")

    def bulk(self, job: str) -> dict[str, Any]:
        return {"job": job}


@dataclass
class Endpoint:
    client: Client
    backend: Slow
    limits: Limits

    def line(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.client.port), 10)

    def counted(self, status: int) -> float:
        text = self.client.ask("GET", "/metrics").body.decode()
        line = f'medray_requests_total{{model="chest",status="{status}"}} '
        return sum(float(one.removeprefix(line)) for one in text.splitlines() if line in one)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    backend, port = Slow(), free_port()
    app = make_app(backend, OPTIONS, (hash_of(TOKEN),))
    limits = Limits(20, head_s=HEAD_S, unread_s=HEAD_S)
    with listening(app, bind("127.0.0.1", port), None, 1, limits):
        yield Endpoint(Client(port, TOKEN), backend, limits)


def head(length: str = "Content-Length: 10", path: str = "/v1/models/chest:predict") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: image/png\r\n{length}\r\n\r\n"
    ).encode()


def closed_after(line: socket.socket, most_s: float = 10) -> float:
    """Seconds until the other end closes the line."""
    began = time.monotonic()
    line.settimeout(most_s)
    try:
        while line.recv(2**16):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


def test_headers_that_never_end_are_given_up(endpoint: Endpoint) -> None:
    for sent in (b"", b"POST /v1/mod", head()[:-2]):
        with endpoint.line() as line:
            line.sendall(sent)
            assert HEAD_S - 0.2 <= closed_after(line) < HEAD_S + 3


def test_headers_that_trickle_are_given_up_and_so_are_those_after_an_answer(
    endpoint: Endpoint,
) -> None:
    for first in (b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"):
        with endpoint.line() as line:
            line.sendall(first)
            began = time.monotonic()
            with pytest.raises(OSError):  # noqa: PT011, PT012 - it is closed, one way or the other
                for letter in head() * 9:
                    line.sendall(bytes([letter]))
                    time.sleep(0.05)
            assert time.monotonic() - began < HEAD_S + 3


def test_headers_without_end_are_cut_off(endpoint: Endpoint) -> None:
    with endpoint.line() as line:
        answer = b""
        # Closed while more comes, the line may break here before its answer is read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(b"GET / HTTP/1.1\r\n")
            for _ in range(80):
                line.sendall(b"X-Long: " + b"x" * 1000 + b"\r\n")
            answer = line.recv(100)
        assert answer[:12] in {b"HTTP/1.1 431", b""}


@pytest.mark.parametrize("size", [2**16, 2**18 + 1, 2**20, 2**22])
def test_long_bodies_are_no_headers(endpoint: Endpoint, size: int) -> None:
    for _ in range(2):
        assert endpoint.client.predict("chest", b"0 ".ljust(size), "image/png").status == 200


def test_half_open_lines_make_room_for_others(endpoint: Endpoint) -> None:
    """Three times as many as may be open: who asks is answered all the same."""
    idle = [endpoint.line() for _ in range(60)]
    try:
        for _ in range(5):
            assert endpoint.client.ask("GET", "/healthz").status == 200
        assert endpoint.client.predict("chest", b"0.01", "image/png").status == 200
        assert len(endpoint.limits.idle) <= 21
    finally:
        for line in idle:
            line.close()


def test_a_body_that_was_refused_is_not_read_for_ever(endpoint: Endpoint) -> None:
    with endpoint.line() as line:
        line.sendall(head(f"Content-Length: {2**40}"))
        assert line.recv(100).startswith(b"HTTP/1.1 413")
        assert closed_after(line) < HEAD_S + 3
    with endpoint.line() as line:
        line.sendall(head(f"Content-Length: {2**40}"))
        assert line.recv(100).startswith(b"HTTP/1.1 413")
        sent = 0
        with pytest.raises(OSError):  # noqa: PT011, PT012 - it is closed, one way or the other
            while sent < 2 * UNREAD_BYTES:
                sent += line.send(b"x" * 2**16)
        assert sent < 2 * UNREAD_BYTES
    # A short one is passed over, and the line goes on.
    with endpoint.line() as line:
        rest = b"x" * 2**24
        line.sendall(head(f"Content-Length: {len(rest)}", "/v1/none") + rest)
        assert line.recv(1000).startswith(b"HTTP/1.1 404")
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in line.recv(1000)


def test_who_leaves_is_no_failure_of_ours(endpoint: Endpoint) -> None:
    with endpoint.line() as line:  # in the middle of the body
        line.sendall(head("Content-Length: 100") + b"0.1 ")
        time.sleep(0.3)
    with endpoint.line() as line:  # while it is asked
        line.sendall(head("Content-Length: 4") + b"30  ")
        until = time.monotonic() + 5
        while not endpoint.backend.asked and time.monotonic() < until:
            time.sleep(0.01)
    until = time.monotonic() + 5
    while endpoint.counted(499) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert endpoint.counted(499) == 2
    assert endpoint.counted(500) == 0
    assert endpoint.backend.given_up == [4]
    assert b"medray_requests_open 0.0" in endpoint.client.ask("GET", "/metrics").body


def test_no_more_are_asked_or_wait_than_there_is_room_for(endpoint: Endpoint) -> None:
    """Four places, two that wait; sixteen come at once."""
    found: list[Any] = []

    def ask() -> None:
        found.append(endpoint.client.predict("chest", b"0.3", "image/png"))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    statuses = sorted(one.status for one in found)
    assert set(statuses) <= {200, 503}
    assert 6 <= statuses.count(200) < 16
    assert endpoint.backend.most == 4
    assert endpoint.backend.begun == statuses.count(200)
    assert endpoint.counted(503) == statuses.count(503)
    for one in found:
        if one.status == 503:
            assert one.headers["retry-after"] == "1"
            assert one.json["error"]["code"] == "busy"
    assert endpoint.client.predict("chest", b"0.01", "image/png").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/zqdoe", 404, "not-found"),
        ("GET", "/v1/models/", 404, "not-found"),
        ("DELETE", "/v1/models", 405, "method-not-allowed"),
        ("GET", "/v1/models/chest:predict", 405, "method-not-allowed"),
        ("POST", f"/v1/models/chest:predict?outputs={'zqdoe' * 9}", 422, "bad-parameter"),
        ("POST", "/v1/models/zqdoe:predict", 404, "not-found"),
        ("POST", "/v1/bulk", 500, "unexpected-error"),
    ],
)
def test_errors_have_one_form_and_quote_nothing(
    endpoint: Endpoint, method: str, path: str, status: int, code: str
) -> None:
    reply = endpoint.client.ask(method, path, b"{}" if method == "POST" else b"")
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert set(reply.json["error"]) == {"code", "message", "hint"}
    assert reply.headers["content-type"] == "application/json"
    assert b"doe" not in reply.body.lower()
    if status == 405:
        assert reply.headers["allow"]


@pytest.mark.parametrize(
    "sent", [b"zqdoe\r\n\r\n", b"GET / HTTP/1.1\r\n: zqdoe\r\n\r\n", b"\0" * 50]
)
def test_what_is_no_http_is_told_so_in_the_same_form(endpoint: Endpoint, sent: bytes) -> None:
    with endpoint.line() as line:
        line.sendall(sent)
        head, _, body = line.recv(2000).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert json.loads(body)["error"]["code"] == "bad-request"
        assert b"doe" not in body
        assert closed_after(line) < 2


def test_a_room_serves_in_order_and_forgets_who_left() -> None:
    async def play() -> list[int]:
        room, served = Room(10, 10, lambda: 2), []

        async def one(number: int, seconds: float) -> None:
            async with room.entered() as place:
                await place.turn()
                served.append(number)
                await asyncio.sleep(seconds)

        tasks = [asyncio.create_task(one(number, 0.05)) for number in range(6)]
        await asyncio.sleep(0.01)
        tasks[3].cancel()
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (room._asked, room._waiting, len(room._turns)) == (0, 0, 0)
        return served

    assert asyncio.run(play()) == [0, 1, 2, 4, 5]


def test_who_leaves_as_a_place_is_freed_takes_none() -> None:
    """Cancelled and called in the same turn of the loop: nothing is raised, no place is lost."""

    async def play() -> None:
        room, free = Room(10, 10, lambda: 1), asyncio.Event()

        async def one() -> None:
            async with room.entered() as place:
                await place.turn()
                await free.wait()

        tasks = [asyncio.create_task(one()) for _ in range(4)]
        await asyncio.sleep(0.01)
        free.set()  # the first one goes, and calls one that has left and has yet to hear of it
        tasks[1].cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in ended if one is not None] == [asyncio.CancelledError]
        assert (room._asked, room._waiting) == (0, 0)
        assert not room._turns

    for _ in range(20):
        asyncio.run(play())


def test_refusals_leave_at_a_pace_and_before_long() -> None:
    async def play(count: int, pace: Pace) -> float:
        began = time.monotonic()
        await asyncio.gather(*(pace.wait() for _ in range(count)))
        return time.monotonic() - began

    assert asyncio.run(play(20, Pace(100, 1.0))) == pytest.approx(0.19, abs=0.15)
    assert asyncio.run(play(500, Pace(100, 0.5))) == pytest.approx(0.5, abs=0.2)
