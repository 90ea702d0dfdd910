"""More clients than the endpoint can answer: what is answered still, and how fast, beside eight.

    python benchmarks/overload.py [--seconds S] [--rounds N] [--clients 8,100,400] [--heed yes|no]

Clients of raw sockets in one process of their own, each with one line that it keeps, ask without
pause; refused, they come again at once, or when Retry-After says. Rounds are interleaved.
"""

import argparse
import asyncio
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "serving"))

NETWORK = {"name": "cnn", "dims": 2, "features": [32, 64, 128]}
PATCH = (128, 128)
MODEL = "chest"


def picture(number: int) -> bytes:
    """Of noise, as PNG; 26 KB."""
    values = np.random.default_rng(number).integers(0, 255, (160, 160)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


class Line(asyncio.Protocol):
    """A client: one request after the other on one line; a new one where it was closed."""

    def __init__(self, load: "Load", number: int) -> None:
        self._load, self._number, self._buffer = load, number, b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self._ask()

    def _ask(self) -> None:
        if self._load.over() or self.transport.is_closing():
            return
        self._number += 1
        self._began = time.perf_counter()
        self.transport.write(self._load.requests[self._number % len(self._load.requests)])

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        if len(body) < length:
            return
        self._buffer = b""
        status = int(head[9:12])
        self._load.note(status, time.perf_counter() - self._began)
        later = b"retry-after: " in head.lower() and self._load.heed
        if status != 200 and later:
            wait = float(head.lower().partition(b"retry-after: ")[2].split(b"\r\n")[0])
            asyncio.get_running_loop().call_later(wait, self._ask)
        else:
            self._ask()

    def connection_lost(self, _: Exception | None) -> None:
        if not self._load.over():
            self._load.note(0, 0.0)
            asyncio.get_running_loop().create_task(self._load.open(self._number))


class Load:
    """All clients of a round."""

    def __init__(self, port: int, token: str, heed: bool, warm_s: float, seconds: float) -> None:
        self._port, self.heed = port, heed
        self._from = time.perf_counter() + warm_s
        self._until = self._from + seconds
        head = (
            f"POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: "
        )
        self.requests = [
            f"{head}{len(body)}\r\n\r\n".encode() + body for body in map(picture, range(8))
        ]
        self.statuses: Counter[int] = Counter()
        self.taken: list[float] = []

    def over(self) -> bool:
        return time.perf_counter() > self._until

    def note(self, status: int, seconds: float) -> None:
        if self._from <= time.perf_counter() <= self._until:
            self.statuses[status] += 1
            if status == 200:
                self.taken.append(seconds)

    async def open(self, number: int) -> None:
        await asyncio.get_running_loop().create_connection(
            lambda: Line(self, number), "127.0.0.1", self._port
        )

    async def run(self, clients: int) -> None:
        for number in range(clients):
            await self.open(number)
        await asyncio.sleep(self._until - time.perf_counter() + 0.1)


def client(arguments: list[str]) -> None:
    """What the process of the clients does: one round, its figures as JSON."""
    port, token, clients, heed, warm, seconds = arguments
    load = Load(int(port), token, heed == "yes", float(warm), float(seconds))
    asyncio.run(load.run(int(clients)))
    cuts = statistics.quantiles(load.taken, n=100) if len(load.taken) > 1 else [0.0] * 99
    rate, cpu = len(load.taken) / float(seconds), time.process_time()
    found = {"rate": rate, "p50": cuts[49], "p99": cuts[98], "cpu": cpu}
    print(json.dumps({**found, "statuses": dict(load.statuses)}))


def main(seconds: float, rounds: int, clients: list[int], heeds: list[str], queue: int) -> None:
    """Print the figures."""
    # Here, since a process of clients should not wait for torch.
    from endpoint import commit_model, free_port

    from medray.jobs.serve import serving
    from medray.serving.tokens import add_token
    from medray.storage.store.objects import Objects

    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        objects = Objects(str(here / "store"))
        commit_model(objects, MODEL, NETWORK, patch=PATCH)
        token, port = add_token(here / "tokens"), free_port()
        args = {"models": (MODEL,), "storage": objects.url, "token_file": str(here / "tokens")}
        with serving({**args, "bulk": False, "queue": queue}, port=port):
            _round(port, token, 8, "no", 3, 3)
            for heed in heeds:
                found: dict[int, list[dict[str, Any]]] = {number: [] for number in clients}
                for turn in range(rounds):
                    for number in clients[:: 1 if turn % 2 else -1]:
                        found[number].append(_round(port, token, number, heed, 2, seconds))
                _tell(found, heed)


def _round(
    port: int, token: str, clients: int, heed: str, warm: float, seconds: float
) -> dict[str, Any]:
    given = [port, token, clients, heed, warm, seconds]
    command = [sys.executable, __file__, "--client", *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def _tell(found: dict[int, list[dict[str, Any]]], heed: str) -> None:
    first = next(iter(found))
    middle = {
        number: {
            key: statistics.median(one[key] for one in rounds) for key in ("rate", "p50", "p99")
        }
        for number, rounds in found.items()
    }
    for number, rounds in found.items():
        own, base = middle[number], middle[first]
        statuses: Counter[str] = sum((Counter(one["statuses"]) for one in rounds), Counter())
        print(
            f"Retry-After heeded: {heed}; {number} clients: {own['rate']:.1f} answered/s "
            f"({own['rate'] / base['rate']:.2f} x), p50 {own['p50'] * 1e3:.0f} ms, "
            f"p99 {own['p99'] * 1e3:.0f} ms ({own['p99'] / base['p99']:.2f} x); {dict(statuses)}; "
            f"clients' CPU {statistics.median(one['cpu'] for one in rounds):.1f} s"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client(sys.argv[2:])
        sys.exit()
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", default="8,100,400")
    parser.add_argument("--heed", choices=["yes", "no", "both"], default="both")
    parser.add_argument("--queue", type=int, default=60)
    given = parser.parse_args()
    heeds = ["no", "yes"] if given.heed == "both" else [given.heed]
    numbers = [int(number) for number in given.clients.split(",")]
    main(given.seconds, given.rounds, numbers, heeds, given.queue)
