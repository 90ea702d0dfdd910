"""A replica without a Ray: units of a step by the network that it has loaded, as a worker's."""

import asyncio
from pathlib import Path

import pytest

from medray.engine.units.worker import WorkerSpec
from medray.ids import short
from medray.jobs.run import run
from medray.spec.load import check_step, read_job
from medray.spec.serving import Serving
from medray.steps.base.resolve import resolve
from medray.storage.catalog.datasets import open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.store.objects import Objects
from tests.callset import ingest_steps, records, save_network, write_vcf

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
SCORE = {"kind": "variants", "model": "net", "data": "sites", "genome": "genome", "unit": 60}


def test_variants_scored_by_a_replica_are_those_of_a_worker(
    objects: Objects, tmp_path: Path
) -> None:
    from medray.cluster.replica import Replica  # loads Ray Serve, which warns

    save_network(objects)
    steps = ingest_steps(tmp_path, write_vcf(tmp_path / "vcf/sites.vcf", records(30)))
    run([*steps, {**SCORE, "output": "plain"}], storage=objects, cluster="inline")
    step = {**SCORE, "output": "served", "engine": "serve"}
    resolved = resolve(check_step(read_job(step), 0), objects, str)
    assert resolved.runs_on == "serve"
    assert resolved.planned is not None
    spec = WorkerSpec(resolved.operation, resolved.parameters, objects, "served")
    replica = Replica(Serving(models=("net",)), objects, resolved.parameters["model"])
    units = resolved.planned.units
    receipts = [asyncio.run(replica.unit(spec, unit)) for unit in units]
    assert [one.state for one in receipts] == ["committed"] * len(units)
    done = Ledger(objects, "served").committed([unit.id for unit in units])
    plain = open_dataset(objects, "plain")
    assert len(units) > 1
    assert short(done.column("content")) == plain.digest
