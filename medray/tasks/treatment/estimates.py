"""Effects of a treatment on a mean: naive, weighted, by regression, and doubly robust.

Each estimate is a ratio of sums over cases, so case weights of shape (repeats, cases) give those of
a bootstrap, and its influence function says how sure it is where nuisances are held to be known, as
cross-fitting allows (Chernozhukov et al. 2018).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from medray.tasks.metrics.bootstrap import LEAST_SUBJECTS, Estimate

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Nuisance:
    """Cases, and what networks that have not seen them say of them; all (cases,).

    Args:
        treated: 1 or 0.
        outcome: NaN where it was not observed.
        y0: expected outcome without treatment.
        y1: the same with it.
        propensity: chance of treatment, above 0 and below 1.
        observed: chance that the outcome of this case is observed, above 0; 1 where none is lost.
    """

    treated: FloatArray
    outcome: FloatArray
    y0: FloatArray
    y1: FloatArray
    propensity: FloatArray
    observed: FloatArray

    @property
    def known(self) -> FloatArray:
        """Whether the outcome was observed, 1 or 0."""
        return (~np.isnan(self.outcome)).astype(np.float64)

    @property
    def weight(self) -> FloatArray:
        """1 / chance of the treatment that was given and of being observed; 0 without outcome."""
        chance = np.where(self.treated == 1, self.propensity, 1 - self.propensity)
        return self.known / (chance * self.observed)

    @property
    def doubly_robust(self) -> FloatArray:
        """Pseudo-outcomes: y1 - y0, and what is left of the outcome, weighted (Robins et al. 1994;
        Kennedy 2020). Their mean is the effect if either outcomes or propensities are right."""
        expected = np.where(self.treated == 1, self.y1, self.y0)
        left = np.where(self.known == 1, self.outcome - expected, 0.0)
        signed = np.where(self.treated == 1, 1.0, -1.0)
        made: FloatArray = self.y1 - self.y0 + signed * self.weight * left
        return made


@dataclass(frozen=True)
class Ratio:
    """An estimate as a sum of one value of each case over that of another.

    Args:
        above: (cases,).
        below: (cases,).
    """

    above: FloatArray
    below: FloatArray

    def of(self, weights: FloatArray) -> FloatArray:
        """Under case weights, (repeats,); NaN where nothing is below."""
        total = weights @ self.below
        made = np.full(len(weights), np.nan)
        np.divide(weights @ self.above, total, out=made, where=total > 0)
        return made

    @property
    def influence(self) -> FloatArray:
        """Of each case on the estimate; its mean is 0."""
        mean = self.below.mean()
        value = self.above.mean() / mean if mean else np.nan
        made: FloatArray = (self.above - value * self.below) / mean if mean else self.above * np.nan
        return made


Terms = Sequence[tuple[float, Ratio]]


def naive(cases: Nuisance) -> Terms:
    """Mean outcome of the treated less that of the others, of those observed."""
    outcome = np.nan_to_num(cases.outcome)
    return [
        (sign, Ratio(own * cases.known * outcome, own * cases.known))
        for sign, own in ((1.0, cases.treated), (-1.0, 1 - cases.treated))
    ]


def weighted(cases: Nuisance) -> Terms:
    """Inverse probability weighting with weights that add up (Hájek 1971)."""
    outcome, weight = np.nan_to_num(cases.outcome), cases.weight
    return [
        (sign, Ratio(own * weight * outcome, own * weight))
        for sign, own in ((1.0, cases.treated), (-1.0, 1 - cases.treated))
    ]


def regressed(cases: Nuisance) -> Terms:
    """Mean of what outcome models say would differ."""
    return [(1.0, Ratio(cases.y1 - cases.y0, np.ones(len(cases.y0))))]


def doubly_robust(cases: Nuisance) -> Terms:
    """Mean of the pseudo-outcomes (AIPW)."""
    return [(1.0, Ratio(cases.doubly_robust, np.ones(len(cases.y0))))]


def weighted_of_treated(cases: Nuisance) -> Terms:
    """Of the treated: others weighted to be like them, by the odds of treatment."""
    outcome, known = np.nan_to_num(cases.outcome), cases.known / cases.observed
    odds = cases.propensity / (1 - cases.propensity)
    own, others = cases.treated * known, (1 - cases.treated) * known * odds
    return [(1.0, Ratio(own * outcome, own)), (-1.0, Ratio(others * outcome, others))]


def regressed_of_treated(cases: Nuisance) -> Terms:
    """Of the treated: mean of what outcome models say would differ."""
    return [(1.0, Ratio(cases.treated * (cases.y1 - cases.y0), cases.treated))]


def doubly_robust_of_treated(cases: Nuisance) -> Terms:
    """Of the treated: y1 - y0, and what is left of outcomes, the others' weighted by their odds."""
    known = cases.known / cases.observed
    outcome = np.nan_to_num(cases.outcome)
    odds = cases.propensity / (1 - cases.propensity)
    treated = cases.treated * (cases.y1 - cases.y0 + known * (outcome - cases.y1))
    others = (1 - cases.treated) * odds * known * (outcome - cases.y0)
    return [(1.0, Ratio(treated - others, cases.treated))]


def value_of(terms: Terms, weights: FloatArray) -> FloatArray:
    """An estimate under case weights, (repeats,)."""
    made: FloatArray = np.sum([sign * ratio.of(weights) for sign, ratio in terms], axis=0)
    return made


def with_interval(terms: Terms, groups: Sequence[str] | None, level: float = 0.95) -> Estimate:
    """An estimate with its interval by the influence function, cases of a subject summed.

    Args:
        terms: of the estimate.
        groups: subject of each case; None: each is its own.
        level: of the interval.
    """
    count = len(terms[0][1].above)
    value = float(value_of(terms, np.ones((1, count)))[0]) if count else float("nan")
    _, subject = np.unique(np.arange(count) if groups is None else groups, return_inverse=True)
    several = int(subject.max()) + 1 if count else 0
    if not np.isfinite(value):
        return Estimate(None, None, None, count, several)
    if several < LEAST_SUBJECTS:
        return Estimate(value, None, None, count, several)
    influence = np.sum([sign * ratio.influence for sign, ratio in terms], axis=0)
    summed = np.bincount(subject, influence)
    error = np.sqrt((summed**2).sum() * several / (several - 1)) / count
    wide = NormalDist().inv_cdf(0.5 + level / 2) * float(error)
    return Estimate(value, value - wide, value + wide, count, several)
