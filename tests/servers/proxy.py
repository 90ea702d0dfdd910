"""A proxy that does to requests what networks and busy stores do; one request a connection."""

import asyncio
import random
import re
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'
MAX_HEAD = 2**16


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong: shares of the requests it could happen to.

    Args:
        slow_down: answered by 503 SlowDown instead of being passed on.
        reset: cut instead of being passed on.
        lost_reply: writes that are passed on and succeed, but whose answer is cut.
        truncate: answers cut in the middle of their body.
        flip: answers to GET with one bit of their body turned.
        latency: answered `latency_s` later.
        latency_s: see above.
        expire_after: from so many requests on every answer is that the token has expired.
    """

    slow_down: float = 0.0
    reset: float = 0.0
    lost_reply: float = 0.0
    truncate: float = 0.0
    flip: float = 0.0
    latency: float = 0.0
    latency_s: float = 2.0
    expire_after: int | None = None


class Proxy:
    """Stands before a server, on a port and a thread of its own; to be used as a context.

    Args:
        endpoint: of the server.
        faults: to inflict.
        seed: of chance.
    """

    def __init__(self, endpoint: str, faults: Faults = Faults(), seed: int = 0) -> None:
        self.faults = faults
        self.counts: Counter[str] = Counter()
        self._server = urlsplit(endpoint)
        self._random = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    @property
    def requests(self) -> int:
        """How many came so far."""
        return self.counts["requests"]

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_HEAD)
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _request(reader)
            if request:
                await self._answer(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.counts["broken"] += 1
        finally:
            writer.close()

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        self.counts["requests"] += 1
        faults, verb = self.faults, request.partition(b" ")[0].decode()
        self.counts[verb] += 1
        if faults.expire_after is not None and self.requests > faults.expire_after:
            writer.write(self._refusal("403 Forbidden", "ExpiredToken"))
            return
        if self._strikes("reset"):
            writer.transport.abort()
            return
        if self._strikes("slow_down"):
            writer.write(self._refusal("503 Slow Down", "SlowDown"))
            return
        if self._strikes("latency"):
            await asyncio.sleep(faults.latency_s)
        answer = await self._pass_on(request)
        head, _, body = answer.partition(b"\r\n\r\n")
        good = head.split(b" ", 2)[1].startswith(b"2")
        if verb in ("PUT", "POST") and good and self._strikes("lost_reply"):
            writer.transport.abort()
            return
        if verb == "GET" and good and body and self._strikes("flip"):
            turned = bytearray(body)
            turned[self._random.randrange(len(body))] ^= 1 << self._random.randrange(8)
            body = bytes(turned)
        if body and self._strikes("truncate"):
            writer.write(head + b"\r\n\r\n" + body[: len(body) // 2])
            await writer.drain()
            writer.transport.abort()
            return
        writer.write(head + b"\r\n\r\n" + body)
        await writer.drain()

    def _strikes(self, fault: str) -> bool:
        struck = self._random.random() < getattr(self.faults, fault)
        self.counts[fault] += struck
        return struck

    def _refusal(self, status: str, code: str) -> bytes:
        body = ERROR.format(code=code).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nConnection: close\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def _pass_on(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        try:
            writer.write(request)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader) -> bytes:
    """A request whole, with the wish that the server close the connection after its answer."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    body = await reader.readexactly(int(length.group(1))) if length else b""
    head = re.sub(rb"(?i)\r\nconnection:[^\r]*", b"", head)
    return head[:-2] + b"Connection: close\r\n\r\n" + body
