"""Submission to a real Ray head, as users do it: on the command line."""

import contextlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from head import Head, start_head
from proxy import a_proxy

from medray.errors import RetryableError
from medray.jobs import submit as submitting
from medray.jobs.provision.capacity import cluster_checks
from medray.jobs.remote.ray_jobs_api import connect
from medray.jobs.run import run
from medray.jobs.status import job_status
from medray.jobs.submit import submit
from medray.storage.catalog.audit import entries
from medray.storage.store.objects import Objects
from medray.version import __version__

MEDRAY = [sys.executable, "-m", "medray"]
pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]


def medray(
    *arguments: str, env: dict[str, str] | None = None, timeout_s: float = 200
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MEDRAY, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        timeout=timeout_s,
    )


def in_ray(head: Head) -> list[dict[str, Any]]:
    """What Ray's own table holds."""
    return [job for job in head.ask("/api/jobs/") if job["submission_id"]]


def lives(store: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in store.glob("runs/job-*/drivers/*.json")]


def reference(job: dict[str, Any], tmp_path: Path) -> str:
    return run(job, storage=Objects(str(tmp_path / "plain")), cluster="inline").steps[0].digest


def test_a_job_runs_there_and_ends_as_here(
    head: Head, job: dict[str, Any], job_file: str, tmp_path: Path
) -> None:
    cluster = head.profile(tmp_path / "head.yaml")
    store = tmp_path / "store"
    place = ("--cluster", cluster, "--storage", str(store), "--wait")
    ended = medray("submit", job_file, *place, "--json")
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["steps"][0]["digest"] == reference(job, tmp_path)
    assert answer["steps"][0]["units"]["committed"] == 8
    assert "ingest heads: 9 of 9" in ended.stderr, "progress is shown"
    token = head.token_file.read_text()
    kept = b"".join(path.read_bytes() for path in store.rglob("*.json"))
    assert token.encode() not in kept
    assert token not in json.dumps(in_ray(head)), "Ray shows jobs to whoever asks"
    submitted, made = entries(Objects(str(store)))
    assert (submitted["what"], submitted["about"]) == ("submit", answer["job"])
    assert submitted["details"] == {"cluster": "head", "submission": 1, "medray": __version__}
    assert (made["what"], made["about"]) == ("ingest", answer["steps"][0]["output"])

    # More was refused than the budget allows: as `run`, exit status 3 and one line.
    failed = medray("submit", job_file, *place, "--set", "policy.error_budget=0")
    assert failed.returncode == 3
    assert "[error-budget]" in failed.stderr.splitlines()[-1]
    assert medray("submit", job_file, "--cluster", "inline").returncode == 2


def test_a_submission_whose_reply_is_lost_runs_once(
    head: Head, job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(0)
    monkeypatch.setattr(submitting, "connect", lambda profile: connect(profile, patience_s=0.3))
    store = str(tmp_path / "store")
    before = len(in_ray(head))

    def loses(method: str, path: str) -> bool:
        return method == "POST" or (path.startswith("/api/jobs/") and dice.random() < 0.9)

    sent = 0
    with a_proxy(head.address, loses) as proxy:
        cluster = head.profile(tmp_path / "proxied.yaml", address=proxy.address)
        for _ in range(20):
            with contextlib.suppress(RetryableError):
                sent += submit(job, cluster=cluster, storage=store).fresh
        proxy.loses = lambda _method, _path: False
        last = submit(job, cluster=cluster, storage=store)
        assert proxy.posts() >= 1
        assert len(proxy.lost) > 10
    assert (sent, last.submission.number) == (0, 1)
    asked = [entry["what"] for entry in entries(Objects(store))]
    assert asked.count("submit") == 1
    wait(lambda: [life["state"] for life in lives(tmp_path / "store")] == ["done"])
    assert len(in_ray(head)) == before + 1
    commits = list((tmp_path / "store").glob("datasets/heads/attempts/*/*.json"))
    assert sum(path.name.count(".") == 1 for path in commits) == 8, "each unit was begun once"


def test_runs_wait_for_their_turn_and_can_be_cancelled(
    head: Head, job_file: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    cluster = head.profile(tmp_path / "one.yaml", max_runs=1, forward=["MEDRAY_FAULTS"])
    place = ("--cluster", cluster, "--storage", str(store))

    def start(output: str, *more: str, **env: str) -> str:
        sent = medray(
            "submit", job_file, *place, "--set", f"output={output}", "--json", *more, env=env
        )
        assert sent.returncode == 0, sent.stderr
        return str(json.loads(sent.stdout)["run"])

    def state(name: str) -> str:
        return job_status(Objects(str(store)), name).state

    def queue() -> list[tuple[str, bool]]:
        line = medray("cluster", "queue", cluster, "--storage", str(store), "--json")
        return [(entry["job"], entry["running"]) for entry in json.loads(line.stdout)["queue"]]

    spent = tmp_path / "spent"
    first = start("a", MEDRAY_FAULTS=f"shard.written=hang@{spent}")
    wait(spent.exists)
    late, urgent, gone = start("b"), start("c", "--priority", "5"), start("d")
    wait(lambda: queue() == [(first, True), (urgent, False), (late, False), (gone, False)])
    assert [state(name) for name in (first, urgent)] == ["running", "waiting"]
    assert start("b") == late, "joined, not sent again"
    assert len(list(store.glob(f"runs/{late}/submissions/*.json"))) == 1

    for name in (gone, first):
        assert medray("cancel", name, "--storage", str(store)).returncode == 0
    wait(lambda: state(gone) == state(first) == "interrupted")
    wait(lambda: state(late) == "done")
    assert state(urgent) == "done"
    began = [job_status(Objects(str(store)), name).started for name in (urgent, late)]
    assert began == sorted(began)
    assert medray("cancel", late, "--storage", str(store)).returncode == 2
    ended = medray("resume", first, "--storage", str(store), "--json")
    assert json.loads(ended.stdout)["steps"][0]["units"]["quarantined"] == 1
    # What it says at its end may come a moment after its last record.
    wait(
        lambda: (
            "quarantined in a: no-label 1"
            in medray("logs", first, "--driver", "--storage", str(store)).stdout
        )
    )


def test_nobody_gets_in_without_the_token(head: Head, job_file: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("0" * 64)
    store = ("--storage", str(tmp_path / "store"))
    cluster = head.profile(tmp_path / "c.yaml", token_file=str(wrong))
    ended = medray("submit", job_file, "--cluster", cluster, *store)
    assert (ended.returncode, "[wrong-token]" in ended.stderr) == (2, True)
    wrong.chmod(0o644)
    ended = medray("submit", job_file, "--cluster", cluster, *store)
    assert (ended.returncode, "[open-token-file]" in ended.stderr) == (2, True)
    cluster = head.profile(tmp_path / "c.yaml", token_file=str(tmp_path / "none"))
    ended = medray("submit", job_file, "--cluster", cluster, *store)
    assert (ended.returncode, "[no-token]" in ended.stderr) == (2, True)
    assert not list((tmp_path / "store").glob("runs/*")), "nothing was written down"

    good = head.profile(tmp_path / "good.yaml")
    checks = {name: check()[0] for name, check in cluster_checks(good).items()}
    assert checks == {"cluster": True, "token": True, "pools": True}
    large = head.profile(tmp_path / "large.yaml", default_pool={"workers": [3, 4]})
    assert cluster_checks(large)["pools"]() == (
        False,
        "ingest: at least 3 workers of 1 CPU, and 2 fit",
    )


def test_the_head_is_killed_and_another_goes_on(
    job: dict[str, Any], job_file: str, tmp_path: Path
) -> None:
    objects = Objects(str(tmp_path / "store"))
    first = start_head(tmp_path / "one")
    place = ("--storage", str(tmp_path / "store"))
    try:
        cluster = first.profile(tmp_path / "one.yaml", forward=["MEDRAY_FAULTS"])
        env = {"MEDRAY_FAULTS": f"shard.written=hang:3@{tmp_path / 'spent'}"}
        waiting = subprocess.Popen(
            [*MEDRAY, "submit", job_file, "--cluster", cluster, "--wait", *place],
            env={**os.environ, **env},
            stderr=subprocess.PIPE,
            text=True,
        )
        wait((tmp_path / "spent").exists)
    finally:
        first.kill()
    name = next(path.name for path in (tmp_path / "store/runs").glob("job-*"))
    assert job_status(objects, name).state != "done"
    # At the address of the first one, and asks for another token.
    port = first.address.rpartition(":")[2]
    second = start_head(tmp_path / "two", more={"--dashboard-port": port})
    try:
        cluster = second.profile(tmp_path / "two.yaml")
        # Nobody can tell yet that the driver is dead: it is waited for, then sent again.
        ended = medray("resume", name, "--cluster", cluster, *place, "--json")
        assert ended.returncode == 0, ended.stderr
        step = json.loads(ended.stdout)["steps"][0]
    finally:
        second.kill()
    said = waiting.communicate(timeout=300)[1]
    assert waiting.returncode == 4, said
    assert "[driver-lost]" in said.splitlines()[-1]
    assert step["digest"] == reference(job, tmp_path)
    assert step["units"]["skipped"] > 0, "what was committed is not done again"
    assert job_status(objects, name).state == "done", "with every head gone"


def wait(true: Any, timeout_s: float = 120) -> None:
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
