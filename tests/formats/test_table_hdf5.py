"""Groups of HDF5 files as tables: arrays are columns, groups are parts."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.formats.test_table import made, read

KEPT = {"t": "number", "e": "integer"}


def written(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        for name, rows in (("train", 5), ("test", 3)):
            group = file.create_group(name)
            group["x"] = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2) / 3
            group["t"] = np.arange(rows, dtype=np.float64) + 0.5
            group["e"] = np.arange(rows, dtype=np.int32) % 2
    return path


def test_groups_are_parts_and_arrays_are_columns(tmp_path: Path) -> None:
    form = made(parts={"train": "learn", "test": "judge"}, columns=KEPT)
    samples, refused, plan = read(form, written(tmp_path / "a.h5"))
    assert not refused
    assert plan.attributes == {"features": {"features": ["x_0", "x_1"]}}
    assert [one.row["split"] for one in samples] == ["learn"] * 5 + ["judge"] * 3
    assert [one.id for one in samples][4:6] == ["a_train-000004", "a_test-000000"]
    assert [one.row["t"] for one in samples[:3]] == [0.5, 1.5, 2.5]
    assert [one.row["e"] for one in samples[:3]] == [0, 1, 0]
    features = np.stack([np.asarray(one.arrays["features"]) for one in samples[:5]])
    np.testing.assert_array_equal(features, np.arange(10, dtype=np.float32).reshape(5, 2) / 3)


def test_texts_gaps_and_wide_numbers_stay_what_they_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["age"] = np.array([1.5, np.nan])
        file["id"] = np.array([2**53 + 1, 7], np.int64)
        file["kind"] = [b"b", b""]
        file["told"] = np.array([True, False])
    form = made(id="id", columns={}, categories={"kind": ["a", "b", "c"]})
    samples, refused, plan = read(form, tmp_path)
    assert not refused
    assert [one.id for one in samples] == ["9007199254740993", "7"]
    assert plan.attributes["features"]["features"] == [
        "age", "kind=a", "kind=b", "kind=c", "told",
    ]  # fmt: skip
    first, second = (np.asarray(one.arrays["features"]) for one in samples)
    assert first.tolist() == [1.5, 0, 1, 0, 1]
    assert np.isnan(second[:4]).all()


def test_a_value_that_is_none_is_refused_by_its_row(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.array([1.0, np.inf, 1e39, 4.0])
    samples, refused, _ = read(made(), tmp_path)
    assert len(samples) == 2
    assert [one.reason.split(" holds")[0] for one in refused] == [
        "row 2: column 'x'",
        "row 3: column 'x'",
    ]


@pytest.mark.parametrize(
    ("arrays", "options", "code"),
    [
        ({"train/x": np.ones((2, 2))}, {}, "not-a-table"),  # groups, and no `parts`
        ({"a": np.ones(2), "b": np.ones(3)}, {}, "uneven-arrays"),
        ({"a": np.ones((2, 2, 2))}, {}, "not-a-table"),
        ({"a": np.zeros(2, [("x", "f4")])}, {}, "not-a-table"),
        ({"a": np.ones(())}, {}, "not-a-table"),
        ({"a": np.ones(0)}, {}, "empty-table"),
        ({"train/a": np.ones(2)}, {"parts": {"other": "train"}}, "no-such-member"),
        ({"train": np.ones(2)}, {"parts": {"train": "train"}}, "not-a-table"),
        ({"a": np.ones((1, 5000))}, {}, "too-many-features"),
    ],
)
def test_what_is_no_table_is_refused(
    tmp_path: Path, arrays: dict, options: dict, code: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in arrays.items():
            file[name] = values
    samples, refused, _ = read(made(**options), tmp_path)
    assert not samples
    assert [one.code for one in refused] == [code]


def test_an_array_that_lies_elsewhere_is_not_followed(tmp_path: Path) -> None:
    written(tmp_path / "b.hdf5")
    (tmp_path / "other").mkdir()
    with h5py.File(tmp_path / "other" / "a.h5", "w") as file:
        file["x"] = h5py.ExternalLink(str(tmp_path / "b.hdf5"), "/train/t")
    _, refused, _ = read(made(), tmp_path / "other")
    assert [one.code for one in refused] == ["foreign-link"]


def test_what_is_damaged_is_refused(tmp_path: Path) -> None:
    data = written(tmp_path / "a.h5").read_bytes()
    for size in (0, 100, len(data) // 2):
        (tmp_path / "a.h5").write_bytes(data[:size])
        _, refused, _ = read(made(parts={"train": "train"}), tmp_path)
        assert [one.code for one in refused] == ["damaged-hdf5"], size


def test_the_sets_of_the_field_are_read(data_dir: Path) -> None:
    root = data_dir / "survival" / "deepsurv"
    form = made(parts={"train": "train", "test": "test"}, columns=KEPT)
    for name, counts, width in (
        ("metabric_IHC4_clinical_train_test", (1523, 381), 9),
        ("support_train_test", (7098, 1775), 14),
    ):
        samples, refused, _ = read(form, root / f"{name}.h5")
        assert not refused
        splits = [one.row["split"] for one in samples]
        assert (splits.count("train"), splits.count("test")) == counts
        assert {np.asarray(one.arrays["features"]).shape for one in samples} == {(width,)}
