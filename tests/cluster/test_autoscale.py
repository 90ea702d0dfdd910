"""Ray's autoscaler, for real: nodes come for the units of a job, one is lost, all go again."""

import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from growing import IDLE_S, Growing, a_growing_cluster

from medray.clock import SYSTEM
from medray.jobs.run import run
from medray.storage.store.objects import Objects
from tests.servers.metadata import a_metadata_service
from tests.serving.endpoint import MASKS, UNET, commit_model

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]
VOLUMES = 24
NOTICE = "/latest/meta-data/spot/instance-action"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Growing]:
    """Up to three nodes for predict, and up to two of another pool that nobody asks for."""
    folder = tmp_path_factory.mktemp("growing")
    with a_growing_cluster(folder, {"other": 2, "predict": 3}) as one:
        yield one


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage root with volumes and a model: a unit is some seconds of work for a processor."""
    import nibabel

    folder = tmp_path_factory.mktemp("stored")
    (folder / "raw/imagesTr").mkdir(parents=True)
    generator = np.random.default_rng(3)
    for number in range(VOLUMES):
        values = generator.normal(100, 20, (48, 48, 48)).astype(np.int16)
        image = nibabel.Nifti1Image(values, np.eye(4))
        nibabel.save(image, folder / f"raw/imagesTr/case_{number:02d}.nii.gz")
    objects = Objects(str(folder / "store"))
    job = {
        "kind": "ingest",
        "format": {"name": "nifti"},
        "source": str(folder / "raw/imagesTr"),
        "output": "heads",
        "units": {"samples": 1},
    }
    run(job, storage=objects, cluster="inline")
    commit_model(objects, "unet", UNET, MASKS, (16, 16, 16))
    return folder / "store"


def predict(output: str) -> dict[str, Any]:
    return {"kind": "predict", "model": "unet", "data": "heads", "output": output}


def wait(true: Callable[[], Any], timeout_s: float = 180) -> None:
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.2)


def test_grows_from_nothing_loses_a_node_and_shrinks_to_nothing(
    cluster: Growing, stored: Path, tmp_path: Path
) -> None:
    shutil.copytree(stored, tmp_path / "plain")
    plain = run(predict("masks"), storage=Objects(str(tmp_path / "plain")), cluster="inline")
    store = tmp_path / "store"
    shutil.copytree(stored, store)
    profile = cluster.head.profile(
        tmp_path / "growing.yaml",
        grows=True,
        # More than there will ever be a place for.
        default_pool={"workers": [1, 5], "cpus": 2, "labels": {"pool": "predict"}},
    )
    assert cluster.nodes() == {}
    for turn in ("masks", "again"):
        digest, came = _run_and_lose_a_node(cluster, store, profile, turn, tmp_path)
        assert digest == plain.steps[0].digest
        assert set(came.values()) == {"predict"}, "nobody asked for the others"
        assert len(came) >= 3, "two side by side at least, and one for the lost one"
        wait(lambda: not cluster.nodes(), 10 * IDLE_S)
        time.sleep(2 * IDLE_S)
        assert cluster.nodes() == {}, "nothing asks for nodes any more"


def test_a_node_with_a_notice_ends_what_it_does_and_hands_back_the_rest(
    cluster: Growing, stored: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(stored, store)
    profile = cluster.head.profile(
        tmp_path / "growing.yaml",
        grows=True,
        default_pool={"workers": 2, "cpus": 2, "labels": {"pool": "predict"}},
    )
    commits, attempts = (store / "datasets/masks" / name for name in ("commits", "attempts"))
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(cluster.head.token_file)}
    with a_metadata_service() as cloud, _submitted(profile, store, "masks", tmp_path) as sent:
        wait(lambda: len(cluster.nodes()) >= 2 and len(list(commits.glob("*"))) >= 4)
        told = next(iter(cluster.nodes()))
        command = [sys.executable, "-m", "medray", "cluster", "watch", "--cloud", "aws"]
        command += ["--metadata", cloud.url, "--address", cluster.head.gcs, "--node", told]
        with subprocess.Popen(command, env={**os.environ, **token}) as watcher:
            wait(lambda: ("GET", NOTICE) in cloud.asked)
            assert told in cluster.nodes()
            at = SYSTEM.now() + datetime.timedelta(seconds=120)
            cloud.time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
            assert watcher.wait(60) == 0
        wait(lambda: told not in cluster.nodes(), 100)
        assert sent.poll() is None, "the run goes on"
        said = sent.communicate(timeout=400)[0]
    assert sent.returncode == 0
    assert json.loads(said)["steps"][0]["units"]["committed"] == VOLUMES
    begun = [path for path in attempts.glob("*/*.json") if path.name.count(".") == 1]
    assert len(begun) == VOLUMES, "each unit was begun once: none was lost with its node"
    wait(lambda: not cluster.nodes(), 10 * IDLE_S)


@contextlib.contextmanager
def _submitted(
    profile: str, store: Path, output: str, tmp_path: Path
) -> Iterator["subprocess.Popen[str]"]:
    job = tmp_path / "job.yaml"
    job.write_text(json.dumps(predict(output)))
    place = ("--cluster", profile, "--storage", str(store), "--wait", "--json")
    command = [sys.executable, "-m", "medray", "submit", str(job), *place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as sent:
        yield sent


def _run_and_lose_a_node(
    cluster: Growing, store: Path, profile: str, output: str, tmp_path: Path
) -> tuple[str, dict[str, str]]:
    """Digest of the run's output, and the nodes that came and went."""
    came: dict[str, str] = {}

    def look() -> dict[str, str]:
        now = cluster.nodes()
        came.update(now)
        return now

    def commits() -> int:
        return len(list(store.glob(f"datasets/{output}/commits/*.json")))

    with _submitted(profile, store, output, tmp_path) as sent:
        wait(lambda: (len(look()) >= 2 and commits() >= 4) or sent.poll() is not None)
        lost = next(iter(look()))
        done = commits()
        cluster.kill_node(lost)
        assert done < VOLUMES, "in the middle"
        wait(lambda: (lost not in look() and len(look()) >= 2) or sent.poll() is not None)
        said = sent.communicate(timeout=400)[0]
    assert sent.returncode == 0
    step = json.loads(said)["steps"][0]
    assert step["units"] == {
        "planned": VOLUMES,
        "committed": VOLUMES,
        "skipped": 0,
        "quarantined": 0,
        "passed_over": 0,
    }
    return str(step["digest"]), came
