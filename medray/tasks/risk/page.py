"""What a page shows of risks: curves, calibration, net benefit, operating points, baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from medray.tasks.metric import Metric
from medray.tasks.section import Figure, ScoredCases, Section, Table

NETWORK = "network"
LEAST = -0.02  # net benefit below which a curve is not drawn: nobody would act so
DIGITS = 3
CALIBRATED = (
    "The calibration slope is that of a logistic regression of events on the logit of their risks, "
    "1 where these are as far apart as they should be; the intercept is taken with slope 1 and is "
    "below 0 where risks are too high. Grey is how many cases have which risk."
)
BENEFIT = (
    "Net benefit is true alerts less false ones, these at the odds of the risk from which on there "
    "is an alert, a case; to alert nobody has 0."
)
WORST = "A case without a prediction has the worst risk there is."
BESIDE = (
    "auroc", "average_precision", "brier", "log_loss", "calibration_slope",
    "calibration_intercept", "net_benefit",
)  # fmt: skip


def section_of_risks(
    section: Section, scores: ScoredCases, metrics: Mapping[str, Metric], told: Sequence[str]
) -> Section:
    """A section with what is told of risks.

    Args:
        section: of the metrics, as of any task.
        scores: of the task.
        metrics: of the task.
        told: how risks were calibrated and cutoffs chosen.
    """
    summary = scores.summary
    tables = [_beside(scores, metrics), _points(summary, metrics)]
    events = Metric("events", kind="count")
    tile = replace(section.tiles[-1], metric=events, value=summary["events"])
    return replace(
        section,
        tiles=[*section.tiles, tile],
        tables=tables,
        figures=_figures(scores),
        notes=[f"{one[0].upper()}{one[1:]}." for one in told],
        definitions=[CALIBRATED, BENEFIT, WORST],
    )


def _figures(scores: ScoredCases) -> list[Figure | Table]:
    every = {NETWORK: scores.summary["curves"], **scores.curves}
    calibration = {
        name: {
            part: values
            for part, values in curves["calibration"].items()
            if name == NETWORK or part not in ("low", "high")
        }
        for name, curves in every.items()
    }
    decision = {name: _cut(curves["decision"]) for name, curves in every.items()}
    own = scores.summary["curves"]["decision"]
    kept = [one is not None and one >= LEAST for one in own["value"]]
    band: dict[str, Any] = {}
    if any(one is not None for one in own["low"]):
        low, high = (
            [
                None if one is None or not keep else max(one, LEAST)
                for one, keep in zip(own[side], kept, strict=True)
            ]
            for side in ("low", "high")
        )
        band = {NETWORK: (low, high)}
    everyone = {"alerts for all": _cut({"risk": own["risk"], "value": own["all"]})}
    nobody = {"alerts for nobody": ([own["risk"][0], own["risk"][-1]], [0.0, 0.0])}
    return [
        Figure("roc", "ROC", {"curves": {name: one["roc"] for name, one in every.items()}}),
        Figure(
            "line",
            "Precision and recall",
            {
                "label": "recall (sensitivity)",
                "up": "precision (PPV)",
                "lines": {name: one["precision"] for name, one in every.items()},
            },
        ),
        Figure(
            "reliability",
            "Calibration in tenths",
            {"curves": calibration, "histogram": scores.summary["curves"]["histogram"]},
        ),
        Figure(
            "line",
            "Decision curve",
            {
                "label": "risk from which on there is an alert",
                "up": "net benefit",
                "lines": {**decision, **everyone, **nobody},
                "bands": band,
            },
        ),
    ]


def _cut(curve: Mapping[str, Sequence[Any]]) -> tuple[list[float], list[float | None]]:
    """Without what lies so low that the rest could not be seen."""
    kept = [None if one is None or one < LEAST else one for one in curve["value"]]
    return list(curve["risk"]), kept


def _beside(scores: ScoredCases, metrics: Mapping[str, Metric]) -> Table:
    found = scores.summary["metrics"]
    columns = {"who": Metric("", kind="text"), **{n: metrics[n] for n in BESIDE if n in found}}
    blank = {"low": None, "high": None}
    rows = [{"who": NETWORK, **found}]
    for label, values in scores.baselines.items():
        told = {name: {"value": values.get(name), **blank} for name in columns if name != "who"}
        rows.append({"who": label, **told})
    cases, events = scores.summary["cases"], scores.summary["events"]
    sure = any(one.get("low") is not None for one in found.values())
    lead = f"{cases} cases, {events} events{', 95 % bootstrap intervals' * sure}."
    note = "Baselines answer as they were fitted, without a calibration curve." * (len(rows) > 1)
    return Table(columns, rows, lead=lead, counts=scores.summary["counts"], note=note)


def _points(summary: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Table:
    columns = {
        "point": Metric("operating point", kind="text"),
        "risk": Metric("from risk", digits=DIGITS, kind="text"),
        "told": Metric("events found, alerts", kind="text"),
        **{name: metrics[name] for name in ("sensitivity", "specificity", "ppv", "npv")},
        "alert_rate": metrics["alert_rate"],
        "net_benefit": metrics["net_benefit"],
        "treat_all": Metric("alerts for all", digits=4),
    }
    rows = []
    for one in summary["points"]:
        row = {name: one.get(name) for name in columns}
        row["risk"] = None if one["risk"] is None else f"{one['risk']:.{DIGITS}g}"
        if "alerts" in one:
            row["told"] = f"{one['found']} of {summary['events']}, {one['alerts']}"
        rows.append(row)
    note = (
        "Points of stated risk have a net benefit; the cutoffs of the others were chosen on the "
        "validation, of folds each network's by itself."
    )
    return Table(columns, rows, title="Operating points", note=note)
