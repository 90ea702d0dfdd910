"""Cox's regression, with a ridge penalty whose strength is chosen within the training samples."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self

import numpy as np

from medray.baselines.base import Baseline
from medray.baselines.linear import reduced, unscaled
from medray.tasks.base import Task

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of the penalty, times the samples
PARTS = 5  # inner folds
FEW = 3000  # samples up to which every inner fold is tried, else one
STEPS = 50  # of Newton's
CONVERGED = 1e-9  # gain of the likelihood, relative
BLOCK = 256  # samples whose curves are made together


@dataclass(frozen=True)
class Cox(Baseline):
    """Proportional hazards of each cause (Cox 1972), ties by Efron 1977, curves by Breslow 1974.

    Args:
        coefficients: float32 (columns, causes).
        intercepts: float32 (causes,).
        moments: float64 (moments,), at which there was an event.
        hazards: float64 (moments, causes), steps of a sample of log hazard 0.
        times: float64 (times,), when curves are told.
    """

    name: ClassVar[str] = "cox"
    label: ClassVar[str] = "Cox regression"
    most: ClassVar[int] = 20_000

    coefficients: np.ndarray
    intercepts: np.ndarray
    moments: np.ndarray
    hazards: np.ndarray
    times: np.ndarray

    @classmethod
    def fit(cls, design: np.ndarray, targets: np.ndarray, task: Task) -> Self | None:
        """See Baseline; of targets (samples, 2): time, and the number of the cause or 0. None where
        the task tells no curves, or there is no event."""
        time, cause = targets[:, 0].astype(np.float64), targets[:, 1].astype(np.int64)
        if not len(task.times) or not cause.any():
            return None
        columns, back, centre, scale = reduced(design)
        causes = task.columns // len(task.times)
        weights = np.stack(
            [_chosen(columns, time, cause == at + 1) for at in range(causes)], axis=1
        )
        coefficients, intercepts = unscaled(back @ weights, np.zeros(causes), centre, scale)
        risks = design @ coefficients + intercepts
        moments = np.unique(time[cause > 0])
        hazards = np.stack(
            [_steps(time, cause == at + 1, risks[:, at], moments) for at in range(causes)], axis=1
        )
        return cls(coefficients, intercepts, moments, hazards, np.asarray(task.times, np.float64))

    def answers(self, design: np.ndarray) -> np.ndarray:
        """float32 (samples, causes * times): cumulative incidence of each cause."""
        place = np.searchsorted(self.moments, self.times, side="right")
        made = []
        for start in range(0, len(design), BLOCK):
            some = design[start : start + BLOCK]
            risks = np.exp(some.astype(np.float64) @ self.coefficients + self.intercepts)
            steps = risks[:, None] * self.hazards
            every = steps.sum(2)
            before = np.exp(every - np.cumsum(every, axis=1))
            share = np.divide(steps, every[..., None], out=np.zeros_like(steps),
                              where=every[..., None] > 0)  # fmt: skip
            gone = (before * -np.expm1(-every))[..., None] * share
            told = np.concatenate([np.zeros_like(gone[:, :1]), np.cumsum(gone, axis=1)], axis=1)
            made.append(np.moveaxis(told[:, place], 2, 1).reshape(len(some), -1))
        return np.concatenate(made).astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """See Baseline."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> Self:
        """See Baseline."""
        return cls(**{one.name: tensors[one.name] for one in fields(cls)})


def fitted(design: np.ndarray, time: np.ndarray, event: np.ndarray, penalty: float) -> np.ndarray:
    """Coefficients (columns,) that maximise the log partial likelihood, ties by Efron (1977), less
    half of `penalty` times their squares; by Newton's steps, halved where they gain nothing.

    Args:
        design: (samples, columns).
        time: (samples,), of the event or of the end of watching.
        event: bool (samples,).
        penalty: of the ridge.
    """
    risk_sets = _RiskSets(design, time, event)
    weights = np.zeros(design.shape[1])
    best, slope, curvature = risk_sets.at(weights, penalty)
    for _ in range(STEPS):
        step = np.linalg.lstsq(curvature, slope, rcond=None)[0]
        before = best
        for _ in range(STEPS):
            found = risk_sets.at(weights + step, penalty)
            if found[0] >= best:
                weights = weights + step
                best, slope, curvature = found
                break
            step = step / 2
        if best - before <= CONVERGED * (abs(best) + CONVERGED):
            break
    return weights


class _RiskSets:
    """The log partial likelihood of some samples, and its first two derivatives."""

    def __init__(self, design: np.ndarray, time: np.ndarray, event: np.ndarray) -> None:
        order = np.argsort(time, kind="stable")
        self._design, self._event = design[order].astype(np.float64), event[order]
        times, self._first, of = np.unique(time[order], return_index=True, return_inverse=True)
        self._of = of
        deaths = np.bincount(of, weights=self._event, minlength=len(times)).astype(np.int64)
        self._group = of[self._event]  # of each event
        first = np.cumsum(deaths) - deaths
        # Of those that die together each but the first has a share of the others off its risk set.
        number = np.arange(len(self._group)) - first[self._group]
        self._share = number / np.maximum(deaths[self._group], 1)

    def at(self, weights: np.ndarray, penalty: float) -> tuple[float, np.ndarray, np.ndarray]:
        scores = self._design @ weights
        highest = scores.max(initial=0.0)
        risk = np.exp(scores - highest)
        rows = self._design * risk[:, None]
        whole, whole_rows = self._behind(risk), self._behind(rows)
        count = len(self._first)
        dying = np.bincount(self._of, weights=risk * self._event, minlength=count)
        dying_rows = np.zeros((count, rows.shape[1]))
        np.add.at(dying_rows, self._group, rows[self._event])
        group, share = self._group, self._share
        among = whole[group] - share * dying[group]
        mean = (whole_rows[group] - share[:, None] * dying_rows[group]) / among[:, None]
        # How often a sample stands in a risk set, and of its own death how much less.
        times = np.cumsum(np.bincount(group, weights=1 / among, minlength=count))[self._of]
        less = np.bincount(group, weights=share / among, minlength=count)[self._of]
        told = risk * (times - less * self._event)
        value = scores[self._event].sum() - (np.log(among) + highest).sum()
        slope = self._design[self._event].sum(0) - mean.sum(0) - penalty * weights
        curvature = self._design.T @ (self._design * told[:, None]) - mean.T @ mean
        curvature[np.diag_indices(len(weights))] += penalty
        return float(value - penalty / 2 * weights @ weights), slope, curvature

    def _behind(self, values: np.ndarray) -> np.ndarray:
        """Sums over all that are still watched at each distinct time."""
        made: np.ndarray = np.cumsum(values[::-1], axis=0)[::-1][self._first]
        return made


def _chosen(design: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Fitted with the strength that says most of inner folds (Verweij & van Houwelingen 1993)."""
    part = np.empty(len(time), int)
    part[np.argsort(time, kind="stable")] = np.arange(len(time)) % PARTS
    gains = dict.fromkeys(STRENGTHS, 0.0)
    for number in range(PARTS if len(time) <= FEW else 1):
        inner = part != number
        if not event[inner].any():
            continue
        every = _RiskSets(design, time, event)
        some = _RiskSets(design[inner], time[inner], event[inner])
        for strength in STRENGTHS:
            weights = fitted(design[inner], time[inner], event[inner], strength * inner.sum())
            gains[strength] += every.at(weights, 0)[0] - some.at(weights, 0)[0]
    best = max(STRENGTHS, key=lambda strength: gains[strength])
    return fitted(design, time, event, best * len(time))


def _steps(
    time: np.ndarray, event: np.ndarray, risks: np.ndarray, moments: np.ndarray
) -> np.ndarray:
    """Steps of the cumulative hazard of a sample of log risk 0 at `moments` (Breslow 1974)."""
    order = np.argsort(time, kind="stable")
    at_risk = np.cumsum(np.exp(risks[order].astype(np.float64))[::-1])[::-1]
    first = np.searchsorted(time[order], moments)
    events = np.bincount(np.searchsorted(moments, time[event]), minlength=len(moments))
    made: np.ndarray = events / at_risk[first]
    return made
