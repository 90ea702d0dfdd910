import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score, precision_score, recall_score

from medray.errors import DataError
from medray.tasks.metrics.overlap import Overlap, confusion, overlap, voxel_error


def test_agrees_with_scikit_learn_on_random_labels() -> None:
    random = np.random.default_rng(1)
    predicted, actual = random.integers(0, 4, (2, 7, 11, 13)).astype(np.uint8)
    counts = confusion(predicted, actual, 4)
    flat_p, flat_a = predicted.ravel(), actual.ravel()
    np.testing.assert_array_equal(counts, confusion_matrix(flat_a, flat_p))
    for label in range(4):
        got = overlap(counts, label)
        yes_p, yes_a = flat_p == label, flat_a == label
        assert got.dice == pytest.approx(f1_score(yes_a, yes_p))
        assert got.iou == pytest.approx(jaccard_score(yes_a, yes_p))
        assert got.sensitivity == pytest.approx(recall_score(yes_a, yes_p))
        assert got.precision == pytest.approx(precision_score(yes_a, yes_p))
    assert voxel_error(counts) == pytest.approx(np.mean(predicted != actual))


def test_slabs_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    predicted, actual = np.random.default_rng(2).integers(0, 3, (2, 5, 6, 7)).astype(np.int16)
    whole = confusion(predicted, actual, 3)
    monkeypatch.setattr("medray.tasks.metrics.overlap._SLAB_VOXELS", 17)
    np.testing.assert_array_equal(confusion(predicted, actual, 3), whole)


def test_by_hand() -> None:
    got = Overlap(true_positive=6, false_positive=2, false_negative=4)
    assert (got.dice, got.iou, got.sensitivity, got.precision) == (12 / 18, 6 / 12, 6 / 10, 6 / 8)


def test_what_is_not_defined_is_none() -> None:
    nothing, missed, invented = Overlap(0, 0, 0), Overlap(0, 0, 9), Overlap(0, 9, 0)
    assert (nothing.dice, nothing.iou, nothing.sensitivity, nothing.precision) == (None,) * 4
    assert (missed.dice, missed.sensitivity, missed.precision) == (0.0, 0.0, None)
    assert (invented.dice, invented.sensitivity, invented.precision) == (0.0, None, 0.0)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (np.full((2, 2), 3), "unknown-label"),
        (np.full((2, 2), -1), "unknown-label"),
        (np.zeros((2, 3), int), "grid-mismatch"),
    ],
)
def test_refuses_labels_and_shapes_that_do_not_fit(bad: np.ndarray, code: str) -> None:
    with pytest.raises(DataError, match="prediction has") as caught:
        confusion(bad, np.zeros((2, 2), int), 3)
    assert caught.value.code == code
