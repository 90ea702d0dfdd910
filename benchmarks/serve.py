"""The endpoint against bare FastAPI and against Ray Serve as its documentation does it, with the
same model and batching; bulk through it against Ray Data.

    python benchmarks/serve.py [--seconds S] [--clients N] [--samples N]
                               [--only online|sequences|bulk]

Bare: one uvicorn process, the same bodies decoded, prepared and answered by the same code, batches
collected by a queue of 30 lines. Documented: reference/rayserve.py. Each has one process with one
thread for the network, and they answer the same bodies of the same clients, in turn, on the same
cores: pictures, or sequences of 1,000 bases in JSON. Bulk: one dataset, predicted by workers of Ray
Data and by as many replicas.
"""

import argparse
import asyncio
import http.client
import json
import multiprocessing
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "serving"))

from endpoint import CNN, commit_dna, commit_model, free_port, pixels, png  # noqa: E402

from medray.jobs.run import run  # noqa: E402
from medray.jobs.serve import serving  # noqa: E402
from medray.serving.tokens import add_token, read_tokens  # noqa: E402
from medray.spec.serving import Serving  # noqa: E402
from medray.steps.base.events import Event  # noqa: E402
from medray.storage.store.objects import Objects  # noqa: E402

NETWORK = {**CNN, "features": [32, 64, 128]}
PATCH = (128, 128)
ROUNDS = 4
Round = tuple[float, float, float]  # requests a second, p50 and p99 in seconds
Bodies = tuple[str, list[bytes]]  # of one media type
DNA = {"name": "seq_cnn", "filters": 64, "kernels": [9, 15, 21], "features": [64, 64]}
BASES = 1000


class Bare:
    """A backend that a careful user would write: one process, one queue, one network."""

    def __init__(self, root: str, options: Serving) -> None:
        from medray.modalities.loaded import load_model
        from medray.serving.answer import answerer_of

        self._answerer = answerer_of(load_model(Objects(root), "m"), options)
        self._options = options
        self._waiting: asyncio.Queue[Any] = asyncio.Queue()
        self._task: Any = None

    def models(self) -> list[dict[str, Any]]:
        return [{"name": "m", "reference": "m", "takes": {}, "gives": {}, "outputs": []}]

    def places(self, model: str) -> int:
        return 10**6  # nobody is turned away

    async def predict(self, model: str, body: bytes, asked: dict[str, str]) -> Any:
        self._task = self._task or asyncio.create_task(self._compute())
        question = await asyncio.to_thread(self._answerer.read, body, asked["media"])
        answer = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((question.samples[0], answer))
        return self._answerer.write(question, [await answer])

    async def _compute(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            until = time.monotonic() + self._options.batch_wait_s
            while len(batch) < self._options.batch and (left := until - time.monotonic()) > 0:
                try:
                    batch.append(await asyncio.wait_for(self._waiting.get(), left))
                except TimeoutError:
                    break
            made = await asyncio.to_thread(self._answerer.compute, [one for one, _ in batch])
            for (_, answer), sample in zip(batch, made, strict=True):
                answer.set_result(sample)


def bare(root: str, tokens: str, port: int) -> None:
    """Serve until killed."""
    import torch
    import uvicorn

    from medray.serving.http import make_app

    torch.set_num_threads(1)
    options = Serving(models=("m",), bulk=False)
    app = make_app(Bare(root, options), options, read_tokens(Path(tokens)))
    uvicorn.run(app, port=port, log_config=None, access_log=False)


def load(port: int, token: str, bodies: Bodies, clients: int, seconds: float) -> list[float]:
    """The seconds of each request, by clients that each keep one line open."""
    media, several = bodies
    taken: list[float] = []
    until = time.monotonic() + seconds

    def client(number: int) -> None:
        line = http.client.HTTPConnection("127.0.0.1", port)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": media}
        while time.monotonic() < until:
            number += 1
            began = time.perf_counter()
            line.request("POST", "/v1/models/m:predict", several[number % 8], headers)
            reply = line.getresponse()
            reply.read()
            assert reply.status == 200, reply.status
            taken.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def main(seconds: float, clients: int, samples: int, only: str | None) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        objects = Objects(str(here / "store"))
        commit_model(objects, "m", NETWORK, patch=PATCH)
        token = add_token(here / "tokens")
        if only in (None, "online"):
            pictures = [png(pixels(number, (160, 160))) for number in range(8)]
            _online(objects, here / "tokens", token, ("image/png", pictures), seconds, clients)
        if only in (None, "sequences"):
            others = Objects(str(here / "sequences"))
            commit_dna(others, "m", model=DNA, length=BASES)
            draw = random.Random(1)
            texts = ["".join(draw.choices("ACGT", k=BASES)) for _ in range(8)]
            asked = [json.dumps({"sequence": text}).encode() for text in texts]
            _online(others, here / "tokens", token, ("application/json", asked), seconds, clients)
        if only in (None, "bulk"):
            _bulk(objects, here, samples)


def _online(
    objects: Objects, tokens: Path, token: str, bodies: Bodies, seconds: float, clients: int
) -> None:
    ports = {"medray": free_port(), "bare": free_port(), "documented": free_port()}
    other = multiprocessing.get_context("spawn").Process(
        target=bare, args=(objects.url, str(tokens), ports["bare"])
    )
    other.start()
    script = [sys.executable, str(Path(__file__).parent / "reference" / "rayserve.py")]
    documented = subprocess.Popen(
        [*script, objects.url, str(ports["documented"])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    args = {"models": ("m",), "storage": objects.url, "token_file": str(tokens), "bulk": False}
    rounds: dict[str, list[Round]] = {name: [] for name in ports}
    try:
        assert documented.stdout
        assert documented.stdout.readline() == "ready\n"
        with serving(args, port=ports["medray"]):
            for port in ports.values():
                load(port, token, bodies, clients, 3)
            for turn in range(ROUNDS):
                for name in list(ports)[:: 1 if turn % 2 else -1]:
                    taken = load(ports[name], token, bodies, clients, seconds)
                    rounds[name].append(_round(taken, seconds))
    finally:
        other.terminate()
        other.join()
        documented.communicate("")
    for name in ports:
        rate, p50, p99 = (statistics.median(one[k] for one in rounds[name]) for k in range(3))
        print(f"{name}: {rate:.1f} requests/s, p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms")
    for name in ("bare", "documented"):
        pairs = list(zip(rounds["medray"], rounds[name], strict=True))
        for what, ratios in (
            ("requests/s", [ours[0] / theirs[0] for ours, theirs in pairs]),
            ("p50", [theirs[1] / ours[1] for ours, theirs in pairs]),
            ("p99", [theirs[2] / ours[2] for ours, theirs in pairs]),
        ):
            spread = f"{min(ratios):.2f}-{max(ratios):.2f}, n={len(ratios)}"
            print(f"endpoint / {name}, {what}: {statistics.median(ratios):.3f} ({spread})")


def _round(taken: list[float], seconds: float) -> Round:
    cuts = statistics.quantiles(taken, n=100)
    return len(taken) / seconds, cuts[49], cuts[98]


def _bulk(objects: Objects, here: Path, samples: int) -> None:
    source = here / "raw"
    source.mkdir()
    for number in range(samples):
        (source / f"{number:05d}.png").write_bytes(png(pixels(number, (160, 160))))
    ingest = {"kind": "ingest", "format": {"name": "image"}, "source": str(source)}
    run([{**ingest, "output": "raw", "units": {"samples": 32}}], storage=objects, cluster="inline")
    rates: dict[str, list[float]] = {"data": [], "serve": []}
    for turn in range(3):
        for engine, found in list(rates.items())[:: 1 if turn % 2 else -1]:
            step = {"kind": "predict", "model": "m", "data": "raw", "engine": engine, "batch": 8}
            found.append(_rate({**step, "output": f"{engine}-{turn}"}, objects))
    for engine, found in rates.items():
        print(f"bulk, engine {engine}: {32 * statistics.median(found):.0f} pictures/s")
    ratios = [serve / data for data, serve in zip(rates["data"], rates["serve"], strict=True)]
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}, n={len(ratios)}"
    print(f"bulk through serve / through ray data: {statistics.median(ratios):.3f} ({spread})")


def _rate(step: dict[str, Any], objects: Objects) -> float:
    """Units a second from the first one done to the last: without the start of Ray and weights."""
    done: list[float] = []

    def listen(event: Event) -> None:
        if event.name == "unit":
            done.append(time.perf_counter())

    run([step], storage=objects, cluster="local", on_event=listen)
    return (len(done) - 1) / (done[-1] - done[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--only", choices=["online", "sequences", "bulk"])
    arguments = parser.parse_args()
    main(arguments.seconds, arguments.clients, arguments.samples, arguments.only)
