"""More asked of a real Ray Serve than it can answer: waiting, turning away, growing."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "serving"))

from endpoint import MASKS, UNET, Answer, Client, commit_model, free_port, npy, pixels, png

from medray.jobs.serve import serving
from medray.serving.tokens import add_token
from medray.storage.store.objects import Objects

pytestmark = [
    pytest.mark.drill,
    pytest.mark.timeout(300),
    # Ray 2.60 uses what it has deprecated itself, and leaves sockets to the collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TIMEOUT_S = 8


def volume(depth: int) -> bytes:
    """Each 16 slices cost the network about a tenth of a second."""
    return npy(np.random.default_rng(5).normal(30, 90, (1, depth, 64, 64)).astype(np.int16))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Two models, each on one replica or two; two requests at a replica, one waits."""
    folder = tmp_path_factory.mktemp("served")
    objects = Objects(str(folder / "store"))
    commit_model(objects, "chest")
    commit_model(objects, "liver", {**UNET, "features": [8, 16]}, MASKS, (16, 32, 32))
    token, port = add_token(folder / "tokens"), free_port()
    args = {
        "models": ("chest", "liver"),
        "storage": objects.url,
        "token_file": str(folder / "tokens"),
        "replicas": (1, 2),
        "cpus": 0.25,
        "batch": 1,
        "queue": 1,
        "timeout_s": TIMEOUT_S,
        "bulk": False,
    }
    with serving(args, port=port, num_cpus=2):
        yield Client(port, token)


def ask_together(client: Client, body: bytes, clients: int) -> list[Answer]:
    """Answers of one request by each of as many clients."""
    found: list[Answer] = []

    def one() -> None:
        found.append(client.predict("liver", body, "application/x-npy"))

    threads = [threading.Thread(target=one) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_more_than_can_wait_is_turned_away_and_told_when_to_come_again(client: Client) -> None:
    found = ask_together(client, volume(32), 10)
    assert {one.status for one in found} <= {200, 503, 504}
    turned_away = [one for one in found if one.status == 503]
    assert turned_away
    assert any(one.status == 200 for one in found)
    for one in turned_away:
        assert one.headers["retry-after"] == "1"
        assert one.json["error"]["code"] == "busy"
    until = time.monotonic() + 60
    while client.predict("liver", volume(16), "application/x-npy").status != 200:
        assert time.monotonic() < until
    metrics = client.ask("GET", "/metrics").body.decode()
    counted = f'medray_requests_total{{model="liver",status="503"}} {len(turned_away)}.0'
    assert counted in metrics


def test_what_takes_too_long_is_told_so_in_time_and_the_other_model_answers(client: Client) -> None:
    found: list[tuple[Answer, float]] = []

    def ask() -> None:
        began = time.monotonic()
        answer = client.predict("liver", volume(2048), "application/x-npy")
        found.append((answer, time.monotonic() - began))

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(2)
    assert client.predict("chest", png(pixels(1)), "image/png").status == 200
    asking.join()
    ((answer, took),) = found
    assert (answer.status, answer.json["error"]["code"]) == (504, "timeout")
    assert TIMEOUT_S <= took < TIMEOUT_S + 5


def test_replicas_are_added_where_requests_wait(client: Client) -> None:
    def replicas() -> int:
        own = psutil.Process(os.getpid()).children(recursive=True)
        return sum("model-chest" in _title(one) for one in own)

    assert replicas() == 1
    over = threading.Event()
    found: list[int] = []

    def ask() -> None:
        # Slow to decode, so that replicas are what requests wait for and not the front.
        body = png(np.random.default_rng(3).integers(0, 256, (1536, 1536), np.uint8))
        while not over.is_set():
            found.append(client.predict("chest", body, "image/png").status)
            time.sleep(0.01)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 120
    while replicas() < 2 and time.monotonic() < until:
        time.sleep(1)
    grown = replicas()
    over.set()
    for thread in threads:
        thread.join()
    assert grown == 2
    assert set(found) <= {200, 503}
    assert 200 in found


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
