"""What a learning curve has to show: the curve, its numbers, and what arms differ by."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medray.storage.catalog.datasets import Dataset
from medray.tasks import build_task
from medray.tasks.metric import Metric
from medray.tasks.section import Figure, Section, Table, Tile

SAID = """Intervals of a learning curve are 95 % ones of a mean over draws, by Student's t. All
draws are judged on the same cases: intervals say what hangs on which labels were seen and on the
seed, not on which cases were judged.""".replace("\n", " ")
HEADS = {
    "of": Metric("share of the labels", kind="text"),
    "arm": Metric("arm", kind="text"),
    "labels": Metric("labels", kind="count"),
    "unlabelled": Metric("samples without", kind="count"),
    "steps": Metric("steps", kind="count"),
}


def section_of(dataset: Dataset) -> Section:
    """Of a dataset that a step of kind learning-curve made."""
    curve = [{**row, "of": f"{100 * row['share']:g} %"} for row in dataset.attributes["curve"]]
    task = build_task(dataset.attributes["learnt"])
    names = sorted({name for row in curve for name in row["metrics"]})
    metrics = {name: task.metric_of(name) for name in names}
    main = task.metric.removeprefix("val_")
    heads = {name: metrics[name] for name in sorted(names, key=lambda name: name != main)}
    arms = list(dict.fromkeys(row["arm"] for row in curve))
    tables = [
        Table(
            {**HEADS, **heads},
            [{**row, **row["metrics"]} for row in curve],
            lead=f"Networks were judged at their end, on {_told(dataset.attributes['judge'])}.",
        )
    ]
    apart = [row for row in curve if "less" in row]
    if apart:
        shown = {name: HEADS[name] for name in ("of", "arm")}
        rows = [{**row, **row["less"]} for row in apart]
        tables.append(Table({**shown, **heads}, rows, title=f"Over {arms[0]}, draw by draw"))
    figures = []
    if main in metrics and len({row["share"] for row in curve}) > 1:
        figures = [Figure("line", metrics[main].label, _lines(curve, arms, main))]
    return Section(
        title=f"Learning curve: {dataset.name}",
        tiles=_tiles(curve, metrics, main),
        tables=tables,
        figures=figures,
        definitions=[SAID],
    )


def _lines(curve: list[dict[str, Any]], arms: list[str], name: str) -> Mapping[str, Any]:
    lines, bands = {}, {}
    for arm in arms:
        own = [row for row in curve if row["arm"] == arm]
        found = [row["metrics"].get(name, {}) for row in own]
        lines[arm] = ([row["labels"] for row in own], [one.get("value") for one in found])
        if all(one.get("low") is not None for one in found):
            bands[arm] = ([one["low"] for one in found], [one["high"] for one in found])
    return {"label": "labels", "lines": lines, "bands": bands}


def _tiles(curve: list[dict[str, Any]], metrics: Mapping[str, Metric], main: str) -> list[Tile]:
    """Of the fewest labels: each arm's mean."""
    least = [row for row in curve if row["share"] == curve[0]["share"]]
    return [
        Tile(
            replace(metrics[main], label=f"{metrics[main].label} of {row['arm']}, {row['of']}"),
            row["metrics"][main],
        )
        for row in least
        if main in row["metrics"]
    ]


def _told(where: Mapping[str, Any]) -> str:
    """In words: "split test"."""
    return ", ".join(f"{column} {value}" for column, value in where.items()) or "all samples"
