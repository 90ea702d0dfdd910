"""All cases of a treatment to effects with intervals, and whether the arms can be compared."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from medray.tasks.metrics.bootstrap import Bootstrap, subjects
from medray.tasks.treatment import estimates as by
from medray.tasks.treatment.estimates import Nuisance, Terms, value_of, with_interval

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

HATS = {
    "y0": "y0_hat",
    "y1": "y1_hat",
    "propensity": "propensity_hat",
    "observed0": "observed0_hat",
    "observed1": "observed1_hat",
}
"""Answers of a network that has not seen a sample → columns of data for the second stage."""
ESTIMATES: dict[str, tuple[Callable[[Nuisance], Terms], Callable[[Nuisance], Terms] | None]] = {
    "naive difference": (by.naive, None),
    "inverse probability weights": (by.weighted, by.weighted_of_treated),
    "outcome models": (by.regressed, by.regressed_of_treated),
    "doubly robust": (by.doubly_robust, by.doubly_robust_of_treated),
}
"""In words → on all, and on the treated."""
UNSURE = ("outcome models",)
"""Have no intervals: those at hand would not say how sure the models themselves are."""
EDGES = (0.01, 0.025, 0.05, 0.1)  # of overlap
BARS = 20  # of the histograms of propensities
THIN = 0.1  # share of an arm's cases that its weights have to be worth


def summarise(
    cases: pa.Table, trim: float, covariates: Sequence[str], bootstrap: Bootstrap
) -> dict[str, Any]:
    """Effects, errors where the truth is known, overlap and balance.

    Args:
        cases: rows of `TreatmentEffect.score` with `case`, and `subject` where cases share them.
        trim: cases whose propensity is nearer than this to 0 or 1 are left out of estimates.
        covariates: names of features, in order; numbered where there are fewer.
        bootstrap: how its intervals are made.

    Returns:
        As Task.conclude without `task`, with `cautions` where few cases weigh for all,
        `estimates` (a row for each way), `excluded` (why →
        cases), `overlap` and `balance`.
    """
    groups = subjects(cases)
    told = _columns(cases)
    answered = ~np.isnan(told["propensity"]) & ~np.isnan(told["y0"])
    inside = np.abs(told["propensity"] - 0.5) <= 0.5 - trim
    chance = np.where(told["treated"] == 1, told["propensity"], 1 - told["propensity"])
    possible = (chance > 0) & (told["observed"] > 0)
    # The odds of the untreated need a propensity below 1 and those of the treated one above 0.
    possible &= (told["propensity"] > 0) & (told["propensity"] < 1)
    used = answered & inside & possible
    excluded = {
        "no prediction": int((~answered).sum()),
        "trimmed": int((answered & ~inside).sum()),
        "no overlap": int((answered & inside & ~possible).sum()),
    }
    nuisance = Nuisance(**{one.name: told[one.name][used] for one in fields(Nuisance)})
    own = (
        None if groups is None else [one for one, there in zip(groups, used, strict=True) if there]
    )
    rows = [_row(name, ways, nuisance, own, bootstrap) for name, ways in ESTIMATES.items()]
    robust, first = rows[-1], rows[0]
    metrics = {"ate": robust["ate"], "att": robust["att"], "naive": first["ate"]}
    metrics |= _errors(told, groups, bootstrap)
    found: dict[str, Any] = {
        "cases": len(cases),
        "counts": dict(Counter(cases["status"].to_pylist())),
        "metrics": metrics,
        "estimates": rows,
        "excluded": excluded,
        "trim": trim,
        "dropouts": int((answered & np.isnan(told["outcome"])).sum()),
        "overlap": _overlap(told, answered, nuisance),
    }
    found["cautions"] = [
        f"weights of {row['cases']} cases {row['arm']} are worth {row['worth']:.1f} of them: what "
        "is weighted is not to be believed; look at the overlap, and leave cases out by `trim`"
        for row in found["overlap"]
        if row["worth"] is not None and row["worth"] < THIN * row["cases"]
    ]
    if "features" in cases.column_names:
        features = np.asarray(cases["features"].to_pylist(), np.float64)
        found["balance"] = _balance(features[used], nuisance, covariates)
    return found


def _columns(cases: pa.Table) -> dict[str, FloatArray]:
    names = [one.name for one in fields(Nuisance)] + ["effect", "true_effect"]
    return {
        name: np.array(
            [np.nan if one is None else one for one in cases[name].to_pylist()], np.float64
        )
        for name in names
    }


def _row(
    name: str,
    ways: tuple[Callable[[Nuisance], Terms], Callable[[Nuisance], Terms] | None],
    cases: Nuisance,
    groups: Sequence[str] | None,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """An estimate on all and on the treated, with intervals of both kinds."""
    row: dict[str, Any] = {"estimate": name}
    for what, way in zip(("ate", "att"), ways, strict=True):
        if way is None:
            row |= {what: None, f"{what}_bootstrap": None}
            continue
        terms = way(cases)
        row[what] = with_interval(terms, groups, bootstrap.level).to_dict()
        count = len(cases.treated)
        drawn = bootstrap.estimate(partial(value_of, terms), count, groups).to_dict()
        row[f"{what}_bootstrap"] = drawn
        if name in UNSURE:
            row |= {
                one: row[one] | {"low": None, "high": None} for one in (what, f"{what}_bootstrap")
            }
    return row


def _errors(
    told: dict[str, FloatArray], groups: Sequence[str] | None, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Of effects where the truth is known, and of outcomes that were seen."""
    count, made = len(told["effect"]), dict[str, Any]()
    apart = told["effect"] - told["true_effect"]
    known = ~np.isnan(apart)
    filled = np.where(known, apart, 0.0)
    if known.any():
        made["root_pehe"] = bootstrap.estimate(
            lambda w: np.sqrt((w @ filled**2) / np.maximum(w @ known, 1)), count, groups, known
        ).to_dict()
        made["ate_error"] = bootstrap.estimate(
            lambda w: np.abs(w @ filled) / np.maximum(w @ known, 1), count, groups, known
        ).to_dict()
    expected = np.where(told["treated"] == 1, told["y1"], told["y0"])
    left = told["outcome"] - expected
    seen = ~np.isnan(left)
    square = np.where(seen, left, 0.0) ** 2
    made["rmse"] = bootstrap.estimate(
        lambda w: np.sqrt((w @ square) / np.maximum(w @ seen, 1)), count, groups, seen
    ).to_dict()
    return made


def _overlap(
    told: dict[str, FloatArray], answered: BoolArray, used: Nuisance
) -> list[dict[str, Any]]:
    """Of each arm: cases, how many have a propensity outside of EDGES, a histogram, and how many
    cases the weights are worth (Kish 1965)."""
    rows = []
    for arm, name in ((0, "without treatment"), (1, "with treatment")):
        own = told["propensity"][answered & (told["treated"] == arm)]
        outside = {
            f"outside_{edge:g}": int((np.minimum(own, 1 - own) < edge).sum()) for edge in EDGES
        }
        weights = used.weight[used.treated == arm]
        squares = float((weights**2).sum())
        rows.append(
            {
                "arm": name,
                "cases": len(own),
                "least": float(own.min()) if len(own) else None,
                "most": float(own.max()) if len(own) else None,
                **outside,
                "largest_weight": float(weights.max()) if len(weights) else None,
                "worth": float(weights.sum()) ** 2 / squares if squares else None,
                "histogram": np.histogram(own, BARS, (0, 1))[0].tolist(),
            }
        )
    return rows


def _balance(
    features: FloatArray, cases: Nuisance, covariates: Sequence[str]
) -> list[dict[str, Any]]:
    """Standardised differences of means between arms, as they are and weighted by the inverse of
    the chance of the treatment that was given, of each feature; both in its deviations within arms
    as they are (Austin 2009)."""
    rows = []
    chance = np.where(cases.treated == 1, cases.propensity, 1 - cases.propensity)
    for at, column in enumerate(features.T):
        known = np.isfinite(column)
        arms = [known & (cases.treated == arm) for arm in (0, 1)]
        name = covariates[at] if at < len(covariates) else f"feature {at + 1}"
        row: dict[str, Any] = {"feature": name, "known": int(known.sum())}
        row |= {"before": None, "after": None}
        if all(arm.sum() > 1 for arm in arms):
            spread = np.sqrt(np.mean([column[arm].var(ddof=1) for arm in arms]))
            before, after = (
                float(np.subtract(*(np.average(column[arm], weights=w[arm]) for arm in arms[::-1])))
                for w in (np.ones(len(column)), 1 / chance)
            )
            if spread > 0:
                row |= {"before": before / spread, "after": after / spread}
        rows.append(row)
    return rows
