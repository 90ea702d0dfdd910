"""Whole small jobs from and to a bucket: the digests are those of a disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medray.demo import synthesise
from medray.errors import RetryableError, SpecError
from medray.jobs.run import run
from medray.jobs.storage_by_name import open_reference
from medray.storage.catalog.check import verify_all
from medray.storage.catalog.datasets import Dataset
from medray.storage.store.objects import Objects
from tests.servers.bucket import Bucket


def upload(folder: Path, objects: Objects) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            objects.put(path.relative_to(folder).as_posix(), path.read_bytes())


def ingest(source: str, form: dict[str, Any], output: str) -> dict[str, Any]:
    return {
        "kind": "ingest",
        "format": form,
        "source": source,
        "output": output,
        "policy": {"error_budget": 1.0},
    }


def refusals(dataset: Any) -> list[tuple[str, str, str]]:
    assert isinstance(dataset, Dataset)
    rows = dataset.quarantine().to_pylist()
    return sorted((row["source"], row["sample"], row["code"]) for row in rows)


def check_same(folder: Path, form: dict[str, Any], bucket: Bucket, plain: Objects) -> None:
    """Ingest a folder on disk and its copy in the bucket; digests and refusals are equal."""
    raw, root = bucket.objects("raw"), bucket.objects()
    upload(folder, raw)
    here = run(ingest(str(folder), form, "d"), storage=plain, cluster="inline").steps[0]
    there = run(ingest(raw.url, form, "d"), storage=root, cluster="inline").steps[0]
    assert there.digest == here.digest
    assert there.units == here.units
    assert refusals(open_reference("d", root)) == refusals(open_reference("d", plain))


def test_nifti(bucket: Bucket, cohort: Path, objects: Objects) -> None:
    check_same(cohort, {"name": "nifti", "layout": "msd"}, bucket, objects)


def test_images_with_a_table(bucket: Bucket, tmp_path: Path, objects: Objects) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        values = np.full((8, 9), number * 20, np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")
    rows = "".join(f"{number}.png,{number % 2}\n" for number in range(5))
    (folder / "labels.csv").write_text("file,label\n" + rows)
    form = {
        "name": "image",
        "layout": "csv",
        "table": "labels.csv",
        "file_column": "file",
        "label_columns": ["label"],
    }
    check_same(folder, form, bucket, objects)


def test_dicom(bucket: Bucket, tmp_path: Path, objects: Objects) -> None:
    folder = tmp_path / "dicom"
    synthesise(folder, 4, 0)
    form = {
        "name": "dicom",
        "labels": "masks",
        "deidentify": {"key_file": str(folder / "deid.key")},
    }
    check_same(folder, form, bucket, objects)


def test_again_does_nothing_and_one_more_file_only_its_unit(bucket: Bucket, cohort: Path) -> None:
    raw, root = bucket.objects("raw"), bucket.objects()
    upload(cohort, raw)
    job = ingest(raw.url, {"name": "nifti", "layout": "msd"}, "d")
    first = run(job, storage=root, cluster="inline").steps[0]
    again = run(job, storage=root, cluster="inline").steps[0]
    assert (again.output, again.units.committed, again.units.skipped) == (first.output, 0, 8)
    path = "imagesTr/case_3.nii.gz"
    raw.put(path, raw.get("imagesTr/case_4.nii.gz"))
    changed = run(job, storage=root, cluster="inline").steps[0]
    assert changed.digest != first.digest


def test_what_is_stored_verifies_and_collects(bucket: Bucket, cohort: Path) -> None:
    root = bucket.objects()
    job = ingest(str(cohort), {"name": "nifti", "layout": "msd"}, "d")
    run(job, storage=root, cluster="inline")
    checked, problems = verify_all(root)
    assert checked == 11
    assert problems == []


def test_an_empty_source_and_a_bucket_that_is_not_there(bucket: Bucket) -> None:
    root, form = bucket.objects(), {"name": "nifti"}
    with pytest.raises(SpecError, match="no-such-source"):
        run(ingest(f"s3://{bucket.name}/no", form, "d"), storage=root, cluster="inline")
    with pytest.raises(RetryableError, match="no-such-bucket"):
        run(ingest("s3://nobodys-bucket/x", form, "d"), storage=root, cluster="inline")


@pytest.mark.parametrize("form", ["nifti", "ome_zarr"])
def test_export_to_a_bucket(
    form: str, bucket: Bucket, cohort: Path, objects: Objects, tmp_path: Path
) -> None:
    read = ingest(str(cohort), {"name": "nifti", "layout": "msd"}, "d")
    write = {"kind": "export", "data": "d", "format": {"name": form}}
    here = run([read, {**write, "to": str(tmp_path / "out")}], storage=objects, cluster="inline")
    out = bucket.objects("out")
    there = run([read, {**write, "to": out.url}], storage=bucket.objects(), cluster="inline")
    assert there.steps[1].units == here.steps[1].units
    written = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and path.name != ".medray-target"
    }
    uploaded = {e.path: out.get(e.path) for e in out.walk() if e.path != ".medray-target"}
    assert uploaded == written
