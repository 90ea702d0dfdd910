"""Two nights over an archive of records that grows: only what is new is scored."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from nights import DAY, Wall, pass_time, states

from medray.jobs.run import Run, run_documents
from medray.jobs.schedule import schedules
from medray.jobs.schedule.claims import Claim
from medray.jobs.schedule.scheduler import Scheduler
from medray.jobs.schedule.start import Outcome
from medray.spec.load import Source
from medray.storage.catalog.check import verify_all
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from tests.recordings import save_tagger, write_records
from tests.servers.bucket import Bucket
from tests.servers.process import Server

Place = Callable[[str], Objects]


@pytest.fixture(params=["disk", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Roots by name: folders, or prefixes of one bucket."""
    if request.param == "disk":
        return lambda name: Objects(str(tmp_path / "there" / name))
    server: Server = request.getfixturevalue("moto_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return Bucket.new(server).objects


@dataclass
class Here:
    """Runs what is claimed at once, in this process."""

    objects: Objects
    runs: list[Run] = field(default_factory=list)
    nodes: int = 1

    def __call__(self, claim: Claim) -> "Here":
        source = Source(claim.file, claim.documents)
        made = run_documents(
            source, self.objects, cluster="inline", on_event=None, stop=threading.Event()
        )
        self.runs.append(made)
        return self

    def poll(self) -> Outcome:
        return Outcome(0)

    def stop(self) -> None:
        raise AssertionError("nothing is under way")

    leave = stop


def upload(folder: Path, archive: Objects) -> None:
    for path in sorted(folder.iterdir()):
        archive.put(path.name, path.read_bytes())


def annotations(out: Objects) -> dict[str, Any]:
    """Of each annotation file its bytes, its tag, and when it was written."""
    return {
        entry.path: (*out.get_tagged(entry.path), entry)
        for entry in out.walk()
        if entry.path.endswith(".net")
    }


def test_new_records_alone_are_scored(place: Place, tmp_path: Path, clock: Wall) -> None:
    archive, store, out = place("archive"), place("store"), place("out")
    save_tagger(store, "net")
    form = {"name": "wfdb", "deidentify": {"method": "none"}}
    job = [
        {"kind": "ingest", "format": form, "source": archive.url, "output": "records",
         "policy": {"error_budget": 0.5}},
        {"kind": "predict", "model": "net", "data": "records", "output": "answers"},
        {"kind": "export", "data": "answers", "format": {"name": "wfdb", "annotator": "net"},
         "to": out.url},
    ]  # fmt: skip
    write_records(tmp_path / "first", range(3))
    upload(tmp_path / "first", archive)
    here = Here(store)
    schedules.add(store, "n", job, clock=clock, cron="0 22 * * *")
    scheduler = Scheduler(store, here, clock=clock)
    pass_time(clock, DAY, scheduler, step=3600)
    (first,) = here.runs
    assert [(one.units.committed, one.units.skipped) for one in first.steps] == 3 * [(3, 0)]
    before = annotations(out)
    assert sorted(before) == [f"r0{number}/r0{number}.net" for number in range(3)]

    write_records(tmp_path / "second", range(3, 6))
    broken = tmp_path / "second/r04.dat"
    broken.write_bytes(broken.read_bytes()[:-100])
    upload(tmp_path / "second", archive)
    pass_time(clock, DAY, scheduler, step=3600)
    assert list(states(store, clock).values()) == ["done", "done"]
    counts = [one.units for one in here.runs[1].steps]
    assert [(one.committed, one.skipped) for one in counts] == 3 * [(2, 3)]
    assert [one.quarantined for one in counts] == [1, 0, 0]
    (refused,) = open_dataset(store, "records").quarantine().to_pylist()
    assert "r04" in refused["source"]
    assert refused["code"] == "short-file"
    after = annotations(out)
    assert sorted(after) == [f"r0{number}/r0{number}.net" for number in (0, 1, 2, 3, 5)]
    assert {path: after[path] for path in before} == before
    assert len({content for content, *_ in after.values()}) == 5
    assert verify_all(store)[1] == []
