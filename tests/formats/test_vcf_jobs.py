"""Whole jobs over VCF: sites and calls in, counted; tables and VCF out."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from medray.formats.vcf.store.vcz import parts_of, write_vcz
from medray.jobs.run import run
from medray.storage.catalog.check import verify_all
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

NAME = "vcf/1kg_chr22_100samples.vcf"


def steps(root: Path, to: Path) -> list[dict[str, Any]]:
    def ingest(table: str, **options: Any) -> dict[str, Any]:
        return {
            "kind": "ingest",
            "format": {"name": "vcf", "table": table, "partition": 2**18, **options},
            "source": str(root),
            "output": table,
            "split": {"train": 0.5, "test": 0.5},
            "policy": {"error_budget": 1.0},
        }

    parquet = {"name": "table", "file": "parquet"}
    return [
        ingest("sites", fields=["AC", "AF", "culprit", "DB"]),
        ingest("calls"),
        {"kind": "export", "data": "sites", "format": parquet, "to": str(to / "sites")},
        {"kind": "export", "data": "calls", "format": {"name": "vcf"}, "to": str(to / "calls")},
    ]


@pytest.fixture
def cohort(data_dir: Path, tmp_path: Path) -> Path:
    root = tmp_path / "raw"
    root.mkdir()
    shutil.copy(data_dir / "genomics" / NAME, root / "b.vcf")
    shutil.copy(data_dir / "genomics/vcf_odd/hail/malformed.vcf", root / "a.vcf")
    shutil.copy(data_dir / "genomics/vcf_odd/hail/duplicate_ids.vcf", root / "c.vcf")
    return root


def test_jobs_from_vcf_to_tables_and_vcf(cohort: Path, tmp_path: Path, objects: Objects) -> None:
    job = steps(cohort, tmp_path)
    done = run(job, storage=objects, cluster="inline")
    sites = open_dataset(objects, "sites")
    assert done.steps[0].units.quarantined == 1
    refused = [
        (row["source"], row["sample"], row["code"]) for row in sites.quarantine().to_pylist()
    ]
    assert sorted(refused) == [
        ("a.vcf", "line 54", "column-count"), ("c.vcf", "", "duplicate-sample")
    ]  # fmt: skip
    table = sites.samples
    mine = table.filter([name == "b.vcf" for name in table["file"].to_pylist()])
    assert len(set(zip(*(mine[n].to_pylist() for n in ("partition", "line")), strict=True))) == 735
    assert mine.num_rows == 1175
    assert set(mine["subject"].to_pylist()) == {"22"}
    assert len(set(mine["split"].to_pylist())) == 1
    first = mine.slice(0, 2).to_pylist()
    assert [row["alt"] for row in first] != []
    assert isinstance(first[0]["info_AC"], int)
    assert isinstance(first[0]["info_AF"], float)
    files = (tmp_path / "sites").glob("*.parquet")
    out = [pq.ParquetFile(path).metadata.num_rows for path in files]
    assert sum(out) == table.num_rows
    calls = open_dataset(objects, "calls")
    assert sum(row["variants"] for row in calls.samples.to_pylist()) == 735 + 2
    assert verify_all(objects)[1] == []
    again = run(job, storage=objects, cluster="inline")
    assert [step.output for step in again.steps] == [step.output for step in done.steps]
    assert all(step.units.committed == 0 for step in again.steps)


@pytest.mark.needs("bcftools")
def test_bcftools_finds_in_the_export_what_the_source_had(
    cohort: Path, tmp_path: Path, objects: Objects
) -> None:
    from tests.formats.test_vcf_calls import same_records, view

    _, calls, _, export = steps(cohort, tmp_path)
    run([calls, export], storage=objects, cluster="inline")
    names = sorted((tmp_path / "calls").glob("b.vcf*.vcf.gz"))
    assert len(names) == 8
    same_records([line for path in names for line in view(path)], view(cohort / "b.vcf"))


def test_a_dataset_as_one_store(data_dir: Path, tmp_path: Path, objects: Objects) -> None:
    import zarr
    from vcztools.retrieval import VczReader

    job = steps(data_dir / "genomics" / NAME, tmp_path)
    run(job[1:2], storage=objects, cluster="inline")
    write_vcz(parts_of(open_dataset(objects, "calls")), tmp_path / "all.vcz")
    reader = VczReader(zarr.open_group(tmp_path / "all.vcz", mode="r"))
    assert reader.num_variants == 735
    assert reader.num_samples == 100
