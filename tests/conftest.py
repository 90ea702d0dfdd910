"""What every test stands on: a private home, no armed faults, data sets small and real."""

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import declared_of

sys.path.insert(0, str(Path(__file__).parent.parent))  # tests.servers, from test files and drills

from tests import outsiders, parts
from tests.servers import ceph, moto
from tests.servers.bucket import Bucket
from tests.servers.process import Server

pytest_runtest_setup = parts.pytest_runtest_setup
pytest_terminal_summary = parts.pytest_terminal_summary


@pytest.fixture(autouse=True)
def _private(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's home, Ray token or armed faults."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("MEDRAY_FAULTS", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command configures the log of its process; tests behind it have theirs."""
    log = logging.getLogger("medray")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """A storage root on disk."""
    return Objects(str(tmp_path / "store"))


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """moto's S3 server, for the whole session."""
    server = moto.start(tmp_path_factory.mktemp("moto"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def ceph_server() -> Iterator[Server]:
    """A one-node Ceph in memory, for the whole session."""
    parts.need("ceph")
    with tempfile.TemporaryDirectory(prefix="ceph-", ignore_cleanup_errors=True) as folder:
        server = ceph.start(Path(folder))
        yield server
        server.stop()


@pytest.fixture(params=["moto", "ceph"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new bucket of each server, with the credentials to it in the environment."""
    server: Server = request.getfixturevalue(f"{request.param}_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Bucket.new(server)


@pytest.fixture(params=["disk", "memory", "moto", "ceph"])
def any_objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """A root of each kind."""
    if request.param == "disk":
        return Objects(str(tmp_path / "root"))
    if request.param == "memory":
        return Objects("memory:///")
    server: Server = request.getfixturevalue(f"{request.param}_server")
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Bucket.new(server).objects()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data; tests that ask for it are skipped where it is absent."""
    parts.need("real-data")
    return Path(os.environ["MEDRAY_DATA"])


@pytest.fixture
def make_dataset(objects: Objects) -> Callable[[str, list[Sample]], Dataset]:
    """Makes a dataset of one unit, committed as a worker would."""

    def make(name: str, samples: list[Sample]) -> Dataset:
        ledger = Ledger(objects, name)
        attempt = ledger.begin("u0")
        writer = ShardWriter(objects, ledger.shard_path(attempt), declared_of(samples))
        for sample in samples:
            writer.add(sample)
        commit = ledger.commit(attempt, Commit("u0", attempt.id, writer.finish(), len(samples), []))
        return publish(
            objects,
            name,
            kind="test",
            spec="",
            commits=Commits.of([commit]),
            refused=[],
            parents=[],
        )

    return make


@pytest.fixture
def balls(make_dataset: Callable[[str, list[Sample]], Dataset]) -> Dataset:
    """Sixteen small volumes with a ball of each of two classes; every fourth is for validation."""
    generator = np.random.default_rng(0)
    samples = []
    for number in range(16):
        shape = tuple(int(n) for n in generator.integers((10, 12, 10), (15, 17, 15)))
        label = np.zeros(shape, np.uint8)
        for kind in (1, 2):
            centre = [generator.uniform(3, n - 3) for n in shape]
            grid = np.indices(shape)
            far = sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True))
            label[far < 6] = kind
        image = generator.normal(100, 5, shape) + 30.0 * label
        row = {
            "subject": f"p{number}",
            "split": "val" if number % 4 == 0 else "train",
            "spacing_mm": [1.0, 1.0, 1.0],
        }
        arrays = {"image": image.astype(np.int16)[None], "label": label}
        samples.append(Sample(f"s{number:02d}", row, arrays))
    return make_dataset("balls", samples)


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """medray finds the plugins of tests/outsiders.py, by entry points."""
    folder = tmp_path / "plugged"
    metadata = folder / "outsiders-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: outsiders\nVersion: 1.0\n")
    lines = []
    for group, plugins in outsiders.PLUGINS.items():
        lines += [f"[{group}]", *(f"{k} = {v.__module__}:{v.__name__}" for k, v in plugins.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Eight NIfTI volumes with masks, as the Decathlon lays them out, and one without a mask."""
    import nibabel

    root = tmp_path / "cohort"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for number in range(9):
        values = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4) + number
        affine = np.diag([1.0, 1.0, 2.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(values, affine), root / f"imagesTr/case_{number}.nii.gz")
        if number:
            mask = (values % 3).astype(np.uint8)
            nibabel.save(nibabel.Nifti1Image(mask, affine), root / f"labelsTr/case_{number}.nii.gz")
    return root


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "data_dir" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_data)
