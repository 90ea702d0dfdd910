"""Conclude a learning curve: means over draws, and what arms differ by on the same draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import t

from medray.steps.base.resolved import Resolved
from medray.steps.train.curve.spec import LearningCurveSpec
from medray.storage.shards.reader import Shard

TOLD = ("sample_id", "arm", "share", "draw", "labels", "unlabelled", "steps")
LEAST = 3  # draws behind an interval
LEVEL = 0.95


def conclude(
    resolved: Resolved[LearningCurveSpec], shards: Sequence[Shard | None]
) -> dict[str, Any]:
    """See medray.steps.base.step.Step.

    Returns:
        `curve`: a row for each share and arm with `labels` (of the first draw), `unlabelled`,
        estimates of each metric, and `less`: of its difference to the first arm, draw by draw;
        `metrics`: each mean, by metric, arm and share.
    """
    tables = [shard.table for shard in shards if shard]
    rows = pa.concat_tables(tables, promote_options="permissive").to_pylist() if tables else []
    names = sorted({name for row in rows for name in row} - {*TOLD, "_shard", "_row"})
    arms = list(resolved.step.arms)
    curve, metrics = [], {}
    for share in sorted(resolved.step.shares):
        found = {arm: _of(rows, arm, share) for arm in arms}
        for arm, own in found.items():
            if not own:
                continue
            first = next(iter(own.values()))
            told: dict[str, Any] = {"share": share, "arm": arm}
            told |= {name: first[name] for name in ("labels", "unlabelled", "steps")}
            told["metrics"] = {name: _mean(own.values(), name) for name in names}
            if arm != arms[0]:
                told["less"] = {name: _apart(own, found[arms[0]], name) for name in names}
            curve.append(told)
            for name, one in told["metrics"].items():
                if one["value"] is not None:
                    metrics[f"{name}_{arm}_{share:g}"] = one["value"]
    return {"curve": curve, "metrics": metrics}


def _of(rows: Sequence[dict[str, Any]], arm: str, share: float) -> dict[int, dict[str, Any]]:
    return {row["draw"]: row for row in rows if row["arm"] == arm and row["share"] == share}


def _mean(rows: Any, name: str) -> dict[str, Any]:
    return estimate([row[name] for row in rows if row.get(name) is not None])


def _apart(
    own: dict[int, dict[str, Any]], first: dict[int, dict[str, Any]], name: str
) -> dict[str, Any]:
    both = [
        (row[name], first[draw][name])
        for draw, row in own.items()
        if draw in first and None not in (row.get(name), first[draw].get(name))
    ]
    return estimate([mine - other for mine, other in both])


def estimate(values: Sequence[float]) -> dict[str, Any]:
    """Their mean, with its 95 % interval by Student's t where there are enough.

    Args:
        values: of draws.
    """
    count = len(values)
    if not count:
        return {"value": None, "low": None, "high": None, "subjects": 0}
    mean, half = float(np.mean(values)), None
    if count >= LEAST:
        spread = float(np.std(values, ddof=1)) / count**0.5
        half = float(t.ppf((1 + LEVEL) / 2, count - 1)) * spread
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return {"value": mean, "low": low, "high": high, "subjects": count}
