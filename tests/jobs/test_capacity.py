"""Pools that could never start are found before they wait for ever."""

from pathlib import Path

import pytest

from medray.errors import SpecError
from medray.jobs.provision.capacity import Group, cluster_checks, misfits
from medray.jobs.run import run
from medray.spec.profiles import CLUSTER
from medray.storage.store.objects import Objects

ROOT = Path(__file__).parent.parent.parent


def wrong(pools: dict[str, object], *groups: Group) -> list[str]:
    default = {"workers": 1, "cpus": 1}
    return misfits(
        CLUSTER.validate_python({"kind": "ray", "default_pool": default, "pools": pools}),
        list(groups),
    )


def test_a_worker_fits_on_one_node_or_not_at_all() -> None:
    small, large = Group(4, 0, {}, 8), Group(8, 1, {"pool": "gpu"}, 2)
    assert wrong({"train": {"workers": 2, "cpus": 8, "gpus": 1}}, small, large) == []
    assert wrong({"train": {"workers": 3, "cpus": 8, "gpus": 1}}, small, large) == [
        "train: at least 3 workers of 8 CPU, 1 GPU, and 2 fit"
    ]
    # 32 CPUs in all, and yet none of eight on one node.
    assert wrong({"train": {"workers": 1, "cpus": 8}}, small) == [
        "train: at least 1 workers of 8 CPU, and 0 fit"
    ]
    assert wrong({"predict": {"workers": [8, 99], "cpus": 0.5}}, Group(4, 0, {}, 1)) == []


def test_labels_narrow_the_choice() -> None:
    pool = {"workers": 1, "labels": {"pool": "gpu"}}
    assert wrong({"predict": pool}, Group(4, 0, {"pool": "cpu"}, 9)) == [
        "predict: at least 1 workers of 1 CPU, pool=gpu, and 0 fit"
    ]


@pytest.mark.parametrize("name", ["kuberay", "aws", "gcp"])
def test_the_profiles_that_ship_fit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert cluster_checks(name)["pools"]() == (True, "each fits")


def test_of_nodes_that_come_when_asked_for_nothing_is_known_before(tmp_path: Path) -> None:
    profile = tmp_path / "grows.yaml"
    profile.write_text("{kind: ray, grows: true, default_pool: {workers: [2, 99], cpus: 64}}")
    fits, detail = cluster_checks(str(profile))["pools"]()
    assert (fits, detail.partition(";")[0]) == (True, "nodes come when they are asked for")


def test_a_cluster_elsewhere_is_submitted_to(objects: Objects, cohort: Path) -> None:
    step = {
        "kind": "ingest",
        "format": {"name": "nifti", "layout": "msd"},
        "source": str(cohort),
        "output": "heads",
        "policy": {"error_budget": 0.2},
    }
    with pytest.raises(SpecError, match="not-on-the-cluster"):
        run(step, storage=objects, cluster="ray-jobs")
