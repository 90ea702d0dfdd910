"""A kind of step that does not ship with medray is one like any other."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from medray.cli import main
from medray.errors import SpecError
from medray.jobs.check import check_documents
from medray.jobs.provision.capacity import Group, misfits
from medray.jobs.run import run
from medray.spec.load import cluster_profile, json_schema, read_job
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

sys.path.insert(0, str(Path(__file__).parent))
import thinning


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """medray finds the kind, here and in processes that are started from here."""
    paths = thinning.plug(tmp_path / "plugin")
    for path in paths:
        monkeypatch.syspath_prepend(path)
    inherited = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [*paths, inherited])))


def job(cohort: Path) -> list[dict[str, Any]]:
    return [
        {
            "kind": "ingest",
            "format": {"name": "nifti", "layout": "msd"},
            "source": str(cohort),
            "output": "heads",
            "units": {"samples": 4},
            "policy": {"error_budget": 0.2},
        },
        {"kind": "thin", "data": "heads", "every": 3, "output": "some"},
        {"kind": "transform", "data": "some", "operation": {"name": "nothing"}, "output": "x"},
    ]


@pytest.mark.usefixtures("plugged")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_it_runs_here_and_on_ray(cohort: Path, tmp_path: Path) -> None:
    made = {}
    for cluster in ("inline", "local"):
        root = Objects(str(tmp_path / cluster))
        done = run(job(cohort)[:2], storage=root, cluster=cluster)
        thinned = done.steps[1]
        assert thinned.kind == "thin"
        assert (thinned.units.planned, thinned.units.committed) == (8, 4)
        assert thinned.passed_over == {"thinned": 4}
        assert thinned.metrics == {"kept": 4, "every": 3}
        assert len(open_dataset(root, "some").shards[0].names(0)) == 2
        again = run(job(cohort)[:2], storage=root, cluster=cluster, overrides=["some.every=3"])
        assert again.steps[1].units.skipped == 4
        made[cluster] = thinned.digest
    assert made["inline"] == made["local"]


@pytest.mark.usefixtures("plugged")
def test_it_is_checked_and_set_like_any_other(cohort: Path, objects: Objects) -> None:
    def problems(*settings: str) -> list[tuple[int, str, str]]:
        found = check_documents(read_job(job(cohort), settings), objects, cluster="inline")[1]
        return [(one.document, one.field, one.code) for one in found]

    last = (3, "operation.name", "unknown-plugin")
    assert problems() == [last], "and what it makes is known to the next"
    assert problems("every=0")[0] == (2, "every", "bad-field")
    assert problems("2.evry=2")[0] == (2, "evry", "bad-field")
    assert problems("2.data=head") == [(2, "data", "no-such-dataset"), last]


@pytest.mark.usefixtures("plugged")
def test_schemas_profiles_and_the_doctor_know_it(tmp_path: Path) -> None:
    assert "thin" in json_schema()["discriminator"]["mapping"]
    shown = json.loads(CliRunner().invoke(main, ["schema"]).stdout)
    assert "thin" in shown["discriminator"]["mapping"]
    profile = tmp_path / "there.yaml"
    profile.write_text(
        "kind: ray\npools: {thin: {workers: 3, cpus: 2}}\ndefaults: {thin: {every: 5}}\n"
    )
    cluster = cluster_profile(str(profile))
    assert cluster.pool("thin").workers == 3
    assert misfits(cluster, [Group(4, 0, {}, 1)]) == [
        "thin: at least 3 workers of 2 CPU, and 2 fit"
    ]


def test_a_profile_names_no_kind_that_there_is_not(tmp_path: Path) -> None:
    profile = tmp_path / "there.yaml"
    for field, value in (("pools", "{workers: 3}"), ("defaults", "{every: 5}")):
        profile.write_text(f"kind: ray\n{field}: {{thin: {value}}}\n")
        with pytest.raises(SpecError, match="there is no kind of step 'thin'") as caught:
            cluster_profile(str(profile))
        assert caught.value.code == "bad-field"
        assert caught.value.about.endswith(f", {field}.thin")
