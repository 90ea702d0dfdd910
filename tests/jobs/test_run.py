"""Whole jobs in this process: accounting, skipping, budgets, retries, stopping, resuming."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from medray.errors import DataError, InterruptedRun, MedrayError, RetryableError, SpecError
from medray.jobs.resume import cancel, resume
from medray.jobs.run import run
from medray.jobs.status import events, find_job, job_status, jobs
from medray.jobs.storage_by_name import open_reference, open_storage
from medray.steps.base.events import Event, StepResult, Tally
from medray.steps.ingest.operation import Ingest
from medray.storage.catalog.audit import entries
from medray.storage.catalog.check import verify_all
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.quarantine import read_refusals
from medray.storage.store.objects import Objects


def ingest_step(cohort: Path, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "ingest",
        "format": {"name": "nifti", "layout": "msd"},
        "source": str(cohort),
        "output": "heads",
        "split": {"train": 3, "val": 1},
        "units": {"samples": 2},
        "policy": {"error_budget": 0.2},
        **changes,
    }


def export_step(to: Path, **changes: Any) -> dict[str, Any]:
    step = {"kind": "export", "data": "heads", "format": {"name": "nifti"}, "to": str(to)}
    return {**step, **changes}


def inline(objects: Objects, *steps: dict[str, Any], **options: Any):
    return run(list(steps), storage=objects, cluster="inline", **options)


def test_a_job_accounts_for_every_input(objects: Objects, cohort: Path, tmp_path: Path) -> None:
    done = inline(objects, ingest_step(cohort), export_step(tmp_path / "out"))
    ingested, exported = done.steps
    assert ingested.units == Tally(planned=9, committed=8, skipped=0, quarantined=1)
    assert ingested.reasons == {"no-label": 1}
    assert exported.units == Tally(planned=8, committed=8, skipped=0, quarantined=0)
    assert done.output == exported.output
    assert done.status == "done"
    dataset = open_dataset(objects, ingested.output)
    assert dataset.digest == ingested.digest
    # Golden: equal files, equal digest, in every version of medray to come.
    assert dataset.digest == "ceec452a024a2c432f7cbe9882c4e342"
    assert open_dataset(objects, exported.output).parents == [dataset.reference]
    files = sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz"))
    assert files == [f"case_{n}.nii.gz" for n in range(1, 9)]


def test_what_is_committed_is_skipped(objects: Objects, cohort: Path, tmp_path: Path) -> None:
    steps = ingest_step(cohort), export_step(tmp_path / "out")
    first, second = inline(objects, *steps), inline(objects, *steps)
    assert [step.run for step in first.steps] == [step.run for step in second.steps]
    assert [step.output for step in first.steps] == [step.output for step in second.steps]
    assert second.steps[0].units == Tally(planned=9, committed=0, skipped=8, quarantined=1)
    assert second.steps[1].units == Tally(planned=8, committed=0, skipped=8, quarantined=0)
    assert [entry["what"] for entry in entries(objects)] == ["ingest", "export"]


def test_a_new_input_costs_its_own_unit_only(objects: Objects, cohort: Path) -> None:
    first = inline(objects, ingest_step(cohort)).steps[0]
    (cohort / "labelsTr/case_0.nii.gz").write_bytes(
        (cohort / "labelsTr/case_1.nii.gz").read_bytes()
    )
    second = inline(objects, ingest_step(cohort)).steps[0]
    assert second.run != first.run
    assert second.digest != first.digest
    assert 0 < second.units.committed < 9
    assert second.units.committed + second.units.skipped == 9
    older = open_dataset(objects, first.output)
    assert len(older) == 8


def test_deleting_the_target_exports_again(objects: Objects, cohort: Path, tmp_path: Path) -> None:
    import shutil

    steps = ingest_step(cohort), export_step(tmp_path / "out")
    inline(objects, *steps)
    shutil.rmtree(tmp_path / "out")
    again = inline(objects, *steps).steps[1]
    assert again.units.committed == 8
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 8


def test_beyond_the_error_budget_nothing_is_published(objects: Objects, cohort: Path) -> None:
    step = ingest_step(cohort, policy={"error_budget": 0.1})
    with pytest.raises(DataError) as caught:
        inline(objects, step)
    assert caught.value.code == "error-budget"
    assert "1 of 9 inputs were refused (no-label: 1)" in caught.value.message
    with pytest.raises(SpecError, match="no version of it is published"):
        open_dataset(objects, "heads")
    kept = read_refusals(objects, "heads")
    assert kept is not None
    assert [(row["source"], row["code"]) for row in kept.to_pylist()] == [("case_0", "no-label")]
    mended = inline(objects, step, overrides=["policy.error_budget=0.2"]).steps[0]
    assert mended.units.quarantined == 1


def test_a_run_that_overdraws_its_budget_stops_early(objects: Objects, cohort: Path) -> None:
    for path in (cohort / "imagesTr").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(DataError) as caught:
        inline(objects, ingest_step(cohort))
    assert caught.value.code == "error-budget"
    assert caught.value.exit_status == 3
    kept = read_refusals(objects, "heads")
    assert kept is not None
    refused = {row["source"] for row in kept.to_pylist()}
    assert len(refused) == int(caught.value.message.split(" of ")[0])


def test_what_another_run_commits_meanwhile_is_not_counted_as_ours(
    objects: Objects, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Ingest.load
    done: list[StepResult] = []
    first = threading.Lock()

    def interrupted(self: Ingest, unit: Any, key: str) -> Any:
        if first.acquire(blocking=False):  # while this run reads its first input
            done.append(inline(objects, ingest_step(cohort)).steps[0])
        return load(self, unit, key)

    monkeypatch.setattr(Ingest, "load", interrupted)
    ours = inline(objects, ingest_step(cohort)).steps[0]
    (theirs,) = done
    assert ours.units.committed + theirs.units.committed == 8, "each unit is counted once"
    assert (ours.units.skipped, theirs.units.skipped) == (
        theirs.units.committed,
        ours.units.committed,
    )
    assert theirs.units.committed
    assert ours.digest == theirs.digest


@pytest.mark.parametrize(
    ("error", "status"),
    [(RetryableError("away", code="away"), 5), (SpecError("wrong", code="wrong"), 2)],
)
def test_a_failure_that_lasts_ends_the_run_with_its_status(
    objects: Objects,
    cohort: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: MedrayError,
    status: int,
) -> None:
    def fail(self: Ingest, unit: Any, key: str) -> Any:
        raise error

    monkeypatch.setattr(Ingest, "load", fail)
    monkeypatch.setattr("medray.engine.units.worker.RETRIES", 0)
    with pytest.raises(type(error)) as caught:
        inline(objects, ingest_step(cohort))
    assert caught.value.code == "units-failed"
    assert caught.value.exit_status == status
    job = jobs(objects)[0]
    assert (job.state, job.exit_status) == ("failed", status)
    monkeypatch.undo()
    assert resume(job.job, storage=objects, cluster="inline").steps[0].units.planned == 9


def test_stop_drains_and_resume_goes_on(objects: Objects, cohort: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def listen(event: Event) -> None:
        if event.name == "unit":
            stop.set()

    steps = ingest_step(cohort), export_step(tmp_path / "out")
    with pytest.raises(InterruptedRun) as caught:
        inline(objects, *steps, on_event=listen, stop=stop)
    assert caught.value.code == "stopped"
    status = jobs(objects)[0]
    assert (status.state, status.exit_status, status.planned) == ("interrupted", 4, 2)
    step = status.steps[0]
    assert 0 < step.committed < step.units
    assert step.result is None
    # By the run of a step, or a beginning of it, as well as by the job's.
    done = resume(step.run[:12], storage=objects)
    assert done.id == status.job
    assert done.steps[0].units.skipped > 0
    assert done.steps[0].digest == inline(objects, ingest_step(cohort)).steps[0].digest


def test_an_undisturbed_run_and_an_interrupted_one_make_the_same(
    objects: Objects, cohort: Path, tmp_path: Path
) -> None:
    stop = threading.Event()
    with pytest.raises(InterruptedRun):
        inline(
            objects,
            ingest_step(cohort),
            on_event=lambda event: stop.set() if event.name == "unit" else None,
            stop=stop,
        )
    interrupted = inline(objects, ingest_step(cohort)).steps[0]
    other = inline(Objects(str(tmp_path / "other")), ingest_step(cohort)).steps[0]
    assert interrupted.digest == other.digest


def test_who_ends_last_of_two_jobs_of_one_name_is_told(objects: Objects, cohort: Path) -> None:
    others: list[str] = []
    told: list[dict[str, Any]] = []

    def listen(event: Event) -> None:
        if event.name == "step" and not others:
            others.append(inline(objects, ingest_step(cohort, units={"samples": 3})).output)
        if event.name == "contended":
            told.append(event.fields)

    done = inline(objects, ingest_step(cohort), on_event=listen)
    assert told == [{"output": done.output, "others": others}]
    assert open_dataset(objects, "heads").reference == done.output
    # Versions that were there before are nobody's rivals.
    inline(objects, ingest_step(cohort, split=None), on_event=listen)
    assert len(told) == 1


def test_two_drivers_on_one_job_make_one_version(
    objects: Objects, cohort: Path, tmp_path: Path
) -> None:
    steps = ingest_step(cohort), export_step(tmp_path / "out")
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: inline(objects, *steps), range(2)))
    one, other = (
        [
            (step.output, step.digest, step.units.planned, step.units.quarantined)
            for step in run.steps
        ]
        for run in both
    )
    assert one == other
    assert len(list(objects.walk("datasets/heads/versions"))) == 1
    assert verify_all(objects)[1] == []


def test_records_of_a_run(objects: Objects, cohort: Path) -> None:
    done = inline(objects, ingest_step(cohort))
    job, step = done.id, done.steps[0].run
    assert find_job(objects, step) == job
    spec = json.loads(objects.get(f"runs/{step}/spec.json"))
    assert spec["format"]["max_bytes"] == 8 * 2**30  # a default of the format's
    assert spec["policy"] == {"error_budget": 0.2, "max_attempts": 3, "unit_timeout_s": 1800.0}
    names = [event["event"] for event in events(objects, job, set())]
    assert names[:3] == ["job", "begin", "step"]
    assert names[-1] == "done"
    plan = objects.get(f"runs/{step}/plan.parquet")
    assert str(cohort).encode() not in plan
    assert job_status(objects, job).state == "done"
    assert job_status(objects, job).steps[0].committed == job_status(objects, job).steps[0].units


def test_cancel_is_for_what_runs(objects: Objects, cohort: Path) -> None:
    job = inline(objects, ingest_step(cohort)).id
    with pytest.raises(SpecError) as caught:
        cancel(job, storage=objects)
    assert caught.value.code == "not-running"
    with pytest.raises(SpecError, match="no such run"):
        cancel("job-of-nobody", storage=objects)


def test_cancel_reaches_the_driver(
    objects: Objects, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medray.jobs.driver.LOOK_S", 0.01)
    stop = threading.Event()

    def listen(event: Event) -> None:
        if event.name == "step":
            cancel(jobs(objects)[0].job, storage=objects)
            assert stop.wait(10)

    with pytest.raises(InterruptedRun):
        inline(objects, ingest_step(cohort), on_event=listen, stop=stop)
    # The mark was for that driver; the next one goes on.
    assert inline(objects, ingest_step(cohort)).steps[0].units.planned == 9


def test_every_document_is_checked_before_any_costs_time(objects: Objects, cohort: Path) -> None:
    with pytest.raises(SpecError) as caught:
        inline(objects, ingest_step(cohort), {"kind": "export", "data": "heads"})
    assert caught.value.about.startswith("job, document 2")
    assert objects.folders("datasets") == []


@pytest.mark.parametrize(
    ("change", "code", "about"),
    [
        ({"format": {"name": "niffti"}}, "unknown-plugin", "job, document 1, format.name"),
        (
            {"format": {"name": "nifti", "layuot": "msd"}},
            "bad-field",
            "job, document 1, format.layuot",
        ),
        ({"source": "/nowhere/at/all"}, "no-such-source", "job, document 1, source"),
    ],
)
def test_what_a_plugin_refuses_names_the_place(
    objects: Objects, cohort: Path, change: dict[str, Any], code: str, about: str
) -> None:
    with pytest.raises(SpecError) as caught:
        inline(objects, ingest_step(cohort, **change))
    assert (caught.value.code, caught.value.about) == (code, about)


def test_storage_and_references_by_name(
    objects: Objects, cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = inline(objects, ingest_step(cohort))
    monkeypatch.setenv("MEDRAY_ROOT", objects.url)
    assert open_storage().url == objects.url
    assert open_reference("heads").reference == done.output
    assert open_reference(done.output, objects).digest == done.steps[0].digest
    monkeypatch.setenv("MEDRAY_STORAGE", objects.url)
    assert open_storage(None).url == objects.url


def test_a_budget_is_what_was_written(objects: Objects, tmp_path: Path) -> None:
    """0.29 * 100 is 28.999999999999996 in floats, and 29 of 100 inputs are no more than 0.29."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(100):
        Image.new("L", (4, 4), number).save(raw / f"{number:03d}.png")
        if number < 29:
            (raw / f"{number:03d}.png").write_bytes(b"no picture")
    step = {"kind": "ingest", "format": {"name": "image"}, "source": str(raw), "output": "x"}
    with pytest.raises(DataError, match="29 of 100 inputs were refused"):
        inline(objects, {**step, "policy": {"error_budget": 0.28}})
    made = inline(objects, {**step, "policy": {"error_budget": 0.29}}).steps[0]
    assert (made.units.skipped, made.units.quarantined) == (71, 29)
