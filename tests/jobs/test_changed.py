"""A source that changes under a run: nothing is committed under another file's name, and the next
run takes what is there then."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medray.engine.units.operation import Unit
from medray.jobs.run import run
from medray.steps.base.events import StepResult, Tally
from medray.steps.ingest.operation import Ingest
from medray.storage.catalog.check import verify_all
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects


@pytest.fixture
def step(cohort: Path) -> dict[str, Any]:
    return {
        "kind": "ingest",
        "format": {"name": "nifti", "layout": "msd"},
        "source": str(cohort),
        "output": "heads",
        "units": {"samples": 3},
        "policy": {"error_budget": 0.4},
    }


def done(objects: Objects, step: dict[str, Any]) -> StepResult:
    return run(step, storage=objects, cluster="inline").steps[0]


def while_reading(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Callable[[], None]]) -> None:
    """Let `act` change something before case_3 is read, and what it returns undo it after."""
    load = Ingest.load

    def disturbed(self: Ingest, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        undo = act() if key == "case_3" else lambda: None
        try:
            yield from load(self, unit, key)
        finally:
            undo()

    monkeypatch.setattr(Ingest, "load", disturbed)


def digest_of(objects: Objects, key: str) -> bytes:
    data = open_dataset(objects, "heads")
    at = data.samples["sample_id"].to_pylist().index(key)
    return bytes(data.array(at, "image")[...].tobytes())


def test_put_back_as_it_was_it_is_done_by_the_next_run(
    objects: Objects, step: dict[str, Any], cohort: Path, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    undisturbed = done(Objects(str(tmp_path / "undisturbed")), step)
    path, other = cohort / "imagesTr/case_3.nii.gz", cohort / "imagesTr/case_4.nii.gz"
    before, status = path.read_bytes(), path.stat()

    def put(data: bytes) -> None:
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def swap() -> Callable[[], None]:
        put(other.read_bytes())
        return lambda: put(before)

    with monkeypatch.context() as patch:
        while_reading(patch, swap)
        first = done(objects, step)
    assert first.reasons == {"changed-while-read": 1, "no-label": 1}
    assert first.units == Tally(9, committed=7, skipped=0, quarantined=2)
    again = done(objects, step)
    assert again.reasons == {"no-label": 1}
    assert again.digest == undisturbed.digest
    # No more than the unit at hand was done anew, and from now on all is done.
    assert again.units.committed <= 6
    assert done(objects, step).units == Tally(9, committed=0, skipped=8, quarantined=1)
    assert verify_all(objects)[1] == []


@pytest.mark.parametrize("fingerprint", ["times", "content"])
def test_a_file_that_another_one_took_the_place_of_is_taken_by_the_next_run(
    objects: Objects,
    step: dict[str, Any],
    cohort: Path,
    monkeypatch: pytest.MonkeyPatch,
    fingerprint: str,
) -> None:
    path, other = cohort / "imagesTr/case_3.nii.gz", cohort / "imagesTr/case_4.nii.gz"
    step = {**step, "fingerprint": fingerprint}

    def replaced() -> Callable[[], None]:
        path.write_bytes(other.read_bytes())
        return lambda: None

    with monkeypatch.context() as patch:
        while_reading(patch, replaced)
        first = done(objects, step)
    assert first.reasons == {"changed-while-read": 1, "no-label": 1}
    assert done(objects, step).reasons == {"no-label": 1}
    assert digest_of(objects, "case_3") == digest_of(objects, "case_4")


def test_by_content_a_touched_file_is_the_same_and_a_forged_time_hides_nothing(
    objects: Objects, step: dict[str, Any], cohort: Path
) -> None:
    step = {**step, "fingerprint": "content"}
    first = done(objects, step)
    for path in cohort.rglob("*.nii.gz"):
        os.utime(path, ns=(5, 5))
    assert done(objects, step).units == Tally(9, committed=0, skipped=8, quarantined=1)
    path, other = next(
        (one, two)
        for one in sorted(cohort.glob("imagesTr/case_[1-8]*"))
        for two in sorted(cohort.glob("imagesTr/case_[1-8]*"))
        if one != two and one.stat().st_size == two.stat().st_size
    )
    before = path.read_bytes()
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(5, 5))
    assert done(objects, step).digest != first.digest
    names = [one.name.removesuffix(".nii.gz") for one in (path, other)]
    assert digest_of(objects, names[0]) == digest_of(objects, names[1])
    # By times it would be the file of before: the documents say so.
    by_times = done(objects, {**step, "fingerprint": "times", "output": "other"})
    path.write_bytes(before)
    os.utime(path, ns=(5, 5))
    assert done(objects, {**step, "fingerprint": "times", "output": "other"}).digest == (
        by_times.digest
    )


def test_volumes_in_a_linked_folder_are_counted_or_read(
    objects: Objects, step: dict[str, Any], cohort: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for folder in ("imagesTr", "labelsTr"):
        (linked / folder).symlink_to(cohort / folder)
    (linked / "imagesTs").mkdir()
    (linked / "imagesTs" / "x.nii.gz").symlink_to(cohort / "imagesTr" / "case_1.nii.gz")
    plain = {**step, "format": {"name": "nifti"}, "source": str(linked)}
    refused = {**plain, "policy": {"error_budget": 1}}
    with pytest.raises(Exception, match="empty-dataset"):
        done(objects, refused)
    made = done(objects, {**step, "source": str(linked), "follow_links": True})
    assert made.digest == done(objects, {**step, "output": "direct"}).digest
    assert made.passed_over == {"other-folder": 1}
