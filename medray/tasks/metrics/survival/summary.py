"""Judge predicted curves: one row per case, then a summary over cases.

A case without a prediction counts as one that was told the opposite of what happened, is marked
`no-prediction` and counted, never left out.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from medray.tasks.metrics.bootstrap import LEAST_SUBJECTS, Bootstrap, FloatArray, subjects
from medray.tasks.metrics.concordance import concordance
from medray.tasks.metrics.survival.brier import brier, integrated
from medray.tasks.metrics.survival.curves import at_times
from medray.tasks.metrics.survival.estimators import Curve, aalen_johansen, kaplan_meier

STEPS = 50  # times of the Brier score
WATCHED = 0.1  # share of cases, still at risk at the last of them
RISK_GROUPS = ("low", "middle", "high")
CALIBRATION_GROUPS = 5
QUARTILES = (0.25, 0.5, 0.75)  # of event times: horizons, where none are stated
DRAWN = 200  # steps of a curve that is drawn


def concordance_of(
    risk: FloatArray, time: FloatArray, event: np.ndarray, cause: int, weights: FloatArray
) -> FloatArray:
    """Harrell's C of a cause, (repeats,): of pairs of which it is known who had the event first,
    the share in which that one had the higher risk; equal risks are half a pair.

    Whoever had an event of another cause will never have this one (Wolbers et al. 2009).

    Args:
        risk: (cases,), higher: earlier.
        time: (cases,), of the event or of the end of watching.
        event: (cases,), the number of the cause from 1, 0 where none was seen.
        cause: that is judged.
        weights: (repeats, cases).
    """
    other = (event != 0) & (event != cause)
    return concordance(-risk, np.where(other, np.inf, time), weights, event == cause)


def judged_times(time: FloatArray, last: float) -> FloatArray:
    """Times at which curves are judged: even steps up to the last time that is told, or at which a
    tenth of the cases, and five of them, are still watched.

    Args:
        time: (cases,).
        last: that predictions tell.
    """
    few = max(LEAST_SUBJECTS, int(np.ceil(WATCHED * len(time))))
    end = min(last, float(np.sort(time)[-min(few, len(time))]))
    return np.arange(1, STEPS + 1) / STEPS * end if end > 0 else np.empty(0)


def summarise_survival(
    cases: pa.Table,
    causes: Sequence[str],
    bootstrap: Bootstrap | None = None,
    horizons: Sequence[float] = (),
) -> dict[str, Any]:
    """Metrics with 95 % intervals, of each cause and their mean; and what pages draw.

    Args:
        cases: rows with `case`, `status`, `time`, `event`, `risks` (of each cause), `times` and
            `incidence` (of the causes one after another), and `subject` where cases share subjects.
        causes: names of the events 1, 2, ….
        bootstrap: how intervals are made.
        horizons: times at which calibration is told; none: quartiles of the event times.

    Returns:
        {"task", "cases", "counts", "metrics": {name: estimate}, "curves"}, JSON-able, of several
        causes with "classes": {cause: {name: estimate}}.
    """
    bootstrap = bootstrap or Bootstrap()
    told = _Told(cases, len(causes))
    owners, count = subjects(cases), len(cases)
    keys = [(cause, name) for cause in range(len(causes)) for name in ("c_index", "brier")]

    def statistics(weights: FloatArray) -> dict[tuple[int, str], FloatArray]:
        return {
            (cause, name): (told.c_index if name == "c_index" else told.brier)(cause, weights)
            for cause, name in keys
        }

    drawn = bootstrap.draw(statistics, count, owners)
    judge = bootstrap.judge
    each: dict[str, dict[str, Any]] = {}
    for number, cause in enumerate(causes):
        none = told.unknowing(number)
        each[cause] = {
            "c_index": judge(drawn[number, "c_index"], count, owners).to_dict(),
            "brier": judge(drawn[number, "brier"], count, owners).to_dict(),
            "brier_unknowing": bootstrap.estimate(none, count, owners).to_dict(),
        }
    metrics = each[causes[0]]
    if len(causes) > 1:
        means = bootstrap.draw(
            lambda w: {
                name: np.mean([statistics(w)[at, name] for at in range(len(causes))], axis=0)
                for name in ("c_index", "brier")
            },
            count,
            owners,
        )
        metrics = {name: judge(one, count, owners).to_dict() for name, one in means.items()}
    alone = owners is None or len(set(owners)) == count
    return {
        "task": "survival",
        "cases": count,
        "counts": dict(Counter(cases["status"].to_pylist())),
        "events": {one: int((told.event == at).sum()) for at, one in enumerate(causes, 1)},
        "metrics": metrics,
        **({"classes": each} if len(causes) > 1 else {}),
        "curves": told.curves(causes, horizons, sure=alone),
    }


class _Told:
    """What cases were told, and what happened.

    Args:
        cases: rows, see `summarise_survival`.
        causes: of events.
    """

    def __init__(self, cases: pa.Table, causes: int) -> None:
        self.time = np.asarray(cases["time"].to_pylist(), np.float64)
        self.event = np.asarray(cases["event"].to_pylist(), np.int64)
        missing = np.asarray(cases["status"].to_pylist()) == "no-prediction"
        told = np.flatnonzero(~missing)
        times, incidence, risks = (cases[n].to_pylist() for n in ("times", "incidence", "risks"))
        last = min((times[at][-1] for at in told), default=0.0)
        self.times = judged_times(self.time, last)
        happened = self.event[:, None] == np.arange(1, causes + 1)
        self.incidence = np.where(happened, 0.0, 1.0)[:, :, None] * np.ones(len(self.times))
        self.risk = np.where(happened, -np.inf, np.inf)
        grids: dict[tuple[float, ...], list[int]] = {}
        for at in told.tolist():
            grids.setdefault(tuple(times[at]), []).append(at)
            self.risk[at] = risks[at]
        self.told = told
        for grid, rows in grids.items():
            values = np.asarray([incidence[at] for at in rows]).reshape(len(rows), causes, -1)
            if len(self.times):
                self.incidence[rows] = at_times(values, np.asarray(grid), self.times)
        self._none = self._everybody(causes)

    def c_index(self, cause: int, weights: FloatArray) -> FloatArray:
        return concordance_of(self.risk[:, cause], self.time, self.event, cause + 1, weights)

    def brier(self, cause: int, weights: FloatArray) -> FloatArray:
        return self._integrated(self.incidence[:, cause], cause, weights)

    def unknowing(self, cause: int) -> Callable[[FloatArray], FloatArray]:
        """The score of telling everybody what happened to all of them."""
        same = np.broadcast_to(self._none[cause], self.incidence[:, cause].shape)
        return lambda weights: self._integrated(same, cause, weights)

    def _integrated(self, incidence: FloatArray, cause: int, weights: FloatArray) -> FloatArray:
        if not len(self.times):
            return np.full(len(weights), np.nan)
        found = brier(incidence, self.time, self.event, cause + 1, self.times, weights)
        return integrated(found, self.times)

    def _everybody(self, causes: int) -> FloatArray:
        """Incidence among all, (causes, times)."""
        return np.stack([self._observed(at, slice(None)).at(self.times, 0.0)[0]
                         for at in range(causes)])  # fmt: skip

    def _observed(self, cause: int, some: Any) -> Curve:
        return aalen_johansen(self.time[some], self.event[some], cause + 1)

    def curves(
        self, causes: Sequence[str], horizons: Sequence[float], *, sure: bool
    ) -> dict[str, Any]:
        """What pages draw; intervals only where `sure`, as they are of independent cases."""
        one = np.ones((1, len(self.time)))
        scores = {
            f"{told}{f' of {name}' if len(causes) > 1 else ''}": brier(
                values, self.time, self.event, at + 1, self.times, one
            )[0]
            for at, name in enumerate(causes)
            for told, values in (
                ("predicted", self.incidence[:, at]),
                ("same for all", np.broadcast_to(self._none[at], self.incidence[:, at].shape)),
            )
        }
        wanted = self._horizons(horizons)
        made = {
            "groups": self._groups(sure=sure),
            "calibration": {
                f"{name + ' ' if len(causes) > 1 else ''}at {moment:.4g}": self._calibration(
                    at, moment, sure=sure
                )
                for at, name in enumerate(causes)
                for moment in wanted
            },
            "brier": {name: [self.times.tolist(), _plain(one)] for name, one in scores.items()},
        }
        if len(causes) > 1:
            made["incidence"] = {
                name: {
                    **_drawn(self._observed(at, slice(None)), sure=sure, end=self._end),
                    "predicted": [
                        self.times.tolist(),
                        self.incidence[self.told, at].mean(0).tolist(),
                    ],
                }
                for at, name in enumerate(causes)
            }
        return made

    @property
    def _end(self) -> float:
        return float(self.times[-1]) if len(self.times) else 0.0

    def _horizons(self, stated: Sequence[float]) -> list[float]:
        if stated or not (self.event != 0).any():
            found = list(stated)
        else:
            found = np.quantile(self.time[self.event != 0], QUARTILES).tolist()
        return sorted({one for one in found if 0 < one <= self._end})

    def _groups(self, *, sure: bool) -> dict[str, Any]:
        """Event-free survival of thirds of the cases by their risk of any event."""
        order = np.argsort(self.risk[self.told].sum(1), kind="stable")
        parts = np.array_split(self.told[order], len(RISK_GROUPS))
        made = {}
        for name, part in zip(RISK_GROUPS, parts, strict=True):
            if not len(part) or not len(self.times):
                continue
            curve = kaplan_meier(self.time[part], self.event[part])
            told = 1 - self.incidence[part].sum(1).mean(0)
            made[name] = {
                **_drawn(curve, sure=sure, end=self._end),
                "predicted": [[0.0, *self.times.tolist()], [1.0, *told.tolist()]],
            }
        return made

    def _calibration(self, cause: int, horizon: float, *, sure: bool) -> dict[str, list[Any]]:
        """Fifths of the cases by their predicted incidence at a time: mean, and observed."""
        place = int(np.clip(np.searchsorted(self.times, horizon), 0, len(self.times) - 1))
        given = self.incidence[self.told, cause, place]
        order = self.told[np.argsort(given, kind="stable")]
        made: dict[str, list[Any]] = {
            name: [] for name in ("predicted", "actual", "low", "high", "cases")
        }
        for part in np.array_split(order, CALIBRATION_GROUPS):
            if not len(part):
                continue
            found = self._observed(cause, part).at(self.times[[place]], 0.0)
            made["predicted"].append(float(self.incidence[part, cause, place].mean()))
            made["cases"].append(len(part))
            for name, value in zip(("actual", "low", "high"), found, strict=True):
                known = sure or name == "actual"
                made[name].append(float(value[0]) if known and np.isfinite(value[0]) else None)
        return made


def _drawn(curve: Curve, *, sure: bool, end: float) -> dict[str, Any]:
    """A curve up to a time, with so few steps that it can be drawn, and how many are at risk at
    five times."""
    inside = np.flatnonzero(curve.times <= end)
    some = inside[np.unique(np.linspace(0, len(inside) - 1, min(len(inside), DRAWN)).astype(int))]
    marks = np.linspace(0, end, 5)
    after = np.searchsorted(curve.times, marks)
    risk = np.append(curve.at_risk, 0)[after]
    return {
        "times": curve.times[some].tolist(),
        "values": curve.values[some].tolist(),
        "low": _plain(curve.low[some]) if sure else None,
        "high": _plain(curve.high[some]) if sure else None,
        "at_risk": [marks.tolist(), risk.astype(int).tolist()],
    }


def _plain(values: FloatArray) -> list[float | None]:
    return [float(one) if np.isfinite(one) else None for one in values]
