"""What a page shows of treatment effects: estimates, overlap with counts, and balance."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from medray.tasks.metric import Metric
from medray.tasks.section import Figure, ScoredCases, Section, Table

OPEN = 20  # rows of a table of balance that is not folded
NONE = float("nan")  # an effect has no best value
PLACEBO = (
    "The treatment is a placebo, drawn anew for {share:g} of the cases by their ids: it has no "
    "effect, and intervals of the average effect should hold 0."
)
DEFINED = (
    "Doubly robust: the mean of what outcome models say would differ, and of what is left of the "
    "outcomes that were seen, weighted by the inverse chance of treatment and of being observed. "
    "Its first interval is that of the influence function."
)
LIMITED = (
    "Effects are of the treatment only if nothing else that the features lack decides on treatment "
    "and outcome both; no figure here can show that."
)


def section_of_effects(section: Section, scores: ScoredCases) -> Section:
    """A section with what is told of effects.

    Args:
        section: of the metrics, as of any task.
        scores: of the task.
    """
    summary = scores.summary
    tables = [_estimates(scores), _overlap(summary)]
    figures: list[Figure | Table] = [
        Figure(
            "histogram",
            f"Propensity {row['arm']}",
            {"label": "chance of treatment", "low": 0, "high": 1, "counts": row["histogram"]},
        )
        for row in summary["overlap"]
    ]
    effects = [row["effect"] for row in scores.cases if row.get("effect") is not None]
    known = [row for row in scores.cases if None not in (row.get("effect"), row.get("true_effect"))]
    figures.append(
        Figure(
            "strip",
            "Effects that are told",
            {"label": "effect", "values": {"all": effects}},
        )
    )
    if known:
        figures.append(
            Figure(
                "scatter",
                "Told and true effects",
                {
                    "labels": ("told", "true"),
                    "x": [row["effect"] for row in known],
                    "y": [row["true_effect"] for row in known],
                },
            )
        )
    if summary.get("balance"):
        tables.append(_balance(summary["balance"]))
        figures.append(_differences(summary["balance"]))
    placebo = summary.get("placebo")
    notes = [] if placebo is None else [PLACEBO.format(share=placebo)]
    return replace(
        section,
        tables=tables,
        figures=figures,
        notes=notes,
        definitions=[DEFINED, LIMITED],
    )


def _estimates(scores: ScoredCases) -> Table:
    summary = scores.summary
    columns = {
        "estimate": Metric("estimate", kind="text"),
        "ate": Metric("on all, influence function", best=NONE),
        "ate_bootstrap": Metric("on all, bootstrap", best=NONE),
        "att": Metric("on the treated, influence function", best=NONE),
        "att_bootstrap": Metric("on the treated, bootstrap", best=NONE),
    }
    rows = list(summary["estimates"])
    for label, values in scores.baselines.items():
        blank = {"low": None, "high": None}
        told = {name: {"value": values.get(name), **blank} for name in ("ate", "att")}
        rows.append({"estimate": f"doubly robust by {label}", **told})
    left_out = ", ".join(f"{count} {why}" for why, count in summary["excluded"].items() if count)
    lead = f"{summary['cases']} cases; left out of estimates: {left_out or 'none'}"
    lead += f" (trimmed at {summary['trim']:g})." if summary["trim"] else "; nothing is clipped."
    if summary["dropouts"]:
        lead += f" {summary['dropouts']} have no outcome, and others weigh for them."
    return Table(columns, rows, title="Effects", lead=lead, counts=summary["counts"])


def _overlap(summary: Mapping[str, Any]) -> Table:
    first = summary["overlap"][0]
    outside = {
        name: Metric(f"outside {edge:g} … {1 - edge:g}", kind="count")
        for name in first
        if name.startswith("outside_")
        for edge in [float(name.removeprefix("outside_"))]
    }
    columns = {
        "arm": Metric("arm", kind="text"),
        "cases": Metric("cases", kind="count"),
        "least": Metric("least propensity", digits=4),
        "most": Metric("largest", digits=4),
        **outside,
        "largest_weight": Metric("largest weight", digits=1),
        "worth": Metric("cases that weights are worth", digits=1),
    }
    return Table(columns, summary["overlap"], title="Overlap")


def _balance(rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = {
        "feature": Metric("feature", kind="text"),
        "known": Metric("known", kind="count"),
        "before": Metric("as they are"),
        "after": Metric("weighted"),
    }
    ranked = sorted(rows, key=lambda row: -abs(row["before"] or 0))
    sizes = [
        [abs(row[when]) for row in rows if row[when] is not None] for when in ("before", "after")
    ]
    worst = [f"{max(size, default=0):.3f}" for size in sizes]
    lead = (
        "Differences between arms, in deviations of a feature; the largest is "
        f"{worst[0]} as they are and {worst[1]} weighted."
    )
    folded = f"All {len(rows)} features, the most different first" if len(rows) > OPEN else ""
    return Table(columns, ranked, title="Balance", lead=lead, folded=folded)


def _differences(rows: Sequence[Mapping[str, Any]]) -> Figure:
    values = {
        label: [abs(row[when]) for row in rows if row[when] is not None]
        for label, when in (("as they are", "before"), ("weighted", "after"))
    }
    label = "standardised difference of a feature between arms"
    return Figure("strip", "Balance", {"label": label, "values": values})
