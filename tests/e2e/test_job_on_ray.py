"""A whole job on a Ray of its own: the digests it makes without Ray, every input accounted."""

from pathlib import Path
from typing import Any

import pytest

from medray.jobs.run import run
from medray.jobs.status import jobs
from medray.storage.store.objects import Objects


# Ray 2.60 sets options that it has deprecated itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_on_ray_as_in_this_process(cohort: Path, tmp_path: Path) -> None:
    def steps(to: Path) -> list[dict[str, Any]]:
        return [
            {
                "kind": "ingest",
                "format": {"name": "nifti", "layout": "msd"},
                "source": str(cohort),
                "output": "heads",
                "split": {"train": 3, "val": 1},
                "units": {"samples": 2},
                "policy": {"error_budget": 0.2},
            },
            {"kind": "export", "data": "heads", "format": {"name": "nifti"}, "to": str(to)},
        ]

    ray_root, plain_root = Objects(str(tmp_path / "ray")), Objects(str(tmp_path / "plain"))
    on_ray = run(steps(tmp_path / "a"), storage=ray_root, cluster="local")
    plain = run(steps(tmp_path / "b"), storage=plain_root, cluster="inline")
    assert [step.digest for step in on_ray.steps] == [step.digest for step in plain.steps]
    assert [step.units for step in on_ray.steps] == [step.units for step in plain.steps]
    assert on_ray.steps[0].reasons == {"no-label": 1}
    files = [{p.name: p.read_bytes() for p in (tmp_path / to).glob("*.nii.gz")} for to in "ab"]
    assert files[0] == files[1]
    assert len(files[0]) == 8
    assert jobs(ray_root)[0].state == "done"

    # Nothing to do: Ray is not even started.
    again = run(steps(tmp_path / "a"), storage=ray_root, cluster="local")
    assert [step.units.committed for step in again.steps] == [0, 0]
