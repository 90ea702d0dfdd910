"""Risks made to be what they say: a curve from a network's risks to those that were seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]
Method = Literal["platt", "temperature", "isotonic", "none"]

EDGE = 1e-7  # a risk nearer to 0 or 1 has the logit of this, ± 16.1
STEPS = 60
FEWEST = 2  # cases of each class that a curve takes


def logit(risks: FloatArray) -> FloatArray:
    """log(p / (1 - p)), of any shape."""
    kept = np.clip(risks, EDGE, 1 - EDGE)
    made: FloatArray = np.log(kept) - np.log1p(-kept)
    return made


def fitted(method: Method, risks: FloatArray, events: FloatArray) -> tuple[float, ...]:
    """The curve of a method, as numbers for a package; none where a class has fewer than FEWEST.

    `platt`: intercept and slope on the logit (Platt 1999). `temperature`: the same with intercept 0
    (Guo et al. 2017). Where risks part the classes, and a slope would have no end, they are fitted
    to Platt's targets (n₁ + 1) / (n₁ + 2) and 1 / (n₀ + 2); always, these would leave risks less
    far apart than they are to be. A slope is never negative: a network that ranks the wrong way
    round is told by its AUROC, and not turned round. `isotonic`: the rising steps of least squares
    (Zadrozny and Elkan 2002), risks and then their values, these within 1 / (n + 2) of 0 and 1.

    Args:
        method: its name.
        risks: of the validation, (cases,).
        events: 0 or 1, (cases,).
    """
    count = int(events.sum())
    if method == "none" or min(count, len(events) - count) < FEWEST:
        return ()
    if method == "isotonic":
        return _isotonic(risks, events)
    smooth = np.where(events > 0.5, (count + 1) / (count + 2), 1 / (len(events) - count + 2))
    scores, free, one = logit(risks), method == "platt", np.ones((1, len(events)))
    found = recalibrated(scores, events, one, intercept=free)[0]
    if np.isnan(found).any():
        found = recalibrated(scores, smooth, one, intercept=free)[0]
    if found[1] > 0:
        return (float(found[0]), float(found[1]))
    share = float(events.mean())
    return (float(np.log(share / (1 - share))) if free else 0.0, 0.0)


def recalibrated(
    scores: FloatArray,
    truth: FloatArray,
    weights: FloatArray,
    *,
    intercept: bool = True,
    slope: bool = True,
) -> FloatArray:
    """Logistic regression of the truth on scores by Newton's steps, of many weightings at once.

    Args:
        scores: (cases,), e.g. logits of risks.
        truth: 0 … 1, (cases,).
        weights: (repeats, cases).
        intercept: whether it is fitted; else it is 0.
        slope: whether it is; else it is 1.

    Returns:
        (repeats, 2): intercept and slope; NaN where they do not come to rest, as where scores part
        the classes.
    """
    found = np.tile([0.0, 0.0 if slope else 1.0], (len(weights), 1))
    done = np.zeros(len(weights), bool)
    for _ in range(STEPS):
        going = np.flatnonzero(~done)
        if not len(going):
            break
        own, at = weights[going], found[going]
        means = 1 / (1 + np.exp(-np.clip(at[:, :1] + at[:, 1:] * scores, -60, 60)))
        left = own * (truth - means)
        curve = own * means * (1 - means)
        step = _step(
            np.stack([left.sum(1), left @ scores], 1),
            np.stack([curve.sum(1), curve @ scores, curve @ scores**2], 1),
            intercept=intercept,
            slope=slope,
        )
        size = np.abs(step).max(1, keepdims=True)
        found[going] = at + step / np.maximum(1, size)  # at most 1 at a time: far off it would jump
        done[going] = size[:, 0] < 1e-9
    found[~done | (np.abs(found) > 1e3).any(1)] = np.nan
    return found


def _step(
    gradient: FloatArray, curvature: FloatArray, *, intercept: bool, slope: bool
) -> FloatArray:
    """Newton's step, (repeats, 2), of what is free; `curvature` has its a², ab and b² entries."""
    made = np.zeros_like(gradient)
    tiny = np.finfo(np.float64).tiny
    if intercept and slope:
        one, both, two = curvature.T
        determinant = np.maximum(one * two - both**2, tiny)
        made[:, 0] = (two * gradient[:, 0] - both * gradient[:, 1]) / determinant
        made[:, 1] = (one * gradient[:, 1] - both * gradient[:, 0]) / determinant
    else:
        at, own = (0, 0) if intercept else (1, 2)
        made[:, at] = gradient[:, at] / np.maximum(curvature[:, own], tiny)
    return np.clip(made, -1e6, 1e6)


def _isotonic(risks: FloatArray, events: FloatArray) -> tuple[float, ...]:
    """Pools of neighbours whose shares would fall otherwise: their first and last risk."""
    values, at = np.unique(risks, return_inverse=True)
    sizes = np.bincount(at).astype(np.float64)
    pools: list[list[float]] = []  # first and last risk, cases, events
    for value, cases, some in zip(values, sizes, np.bincount(at, events), strict=True):
        pools.append([value, value, cases, some])
        while len(pools) > 1 and pools[-2][3] * pools[-1][2] >= pools[-1][3] * pools[-2][2]:
            _, last, cases, some = pools.pop()
            pools[-1] = [pools[-1][0], last, pools[-1][2] + cases, pools[-1][3] + some]
    edge = 1 / (len(risks) + 2)
    points: dict[float, float] = {}
    for first, last, cases, some in pools:
        share = min(max(some / cases, edge), 1 - edge)
        points |= {first: share, last: share}
    return (*map(float, points), *points.values())


@dataclass(frozen=True)
class Curve:
    """A curve that was fitted.

    Args:
        method: its name.
        numbers: as `fitted` gave them; none: nothing is changed.
    """

    method: Method
    numbers: Sequence[float]

    def of_logits(self, logits: Tensor) -> Tensor:
        """Risks of a network's logits, (cases,), float32."""
        if not self.numbers:
            return logits.sigmoid()
        if self.method != "isotonic":
            intercept, slope = self.numbers
            return (intercept + slope * logits).sigmoid()
        risks = self.of_risks(logits.double().sigmoid().cpu().numpy())
        return torch.from_numpy(risks).float().to(logits.device)

    def of_risks(self, risks: FloatArray) -> FloatArray:
        """Risks as they are to be, of those that were made without a curve."""
        if not self.numbers:
            return risks
        if self.method == "isotonic":
            half = len(self.numbers) // 2
            made: FloatArray = np.interp(risks, self.numbers[:half], self.numbers[half:])
            return made
        intercept, slope = self.numbers
        return np.asarray(1 / (1 + np.exp(-(intercept + slope * logit(risks)))))

    def describe(self) -> str:
        """In words."""
        if self.method == "none":
            return "risks are as the network says them: the job asks for no calibration"
        if not self.numbers:
            return "risks are not calibrated: no validation had enough cases of both classes"
        if self.method == "isotonic":
            return f"risks are calibrated by {len(self.numbers) // 2} isotonic points"
        intercept, slope = self.numbers
        moved = f", and {intercept:+.4g}" if intercept else ""
        return f"risks are calibrated: the network's logit times {slope:.4g}{moved}"
