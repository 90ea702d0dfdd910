"""A real Ray Serve on a Ray of its own: answers, tokens, deaths, and bulk through the replicas."""

import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "serving"))

from endpoint import CNN, MASKS, UNET, Answer, Client, commit_model, free_port, npy, pixels, png

from medray.errors import SpecError
from medray.jobs.run import run
from medray.jobs.serve import serving
from medray.serving.tokens import add_token
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.models import open_model, save_model
from medray.storage.store.objects import Objects

pytestmark = [
    pytest.mark.drill,
    pytest.mark.timeout(400),
    # Ray 2.60 uses what it has deprecated itself, and leaves sockets to the collector.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
VOLUME = np.random.default_rng(5).normal(30, 90, (1, 40, 44, 50)).astype(np.int16)


@dataclass
class Served:
    objects: Objects
    client: Client
    wanted: dict[int, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two models and a dataset of twelve pictures; two replicas of each model."""
    folder = tmp_path_factory.mktemp("served")
    objects = Objects(str(folder / "store"))
    commit_model(objects, "chest")
    commit_model(objects, "liver", UNET, MASKS, (16, 32, 32))
    (folder / "raw").mkdir()
    for number in range(12):
        (folder / f"raw/{number}.png").write_bytes(png(pixels(number)))
    ingest = {"kind": "ingest", "format": {"name": "image"}, "output": "pictures"}
    plain = {"kind": "predict", "model": "chest", "data": "pictures", "output": "plain"}
    run([{**ingest, "source": str(folder / "raw")}, plain], storage=objects, cluster="inline")
    rows = open_dataset(objects, "plain").samples.to_pylist()
    token = add_token(folder / "tokens")
    port = free_port()
    args = {
        "models": ("chest", "liver"),
        "storage": objects.url,
        "token_file": str(folder / "tokens"),
        "replicas": 2,
        "cpus": 0.25,
        "timeout_s": 20,
        "body_bytes": 2**20,
    }
    with serving(args, port=port, num_cpus=2):
        wanted = {int(row["sample_id"]): row["predicted"] for row in rows}
        yield Served(objects, Client(port, token), wanted)


def test_answers_are_those_of_bulk_predict(served: Served) -> None:
    for number, wanted in served.wanted.items():
        reply = served.client.predict("chest", png(pixels(number)), "image/png")
        assert (reply.status, reply.json["predicted"]) == (200, wanted)
        assert reply.headers["medray-model"].startswith("chest@")
    reply = served.client.predict("liver", npy(VOLUME), "application/x-npy")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/x-npy"
    reply = served.client.predict("liver", b"x" * (2**20 + 1), "application/x-npy")
    assert reply.status == 413
    assert served.client.predict("chest", b"x", "image/png").status == 422
    known = served.client.ask("GET", "/v1/models").json["models"]
    assert [(model["name"], model["task"]) for model in known] == [
        ("chest", "classification"),
        ("liver", "segmentation"),
    ]


def test_nothing_answers_without_the_token(served: Served) -> None:
    for token in ("", "wrong"):
        client = Client(served.client.port, token)
        for method, path in [
            ("POST", "/v1/models/chest:predict"), ("GET", "/v1/models"), ("POST", "/v1/bulk"),
            ("GET", "/v1/bulk/x"), ("GET", "/metrics"), ("GET", "/docs"), ("GET", "/openapi.json"),
            ("GET", "/-/routes"), ("GET", "/-/healthz"), ("GET", "/"), ("OPTIONS", "/v1/models"),
            ("DELETE", "/v1/models"), ("GET", "/healthz/"),
        ]:  # fmt: skip
            body = b"x" if method == "POST" else b""
            assert (path, client.ask(method, path, body).status) == (path, 401)
        assert client.ask("GET", "/healthz").status == 200


def test_killed_replicas_cost_no_wrong_answer(served: Served) -> None:
    """Four clients ask without pause while replicas are killed, one as soon as there are two."""
    found: list[tuple[int, Answer | str]] = []
    over = threading.Event()

    def client(first: int) -> None:
        number = first
        while not over.is_set():
            number = (number + 1) % 12
            try:
                found.append(
                    (number, served.client.predict("chest", png(pixels(number)), "image/png"))
                )
            except OSError as error:
                found.append((number, type(error).__name__))

    threads = [threading.Thread(target=client, args=(3 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    killed = 0
    until = time.monotonic() + 60
    while killed < 4 and time.monotonic() < until:
        time.sleep(2)
        victims = _replicas("chest")
        if len(victims) > 1:
            victims[killed % 2].send_signal(signal.SIGKILL)
            killed += 1
    time.sleep(2)
    over.set()
    for thread in threads:
        thread.join()
    assert killed >= 3
    outcomes = Counter(reply if isinstance(reply, str) else reply.status for _, reply in found)
    good = outcomes[200] + outcomes[503] + outcomes[503]
    assert len(found) > 100
    assert good / len(found) >= 0.999, outcomes
    for number, reply in found:
        if isinstance(reply, Answer) and reply.status == 200:
            assert reply.json["predicted"] == served.wanted[number]
    sys.stdout.write(f"{len(found)} requests, {killed} killed: {dict(outcomes)}\n")


def test_bulk_goes_to_the_same_replicas_and_commits_the_same(served: Served) -> None:
    asked = {"model": "chest", "data": "pictures", "output": "bulk"}
    started = served.client.ask("POST", "/v1/bulk", json.dumps(asked).encode())
    assert started.status == 202, started.body
    job = started.json["job"]
    again = served.client.ask("POST", "/v1/bulk", json.dumps(asked).encode())
    assert again.json["job"] == job
    until = time.monotonic() + 120
    while (state := served.client.ask("GET", f"/v1/bulk/{job}").json)["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.5)
    assert state["state"] == "done", state
    assert state["result"]["steps"][0]["units"]["committed"] == 12
    digest = open_dataset(served.objects, "plain").digest
    assert open_dataset(served.objects, "bulk").digest == digest

    def refused(**changed: Any) -> int:
        body = json.dumps({**asked, **changed}).encode()
        return served.client.ask("POST", "/v1/bulk", body).status

    assert refused(model="other") == 404
    assert refused(output="../x") == 422
    assert refused(kind="export", to="/tmp") == 422
    assert served.client.ask("GET", "/v1/bulk/none").status == 404


# Below: Rays of their own, once the module's is gone.


def test_a_job_asks_for_replicas_of_its_own(served: Served, tmp_path: Path) -> None:
    step = {"kind": "predict", "model": "chest", "data": "pictures", "output": "own"}
    store = served.objects.url
    (tmp_path / "job.yaml").write_text(json.dumps({**step, "engine": "serve"}))
    command = [
        sys.executable, "-m", "medray", "run", str(tmp_path / "job.yaml"), "--storage", store,
        "--json", "--no-report",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    (made,) = json.loads(done.stdout)["steps"]
    assert made["digest"] == open_dataset(served.objects, "plain").digest
    assert made["units"]["committed"] == 12


def test_more_models_than_a_replica_holds(served: Served, tmp_path: Path) -> None:
    """Three models in turn by one replica that holds two."""
    commit_model(served.objects, "chest-2", {**CNN, "features": [4, 4]})
    names = ("chest", "liver", "chest-2")
    options = ("--set", "together=2", "--set", "cpus=0.5")
    with _the_command(served.objects, tmp_path / "tokens", names, *options) as (client, _, server):
        told: dict[str, set[bytes]] = defaultdict(set)
        for _ in range(3):
            for model, body, media in (
                ("chest", png(pixels(1)), "image/png"),
                ("liver", npy(VOLUME), "application/x-npy"),
                ("chest-2", png(pixels(1)), "image/png"),
            ):
                reply = client.predict(model, body, media)
                assert (reply.status, reply.headers["medray-model"].split("@")[0]) == (200, model)
                told[model].add(reply.body)
        assert [len(answers) for answers in told.values()] == [1, 1, 1]
        assert json.loads(*told["chest"])["predicted"] == served.wanted[1]
        assert told["chest"] != told["chest-2"]
        assert client.predict("chest", b"x", "image/png").status == 422
        titles = [_title(one) for one in psutil.Process(server.pid).children(recursive=True)]
        assert len([title for title in titles if title.startswith("ray::ServeReplica")]) == 1


def test_a_model_that_cannot_be_served_is_refused_by_name_and_makes_no_token(
    tmp_path: Path,
) -> None:
    store = Objects(str(tmp_path / "store"))
    package = open_model(store, commit_model(store, "chest"))
    plan = {"modality": "text", "answers": "spans"}
    folds = {"column": "fold", "members": [{"value": 0, "plan": plan}]}
    config = {"model": package.config["model"], "task": MASKS, "folds": folds}
    save_model(store, "tags", weights=b"", config=config, metrics={}, parents=[], spec="", card="")
    tokens = tmp_path / "home/tokens"
    serve = [sys.executable, "-m", "medray", "serve", "--token-file", str(tokens)]
    for said, code in {
        ("none",): "no-such-model",
        ("tags",): "folds-of-masks",
        ("--set", "options={chest: {window: 3}}"): "bad-field",
        ("--set", "options={liver: {tta: true}}"): "bad-field",
    }.items():
        command = [*serve, "chest", *said, "--storage", store.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, code in done.stderr) == (2, True), done.stderr
        assert not tokens.exists()


def test_a_public_address_without_tls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught, serving({"models": ("m",)}, host="0.0.0.0"):
        pass
    assert caught.value.code == "public-without-tls"
    store = Objects(str(tmp_path / "store"))
    commit_model(store, "chest")
    command = [sys.executable, "-m", "medray", "serve", "chest", "--storage", store.url]
    done = subprocess.run([*command, "--host", "0.0.0.0"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "public-without-tls" in done.stderr


def test_the_command_serves_over_tls_until_it_is_stopped(tmp_path: Path) -> None:
    store = Objects(str(tmp_path / "store"))
    commit_model(store, "chest")
    commit_model(store, "liver", UNET, MASKS, (16, 32, 32))
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    options = ("--host", "0.0.0.0", "--tls-cert", str(cert), "--tls-key", str(key))
    options += ("--set", "batch=4", "--set", "cpus=0.5")
    names = ("chest", "liver")
    with _the_command(store, tmp_path / "tokens", names, *options) as (client, said, server):
        assert ["chest@" in said[0], "liver@" in said[1]] == [True, True], said
        assert all("https://0.0.0.0" in line for line in said)
        plain, client.tls = (
            Client(client.port, client.token),
            ssl.create_default_context(cafile=cert),
        )
        reply = client.predict("chest", png(pixels(1)), "image/png")
        assert (reply.status, len(reply.json["probability"])) == (200, 2)
        reply = client.predict("liver", npy(VOLUME), "application/x-npy")
        assert (reply.status, reply.headers["medray-model"]) == (200, said[1].split()[0])
        with pytest.raises(OSError, match=r".*"):
            plain.predict("chest", png(pixels(1)), "image/png")
        words = " ".join(_title(process) for process in psutil.process_iter())
        assert client.token not in words
        server.terminate()
        _, errors = server.communicate(timeout=60)
        assert server.returncode == 0, errors


@contextlib.contextmanager
def _the_command(
    store: Objects, tokens: Path, names: Sequence[str], *options: str
) -> Iterator[tuple[Client, list[str], "subprocess.Popen[str]"]]:
    """`medray serve` with a token of its own: a client, the lines it said, and its process."""
    serve = [sys.executable, "-m", "medray", "serve", "--token-file", str(tokens)]
    new = subprocess.run([*serve, "--new-token"], capture_output=True, text=True, check=True)
    port = free_port()
    place = ("--storage", store.url, "--port", str(port))
    with subprocess.Popen(
        [*serve, *names, *place, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            said = [server.stdout.readline() for _ in names]
            yield Client(port, new.stdout.strip()), said, server
        finally:
            server.kill()


def _replicas(model: str) -> list[psutil.Process]:
    """Processes of a model's replicas on this test's Ray."""
    own = psutil.Process(os.getpid()).children(recursive=True)
    return [one for one in own if f"model-{model}" in _title(one)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
