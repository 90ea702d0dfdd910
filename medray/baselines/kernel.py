"""Kernel ridge regression over ranks of columns, for some thousands of samples of hundreds of them.

Classes and labels are values of 0 and 1, and what is said of them is made a probability.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import ClassVar, Literal, Self

import numpy as np

from medray.baselines.base import Baseline
from medray.tasks.base import Task

VARIES = 0.9  # share of the commonest value, in columns that are looked at, at most
LENGTHS = (0.25, 0.5, 1.0, 2.0)  # of the kernel, in usual distances of two samples
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
SLOPES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)  # from a score of 0 to 1 to log odds
USUAL = 500  # samples whose distances are looked at for what is usual
ROWS = 1024  # at a time
Link = Literal["identity", "sigmoid", "softmax"]
LINKS: tuple[Link, ...] = ("identity", "sigmoid", "softmax")


@dataclass(frozen=True)
class Kernel(Baseline):
    """What is alike has like answers: each training sample counts by a Gaussian of its distance
    (Saunders et al. 1998). Columns become normal scores of their ranks, so that no far value and
    no unit decides. Lengths and strengths are those of the least error where each training sample
    is left out, by its closed form.

    Args:
        column: int32 (columns,), of the design, that are looked at.
        known: float32 (columns, samples), their values, ascending.
        support: float32 (samples, columns), scores of the training samples.
        coefficients: float32 (samples, answers).
        intercepts: float32 (answers,).
        widths: float32 (answers,), of the Gaussian: exp(-distance^2 / width).
        slope: float32 (1,), of what makes probabilities.
        link: uint8 (1,), number of one of LINKS.
    """

    name: ClassVar[str] = "kernel-ridge"
    label: ClassVar[str] = "kernel regression"
    most: ClassVar[int] = 3_000

    column: np.ndarray
    known: np.ndarray
    support: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray
    widths: np.ndarray
    slope: np.ndarray
    link: np.ndarray

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline; of each value or label those samples teach of which it is known. None where
        no column varies, no value is known, or all samples are of one class."""
        link: Link = "identity"
        values = targets.astype(np.float64)
        if targets.ndim == 1:
            values, link = np.eye(len(task.classes))[targets], "softmax"
        elif bool(np.isin(targets[~np.isnan(targets)], (0, 1)).all()):
            link = "sigmoid"
        column = _varying(design)
        alike = link == "softmax" and len(np.unique(targets)) < 2
        if alike or not len(column) or np.isnan(values).all():
            return None
        known = np.sort(design[:, column].T, axis=1)
        support = _scores(design[:, column], known)
        distances = _distances(support, support)
        usual = _usual(support)
        outs, parts = np.full(values.shape, np.nan), []
        # Values that are known of the same samples share a decomposition.
        rows = ~np.isnan(values)
        for pattern in np.unique(rows[:, rows.any(0)], axis=1).T:
            some = np.flatnonzero((rows == pattern[:, None]).all(0))
            chosen = _ridge(distances, values[:, some], np.flatnonzero(pattern), usual)
            outs[np.ix_(np.flatnonzero(pattern), some)] = chosen.left_out
            parts.append((some, chosen))
        coefficients = np.zeros(values.shape, np.float32)
        intercepts, widths = np.zeros(values.shape[1], np.float32), np.ones(values.shape[1])
        for some, chosen in parts:
            coefficients[np.ix_(chosen.rows, some)] = chosen.weights
            intercepts[some], widths[some] = chosen.means, chosen.width
        slope = 0.0 if link == "identity" else _slope(outs, values, link)
        return cls(
            column=column.astype(np.int32),
            known=known,
            support=support,
            coefficients=coefficients,
            intercepts=intercepts,
            widths=widths.astype(np.float32),
            slope=np.array([slope], np.float32),
            link=np.array([LINKS.index(link)], np.uint8),
        )

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, answers), as Task.probabilities has them."""
        made = np.empty((len(design), len(self.intercepts)), np.float64)
        for start in range(0, len(design), ROWS):
            part = slice(start, start + ROWS)
            scores = _scores(design[part, self.column], self.known)
            distances = _distances(scores, self.support)
            for width in np.unique(self.widths):
                mine = self.widths == width
                made[part, mine] = np.exp(-distances / width) @ self.coefficients[:, mine]
        made += self.intercepts
        return _linked(made, float(self.slope[0]), LINKS[int(self.link[0])]).astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """See Baseline."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """See Baseline."""
        return cls(**{one.name: tensors[one.name] for one in fields(cls)})


@dataclass(frozen=True)
class _Ridge:
    """Values fitted to the samples `rows`, and what is said of each where it is left out."""

    rows: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    width: float
    left_out: np.ndarray


def _ridge(distances: np.ndarray, values: np.ndarray, rows: np.ndarray, usual: float) -> _Ridge:
    """Of the length and strength with the least squared error of samples that are left out, which
    is that of the fit over a diagonal (Rasmussen and Williams 2006, 5.12)."""
    inside, known = distances[np.ix_(rows, rows)], values[rows]
    means = known.mean(0)
    found: list[tuple[float, _Ridge]] = []
    for length in LENGTHS:
        width = 2 * length**2 * usual
        sizes, vectors = np.linalg.eigh(np.exp(-inside / width))
        turned, squares = vectors.T @ (known - means), vectors**2
        for strength in STRENGTHS:
            shrunk = 1 / (np.maximum(sizes, 0) + strength)
            weights = vectors @ (shrunk[:, None] * turned)
            off = weights / (squares @ shrunk)[:, None]
            made = _Ridge(rows, weights, means, width, known - off)
            found.append((float((off**2).mean()), made))
    return min(found, key=lambda one: one[0])[1]


def _varying(design: np.ndarray) -> np.ndarray:
    """Numbers of columns in which no value is nearly always there."""
    ordered = np.sort(design, axis=0)
    # A value that is there more often fills a stretch of that length of the ordered ones.
    long = int(VARIES * len(design)) + 1
    if long > len(design):
        return np.zeros(0, np.int64)
    same = ordered[long - 1 :] == ordered[: len(design) - long + 1]
    return np.flatnonzero(~same.any(0))


def _scores(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Normal scores of ranks among known values: float32, as `values` (samples, columns)."""
    count = known.shape[1]
    shares = np.clip(np.arange(2 * count + 1) / (2 * count), 0.5 / count, 1 - 0.5 / count)
    table = np.array([NormalDist().inv_cdf(share) for share in shares.tolist()], np.float32)
    made = np.empty(values.shape, np.float32)
    for at, ordered in enumerate(known):
        column = values[:, at]
        low, high = (np.searchsorted(ordered, column, side) for side in ("left", "right"))
        made[:, at] = table[low + high]
    return made


def _distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared, float64 (some, others)."""
    left, right = some.astype(np.float64), others.astype(np.float64)
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1)
    made: np.ndarray = np.maximum(squares - 2 * left @ right.T, 0)
    return made


def _usual(support: np.ndarray) -> float:
    """The median squared distance of evenly spaced samples."""
    some = support[np.linspace(0, len(support) - 1, min(len(support), USUAL)).astype(int)]
    return float(np.median(_distances(some, some))) or 1.0


def _linked(scores: np.ndarray, slope: float, link: Link) -> np.ndarray:
    """Values as they are; of scores of classes and labels, 0 to 1 but for error, probabilities."""
    if link == "identity":
        return scores
    odds = slope * (2 * scores - 1)
    if link == "sigmoid":
        made: np.ndarray = 1 / (1 + np.exp(-odds.clip(-60, 60)))
    else:
        made = np.exp(odds - odds.max(1, keepdims=True))
        made /= made.sum(1, keepdims=True)
    return made


def _slope(scores: np.ndarray, values: np.ndarray, link: Link) -> float:
    """By which samples that were left out are the least surprising."""

    def surprise(slope: float) -> float:
        told = _linked(np.nan_to_num(scores), slope, link)
        true = told[values > 0.5]
        if link == "sigmoid":
            true = np.concatenate([true, 1 - told[values < 0.5]])
        return float(-np.log(np.maximum(true, 1e-12)).mean())

    return min(SLOPES, key=surprise)
