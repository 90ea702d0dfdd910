"""The morning page of real nights: what is new, refused, moved, and what a run that failed says."""

import datetime
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medray.clock import VirtualClock
from medray.errors import DataError, SpecError
from medray.jobs.run import run
from medray.jobs.schedule import schedules
from medray.jobs.schedule.claims import Claim
from medray.jobs.schedule.scheduler import Scheduler
from medray.jobs.schedule.start import Outcome
from medray.report.morning import write_morning
from medray.spec.kinds import KINDS
from medray.steps.base.step import named
from medray.storage.store.objects import Objects

CLOCK = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)


class Here:
    """Runs the claim's job in this process, at once."""

    nodes = 2

    def __init__(self, objects: Objects, clock: VirtualClock, status: int = 0) -> None:
        self._objects, self._clock, self._status = objects, clock, status

    def __call__(self, claim: Claim) -> "Here":
        self._clock.sleep(100)
        try:
            done = run(claim.documents, storage=self._objects, cluster="inline")
        except DataError as error:
            told = {"code": error.code, "message": error.message, "about": error.about}
            failed = {**told, "hint": error.hint, "exit_status": error.exit_status}
            self._outcome = Outcome(error.exit_status, {"steps": [], "error": failed})
            return self
        steps: list[dict[str, Any]] = [step.as_json() for step in done.steps]
        self._outcome = Outcome(0, {"job": done.id, "steps": steps})
        if self._status:
            told = {"code": "boom", "message": "it <b>broke</b>", "about": "x", "hint": ""}
            error = {**told, "exit_status": self._status}
            self._outcome = Outcome(self._status, {"error": error})
        return self

    def poll(self) -> Outcome:
        return self._outcome

    def stop(self) -> None: ...


def volume(path: Path, seed: int, mean: float) -> None:
    values = np.random.default_rng(seed).normal(mean, 5, (4, 5, 6)).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def night(objects: Objects, clock: VirtualClock, status: int = 0) -> str:
    """The page of the next night, and that of nobody else's."""
    clock.at = clock.at.replace(hour=22, minute=0, second=1)
    scheduler = Scheduler(objects, Here(objects, clock, status), clock=clock)
    scheduler.tick()
    scheduler.tick()
    path = write_morning(objects, "n", clock=clock)
    clock.sleep(86400)
    page = objects.get(path).decode()
    assert objects.get("reports/n/morning.html").decode() == page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    return page


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number in range(40):
        volume(folder / f"a{number:03d}.nii.gz", number, 100)
    return folder


@pytest.fixture
def clock(objects: Objects, raw: Path) -> VirtualClock:
    clock = VirtualClock(CLOCK)
    policy = {"error_budget": 0.5}
    job = {"kind": "ingest", "format": {"name": "nifti"}, "source": str(raw), "output": "heads"}
    schedules.add(objects, "n", {**job, "policy": policy}, clock=clock, cron="0 22 * * *")
    return clock


def tile(page: str, name: str) -> str:
    after = page.split(f'<div class="name">{name}</div>')[1]
    return after.split('<div class="value">')[1].split("<")[0]


def test_nights(objects: Objects, raw: Path, clock: VirtualClock) -> None:
    first = night(objects, clock)
    assert "the nights to come are compared with it" in first
    assert (tile(first, "new samples"), tile(first, "cost")) == ("40", "200")

    quiet = night(objects, clock)
    assert tile(quiet, "new samples") == "0"
    assert "Nothing new to compare" in quiet

    for number in range(20):
        volume(raw / f"b{number:03d}.nii.gz", 100 + number, 100)
    (raw / "c.nii.gz").write_bytes(b"no volume")
    steady = night(objects, clock)
    assert (tile(steady, "new samples"), tile(steady, "refused tonight")) == ("20", "1")
    assert tile(steady, "throughput") == "0.20"
    assert "Done, with quarantine" in steady
    assert '<span class="chip bad">shifted</span>' not in steady

    for number in range(20):
        volume(raw / f"d{number:03d}.nii.gz", 200 + number, 130)
    moved = night(objects, clock)
    assert (tile(moved, "new samples"), tile(moved, "refused tonight")) == ("20", "0")
    assert "Done, and the data have moved" in moved
    assert "image_mean of heads" in moved
    assert "reference, 40" in moved


def test_what_comes_in_and_goes_out_is_watched() -> None:
    watched = {name: named(name).watches for name in KINDS.names() if named(name).watches}
    watched_outputs = dict.fromkeys(("predict", "screen", "variants"), "outputs")
    assert watched == {"ingest": "inputs", **watched_outputs}


def test_a_night_that_failed(objects: Objects, clock: VirtualClock) -> None:
    night(objects, clock)
    page = night(objects, clock, status=3)
    assert '<p class="verdict">Failed</p>' in page
    assert "Nothing was made tonight that could be compared" in page
    assert "<dt>compared with</dt><dd>Fri 01 May 2026 22:00 UTC</dd>" in page
    assert "it &lt;b&gt;broke&lt;/b&gt;" in page
    assert tile(page, "refused tonight") == "\N{EN DASH}"  # nothing was counted that could be shown


def test_a_night_that_refused_too_much(objects: Objects, raw: Path, clock: VirtualClock) -> None:
    (raw / "broken.nii.gz").write_bytes(b"no volume")
    night(objects, clock)
    for number in range(50):
        (raw / f"c{number:03d}.nii.gz").write_bytes(b"no volume either")
    page = night(objects, clock)
    assert '<span class="chip bad">error-budget</span>' in page
    assert (tile(page, "new samples"), tile(page, "refused tonight")) == ("0", "50")
    assert "no version" in page
    assert '<td class="n">51</td><td class="n">50</td>' in page  # all in all, of these tonight
    assert tile(night(objects, clock), "refused tonight") == "50"  # since the last that was done


def test_a_reference_that_never_was(objects: Objects, clock: VirtualClock) -> None:
    with pytest.raises(SpecError) as nothing:
        write_morning(objects, "n", clock=clock)
    night(objects, clock)
    with pytest.raises(SpecError) as wrong:
        write_morning(objects, "n", reference="20200101T000000Z", clock=clock)
    assert nothing.value.code == wrong.value.code == "no-such-due-time"
