"""Percentile bootstrap over cases, as weights.

Drawing n cases with replacement is the same as giving each case an integer weight. A metric that
takes weights of shape (repeats, cases) is therefore computed for all replicates in one call.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

FloatArray = npt.NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
Key = TypeVar("Key", bound=Hashable)

LEAST_SUBJECTS = 5  # behind an interval: of fewer it says how they differ, not how sure a mean is
OWNERS = ("subject", "record")  # columns of a case that others may share
PARTS = ("fold",)  # and that say in which part of a cross-validation it was held out
_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value over `cases` cases with its 95 % interval.

    The value is None where nothing defines it (no case, one class only). There is no interval where
    fewer than LEAST_SUBJECTS independent `subjects` stand behind it.
    """

    value: float | None
    low: float | None
    high: float | None
    cases: int
    subjects: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Draws:
    """A statistic of all cases, NaN where it isn't defined, and of each resample, (repeats,)."""

    value: float
    resampled: FloatArray


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made: percentile bootstrap (Efron & Tibshirani 1993, ch. 13), seeded.

    Without repeats there are values and no intervals.
    """

    repeats: int = 1000
    level: float = 0.95
    seed: int = 0

    def estimate(
        self,
        statistic: Statistic,
        cases: int,
        groups: Sequence[str] | None = None,
        behind: npt.ArrayLike | None = None,
    ) -> Estimate:
        """Evaluate a statistic on the cases and its interval over resamples.

        Args:
            statistic: maps weights (repeats, cases) to (repeats,), NaN where it isn't defined.
            cases: number of cases.
            groups: the subject of each case; whole subjects are resampled together, because two
                scans of one patient are not two independent cases.
            behind: which cases have a say in it, (cases,); None: all.

        Replicates that don't define the statistic (no positive case drawn) are left out of the
        interval.
        """
        if behind is not None and not np.any(behind):
            return Estimate(None, None, None, 0, 0)
        drawn = self.draw(lambda w: {"": statistic(w)}, cases, groups)
        return self.judge(drawn.get("", Draws(np.nan, np.empty(0))), cases, groups, behind)

    def draw(
        self,
        statistics: Callable[[FloatArray], Mapping[Key, FloatArray]],
        cases: int,
        groups: Sequence[str] | None = None,
    ) -> dict[Key, Draws]:
        """Several statistics on the cases and on the same resamples, which are drawn once.

        Args:
            statistics: maps weights (repeats, cases) to (repeats,) of each, NaN where it isn't
                defined.
            cases: number of cases.
            groups: see `estimate`.
        """
        if not cases:
            return {}
        plain = statistics(np.ones((1, cases)))
        found: dict[Key, list[FloatArray]] = {key: [] for key in plain}
        if self.repeats and _count(cases, groups) >= LEAST_SUBJECTS:
            for block in self._weights(cases, groups):
                for key, values in statistics(block).items():
                    found[key].append(values)
        none = np.empty(0)
        return {
            key: Draws(float(plain[key][0]), np.concatenate([none, *found[key]])) for key in plain
        }

    def judge(
        self,
        drawn: Draws,
        cases: int,
        groups: Sequence[str] | None = None,
        behind: npt.ArrayLike | None = None,
    ) -> Estimate:
        """The estimate that draws make; see `estimate`."""
        some = np.flatnonzero(np.ones(cases, bool) if behind is None else behind).tolist()
        subjects = len(some) if groups is None else len({groups[at] for at in some})
        if not len(some):
            return Estimate(None, None, None, 0, 0)
        if not np.isfinite(drawn.value):
            return Estimate(None, None, None, len(some), subjects)
        if not self.repeats or subjects < LEAST_SUBJECTS:
            return Estimate(drawn.value, None, None, len(some), subjects)
        known = drawn.resampled[np.isfinite(drawn.resampled)]
        tail = 50.0 * (1.0 - self.level)
        low, high = np.percentile(known, [tail, 100.0 - tail])
        return Estimate(drawn.value, float(low), float(high), len(some), subjects)

    def mean(self, values: FloatArray, groups: Sequence[str] | None = None) -> Estimate:
        """The mean of per-case values, shape (cases,), with its interval."""
        return self.estimate(lambda w: w @ values / w.sum(axis=1), len(values), groups)

    def _weights(self, cases: int, groups: Sequence[str] | None) -> Iterator[FloatArray]:
        """How often each case is drawn, in blocks of (some repeats, cases)."""
        random = np.random.default_rng(self.seed)
        if groups is None:
            units, unit_of_case = cases, np.arange(cases)
        else:
            names, unit_of_case = np.unique(np.asarray(groups), return_inverse=True)
            units = len(names)
        block = max(1, _BLOCK_BYTES // (8 * cases))
        even = np.full(units, 1.0 / units)
        for start in range(0, self.repeats, block):
            drawn = random.multinomial(units, even, size=min(block, self.repeats - start))
            yield drawn[:, unit_of_case].astype(np.float64)


def _count(cases: int, groups: Sequence[str] | None) -> int:
    """Independent subjects."""
    return cases if groups is None else len(set(groups))


def about(case: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """What rows of scores say of a case beside its scores: whose it is, of which record and fold.

    Args:
        case: its id.
        row: of the truth.
    """
    told = {name: row[name] for name in (*OWNERS, *PARTS) if row.get(name) is not None}
    return {"case": case, **told}


def subjects(cases: pa.Table) -> list[str] | None:
    """The subject of each `case`, in order of first row; None if the table knows no subjects.

    Where a case has no subject, its record stands for one; a case without either is its own.
    """
    known = [cases[name].to_pylist() for name in OWNERS if name in cases.column_names]
    if not known:
        return None
    owners: dict[str, str] = {}
    for case, *owned in zip(cases["case"].to_pylist(), *known, strict=True):
        owners[case] = next((str(one) for one in owned if one not in (None, "")), case)
    return list(owners.values())
