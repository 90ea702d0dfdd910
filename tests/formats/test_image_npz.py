"""MedMNIST's archives: streamed, checked whole, never unpickled."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.base import Found, Source
from medray.formats.image import Image, npz
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample


def planned(root: Path, **options: Any) -> tuple[Image, Found]:
    form = Image(Image.Options(**options))
    return form, form.plan(Source(root))


def read(root: Path, **options: Any) -> list[Sample]:
    form, plan = planned(root, **options)
    items = [item for group in plan.groups for item in group]
    return [sample for item in items for sample in form.read(Source(root), item)]


def archive(path: Path, splits: dict[str, int], shape: tuple[int, ...], labels: int = 1) -> dict:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in splits.items():
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 2, (count, labels)).astype(np.uint8)
    np.savez_compressed(path, **arrays)
    return arrays


@pytest.mark.parametrize(
    ("shape", "labels"), [((5, 7), 1), ((5, 7, 3), 14), ((4, 5, 7), 1)], ids=["grey", "rgb", "3d"]
)
def test_medmnist(
    tmp_path: Path, shape: tuple[int, ...], labels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz, "PART_SAMPLES", 4)
    arrays = archive(tmp_path / "x.npz", {"train": 10, "val": 3, "test": 2}, shape, labels)
    samples = read(tmp_path / "x.npz", layout="npz")
    assert [one.id for one in samples[:11]] == [f"train-{n:06d}" for n in range(10)] + [
        "val-000000"
    ]
    expected = arrays["train_images"][9]
    expected = np.moveaxis(expected, -1, 0) if shape[-1] == 3 else expected[None]
    assert np.array_equal(samples[9].arrays["image"], expected)
    target = arrays["train_labels"][9].tolist()
    assert samples[9].row["target"] == (target if labels > 1 else target[0])
    assert [one.row["split"] for one in samples] == ["train"] * 10 + ["val"] * 3 + ["test"] * 2


def test_archives_are_streamed(tmp_path: Path) -> None:
    import tracemalloc

    count = 2000
    np.savez(
        tmp_path / "big.npz",
        train_images=np.zeros((count, 64, 64), np.uint8),
        train_labels=np.zeros((count, 1), np.uint8),
    )
    tracemalloc.start()
    seen = sum(1 for _ in npz.read_part(tmp_path / "big.npz", "train", 1500, count))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen == 500
    assert peak < 6 * 2**20  # the array is 8 MiB


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        ({"images": np.zeros(3)}, "not-medmnist"),
        ({"train_images": np.zeros((2, 4, 4))}, "damaged-npz"),
        ({"train_images": np.zeros((2, 4, 4)), "train_labels": np.zeros(3)}, "uneven-npz"),
        (
            {"train_images": np.zeros((2, 4, 4)), "train_labels": np.array([{}, {}], object)},
            "pickled-array",
        ),
    ],
)
def test_archives_that_are_refused(tmp_path: Path, arrays: dict, code: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    _, plan = planned(tmp_path, layout="npz")
    of = "x.npz" if code == "not-medmnist" else "x.npz:train"
    assert [(one.source, one.code) for one in plan.refused] == [(of, code)]


@pytest.mark.parametrize("broken", npz.SPLITS)
@pytest.mark.parametrize("how", ["uneven", "absent"])
def test_a_broken_split_hides_no_other(tmp_path: Path, broken: str, how: str) -> None:
    arrays = {}
    for split in npz.SPLITS:
        arrays[f"{split}_images"] = np.zeros((2, 4, 4), np.uint8)
        arrays[f"{split}_labels"] = np.zeros((3 if split == broken else 2, 1), np.uint8)
    if how == "absent":
        del arrays[f"{broken}_labels"]
    np.savez(tmp_path / "x.npz", **arrays)
    form, plan = planned(tmp_path, layout="npz")
    assert [one.source for one in plan.refused] == [f"x.npz:{broken}"]
    items = [item for group in plan.groups for item in group]
    samples = [one for item in items for one in form.read(Source(tmp_path), item)]
    assert sorted({one.row["split"] for one in samples}) == sorted({*npz.SPLITS} - {broken})


def test_archives_whose_headers_lie(tmp_path: Path) -> None:
    def member(shape: tuple[int, ...]) -> bytes:
        file = io.BytesIO()
        np.save(file, np.zeros((2, 4, 4), np.uint8))
        return file.getvalue().replace(b"(2, 4, 4)", str(shape).encode()[:9])

    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        file.writestr("train_images.npy", member((9, 9, 9)))
        file.writestr("train_labels.npy", member((9, 9, 9)))
    _, plan = planned(tmp_path, layout="npz")
    assert plan.refused[0].code == "damaged-npz"


def test_a_damaged_archive_gives_no_sample_at_all(tmp_path: Path) -> None:
    """The damage lies behind the part that is read: its checksum is the whole array's."""
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", train_images=images, train_labels=np.zeros((40, 1), np.uint8))
    raw = bytearray((tmp_path / "x.npz").read_bytes())
    raw[8000] ^= 1
    (tmp_path / "x.npz").write_bytes(raw)
    with pytest.raises(DataError, match="damaged-npz"):
        next(npz.read_part(tmp_path / "x.npz", "train", 0, 4))


def test_pneumonia(data_dir: Path) -> None:
    samples = read(data_dir / "imaging" / "cls_pneumoniamnist", layout="npz")
    table = json.dumps([one.row["split"] for one in samples])
    assert [table.count(split) for split in ("train", "val", "test")] == [4708, 524, 624]
    train = [one.row["target"] for one in samples if one.row["split"] == "train"]
    assert (train.count(0), train.count(1)) == (1214, 3494)


def test_an_image_or_label_that_cannot_be_used_costs_itself(tmp_path: Path) -> None:
    images = np.arange(6 * 4 * 4, dtype=np.float32).reshape(6, 4, 4)
    images[1, 2, 3] = np.nan
    labels = np.array([0, 1, 2.5, np.nan, -1, 1])[:, None]
    np.savez(tmp_path / "x.npz", train_images=images, train_labels=labels)
    found = read(tmp_path, layout="npz")
    taken = {one.id: one.row["target"] for one in found if isinstance(one, Sample)}
    assert taken == {"train-000000": 0, "train-000005": 1}
    assert {one.sample: one.code for one in found if isinstance(one, Refusal)} == {
        "train-000001": "nonfinite-voxels",
        "train-000002": "fractional-label",
        "train-000003": "fractional-label",
        "train-000004": "negative-label",
    }
