"""Plans that grow: what was planned keeps its units, whatever arrives beside it."""

import random
import shutil
from pathlib import Path

import pytest
import yaml

from medray.engine.units.operation import Unit
from medray.formats.base import Found, Input
from medray.formats.packed import grouped
from medray.ids import unit_id
from medray.jobs.run import run
from medray.steps.base.planned import Planned
from medray.steps.ingest.plan import plan_ingest
from medray.steps.ingest.regroup import Earlier
from medray.storage.store.objects import Objects


def item(number: int, fingerprint: str = "f") -> Input:
    return Input(f"case-{number:05d}", (f"{number}.nii",), fingerprint, 10, {})


def plan(numbers: list[int], before: Planned | None = None, samples: int | None = None) -> Planned:
    items = [item(number) for number in sorted(numbers)]
    return plan_ingest(
        Found(grouped(items, samples=64), []),
        name="nifti",
        identity={},
        samples=samples,
        before=before and past(before),
    )


def past(planned: Planned, committed: int = 0, samples: int | None = None) -> Earlier:
    units = {unit.id: list(unit.inputs) for unit in planned.units}
    return Earlier(units, samples, frozenset(list(units)[:committed]))


def new(units: list[Unit], before: list[Unit]) -> list[Unit]:
    known = {unit.id for unit in before}
    return [unit for unit in units if unit.id not in known]


def test_five_percent_new_inputs_are_five_percent_work() -> None:
    numbers = list(range(2100))
    arriving = set(random.Random(0).sample(numbers, 100))
    first = plan([n for n in numbers if n not in arriving])
    cut_anew = new(plan(numbers).units, first.units)
    assert sum(len(unit.inputs) for unit in cut_anew) > 1500, "what this is all about"
    fresh = new(plan(numbers, first).units, first.units)
    assert {key for unit in fresh for key in unit.inputs} == {item(n).key for n in arriving}
    assert len(fresh) <= 3


def test_a_plan_goes_on_from_itself_unchanged() -> None:
    first = plan(list(range(0, 900, 2)))
    assert plan(list(range(0, 900, 2)), first).units == first.units
    second = plan(list(range(900)), first)
    assert plan(list(range(900)), second).units == second.units
    assert sorted(key for unit in second.units for key in unit.inputs) == [
        item(n).key for n in range(900)
    ]


def test_nights_in_a_row() -> None:
    planned, before = plan(list(range(500))), 0
    for night in range(1, 8):
        before = len(planned.units)
        planned = plan(list(range(500 + 10 * night)), planned)
        assert len(planned.units) == before + 1


def test_a_changed_or_missing_input_moves_its_own_group_only() -> None:
    first = plan(list(range(1000)))
    without = new(plan([n for n in range(1000) if n != 500], first).units, first.units)
    assert 0 < sum(len(unit.inputs) for unit in without) < 130


def test_another_size_of_units_is_for_what_is_not_done() -> None:
    first = plan(list(range(1000)))
    items = Found(grouped(map(item, range(1000)), samples=64), [])
    again = plan_ingest(
        items, name="nifti", identity={}, samples=4, before=past(first, committed=3)
    )
    assert [unit.id for unit in again.units[:3]] == [unit.id for unit in first.units[:3]]
    assert max(len(unit.inputs) for unit in again.units[3:]) <= 8


def test_the_past_of_another_step_is_none() -> None:
    first = plan(list(range(300)))
    foreign = {unit_id("x", {}, [unit.id]): list(unit.inputs) for unit in first.units}
    items = Found(grouped(map(item, range(300)), samples=64), [])
    made = plan_ingest(
        items, name="nifti", identity={}, before=Earlier(foreign, None, frozenset(foreign))
    )
    assert made.units == first.units


@pytest.fixture
def hippocampus(data_dir: Path) -> list[str]:
    folder = data_dir / "imaging/seg3d_msd_hippocampus/imagesTr"
    return sorted(path.name for path in folder.glob("hippocampus_*.nii.gz"))


@pytest.mark.parametrize("samples", [None, 8])
def test_a_nightly_run_over_real_data(
    hippocampus: list[str], data_dir: Path, tmp_path: Path, objects: Objects, samples: int | None
) -> None:
    """5 % of the cases arrive after the first run, all over the alphabet: work done ≤ 7 %."""
    source = data_dir / "imaging/seg3d_msd_hippocampus"
    arriving = set(random.Random(1).sample(hippocampus, round(0.05 * len(hippocampus))))
    here = tmp_path / "raw"

    def arrive(names: set[str]) -> None:
        for folder in ("imagesTr", "labelsTr"):
            (here / folder).mkdir(parents=True, exist_ok=True)
            for name in names:
                shutil.copy2(source / folder / name, here / folder / name)

    job = tmp_path / "job.yaml"
    units = {"units": {"samples": samples}} if samples else {}
    step = {"kind": "ingest", "format": {"name": "nifti", "layout": "msd"}, "source": str(here)}
    job.write_text(yaml.safe_dump({**step, "output": "cases", "cluster": "inline", **units}))
    arrive(set(hippocampus) - arriving)
    full = run(job, storage=objects).steps[0].units
    arrive(arriving)
    nightly = run(job, storage=objects).steps[0].units
    assert nightly.planned == full.planned + len(arriving)
    assert nightly.committed == len(arriving)
    assert nightly.committed / (full.committed + nightly.committed) <= 0.07
    assert run(job, storage=objects).steps[0].units.committed == 0
