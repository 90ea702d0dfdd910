"""What linear baselines share: a sum of columns, and a link from it to answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import numpy as np

from medray.baselines.base import Baseline

Link = Literal["softmax", "sigmoid", "identity"]
LINKS: tuple[Link, ...] = ("softmax", "sigmoid", "identity")


@dataclass(frozen=True)
class Linear(Baseline):
    """A fitted linear model.

    Args:
        coefficients: float32 (columns, answers).
        intercepts: float32 (answers,).
        link: from scores to answers: probabilities of classes, of labels, or the values.
    """

    label: ClassVar[str] = "linear baseline"

    coefficients: np.ndarray
    intercepts: np.ndarray
    link: Link

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, answers), as Task.probabilities has them."""
        scores = design @ self.coefficients + self.intercepts
        if self.link == "softmax":
            scores = np.exp(scores - scores.max(1, keepdims=True))
            scores = scores / scores.sum(1, keepdims=True)
        elif self.link == "sigmoid":
            scores = 1 / (1 + np.exp(-np.clip(scores, -60, 60)))
        made: np.ndarray = scores.astype(np.float32)
        return made

    def tensors(self) -> dict[str, np.ndarray]:
        """See Baseline."""
        return {
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
            "link": np.array([LINKS.index(self.link)], np.uint8),
        }

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """See Baseline."""
        return cls(tensors["coefficients"], tensors["intercepts"], LINKS[int(tensors["link"][0])])


def reduced(design: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Standardised columns; where they outnumber samples, turned into the samples' own space.

    A penalty on the length of the coefficients does not change under a rotation, so nothing is
    lost (Hastie and Tibshirani 2004), and 72 samples of 7,129 genes have 72 columns.

    Returns:
        (samples, k), the way back (columns, k), centre and scale of the columns.
    """
    centre = design.mean(0, dtype=np.float64)
    scale = design.std(0, dtype=np.float64)
    scale[scale < 1e-12] = 1.0
    scaled = ((design - centre) / scale).astype(np.float32)
    if scaled.shape[1] <= scaled.shape[0]:
        return scaled, np.eye(scaled.shape[1], dtype=np.float32), centre, scale
    left, sizes, right = np.linalg.svd(scaled.astype(np.float64), full_matrices=False)
    kept = sizes > 1e-9 * max(sizes[0], 1e-300)
    return left[:, kept] * sizes[kept], right[kept].T, centre, scale


def unscaled(
    weights: np.ndarray, intercepts: np.ndarray, centre: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and intercepts, float32, for columns as they were before `reduced`."""
    weights = weights / scale[:, None]
    moved = intercepts - centre @ weights
    return weights.astype(np.float32), moved.astype(np.float32)
