"""Export: files whole and confined, a receipt for each, the same again after a retry."""

import hashlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image as Pillow

from medray.engine.units.operation import Unit
from medray.errors import DataError
from medray.steps.export.operation import Export
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import DECLARED

AFFINE = np.diag([0.5, 1.0, 2.0, 1.0])


def volumes() -> tuple[list[Sample], list[Sample]]:
    """Masks, and the images they were made of."""
    rng = np.random.default_rng(0)
    masks, images = [], []
    for name in ("a", "b"):
        row = {"subject": name, "spacing_mm": [2.0, 1.0, 0.5], "affine": AFFINE.ravel().tolist()}
        label = np.zeros((6, 40, 60), np.uint8)
        label[3, 10:20, 30:50] = 1
        masks.append(Sample(name, dict(row), {"label": label}))
        image = rng.integers(0, 100, (1, 6, 40, 60)).astype(np.int16)
        images.append(Sample(name, dict(row), {"image": image}))
    return masks, images


def shard(objects: Objects, path: str, samples: list[Sample]) -> list[str]:
    writer = ShardWriter(objects, path, DECLARED)
    for sample in samples:
        writer.add(sample)
    return list(writer.finish().pinned)


@pytest.fixture
def unit(objects: Objects) -> Unit:
    masks, images = volumes()
    where = shard(objects, "masks", masks)
    beside = shard(objects, "images", images)
    paired = [[0, row] for row in range(2)]
    payload = {"shard": where, "rows": [0, 1], "beside": [beside], "paired": paired}
    return Unit("u", 0, ("a", "b"), payload)


def export(objects: Objects, unit: Unit, to: Path, **form: Any) -> list[Sample]:
    to.mkdir(exist_ok=True)
    parameters = {"format": form, "to": str(to), "task": None}
    operation = Export(objects, parameters)
    loaded = (sample for key in unit.inputs for sample in operation.load(unit, key))
    return [receipt for sample in loaded for receipt in operation.compute([sample])]


def test_a_receipt_for_each_file(objects: Objects, unit: Unit, tmp_path: Path) -> None:
    receipts = export(objects, unit, tmp_path / "out", name="nifti")
    assert [one.id for one in receipts] == ["a", "b"]
    for receipt in receipts:
        data = (tmp_path / "out" / receipt.row["file"]).read_bytes()
        assert receipt.row == {
            "file": f"{receipt.id}.nii.gz",
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
    back = nib.load(tmp_path / "out" / "a.nii.gz")
    assert np.array_equal(back.affine, AFFINE)
    assert np.array_equal(np.asarray(back.dataobj).T, volumes()[0][0].arrays["label"])
    again = export(objects, unit, tmp_path / "out", name="nifti")
    assert again == receipts
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "b.nii.gz"]


def test_folders_have_receipts_too_and_hold_the_image(
    objects: Objects, unit: Unit, tmp_path: Path
) -> None:
    receipts = export(objects, unit, tmp_path / "out", name="ome_zarr")
    folder = tmp_path / "out" / "a.ome.zarr"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert receipts[0].row["bytes"] == sum(path.stat().st_size for path in files)
    assert (folder / "0" / "zarr.json").is_file()
    assert (folder / "labels" / "label" / "0" / "zarr.json").is_file()
    (next(path for path in files if path.parent.name == "0")).write_bytes(b"x")
    assert export(objects, unit, tmp_path / "out", name="ome_zarr") == receipts


def test_overlays_show_the_mask_where_it_is_largest(
    objects: Objects, unit: Unit, tmp_path: Path
) -> None:
    export(objects, unit, tmp_path / "out", name="overlay", width=120)
    picture = np.asarray(Pillow.open(tmp_path / "out" / "a.png")).astype(int)
    assert picture.shape == (160, 120, 3)  # 40 x 1 mm by 60 x 0.5 mm
    coloured = np.abs(picture - picture.mean(axis=2, keepdims=True)).max(axis=2) > 10
    assert coloured.mean() == pytest.approx(10 * 20 / (40 * 60), abs=0.02)


def test_an_overlay_without_its_image_is_refused(
    objects: Objects, unit: Unit, tmp_path: Path
) -> None:
    alone = Unit(unit.id, 0, unit.inputs, {k: unit.payload[k] for k in ("shard", "rows")})
    with pytest.raises(DataError, match="no-such-array"):
        export(objects, alone, tmp_path / "out", name="overlay")


def test_only_what_the_format_takes_is_loaded(objects: Objects, unit: Unit, tmp_path: Path) -> None:
    for form, names in (("nifti", {"label"}), ("overlay", {"image", "label"})):
        operation = Export(objects, {"format": {"name": form}, "to": str(tmp_path)})
        (sample,) = operation.load(unit, "a")
        assert set(sample.arrays) == names


def test_the_task_names_the_classes(objects: Objects, unit: Unit, tmp_path: Path) -> None:
    task = {"name": "segmentation", "classes": ["background", "spleen"]}
    operation = Export(
        objects, {"format": {"name": "dicom_seg"}, "to": str(tmp_path), "task": task}
    )
    (sample,) = operation.load(unit, "a")
    assert sample.row["class_names"] == ["background", "spleen"]


def test_a_failed_write_leaves_what_stood_there(
    objects: Objects, unit: Unit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(objects, unit, tmp_path / "out", name="nifti")
    before = (tmp_path / "out" / "a.nii.gz").read_bytes()

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        export(objects, unit, tmp_path / "out", name="nifti")
    monkeypatch.undo()
    assert (tmp_path / "out" / "a.nii.gz").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "b.nii.gz"]
