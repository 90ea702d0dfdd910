"""Voxel overlap between two label maps: Dice, IoU, sensitivity, precision, voxel error."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medray.errors import DataError

LabelArray = npt.NDArray[np.integer]
CountArray = npt.NDArray[np.int64]

# bincount widens to int64: 4 Mi voxels at a time hold the scratch at 32 MiB for any volume.
_SLAB_VOXELS = 4 << 20


@dataclass(frozen=True, slots=True)
class Overlap:
    """Voxel counts of one class in one case, and what follows from them.

    A ratio whose denominator is zero is None: it isn't defined, and no number would be honest.
    """

    true_positive: int
    false_positive: int
    false_negative: int

    @property
    def predicted(self) -> int:
        """Voxels that the prediction gives to the class."""
        return self.true_positive + self.false_positive

    @property
    def actual(self) -> int:
        """Voxels that the truth gives to the class."""
        return self.true_positive + self.false_negative

    @property
    def dice(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None when both are empty."""
        return _ratio(2 * self.true_positive, self.predicted + self.actual)

    @property
    def iou(self) -> float | None:
        """TP / (TP + FP + FN); None when both are empty."""
        return _ratio(self.true_positive, self.predicted + self.false_negative)

    @property
    def sensitivity(self) -> float | None:
        """TP / (TP + FN); None when the truth is empty."""
        return _ratio(self.true_positive, self.actual)

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP); None when the prediction is empty."""
        return _ratio(self.true_positive, self.predicted)


def confusion(predicted: LabelArray, actual: LabelArray, classes: int) -> CountArray:
    """Count voxels by (actual, predicted) class in one pass.

    Args:
        predicted: labels 0 … classes - 1, any shape.
        actual: labels of the same shape.
        classes: number of classes, background included.

    Returns:
        int64 of shape (classes, classes); row = truth, column = prediction.

    Raises:
        DataError: the shapes differ (code "grid-mismatch"), or a label is outside
            0 … classes - 1 (code "unknown-label").
    """
    if predicted.shape != actual.shape:
        raise DataError(
            f"prediction has shape {predicted.shape}, truth {actual.shape}",
            code="grid-mismatch",
            hint="predict on the same version of the data",
        )
    counts = np.zeros(classes * classes, dtype=np.int64)
    flat_predicted, flat_actual = predicted.reshape(-1), actual.reshape(-1)
    for start in range(0, flat_actual.size, _SLAB_VOXELS):
        p = flat_predicted[start : start + _SLAB_VOXELS]
        a = flat_actual[start : start + _SLAB_VOXELS]
        for name, labels in (("prediction", p), ("truth", a)):
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= classes:
                raise DataError(
                    f"{name} has labels {low}…{high}, expected 0…{classes - 1}",
                    code="unknown-label",
                    hint="list every class in the task",
                )
        counts += np.bincount(a.astype(np.int64) * classes + p, minlength=classes * classes)
    return counts.reshape(classes, classes)


def overlap(counts: CountArray, label: int) -> Overlap:
    """The counts of one class against all others, from a confusion matrix (classes, classes)."""
    hit = int(counts[label, label])
    return Overlap(hit, int(counts[:, label].sum()) - hit, int(counts[label].sum()) - hit)


def voxel_error(counts: CountArray) -> float:
    """Share of voxels with a wrong label (pixel error of ISBI-2012), from a confusion matrix."""
    return 1.0 - float(np.trace(counts)) / float(counts.sum())


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None
