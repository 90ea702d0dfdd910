"""Values, labels, grids and statistics that all imaging formats share."""

import numpy as np
import pytest

from medray.errors import DataError, SpecError
from medray.formats.imaging import values
from medray.formats.imaging.values import (
    as_image,
    as_label,
    check_pattern,
    checked_affine,
    describe,
    same_grid,
    spacing_of,
    subject_of,
)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32"])
def test_statistics_equal_numpy(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "PIECE", 1000)  # several pieces
    rng = np.random.default_rng(0)
    low = 0 if dtype.startswith("u") else -1024
    image = rng.integers(low, 255, (2, 7, 30, 20)).astype(dtype)
    label = rng.integers(0, 3, (7, 30, 20)).astype(np.uint8)
    found = describe(image, label)
    inside = image[:, label > 0]
    for name, given in (("image", image), ("foreground", inside)):
        expected = {
            "mean": given.mean(dtype=float),
            "std": given.std(dtype=float),
            "min": given.min(),
            "max": given.max(),
            "p005": np.percentile(given, 0.5),
            "p995": np.percentile(given, 99.5),
        }
        got = {key: found[f"{name}_{key}"] for key in expected}
        assert got == pytest.approx(expected, rel=1e-6)
    assert found["label_voxels"] == np.bincount(label.ravel()).tolist()


def test_statistics_without_foreground_are_missing_and_instances_are_not_counted() -> None:
    image = np.ones((1, 2, 3), np.int16)
    empty = describe(image, np.zeros((2, 3), np.uint8))
    assert empty["foreground_mean"] is None
    assert empty["label_voxels"] == [6]
    assert describe(image, np.full((2, 3), 300, np.uint16))["label_voxels"] == []
    assert "foreground_mean" not in describe(image)


def test_large_floats_take_percentiles_from_every_kth_voxel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = np.random.default_rng(0).normal(size=(1, 100, 1000)).astype(np.float32)
    exact = describe(image)
    monkeypatch.setattr(values, "SAMPLED", 10_000)
    about = describe(image)
    assert about["image_p995"] != exact["image_p995"]
    assert about["image_p995"] == pytest.approx(exact["image_p995"], abs=0.1)
    assert about["image_mean"] == exact["image_mean"]


def test_a_sample_of_voxels_sees_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.broadcast_to(np.arange(64, dtype=np.int16), (1, 64, 64)).copy()
    monkeypatch.setattr(values, "SAMPLED", 64)
    assert describe(image)["image_mean"] == pytest.approx(31.5, abs=2)
    assert describe(image.astype(np.float32))["image_p995"] > 60


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.array([0.5, 1.0]), "fractional-label"),
        (np.array([np.nan, 1.0]), "fractional-label"),
        (np.array([np.inf, 1.0]), "fractional-label"),
        (np.array([-1, 1]), "negative-label"),
        (np.array([3, 1]), "unexpected-label"),
        (np.array([1j]), "unsupported-datatype"),
    ],
)
def test_labels_that_are_refused(values: np.ndarray, code: str) -> None:
    with pytest.raises(DataError) as caught:
        as_label(values, allowed=frozenset({0, 1}))
    assert caught.value.code == code


def test_labels_take_the_smallest_type() -> None:
    assert as_label(np.array([0.0, 2.0], np.float32)).dtype == np.uint8
    assert as_label(np.array([0, 300])).dtype == np.uint16
    assert as_label(np.array([0, 70_000])).dtype == np.uint32
    with pytest.raises(DataError, match="too-many-classes"):
        as_label(np.array([2**32]))


def test_labels_are_mapped_and_nothing_else_passes() -> None:
    mapped = as_label(np.array([[0, 255]], np.uint8), mapping={0: 1, 255: 0})
    assert mapped.tolist() == [[1, 0]]
    with pytest.raises(DataError, match="unexpected-label"):
        as_label(np.array([7], np.uint8), mapping={0: 1, 255: 0})


def test_image_values() -> None:
    kept = np.array([-1024, 3071], np.int16)
    assert as_image(kept) is kept
    assert as_image(np.array([True])).dtype == np.uint8
    assert as_image(np.array([1.5])).dtype == np.float64
    assert as_image(np.array([1.5], np.float16)).dtype == np.float32
    for bad in (np.array([np.nan]), np.array([1e300])):
        with pytest.raises(DataError, match="nonfinite-voxels"):
            as_image(bad)


def test_grids_agree_up_to_what_headers_lose() -> None:
    affine = np.diag([0.8, 0.8, 2.5, 1.0])
    shape = (40, 512, 512)
    assert same_grid(shape, affine, shape, affine.astype(np.float32).astype(float))
    assert not same_grid(shape, affine, (41, 512, 512), affine)
    for change in ((0, 3, 0.4), (2, 2, 0.01), (0, 0, -1.6)):
        moved = affine.copy()
        moved[change[0], change[1]] += change[2]
        assert not same_grid(shape, affine, shape, moved)


def test_affines() -> None:
    turned = np.array([[0, -2.0, 0, 5], [3.0, 0, 0, 6], [0, 0, 4.0, 7], [0, 0, 0, 1]])
    assert spacing_of(checked_affine(turned)) == (4.0, 2.0, 3.0)
    for bad, code in (
        (np.diag([1, 1, np.nan, 1]), "nonfinite-affine"),
        (np.diag([1, 0, 1, 1]), "flat-affine"),
        (np.diag([1, 1e9, 1, 1]), "flat-affine"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "flat-affine"),
    ):
        with pytest.raises(DataError) as caught:
            checked_affine(bad)
        assert caught.value.code == code


def test_subjects() -> None:
    assert subject_of("sub-01_T1", "") == "sub-01_T1"
    assert subject_of("sub-01_T1", r"^(sub-\d+)") == "sub-01"
    with pytest.raises(DataError, match="no-subject"):
        subject_of("x", r"^(sub-\d+)")
    for bad in ("(", "^sub"):
        with pytest.raises(SpecError, match="bad-pattern"):
            check_pattern(bad)
