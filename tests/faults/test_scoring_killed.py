"""Scoring a VCF, killed anywhere: the same VCF and Parquet, byte for byte, and no work twice."""

import hashlib
import random
import signal
from pathlib import Path

import pytest
from command import Run
from killing import run_killed, workers_killed

from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from tests import callset

UNIT = 25
POINTS = [
    "attempt.begun=kill:9",
    "shard.written=kill:12",
    "commit.before-record=kill:7",
    "commit.after-record=kill:15",
    "publish.before-manifest=kill:3",
    "export.written=kill:1",
    "export.written=kill:2",
    "publish.before-manifest=kill:4",
    "publish.after-head=kill:4",
    "publish.before-head=kill:5",
]


class Job(Run):
    """The whole way of a VCF, below a folder of its own."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.out = folder / "out"
        export = {"kind": "export", "data": "scores"}
        steps = [
            *callset.ingest_steps(source, source / "vcf"),
            callset.score_step(unit=UNIT),
            {
                **export,
                "format": {
                    "name": "annotated_vcf",
                    "source": str(source / "vcf"),
                    "partition": 2**16,
                },
                "to": str(self.out / "vcf"),
            },
            {
                **export,
                "format": {"name": "table", "file": "parquet"},
                "to": str(self.out / "table"),
            },
        ]
        super().__init__(folder, steps)
        callset.save_network(Objects(str(self.root)))

    def made(self) -> dict[str, str]:
        """Hashes of the files that were exported."""
        return {
            path.relative_to(self.out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.out.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }

    def check(self, clean: dict[str, str]) -> None:
        """Everything is there, once, and as an undisturbed run makes it."""
        assert self.made() == clean
        objects = Objects(str(self.root))
        scores, sites = open_dataset(objects, "scores"), open_dataset(objects, "sites")
        assert scores.samples["sample_id"].equals(sites.samples["sample_id"])
        assert scores.inputs.quarantined == 0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    lines = [line for line in callset.records(200) for _ in range(4)]
    callset.write_vcf(folder / "vcf" / "a.vcf", lines)
    callset.write_vcf(folder / "vcf" / "b.vcf.gz", callset.records(70))
    callset.write_genome(folder / "genome")
    return folder


@pytest.fixture(scope="module")
def clean(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    job = Job(tmp_path_factory.mktemp("clean"), source)
    assert job.finish() == 0
    made = job.made()
    assert sorted(made) == [
        "table/scores.parquet",
        "vcf/a.vcf.gz",
        "vcf/a.vcf.gz.csi",
        "vcf/b.vcf.gz",
        "vcf/b.vcf.gz.csi",
    ]
    return made


@pytest.mark.drill
@pytest.mark.parametrize("where", POINTS)
def test_killed_at_a_point(where: str, source: Path, clean: dict[str, str], tmp_path: Path) -> None:
    job = Job(tmp_path, source)
    assert job.finish(MEDRAY_FAULTS=where) == -signal.SIGKILL
    assert not set(job.made().items()) - set(clean.items()), "what stands there is whole"
    assert job.finish() == 0
    job.check(clean)


@pytest.mark.drill
@pytest.mark.timeout(400)
def test_driver_killed_at_random_moments(
    source: Path, clean: dict[str, str], tmp_path: Path
) -> None:
    job = Job(tmp_path, source)
    status, kills = run_killed(job.start, random.Random(11), (1.0, 3.5), 12)
    assert status == 0
    job.check(clean)
    scores = open_dataset(Objects(str(job.root)), "scores")
    # A worker has two ranges in hand: one it computes, one it reads.
    assert job.attempts("scores") <= len(scores.units) + 2 * kills
    assert kills >= 3


@pytest.mark.drill
@pytest.mark.timeout(400)
def test_workers_on_ray_killed_at_random(
    source: Path, clean: dict[str, str], tmp_path: Path
) -> None:
    job = Job(tmp_path, source)
    driver = job.start("local")
    kills = workers_killed(driver, "MapWorker", random.Random(12), (0.4, 1.2), 10)
    assert driver.returncode == 0
    assert kills >= 3
    job.check(clean)
    scores = open_dataset(Objects(str(job.root)), "scores")
    assert job.attempts("scores") <= len(scores.units) + 2 * kills
