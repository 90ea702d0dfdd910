"""Lines to clients, bounded in time and number: who opens them and says nothing holds none up.

uvicorn has no limit for headers that never end, and answers in a form of its own what is no HTTP.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from medray.serving.replies import Reply, refuse

HEAD_BYTES = 64 * 2**10  # of a request's headers
# Of a refused body. Most clients look for the answer when all is sent, and would get a reset in
# its place; what comes is dropped as it comes, and `unread_s` ends who goes on for long.
UNREAD_BYTES = 2**29


@dataclass
class Limits:
    """Of all lines of a server.

    Args:
        lines: open at once. One more closes that which has waited longest for a request.
        head_s: for a request's headers, from the first byte, or from the opening of the line.
        unread_s: for the rest of a body that was answered before its end.
    """

    lines: int
    head_s: float = 10
    unread_s: float = 5
    idle: dict["Line", None] = field(default_factory=dict)


class Line(HttpToolsProtocol):
    """One line.

    Args:
        limits: shared by all.
        given: of uvicorn's.
    """

    def __init__(self, *, limits: Limits, **given: Any) -> None:
        super().__init__(**given)
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._head = self._unread = 0  # bytes of headers that are not whole yet; of a refused body
        self._in_head, self._whole = True, True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        limits = self._limits
        if len(self.connections) > limits.lines:
            if not limits.idle:
                self._refuse(refuse(503, "busy", "too many lines are open"))
                return
            next(iter(limits.idle)).transport.abort()
        self._wait()
        self._within(limits.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._at_work()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._in_head and self._timer is None:  # the first byte after a pause
            self._within(self._limits.head_s)
        self._head += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head = 0
        if self._head > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(refuse(431, "headers-too-large", f"at most {HEAD_BYTES} bytes"))

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_head, self._whole, self._head = False, False, 0
        self._at_work()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        super().on_body(body)
        if self.cycle.response_complete:
            self._unread += len(body)
            if self._unread > UNREAD_BYTES:
                self.transport.abort()

    def on_message_complete(self) -> None:
        """See httptools."""
        self._whole, self._in_head, self._head, self._unread = True, True, 0, 0
        super().on_message_complete()
        if self.cycle.response_complete:
            self._at_work()
            self._wait()

    def on_response_complete(self) -> None:
        """See uvicorn."""
        super().on_response_complete()
        if self.transport.is_closing() or self.pipeline:
            return
        self._wait()
        if not self._whole:
            self._within(self._limits.unread_s)

    def send_400_response(self, msg: str) -> None:
        """See uvicorn; in the form of all errors."""
        self._refuse(refuse(400, "bad-request", msg))

    def _refuse(self, reply: Reply) -> None:
        head = (
            f"content-type: {reply.media}\r\ncontent-length: {len(reply.body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[reply.status] + head.encode() + reply.body)
        self.transport.close()

    def _within(self, seconds: float) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, self.transport.abort)

    def _wait(self) -> None:
        self._limits.idle[self] = None

    def _at_work(self) -> None:
        self._limits.idle.pop(self, None)
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
