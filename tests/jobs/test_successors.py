"""What was refused for a reason that is mended since gets another chance, and loses nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from medray.cli import main
from medray.engine.units.operation import Unit
from medray.errors import SpecError
from medray.jobs.repair import repair
from medray.jobs.run import run
from medray.jobs.status import job_status, jobs
from medray.steps.base.events import StepResult, Tally
from medray.steps.base.successors import give_way, origins, successor
from medray.steps.ingest.operation import Ingest
from medray.steps.ingest.regroup import earlier
from medray.storage.catalog.audit import entries
from medray.storage.catalog.check import verify_all, verify_reference
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
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
        "split": {"train": 3, "val": 1},
        "units": {"samples": 9},
        "policy": {"error_budget": 0.4},
    }


@pytest.fixture
def undisturbed(step: dict[str, Any], tmp_path: Path) -> str:
    """Digest of what no bug has touched."""
    return done(Objects(str(tmp_path / "undisturbed")), step).digest


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """One input beside others falls to a bug, until it is undone."""
    load = Ingest.load

    def broken(self: Ingest, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        if key == "case_3":
            raise IndexError("a bug")
        yield from load(self, unit, key)

    monkeypatch.setattr(Ingest, "load", broken)
    return monkeypatch


def done(objects: Objects, step: dict[str, Any]) -> StepResult:
    return run(step, storage=objects, cluster="inline").steps[0]


def test_mended_it_is_as_if_it_had_never_failed(
    undisturbed: str,
    objects: Objects,
    step: dict[str, Any],
    cohort: Path,
    bug: pytest.MonkeyPatch,
) -> None:
    first = done(objects, step)
    assert first.reasons == {"no-label": 1, "unexpected-error": 1}
    bug.undo()
    assert done(objects, step).output == first.output, "nobody asked for it yet"
    (unit,) = give_way(objects, "heads", ["unexpected-error"]).units
    second = done(objects, step)
    assert second.units == Tally(planned=9, committed=6, skipped=2, quarantined=1)
    assert second.digest == undisturbed
    # It stays so, for runs that follow and for those that grow.
    assert done(objects, step).output == second.output
    status = job_status(objects, jobs(objects)[0].job).steps[0]
    assert (status.committed, status.units) == (2, 2)
    for folder in ("imagesTr", "labelsTr"):
        data = (cohort / folder / "case_1.nii.gz").read_bytes()
        (cohort / folder / "case_9.nii.gz").write_bytes(data)
    third = done(objects, step)
    assert (third.units.committed, third.units.skipped) == (1, 8)
    # What was before can still be read and checked.
    old = open_dataset(objects, first.output)
    assert unit in old.units.column("unit")
    assert len(old) == 7
    assert verify_reference(objects, first.output)[1] == verify_all(objects)[1] == []
    assert [entry["what"] for entry in entries(objects)] == ["ingest", "retry", "ingest", "ingest"]


def test_as_often_as_it_takes(
    undisturbed: str, objects: Objects, step: dict[str, Any], bug: pytest.MonkeyPatch
) -> None:
    first = done(objects, step)
    give_way(objects, "heads", ["unexpected-error"])
    second = done(objects, step)
    assert second.digest == first.digest
    assert second.output != first.output, "other units"
    bug.undo()
    give_way(objects, "heads", ["unexpected-error"])
    assert done(objects, step).digest == undisturbed


def test_what_is_committed_is_listed_where_units_get_another_size(
    objects: Objects, step: dict[str, Any], bug: pytest.MonkeyPatch
) -> None:
    bug.undo()
    done(objects, step)
    (path,) = (entry.path for entry in objects.walk("datasets/heads/plans"))
    spec = Path(path).stem
    for samples, committed in ((9, set()), (4, Ledger(objects, "heads").done())):
        before = earlier(objects, "heads", spec, samples)
        assert before is not None
        assert before.committed == committed


def test_asked_for_what_is_not_there(objects: Objects, step: dict[str, Any]) -> None:
    done(objects, step)
    with pytest.raises(SpecError, match="nothing-to-retry") as caught:
        give_way(objects, "heads", ["unexpected-eror"])
    assert "codes of its refusals: none" in str(caught.value)
    with pytest.raises(SpecError, match="nothing-to-retry"):
        give_way(objects, "no-such", ["unexpected-error"])


def test_the_command(
    objects: Objects, step: dict[str, Any], bug: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done(objects, step)
    arguments = ["retry", "heads", "--code", "unexpected-error", "--storage", objects.url]
    said = CliRunner().invoke(main, arguments)
    assert said.stdout == "heads: the next run does 1 unit of 6 inputs again\n"
    # Until it ran there is nothing more to ask for.
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "nothing-to-retry" in again.stderr


def test_successors_are_followed_to_where_they_began() -> None:
    first = "u"
    second, third = successor(first), successor(successor(first))
    assert len({first, second, third}) == 3
    assert origins({first, second, "v"}) == {second: first, third: first, successor("v"): "v"}


def test_a_lost_record_of_giving_way_is_told_and_put_back(
    objects: Objects, step: dict[str, Any], bug: pytest.MonkeyPatch
) -> None:
    """Without it the next run would go back to what was refused, or damaged, without a word."""
    done(objects, step)
    bug.undo()
    give_way(objects, "heads", ["unexpected-error"])
    second = done(objects, step)
    (lost,) = (entry.path for entry in objects.walk("datasets/heads/successors"))
    objects.delete([lost])
    assert [one.path for one in verify_reference(objects, "heads")[1]] == [lost]
    assert [one.path for one in verify_all(objects)[1]] == [lost]
    repair(objects, "heads")
    assert verify_all(objects)[1] == []
    assert done(objects, step).output == second.output
