"""Whole jobs through a proxy that fails: the same digest or a clean end, never other output, and at
most three times the requests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medray.errors import MedrayError
from medray.jobs.run import run
from medray.jobs.storage_by_name import open_reference
from medray.steps.base.events import Run
from medray.storage.catalog.datasets import Dataset
from medray.storage.store.objects import Objects
from tests.servers.bucket import Bucket
from tests.servers.proxy import Faults, Proxy

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

PASSING = {
    "slow-down": Faults(slow_down=0.3),
    "resets": Faults(reset=0.05),
    "latency": Faults(latency=0.1),
    "truncated": Faults(truncate=0.05),
    "flipped": Faults(flip=0.05),
    "replies-lost": Faults(lost_reply=0.2),
    "all": Faults(
        slow_down=0.3, reset=0.05, lost_reply=0.05, truncate=0.02, flip=0.02, latency=0.02
    ),
}


@pytest.fixture
def job(cohort: Path, tmp_path: Path) -> Callable[[Objects, str], Run]:
    """Runs an ingest in four units and an export; into one root."""

    def start(root: Objects, to: str) -> Run:
        steps: list[dict[str, Any]] = [
            {
                "kind": "ingest",
                "format": {"name": "nifti", "layout": "msd"},
                "source": str(cohort),
                "output": "d",
                "units": {"samples": 2},
                "policy": {"error_budget": 0.2},
            },
            {"kind": "export", "data": "d", "format": {"name": "nifti"}, "to": str(tmp_path / to)},
        ]
        return run(steps, storage=root, cluster="inline")

    return start


@pytest.mark.parametrize("fault", PASSING)
def test_faults_that_pass_change_nothing_and_cost_little(
    fault: str, bucket: Bucket, job: Callable[[Objects, str], Run]
) -> None:
    with Proxy(bucket.server.endpoint) as clean:
        plain = job(bucket.objects("clean", endpoint=clean.endpoint), "clean")
    with Proxy(bucket.server.endpoint, PASSING[fault], seed=1) as proxy:
        root = bucket.objects("struck", endpoint=proxy.endpoint, retry_s=120)
        struck = job(root, "struck")
    assert struck.steps[0].digest == plain.steps[0].digest
    assert [step.units for step in struck.steps] == [step.units for step in plain.steps]
    assert sum(proxy.counts[name.replace("-", "_")] for name in vars(proxy.faults)) > 0
    assert proxy.requests <= 3 * clean.requests
    dataset = open_reference("d", bucket.objects("struck"))
    assert isinstance(dataset, Dataset)
    assert len(list(dataset)) == 8


def test_expired_credentials_end_clean_and_renewed_ones_go_on(
    bucket: Bucket, job: Callable[[Objects, str], Run]
) -> None:
    plain = job(bucket.objects("clean"), "clean")
    with Proxy(bucket.server.endpoint, Faults(expire_after=30)) as proxy:
        root = bucket.objects("struck", endpoint=proxy.endpoint)
        with pytest.raises(MedrayError) as caught:
            job(root, "struck")
        refused = proxy.requests - 30
    assert caught.value.exit_status == 5
    assert "credentials-expired" in str(caught.value)
    assert refused < 100
    again = job(bucket.objects("struck"), "struck")
    assert again.steps[0].digest == plain.steps[0].digest
